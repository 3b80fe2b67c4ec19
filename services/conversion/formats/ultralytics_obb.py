"""`ultralytics-obb`: one text file an image, a line a turned box: `class x1 y1 … x4 y4`, relative to the upright image.

The corners may come in any order around. A quadrilateral that is no rectangle is read as the smallest rectangle around
it, as Ultralytics does, and told.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from framehouse.annotations import geometry
from framehouse.annotations.geometry import Floats
from framehouse.annotations.schema import Kind
from framehouse.store.bundle import BundleWriter
from framehouse.store.issues import IssueLog
from framehouse.v1.annotation_pb2 import LabelSchema
from services.conversion.archive import Archive
from services.conversion.format import Candidate, Format, Holds, LabelSource, Preparation, ReadPlan, Rows, WriteHead
from services.conversion.shapes import mask_rings
from services.conversion.ultralytics import finding as ultralytics_finding
from services.conversion.ultralytics import rows as ultralytics_rows
from services.conversion.ultralytics import task as ultralytics_task
from services.conversion.ultralytics import writing as ultralytics_writing

AROUND = "the smallest turned box around it"


def detect(archive: Archive) -> Candidate | None:
    """A data.yaml, and label files whose rows all have nine numbers."""
    return ultralytics_task.detect(archive, "obb")


def plan(archive: Archive, issues: IssueLog) -> ReadPlan:
    """Finds images and label files by data.yaml."""
    return ultralytics_task.plan(archive, FORMAT.id, issues)


def read(source: LabelSource, issues: IssueLog) -> pa.Table:
    """Rows of nine numbers are turned boxes, of ten turned boxes with a score, of five upright boxes."""
    rows = ultralytics_finding.read_rows(source, issues)
    widths = np.diff(rows.runs.offsets)
    wanted = "a turned box has 9 (class x1 y1 x2 y2 x3 y3 x4 y4)"
    fits = np.isin(widths, [5, 9, 10])
    good = ultralytics_rows.usable(rows, len(source.labels.labels), fits, wanted, issues)
    size = ultralytics_rows.sizes(source, rows)
    upright = ultralytics_rows.upright_boxes(rows, good[widths[good] == 5], size, issues)
    turned = ultralytics_rows.turned_boxes(rows, good[widths[good] >= 9], size, issues)
    return ultralytics_rows.assemble(source, rows, [upright, turned])


def scan(images: pa.Table, annotations: pa.Table) -> dict[str, pa.Array]:
    """What is lost at the borders of images."""
    written = [*FORMAT.holds.kinds, *FORMAT.holds.fallbacks]
    return ultralytics_writing.at_borders(images, annotations, written, flat=written)


def prepare(images: pa.Table, annotations: pa.Table, labels: LabelSchema, head: WriteHead) -> Preparation:
    """Decides the names of the label files, and counts what cannot be written."""
    columns, losses = ultralytics_writing.names(images)
    return Preparation(columns, [*losses, *ultralytics_writing.border_losses(annotations)])


def write(rows: Rows, bundle: BundleWriter) -> None:
    """Four corners a line, from the one that was the top left before turning, clockwise; within the image, for
    Ultralytics refuses a file with others.
    """
    annotations = rows.annotations
    size = ultralytics_writing.sizes(rows.images)[annotations["image"].to_numpy()]
    boxes, degrees = _turned(annotations)
    corners = geometry.corners(boxes, degrees)
    written = (annotations["label"].to_numpy() >= 0) & ~np.isnan(size).any(axis=1) & ~np.isnan(boxes).any(axis=1)
    written &= ~geometry.outside(geometry.corner_envelopes(corners), size)
    annotations, size = annotations.filter(pa.array(written)), size[written]
    values = np.clip(corners[written] / size[:, None], 0, 1).reshape(-1)
    image, classes = annotations["image"].to_numpy(), annotations["label"].to_numpy()
    ultralytics_writing.write(rows.images, image, classes, values, np.full(len(image), 8), bundle)


def _turned(annotations: pa.Table) -> tuple[Floats, Floats]:
    """Turned boxes (n, 4) and degrees for all annotations; NaN for those of kinds without a place."""
    kinds = annotations["kind"].to_numpy()
    boxes = geometry.boxes(annotations["bbox"])
    degrees = pc.fill_null(annotations["rotation"], 0).to_numpy(zero_copy_only=False).copy()
    degrees[~np.isin(kinds, [Kind.ROTATED_BOX, Kind.ELLIPSE])] = 0
    boxes[~np.isin(kinds, [*FORMAT.holds.kinds, *FORMAT.holds.fallbacks])] = np.nan
    is_mask = (kinds == Kind.MASK) & annotations["rle"].is_valid().to_numpy()
    drawn, outlined = geometry.open_rings(annotations["rings"]), mask_rings(annotations)
    for shaped, rings in ((kinds == Kind.POLYGON, drawn), (is_mask, outlined)):
        if shaped.any():
            around = geometry.smallest_rotated_boxes(rings, annotations.num_rows)
            boxes[shaped], degrees[shaped] = around[0][shaped], around[1][shaped]
    return boxes, degrees


def finish(labels: LabelSchema, head: WriteHead, bundle: BundleWriter) -> None:
    """Writes data.yaml."""
    ultralytics_writing.finish(labels, head, bundle, {})


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
    default_split=ultralytics_writing.DEFAULT_SPLIT,
    columns=("kind", "label", "bbox", "rotation", "rings", "rle", "rle_size"),
    plan_columns=(),
    scan_columns=ultralytics_writing.AT_BORDER,
    scan=scan,
    prepare=prepare,
    write=write,
    finish=finish,
    layout=ultralytics_writing.LAYOUT,
    notes=(
        "Coordinates are relative to the upright image and written with six decimals: 0.004 pixels in 4096.",
        "The four corners are read in any order around; an angle is one of several equal ones, so compare corners.",
        "Four corners that are no rectangle become the smallest rectangle around them, as in Ultralytics; told.",
        "Corners outside of the image are read as they are; written, they are moved to its border, since Ultralytics "
        "refuses a file with others.",
    ),
)
