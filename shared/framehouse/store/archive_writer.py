"""Writes zip archives from bundles, as one stream from the store to the store, in bounded memory.

What is copied keeps the packed bytes and the checksum it has; nothing is inflated. The same bundles give the same
archive, byte for byte. The layout is that of APPNOTE.TXT 6.3.10, zip64 only where a number needs it. Where volumes are
asked for, there are several archives; what goes into which is said by `framehouse.store.volumes`.
"""

import struct
import tempfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from itertools import groupby
from pathlib import PurePosixPath
from typing import IO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from numpy.typing import NDArray

from framehouse.runtime import errors
from framehouse.store.bucket import Bucket
from framehouse.store.bundle import bundle_facts, read_bundle
from framehouse.store.image_names import IMAGE_EXTENSIONS
from framehouse.store.manifest import MANIFEST, Manifest
from framehouse.store.packs import GAP, RUN, fetch_ahead
from framehouse.store.volumes import Volumes

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
DEFLATE = 8

LOCAL = struct.Struct("<4sHHHHHIIIHH")
CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
END = struct.Struct("<4sHHHHIIH")
END64 = struct.Struct("<4sQHHIIQQQQ")
LOCATOR64 = struct.Struct("<4sIQI")


MOST_VOLUMES = 10_000


class ArchiveFile(NamedTuple):
    """A file that was written."""

    key: str
    size: int
    hash: str
    """XXH3-128, hexadecimal."""


class ArchiveSummary(NamedTuple):
    """What was written."""

    size: int
    """Bytes of the archive, of all volumes together."""
    file_count: int
    files: list[ArchiveFile]
    """The archive, or its volumes."""


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
    hash: str | None


class File(NamedTuple):
    """A file of an archive, as its manifest tells of it."""

    path: str
    stored_size: int
    size: int
    method: int
    crc32: int
    hash: str | None


class Volume:
    """An archive that is laid out, some way ahead of its being written. Volumes are counted from 1."""

    def __init__(self, number: int, facts: Mapping[str, object] | None) -> None:
        self.number = number
        self.directory: IO[bytes] = tempfile.SpooledTemporaryFile(64 << 20)  # noqa: SIM115  # closed by `write`
        self.layout = Layout(self.directory)
        self.manifest = None if facts is None else Manifest(facts)

    def close(self) -> None:
        """Frees what it is spooled to."""
        self.directory.close()
        if self.manifest is not None:
            self.manifest.close()


class Segment(NamedTuple):
    """Bytes to write, and a slice of a range to write after them."""

    before: bytes
    start: int
    end: int
    begins: File | None
    """The file that begins with it."""


@dataclass(slots=True)
class Fetch:
    """A range to read, and what of it goes where in a volume."""

    volume: Volume
    object: str
    start: int
    end: int
    segments: list[Segment] = field(default_factory=list)


def write_archive(
    bucket: Bucket,
    bundle_keys: Sequence[str],
    target_key: str,
    report: Callable[[int], None],
    *,
    volume_bytes: int = 0,
    facts: Mapping[str, object] | None = None,
) -> ArchiveSummary:
    """Writes the bundles as one zip: whole files, some bundles after the other, then spanning files by path.

    Whole files of the last bundle, which are of the whole dataset, come after those of the others. With `volume_bytes`
    there are several zips of so many bytes at most, unless a file needs more: `cars-001.zip` … instead of `cars.zip`.
    With `facts` each has a manifest, which begins with them and with the facts of the last bundle.
    `report` is told the files written so far. `FailedPrecondition` with reason ARCHIVE_PATH_TWICE where two files have
    one path, TOO_MANY_VOLUMES, or OBJECT_TOO_SHORT where an object ends before a range in it; `NotFound` where an
    object is absent; then nothing is written.
    """
    spanning = _survey(bucket, bundle_keys, volume_bytes)
    if facts is not None and bundle_keys:
        facts = {**facts, **bundle_facts(bucket, bundle_keys[-1])}
    volumes = Volumes(volume_bytes, len(str(facts)))
    written: list[ArchiveFile] = []
    count = 0
    laid_out = _fetches(bucket, bundle_keys, spanning, volumes, facts)
    fetching = fetch_ahead(bucket, laid_out)
    try:
        for volume, fetched in groupby(fetching, key=lambda pair: pair[0].volume):
            key = _volume_key(target_key, volume.number) if volume_bytes else target_key
            written.append(_write(bucket, key, volume, fetched, report, count))
            count += volume.layout.count
        if not written:
            volume = Volume(1, facts)
            key = _volume_key(target_key, 1) if volume_bytes else target_key
            written.append(_write(bucket, key, volume, (), report, 0))
            count = volume.layout.count
    except BaseException:
        with suppress(errors.ServiceError):
            bucket.remove(file.key for file in written)
        raise
    finally:
        fetching.close()
    return ArchiveSummary(sum(file.size for file in written), count, written)


