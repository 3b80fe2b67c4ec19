"""Writes zip archives from bundles, as one stream from the store to the store, in bounded memory.

What is copied keeps the packed bytes and the checksum it has; nothing is inflated. The same bundles give the same
archive, byte for byte. How it is laid out is said by `framehouse.store.zip_layout`. Where volumes are asked for, there
are several archives; what goes into which is said by `framehouse.store.volumes`.
"""

import re
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, groupby
from pathlib import PurePosixPath
from typing import IO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from isal import isal_zlib
from numpy.typing import NDArray

from framehouse.runtime import errors
from framehouse.store import deflate
from framehouse.store.bucket import Bucket
from framehouse.store.bundle import bundle_facts, read_bundle
from framehouse.store.image_names import IMAGE_EXTENSIONS
from framehouse.store.manifest import MANIFEST, Manifest
from framehouse.store.packs import GAP, RUN
from framehouse.store.ring import read_ahead
from framehouse.store.volumes import Volumes
from framehouse.store.zip_layout import Layout, end_record

SORTED_ROWS = 1 << 15
"""Rows of neighbouring bundles that are ordered by where they lie: a dataset's order is seldom that of its packs."""
LAID_OUT_ROWS = 1 << 12
"""Of them laid out at once, as headers and slices."""
PORTION = 64 << 10
"""Bytes that are joined before they are written, at most."""
DIRECTORY_BYTES = 1 << 20
"""Of a directory in memory; what comes after them is spooled to disk."""

FILE_SCHEMA = pa.schema(
    [
        pa.field("path", pa.string()),
        pa.field("size", pa.int64()),
        pa.field("crc32", pa.uint32()),
        pa.field("hash", pa.string()),
        pa.field("unhashed", pa.bool_()),  # an image whose hash is told by its bytes
    ]
)
"""One row a file of an archive, as its manifest tells of it."""
WHOLE_FILE = ["path", "object", "offset", "stored_size", "size", "method", "crc32", "hash"]
"""What of a bundle's row is held of a whole file."""
IMAGE = rf"(?i)\.(?:{'|'.join(sorted(map(re.escape, IMAGE_EXTENSIONS)))})$"

Integers = NDArray[np.int64]

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
    """A piece of a file that spans bundles, deflated."""

    section: int
    separator: bytes
    object: str
    offset: int
    stored_size: int
    size: int
    crc32: int


class Volume:
    """An archive that is laid out, some way ahead of its being written. Volumes are counted from 1."""

    def __init__(self, number: int, facts: Mapping[str, object] | None) -> None:
        self.number = number
        self.directory: IO[bytes] = tempfile.SpooledTemporaryFile(DIRECTORY_BYTES)  # noqa: SIM115  # closed by `write`
        self.layout = Layout(self.directory)
        self.manifest = None if facts is None else Manifest(facts)

    def close(self) -> None:
        """Frees what it is spooled to."""
        self.directory.close()
        if self.manifest is not None:
            self.manifest.close()


