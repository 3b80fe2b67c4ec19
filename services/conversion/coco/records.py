"""COCO's annotation records: a part of a file is split into fields, and the fields that all tasks share become columns.

msgspec splits records into fields without looking into the large ones, which stay text; those go from text to columns
at once (`coco_shapes`). What is no annotation of a known image and category becomes an issue.
"""

import json
import math
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from framehouse.annotations.geometry import Integers
from framehouse.annotations.schema import Flag
from framehouse.store.issues import ERROR, INFO, IssueLog
from framehouse.v1.annotation_pb2 import Severity
from services.conversion.coco.planning import Detail, open_lookup
from services.conversion.format import LabelSource
from services.conversion.json_outline import elements
from services.conversion.json_problems import UNREADABLE, Problems, is_text, reason_of
from services.conversion.unpacked import fetch

Raw = msgspec.Raw


class Record(msgspec.Struct, gc=False):
    """An annotation, its large fields as text."""

    image_id: int | str | None = None
    category_id: int | str | None = None
    id: int | str | None = None
    segmentation: Raw = Raw()
    bbox: Raw = Raw()
    area: float | None = None
    iscrowd: int | bool | None = None
    score: float | None = None
    attributes: Raw = Raw()
    keypoints: Raw = Raw()
    caption: Raw = Raw()
    file_name: Raw = Raw()
    segments_info: Raw = Raw()


RECORDS = msgspec.json.Decoder(list[Record])
RECORD = msgspec.json.Decoder(Record)


