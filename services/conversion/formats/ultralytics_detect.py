"""`ultralytics-detect`: one text file an image, a line a box: `class cx cy w h`, relative to the upright image.

Written with six decimals, as Ultralytics does: 0.004 pixels in 4096. Read as written: a box whose edges reach outside
is kept as it is, and told; one whose numbers leave 0 to 1 is no row of this format (Ultralytics refuses the file) and
is an issue. Rows of polygons among the boxes are kept as polygons. Writing cuts boxes at the image's border, which the
loss report counts.
"""

import pyarrow as pa

from framehouse.annotations.schema import Kind
from framehouse.store.bundle import BundleWriter
from framehouse.store.issues import IssueLog
from framehouse.v1.annotation_pb2 import LabelSchema
from services.conversion.archive import Archive
from services.conversion.format import Candidate, Format, Holds, LabelSource, Preparation, ReadPlan, Rows, WriteHead
from services.conversion.ultralytics import finding as ultralytics_finding
from services.conversion.ultralytics import rows as ultralytics_rows
from services.conversion.ultralytics import task as ultralytics_task
from services.conversion.ultralytics import writing as ultralytics_writing


def detect(archive: Archive) -> Candidate | None:
    """A data.yaml, and label files with rows of five numbers."""
    return ultralytics_task.detect(archive, "detect")


def plan(archive: Archive, issues: IssueLog) -> ReadPlan:
    """Finds images and label files by data.yaml."""
    return ultralytics_task.plan(archive, FORMAT.id, issues)


def read(source: LabelSource, issues: IssueLog) -> pa.Table:
    """Rows of five numbers are boxes, of six boxes with a score, of seven or more (odd) polygons."""
    return ultralytics_rows.boxes_and_polygons(source, ultralytics_finding.read_rows(source, issues), issues)


def scan(images: pa.Table, annotations: pa.Table) -> dict[str, pa.Array]:
    """What is lost at the borders of images."""
    written = [*FORMAT.holds.kinds, *FORMAT.holds.fallbacks]
    return ultralytics_writing.at_borders(images, annotations, written)


def prepare(images: pa.Table, annotations: pa.Table, labels: LabelSchema, head: WriteHead) -> Preparation:
    """Decides the names of the label files, and counts what will be cut or cannot be written."""
    columns, losses = ultralytics_writing.names(images)
    return Preparation(columns, [*losses, *ultralytics_writing.border_losses(annotations)])


def write(rows: Rows, bundle: BundleWriter) -> None:
    """Boxes, cut at the borders of their images."""
    ultralytics_writing.write_boxes(rows, [*FORMAT.holds.kinds, *FORMAT.holds.fallbacks], bundle)


def finish(labels: LabelSchema, head: WriteHead, bundle: BundleWriter) -> None:
    """Writes data.yaml."""
    ultralytics_writing.finish(labels, head, bundle, {})


FORMAT = Format(
    id="ultralytics-detect",
    title="Ultralytics YOLO detection",
    aliases=("yolo", "yolov8"),
    layout=ultralytics_writing.LAYOUT,
    notes=(
        "Coordinates are relative to the upright image and written with six decimals: 0.004 pixels in 4096.",
        "A box whose edges reach outside of the image is read as it is, and told; one whose numbers leave 0 to 1 is "
        "left out, since Ultralytics refuses the file.",
        "Writing cuts boxes at the border of the image.",
        "Rows of polygons among the boxes are read as polygons.",
    ),
    holds=Holds(
        kinds=frozenset({Kind.BOX}),
        fallbacks=ultralytics_writing.BOXED,
    ),
    detect=detect,
    plan=plan,
    read=read,
    default_split=ultralytics_writing.DEFAULT_SPLIT,
    columns=("kind", "label", "bbox", "rotation"),
    plan_columns=(),
    scan_columns=ultralytics_writing.AT_BORDER,
    scan=scan,
    prepare=prepare,
    write=write,
    finish=finish,
)
