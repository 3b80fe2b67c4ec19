"""`ultralytics-detect`: one text file an image, a line a box: `class cx cy w h`, relative to the upright image.

Written with six decimals, as Ultralytics does: 0.004 pixels in 4096. Read as written: a box whose edges reach outside
is kept as it is, and told; one whose numbers leave 0 to 1 is no row of this format (Ultralytics refuses the file) and
is an issue. Rows of polygons among the boxes are kept as polygons. Writing cuts boxes at the image's border, which the
loss report counts.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from framehouse.annotations import geometry
from framehouse.annotations.geometry import Floats, Integers
from framehouse.annotations.schema import Kind, State
from framehouse.annotations.splits import canonical_split
from framehouse.runtime import errors
from framehouse.store.bundle import BundleWriter
from framehouse.store.issues import WARNING, IssueLog
from framehouse.v1.annotation_pb2 import LabelSchema
from framehouse.v1.conversion_pb2 import Loss
from services.conversion import columns, data_yaml, ultralytics
from services.conversion.archive import Archive
from services.conversion.format import Candidate, Format, Holds, LabelSource, Preparation, ReadPlan, Rows, WriteHead

ROUNDING = 1e-6
"""How far a number may leave 0 to 1, and how far an edge of a box may, before anything is said."""
DECIMALS = 6
AROUND = "the upright box around it"


def detect(archive: Archive) -> Candidate | None:
    """A data.yaml with names or splits; and what the first label file looks like."""
    try:
        data = data_yaml.find_data_yaml(archive)
    except errors.InvalidArgument:
        return None
    if data is None or not len(archive.images()):
        return None
    if "kpt_shape" in data.content:
        return Candidate(0.2, f"{data.file} describes keypoints (kpt_shape), which this format does not hold")
    texts = archive.with_extension("txt")
    paths = archive.paths.take(pa.array(texts))
    in_labels = np.flatnonzero(pc.match_substring_regex(paths, r"(?i)(^|/)labels/").to_numpy(zero_copy_only=False))
    widths = set()
    for i in in_labels[:5].tolist():
        lines = archive.beginning(int(texts[i]), 2048).split(b"\n")
        widths |= {len(line.split()) for line in lines[:-1] if line.strip()}
    reason = f"{data.file} names " + ("classes and splits" if data.splits() else "classes")
    if widths and max(widths) > 6:
        return Candidate(0.7, f"{reason}; label files hold polygons beside or instead of boxes")
    return Candidate(0.95 if "names" in data.content else 0.6, reason)


def plan(archive: Archive, issues: IssueLog) -> ReadPlan:
    """Finds images and label files by data.yaml."""
    data = data_yaml.find_data_yaml(archive, issues)
    if data is None:
        raise errors.InvalidArgument(
            f"there is no data.yaml in the archive; {data_yaml.REMEDY}", reason="DATA_YAML_MISSING"
        )
    if "kpt_shape" in data.content:
        raise errors.InvalidArgument(
            f"{data.file} describes keypoints (kpt_shape); as ultralytics-detect its rows would be misread",
            reason="FORMAT_OTHER_TASK",
        )
    return ultralytics.plan(archive, data, issues)


def read(source: LabelSource, issues: IssueLog) -> pa.Table:
    """Rows of five numbers are boxes, of six boxes with a score, of seven or more (odd) polygons."""
    assert source.media is not None
    rows = ultralytics.read_rows(source, issues)
    runs = rows.runs
    widths = np.diff(runs.offsets)
    used = np.flatnonzero(widths > 0)
    widths = widths[used]
    classes = runs.values[runs.offsets[used]]
    count = len(source.labels.labels)

    fits = (widths == 5) | (widths == 6) | ((widths >= 7) & (widths % 2 == 1))
    texts = [f"the row has {width} numbers; a box has 5 (class cx cy w h)" for width in widths[~fits].tolist()]
    rows.report(issues, "LABEL_FIELD_COUNT", used[~fits], texts, "correct or remove the row")
    exists = (classes >= 0) & (classes < count) & (classes == np.floor(classes))
    bad = fits & ~exists
    texts = [f"class {value:g} does not exist; there are {count}, from 0" for value in classes[bad].tolist()]
    rows.report(issues, "LABEL_CLASS_UNKNOWN", used[bad], texts, "add the class to data.yaml, or correct the row")

    good = fits & exists
    is_box = good & (widths <= 6)
    # Only those of one width make a matrix; the score of six is looked at alone.
    first = runs.offsets[:-1]
    box_rows = used[is_box]
    relative = runs.values[first[box_rows][:, None] + np.arange(1, 5)]
    outside = ((relative < -ROUNDING) | (relative > 1 + ROUNDING)).any(axis=1)
    texts = [
        f"the box {cx:g} {cy:g} {w:g} {h:g} leaves the image; the numbers are relative to it, from 0 to 1"
        for cx, cy, w, h in relative[outside].tolist()
    ]
    rows.report(
        issues, "BOX_OUTSIDE", box_rows[outside], texts, "divide by the image's width and height, or correct the row"
    )
    empty = ~outside & (relative[:, 2:] <= 0).any(axis=1)
    rows.report(issues, "BOX_EMPTY", box_rows[empty], "the box has no width or no height", "correct or remove the row")
    low, high = relative[:, :2] - relative[:, 2:] / 2, relative[:, :2] + relative[:, 2:] / 2
    reaches = ~outside & ~empty & ((low < -2 * ROUNDING) | (high > 1 + 2 * ROUNDING)).any(axis=1)
    columns.report(
        issues,
        "BOX_REACHES_OUTSIDE",
        WARNING,
        rows.paths.take(pa.array(runs.item[box_rows[reaches]])),
        runs.ordinal[box_rows[reaches]] + 1,
        "an edge of the box lies outside of the image; the box was kept as it is",
        "cut the box at the image's border",
    )
    keep = ~outside & ~empty
    box_rows, low, relative = box_rows[keep], low[keep], relative[keep]

    shape_rows = used[good & (widths >= 7)]
    values, sizes = _coordinates(runs.values, first[shape_rows] + 1, np.diff(runs.offsets)[shape_rows] - 1)
    leaves = np.zeros(len(shape_rows), bool)
    leaves[np.repeat(np.arange(len(sizes)), sizes)[(values < -ROUNDING) | (values > 1 + ROUNDING)]] = True
    rows.report(issues, "BOX_OUTSIDE", shape_rows[leaves], "the polygon leaves the image", "correct the row")
    shape_rows = shape_rows[~leaves]
    values, sizes = _coordinates(runs.values, first[shape_rows] + 1, np.diff(runs.offsets)[shape_rows] - 1)

    media = source.media
    size = np.stack([media[name].to_numpy(zero_copy_only=False) for name in ("width", "height")], axis=1).astype(float)
    image_of = rows.images[runs.item]
    boxes = np.concatenate([low, relative[:, 2:]], axis=1) * np.tile(size[image_of[box_rows]], 2)
    scales = np.repeat(size[image_of[shape_rows]], sizes // 2, axis=0).reshape(-1)
    polygons = geometry.Rings(values * scales, geometry.starts(sizes), np.arange(len(sizes)))
    boxes = np.concatenate([boxes, geometry.ring_envelopes(polygons, len(sizes))])

    order = np.argsort(np.concatenate([box_rows, shape_rows]), kind="stable")
    row = np.concatenate([box_rows, shape_rows])[order]
    rings = geometry.ring_column(
        polygons.values,
        sizes,
        np.repeat([0, 1], [len(box_rows), len(shape_rows)]),
        np.repeat([True, False], [len(box_rows), len(shape_rows)]),
    )
    has_score = np.diff(runs.offsets)[row] == 6
    score = np.where(has_score, runs.values[np.where(has_score, first[row] + 5, 0)], 0) if len(row) else np.zeros(0)
    image = image_of[row]
    return columns.annotations(
        image + source.first_row,
        annotation_id=np.arange(len(row)) - np.searchsorted(image, image) + 1,
        kind=np.where(order < len(box_rows), int(Kind.BOX), int(Kind.POLYGON)),
        label=runs.values[first[row]].astype(np.int32),
        bbox=geometry.box_column(boxes[order]),
        rings=rings.take(pa.array(order)),
        score=pa.array(score, mask=~has_score),
    )


def _coordinates(values: Floats, begins: Integers, sizes: Integers) -> tuple[Floats, Integers]:
    """The numbers of runs of unequal length, one after the other."""
    return values[geometry.spread(begins, sizes)], sizes


def prepare(images: pa.Table, annotations: pa.Table, labels: LabelSchema, head: WriteHead) -> Preparation:
    """Decides the names of the label files, and counts what will be cut or cannot be written."""
    target = images["target"].combine_chunks()
    label = ultralytics.label_names(target)
    losses: list[Loss] = []
    codes = label.dictionary_encode().indices.to_numpy()
    first = np.zeros(len(codes), bool)
    first[np.unique(codes, return_index=True)[1]] = True
    if not first.all():
        # `1.jpg` and `1.png` would share `1.txt`.
        renamed = pc.replace_substring_regex(target, r"\.([^./]*)$", r"_\1.\1")
        target = pc.if_else(pa.array(first), target, renamed)
        label = ultralytics.label_names(target)
        text = f"{int((~first).sum())} images whose names differ by extension alone are renamed, `1.png` to `1_png.png`"
        losses.append(Loss(code="NAME_CHANGED", subject="image names", fallback=text))
    unsplit = int(pc.sum(pc.equal(images["split"], "")).as_py() or 0)
    if unsplit:
        text = f"{unsplit} images without a split are written under {FORMAT.default_split}"
        losses.append(Loss(code="SPLIT_UNSET", subject="images without a split", fallback=text))
    image = annotations["image"].to_numpy()
    size = _sizes(images)[image]
    boxes = _boxes(annotations)
    written = ~np.isnan(boxes).any(axis=1)
    unknown = written & np.isnan(size).any(axis=1)
    if unknown.any():
        text = "left out, for coordinates are relative to the image"
        losses.append(_loss("IMAGE_SIZE_UNKNOWN", "annotations of images of unknown size", unknown, text))
    clipped = geometry.clip(boxes, size)
    gone = written & ~unknown & (clipped[:, 2:] <= 0).any(axis=1)
    if gone.any():
        losses.append(_loss("BOX_OUTSIDE", "boxes wholly outside of their image", gone, "left out"))
    tolerance = ROUNDING * np.tile(size, 2)
    cut = written & ~unknown & ~gone & (np.abs(clipped - boxes) > 2 * tolerance).any(axis=1)
    if cut.any():
        losses.append(_loss("BOX_CLIPPED", "boxes that reach outside of their image", cut, "cut at its border"))
    return Preparation({"target": target, "label_path": label}, losses)


def _loss(code: str, subject: str, touched: NDArray[np.bool_], fallback: str) -> Loss:
    return Loss(code=code, subject=subject, annotation_count=int(touched.sum()), fallback=fallback)


def _sizes(images: pa.Table) -> Floats:
    return np.stack([pc.cast(images[name], pa.float64()).to_numpy() for name in ("width", "height")], axis=1)


def _boxes(annotations: pa.Table) -> Floats:
    """Upright boxes of the annotations that have a label and a place in the image; NaN for the others."""
    boxes = geometry.boxes(annotations["bbox"])
    kinds, labels = annotations["kind"].to_numpy(), annotations["label"].to_numpy()
    turned = (kinds == Kind.ROTATED_BOX) & annotations["rotation"].is_valid().to_numpy()
    if turned.any():
        angles = annotations["rotation"].to_numpy()[turned]
        boxes[turned] = geometry.corner_envelopes(geometry.corners(boxes[turned], angles))
    boxes[(labels < 0) | ~np.isin(kinds, [*FORMAT.holds.kinds, *FORMAT.holds.fallbacks])] = np.nan
    return boxes


def write(rows: Rows, bundle: BundleWriter) -> None:
    """One text file an image. Images that nobody annotated get none; those found to be empty an empty one."""
    annotations, images = rows.annotations, rows.images
    size = _sizes(images)
    image = annotations["image"].to_numpy()
    boxes = geometry.clip(_boxes(annotations), size[image])
    kept = (boxes[:, 2:] > 0).all(axis=1)
    image, boxes = image[kept], boxes[kept]
    centre = boxes[:, :2] + boxes[:, 2:] / 2
    relative = np.concatenate([centre, boxes[:, 2:]], axis=1) / np.tile(size[image], 2)
    data, ends = _text(annotations["label"].to_numpy()[kept], relative)
    counts = np.bincount(image, minlength=images.num_rows)
    states = images["state"].to_numpy()
    has_file = (counts > 0) | (states == State.VERIFIED_EMPTY)
    offsets = ends[geometry.starts(counts[has_file])]
    bundle.files(images["label_path"].filter(pa.array(has_file)), data, offsets)


def _text(classes: Integers, relative: Floats) -> tuple[bytes, Integers]:
    """Lines `class cx cy w h` of numbers from 0 to 1, and where each begins, and the end."""
    count = len(classes)
    scaled = np.rint(relative * 10**DECIMALS).astype(np.int64)
    scaled[:, 2:] = np.maximum(scaled[:, 2:], 1)  # a box without width would be refused by every reader
    width = DECIMALS + 2
    field = np.empty((count, 4, width + 1), np.uint8)
    field[:, :, 0] = ord(" ")
    field[:, :, 2] = ord(".")
    for place in range(DECIMALS):
        scaled, digit = np.divmod(scaled, 10)
        field[:, :, width - place] = digit + ord("0")
    field[:, :, 1] = scaled + ord("0")
    digits = len(str(int(classes.max()))) if count else 1
    powers = 10 ** np.arange(digits - 1, -1, -1)
    number = (classes[:, None] // powers % 10 + ord("0")).astype(np.uint8)
    line = np.concatenate(
        [number, field.reshape(count, 4 * (width + 1)), np.full((count, 1), ord("\n"), np.uint8)], axis=1
    )
    # Leading zeros of class ids go.
    shown = np.ones(line.shape, bool)
    shown[:, : digits - 1] = classes[:, None] >= powers[:-1]
    return line[shown].tobytes(), geometry.starts(shown.sum(axis=1))


def finish(labels: LabelSchema, head: WriteHead, bundle: BundleWriter) -> None:
    """Writes data.yaml."""
    folders = [(canonical_split(folder), folder) for folder in head.folders]
    extra: dict[str, Any] = {}
    bundle.file("data.yaml", data_yaml.write(labels, folders, extra))


FORMAT = Format(
    id="ultralytics-detect",
    title="Ultralytics YOLO detection",
    aliases=("yolo", "yolov8"),
    holds=Holds(
        kinds=frozenset({Kind.BOX}),
        fallbacks=dict.fromkeys(
            (
                Kind.ROTATED_BOX,
                Kind.POLYGON,
                Kind.POLYLINE,
                Kind.POINTS,
                Kind.SKELETON,
                Kind.MASK,
                Kind.ELLIPSE,
                Kind.CUBOID,
            ),
            AROUND,
        ),
    ),
    detect=detect,
    plan=plan,
    read=read,
    default_split="train",
    columns=("kind", "label", "bbox", "rotation"),
    plan_columns=("bbox", "rotation"),
    prepare=prepare,
    write=write,
    finish=finish,
)
