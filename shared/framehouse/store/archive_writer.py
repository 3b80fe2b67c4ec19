"""Writes a zip archive from bundles, as one stream from the store to the store, in bounded memory.

What is copied keeps the packed bytes and the checksum it has; nothing is inflated. The same bundles give the same
archive, byte for byte. The layout is that of APPNOTE.TXT 6.3.10, zip64 only where a number needs it.
"""

import struct
import tempfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import IO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from numpy.typing import NDArray

from framehouse.runtime import errors
from framehouse.store.bucket import Bucket
from framehouse.store.bundle import read_bundle
from framehouse.store.packs import GAP, RUN, fetch_ahead

SORTED_ROWS = 1 << 16
"""Rows of neighbouring bundles that are ordered by where they lie: a dataset's order is seldom that of its packs."""

LIMIT32 = 0xFFFFFFFF
LIMIT16 = 0xFFFF
DOS_DATE = 1 << 5 | 1
"""1980-01-01, the first day that a zip can name."""
UTF8 = 1 << 11
MADE_BY_UNIX = 3 << 8
REGULAR_FILE = 0o100644 << 16
ZIP64_VERSION = 45
VERSION = 20

LOCAL = struct.Struct("<4sHHHHHIIIHH")
CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
END = struct.Struct("<4sHHHHIIH")
END64 = struct.Struct("<4sQHHIIQQQQ")
LOCATOR64 = struct.Struct("<4sIQI")


class ArchiveSummary(NamedTuple):
    """What was written."""

    size: int
    """Bytes of the archive."""
    file_count: int


class Piece(NamedTuple):
    """A row of a bundle."""

    section: int
    separator: bytes
    object: str
    offset: int
    stored_size: int
    size: int
    method: int
    crc32: int


@dataclass(slots=True)
class Fetch:
    """A range to read, and what of it goes where: each segment is bytes to write first, then a slice of the range."""

    object: str
    start: int
    end: int
    segments: list[tuple[bytes, int, int]] = field(default_factory=list)
    files: int = 0
    """Files that begin in it."""


def write_archive(
    bucket: Bucket, bundle_keys: Sequence[str], target_key: str, report: Callable[[int], None]
) -> ArchiveSummary:
    """Writes the bundles as one zip: whole files, some bundles after the other, then spanning files by path.

    `report` is told the files written so far. `FailedPrecondition` with reason ARCHIVE_PATH_TWICE where two files have
    one path, or OBJECT_TOO_SHORT where an object ends before a range in it; `NotFound` where an object is absent; then
    nothing is written.
    """
    spanning = _survey(bucket, bundle_keys)
    done = 0
    with bucket.writer(target_key) as writer, tempfile.SpooledTemporaryFile(64 << 20) as directory:
        layout = Layout(directory)
        for fetch, data in fetch_ahead(bucket, _fetches(bucket, bundle_keys, spanning, layout)):
            if len(data) < fetch.end - fetch.start:
                raise errors.FailedPrecondition(
                    f"object {fetch.object!r} ends before a file that lies in it", reason="OBJECT_TOO_SHORT"
                )
            view = memoryview(data)
            parts: list[bytes | memoryview] = []
            for before, start, end in fetch.segments:
                if before:
                    parts.append(before)
                parts.append(view[start:end])
            writer.write(b"".join(parts))
            done += fetch.files
            report(done)
        offset = writer.position
        directory.seek(0)
        while chunk := directory.read(1 << 20):
            writer.write(chunk)
        writer.write(end_record(layout.count, offset, writer.position - offset))
        return ArchiveSummary(writer.position, layout.count)


def crc32_combine(first: int, second: int, length: int) -> int:
    """The CRC-32 of A followed by B, from those of A and B and the bytes of B.

    As zlib's crc32.c does it: the first is multiplied by x^(8 length) modulo the polynomial.
    """
    power = 1 << 31  # x^0, bits reflected
    bit = 0
    while length >> bit:
        if length >> bit & 1:
            power = _multiply(_x_to_two_to(bit + 3), power)  # 8 bits a byte
        bit += 1
    return _multiply(power, first) ^ second