@dataclass(slots=True)
class Fetch:
    """A range to read, and what of it goes into a volume: slices of it, before each of which goes something else."""

    volume: Volume
    object: str
    start: int
    end: int
    before: pa.Array
    """A header or separator for each slice: binary."""
    begins: Integers
    """Where each slice begins in the range."""
    ends: Integers
    files: pa.Table
    """Files that begin in it (FILE_SCHEMA): one for each slice, or one for all of them, or none."""

    def slices(self, data: memoryview) -> Iterator[memoryview]:
        """The slices of the range's bytes."""
        return (data[begin:end] for begin, end in zip(self.begins.tolist(), self.ends.tolist(), strict=True))

    def contents(self, data: memoryview) -> Iterator[bytes | memoryview]:
        """What goes into the volume."""
        return chain.from_iterable(zip(self.before.to_pylist(), self.slices(data), strict=True))


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
    one path, TOO_MANY_VOLUMES, OBJECT_TOO_SHORT where an object ends before a range in it, or BUNDLE_OUTDATED where an
    older version began the job; `NotFound` where an object is absent; then nothing is written.
    """
    spanning, counts = _survey(bucket, bundle_keys, volume_bytes)
    if facts is not None and bundle_keys:
        facts = {**facts, **bundle_facts(bucket, bundle_keys[-1])}
    volumes = Volumes(volume_bytes, len(str(facts)))
    written: list[ArchiveFile] = []
    count = 0
    laid_out = _fetches(bucket, _windows(bundle_keys, counts), spanning, volumes, facts)
    fetching = read_ahead(bucket, laid_out)
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
    fetched: Iterable[tuple[Fetch, memoryview]],
    report: Callable[[int], None],
    done: int,
) -> ArchiveFile:
    """Writes one archive; `done` files were written before it."""
    digest = xxhash.xxh3_128()
    manifest = volume.manifest
    try:
        with bucket.writer(key) as writer:

            def write(data: bytes | memoryview) -> None:
                digest.update(data)
                writer.write(data)

            listing = None if manifest is None else _Listing(manifest)
            for fetch, data in fetched:
                if len(data) < fetch.end - fetch.start:
                    raise errors.FailedPrecondition(
                        f"object {fetch.object!r} ends before a file that lies in it", reason="OBJECT_TOO_SHORT"
                    )
                for portion in _portions(fetch.contents(data)):
                    write(portion)
                if listing is not None:
                    listing.see(fetch.files, fetch.slices(data))
                done += fetch.files.num_rows
                report(done)
            if listing is not None and manifest is not None:
                listing.end()
                document, stored = manifest.end()
                write(volume.layout.header(MANIFEST, stored, manifest.size, deflate.METHOD, manifest.crc32))
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


def _portions(pieces: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
    """The same bytes in fewer pieces: small ones together, large ones as they are."""
    held: list[bytes | memoryview] = []
    size = 0
    for piece in pieces:
        if size + len(piece) > PORTION and held:
            yield b"".join(held)
            held, size = [], 0
        if len(piece) > PORTION:
            yield piece
        else:
            held.append(piece)
            size += len(piece)
    if held:
        yield b"".join(held)


class _Listing:
    """Enters files into a manifest as they pass by, with the hash of images."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._file: pa.Table | None = None
        self._hash = xxhash.xxh3_128()

    def see(self, files: pa.Table, slices: Iterable[memoryview]) -> None:
        """Some more bytes, and the files that begin with them. Where it is one, it may go on the next time."""
        if files.num_rows:
            self.end()
            unhashed = files["unhashed"].to_numpy()
            if files.num_rows == 1 and unhashed[0]:
                self._file = files
            elif unhashed.any():
                pairs = zip(unhashed.tolist(), slices, files["hash"].to_pylist(), strict=True)
                hashes = [xxhash.xxh3_128_hexdigest(data) if mine else known for mine, data, known in pairs]
                self._manifest.add(_with_hashes(files, hashes))
            else:
                self._manifest.add(files)
        if self._file is not None:
            for data in slices:
                self._hash.update(data)

    def end(self) -> None:
        """Enters the file that was seen last, where that is left to do."""
        if self._file is not None:
            self._manifest.add(_with_hashes(self._file, [self._hash.hexdigest()]))
            self._hash.reset()
            self._file = None


def _with_hashes(files: pa.Table, hashes: list[str | None]) -> pa.Table:
    return files.set_column(FILE_SCHEMA.get_field_index("hash"), "hash", pa.array(hashes, pa.string()))


