"""`ultralytics-classify`: images in folders, `<split>/<class>/<image>`: the folder is the class; no label files.

The class is the first folder below the split; an image's path is its path below the split, deeper folders and all.
Classes are in the order of their names, as torchvision's ImageFolder numbers them.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from framehouse.annotations.labels import label_schema
from framehouse.annotations.schema import Kind
from framehouse.annotations.splits import canonical_split
from framehouse.runtime import errors
from framehouse.store.bundle import BundleWriter
from framehouse.store.issues import INFO, IssueLog
from framehouse.v1.annotation_pb2 import LabelSchema
from framehouse.v1.conversion_pb2 import Loss
from services.conversion import columns, images_alone, layout
from services.conversion.archive import Archive
from services.conversion.format import Candidate, Format, Holds, LabelSource, Preparation, ReadPlan, Rows, WriteHead
from services.conversion.formats.image_dir import LABEL_EXTENSIONS

DEFAULT_SPLIT = "train"
FORBIDDEN = r'^\.+$|[/\\:*?"<>|\x00-\x1f]'
"""What a folder cannot be called, or not everywhere."""


def detect(archive: Archive) -> Candidate | None:
    """Images in folders of classes below folders of splits, and no file that could be labels."""
    rows = archive.images()
    if not len(rows) or len(archive.with_extension(*LABEL_EXTENSIONS)):
        return None
    names, folders = layout.below_split(archive.paths.take(pa.array(rows)))
    classes = pc.unique(_class_of(names)).drop_null()
    placed = np.array([bool(folder) for folder in folders]) & _class_of(names).is_valid().to_numpy(False)
    if not placed.all() or len(classes) < 2:
        return None
    return Candidate(0.8, f"images in {len(classes):,} folders of classes below {', '.join(sorted(set(folders)))}")


def plan(archive: Archive, issues: IssueLog) -> ReadPlan:
    """All images, with the splits and classes that their folders name."""
    rows = archive.images()
    files = archive.paths.take(pa.array(rows))
    names, folders = layout.below_split(files)
    classes = _class_of(names)
    if not classes.is_valid().to_numpy(False).any():
        raise errors.InvalidArgument(
            "no image lies in a folder of its class; the layout is <split>/<class>/<image>, for instance "
            "train/cat/1.jpg",
            reason="CLASS_FOLDERS_MISSING",
        )
    loose = files.filter(classes.is_null())
    text = "the image lies in no folder of a class; it has no annotation"
    columns.report(
        issues, "CLASS_FOLDER_MISSING", INFO, loose, np.zeros(len(loose), np.int64), text, "move it into one"
    )
    known = sorted(pc.unique(classes).drop_null().to_pylist())
    split = pa.array([canonical_split(folder) for folder in folders], pa.string())
    label = pc.index_in(classes, pa.array(known, pa.string()))
    own = {
        "path": layout.identities(names, split, files),
        "split": split,
        "split_name": pa.array(folders, pa.string()),
        "class": label,
    }
    table = layout.plan_table(archive, rows, own)
    return ReadPlan(layout.in_archive_order(table), label_schema(known), None)


def _class_of(names: pa.Array) -> pa.Array:
    """The first folder of each name; null for none."""
    return pc.struct_field(pc.extract_regex(names, r"(?s)^(?P<folder>[^/]+)/"), "folder")


def read(source: LabelSource, issues: IssueLog) -> pa.Table:
    """A tag for each usable image that lies in a folder of a class."""
    assert source.images is not None and source.media is not None
    tagged = pc.and_(source.media["usable"], source.images["class"].is_valid())
    at = np.flatnonzero(tagged.to_numpy(zero_copy_only=False))
    return columns.annotations(
        at + source.first_row,
        annotation_id=np.ones(len(at), np.int64),
        kind=np.full(len(at), int(Kind.TAG)),
        label=source.images["class"].take(pa.array(at)),
    )


def prepare(images: pa.Table, annotations: pa.Table, labels: LabelSchema, head: WriteHead) -> Preparation:
    """Places each image in the folder of its first tag; those without one have no place.

    FailedPrecondition where no image has a place.
    """
    image, label = annotations["image"].to_numpy(), annotations["label"].to_numpy()
    tags = np.flatnonzero((annotations["kind"].to_numpy() == Kind.TAG) & (label >= 0))
    first = tags[np.unique(image[tags], return_index=True)[1]]
    chosen = np.full(images.num_rows, -1)
    chosen[image[first]] = label[first]
    if not len(tags):
        raise errors.FailedPrecondition(
            f"nothing would be written: {_other_kinds(annotations)}, and an image without a tag has no folder to lie "
            "in; choose a format that holds what there is, or give the images tags",
            reason="NOTHING_TO_WRITE",
        )
    losses: list[Loss] = []
    more = np.setdiff1d(tags, first)
    if len(more):
        subject = "tags beside the first of an image"
        losses.append(Loss(code="TAGS_LEFT_OUT", subject=subject, annotation_count=len(more), fallback="left out"))
    if (chosen < 0).any():
        count = int((chosen < 0).sum())
        text = f"{count} images without a tag are left out, for the folder is the class"
        losses.append(Loss(code="IMAGE_UNTAGGED", subject="images without a tag", image_count=count, fallback=text))
    names = pa.array([label.name for label in labels.labels], pa.string())
    folder = pc.replace_substring_regex(names, FORBIDDEN, "_")
    if len(pc.unique(folder)) < len(folder):
        raise errors.FailedPrecondition(
            "two classes would share a folder, for their names differ only by what no folder can be called; rename one",
            reason="CLASS_FOLDERS_COLLIDE",
        )
    if not folder.equals(names):
        subject = "names of classes that no folder can have"
        losses.append(Loss(code="NAME_CHANGED", subject=subject, fallback="with _ in place of such characters"))
    unused = len(labels.labels) - len(np.unique(label[first]))
    if unused:
        text = f"{unused} classes of no image are left out, for a class is a folder"
        losses.append(Loss(code="CLASS_EMPTY", subject="classes of no image", fallback=text))
    if names.to_pylist() != sorted(names.to_pylist()):
        text = "numbered in the order of their names"
        losses.append(Loss(code="CLASS_ORDER", subject="the order of the classes", fallback=text))
    mine = folder.take(pa.array(chosen, mask=chosen < 0))
    name = images["name"].combine_chunks()
    inside = pc.fill_null(pc.equal(_class_of(name), mine), False)
    below = pc.if_else(inside, name, pc.binary_join_element_wise(mine, name, "/"))
    target = pc.binary_join_element_wise(images["folder"].combine_chunks(), below, "/")
    clashes = _repeated(target)
    if clashes.any():
        # `cat/1.jpg` of the class cat, and `1.jpg` of it.
        renamed = pc.replace_substring_regex(target, r"(\.[^./]*)?$", r"_2\1", max_replacements=1)
        target = pc.if_else(pa.array(clashes), renamed, target)
        text = f"{int(clashes.sum())} images whose names would clash get _2 behind them"
        losses.append(Loss(code="NAME_CHANGED", subject="image names", fallback=text))
    target, missing = images_alone.with_bytes(images, target)
    return Preparation({"target": target}, [*losses, *missing])


def _other_kinds(annotations: pa.Table) -> str:
    """What there is in place of tags, in words."""
    counts = np.bincount(annotations["kind"].to_numpy(), minlength=len(Kind) + 1)
    names = [kind.name.lower().replace("_", " ") for kind in Kind if counts[kind]]
    return (
        f"no annotation is a tag with a class (there are {', '.join(names)})" if names else "there are no annotations"
    )


def _repeated(targets: pa.Array) -> NDArray[np.bool_]:
    """Which targets occurred before."""
    codes = pc.fill_null(targets, "").dictionary_encode().indices.to_numpy()
    later = np.ones(len(codes), bool)
    later[np.unique(codes, return_index=True)[1]] = False
    result: NDArray[np.bool_] = later & targets.is_valid().to_numpy(zero_copy_only=False)
    return result


def write(rows: Rows, bundle: BundleWriter) -> None:
    """Nothing beside the images."""


def finish(labels: LabelSchema, head: WriteHead, bundle: BundleWriter) -> None:
    """Nothing beside the images."""


FORMAT = Format(
    id="ultralytics-classify",
    title="Ultralytics YOLO classification",
    aliases=("yolo-classify", "yolov8-cls", "yolo-cls"),
    holds=Holds(kinds=frozenset({Kind.TAG})),
    detect=detect,
    plan=plan,
    read=read,
    default_split=DEFAULT_SPLIT,
    columns=("kind",),
    plan_columns=(),
    image_columns=images_alone.COLUMNS,
    images_alone=True,
    prepare=prepare,
    write=write,
    finish=finish,
    layout="""
train/cat/1.jpg
train/dog/2.jpg
val/cat/3.jpg
""",
    notes=(
        "The first folder below the split is the class; classes are numbered in the order of their names.",
        "An image is of one class: further tags, and images without a tag, are left out and told. Where no image has a "
        "tag, nothing would be written, and the export is refused.",
    ),
)
