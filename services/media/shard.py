"""One shard of an import: the images of a batch of the read plan, from their ranges in a pack to rows and previews.

Bytes are fetched one request ahead while images are decoded, and a few images are held at a time; those that an earlier
import looked at are taken as it left them. What a single image is, is said by `services.media.decode`.
"""

import zlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import cache
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from framehouse.annotations.plan import MEDIA_SCHEMA
from framehouse.runtime import jobs
from framehouse.runtime.config import settings
from framehouse.store.bucket import Bucket, MultipartWriter
from framehouse.store.frames import BatchFile, write_batches
from framehouse.store.issues import ERROR, INFO, IssueLog
from framehouse.store.packs import Entry, content_hash, read_entries
from framehouse.v1 import ingest_pb2, media_pb2
from services.media import contents
from services.media.contents import Known
from services.media.decode import Picture, is_expected, look
from services.media.findings import (
    Remark,
    Unusable,
    check_size,
    damaged_entry,
    extension_differs,
    missing,
    too_large,
)
from services.media.measuring import measure_shard

IN_FLIGHT = 4
"""Images of one shard that are with the decoders at once."""

Record = dict[str, Any]
"""A row of the plan, or one of MEDIA_SCHEMA, in which what is absent is null."""
Result = Picture | Known | Unusable
"""What an image is, or why it cannot be used."""


class Looked(NamedTuple):
    """What became of an image."""

    row: int
    entry: Entry
    hash: str
    result: Result


def nothing_known(request: ingest_pb2.LookUpContentsRequest) -> ingest_pb2.LookUpContentsResponse:
    """The answer of an ingest that never saw an image."""
    return ingest_pb2.LookUpContentsResponse()


def not_recorded(request: ingest_pb2.RecordContentsRequest) -> None:
    """Forgets what was found out."""


@cache
def decoders() -> ThreadPoolExecutor:
    """The threads that decode, for all shards of this process; Pillow works without the interpreter's lock."""
    return ThreadPoolExecutor(settings().concurrent_activities, thread_name_prefix="decode")


def process_shard(
    bucket: Bucket,
    request: media_pb2.ProcessShardRequest,
    look_up: Callable[[ingest_pb2.LookUpContentsRequest], ingest_pb2.LookUpContentsResponse] = nothing_known,
    record: Callable[[ingest_pb2.RecordContentsRequest], object] = not_recorded,
) -> media_pb2.ProcessShardResponse:
    """What `MediaService.ProcessShard` promises. `look_up` and `record` are ingest's, which knows earlier imports."""
    plan = BatchFile(bucket, request.plan_key).batch(request.shard)
    if plan["object"].null_count == plan.num_rows:
        return _without_bytes(bucket, plan, request)
    if request.depth == media_pb2.MEDIA_DEPTH_HEADER:
        return _headers_alone(bucket, plan, request)
    records: list[Record] = plan.to_pylist()
    log = IssueLog()
    rows: list[Record] = [{"usable": False} for _ in records]
    wanted = _wanted(records, rows, log)
    known = contents.look_up(look_up, [records[i] for i in wanted], request.max_side, request.derived_key)
    found: list[ingest_pb2.Content] = []
    byte_count = 0
    with ExitStack() as stack:
        derived = _Derived(bucket, contents.derived_key(request.derived_key, known), stack)
        for done, (i, entry, digest, result) in enumerate(_looks(bucket, plan, wanted, known, request), 1):
            jobs.report(done)
            byte_count += len(entry.data)
            if isinstance(result, Unusable):
                _refuse(log, records[i], result)
                continue
            if isinstance(result, Picture):
                row = _row(records[i], entry, result, digest)
                derived.keep(result, row)
                found.append(contents.content(row, result.remarks))
            else:
                row = dict(result.row)
            _remark(log, _name(records[i]), row["format"], result.remarks)
            if request.drop_originals and row.get("normalised"):
                row["original"] = None
            rows[i] = row
    write_batches(bucket, request.output_key, MEDIA_SCHEMA, [pa.RecordBatch.from_pylist(rows, schema=MEDIA_SCHEMA)])
    contents.record(record, found, request.max_side)
    return media_pb2.ProcessShardResponse(
        image_count=sum(row["usable"] for row in rows),
        byte_count=byte_count,
        issues=log.save(bucket, request.output_key),
    )


def _without_bytes(
    bucket: Bucket, plan: pa.RecordBatch, request: media_pb2.ProcessShardRequest
) -> media_pb2.ProcessShardResponse:
    """A shard of images that the archive has labels for and no bytes: whatever their number, there is little to do."""
    log = IssueLog()
    usable = pc.and_(plan["width"].is_valid(), plan["height"].is_valid())
    for record in plan.select(["entry_path", "path"]).filter(pc.invert(usable)).to_pylist():
        _refuse(log, record, missing())
    columns = [usable, *(pa.nulls(plan.num_rows, field.type) for field in list(MEDIA_SCHEMA)[1:])]
    write_batches(bucket, request.output_key, MEDIA_SCHEMA, [pa.RecordBatch.from_arrays(columns, schema=MEDIA_SCHEMA)])
    return media_pb2.ProcessShardResponse(
        image_count=pc.sum(usable).as_py() or 0, issues=log.save(bucket, request.output_key)
    )


