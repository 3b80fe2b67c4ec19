"""Tar archives: their headers in order, and the index of a tar that lies in the bucket, read by ranges.

Read are ustar and pax (POSIX.1-2017, utility `pax`) and GNU tar ("Basic Tar Format" in its manual, base-256 numbers,
long names). A tar has no directory: a header stands before each file, and everything is found by stepping on.
"""

from collections.abc import Callable, Iterable, Iterator
from enum import IntEnum
from itertools import islice
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from framehouse.runtime import errors
from framehouse.runtime.config import Settings
from framehouse.store.archive import (
    FOLDER,
    INDEX_SCHEMA,
    LONGEST_PATH,
    Objection,
    check_count,
    check_names,
    damaged,
    drop_litter,
    leave_out,
    looks_like,
    object_to_names,
    remark,
    tidied,
)
from framehouse.store.bucket import Bucket
from framehouse.store.issues import IssueLog

BLOCK = 512
"""Bytes of a header; data is filled up to a multiple of it."""
FAR = 1 << 20
"""Bytes that are rather stepped over by a request of its own than read along."""
NEAR_WINDOW = 8 << 20
FAR_WINDOW = 64 << 10
LONGEST_EXTENSION = 1 << 20
"""Bytes of a long name or a pax header at most."""
LARGEST = 1 << 62
"""Bytes of a file at most: more fits no offset."""
ROWS = 1 << 16
"""Entries that are held as Python objects at once."""

SPARSE_TYPE = b"S"
PAX_TYPES = (b"x", b"X")
PAX_GLOBAL_TYPE = b"g"
LONG_NAME_TYPE = b"L"
LONG_LINK_TYPE = b"K"
VOLUME_TYPE = b"M"
PAX_RECORDS = (b"path", b"size", *(b"GNU.sparse." + name for name in (b"name", b"size", b"map", b"major")))
"""What is of interest here; each kind of sparse file has one of the last three."""
EXTENSIONS = (*PAX_TYPES, PAX_GLOBAL_TYPE, LONG_NAME_TYPE, LONG_LINK_TYPE)


class Kind(IntEnum):
    """What an entry is."""

    FILE = 0
    FOLDER = 1
    LINK = 2
    """Or a device, or a pipe."""
    OTHER = 3
    """A sparse file, or what some packer made up."""


KINDS = {
    b"0": Kind.FILE,
    b"\0": Kind.FILE,
    b"7": Kind.FILE,  # contiguous
    b"5": Kind.FOLDER,
    b"D": Kind.FOLDER,  # with a list of its files as data
    b"V": Kind.FOLDER,  # the name of the volume
    b"1": Kind.LINK,
    b"2": Kind.LINK,
    b"3": Kind.LINK,
    b"4": Kind.LINK,
    b"6": Kind.LINK,
}
WITHOUT_DATA = (b"1", b"2", b"3", b"4", b"5", b"6", b"V")
"""Types that are followed by no data, whatever their header says: that of a hard link says the file's size."""


class Member(NamedTuple):
    """An entry of a tar."""

    path: str
    kind: Kind
    offset: int
    """Of its data, in the tar."""
    size: int


class Located(NamedTuple):
    """An entry, and where its bytes are."""

    member: Member
    object: str
    offset: int
    crc32: int | None


class Forward(Protocol):
    """What a tar is read from: never backwards. Less is read only at the end; beyond it, nothing."""

    def seek(self, offset: int, /) -> object: ...
    def read(self, size: int, /) -> bytes: ...


def index_tar(bucket: Bucket, key: str, limits: Settings, report: Callable[[int], None]) -> tuple[pa.Table, IssueLog]:
    """Steps through the tar at `key`; answers as `index_members` does. Nothing has a checksum."""
    found = members(Ranges(bucket, key))
    return index_members((Located(member, key, member.offset, None) for member in found), limits, report)


