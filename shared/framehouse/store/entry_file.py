"""One entry of an archive as a seekable file, however large it is: for decoders that jump about in what they read.

A stored entry is read where it lies. A deflated one cannot be, and is inflated into an object of its own first.
"""

import io
from collections.abc import Callable, Mapping
from typing import Any

from framehouse.store.bucket import Bucket
from framehouse.store.entry_bytes import data_start, unpacked
from framehouse.store.seeking import SeekableFile

CHUNK = 4 << 20


def open_entry(
    bucket: Bucket, entry: Mapping[str, Any], scratch_key: str, report: Callable[[int], None]
) -> io.RawIOBase:
    """The entry that a row of an index (INDEX_SCHEMA) describes. `scratch_key`: where it may be inflated to.

    `report` is told the bytes inflated so far. Raises `DamagedEntry`; `NotFound` where the object is absent. The
    checksum of a stored entry is not looked at.
    """
    start = data_start(bucket, entry)
    if entry["method"] == 0:
        return _Part(bucket.open(entry["object"]), start, entry["size"])
    _inflate(bucket, entry, start, scratch_key, report)
    return bucket.open(scratch_key)


def _inflate(
    bucket: Bucket, entry: Mapping[str, Any], start: int, scratch_key: str, report: Callable[[int], None]
) -> None:
    """Writes the entry inflated to `scratch_key`."""
    stored, size = entry["stored_size"], 0
    ranges = ((start + offset, min(CHUNK, stored - offset)) for offset in range(0, stored, CHUNK))
    pieces = (bucket.get_range(entry["object"], offset, length) for offset, length in ranges)
    with bucket.writer(scratch_key) as writer:
        for _, data in unpacked(entry, pieces, CHUNK):
            writer.write(data)
            size += len(data)
            report(size)


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
