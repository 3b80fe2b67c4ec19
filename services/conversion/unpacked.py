"""Label files of any size as bytes that can be fetched by ranges, looked through once.

A packed file is read where it lies, from points in it that unpacking can begin at: those are kept beside, with the
bytes that come before each. Where a file has too few of them, it is unpacked beside as frames of Zstandard, of the same
number of bytes each, and where each ends. Writing costs a store ten times as much as reading.
"""

import struct
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from itertools import pairwise

import msgspec
import pyarrow as pa
from isal import isal_zlib as zlib

from framehouse.runtime import errors
from framehouse.runtime.jobs import report as progress
from framehouse.store.bucket import Bucket, MultipartWriter
from services.conversion import deflate_points
from services.conversion.archive import CHUNK, Archive, ahead

PART_BYTES = 16 << 20
"""Of JSON that one step reads at most; it takes some ten times as much memory."""
SMALL_PART_BYTES = 4 << 20
"""Files are cut this small where that makes more steps to share."""
STEPS = 16
"""Parts that are wanted of any dataset, so that all processes have some to read."""

IN_VAIN = 16
"""After so many of its pieces without a point, when one is due, a file is rather unpacked beside."""
GENEROUS = 1.1
"""How much more is fetched than a share of what lies between two points takes packed, if all of it packs alike."""
NEXT = 64 << 10
"""Bytes that are fetched beside."""
POINTS = ".points"
"""Of the keys of objects that say where such points are."""

FRAME = 4 << 20
"""Bytes of a frame before it is packed; the last one has fewer."""
SUFFIX = ".frames"
"""Of the keys of objects that hold frames."""
ENDS = 32 << 10
"""Bytes fetched at the end of such objects in the hope that all there is to know of what they hold is among them."""
COUNT = struct.Struct("<Q")
"""At the very end: the number of frames, after the place at which each ends, or the bytes that say where points are."""


class Points(msgspec.Struct, array_like=True, frozen=True):
    """Where a packed file lies, and the points that it can be read from; the first one is its beginning."""

    object: str
    offset: int
    stored: int
    """Packed bytes."""
    size: int
    """Unpacked ones."""
    bits: list[int]
    """Of the packed bytes."""
    places: list[int]
    """The bytes of the file that begin there. Those before them, deflate_points.WINDOW for each point but the first,
    lie one after the other in the object that this is at the end of."""

    def packed_ends(self, last: int, end: int) -> tuple[int, int]:
        """How many packed bytes hold what comes before byte `end`, which is after point `last`: a guess, and surely."""
        bits, places = ([*self.bits, 8 * self.stored][last:], [*self.places, self.size][last:])
        begin, whole = bits[0] // 8, -(-bits[1] // 8)
        share = (end - places[0]) / (places[1] - places[0])
        return min(begin + int(share * GENEROUS * (whole - begin)) + NEXT, whole), whole


def unpacked(
    archive: Archive, row: int, key: str, look: Callable[[bytes], None], *, plain: bool = False
) -> tuple[str, int, list[int]]:
    """Where the bytes of a file lie for `fetch`: object and offset, in the archive or, where packed, beside it; and
    from which of them on they can be unpacked, some as far apart as parts are large, if not from any.

    What lies beside has a key that begins with `key`; `plain` writes the file as it is, for who reads single lines.
    `look` is given all bytes, in order, in chunks. InvalidArgument where the file is damaged.
    """
    found, offset, stored = archive.locate(row)
    if archive.entries["method"][row].as_py() == 0:
        deque(_looked_at(ahead(archive.stream(row)), look), maxlen=0)
        return found, offset, []
    if plain:
        with archive.bucket.writer(key) as writer:
            for chunk in _looked_at(ahead(archive.stream(row)), look):
                writer.write(chunk)
        return key, 0, []
    size = archive.entries["size"][row].as_py()
    with archive.bucket.writer(key + POINTS) as writer:
        finder = _Finder(writer, part_bytes(size))
        deque(_looked_at(ahead(archive.stream(row, finder.see)), look), maxlen=0)
        points = msgspec.msgpack.encode(Points(found, offset, stored, size, finder.bits, finder.places))
        writer.write(points + COUNT.pack(len(points)))
    if not finder.is_far:
        return key + POINTS, 0, finder.places
    _write_frames(archive.bucket, key + SUFFIX, ahead(archive.stream(row)))
    return key + SUFFIX, 0, []