def index_members(
    found: Iterable[Located], limits: Settings, report: Callable[[int], None]
) -> tuple[pa.Table, IssueLog]:
    """The index (INDEX_SCHEMA) of a tar's entries, and what was left out of it. `report` is told the entries so far.

    `InvalidArgument` with one of the reasons ARCHIVE_EMPTY, ARCHIVE_NESTED and ARCHIVE_TOO_MANY_ENTRIES, and those of
    `members`.
    """
    chunks: list[pa.RecordBatch] = []
    letters = 0
    entries = _counted(found, limits, report)
    while rows := list(islice(entries, ROWS)):
        chunks.append(_batch(rows))
        letters += chunks[-1]["path"].nbytes
        check_names(letters)
    if not chunks:
        raise errors.InvalidArgument("the archive holds no files", reason="ARCHIVE_EMPTY")
    table = drop_litter(pa.Table.from_batches(chunks))
    kind = table["kind"].to_numpy()
    objections = [
        *object_to_names(table["path"]),
        Objection(
            kind == Kind.LINK,
            "ENTRY_IS_LINK",
            "the entry is a link, a device or a pipe, not a file",
            "pack the file that the link leads to (tar does so with --dereference --hard-dereference)",
        ),
        Objection(
            kind == Kind.OTHER,
            "ENTRY_METHOD_UNSUPPORTED",
            "the entry is a sparse file, or of a kind that is not known; only plain files are read",
            "pack it with tar's usual settings, without --sparse",
        ),
    ]
    issues = IssueLog()
    table = leave_out(table, objections, issues)
    remark(table["path"], issues)
    return table.select(INDEX_SCHEMA.names).cast(INDEX_SCHEMA).sort_by("path").combine_chunks(), issues


def _counted(found: Iterable[Located], limits: Settings, report: Callable[[int], None]) -> Iterator[Located]:
    for count, entry in enumerate(found, 1):
        check_count(count, limits)
        report(count)
        yield entry


def _batch(rows: list[Located]) -> pa.RecordBatch:
    found, objects, offsets, checksums = zip(*rows, strict=True)
    names = pa.array([member.path for member in found], pa.string())
    kind = pa.array([member.kind for member in found], pa.int8())
    size = pa.array([member.size for member in found], pa.int64())
    columns = {
        "path": tidied(names),
        "object": pa.array(objects, pa.string()),
        "header_offset": pa.array(np.full(len(rows), -1)),
        "data_offset": pa.array(offsets, pa.int64()),
        "stored_size": size,
        "size": size,
        "method": pa.array(np.zeros(len(rows), np.int8)),
        "crc32": pa.array(checksums, pa.uint32()),
        "frame": pa.nulls(len(rows), pa.int64()),
        "kind": kind,
        "folder": pc.or_(pc.match_substring_regex(names, FOLDER), pc.equal(kind, int(Kind.FOLDER))),
    }
    return pa.RecordBatch.from_pydict(columns)


def is_tar(head: bytes) -> bool:
    """Whether a file that begins so is a tar: whether its first header has the checksum that it says."""
    return len(head) >= BLOCK and head[0] != 0 and _checksum_fits(head[:BLOCK])


def members(file: Forward) -> Iterator[Member]:
    """The entries in their order. After each, its data may be read from `file`.

    `InvalidArgument` with one of the reasons ARCHIVE_UNKNOWN, ARCHIVE_TRUNCATED, ARCHIVE_DAMAGED and ARCHIVE_SPLIT.
    """
    lasting: dict[bytes, bytes] = {}
    once: dict[bytes, bytes] = {}
    at = 0
    while True:
        file.seek(at)
        block = file.read(BLOCK)
        if len(block) == BLOCK and not block.strip(b"\0"):
            return
        if at == 0 and not is_tar(block):
            raise _no_tar(block)
        if len(block) < BLOCK:
            raise truncated()
        if not _checksum_fits(block):
            raise damaged(f"there is no header at byte {at:,}, where one should be")
        at += BLOCK
        kind, size = block[156:157], _number(block[124:136], at)
        if kind in EXTENSIONS:
            if size > LONGEST_EXTENSION:
                raise damaged(f"a name or header at byte {at:,} has {size:,} bytes")
            data = file.read(size)
            if len(data) < size:
                raise truncated()
            if kind == LONG_NAME_TYPE:
                once[b"path"] = data.partition(b"\0")[0]
            elif kind != LONG_LINK_TYPE:
                (lasting if kind == PAX_GLOBAL_TYPE else once).update(_pax(data, at))
            at += _padded(size)
            continue
        if kind == VOLUME_TYPE:
            raise errors.InvalidArgument(
                "the archive is one of several volumes; join them into one archive first", reason="ARCHIVE_SPLIT"
            )
        fields = lasting | once
        once = {}
        if said := fields.get(b"size"):
            size = _decimal(said, at)
        if kind in WITHOUT_DATA:
            size = 0
        sparse = kind == SPARSE_TYPE or any(name.startswith(b"GNU.sparse.") for name in fields)
        if kind == SPARSE_TYPE:
            at += _sparse_extensions(file, block)
        name = fields.get(b"GNU.sparse.name") or fields.get(b"path") or _name(block)
        # What is cut here is left out for its length; many of them at once would take much memory.
        yield Member(_text(name[: LONGEST_PATH + 1]), Kind.OTHER if sparse else KINDS.get(kind, Kind.OTHER), at, size)
        at += _padded(size)


