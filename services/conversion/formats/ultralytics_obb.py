"""`ultralytics-obb`: one text file an image, a line a turned box: `class x1 y1 … x4 y4`, relative to the upright image.

The corners may come in any order around. A quadrilateral that is no rectangle is read as the smallest rectangle around
it, as Ultralytics does, and told.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from framehouse.annotations import geometry, masks
from framehouse.annotations.geometry import Floats
from framehouse.annotations.outlines import outlines
from framehouse.annotations.schema import Kind
from framehouse.store.bundle import BundleWriter
from framehouse.store.issues import INFO, IssueLog
from framehouse.v1.annotation_pb2 import LabelSchema
from services.conversion import columns
from services.conversion.archive import Archive
from services.conversion.format import Candidate, Format, Holds, LabelSource, Preparation, ReadPlan, Rows, WriteHead
from services.conversion.ultralytics import files
from services.conversion.ultralytics import finding as ultralytics_finding
from services.conversion.ultralytics import rows as readers
from services.conversion.ultralytics import task as ultralytics_task

AROUND = "the smallest turned box around it"
REACH = 1.0
"""How far beyond the image, in images, a corner may lie; further out the numbers are no relative ones."""
RECTANGLE_PIXELS = 1.0
"""How far a corner may be from the rectangle's before it is told."""


def detect(archive: Archive) -> Candidate | None:
    """A data.yaml, and label files whose rows all have nine numbers."""
    return ultralytics_task.detect(archive, "obb")


def plan(archive: Archive, issues: IssueLog) -> ReadPlan:
    """Finds images and label files by data.yaml."""
    return ultralytics_task.plan(archive, FORMAT.id, issues)


def read(source: LabelSource, issues: IssueLog) -> pa.Table:
    """Rows of nine numbers are turned boxes, of ten turned boxes with a score, of five upright boxes."""
    rows = ultralytics_finding.read_rows(source, issues)
    runs = rows.runs
    widths = np.diff(runs.offsets)
    wanted = "a turned box has 9 (class x1 y1 x2 y2 x3 y3 x4 y4)"
    good = readers.usable(rows, len(source.labels.labels), np.isin(widths, [5, 9, 10]), wanted, issues)
    size = readers.sizes(source)
    box_rows, relative = readers.boxes(rows, good[widths[good] == 5], issues)
    upright = readers.Shapes(box_rows, Kind.BOX, relative * np.tile(size[rows.images[runs.item[box_rows]]], 2))

    at = good[widths[good] >= 9]
    relative = readers.matrix(rows, at, 1, 8)
    far = ((relative < -REACH) | (relative > 1 + REACH)).any(axis=1)
    text = "the box lies far outside of the image; the numbers are relative to it, from 0 to 1"
    rows.report(issues, "BOX_OUTSIDE", at[far], text, "divide by the image's width and height, or correct the row")
    at, relative = at[~far], relative[~far]
    points = relative.reshape(-1, 4, 2) * size[rows.images[runs.item[at]]][:, None]
    boxes, degrees = geometry.rotated_boxes(points)
    empty = (boxes[:, 2:] <= 0).any(axis=1)
    rows.report(issues, "BOX_EMPTY", at[empty], "the box has no width or no height", "correct or remove the row")
    at, points, boxes, degrees = at[~empty], points[~empty], boxes[~empty], degrees[~empty]
    # Each given corner against the nearest one of the rectangle that was read.
    rectangle = geometry.corners(boxes, degrees)
    away = np.sqrt(((points[:, :, None] - rectangle[:, None]) ** 2).sum(axis=3)).min(axis=2).max(axis=1, initial=0)
    skewed = at[away > RECTANGLE_PIXELS]
    columns.report(
        issues,
        "BOX_NOT_RECTANGULAR",
        INFO,
        rows.paths.take(pa.array(runs.item[skewed])),
        runs.ordinal[skewed] + 1,
        "the four corners are no rectangle; the smallest one around them was taken",
        "nothing, unless the corners were meant; import the file as ultralytics-segment to keep them",
    )
    score = np.full(len(at), np.nan)
    scored = widths[at] == 10
    score[scored] = runs.values[runs.offsets[:-1][at[scored]] + 9]
    turned = readers.Shapes(at, Kind.ROTATED_BOX, boxes, rotation=degrees, score=score)
    return readers.assemble(source, rows, [upright, turned])