def _headers_alone(
    bucket: Bucket, plan: pa.RecordBatch, request: media_pb2.ProcessShardRequest
) -> media_pb2.ProcessShardResponse:
    """A shard of images of which only the sizes are asked for."""
    log = IssueLog()
    batch, byte_count = measure_shard(bucket, plan, request.min_side, log)
    write_batches(bucket, request.output_key, MEDIA_SCHEMA, [batch])
    return media_pb2.ProcessShardResponse(
        image_count=pc.sum(batch["usable"]).as_py() or 0,
        byte_count=byte_count,
        issues=log.save(bucket, request.output_key),
    )


def _refuse(log: IssueLog, record: Record, refusal: Unusable) -> None:
    log.add(refusal.code, ERROR, _name(record), refusal.message, refusal.remedy)


def _wanted(records: list[Record], rows: list[Record], log: IssueLog) -> list[int]:
    """The rows whose bytes are to be read; of the others `rows` and `log` say all there is to say."""
    wanted = []
    for i, record in enumerate(records):
        if record["object"] is None:
            rows[i]["usable"] = record["width"] is not None and record["height"] is not None
            if not rows[i]["usable"]:
                _refuse(log, record, missing())
        elif record["size"] > settings().max_image_bytes:
            _refuse(log, record, too_large(record["size"]))
        else:
            wanted.append(i)
    return wanted


def _looks(
    bucket: Bucket,
    plan: pa.RecordBatch,
    wanted: list[int],
    known: dict[str, Known],
    request: media_pb2.ProcessShardRequest,
) -> Iterator[Looked]:
    """What becomes of each wanted row, in the order in which the images lie in the archive."""

    def examine(data: bytes) -> Result:
        try:
            return look(data, min_side=request.min_side, preview=True, max_side=request.max_side)
        except Unusable as refusal:
            return refusal

    def begin(entry: Entry, digest: str) -> Result | Future[Result]:
        if entry.damage:
            return damaged_entry(entry.damage)
        if digest not in known:
            return decoders().submit(examine, entry.data)
        row = known[digest].row
        try:
            check_size(row["width"], row["height"], request.min_side)
        except Unusable as refusal:
            return refusal
        return known[digest]

    under_way: deque[tuple[int, Entry, str, Result | Future[Result]]] = deque()

    def first() -> Looked:
        i, entry, digest, result = under_way.popleft()
        return Looked(i, entry, digest, result.result() if isinstance(result, Future) else result)

    try:
        for k, entry in read_entries(bucket, plan.take(pa.array(wanted, pa.int64()))):
            digest = content_hash(entry.data)
            under_way.append((wanted[k], entry, digest, begin(entry, digest)))
            if len(under_way) == IN_FLIGHT:
                yield first()
        while under_way:
            yield first()
    finally:
        for _, _, _, result in under_way:
            if isinstance(result, Future):
                result.cancel()


class _Derived:
    """The object that previews and normalised images go to, one after the other; none where there are none."""

    def __init__(self, bucket: Bucket, key: str, stack: ExitStack) -> None:
        self._bucket = bucket
        self._key = key
        self._stack = stack
        self._writer: MultipartWriter | None = None

    def keep(self, picture: Picture, row: Record) -> None:
        """Writes what was made of a picture, and says in its row where."""
        if picture.preview is not None:
            row["preview"] = self._write(picture.preview)
        if (form := picture.normalised) is not None:
            facts = {"width": form.width, "height": form.height, "format": form.format}
            row["normalised"] = self._write(form.data) | facts

    def _write(self, data: bytes) -> Record:
        if self._writer is None:
            self._writer = self._stack.enter_context(self._bucket.writer(self._key))
        offset, size = self._writer.position, len(data)
        self._writer.write(data)
        return {
            "object": self._key,
            "offset": offset,
            "stored_size": size,
            "size": size,
            "method": 0,
            "crc32": zlib.crc32(data),
        }


def _row(record: Record, entry: Entry, picture: Picture, digest: str) -> Record:
    original = {name: record[name] for name in ("object", "stored_size", "size", "method")}
    return {
        "usable": True,
        "hash": digest,
        "format": picture.format,
        "width": picture.width,
        "height": picture.height,
        "bytes": len(entry.data),
        "orientation": picture.orientation,
        "look": picture.look,
        "original": {**original, "offset": entry.data_offset, "crc32": entry.crc32},
    }


def _remark(log: IssueLog, path: str, format: str, remarks: tuple[Remark, ...]) -> None:
    """Notes what is odd about an image that was used all the same."""
    if not is_expected(path, format):
        remarks = (extension_differs(format), *remarks)
    for remark in remarks:
        log.add(remark.code, INFO, path, remark.message, remark.remedy)


def _name(record: Record) -> str:
    """The image's path in the archive, or in the labels where the archive does not hold it."""
    return str(record["entry_path"] or record["path"])
