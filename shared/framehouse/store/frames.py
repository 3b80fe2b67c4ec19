"""Record batches between the steps of a job: an Arrow IPC file in the bucket, one record batch a shard.

A reader takes the batches it needs by ranges: the footer by one request, or two where it is large, a batch by one.
Batches are packed with LZ4: written in half the time of plain ones, read in the same.
"""

import io
import struct
from collections.abc import Callable, Iterable, Iterator

import pyarrow as pa

from framehouse.runtime import errors
from framehouse.store.bucket import Bucket
from framehouse.store.seeking import SeekableFile

MAGIC = b"ARROW1"
TAIL = 64 << 10
"""Bytes fetched at the end of a file in the hope that the footer is among them."""
RUN = 8 << 20
"""Bytes of neighbouring batches that are fetched at once."""


def write_batches(bucket: Bucket, key: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
    """Writes the batches as one file, in bounded memory. Batch i is shard i, so an empty shard is an empty batch.

    A dictionary-encoded column needs the same dictionary in every batch: the format of the file has room for one.
    """
    with bucket.writer(key) as writer:
        sink = _Sink(writer.write)
        with pa.ipc.new_file(sink, schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as file:
            for batch in batches:
                file.write_batch(batch)


class BatchFile:
    """A file that `write_batches` wrote, read by ranges. Not thread-safe.

    `NotFound` where there is no such object, `FailedPrecondition` where it is another kind of file.
    """

    def __init__(self, bucket: Bucket, key: str) -> None:
        tail, size = bucket.get_tail(key, TAIL)
        if len(tail) < 10 or tail[-len(MAGIC) :] != MAGIC:
            raise errors.FailedPrecondition(f"object {key!r} is not an Arrow file", reason="NOT_AN_ARROW_FILE")
        (footer_size,) = struct.unpack_from("<i", tail, len(tail) - 10)
        if footer_size + 10 > len(tail):
            tail = bucket.get_range(key, size - footer_size - 10, footer_size + 10)
        self._blocks = _blocks(tail[-10 - footer_size : -10])
        self._source = _Window(bucket, key, size, tail)
        self._reader = pa.ipc.open_file(pa.PythonFile(self._source, mode="r"))
        self.schema: pa.Schema = self._reader.schema
        self.count = len(self._blocks)
        """Batches, which is to say shards."""

    def batch(self, i: int) -> pa.RecordBatch:
        """Batch `i`, from 0, by one request."""
        offset, length = self._blocks[i]
        self._source.fetch(offset, length)
        return self._reader.get_batch(i)

    def batches(self, first: int = 0, count: int | None = None) -> Iterator[pa.RecordBatch]:
        """Batches from `first` on, `count` of them (None: all), neighbours together."""
        end = self.count if count is None else min(first + count, self.count)
        fetched = first
        for i in range(first, end):
            if i == fetched:
                start = self._blocks[i][0]
                while fetched < end and (fetched == i or sum(self._blocks[fetched]) - start <= RUN):
                    fetched += 1
                self._source.fetch(start, sum(self._blocks[fetched - 1]) - start)
            yield self._reader.get_batch(i)


def _blocks(footer: bytes) -> list[tuple[int, int]]:
    """(offset, length) of each record batch in the file.

    Arrow's readers keep these to themselves. `Footer` and `Block` are defined in Arrow's format/File.fbs: recordBatches
    is field 3 of the table, a vector of structs of offset int64, metadata length int32, 4 unused bytes, body length
    int64.
    """
    (table,) = struct.unpack_from("<I", footer, 0)
    vtable = table - struct.unpack_from("<i", footer, table)[0]
    vtable_size, _ = struct.unpack_from("<HH", footer, vtable)
    slot = 4 + 2 * 3
    field = struct.unpack_from("<H", footer, vtable + slot)[0] if slot < vtable_size else 0
    if not field:
        return []
    vector = table + field + struct.unpack_from("<I", footer, table + field)[0]
    (count,) = struct.unpack_from("<I", footer, vector)
    structs = struct.iter_unpack("<qi4xq", footer[vector + 4 : vector + 4 + 24 * count])
    return [(offset, metadata + body) for offset, metadata, body in structs]


class _Sink(io.RawIOBase):
    """What pyarrow needs of a file to write to a `MultipartWriter`."""

    def __init__(self, write: Callable[[bytes], int]) -> None:
        super().__init__()
        self._write = write

    def writable(self) -> bool:
        return True

    def write(self, data: object, /) -> int:
        return self._write(data)  # type: ignore[arg-type]


class _Window(SeekableFile):
    """An object of which two ranges are at hand: its tail, and what was fetched last. Anything else is fetched."""

    def __init__(self, bucket: Bucket, key: str, size: int, tail: bytes) -> None:
        super().__init__(size)
        self._bucket = bucket
        self._key = key
        self._tail = (size - len(tail), memoryview(tail))
        self._run = self._tail

    def fetch(self, offset: int, length: int) -> None:
        """Puts a range at hand."""
        start, data = self._tail
        if offset < start or offset + length > start + len(data):
            self._run = (offset, memoryview(self._bucket.get_range(self._key, offset, length)))

    def read(self, size: int | None = -1, /) -> bytes:
        length = self.size - self._position if size is None or size < 0 else size
        first = self._position
        self._position += length
        for start, data in (self._tail, self._run):
            if start <= first and first + length <= start + len(data):
                return data[first - start : first - start + length]  # type: ignore[return-value]  # a view will do
        return self._bucket.get_range(self._key, first, length)