@cache
def _x_to_two_to(n: int) -> int:
    """x^(2^n) modulo the CRC-32 polynomial, bits reflected."""
    return 1 << 30 if n == 0 else _multiply(_x_to_two_to(n - 1), _x_to_two_to(n - 1))


def _multiply(a: int, b: int) -> int:
    """a times b modulo the CRC-32 polynomial, bits reflected."""
    product = 0
    bit = 1 << 31
    while bit:
        if a & bit:
            product ^= b
        b = b >> 1 ^ (0xEDB88320 if b & 1 else 0)
        bit >>= 1
    return product


class Layout:
    """Lays files out one after the other and writes their directory as it goes."""

    def __init__(self, directory: IO[bytes]) -> None:
        self.count = 0
        self._directory = directory
        self._position = 0

    def header(self, path: str, stored_size: int, size: int, method: int, crc: int) -> bytes:
        """The local header of the next file, with the final checksum and sizes in it."""
        name = path.encode()
        if len(name) > LIMIT16:
            raise errors.FailedPrecondition(
                f"the path {path[:100]}… is too long for a zip", reason="ARCHIVE_PATH_TOO_LONG"
            )
        large = size >= LIMIT32 or stored_size >= LIMIT32
        far = self._position >= LIMIT32
        sizes = (LIMIT32, LIMIT32) if large else (stored_size, size)
        wide = (size, stored_size) if large else ()
        needed = ZIP64_VERSION if large else VERSION
        extra = _zip64(wide)
        common = (UTF8, method, 0, DOS_DATE, crc, *sizes, len(name))
        header = LOCAL.pack(b"PK\3\4", needed, *common, len(extra)) + name + extra
        offset = LIMIT32 if far else self._position
        extra = _zip64((*wide, self._position) if far else wide)
        needed = ZIP64_VERSION if large or far else VERSION
        self._directory.write(
            CENTRAL.pack(b"PK\1\2", MADE_BY_UNIX | needed, needed, *common, len(extra), 0, 0, 0, REGULAR_FILE, offset)
            + name
            + extra
        )
        self._position += len(header) + stored_size
        self.count += 1
        return header


def _zip64(values: Sequence[int]) -> bytes:
    """The extra field for numbers that do not fit their own; empty where all do."""
    return struct.pack(f"<HH{len(values)}Q", 1, 8 * len(values), *values) if values else b""


def end_record(count: int, offset: int, size: int) -> bytes:
    """What stands after a directory of `count` files and `size` bytes at `offset`."""
    wide = b""
    if count >= LIMIT16 or offset >= LIMIT32 or size >= LIMIT32:
        made = MADE_BY_UNIX | ZIP64_VERSION
        wide = END64.pack(b"PK\6\6", END64.size - 12, made, ZIP64_VERSION, 0, 0, count, count, size, offset)
        wide += LOCATOR64.pack(b"PK\6\7", 0, offset + size, 1)
    short = min(count, LIMIT16)
    return wide + END.pack(b"PK\5\6", 0, 0, short, short, min(size, LIMIT32), min(offset, LIMIT32), 0)


def _survey(bucket: Bucket, bundle_keys: Sequence[str]) -> dict[str, list[Piece]]:
    """The pieces of each spanning file in their order, after making sure that every path is there once."""
    spanning: defaultdict[str, list[Piece]] = defaultdict(list)
    digests: list[NDArray[np.uint64]] = []
    for key in bundle_keys:
        table = read_bundle(bucket, key)
        whole = pc.equal(table["section"], 0)
        digests.append(_digests(table["path"].filter(whole).to_pylist()))
        for path, piece in _rows(table.filter(pc.invert(whole))):
            spanning[path].append(piece)
    digests.append(_digests(spanning))
    # Eight bytes a file are held, not its path; paths are compared only where these agree.
    every = np.sort(np.concatenate(digests))
    twice = set(every[1:][every[1:] == every[:-1]].tolist())
    if twice:
        seen = set(spanning)
        for key in bundle_keys:
            table = read_bundle(bucket, key)
            for path in table["path"].filter(pc.equal(table["section"], 0)).to_pylist():
                if xxhash.xxh3_64_intdigest(path.encode()) in twice:
                    if path in seen:
                        raise errors.FailedPrecondition(
                            f"two files of the archive would have the path {path!r}; rename one of them",
                            reason="ARCHIVE_PATH_TWICE",
                            facts={"path": path},
                        )
                    seen.add(path)
    for pieces in spanning.values():
        pieces.sort(key=lambda piece: piece.section)
    return spanning


