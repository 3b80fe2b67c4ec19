"""One shard of an import: the images of a batch of the read plan, from their ranges in a pack to rows and previews.

Bytes are fetched one request ahead while images are decoded, and a few images are held at a time. What a single image
is, is said by `services.media.decode`.
"""

import zlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import cache
from typing import Any

import pyarrow as pa

from framehouse.annotations.plan import MEDIA_SCHEMA
from framehouse.runtime import jobs
from framehouse.runtime.config import settings
from framehouse.store.bucket import Bucket
from framehouse.store.frames import BatchFile, write_batches
from framehouse.store.issues import ERROR, INFO, IssueLog
from framehouse.store.packs import Entry, content_hash, read_entries
from framehouse.v1 import media_pb2
from services.media.decode import Picture, Unusable, is_expected, look, too_large

IN_FLIGHT = 4
"""Images of one shard that are with the decoders at once."""

Record = dict[str, Any]
"""A row of the plan, or one of MEDIA_SCHEMA, in which what is absent is null."""
Result = tuple[Picture, str] | Unusable
"""What an image is, and its hash; or why it cannot be used."""


@cache
def decoders() -> ThreadPoolExecutor:
    """The threads that decode, for all shards of this process; Pillow works without the interpreter's lock."""
    return ThreadPoolExecutor(settings().concurrent_activities, thread_name_prefix="decode")


def process_shard(bucket: Bucket, request: media_pb2.ProcessShardRequest) -> media_pb2.ProcessShardResponse:
    """What `MediaService.ProcessShard` promises."""
    plan = BatchFile(bucket, request.plan_key).batch(request.shard)
    records: list[Record] = plan.to_pylist()
    log = IssueLog()
    rows: list[Record] = [{"usable": False} for _ in records]
    wanted = _wanted(records, rows, log)
    full = request.depth != media_pb2.MEDIA_DEPTH_HEADER
    byte_count = 0
    with ExitStack() as stack:
        previews = stack.enter_context(bucket.writer(request.derived_key)) if full and wanted else None
        looks = _looks(bucket, plan, wanted, min_side=request.min_side, preview=full)
        for done, (i, entry, result) in enumerate(looks, 1):
            jobs.report(done)
            byte_count += len(entry.data)
            if isinstance(result, Unusable):
                log.add(result.code, ERROR, _name(records[i]), result.message, result.remedy)
                continue
            rows[i] = _row(records[i], entry, *result)
            picture = result[0]
            if previews is not None and picture.preview is not None:
                rows[i]["preview"] = _stored(request.derived_key, previews.position, picture.preview)
                previews.write(picture.preview)
            _remark(log, _name(records[i]), picture)
    write_batches(bucket, request.output_key, MEDIA_SCHEMA, [pa.RecordBatch.from_pylist(rows, schema=MEDIA_SCHEMA)])
    return media_pb2.ProcessShardResponse(
        image_count=sum(row["usable"] for row in rows),
        byte_count=byte_count,
        issues=log.save(bucket, request.output_key),
    )


def _wanted(records: list[Record], rows: list[Record], log: IssueLog) -> list[int]:
    """The rows whose bytes are to be read; of the others `rows` and `log` say all there is to say."""
    wanted = []
    for i, record in enumerate(records):
        if record["object"] is None:
            rows[i]["usable"] = record["width"] is not None and record["height"] is not None
            if not rows[i]["usable"]:
                log.add(
                    "IMAGE_MISSING",
                    ERROR,
                    _name(record),
                    "there are labels for this image, but the archive does not hold it and they do not say its size",
                    "add the image to the archive",
                )
        elif record["size"] > settings().max_image_bytes:
            refusal = too_large(record["size"])
            log.add(refusal.code, ERROR, _name(record), refusal.message, refusal.remedy)
        else:
            wanted.append(i)
    return wanted


def _looks(
    bucket: Bucket, plan: pa.RecordBatch, wanted: list[int], *, min_side: int, preview: bool
) -> Iterator[tuple[int, Entry, Result]]:
    """What becomes of each wanted row, in the order in which the images lie in the archive."""

    def examine(entry: Entry) -> Result:
        if entry.damage:
            return Unusable("ENTRY_DAMAGED", f"the entry is damaged: {entry.damage}", "make or send the archive again")
        try:
            return look(entry.data, min_side=min_side, preview=preview), content_hash(entry.data)
        except Unusable as refusal:
            return refusal

    under_way: deque[tuple[int, Entry, Future[Result]]] = deque()
    try:
        for k, entry in read_entries(bucket, plan.take(pa.array(wanted, pa.int64()))):
            under_way.append((wanted[k], entry, decoders().submit(examine, entry)))
            if len(under_way) == IN_FLIGHT:
                i, first, result = under_way.popleft()
                yield i, first, result.result()
        while under_way:
            i, first, result = under_way.popleft()
            yield i, first, result.result()
    finally:
        for _, _, result in under_way:
            result.cancel()


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
        "original": {**original, "offset": entry.data_offset, "crc32": entry.crc32},
    }


def _stored(key: str, offset: int, data: bytes) -> Record:
    """The range of bytes that lie in an object as they are."""
    size = len(data)
    return {
        "object": key,
        "offset": offset,
        "stored_size": size,
        "size": size,
        "method": 0,
        "crc32": zlib.crc32(data),
    }


def _remark(log: IssueLog, path: str, picture: Picture) -> None:
    """Notes what is odd about an image that was used all the same."""
    if not is_expected(path, picture.format):
        log.add(
            "IMAGE_EXTENSION_DIFFERS",
            INFO,
            path,
            f"the content is a {picture.format} image; it was used as such",
            "rename the file if other programs stumble over it",
        )
    for remark in picture.remarks:
        log.add(
            "IMAGE_METADATA_DAMAGED",
            INFO,
            path,
            f"the decoder remarked: {remark}",
            "nothing, unless the image looks wrong; saving it again mends it",
        )


def _name(record: Record) -> str:
    """The image's path in the archive, or in the labels where the archive does not hold it."""
    return str(record["entry_path"] or record["path"])
