"""Packs: the bytes of entries, read from the objects they lie in by few large ranges.

Neighbours are fetched together and ahead of their use, unpacked within their announced size, and checked against their
checksum. Where entries lie is said by an index (`framehouse.store.archive`) or by the columns of a table.
"""

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
import pyarrow as pa
import xxhash
from isal import isal_zlib as zlib  # twice as fast
from numpy.typing import NDArray

from framehouse.store.bucket import Bucket
from framehouse.store.structures import structures_at

Integers = NDArray[np.int64]

GAP = 256 << 10
"""Bytes between neighbours that are rather fetched and dropped than asked around."""
RUN = 8 << 20
"""Bytes of one request, unless a single entry is larger."""
AHEAD = 2 * RUN
REQUESTS = 4
"""Requests on their way at once; a store answers small ones slowly, one by one."""
PIECE = 1 << 20
"""Bytes of entries that are unpacked at once, unless a single entry is larger."""
LOCAL_HEADER = 30
"""Bytes of a local header without its name and extra field."""
EXTRA_GUESS = 512
"""Bytes allowed for the name and extra field of a local header until it is read."""

MAGIC = int.from_bytes(b"PK\3\4", "little")
LOCAL = np.dtype([("magic", "<u4"), ("facts", "V22"), ("name_length", "<u2"), ("extra_length", "<u2")])
"""A local header without its name and extra field; its facts are those of the archive's directory."""

PLACE = np.dtype(
    [
        ("header_offset", "i8"),
        ("data_offset", "i8"),
        ("stored_size", "i8"),
        ("size", "i8"),
        ("method", "i1"),
        ("crc32", "u4"),
        ("has_crc32", "?"),
    ]
)
"""Where an entry lies, as INDEX_SCHEMA has it."""
Places = NDArray[np.void]
"""Some, of the type PLACE."""


@dataclass(slots=True)
class Entry:
    """The bytes of one file."""

    data: bytes
    """Inflated."""
    data_offset: int
    """Where the stored bytes begin in the object."""
    crc32: int = 0
    """Of `data`."""
    damage: str = ""
    """What is wrong with it, for an issue ENTRY_DAMAGED; `data` is then not to be trusted."""


class Piece(NamedTuple):
    """Entries that lie near each other, in columns."""

    rows: Integers
    """Which entries these are."""
    data: list[bytes]
    """Inflated."""
    data_offset: Integers
    """Where the stored bytes of each begin in the object."""
    crc32: NDArray[np.uint32]
    """Of `data`."""
    damage: dict[int, str]
    """What is wrong with some, by their position in the piece, as in `Entry`."""


class Range(Protocol):
    """Bytes `start` to `end` of an object."""

    @property
    def object(self) -> str: ...
    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...


R = TypeVar("R", bound=Range)


class Run(NamedTuple):
    """A range to fetch: bytes `start` to `end` of an object, and the rows in it, where it has any."""

    object: str
    start: int
    end: int
    rows: Integers = np.zeros(0, np.int64)


def read_entries(bucket: Bucket, entries: pa.Table | pa.RecordBatch) -> Iterator[tuple[int, Entry]]:
    """Yields (row, entry) for every row, ordered by where they lie, in memory of a few requests or large entries.

    `entries` has the columns object, header_offset, data_offset, stored_size, size, method and crc32 of INDEX_SCHEMA;
    a checksum that is null is not compared.
    What is wrong with an entry is said by the entry; `NotFound` is raised where an object is absent.
    """
    for piece in read_pieces(bucket, entries):
        columns = (piece.rows.tolist(), piece.data, piece.data_offset.tolist(), piece.crc32.tolist())
        for k, (row, data, at, crc) in enumerate(zip(*columns, strict=True)):
            yield row, Entry(data, at, crc, piece.damage.get(k, ""))


def read_pieces(bucket: Bucket, entries: pa.Table | pa.RecordBatch) -> Iterator[Piece]:
    """As `read_entries`, many at once: for those who read a great number of small ones."""
    places = np.zeros(entries.num_rows, PLACE)
    for name in ("header_offset", "data_offset", "stored_size", "size", "method"):
        places[name] = entries[name]
    places["crc32"], places["has_crc32"] = entries["crc32"].fill_null(0), entries["crc32"].is_valid()
    known = places["data_offset"] >= 0
    begin = np.where(known, places["data_offset"], places["header_offset"])
    end = begin + places["stored_size"] + np.where(known, 0, LOCAL_HEADER + EXTRA_GUESS)
    for run, fetched in fetch_ahead(bucket, runs(entries["object"], begin, end)):
        mine = places[run.rows]
        offset = _data_offsets(fetched, run.start, mine)
        ends = np.cumsum(np.where(offset >= 0, mine["size"], 0))
        first = 0
        while first < len(ends):
            before = int(ends[first - 1]) if first else 0
            last = max(int(np.searchsorted(ends, before + PIECE, "right")), first + 1)
            some = slice(first, last)
            yield _piece(bucket, run, fetched, run.rows[some], offset[some], mine[some])
            first = last


