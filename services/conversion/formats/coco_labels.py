"""`coco-labels`: one JSON file a split, with the classes of whole images. Datumaro's extension of COCO."""

from functools import partial

import numpy as np
import pyarrow as pa

from framehouse.annotations.schema import Kind
from framehouse.store.bundle import BundleWriter
from framehouse.store.issues import IssueLog
from services.conversion import columns
from services.conversion.coco import files as coco_files
from services.conversion.coco import planning as coco_planning
from services.conversion.coco import writing as coco_writing
from services.conversion.coco.records import read_records
from services.conversion.format import Format, Holds, LabelSource, Rows

TASK = "labels"
READS = frozenset({"image_id", "category_id", "id", "score", "attributes"})


def read(source: LabelSource, issues: IssueLog) -> pa.Table:
    """Reads one part of the annotations of a file."""
    found = read_records(source, issues, READS)
    given = found.columns() | {"area": None, "flags": np.zeros(len(found), np.int32)}
    return columns.annotations(found.image, **given, kind=np.full(len(found), int(Kind.TAG)))


def write(rows: Rows, bundle: BundleWriter) -> None:
    """Pieces of the lists of images and tags of each split's file."""
    annotations, detail = coco_writing.opened(rows, [Kind.TAG])
    records = coco_writing.join(
        coco_writing.head_texts(annotations, rows.images),
        coco_writing.category_texts(annotations, detail),
        coco_writing.tail_texts(annotations),
    )
    coco_writing.write_pieces(TASK, rows, records, annotations["image"], bundle)


FORMAT = Format(
    id="coco-labels",
    title="COCO labels",
    holds=Holds(kinds=frozenset({Kind.TAG}), attributes=True, score=True),
    detect=partial(coco_files.detect, task=TASK),
    plan=partial(coco_planning.plan, task=TASK),
    read=read,
    default_split=coco_writing.DEFAULT_SPLIT,
    spelled_by=("coco",),
    columns=("annotation_id", "kind", "label", "score", "attributes"),
    plan_columns=("annotation_id",),
    image_columns=("source",),
    prepare=partial(coco_writing.prepare, kinds=[Kind.TAG]),
    write=write,
    finish=partial(coco_writing.finish, TASK),
    layout="""images/<split>/<name>
annotations/labels_<split>.json""",
    options=coco_writing.options("reindex"),
)
