"""`coco-image-info`: one JSON file a split, with images and nothing about what is on them, as COCO's test splits."""

from functools import partial

import pyarrow as pa

from framehouse.annotations.schema import ANNOTATION_SCHEMA
from framehouse.store.bundle import BundleWriter
from framehouse.store.issues import INFO, IssueLog
from services.conversion.archive import Archive
from services.conversion.coco import files as coco_files
from services.conversion.coco import planning as coco_planning
from services.conversion.coco import writing as coco_writing
from services.conversion.coco.files import File
from services.conversion.format import Format, Holds, LabelSource, ReadPlan, Rows
from services.conversion.unpacked import fetch

TASK = "image_info"
BEGINNING = 1 << 10


def plan(archive: Archive, issues: IssueLog) -> ReadPlan:
    """Finds files, images and categories; annotations are told and left alone."""
    files = coco_files.find_files(archive, TASK, issues)
    for file in files:
        leave_annotations(archive, file, issues)
    return coco_planning.plan_files(archive, files, issues)


def leave_annotations(archive: Archive, file: File, issues: IssueLog) -> None:
    """Takes a file's annotations for none, and tells where there are any."""
    span = file.outline.members.pop("annotations", None)
    if span is None:
        return
    length = min(BEGINNING, span.end - span.start - 1)
    if fetch(archive.bucket, file.key, file.offset + span.start + 1, length).lstrip()[:1] == b"{":
        text = "the file has annotations, which this format does not hold; they were not read"
        issues.add("FIELDS_NOT_READ", INFO, file.path, text, "import the file as the format of its task", span.line)


def read(source: LabelSource, issues: IssueLog) -> pa.Table:
    """There is nothing to read; a plan without parts asks for nothing."""
    return ANNOTATION_SCHEMA.empty_table()


def write(rows: Rows, bundle: BundleWriter) -> None:
    """Pieces of the lists of images of each split's file."""
    nothing = pa.array([], pa.string())
    coco_writing.write_pieces(TASK, rows, nothing, pa.chunked_array([pa.array([], pa.int64())]), bundle)


FORMAT = Format(
    id="coco-image-info",
    title="COCO image information",
    holds=Holds(kinds=frozenset()),
    detect=partial(coco_files.detect, task=TASK),
    plan=plan,
    read=read,
    default_split=coco_writing.DEFAULT_SPLIT,
    spelled_by=("coco",),
    columns=("kind",),
    plan_columns=("annotation_id",),
    image_columns=("source",),
    prepare=partial(coco_writing.prepare, kinds=[]),
    write=write,
    finish=partial(coco_writing.finish, TASK),
    layout="""images/<split>/<name>
annotations/image_info_<split>.json""",
    options=coco_writing.options(),
)