def _volume_key(key: str, number: int) -> str:
    """`exports/1/cars-001.zip` of `exports/1/cars.zip`."""
    path = PurePosixPath(key)
    return str(path.with_name(f"{path.stem}-{number:03d}{path.suffix}"))


def _write(
    bucket: Bucket,
    key: str,
    volume: Volume,
    fetched: Iterable[tuple[Fetch, bytes]],
    report: Callable[[int], None],
    done: int,
) -> ArchiveFile:
    """Writes one archive; `done` files were written before it."""
    digest = xxhash.xxh3_128()
    manifest = volume.manifest
    try:
        with bucket.writer(key) as writer:

            def write(data: bytes) -> None:
                digest.update(data)
                writer.write(data)

            listing = None if manifest is None else _Listing(manifest)
            for fetch, data in fetched:
                if len(data) < fetch.end - fetch.start:
                    raise errors.FailedPrecondition(
                        f"object {fetch.object!r} ends before a file that lies in it", reason="OBJECT_TOO_SHORT"
                    )
                view = memoryview(data)
                parts: list[bytes | memoryview] = []
                for before, start, end, begins in fetch.segments:
                    if before:
                        parts.append(before)
                    parts.append(view[start:end])
                    done += begins is not None
                    if listing is not None:
                        listing.see(begins, view[start:end])
                write(b"".join(parts))
                report(done)
            if listing is not None and manifest is not None:
                listing.end()
                document, stored = manifest.end()
                write(volume.layout.header(MANIFEST, stored, manifest.size, DEFLATE, manifest.crc32))
                while chunk := document.read(1 << 20):
                    write(chunk)
            offset = writer.position
            volume.directory.seek(0)
            while chunk := volume.directory.read(1 << 20):
                write(chunk)
            write(end_record(volume.layout.count, offset, writer.position - offset))
    finally:
        volume.close()
    return ArchiveFile(key, writer.position, digest.hexdigest())


