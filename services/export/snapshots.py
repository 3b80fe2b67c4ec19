"""Snapshots of versions: the job that writes one, and the step that puts its pieces together, as one object.

A snapshot is Ultralytics NDJSON without its images: their hashes say which ones they are.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from google.protobuf import empty_pb2
from temporalio import workflow

from framehouse.runtime import jobs
from framehouse.runtime.errors import FailedPrecondition, InvalidArgument
from framehouse.runtime.jobs import step
from framehouse.runtime.progress import Tracked
from framehouse.runtime.writing import bundle_key, plan_archive, write_bundles
from framehouse.store.bucket import Bucket, bucket
from framehouse.v1 import conversion_pb2, dataset_pb2, export_pb2, ingest_pb2, job_pb2

STAGES = (("labels written", "shards"), ("snapshot", "bytes"))
UID = re.compile(r"[0-9a-f]{32}")
RANGE_BYTES = 1 << 20
"""Of a piece, read at once and unpacked."""


@workflow.defn(name="SnapshotVersion")
class SnapshotVersion(Tracked):
    """A version of a dataset becomes its snapshot, which can be fetched from the end of the job on."""

    @workflow.run
    async def run(self, request: export_pb2.SnapshotVersionRequest) -> dataset_pb2.Version:
        prefix = f"jobs/{workflow.info().workflow_id}/"
        self.plan_stages(job_pb2.JOB_KIND_SNAPSHOT, f"{request.dataset.name}/versions/{request.number}", STAGES)
        # All that there is, whatever the task.
        options = conversion_pb2.WriteOptions(
            format="ultralytics-ndjson", without_images=True, task=dataset_pb2.TASK_UNSPECIFIED
        )
        try:
            plan = await plan_archive(self, prefix, request.table, options, request.dataset)
            bundles, last = await write_bundles(self, prefix, plan.shard_count)
            self.begin("snapshot")
            assemble = export_pb2.AssembleSnapshotRequest(
                uid=request.uid,
                number=request.number,
                bundle_prefix=bundles,
                bundle_count=plan.shard_count,
                last_bundle_key=last,
            )
            assembled = await step(assemble, export_pb2.AssembleSnapshotResponse)
            self.finish("snapshot", assembled.size)
            return await step(
                dataset_pb2.RecordSnapshotRequest(
                    table=request.table, uid=request.uid, number=request.number, size=assembled.size
                ),
                dataset_pb2.Version,
            )
        finally:
            await step(ingest_pb2.CleanUpJobRequest(prefixes=[prefix]), empty_pb2.Empty)


class Piece(NamedTuple):
    """A run of lines in some object, deflated."""

    section: int
    separator: bytes
    object: str
    offset: int
    stored_size: int
    crc32: int


class Range(NamedTuple):
    """A part of a piece."""

    object: str
    start: int
    end: int
    before: bytes | None
    """What goes before the piece, where it begins with this."""
    crc32: int | None
    """Of the whole piece, where it ends with this."""


def assemble(request: export_pb2.AssembleSnapshotRequest) -> export_pb2.AssembleSnapshotResponse:
    """What `ExportService.AssembleSnapshot` promises."""
    from isal import isal_zlib

    from framehouse.store.packs import fetch_ahead

    if not UID.fullmatch(request.uid) or request.number < 1:
        raise InvalidArgument(f"{request.uid!r} and {request.number} are no version of a dataset", field="uid")
    if request.bundle_count < 0:
        raise InvalidArgument("bundle_count is negative", field="bundle_count")
    store = bucket()
    keys = [bundle_key(request.bundle_prefix, number) for number in range(request.bundle_count)]
    pieces = _pieces(store, [*keys, request.last_bundle_key])
    unpacker, crc32 = isal_zlib.decompressobj(-isal_zlib.MAX_WBITS), 0
    with store.writer(f"versions/{request.uid}/v{request.number}.ndjson") as writer:
        for one, packed in fetch_ahead(store, _ranges(pieces)):
            if one.before is not None:
                unpacker, crc32 = isal_zlib.decompressobj(-isal_zlib.MAX_WBITS), 0
                writer.write(one.before)
            data = unpacker.decompress(packed)
            crc32 = isal_zlib.crc32(data, crc32)
            if one.crc32 is not None and crc32 != one.crc32:
                raise FailedPrecondition(
                    f"object {one.object!r} has other bytes than were written; start the job again",
                    reason="OBJECT_DAMAGED",
                )
            writer.write(data)
            jobs.report(writer.position)
    return export_pb2.AssembleSnapshotResponse(size=writer.position)


def _pieces(store: Bucket, keys: list[str]) -> list[Piece]:
    """The pieces of the one file that the bundles hold, in their order: one of each bundle, and a few."""
    from framehouse.store.bundle import read_bundle

    pieces: list[Piece] = []
    for key in keys:
        table = read_bundle(store, key).select(Piece._fields)
        pieces.extend(Piece(*row.values()) for row in table.to_pylist())
    return sorted(pieces, key=lambda piece: piece.section)


def _ranges(pieces: list[Piece]) -> Iterator[Range]:
    section = 0
    for piece in pieces:
        before = b"" if piece.section != section else piece.separator
        section = piece.section
        end = piece.offset + piece.stored_size
        for start in range(piece.offset, end, RANGE_BYTES):
            stop = min(start + RANGE_BYTES, end)
            is_first, is_last = start == piece.offset, stop == end
            yield Range(piece.object, start, stop, before if is_first else None, piece.crc32 if is_last else None)