def _sparse_extensions(file: Forward, header: bytes) -> int:
    """Steps over the blocks that continue the header of a sparse file; answers with their bytes."""
    count = 0
    more = header[482]
    while more:
        block = file.read(BLOCK)
        if len(block) < BLOCK:
            raise truncated()
        more = block[504]
        count += 1
    return count * BLOCK


def _no_tar(head: bytes) -> errors.InvalidArgument:
    """Something else than a tar, which begins so."""
    if not head:
        return errors.InvalidArgument("nothing is packed in the archive", reason="ARCHIVE_EMPTY")
    return errors.InvalidArgument(
        f"what is packed is no tar archive, but looks like {looks_like(head)}; send the files as one archive",
        reason="ARCHIVE_UNKNOWN",
    )


def truncated() -> errors.InvalidArgument:
    """An archive whose end is missing."""
    return errors.InvalidArgument(
        "the archive is cut off: it ends before its last file does, or without the mark that ends a tar; send it again",
        reason="ARCHIVE_TRUNCATED",
    )


class Ranges:
    """An object as `Forward`: by large ranges where little is stepped over, by small ones where much is."""

    def __init__(self, bucket: Bucket, key: str) -> None:
        self._bucket = bucket
        self._key = key
        self._window = b""
        self._offset = 0
        self._position = 0
        self._last = 0

    def seek(self, offset: int, /) -> None:
        self._position = offset

    def read(self, size: int, /) -> bytes:
        start = self._position - self._offset
        if start + size > len(self._window):
            window = NEAR_WINDOW if self._position - self._last <= FAR else FAR_WINDOW
            self._window = self._bucket.get_range(self._key, self._position, max(size, window))
            self._offset = self._position
            start = 0
        data = self._window[start : start + size]
        self._position += len(data)
        self._last = self._position
        return data


def _checksum_fits(block: bytes) -> bool:
    field = block[148:156].strip(b" \0")
    if not field.isdigit() or field.strip(b"01234567"):
        return False
    said, others = int(field, 8), block[:148] + block[156:]
    total = sum(others) + 8 * ord(" ")
    # Some old packers summed signed bytes.
    return said == total or said == total - 256 * sum(byte >= 0x80 for byte in others)


def _number(field: bytes, at: int) -> int:
    """A size: octal digits, or with the highest bit set base 256."""
    if field[0] & 0x80:
        value = int.from_bytes(field) - (0x80 << 8 * (len(field) - 1))
    else:
        digits = field.partition(b"\0")[0].strip(b" ") or b"0"
        if digits.strip(b"01234567"):
            raise damaged(f"the header before byte {at:,} has {digits!r} for a size")
        value = int(digits, 8)
    if value > LARGEST:
        raise damaged(f"the header before byte {at:,} says {value:,} bytes")
    return value


def _decimal(digits: bytes, at: int) -> int:
    """A number in a pax header."""
    if not digits.isdigit() or len(digits) > 19 or int(digits) > LARGEST:
        raise damaged(f"the header before byte {at:,} has {digits[:40]!r} for a size")
    return int(digits)


def _pax(data: bytes, at: int) -> Iterator[tuple[bytes, bytes]]:
    """The known records of a pax header, each `length name=value\\n`, whose length counts itself."""
    place = 0
    while place < len(data) and data[place]:
        space = data.find(b" ", place, place + 8)
        digits = data[place : max(space, place)]
        end = place + (int(digits) if digits.isdigit() else 0)
        name, equals, value = data[space + 1 : end - 1].partition(b"=")
        if data[end - 1 : end] != b"\n" or not equals:
            raise damaged(f"the extended header at byte {at:,} is unreadable")
        if name in PAX_RECORDS:
            yield name, value
        place = end


def _name(block: bytes) -> bytes:
    """The name in a header; ustar has room for what goes before it, where GNU tar keeps other things."""
    name = block[:100].partition(b"\0")[0]
    prefix = block[345:500].partition(b"\0")[0] if block[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _text(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        return name.decode("latin-1")


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK
