"""`coco-stuff`: one JSON file a split, with run-length masks of regions. Files are read as those of instances are."""

from functools import partial

import msgspec
import pyarrow as pa

from framehouse.annotations.schema import Kind
from framehouse.store.bundle import BundleWriter
from framehouse.store.issues import IssueLog
from framehouse.v1.annotation_pb2 import LabelSchema
from framehouse.v1.conversion_pb2 import SegmentationMode
from services.conversion.archive import Archive
from services.conversion.coco import files as coco_files
from services.conversion.coco import planning as coco_planning
from services.conversion.coco import writing as coco_writing
from services.conversion.coco.pixelmaps import read_pixelmaps, with_pixelmaps
from services.conversion.format import Format, Holds, LabelSource, Preparation, ReadPlan, Rows, WriteHead
from services.conversion.formats import coco_instances

TASK = "stuff"
FILLED = "the mask of its pixels"


def plan(archive: Archive, issues: IssueLog) -> ReadPlan:
    """Finds files, images, categories, parts, and pixelmaps where they alone say what is there."""
    files = coco_files.find_files(archive, TASK, issues)
    return with_pixelmaps(archive, files, coco_planning.plan_files(archive, files, issues))


def read(source: LabelSource, issues: IssueLog) -> pa.Table:
    """Reads one part of the annotations of a file, or of its pixelmaps."""
    assert source.part is not None
    detail = msgspec.json.decode(source.part.detail, type=coco_planning.Detail)
    return read_pixelmaps(source, issues) if detail.rasters else coco_instances.read(source, issues)


def prepare(images: pa.Table, annotations: pa.Table, labels: LabelSchema, head: WriteHead) -> Preparation:
    """Decides ids and places, and tells which shapes are cut."""
    prepared = coco_writing.prepare(images, annotations, labels, head, coco_writing.kinds_of(FORMAT))
    prepared.losses.extend(coco_instances.crop_losses(annotations, head))
    return prepared


def write(rows: Rows, bundle: BundleWriter) -> None:
    """Pieces of the lists of images and annotations of each split's file."""
    mode = SegmentationMode.SEGMENTATION_MODE_MASK
    coco_instances.write_objects(TASK, FORMAT, rows, mode, bundle)


FORMAT = Format(
    id="coco-stuff",
    title="COCO stuff",
    holds=Holds(
        kinds=frozenset({Kind.MASK}),
        fallbacks={Kind.POLYGON: FILLED, Kind.ROTATED_BOX: FILLED},
        attributes=True,
        crowd=True,
        score=True,
    ),
    detect=partial(coco_files.detect, task=TASK),
    plan=plan,
    read=read,
    default_split=coco_writing.DEFAULT_SPLIT,
    spelled_by=("coco",),
    columns=coco_writing.OBJECT_COLUMNS,
    plan_columns=("annotation_id", "z_order"),
    image_columns=("source",),
    prepare=prepare,
    write=write,
    finish=partial(coco_writing.finish, TASK),
    layout="""images/<split>/<name>
annotations/stuff_<split>.json
annotations/stuff_<split>_pixelmaps/<name>.png     read where the JSON file has no annotations""",
    notes=(
        "Masks are read from the JSON file. The PNG files of `stuff_<split>_pixelmaps/`, whose pixels are ids of "
        "categories, say the same and are not written; they are read where the JSON file has no annotations.",
        "Boxes and areas are kept as the file has them.",
        "A polygon of an image whose size nobody knows stays a polygon.",
    ),
    options=coco_writing.options("reindex", "crop_covered"),
)