def content_hash(data: bytes) -> str:
    """The name of an image's bytes: XXH3-128 as 32 hexadecimal digits."""
    return xxhash.xxh3_128_hexdigest(data)


def runs(objects: pa.Array | pa.ChunkedArray, start: Integers, end: Integers) -> Iterator[Run]:
    """Groups ranges, bytes `start` to `end` of objects, into requests: neighbours within GAP together, up to RUN bytes
    each.
    """
    if not len(start):
        return
    codes = objects.dictionary_encode()
    codes = codes.combine_chunks() if isinstance(codes, pa.ChunkedArray) else codes
    names = codes.dictionary.to_pylist()
    rank = np.argsort(np.argsort(np.array(names, object)))[np.asarray(codes.indices)]
    order = np.lexsort((end, start, rank))
    start, end, rank = start[order], end[order], rank[order]
    bounds = np.append(np.flatnonzero(np.diff(rank, prepend=-1)), len(order))
    for first, end_of_object in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        name = names[int(np.asarray(codes.indices)[order[first]])]
        low = first
        while low < end_of_object:
            origin = int(start[low])
            near = low + int(np.searchsorted(start[low:end_of_object], origin + RUN, "right"))
            reach = np.maximum.accumulate(end[low:near])
            apart = (start[low + 1 : near] - reach[:-1] > GAP) | (end[low + 1 : near] - origin > RUN)
            last = low + 1 + int(np.argmax(apart)) if apart.any() else near
            yield Run(name, origin, int(reach[last - low - 1]), order[low:last])
            low = last


def fetch_ahead(bucket: Bucket, wanted: Iterable[R]) -> Generator[tuple[R, bytes], None, None]:
    """Fetches ranges in order, the next ones before they are asked for: several where they are small.

    Holds AHEAD bytes, or one range where that is larger, beside the one that was yielded last.
    """
    pending: deque[tuple[R, Future[bytes]]] = deque()
    held = 0
    threads = ThreadPoolExecutor(REQUESTS, thread_name_prefix="fetch")
    try:
        for one in wanted:
            length = one.end - one.start
            while pending and (held + length > AHEAD or len(pending) > REQUESTS):
                first, fetched = pending.popleft()
                held -= first.end - first.start
                yield first, fetched.result()
            pending.append((one, threads.submit(bucket.get_range, one.object, one.start, length)))
            held += length
        while pending:
            first, fetched = pending.popleft()
            yield first, fetched.result()
    finally:
        threads.shutdown(cancel_futures=True)


def _data_offsets(fetched: bytes, origin: int, places: Places) -> Integers:
    """Where the bytes of each entry begin in the object, by its local header; -1 where there is none.

    `fetched` is what was fetched of the object from byte `origin` on.
    """
    offset: Integers = places["data_offset"].copy()
    headed = np.flatnonzero(offset < 0)
    headed = headed[places["header_offset"][headed] - origin + LOCAL_HEADER <= len(fetched)]
    if len(headed):
        head = structures_at(fetched, places["header_offset"][headed] - origin, LOCAL)
        begin = places["header_offset"][headed] + LOCAL_HEADER + head["name_length"] + head["extra_length"]
        offset[headed] = np.where(head["magic"] == MAGIC, begin, -1)
    return offset


def _piece(bucket: Bucket, run: Run, fetched: bytes, rows: Integers, offset: Integers, places: Places) -> Piece:
    """Unpacks entries of a run that was fetched, never beyond the size that each announced, and checks them."""
    damage: dict[int, str] = {}
    begin = offset - run.start
    end = np.where(offset >= 0, begin + places["stored_size"], begin)
    data = [fetched[first:last] for first, last in zip(begin.tolist(), end.tolist(), strict=True)]
    for k in np.flatnonzero((offset < 0) | (end > len(fetched))).tolist():
        if offset[k] < 0:
            data[k], damage[k] = b"", "there is no entry where the archive's directory says"
            continue
        # The header was longer than guessed, and nobody's neighbour.
        data[k] = bucket.get_range(run.object, int(offset[k]), int(places["stored_size"][k]))
        if len(data[k]) < places["stored_size"][k]:
            data[k], damage[k] = b"", "the archive ends before the entry does"
    for k in np.flatnonzero(places["method"] != 0).tolist():
        if k in damage:
            continue
        try:
            data[k] = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data[k], int(places["size"][k]) + 1)
        except zlib.error as error:  # type: ignore[misc]
            data[k], damage[k] = b"", f"its bytes cannot be unpacked ({error})"
    lengths, sizes = np.fromiter(map(len, data), np.int64, len(data)), places["size"]
    for k in np.flatnonzero(lengths != sizes).tolist():
        if k not in damage:
            more = "more" if lengths[k] > sizes[k] else f"{lengths[k]:,}"
            data[k], damage[k] = b"", f"it unpacks to {more} bytes instead of the {sizes[k]:,} announced"
    checksums = np.fromiter(map(zlib.crc32, data), np.uint32, len(data))
    for k in np.flatnonzero(places["has_crc32"] & (checksums != places["crc32"])).tolist():
        damage.setdefault(k, "its bytes do not match their checksum")
    return Piece(rows, data, offset, checksums, damage)