def _survey(bucket: Bucket, bundle_keys: Sequence[str], volume_bytes: int) -> tuple[dict[str, list[Piece]], list[int]]:
    """The pieces of each spanning file in their order, and the whole files of each bundle, every path being there once.

    And that not too many volumes would be written.
    """
    total = 0
    spanning: defaultdict[str, list[Piece]] = defaultdict(list)
    digests: list[NDArray[np.uint64]] = []
    counts: list[int] = []
    for key in bundle_keys:
        table = read_bundle(bucket, key)
        total += pc.sum(table["stored_size"], min_count=0).as_py()
        whole = pc.equal(table["section"], 0)
        paths = table["path"].filter(whole)
        counts.append(len(paths))
        for first in range(0, len(paths), LAID_OUT_ROWS):
            digests.append(_digests(paths.slice(first, LAID_OUT_ROWS).to_pylist()))
        pieces = table.filter(pc.invert(whole))
        if pc.any(pc.not_equal(pieces["method"], deflate.METHOD)).as_py():
            raise errors.FailedPrecondition(
                f"the files of {key!r} were written by an older version; start the job again", reason="BUNDLE_OUTDATED"
            )
        for path, *piece in zip(*(pieces[name].to_pylist() for name in ("path", *Piece._fields)), strict=True):
            spanning[path].append(Piece(*piece))
        del table, whole, paths, pieces  # before the next is read
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
    return spanning, counts


def _digests(paths: Iterable[str]) -> NDArray[np.uint64]:
    return np.array([xxhash.xxh3_64_intdigest(path.encode()) for path in paths], np.uint64)


def _fetches(
    bucket: Bucket,
    windows: Iterable[Sequence[str]],
    spanning: dict[str, list[Piece]],
    volumes: Volumes,
    facts: Mapping[str, object] | None,
) -> Iterator[Fetch]:
    """The requests that bring all volumes but their directories and manifests, neighbours together."""
    volume: Volume | None = None

    def numbered(number: int) -> Volume:
        nonlocal volume
        if volume is None or volume.number != number:
            volume = Volume(number, facts if facts is None or not volumes.limit else {**facts, "volume": number})
        return volume

    for keys in windows:
        for number, some in volumes.deal(_whole_files(bucket, keys)):
            order = np.lexsort((some["offset"], some["object"].indices))
            for first in range(0, len(order), LAID_OUT_ROWS):
                laid_out = some.take(pa.array(order[first : first + LAID_OUT_ROWS]))
                yield from _neighbours(numbered(number), laid_out)
            del some, order, laid_out  # before the next are read
    for path in sorted(spanning):
        yield from _joined(path, spanning[path], volumes, numbered)


def _neighbours(volume: Volume, table: pa.RecordBatch) -> Iterator[Fetch]:
    """Fetches of whole files (of `_whole_files`), which are ordered by where they lie."""
    names = ("offset", "stored_size", "size", "method", "crc32")
    begin, stored, size, method, crc = (table[name].to_numpy().astype(np.int64) for name in names)
    paths = table["path"]
    headers = volume.layout.headers(paths, stored, size, method, crc)
    bare = pc.and_(pc.is_null(table["hash"]), pc.match_substring_regex(paths, IMAGE))
    unhashed = pc.and_(bare, pa.array(method == 0))
    files = pa.Table.from_batches([table.select(["path", "size", "crc32", "hash"]).append_column("unhashed", unhashed)])

    end = begin + stored
    objects, code = table["object"].dictionary, table["object"].indices.to_numpy().astype(np.int64)
    first, count = 0, len(begin)
    # The furthest end so far, in objects that lie one after the other.
    room = int(end.max(initial=0)) + RUN + GAP + 1
    reach = np.maximum.accumulate(code * room + end)
    apart = np.flatnonzero(code[1:] * room + begin[1:] > reach[:-1] + GAP) + 1
    while first < count:
        start, object = int(begin[first]), objects[int(code[first])].as_py()
        if stored[first] > RUN:
            header = headers[first].as_py()
            yield from _chunks(volume, object, start, int(end[first]), header, files.slice(first, 1))
            first += 1
            continue
        stop = int(apart[np.searchsorted(apart, first, "right")]) if len(apart) and apart[-1] > first else count
        most = int(code[first]) * room + start + RUN
        stop = max(first + int(np.searchsorted(reach[first:stop], most, "right")), first + 1)
        mine = slice(first, stop)
        begins, ends = begin[mine] - start, end[mine] - start
        yield Fetch(volume, object, start, start + int(ends.max()), headers[mine], begins, ends, files[mine])
        first = stop


