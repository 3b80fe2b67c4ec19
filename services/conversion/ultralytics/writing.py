"""Writing Ultralytics label files: their names, their text, and what every task loses alike.

Numbers have six decimals, as Ultralytics writes them: 0.004 pixels in 4096.
"""

from collections.abc import Collection, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from framehouse.annotations import geometry
from framehouse.annotations.geometry import Floats, Integers
from framehouse.annotations.schema import Kind, State
from framehouse.annotations.splits import canonical_split
from framehouse.store.bundle import BundleWriter
from framehouse.v1.annotation_pb2 import LabelSchema
from framehouse.v1.conversion_pb2 import Loss
from services.conversion import layout
from services.conversion.format import Rows, WriteHead
from services.conversion.shapes import upright_boxes
from services.conversion.ultralytics import data_yaml
from services.conversion.ultralytics.finding import label_names

DECIMALS = 6
SMALLEST = 10.0**-DECIMALS
DEFAULT_SPLIT = "train"
FIELD = DECIMALS + 3
"""Bytes of a number from 0 to 1 and the blank before it."""
POWERS = 10 ** np.arange(1, 10)

TO_TEXT = r"\.[^./]*$", ".txt"
"""What makes the name of a label file of that of the image beside it."""

AROUND = "the upright box around it"
BOXED = dict.fromkeys(
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
)
"""What formats that hold boxes alone write in place of other kinds."""

BORDER_LOSSES = (
    (
        "IMAGE_SIZE_UNKNOWN",
        "annotations of images of unknown size",
        "left out, for coordinates are relative to the image",
    ),
    ("BOX_EMPTY", "shapes without width or height", "left out"),
    ("BOX_OUTSIDE", "shapes wholly outside of their image", "left out"),
    ("BOX_CLIPPED", "shapes that reach outside of their image", "cut at its border"),
)
"""Code, subject and fallback of what is lost at the borders of images."""
AT_BORDER = ("bbox", "rotation")
"""Columns that `at_borders` looks at, beside kind and label."""

LAYOUT = """
data.yaml
images/train/1.jpg
labels/train/1.txt
"""


def names(images: pa.Table) -> tuple[dict[str, pa.Array], list[Loss]]:
    """The columns `target` and `label_path` of a write plan, and what changes by them."""
    target, label, losses = layout.label_files(images["target"].combine_chunks(), label_names)
    unsplit = int(pc.sum(pc.equal(images["split"], "")).as_py() or 0)
    if unsplit:
        text = f"{unsplit} images without a split are written under {DEFAULT_SPLIT}"
        losses.append(Loss(code="SPLIT_UNSET", subject="images without a split", image_count=unsplit, fallback=text))
    return {"target": target, "label_path": label}, losses


def at_borders(
    images: pa.Table, annotations: pa.Table, written: Sequence[Kind], flat: Collection[Kind] = ()
) -> dict[str, pa.Array]:
    """What is lost at the borders of images, or for want of their size, of the annotations of kinds that are `written`:
    the column `at_border`, positions in BORDER_LOSSES, null where it is nothing.

    `flat` are the kinds of which shapes without width or height can be written.
    """
    size, can_be_flat = sizes(images), np.isin(annotations["kind"].to_numpy(), list(flat))
    lost = _lost(upright_boxes(annotations, written), size[annotations["image"].to_numpy()], can_be_flat)
    return {"at_border": pa.array(lost, mask=lost < 0)}


def border_losses(annotations: pa.Table) -> list[Loss]:
    """The losses of annotations with what `at_borders` found."""
    counts = np.bincount(annotations["at_border"].drop_null().to_numpy(), minlength=len(BORDER_LOSSES))
    lost = zip(BORDER_LOSSES, counts.tolist(), strict=True)
    return [
        Loss(code=code, subject=subject, annotation_count=count, fallback=fallback)
        for (code, subject, fallback), count in lost
        if count
    ]


def _lost(boxes: Floats, size: Floats, can_be_flat: NDArray[np.bool_]) -> NDArray[np.int8]:
    """Which of BORDER_LOSSES is about each of the boxes (n, 4), NaN for what is not written; -1 for none."""
    inside = (boxes[:, :2] >= 0) & (boxes[:, 2:] > 0) & (boxes[:, :2] + boxes[:, 2:] <= size)
    rest = np.flatnonzero(~(inside[:, 0] & inside[:, 1]))
    result = np.full(len(boxes), -1, np.int8)
    boxes, size, can_be_flat = boxes[rest], size[rest], can_be_flat[rest]
    written = ~np.isnan(boxes).any(axis=1)
    unknown = written & np.isnan(size).any(axis=1)
    empty = written & ~unknown & ~can_be_flat & (boxes[:, 2:] <= 0).any(axis=1)
    gone = written & ~unknown & ~empty & geometry.outside(boxes, size)
    over = (np.abs(geometry.clip(boxes, size) - boxes) > 2 * SMALLEST * np.tile(size, 2)).any(axis=1)
    cut = written & ~unknown & ~empty & ~gone & over
    result[rest] = np.select([unknown, empty, gone, cut], range(len(BORDER_LOSSES)), -1)
    return result


