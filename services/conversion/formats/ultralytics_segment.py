"""`ultralytics-segment`: one text file an image, a line a polygon: `class x1 y1 x2 y2 …`, relative to the image.

A line has one ring. Several rings are joined by bridges of no width, and the outline of a mask is taken along the edges
of its pixels. Rows of five numbers among the polygons are boxes, and read as such: Ultralytics itself empties a file
that mixes both.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from framehouse.annotations import geometry
from framehouse.annotations.geometry import Integers, Rings
from framehouse.annotations.schema import Kind
from framehouse.store.bundle import BundleWriter
from framehouse.store.issues import IssueLog
from framehouse.v1.annotation_pb2 import LabelSchema
from services.conversion.archive import Archive
from services.conversion.bridges import joined
from services.conversion.format import Candidate, Format, Holds, LabelSource, Preparation, ReadPlan, Rows, WriteHead
from services.conversion.shapes import mask_rings
from services.conversion.ultralytics import finding as ultralytics_finding
from services.conversion.ultralytics import rows as ultralytics_rows
from services.conversion.ultralytics import task as ultralytics_task
from services.conversion.ultralytics import writing as ultralytics_writing

CORNERS = "a polygon of the four corners of the upright box around it"
ELLIPSE_POINTS = 36


def detect(archive: Archive) -> Candidate | None:
    """A data.yaml, and label files with rows of seven numbers or more."""
    return ultralytics_task.detect(archive, "segment")


def plan(archive: Archive, issues: IssueLog) -> ReadPlan:
    """Finds images and label files by data.yaml."""
    return ultralytics_task.plan(archive, FORMAT.id, issues)


def read(source: LabelSource, issues: IssueLog) -> pa.Table:
    """Rows of seven numbers or more (odd) are polygons, of five boxes, of six boxes with a score."""
    return ultralytics_rows.boxes_and_polygons(source, ultralytics_finding.read_rows(source, issues), issues)


def scan(images: pa.Table, annotations: pa.Table) -> dict[str, pa.Array]:
    """What is lost at the borders of images, and which polygons have several rings."""
    written = [*FORMAT.holds.kinds, *FORMAT.holds.fallbacks]
    lost = ultralytics_writing.at_borders(images, annotations, written, flat=written)
    several = (annotations["kind"].to_numpy() == Kind.POLYGON) & (geometry.lengths(annotations["rings"]) > 1)
    return lost | {"is_several": pa.array(several)}


def prepare(images: pa.Table, annotations: pa.Table, labels: LabelSchema, head: WriteHead) -> Preparation:
    """Decides the names of the label files, and counts what will be joined, cut or cannot be written."""
    columns, losses = ultralytics_writing.names(images)
    losses += ultralytics_writing.border_losses(annotations)
    several = annotations["is_several"].to_numpy()
    if several.any():
        text = "joined into one by bridges of no width"
        losses.append(ultralytics_writing.loss("RINGS_JOINED", "polygons of several rings", several, text))
    return Preparation(columns, losses)


def write(rows: Rows, bundle: BundleWriter) -> None:
    """One ring a line, cut at the border of its image."""
    annotations = rows.annotations
    size = ultralytics_writing.sizes(rows.images)[annotations["image"].to_numpy()]
    written = (annotations["label"].to_numpy() >= 0) & ~np.isnan(size).any(axis=1)
    annotations, size = annotations.filter(pa.array(written)), size[written]
    rings = joined(geometry.clip_rings(_rings(annotations), size))
    counts = np.diff(rings.offsets)
    values = rings.values / np.repeat(size[rings.owner], counts // 2, axis=0).reshape(-1)
    owner = rings.owner
    image, classes = annotations["image"].to_numpy()[owner], annotations["label"].to_numpy()[owner]
    ultralytics_writing.write(rows.images, image, classes, values, counts, bundle)


def _rings(annotations: pa.Table) -> Rings:
    """The rings that the annotations are written as, in their order."""
    kinds = annotations["kind"].to_numpy()
    parts = [_taken(geometry.open_rings(annotations["rings"]), kinds == Kind.POLYGON), mask_rings(annotations)]
    boxes = geometry.boxes(annotations["bbox"])
    angle = pc.fill_null(annotations["rotation"], 0).to_numpy()
    angle = np.where(np.isin(kinds, [Kind.ROTATED_BOX, Kind.ELLIPSE]), angle, 0)
    others = [Kind.POLYGON, Kind.MASK, Kind.ELLIPSE, Kind.TAG, Kind.CAPTION, Kind.CUBOID_3D]
    framed = np.flatnonzero(~np.isin(kinds, others) & ~np.isnan(boxes).any(axis=1))
    corners = geometry.corner_rings(geometry.corners(boxes[framed], angle[framed]))
    parts.append(corners._replace(owner=framed[corners.owner]))
    round_ones = np.flatnonzero((kinds == Kind.ELLIPSE) & ~np.isnan(boxes).any(axis=1))
    around = geometry.corner_rings(_ellipses(boxes[round_ones], angle[round_ones]))
    parts.append(around._replace(owner=round_ones[around.owner]))
    return _in_order(parts)


def _taken(rings: Rings, wanted: NDArray[np.bool_]) -> Rings:
    """The rings of the annotations that are wanted."""
    mine = wanted[rings.owner]
    if mine.all():
        return rings
    sizes = np.diff(rings.offsets)
    return Rings(rings.values[np.repeat(mine, sizes)], geometry.starts(sizes[mine]), rings.owner[mine])


def _in_order(parts: list[Rings]) -> Rings:
    """Rings of several sources, in the order of the annotations that they belong to."""
    parts = [part for part in parts if len(part.owner)] or parts[:1]
    if len(parts) == 1:
        return parts[0]
    owner: Integers = np.concatenate([part.owner for part in parts])
    sizes: Integers = np.concatenate([np.diff(part.offsets) for part in parts])
    begins = geometry.starts(sizes)[:-1]
    order = np.argsort(owner, kind="stable")
    values = np.concatenate([part.values for part in parts])[geometry.spread(begins[order], sizes[order])]
    return Rings(values, geometry.starts(sizes[order]), owner[order])


def _ellipses(boxes: geometry.Floats, degrees: geometry.Floats) -> geometry.Floats:
    """Points (n, k, 2) on the ellipses in turned boxes."""
    angle = np.linspace(0, 2 * np.pi, ELLIPSE_POINTS, endpoint=False)
    x = boxes[:, 2:3] / 2 * np.cos(angle)
    y = boxes[:, 3:4] / 2 * np.sin(angle)
    turn = np.deg2rad(degrees)[:, None]
    centre = boxes[:, :2] + boxes[:, 2:] / 2
    turned = np.stack([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)], axis=2)
    return turned + centre[:, None]


def finish(labels: LabelSchema, head: WriteHead, bundle: BundleWriter) -> None:
    """Writes data.yaml."""
    ultralytics_writing.finish(labels, head, bundle, {})


FORMAT = Format(
    id="ultralytics-segment",
    title="Ultralytics YOLO segmentation",
    aliases=("yolo-segment", "yolov8-seg", "yolo-seg"),
    holds=Holds(
        kinds=frozenset({Kind.POLYGON}),
        fallbacks={
            Kind.MASK: "a polygon along the edges of its pixels, its parts and holes joined by bridges of no width",
            Kind.BOX: "a polygon of its four corners",
            Kind.ROTATED_BOX: "a polygon of its four corners",
            Kind.ELLIPSE: f"a polygon of {ELLIPSE_POINTS} points",
            **dict.fromkeys((Kind.POLYLINE, Kind.POINTS, Kind.SKELETON, Kind.CUBOID), CORNERS),
        },
    ),
    detect=detect,
    plan=plan,
    read=read,
    default_split=ultralytics_writing.DEFAULT_SPLIT,
    columns=("kind", "label", "bbox", "rotation", "rings", "rle", "rle_size"),
    plan_columns=(),
    scan_columns=(*ultralytics_writing.AT_BORDER, "rings"),
    scan=scan,
    prepare=prepare,
    write=write,
    finish=finish,
    layout=ultralytics_writing.LAYOUT,
    notes=(
        "Coordinates are relative to the upright image and written with six decimals: 0.004 pixels in 4096.",
        "A line has one ring; several rings, and holes, are joined by bridges of no width and told.",
        "Rows of five numbers among the polygons are read as boxes; Ultralytics itself takes no boxes beside polygons.",
    ),
)
