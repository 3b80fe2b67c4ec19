"""`yolo-darknet`: YOLO as Darknet has it, one text file an image beside it, a line a box: `class cx cy w h`, relative.

`obj.data` names the lists of images (`train.txt`, `valid.txt`) and the file of class names. Paths in it and in the
lists may be those of another machine; whatever end of them exists in the archive is taken.
"""

import posixpath

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from framehouse.annotations.labels import label_schema
from framehouse.annotations.schema import Kind
from framehouse.annotations.splits import canonical_split
from framehouse.runtime import errors
from framehouse.store.bundle import BundleWriter
from framehouse.store.issues import ERROR, INFO, WARNING, IssueLog
from framehouse.v1.annotation_pb2 import LabelSchema
from framehouse.v1.conversion_pb2 import Loss
from services.conversion import layout
from services.conversion.archive import Archive
from services.conversion.columns import report
from services.conversion.format import Candidate, Format, Holds, LabelSource, Preparation, ReadPlan, Rows, WriteHead
from services.conversion.ultralytics import finding as ultralytics_finding
from services.conversion.ultralytics import rows as ultralytics_rows
from services.conversion.ultralytics import writing as ultralytics_writing

MAX_BYTES = 1 << 20
MAX_LIST_BYTES = 256 << 20
FOLDERS = {"train": "train", "val": "valid"}
"""Canonical splits, and what Darknet calls them."""
OTHER_TEXTS = r"(?i)(^|/)(classes|names|train|val|valid|test|readme[^/]*)\.txt$"
"""Files beside images that are not of labels."""
REMEDY = "obj.data has lines `train = train.txt`, `valid = valid.txt` and `names = obj.names`"


def detect(archive: Archive) -> Candidate | None:
    """A file obj.data, or another `.data` with train and names."""
    found = _find(archive)
    return Candidate(0.95, f"{found[0]} names lists of images and a file of classes") if found else None


def _find(archive: Archive) -> tuple[str, dict[str, str]] | None:
    """The `.data` file nearest to the top that says train or valid, and names; and what it says."""
    rows = sorted(archive.with_extension("data").tolist(), key=lambda row: (archive.path(row).count("/"), row))
    for row in rows[:20]:
        pairs = [line.split("=", 1) for line in _text(archive, row).splitlines() if "=" in line]
        said = {key.strip().lower(): value.strip() for key, value in pairs}
        if "names" in said and {"train", "valid"} & said.keys():
            return archive.path(row), said
    return None


def _text(archive: Archive, row: int, limit: int = MAX_BYTES) -> str:
    return archive.read(row, limit).removeprefix(ultralytics_finding.BOM).decode(errors="replace")


def _lookup(archive: Archive, name: str, folder: str) -> int:
    """Row of the file that a path means, -1 for none."""
    folders = list(dict.fromkeys([folder, ""]))
    return int(layout.find(layout.tidy(pa.array([name], pa.string())), archive.paths, folders)[0])