def _chunks(volume: Volume, object: str, start: int, end: int, before: bytes, files: pa.Table) -> Iterator[Fetch]:
    """Fetches of one range, of RUN bytes at most."""
    for begin in range(start, max(end, start + 1), RUN):
        stop = min(begin + RUN, end)
        is_first = begin == start
        yield _fetch(
            *(volume, object, begin, stop, before if is_first else b""), files if is_first else files.slice(0, 0)
        )


def _fetch(volume: Volume, object: str, start: int, end: int, before: bytes, files: pa.Table) -> Fetch:
    """A fetch of one slice."""
    return Fetch(*(volume, object, start, end, pa.array([before]), np.array([0]), np.array([end - start])), files)


def _joined(path: str, pieces: list[Piece], volumes: Volumes, numbered: Callable[[int], Volume]) -> Iterator[Fetch]:
    """Fetches of a file of pieces, in their order."""
    firsts = [i == 0 or piece.section != pieces[i - 1].section for i, piece in enumerate(pieces)]
    separators = [b"" if first else piece.separator for first, piece in zip(firsts, pieces, strict=True)]
    before = [deflate.between(separator) for separator in separators]
    crc = size = 0
    for separator, piece in zip(separators, pieces, strict=True):
        crc = isal_zlib.crc32_combine(isal_zlib.crc32(separator, crc), piece.crc32, piece.size)
        size += len(separator) + piece.size
    stored = sum(map(len, before)) + sum(piece.stored_size for piece in pieces) + len(deflate.END)
    volume = numbered(volumes.place(path, stored))
    before[0] = volume.layout.header(path, stored, size, deflate.METHOD, crc) + before[0]
    files = pa.table([[path], [size], [crc], [None], [False]], schema=FILE_SCHEMA)
    for between, piece in zip(before, pieces, strict=True):
        end = piece.offset + piece.stored_size
        yield from _chunks(volume, piece.object, piece.offset, end, between, files)
        files = files.slice(0, 0)
    yield _fetch(volume, pieces[-1].object, end, end, deflate.END, files)


def _windows(bundle_keys: Sequence[str], counts: Sequence[int]) -> Iterator[Sequence[str]]:
    """Neighbouring bundles, of SORTED_ROWS whole files together unless one alone has more; the last is by itself."""
    first = rows = 0
    for i, count in enumerate(counts):
        if i > first and (rows + count > SORTED_ROWS or i == len(counts) - 1):
            yield bundle_keys[first:i]
            first, rows = i, 0
        rows += count
    if bundle_keys:
        yield bundle_keys[first:]


def _whole_files(bucket: Bucket, bundle_keys: Sequence[str]) -> pa.RecordBatch:
    """The rows of whole files (WHOLE_FILE of BUNDLE_SCHEMA) of some bundles.

    Objects are a sorted dictionary: of its indices the smaller comes first.
    """
    held: list[pa.Table] = []
    for key in bundle_keys:
        table = read_bundle(bucket, key)
        table = table.filter(pc.equal(table["section"], 0)).select(WHOLE_FILE)
        held.append(table.set_column(1, "object", table["object"].dictionary_encode()))
        del table  # before the next is read
    return _combined(held)


def _combined(tables: list[pa.Table]) -> pa.RecordBatch:
    """Tables of whole files as one. They are emptied column by column, so that not all is held twice."""
    columns = []
    for name in WHOLE_FILE:
        column = pa.chunked_array([chunk for one in tables for chunk in one[name].chunks], tables[0][name].type)
        columns.append(column.combine_chunks())
        tables[:] = [one.drop_columns([name]) for one in tables]
    objects = columns[1]
    order = pc.sort_indices(objects.dictionary)
    rank = pa.array(np.argsort(order.to_numpy()).astype(np.int32))
    columns[1] = pa.DictionaryArray.from_arrays(rank.take(objects.indices), objects.dictionary.take(order))
    return pa.RecordBatch.from_arrays(columns, names=WHOLE_FILE)
