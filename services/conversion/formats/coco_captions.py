"""`coco-captions`: one JSON file a split, with texts about whole images."""

from functools import partial

import msgspec
import numpy as np
import pyarrow as pa

from framehouse.annotations.schema import Kind
from framehouse.store.bundle import BundleWriter
from framehouse.store.issues import ERROR, IssueLog
from services.conversion import columns
from services.conversion.coco import files as coco_files
from services.conversion.coco import planning as coco_planning
from services.conversion.coco import writing as coco_writing
from services.conversion.coco.records import Records, read_records
from services.conversion.format import Format, Holds, LabelSource, Rows

TASK = "captions"
READS = frozenset({"image_id", "id", "caption", "score", "attributes"})


def read(source: LabelSource, issues: IssueLog) -> pa.Table:
    """Reads one part of the captions of a file."""
    found = read_records(source, issues, READS)
    texts = _texts(found)
    given = found.columns() | {"area": None, "flags": np.zeros(len(found), np.int32)}
    table = columns.annotations(found.image, **given, kind=np.full(len(found), int(Kind.CAPTION)), text=texts)
    return table.filter(texts.is_valid())


def _texts(found: Records) -> pa.Array:
    """The captions; null for one that is no text, which is told."""
    given = [bytes(record.caption) for record in found.records]
    texts: list[str | None]
    try:
        texts = list(msgspec.json.decode(b"[" + b",".join(given) + b"]", type=list[str]))
        if len(texts) < len(given):
            raise msgspec.ValidationError("a caption is missing")
    except msgspec.DecodeError:
        texts = []
        for i, text in enumerate(given):
            try:
                texts.append(msgspec.json.decode(text, type=str))
            except msgspec.DecodeError:
                texts.append(None)
                what = f"annotation {found.records[i].id} has no caption that is a text"
                found.add("CAPTION_MISSING", ERROR, i, what, "correct or remove the annotation")
    return pa.array(texts, pa.string())


def write(rows: Rows, bundle: BundleWriter) -> None:
    """Pieces of the lists of images and captions of each split's file."""
    annotations, _ = coco_writing.opened(rows, [Kind.CAPTION])
    texts = [msgspec.json.encode(text or "").decode() for text in annotations["text"].to_pylist()]
    records = coco_writing.join(
        coco_writing.head_texts(annotations, rows.images),
        # Of none; without the member pycocotools does not load a file that lists categories.
        ',"category_id":0,"caption":' if rows.labels.labels else ',"caption":',
        pa.array(texts, pa.string()),
        coco_writing.tail_texts(annotations),
    )
    coco_writing.write_pieces(TASK, rows, records, annotations["image"], bundle)


FORMAT = Format(
    id="coco-captions",
    title="COCO captions",
    holds=Holds(kinds=frozenset({Kind.CAPTION}), attributes=True, score=True, unlabelled=True),
    detect=partial(coco_files.detect, task=TASK),
    plan=partial(coco_planning.plan, task=TASK),
    read=read,
    default_split=coco_writing.DEFAULT_SPLIT,
    spelled_by=("coco",),
    columns=("annotation_id", "kind", "label", "text", "score", "attributes"),
    plan_columns=("annotation_id",),
    image_columns=("source",),
    prepare=partial(coco_writing.prepare, kinds=[Kind.CAPTION]),
    write=write,
    finish=partial(coco_writing.finish, TASK),
    layout="""images/<split>/<name>
annotations/captions_<split>.json""",
    notes=("Captions are of no class: a `category_id`, which some tools write, is not read.",),
    options=coco_writing.options("reindex"),
)