def plan(archive: Archive, issues: IssueLog) -> ReadPlan:
    """Finds lists, images, label files and classes."""
    found = _find(archive)
    if found is None:
        raise errors.InvalidArgument(f"there is no obj.data in the archive; {REMEDY}", reason="OBJ_DATA_MISSING")
    path, said = found
    folder = posixpath.dirname(path)
    names = _lookup(archive, said["names"], folder)
    if names < 0:
        raise errors.InvalidArgument(
            f"{path} says names = {said['names']}, which the archive does not hold; {REMEDY}", reason="NAMES_MISSING"
        )
    try:
        text = archive.read(names, MAX_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        text = f"{archive.path(names)} is no UTF-8 text; save it as UTF-8"
        raise errors.InvalidArgument(text, reason="CLASS_NAMES_INVALID") from error
    lines = [line.strip() for line in text.splitlines()]
    classes = _unique([line for line in lines if line], archive.path(names), issues)
    image_rows = archive.images()
    images = archive.paths.take(pa.array(image_rows))
    split = np.full(len(images), "", object)
    spelled = np.full(len(images), "", object)
    taken = np.zeros(len(images), bool)
    lists = [names]
    for key in [key for key in said if key not in ("names", "backup", "classes")]:
        row = _lookup(archive, said[key], folder)
        if row < 0:
            text = f"{path} says {key} = {said[key]}, which the archive does not hold"
            issues.add("SPLIT_EMPTY", WARNING, path, text, f"add the list, or remove `{key}`")
            continue
        is_again = row in lists
        lists.append(row)
        listed = [line.strip() for line in _text(archive, row, MAX_LIST_BYTES).splitlines() if line.strip()]
        at = layout.find(layout.tidy(pa.array(listed, pa.string())), images, [folder, ""])
        for name in [name for name, place in zip(listed, at.tolist(), strict=True) if place < 0][:100]:
            text = f"{archive.path(row)} lists {name}, which the archive does not hold"
            issues.add("IMAGE_MISSING", WARNING, archive.path(row), text, "add the image to the archive")
        at = np.unique(at[at >= 0])
        if (overlap := int(taken[at].sum())) and not is_again:
            text = f"{overlap:,} images of the list are of another split already"
            issues.add("SPLITS_OVERLAP", INFO, archive.path(row), text, "list each image in one split")
        at = at[~taken[at]]
        split[at], spelled[at], taken[at] = canonical_split(key), key, True
    if not taken.any():
        raise errors.InvalidArgument(
            f"none of the images that the lists of {path} name is in the archive; pack the images with the lists",
            reason="IMAGES_UNMATCHED",
        )
    _tell_left_out(archive, images, taken, lists, issues)
    kept = np.flatnonzero(taken)
    mine, image_rows = images.take(pa.array(kept)), image_rows[kept]
    splits, split_names = (pa.array(column[kept], pa.string()) for column in (split, spelled))
    shown = pc.replace_substring_regex(mine, r"^(?:.*/)?obj_[^/]*_data/", "")
    inside = f"{folder}/" if folder else ""
    shown = pc.if_else(pc.starts_with(shown, inside), pc.utf8_slice_codeunits(shown, len(inside)), shown)
    own = ultralytics_finding.label_columns(archive, ultralytics_finding.beside(archive, mine))
    columns = {"path": layout.identities(shown, splits, mine), "split": splits, "split_name": split_names, **own}
    table = layout.plan_table(archive, image_rows, columns)
    return ReadPlan(layout.in_archive_order(table), label_schema(classes), None)


def _tell_left_out(
    archive: Archive, images: pa.Array, taken: NDArray[np.bool_], lists: list[int], issues: IssueLog
) -> None:
    """Says which images no list names, and which label files belong to no image. InvalidArgument where none belongs."""
    left = images.filter(pa.array(~taken))
    text = "no list names this image; it was left out, with its labels"
    report(issues, "IMAGE_NOT_LISTED", INFO, left, np.zeros(len(left), np.int64), text, "add it to the list of a split")
    rows = archive.with_extension("txt")
    used = ultralytics_finding.beside(archive, images)
    texts = archive.paths.take(pa.array(np.setdiff1d(rows, [*used.tolist(), *lists])))
    # Label files are beside images, and other texts mostly elsewhere.
    lost = texts.filter(pc.is_in(_folder(texts), pc.unique(_folder(images))))
    lost = lost.filter(pc.invert(pc.match_substring_regex(lost, OTHER_TEXTS)))
    if not len(lost):
        return
    if not (used[taken] >= 0).any():
        raise errors.InvalidArgument(
            f"none of {len(lost):,} label files belongs to an image, for instance {lost[0].as_py()}. A label file has "
            "the name of its image",
            reason="LABELS_UNMATCHED",
        )
    text, remedy = "there is no image for this label file", "add the image, or rename the label file to its name"
    report(issues, "LABEL_WITHOUT_IMAGE", ERROR, lost, np.zeros(len(lost), np.int64), text, remedy)


def _folder(paths: pa.Array) -> pa.Array:
    return pc.replace_substring_regex(paths, r"[^/]*$", "")


def _unique(names: list[str], path: str, issues: IssueLog) -> list[str]:
    """Class names, each once; one that occurs again gets its number behind it."""
    result: dict[str, None] = {}
    for i, name in enumerate(names):
        if name in result:
            text = f"class {i} is called {name} as another is; it became {name} ({i})"
            issues.add("CLASS_NAME_REPEATED", WARNING, path, text, "give each class a name of its own", i + 1)
            name = f"{name} ({i})"  # noqa: PLW2901
        result[name] = None
    if not result:
        raise errors.InvalidArgument(f"{path} names no classes; write one a line", reason="CLASS_NAMES_MISSING")
    return list(result)


def read(source: LabelSource, issues: IssueLog) -> pa.Table:
    """Rows of five numbers are boxes, as in Ultralytics' files."""
    return ultralytics_rows.boxes_and_polygons(source, ultralytics_finding.read_rows(source, issues), issues)


def scan(images: pa.Table, annotations: pa.Table) -> dict[str, pa.Array]:
    """What is lost at the borders of images."""
    written = [*FORMAT.holds.kinds, *FORMAT.holds.fallbacks]
    return ultralytics_writing.at_borders(images, annotations, written)


def prepare(images: pa.Table, annotations: pa.Table, labels: LabelSchema, head: WriteHead) -> Preparation:
    """Places images and labels side by side; only train and valid are known."""
    split = images["split"].combine_chunks()
    losses: list[Loss] = []
    others = pc.invert(pc.is_in(split, pa.array([*FOLDERS])))
    if pc.any(others).as_py():
        count = int(pc.sum(others).as_py())
        text = f"{count} images of other splits than train and val, or of none, are written under train"
        losses.append(Loss(code="SPLIT_UNSUPPORTED", subject="splits", image_count=count, fallback=text))
    folder = pc.if_else(pc.equal(split, "val"), "valid", "train")
    name = layout.targets(images["path"].combine_chunks(), split, folder)
    target = pc.binary_join_element_wise("obj_", folder, "_data/", name, "")
    target, label, renamed = layout.label_files(
        target, lambda paths: pc.replace_substring_regex(paths, *ultralytics_writing.TO_TEXT)
    )
    losses += [*renamed, *ultralytics_writing.border_losses(annotations)]
    return Preparation({"target": target, "label_path": label}, losses)


def write(rows: Rows, bundle: BundleWriter) -> None:
    """Boxes, and the lists of images."""
    has_file = ultralytics_writing.write_boxes(rows, [*FORMAT.holds.kinds, *FORMAT.holds.fallbacks], bundle)
    # Datumaro refuses an image without a label file. One with nothing but the end of a line says nothing, to us too.
    unknown = rows.images["label_path"].filter(pa.array(~has_file))
    bundle.files(unknown, b"\n" * len(unknown), np.arange(len(unknown) + 1))
    targets = rows.images["target"].combine_chunks()
    for split in ("train", "valid"):
        mine = targets.filter(pc.starts_with(targets, f"obj_{split}_data/"))
        if len(mine):
            bundle.piece(f"{split}.txt", 1, "".join(f"data/{path}\n" for path in mine.to_pylist()).encode())


def finish(labels: LabelSchema, head: WriteHead, bundle: BundleWriter) -> None:
    """Writes obj.names and obj.data."""
    bundle.file("obj.names", "".join(f"{label.name}\n" for label in labels.labels).encode())
    splits = sorted({FOLDERS.get(canonical_split(folder), "train") for folder in head.folders})
    lines = [f"classes = {len(labels.labels)}", *(f"{split} = data/{split}.txt" for split in splits)]
    bundle.file("obj.data", "\n".join([*lines, "names = data/obj.names", "backup = backup/", ""]).encode())


FORMAT = Format(
    id="yolo-darknet",
    title="YOLO as Darknet has it",
    aliases=("yolo-1.1", "darknet"),
    holds=Holds(kinds=frozenset({Kind.BOX}), fallbacks=ultralytics_writing.BOXED, splits=frozenset(FOLDERS)),
    detect=detect,
    plan=plan,
    read=read,
    default_split="train",
    columns=("kind", "label", "bbox", "rotation"),
    plan_columns=(),
    scan_columns=ultralytics_writing.AT_BORDER,
    scan=scan,
    prepare=prepare,
    write=write,
    finish=finish,
    layout="""
obj.data
obj.names
train.txt
obj_train_data/1.jpg
obj_train_data/1.txt
""",
    notes=(
        "Only train and valid are known; images of other splits are written under train, and told.",
        "Paths in obj.data and in the lists begin with `data/`, as Darknet expects them; read, any end of them that "
        "exists is taken.",
        "Coordinates are relative to the upright image and written with six decimals: 0.004 pixels in 4096.",
        "Every image has a label file, since others refuse one without: empty where somebody looked and found nothing, "
        "an empty line where nobody looked. Read, an image without a file is one that nobody looked at.",
    ),
)