def prepare(images: pa.Table, annotations: pa.Table, labels: LabelSchema, head: WriteHead) -> Preparation:
    """Decides the names of the label files, and counts what cannot be written."""
    columns, losses = files.names(images)
    written = [*FORMAT.holds.kinds, *FORMAT.holds.fallbacks]
    return Preparation(columns, [*losses, *files.border_losses(images, annotations, written, flat=written)])


def write(rows: Rows, bundle: BundleWriter) -> None:
    """Four corners a line, from the one that was the top left before turning, clockwise; within the image, for
    Ultralytics refuses a file with others.
    """
    annotations = rows.annotations
    size = files.sizes(rows.images)[annotations["image"].to_numpy()]
    boxes, degrees = _turned(annotations)
    corners = geometry.corners(boxes, degrees)
    written = (annotations["label"].to_numpy() >= 0) & ~np.isnan(size).any(axis=1) & ~np.isnan(boxes).any(axis=1)
    written &= ~geometry.outside(geometry.corner_envelopes(corners), size)
    annotations, size = annotations.filter(pa.array(written)), size[written]
    values = np.clip(corners[written] / size[:, None], 0, 1).reshape(-1)
    image, classes = annotations["image"].to_numpy(), annotations["label"].to_numpy()
    files.write(rows.images, image, classes, values, np.full(len(image), 8), bundle)


def _turned(annotations: pa.Table) -> tuple[Floats, Floats]:
    """Turned boxes (n, 4) and degrees for all annotations; NaN for those of kinds without a place."""
    kinds = annotations["kind"].to_numpy()
    boxes = geometry.boxes(annotations["bbox"])
    degrees = pc.fill_null(annotations["rotation"], 0).to_numpy(zero_copy_only=False).copy()
    degrees[~np.isin(kinds, [Kind.ROTATED_BOX, Kind.ELLIPSE])] = 0
    boxes[~np.isin(kinds, [*FORMAT.holds.kinds, *FORMAT.holds.fallbacks])] = np.nan
    count = annotations.num_rows
    shaped = kinds == Kind.POLYGON
    if shaped.any():
        around = geometry.smallest_rotated_boxes(geometry.open_rings(annotations["rings"]), count)
        boxes[shaped], degrees[shaped] = around[0][shaped], around[1][shaped]
    is_mask = np.flatnonzero((kinds == Kind.MASK) & annotations["rle"].is_valid().to_numpy())
    if len(is_mask):
        mine = annotations.take(pa.array(is_mask))
        size = mine["rle_size"].combine_chunks().flatten().to_numpy().reshape(-1, 2).astype(np.int64)
        rings = outlines(masks.decode(mine["rle"].combine_chunks()), size[:, 0], size[:, 1]).rings
        boxes[is_mask], degrees[is_mask] = geometry.smallest_rotated_boxes(rings, len(is_mask))
    return boxes, degrees


def finish(labels: LabelSchema, head: WriteHead, bundle: BundleWriter) -> None:
    """Writes data.yaml."""
    files.finish(labels, head, bundle, {})


FORMAT = Format(
    id="ultralytics-obb",
    title="Ultralytics YOLO oriented boxes",
    aliases=("yolo-obb", "yolov8-obb"),
    holds=Holds(
        kinds=frozenset({Kind.ROTATED_BOX}),
        fallbacks={
            Kind.BOX: "a turned box, turned by nothing",
            Kind.ELLIPSE: "the turned box around it",
            **dict.fromkeys((Kind.POLYGON, Kind.MASK), AROUND),
            **dict.fromkeys((Kind.POLYLINE, Kind.POINTS, Kind.SKELETON, Kind.CUBOID), "the upright box around it"),
        },
    ),
    detect=detect,
    plan=plan,
    read=read,
    default_split=files.DEFAULT_SPLIT,
    columns=("kind", "label", "bbox", "rotation", "rings", "rle", "rle_size"),
    plan_columns=("bbox", "rotation"),
    prepare=prepare,
    write=write,
    finish=finish,
    layout=files.LAYOUT,
    notes=(
        "Coordinates are relative to the upright image and written with six decimals: 0.004 pixels in 4096.",
        "The four corners are read in any order around; an angle is one of several equal ones, so compare corners.",
        "Four corners that are no rectangle become the smallest rectangle around them, as in Ultralytics; told.",
        "Corners outside of the image are read as they are; written, they are moved to its border, since Ultralytics "
        "refuses a file with others.",
    ),
)