def loss(code: str, subject: str, touched: NDArray[np.bool_], fallback: str) -> Loss:
    return Loss(code=code, subject=subject, annotation_count=int(touched.sum()), fallback=fallback)


def sizes(images: pa.Table) -> Floats:
    """(width, height) of images; NaN where they are not known."""
    return np.stack([pc.cast(images[name], pa.float64()).to_numpy() for name in ("width", "height")], axis=1)


def write_boxes(rows: Rows, written: list[Kind], bundle: BundleWriter) -> NDArray[np.bool_]:
    """A line a box, `class cx cy w h`, of the annotations of kinds that are `written`, cut at the images' borders.

    Answers as `write` does.
    """
    size = sizes(rows.images)
    image = rows.annotations["image"].to_numpy()
    boxes = geometry.clip(upright_boxes(rows.annotations, written), size[image])
    kept = (boxes[:, 2:] > 0).all(axis=1)
    image, boxes = image[kept], boxes[kept]
    relative = np.concatenate([boxes[:, :2] + boxes[:, 2:] / 2, boxes[:, 2:]], axis=1) / np.tile(size[image], 2)
    # A box without width would be refused by every reader.
    relative[:, 2:] = np.maximum(relative[:, 2:], SMALLEST)
    classes = rows.annotations["label"].to_numpy()[kept]
    return write(rows.images, image, classes, relative.reshape(-1), np.full(len(image), 4), bundle)


def write(
    images: pa.Table,
    image: Integers,
    classes: Integers,
    values: Floats,
    counts: Integers,
    bundle: BundleWriter,
    whole: NDArray[np.bool_] | None = None,
) -> NDArray[np.bool_]:
    """One text file an image, a line an annotation: its class, and its numbers.

    `image` (the row of each annotation's image, ascending), `classes` and `counts` have a value an annotation; `values`
    are the numbers of all, from 0 to 1, `whole` marks those that are digits. Images that nobody annotated get no file,
    those that were found to be empty an empty one. Answers with which got one.
    """
    data, ends = lines(classes, values, counts, whole)
    per_image = np.bincount(image, minlength=images.num_rows)
    has_file: NDArray[np.bool_] = (per_image > 0) | (images["state"].to_numpy() == State.VERIFIED_EMPTY)
    offsets = ends[geometry.starts(per_image[has_file])]
    bundle.files(images["label_path"].filter(pa.array(has_file)), data, offsets)
    return has_file


def lines(
    classes: Integers, values: Floats, counts: Integers, whole: NDArray[np.bool_] | None = None
) -> tuple[bytes, Integers]:
    """The lines, and where each begins, and the end. `whole` marks the values that are written as one digit."""
    widths = np.full(len(values), FIELD) if whole is None else np.where(whole, 2, FIELD)
    digits = np.searchsorted(POWERS, classes, side="right") + 1
    first = geometry.starts(counts)
    ends = np.concatenate([[0], np.cumsum(widths)])
    begins = geometry.starts(digits + ends[first[1:]] - ends[first[:-1]] + 1)
    out = np.empty(begins[-1], np.uint8)
    out[begins[1:] - 1] = ord("\n")
    for place in range(int(digits.max(initial=1))):
        mine = np.flatnonzero(digits > place)
        out[begins[mine] + digits[mine] - 1 - place] = classes[mine] // 10**place % 10 + ord("0")

    field = np.empty((len(values), FIELD), np.uint8)
    field[:, 0], field[:, 2] = ord(" "), ord(".")
    scaled = np.rint(values * 10**DECIMALS).astype(np.int32)
    for place in range(FIELD - 1, 2, -1):
        scaled, digit = np.divmod(scaled, 10)
        field[:, place] = digit + ord("0")
    field[:, 1] = scaled + ord("0")
    at = ends[:-1] + np.repeat(begins[:-1] + digits - ends[first[:-1]], counts)
    if whole is not None and whole.any():
        _put(out, at[whole], np.ascontiguousarray(field[whole, :2]))
        at, field = at[~whole], field[~whole]
    _put(out, at, field)
    return out.tobytes(), begins


def _put(out: NDArray[np.uint8], at: Integers, rows: NDArray[np.uint8]) -> None:
    """Copies rows of bytes to where each belongs."""
    size = rows.shape[1]
    if len(rows):
        places = np.lib.stride_tricks.sliding_window_view(out, size, writeable=True)
        places.view(f"V{size}")[at, 0] = rows.view(f"V{size}")[:, 0]


def finish(labels: LabelSchema, head: WriteHead, bundle: BundleWriter, extra: dict[str, object]) -> None:
    """Writes data.yaml."""
    folders = [(canonical_split(folder), folder) for folder in head.folders]
    bundle.file("data.yaml", data_yaml.write(labels, folders, extra))
