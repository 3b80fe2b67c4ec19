"""One entry of an archive as a seekable file, however large it is: for decoders that jump about in what they read.

A stored entry is read where it lies. A deflated one cannot be, and is inflated into an object of its own first.
"""

import io
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from framehouse.store.bucket import Bucket
from framehouse.store.packs import LOCAL_HEADER
from framehouse.store.seeking import SeekableFile

CHUNK = 4 << 20


class DamagedEntry(Exception):
    """What is wrong with an entry, for an issue ENTRY_DAMAGED."""


def open_entry(
    bucket: Bucket, entry: Mapping[str, Any], scratch_key: str, report: Callable[[int], None]
) -> io.RawIOBase:
    """The entry that a row of an index (INDEX_SCHEMA) describes. `scratch_key`: where it may be inflated to.

    `report` is told the bytes inflated so far. Raises `DamagedEntry`; `NotFound` where the object is absent. The
    checksum of a stored entry is not looked at.
    """
    start = _data_start(bucket, entry)
    if entry["method"] == 0:
        return _Part(bucket.open(entry["object"]), start, entry["size"])
    _inflate(bucket, entry, start, scratch_key, report)
    return bucket.open(scratch_key)


def _data_start(bucket: Bucket, entry: Mapping[str, Any]) -> int:
    if entry["data_offset"] >= 0:
        return int(entry["data_offset"])
    header = bucket.get_range(entry["object"], entry["header_offset"], LOCAL_HEADER)
    if len(header) < LOCAL_HEADER or not header.startswith(b"PK\3\4"):
        raise DamagedEntry("there is no entry where the archive's directory says")
    lengths = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    return int(entry["header_offset"]) + LOCAL_HEADER + lengths


def _inflate(
    bucket: Bucket, entry: Mapping[str, Any], start: int, scratch_key: str, report: Callable[[int], None]
) -> None:
    """Writes the entry inflated to `scratch_key`, never beyond the size it announced."""
    size, checksum = 0, 0
    with bucket.writer(scratch_key) as writer:
        for data in _inflated(bucket, entry, start):
            size += len(data)
            if size > entry["size"]:
                raise DamagedEntry(f"it unpacks to more than the {entry['size']:,} bytes announced")
            checksum = zlib.crc32(data, checksum)
            writer.write(data)
            report(size)
        if size != entry["size"]:
            raise DamagedEntry(f"it unpacks to {size:,} bytes instead of the {entry['size']:,} announced")
        if entry["crc32"] is not None and checksum != entry["crc32"]:
            raise DamagedEntry("its bytes do not match their checksum")


def _inflated(bucket: Bucket, entry: Mapping[str, Any], start: int) -> Iterator[bytes]:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        for offset in range(0, entry["stored_size"], CHUNK):
            packed = bucket.get_range(entry["object"], start + offset, min(CHUNK, entry["stored_size"] - offset))
            while packed:
                yield inflater.decompress(packed, CHUNK)
                packed = inflater.unconsumed_tail
            if inflater.eof:  # the inflater would gather all that comes after it
                return
        yield inflater.flush()
    except zlib.error as error:
        raise DamagedEntry(f"its bytes cannot be unpacked ({error})") from error


class _Part(SeekableFile):
    """Bytes `start` to `start + size` of a file as a file."""

    def __init__(self, file: io.RawIOBase, start: int, size: int) -> None:
        super().__init__(size)
        self._file = file
        self._start = start

    def read(self, size: int | None = -1, /) -> bytes:
        rest = max(self.size - self._position, 0)
        self._file.seek(self._start + self._position)
        data = self._file.read(rest if size is None or size < 0 else min(size, rest)) or b""
        self._position += len(data)
        return data
