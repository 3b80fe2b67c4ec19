"""`coco-instances`: one JSON file a split, with boxes, polygons and run-length masks in pixels.

Read: a segmentation that is an object is a mask, one with rings is a polygon, else there is a box. Crowd is what
`iscrowd` says. Written: a rotated box as the polygon of its corners, a polygon with a hole as a mask, what else has no
place as the box around it.
"""

from functools import partial

import numpy as np
import pyarrow as pa

from framehouse.annotations.schema import Kind
from framehouse.store.bundle import BundleWriter
from framehouse.store.issues import IssueLog
from framehouse.v1.annotation_pb2 import LabelSchema
from framehouse.v1.conversion_pb2 import Loss, SegmentationMode
from services.conversion import columns
from services.conversion.coco import files as coco_files
from services.conversion.coco import outlines as coco_outlines
from services.conversion.coco import planning as coco_planning
from services.conversion.coco import writing as coco_writing
from services.conversion.coco.records import read_records
from services.conversion.coco.shapes import read_shapes
from services.conversion.format import Format, Holds, LabelSource, Preparation, Rows, WriteHead
from services.conversion.losses import losses_of

TASK = "instances"
AROUND = "the upright box around it"
READS = frozenset({"image_id", "category_id", "id", "segmentation", "bbox", "area", "iscrowd", "score", "attributes"})


def read(source: LabelSource, issues: IssueLog) -> pa.Table:
    """Reads one part of the annotations of a file."""
    found = read_records(source, issues, READS)
    shapes = read_shapes(found)
    table = columns.annotations(found.image, **found.columns(), **shapes.columns)
    return table if shapes.usable.all() else table.filter(pa.array(shapes.usable))


def scan(images: pa.Table, annotations: pa.Table) -> dict[str, pa.Array]:
    """Which polygons have a hole."""
    return {"has_hole": pa.array(coco_outlines.with_holes(annotations))}


def prepare(images: pa.Table, annotations: pa.Table, labels: LabelSchema, head: WriteHead) -> Preparation:
    """Decides ids and places, and tells which shapes become others."""
    prepared = coco_writing.prepare(images, annotations, labels, head, coco_writing.kinds_of(FORMAT))
    prepared.losses.extend(shape_losses(annotations, head))
    return prepared


def shape_losses(annotations: pa.Table, head: WriteHead) -> list[Loss]:
    """What the segmentation mode, holes and cropping make of shapes."""
    mode, kinds = head.asked().coco.segmentation_mode, annotations["kind"].to_numpy()
    holed = annotations["has_hole"].to_numpy() & (not coco_writing.is_coco(head))
    if mode == SegmentationMode.SEGMENTATION_MODE_MASK:
        touched = (kinds == Kind.POLYGON) | (kinds == Kind.ROTATED_BOX)
        text = "written as the mask of its pixels, as was asked for"
        found = losses_of("SHAPE_RASTERISED", "polygon", annotations, touched, text)
    elif mode == SegmentationMode.SEGMENTATION_MODE_POLYGONS:
        text = "written as polygons around its parts, with holes filled, as was asked for"
        found = losses_of("MASK_OUTLINED", "mask", annotations, kinds == Kind.MASK, text)
        text = "written as its rings, which COCO takes for parts"
        found += losses_of("HOLE_FILLED", "polygon with a hole", annotations, holed, text)
    else:
        text = "written as the mask of its pixels, since a polygon of COCO has no holes"
        found = losses_of("SHAPE_RASTERISED", "polygon with a hole", annotations, holed, text)
    return found + crop_losses(annotations, head)


def crop_losses(annotations: pa.Table, head: WriteHead) -> list[Loss]:
    """What cropping makes of shapes."""
    if not head.asked().coco.crop_covered or not annotations.num_rows:
        return []
    order = np.nan_to_num(annotations["z_order"].to_numpy(zero_copy_only=False).astype(np.float64))
    image = annotations["image"].to_numpy()
    top = np.full(int(image.max()) + 1, -np.inf)
    np.maximum.at(top, image, order)
    below = np.isin(annotations["kind"].to_numpy(), coco_outlines.AREAS) & (order < top[image])
    text = "what others cover is cut off, as was asked for"
    return losses_of("SHAPE_CROPPED", "shape below another", annotations, below, text)


def write(rows: Rows, bundle: BundleWriter) -> None:
    """Pieces of the lists of images and annotations of each split's file."""
    write_objects(TASK, FORMAT, rows, rows.head.asked().coco.segmentation_mode, bundle)


def write_objects(task: str, format: Format, rows: Rows, mode: SegmentationMode, bundle: BundleWriter) -> None:
    """The pieces of a task whose records have a shape each."""
    annotations, detail = coco_writing.opened(rows, coco_writing.kinds_of(format))
    wanted = coco_outlines.Wanted(mode, rows.head.asked().coco.crop_covered, not coco_writing.is_coco(rows.head))
    annotations = coco_outlines.reshape(annotations, coco_writing.sizes(rows.images), wanted)
    texts = coco_writing.join(
        coco_writing.head_texts(annotations, rows.images),
        coco_writing.category_texts(annotations, detail),
        coco_writing.shape_texts(annotations),
        coco_writing.tail_texts(annotations),
    )
    coco_writing.write_pieces(task, rows, texts, annotations["image"], bundle)


FORMAT = Format(
    id="coco-instances",
    title="COCO instances",
    aliases=("coco",),  # to write; to read, it is the format of that id
    holds=Holds(
        kinds=frozenset({Kind.BOX, Kind.POLYGON, Kind.MASK}),
        fallbacks={
            Kind.ROTATED_BOX: "a polygon of its four corners",
            **dict.fromkeys((Kind.POLYLINE, Kind.POINTS, Kind.SKELETON, Kind.ELLIPSE, Kind.CUBOID), AROUND),
        },
        attributes=True,
        crowd=True,
        score=True,
    ),
    detect=partial(coco_files.detect, task=TASK),
    plan=partial(coco_planning.plan, task=TASK),
    read=read,
    default_split=coco_writing.DEFAULT_SPLIT,
    spelled_by=("coco",),
    columns=coco_writing.OBJECT_COLUMNS,
    plan_columns=("annotation_id", "z_order"),
    scan_columns=("kind", "rings"),
    scan=scan,
    image_columns=("source",),
    prepare=prepare,
    write=write,
    finish=partial(coco_writing.finish, TASK),
    layout="""images/<split>/<name>
annotations/instances_<split>.json""",
    notes=(
        "Boxes, areas, polygons and ids are kept as the file has them, and nothing is rounded.",
        "Crowd is what `iscrowd` says, whatever the encoding; masks of crowds are written as run lengths, others "
        "compressed.",
        "Datumaro reads a box beside each polygon and mask; here an object is one annotation, which has its box.",
        "A polygon of COCO is the sum of its rings: one with a ring within another is written as a mask, unless it was "
        "read from COCO.",
        "An archive with files of several tasks is read as `coco`; where this format is named, only the files of "
        "instances are read, and the others are told as FILE_OF_OTHER_TASK.",
    ),
    options=coco_writing.options("segmentation_mode", "reindex", "crop_covered"),
)