def fetch(bucket: Bucket, key: str, offset: int, length: int) -> bytes:
    """Bytes of a file that lies where `unpacked` said."""
    if not length:
        return b""
    if key.endswith(POINTS):
        return _from_points(bucket, key, offset, length)
    return _from_frames(bucket, key, offset, length) if key.endswith(SUFFIX) else bucket.get_range(key, offset, length)


def _from_points(bucket: Bucket, key: str, offset: int, length: int) -> bytes:
    tail, size = bucket.get_tail(key, ENDS)
    (known,) = COUNT.unpack_from(tail, len(tail) - COUNT.size)
    if known + COUNT.size > len(tail):
        tail = bucket.get_range(key, size - COUNT.size - known, known + COUNT.size)
    points = msgspec.msgpack.decode(memoryview(tail)[-COUNT.size - known : -COUNT.size], type=Points)
    first, last = (bisect_right(points.places, place) - 1 for place in (offset, offset + length - 1))
    before = bucket.get_range(key, (first - 1) * deflate_points.WINDOW, deflate_points.WINDOW) if first else b""
    begin, bit = divmod(points.bits[first], 8)
    skipped = offset - points.places[first]
    data = b""
    for end in points.packed_ends(last, offset + length):
        packed = bucket.get_range(points.object, points.offset + begin, end - begin)
        with suppress(zlib.error):  # type: ignore[arg-type]  # a class, whatever its stubs say
            data = deflate_points.inflate(packed, bit, before, skipped + length)
        if len(data) == skipped + length:
            return data[skipped:]
    raise errors.FailedPrecondition(f"object {points.object!r} is not what it was", reason="OBJECT_CHANGED")


def _from_frames(bucket: Bucket, key: str, offset: int, length: int) -> bytes:
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


class _Finder:
    """Finds points of a file while it is unpacked, and writes what comes before each."""

    def __init__(self, writer: MultipartWriter, apart: int) -> None:
        """`apart`: bytes of the file, unpacked or packed, between two points, at least."""
        self.bits, self.places = [0], [0]
        self.is_far = False
        """Whether there was none for too long."""
        self._in_vain = 0
        self._writer = writer
        self._apart = apart
        self._packed = self._position = 0
        self._window = b""

    def see(self, packed: bytes, data: bytes) -> None:
        """Takes the next packed bytes, and what they unpack to."""
        window, end = self._window, self._position + len(data)
        apart = max(end - self.places[-1], self._packed - self.bits[-1] // 8)
        if apart > self._apart and not self.is_far:
            if start := self._start(packed, data):
                self.bits.append(8 * self._packed + start.bit)
                self.places.append(end - start.left)
                self._writer.write((window + data[: len(data) - start.left])[-deflate_points.WINDOW :])
            self._in_vain = 0 if start else self._in_vain + 1
            self.is_far = self._in_vain == IN_VAIN
        self._packed += len(packed)
        self._position = end
        self._window = (window + data[-deflate_points.WINDOW :])[-deflate_points.WINDOW :]

    def _start(self, packed: bytes, data: bytes) -> deflate_points.Start | None:
        """A point in packed bytes, if what they unpack to is all here, and what comes before is enough."""
        if len(self._window) < deflate_points.WINDOW or len(data) >= CHUNK:
            return None
        return deflate_points.last_start(packed, self._window, data)


def _looked_at(chunks: Generator[bytes, None, None], look: Callable[[bytes], None]) -> Iterator[bytes]:
    """The same chunks, each after `look` has seen it."""
    seen = 0
    with closing(chunks):  # whoever makes them is done before what they are written to is closed
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