@dataclass(frozen=True)
class Records:
    """The usable annotations of a part."""

    records: list[Record]
    position: Integers
    """Element of the part that each is."""
    image: Integers
    """Row in the plan."""
    label: Integers
    """-1 for none."""
    offset: int
    """Of the part in its object."""
    problems: Problems
    wants_rings: bool
    """Whether rings are wanted; else they are only read where a box has to be made of them."""
    wants_masks: bool
    """Likewise."""

    def __len__(self) -> int:
        return len(self.records)

    def add(self, code: str, severity: Severity, at: int, text: str, remedy: str) -> None:
        """Notes an issue of one annotation."""
        self.problems.add(code, severity, int(self.position[at]), text, remedy)

    def columns(self) -> dict[str, Any]:
        """The annotation columns that records of all tasks have."""
        records = self.records
        texts = [record.attributes for record in records]
        return {
            "annotation_id": self._ids(),
            "label": self.label,
            "flags": np.array([int(Flag.CROWD) if record.iscrowd else 0 for record in records], np.int32),
            "score": pa.array([record.score for record in records], pa.float64()),
            "area": pa.array([record.area for record in records], pa.float64()),
            "attributes": pa.array(map(attributes_text, texts), pa.string()) if any(map(len, texts)) else None,
        }

    def _ids(self) -> Integers:
        """Ids of the annotations; those that have no number get one that no other of the file gets."""
        ids = [record.id for record in self.records]
        with suppress(pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
            known = pa.array(ids, pa.int64())
            if not known.null_count:
                return np.asarray(known)
        return np.array([number if _is_id(number) else self.offset + i for i, number in enumerate(ids)], np.int64)


def read_records(source: LabelSource, issues: IssueLog, reads: frozenset[str]) -> Records:
    """The annotations of a part. `reads` are the fields that the task reads; without `category_id` they may be of no
    class.
    """
    part = source.part
    assert part is not None
    detail = msgspec.json.decode(part.detail, type=Detail)
    lookup = open_lookup(source, detail.lookup)
    data = fetch(source.bucket, part.key, part.offset, part.length)
    problems = Problems(part.path, data, detail.line, issues)
    element: list[int] | None = None
    records: list[Record] = []
    with suppress(*UNREADABLE):
        records = RECORDS.decode(b"[" + data + b"]") if is_text(data) else []
    if not records:
        records, element = _decode_each(data, problems)
    position = np.arange(len(records)) if element is None else np.array(element, np.int64)
    _tell_unread(data, part.path, reads, issues)

    image = lookup.images([record.image_id for record in records])
    for i in np.flatnonzero(image < 0).tolist():
        text = f"annotation {records[i].id} is of image {records[i].image_id}, which the file does not have"
        problems.add("ANNOTATION_WITHOUT_IMAGE", ERROR, position[i], text, "add the image to `images`, or remove it")
    kept = image >= 0
    if "category_id" in reads:
        label = lookup.classes([record.category_id for record in records])
        for i in np.flatnonzero(kept & (label < 0)).tolist():
            text = f"annotation {records[i].id} is of category {records[i].category_id}, which the file does not have"
            remedy = "add the category to `categories`, or correct it"
            problems.add("LABEL_CLASS_UNKNOWN", ERROR, position[i], text, remedy)
        kept &= label >= 0
    else:
        label = np.full(len(records), -1)
    if not kept.all():
        at = np.flatnonzero(kept)
        records = [records[i] for i in at.tolist()]
        position, image, label = position[at], image[at], label[at]
    wants_rings, wants_masks = source.wants("rings"), source.wants("rle")
    return Records(records, position, image, label, part.offset, problems, wants_rings, wants_masks)


def _is_id(number: Any) -> bool:
    return isinstance(number, int) and abs(number) < 1 << 63


def _decode_each(data: bytes, problems: Problems) -> tuple[list[Record], list[int]]:
    """Decodes the elements of a part one by one, where not all are as they should be."""
    records, element = [], []
    for i, (start, end) in enumerate(elements(data)):
        text = data[start:end]
        try:
            if not is_text(text):
                raise msgspec.DecodeError("it is no UTF-8 text")
            records.append(RECORD.decode(text))
            element.append(i)
        except UNREADABLE as error:
            try:
                # Python writes NaN, and whole numbers with a point; both can be mended.
                loose = json.loads(text)
                records.append(msgspec.json.decode(msgspec.json.encode(_mended(loose)), type=Record))
                element.append(i)
            except (ValueError, RecursionError):
                what = f"the annotation cannot be read: {reason_of(error)}"
                problems.add("ANNOTATION_INVALID", ERROR, i, what, "correct or remove the annotation")
    return records, element


def _mended(value: Any) -> Any:
    """A decoded annotation with null for what is no number, and whole ids."""
    if isinstance(value, dict):
        ids = {key: int(item) for key, item in value.items() if key.endswith("id") and _is_whole(item)}
        return {key: _mended(item) for key, item in value.items()} | ids
    if isinstance(value, list):
        return [_mended(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _is_whole(value: Any) -> bool:
    return isinstance(value, float) and value.is_integer()


def _tell_unread(data: bytes, path: str, reads: frozenset[str], issues: IssueLog) -> None:
    """Says which fields this format does not read, going by the first element of a part."""
    first = next(iter(elements(data[: 1 << 20])), None)
    try:
        fields = msgspec.json.decode(data[slice(*first)], type=dict[str, Raw]) if first else {}
    except UNREADABLE:
        return
    if unread := sorted(field for field in set(fields) - reads if bytes(fields[field]) not in EMPTY):
        text = f"fields of annotations that this format does not hold were not read: {', '.join(unread)[:200]}"
        issues.add("FIELDS_NOT_READ", INFO, path, text, "import the file as the format of its task")


EMPTY = (b"null", b"[]", b"{}", b"0", b'""')
"""Values of which nobody misses anything."""


def attributes_text(raw: Raw) -> str | None:
    """A JSON object in its shortest form; None for an empty one and for anything else."""
    text = bytes(raw)
    if not text.startswith(b"{"):
        return None
    text = msgspec.json.format(text, indent=-1) if b"\n" in text or b" " in text else text
    return text.decode() if text != b"{}" else None