def _digests(paths: Iterable[str]) -> NDArray[np.uint64]:
    return np.array([xxhash.xxh3_64_intdigest(path.encode()) for path in paths], np.uint64)


def _rows(table: pa.Table) -> Iterator[tuple[str, Piece]]:
    columns = (table[name].to_pylist() for name in Piece._fields)
    return zip(table["path"].to_pylist(), map(Piece._make, zip(*columns, strict=True)), strict=True)


def _fetches(
    bucket: Bucket, bundle_keys: Sequence[str], spanning: dict[str, list[Piece]], layout: Layout
) -> Iterator[Fetch]:
    """The requests that bring the whole archive but its directory, neighbours together."""
    fetch = Fetch("", 0, 0)
    for before, piece, begins in _pieces(bucket, bundle_keys, spanning, layout):
        start, stop = piece.offset, piece.offset + piece.stored_size
        first = True
        while first or start < stop:
            end = min(start + RUN, stop)
            near = fetch.start <= start <= fetch.end + GAP and max(end, fetch.end) - fetch.start <= RUN
            if fetch.object != piece.object or not near:
                if fetch.segments:
                    yield fetch
                fetch = Fetch(piece.object, start, end)
            fetch.end = max(fetch.end, end)
            fetch.segments.append((before if first else b"", start - fetch.start, end - fetch.start))
            fetch.files += first and begins
            first = False
            start = end
    if fetch.segments:
        yield fetch


def _pieces(
    bucket: Bucket, bundle_keys: Sequence[str], spanning: dict[str, list[Piece]], layout: Layout
) -> Iterator[tuple[bytes, Piece, bool]]:
    """Every piece in the order of the archive, with the bytes that go before it and whether a file begins with it."""
    for table in _whole_files(bucket, bundle_keys):
        for path, piece in _rows(table.sort_by([("object", "ascending"), ("offset", "ascending")])):
            yield layout.header(path, piece.stored_size, piece.size, piece.method, piece.crc32), piece, True
    for path in sorted(spanning):
        pieces = spanning[path]
        firsts = [i == 0 or piece.section != pieces[i - 1].section for i, piece in enumerate(pieces)]
        separators = [b"" if first else piece.separator for first, piece in zip(firsts, pieces, strict=True)]
        crc = size = 0
        for separator, piece in zip(separators, pieces, strict=True):
            crc = crc32_combine(zlib.crc32(separator, crc), piece.crc32, piece.size)
            size += len(separator) + piece.size
        header = layout.header(path, size, size, 0, crc)
        for i, (separator, piece) in enumerate(zip(separators, pieces, strict=True)):
            yield header + separator if i == 0 else separator, piece, i == 0


def _whole_files(bucket: Bucket, bundle_keys: Sequence[str]) -> Iterator[pa.Table]:
    """The rows of whole files, of as many bundles together as stay below SORTED_ROWS."""
    held: list[pa.Table] = []
    for key in bundle_keys:
        table = read_bundle(bucket, key)
        table = table.filter(pc.equal(table["section"], 0))
        if held and sum(one.num_rows for one in held) + table.num_rows > SORTED_ROWS:
            yield pa.concat_tables(held)
            held = []
        held.append(table)
    if held:
        yield pa.concat_tables(held)
