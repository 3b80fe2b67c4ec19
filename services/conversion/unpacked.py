"""Label files of any size as bytes that can be fetched by ranges: looked through once, unpacked beside where packed.

What is unpacked lies beside as frames of Zstandard, of the same number of bytes each, and where each ends: writing
costs a store ten times as much as reading, and text takes a third of its room so.
"""

import struct
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise

import pyarrow as pa

from framehouse.runtime.jobs import report as progress
from framehouse.store.bucket import Bucket
from services.conversion.archive import Archive, ahead

PART_BYTES = 16 << 20
"""Of JSON that one step reads at most; it takes some ten times as much memory."""
SMALL_PART_BYTES = 4 << 20
"""Files are cut this small where that makes more steps to share."""
STEPS = 16
"""Parts that are wanted of any dataset, so that all processes have some to read."""

FRAME = 4 << 20
"""Bytes of a frame before it is packed; the last one has fewer."""
SUFFIX = ".frames"
"""Of the keys of objects that hold frames."""
ENDS = 32 << 10
"""Bytes fetched at the end of such an object in the hope that all there is to know of the frames is among them."""
COUNT = struct.Struct("<Q")
"""The number of frames, at the very end, after the place at which each ends."""


def unpacked(
    archive: Archive, row: int, key: str, look: Callable[[bytes], None], *, plain: bool = False
) -> tuple[str, int]:
    """Where the bytes of a file lie for `fetch`: object and offset, in the archive or, where packed, beside it.

    What lies beside has the key `key`, and more where it is in frames; `plain` writes it without, for who reads single
    lines. `look` is given all bytes, in order, in chunks. InvalidArgument where the file is damaged.
    """
    found, offset, _ = archive.locate(row)
    packed = archive.entries["method"][row].as_py() != 0
    chunks = _looked_at(ahead(archive.stream(row)), look)
    if not packed:
        deque(chunks, maxlen=0)
        return found, offset
    if not plain:
        _write_frames(archive.bucket, key + SUFFIX, chunks)
        return key + SUFFIX, 0
    with archive.bucket.writer(key) as writer:
        for chunk in chunks:
            writer.write(chunk)
    return key, 0


def fetch(bucket: Bucket, key: str, offset: int, length: int) -> bytes:
    """Bytes of a file that lies where `unpacked` said."""
    if not key.endswith(SUFFIX):
        return bucket.get_range(key, offset, length)
    if not length:
        return b""
    tail, size = bucket.get_tail(key, ENDS)
    (count,) = COUNT.unpack_from(tail, len(tail) - COUNT.size)
    known = (count + 1) * COUNT.size
    if known > len(tail):
        tail = bucket.get_range(key, size - known, known)
    ends = [0, *struct.unpack_from(f"<{count}Q", tail, len(tail) - known)]
    first, last = offset // FRAME, (offset + length - 1) // FRAME
    spans = ends[first : last + 2]
    packed = memoryview(bucket.get_range(key, spans[0], spans[-1] - spans[0]))
    codec = pa.Codec("zstd")
    data = b"".join(
        codec.decompress(
            packed[start - spans[0] + COUNT.size : end - spans[0]], _length(packed, start - spans[0]), asbytes=True
        )
        for start, end in pairwise(spans)
    )
    return data[offset - first * FRAME :][:length]


def part_bytes(total: int) -> int:
    """How large the parts of label files of `total` bytes are cut."""
    return min(PART_BYTES, max(SMALL_PART_BYTES, total // STEPS))


def _looked_at(chunks: Iterator[bytes], look: Callable[[bytes], None]) -> Iterator[bytes]:
    """The same chunks, each after `look` has seen it."""
    seen = 0
    for chunk in chunks:
        look(chunk)
        progress(seen := seen + len(chunk))
        yield chunk


def _length(packed: memoryview, start: int) -> int:
    """Bytes of the frame that begins there, before it was packed."""
    return int(COUNT.unpack_from(packed, start)[0])


def _write_frames(bucket: Bucket, key: str, chunks: Iterator[bytes]) -> None:
    """Packs the bytes and writes them, each frame after its number of bytes. Packs one while the next is looked at."""
    ends: list[int] = []
    with bucket.writer(key) as writer, ThreadPoolExecutor(1, thread_name_prefix="pack") as pool:
        packing: deque[Future[bytes]] = deque()

        def write() -> None:
            writer.write(packing.popleft().result())
            ends.append(writer.position)

        for frame in _frames(chunks):
            packing.append(pool.submit(_pack, frame))
            if len(packing) > 1:
                write()
        while packing:
            write()
        writer.write(struct.pack(f"<{len(ends)}Q", *ends) + COUNT.pack(len(ends)))


def _pack(frame: bytes) -> bytes:
    packed: bytes = pa.Codec("zstd", compression_level=1).compress(frame, asbytes=True)
    return COUNT.pack(len(frame)) + packed


def _frames(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The bytes of the chunks, FRAME at a time."""
    held = bytearray()
    for chunk in chunks:
        held += chunk
        while len(held) >= FRAME:
            yield bytes(held[:FRAME])
            del held[:FRAME]
    if held:
        yield bytes(held)
