"""Packs: the bytes of entries, read from the objects they lie in by few large ranges.

Neighbours are fetched together and ahead of their use, unpacked within their announced size, and checked against their
checksum. Where entries lie is said by an index (`framehouse.store.archive`) or by the columns of a table.
"""

import struct
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

import pyarrow as pa
import xxhash
from isal import isal_zlib as zlib  # twice as fast

from framehouse.store.bucket import Bucket

GAP = 256 << 10
"""Bytes between neighbours that are rather fetched and dropped than asked around."""
RUN = 8 << 20
"""Bytes of one request, unless a single entry is larger."""
AHEAD = 2 * RUN
REQUESTS = 4
"""Requests on their way at once; a store answers small ones slowly, one by one."""
LOCAL_HEADER = 30
EXTRA_GUESS = 512
"""Bytes allowed for the name and extra field of a local header until it is read."""


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
    """A range to fetch: bytes `start` to `end` of an object, and the rows in it."""

    object: str
    start: int
    end: int
    rows: list[int]


def read_entries(bucket: Bucket, entries: pa.Table | pa.RecordBatch) -> Iterator[tuple[int, Entry]]:
    """Yields (row, entry) for every row, ordered by where they lie, in memory of a few requests or large entries.

    `entries` has the columns object, header_offset, data_offset, stored_size, size, method and crc32 of INDEX_SCHEMA;
    a checksum that is null is not compared.
    What is wrong with an entry is said by the entry; `NotFound` is raised where an object is absent.
    """
    objects = entries["object"].to_pylist()
    header, start, stored, size, method = (
        entries[name].to_numpy(zero_copy_only=False).tolist()
        if isinstance(entries, pa.RecordBatch)
        else entries[name].to_numpy().tolist()
        for name in ("header_offset", "data_offset", "stored_size", "size", "method")
    )
    crc = entries["crc32"].to_pylist()

    def read(i: int, run: Run, data: memoryview) -> Entry:
        at = start[i]
        if at < 0:
            head = data[header[i] - run.start :][:LOCAL_HEADER]
            if len(head) < LOCAL_HEADER or bytes(head[:4]) != b"PK\3\4":
                return Entry(b"", -1, damage="there is no entry where the archive's directory says")
            name_length, extra_length = struct.unpack_from("<HH", head, 26)
            at = header[i] + LOCAL_HEADER + name_length + extra_length
        packed = data[at - run.start : at - run.start + stored[i]]
        if len(packed) < stored[i]:  # the header was longer than guessed, and nobody's neighbour
            packed = memoryview(bucket.get_range(run.object, at, stored[i]))
        if len(packed) < stored[i]:
            return Entry(b"", at, damage="the archive ends before the entry does")
        return _unpack(packed, at, size[i], method[i], crc[i])

    spans = [
        (objects[i], start[i], start[i] + stored[i])
        if start[i] >= 0
        else (objects[i], header[i], header[i] + LOCAL_HEADER + EXTRA_GUESS + stored[i])
        for i in range(len(objects))
    ]
    for run, fetched in fetch_ahead(bucket, runs(spans)):
        view = memoryview(fetched)
        for i in run.rows:
            yield i, read(i, run, view)


def content_hash(data: bytes) -> str:
    """The name of an image's bytes: XXH3-128 as 32 hexadecimal digits."""
    return xxhash.xxh3_128_hexdigest(data)


def runs(spans: list[tuple[str, int, int]]) -> Iterator[Run]:
    """Groups (object, start, end) into requests: neighbours within GAP together, up to RUN bytes each."""
    run: Run | None = None
    for i in sorted(range(len(spans)), key=spans.__getitem__):
        name, start, end = spans[i]
        if run and run.object == name and start - run.end <= GAP and end - run.start <= RUN:
            run.rows.append(i)
            run = run._replace(end=max(run.end, end))
        else:
            if run:
                yield run
            run = Run(name, start, end, [i])
    if run:
        yield run


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


def _unpack(packed: memoryview, at: int, size: int, method: int, crc: int | None) -> Entry:
    """Inflates one entry, never beyond the size it announced, and checks it."""
    if method == 0:
        data = bytes(packed)
    else:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            data = inflater.decompress(packed, size + 1)
        except zlib.error as error:  # type: ignore[misc]
            return Entry(b"", at, damage=f"its bytes cannot be unpacked ({error})")
    if len(data) != size:
        more = "more" if len(data) > size else f"{len(data):,}"
        return Entry(b"", at, damage=f"it unpacks to {more} bytes instead of the {size:,} announced")
    found = zlib.crc32(data)
    if crc is not None and found != crc:
        return Entry(data, at, found, "its bytes do not match their checksum")
    return Entry(data, at, found)