class _Listing:
    """Enters files into a manifest as they pass by, with the hash of images."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._file: File | None = None
        self._hash = xxhash.xxh3_128()

    def see(self, begins: File | None, data: memoryview) -> None:
        """Some more bytes; with them `begins` a file, if any."""
        if begins is not None:
            self.end()
            hashed = begins.hash is None and begins.method == 0
            if not hashed or begins.path.rpartition(".")[2].lower() not in IMAGE_EXTENSIONS:
                self._manifest.add(begins.path, begins.size, begins.crc32, begins.hash)
                return
            self._file = begins
        if self._file is not None:
            self._hash.update(data)

    def end(self) -> None:
        """Enters the file that was seen last."""
        if self._file is not None:
            self._manifest.add(self._file.path, self._file.size, self._file.crc32, self._hash.hexdigest())
            self._hash.reset()
            self._file = None


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


def _survey(bucket: Bucket, bundle_keys: Sequence[str], volume_bytes: int) -> dict[str, list[Piece]]:
    """The pieces of each spanning file in their order, after making sure that every path is there once.

    And that not too many volumes would be written.
    """
    total = 0
    spanning: defaultdict[str, list[Piece]] = defaultdict(list)
    digests: list[NDArray[np.uint64]] = []
    for key in bundle_keys:
        table = read_bundle(bucket, key)
        total += pc.sum(table["stored_size"], min_count=0).as_py()
        whole = pc.equal(table["section"], 0)
        digests.append(_digests(table["path"].filter(whole).to_pylist()))
        for path, piece in _rows(table.filter(pc.invert(whole))):
            spanning[path].append(piece)
    if volume_bytes and total > volume_bytes * MOST_VOLUMES:
        raise errors.FailedPrecondition(
            f"{total:,} bytes would be more than {MOST_VOLUMES:,} volumes of {volume_bytes:,} bytes; take larger ones",
            reason="TOO_MANY_VOLUMES",
        )
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
    bucket: Bucket,
    bundle_keys: Sequence[str],
    spanning: dict[str, list[Piece]],
    volumes: Volumes,
    facts: Mapping[str, object] | None,
) -> Iterator[Fetch]:
    """The requests that bring all volumes but their directories and manifests, neighbours together."""
    fetch: Fetch | None = None
    for volume, before, piece, begins in _pieces(bucket, bundle_keys, spanning, volumes, facts):
        start, stop = piece.offset, piece.offset + piece.stored_size
        first = True
        while first or start < stop:
            end = min(start + RUN, stop)
            near = (
                fetch is not None
                and fetch.volume is volume
                and fetch.object == piece.object
                and fetch.start <= start <= fetch.end + GAP
                and max(end, fetch.end) - fetch.start <= RUN
            )
            if fetch is None or not near:
                if fetch is not None:
                    yield fetch
                fetch = Fetch(volume, piece.object, start, end)
            fetch.end = max(fetch.end, end)
            fetch.segments.append(
                Segment(before if first else b"", start - fetch.start, end - fetch.start, begins if first else None)
            )
            first = False
            start = end
    if fetch is not None:
        yield fetch


def _pieces(
    bucket: Bucket,
    bundle_keys: Sequence[str],
    spanning: dict[str, list[Piece]],
    volumes: Volumes,
    facts: Mapping[str, object] | None,
) -> Iterator[tuple[Volume, bytes, Piece, File | None]]:
    """Every piece in the order of the archives, with the bytes that go before it and the file that begins with it."""
    volume: Volume | None = None

    def numbered(number: int) -> Volume:
        nonlocal volume
        if volume is None or volume.number != number:
            volume = Volume(number, facts if facts is None or not volumes.limit else {**facts, "volume": number})
        return volume

    for keys in (bundle_keys[:-1], bundle_keys[-1:]):
        for table in _whole_files(bucket, keys):
            for number, some in volumes.deal(table):
                here = numbered(number)
                for path, piece in _rows(some.sort_by([("object", "ascending"), ("offset", "ascending")])):
                    _, _, _, _, stored_size, size, method, crc, hash = piece
                    header = here.layout.header(path, stored_size, size, method, crc)
                    yield here, header, piece, File(path, stored_size, size, method, crc, hash)
    for path in sorted(spanning):
        pieces = spanning[path]
        firsts = [i == 0 or piece.section != pieces[i - 1].section for i, piece in enumerate(pieces)]
        separators = [b"" if first else piece.separator for first, piece in zip(firsts, pieces, strict=True)]
        crc = size = 0
        for separator, piece in zip(separators, pieces, strict=True):
            crc = crc32_combine(zlib.crc32(separator, crc), piece.crc32, piece.size)
            size += len(separator) + piece.size
        here = numbered(volumes.place(path, size))
        header = here.layout.header(path, size, size, 0, crc)
        for i, (separator, piece) in enumerate(zip(separators, pieces, strict=True)):
            if i == 0:
                yield here, header + separator, piece, File(path, size, size, 0, crc, None)
            else:
                yield here, separator, piece, None


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
