"""An indexed archive as the formats see it: entries in columns, and the bytes of few of them."""

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from isal import isal_zlib as zlib  # twice as fast
from numpy.typing import NDArray

from framehouse.runtime import errors
from framehouse.store.bucket import Bucket
from framehouse.store.entry_bytes import DamagedEntry, data_start, unpacked
from framehouse.store.image_names import IMAGE_EXTENSIONS
from framehouse.store.packs import read_entries
from framehouse.store.structures import structures_at

CHUNK = 4 << 20
"""Bytes that a large file is read by."""
PIECE = 256 << 10
"""Packed bytes that are unpacked at once."""
AHEAD = 2
"""Chunks made before they are asked for."""
FULL = np.uint64((1 << 64) - 1)


@dataclass(frozen=True)
class Archive:
    """An index (INDEX_SCHEMA), the bucket that its bytes lie in, and a prefix that files may be unpacked under."""

    entries: pa.Table
    bucket: Bucket
    scratch: str
    _beginnings: dict[int, tuple[int, bytes]] = field(default_factory=dict, compare=False, repr=False)
    """What was asked for of the beginnings of files, and what came: every format looks at the same ones."""
    _rows: dict[tuple[str, ...], NDArray[np.int64]] = field(default_factory=dict, compare=False, repr=False)
    """Rows by extensions: likewise."""

    @cached_property
    def paths(self) -> pa.Array:
        """All files."""
        return self.entries["path"].combine_chunks()

    def images(self) -> NDArray[np.int64]:
        """Rows of the files that are images by their extension. Shared: not to be changed."""
        return self.with_extension(*sorted(IMAGE_EXTENSIONS))

    def with_extension(self, *extensions: str) -> NDArray[np.int64]:
        """Rows of the files with one of these extensions, in any case, of seven letters at most.

        Shared: not to be changed.
        """
        if extensions not in self._rows:
            found = np.zeros(len(self.paths), bool)
            for extension in extensions:
                wanted = int.from_bytes(f".{extension}".encode())
                found |= self._endings & ((1 << 8 * (len(extension) + 1)) - 1) == wanted
            self._rows[extensions] = np.flatnonzero(found)
        return self._rows[extensions]

    @cached_property
    def _endings(self) -> NDArray[np.uint64]:
        """The last eight bytes of each path, letters in lower case, zeros before the path's first."""
        _, places, letters = self.paths.buffers()
        if places is None or letters is None:
            return np.zeros(len(self.paths), np.uint64)
        offsets = np.frombuffer(places, np.int32)[self.paths.offset :][: len(self.paths) + 1].astype(np.int64)
        last = structures_at(bytes(8) + letters.to_pybytes(), offsets[1:], np.dtype([("bytes", ">u8")]))["bytes"]
        missing = np.maximum(8 - np.diff(offsets), 0).astype(np.uint64)
        # A bit tells small letters from capitals; of what else an extension is made it is always set.
        return np.where(missing < 8, (last | 0x2020202020202020) & (FULL >> 8 * (missing & 7)), 0).astype(np.uint64)

    def path(self, row: int) -> str:
        """Name of a file."""
        return str(self.entries["path"][row].as_py())

    def read(self, row: int, limit: int) -> bytes:
        """A small file, whole. InvalidArgument where it is larger than `limit` bytes or damaged."""
        size = self.entries["size"][row].as_py()
        if size > limit:
            raise errors.InvalidArgument(
                f"{self.path(row)}: {size:,} bytes are more than such a file can have ({limit:,})",
                reason="FILE_TOO_LARGE",
            )
        ((_, entry),) = read_entries(self.bucket, self.entries.slice(row, 1))
        if entry.damage:
            raise self._damaged(row, entry.damage)
        return entry.data

    def beginning(self, row: int, count: int) -> bytes:
        """The first bytes of a file; fewer, or none, where it is shorter or damaged."""
        asked, data = self._beginnings.get(row, (0, b""))
        if asked < count:
            data = self._beginning(row, count)
            self._beginnings[row] = count, data
        return data[:count]

    def _beginning(self, row: int, count: int) -> bytes:
        key, offset, stored = self.locate(row)
        packed = self.bucket.get_range(key, offset, min(stored, count))
        if self.entries["method"][row].as_py() == 0:
            return packed
        try:
            return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, count)
        except zlib.error:  # type: ignore[misc]  # a class, whatever its stubs say
            return b""

    def locate(self, row: int) -> tuple[str, int, int]:
        """Where the stored bytes of a file lie: object, offset, length."""
        entry = self._entry(row)
        try:
            return entry["object"], data_start(self.bucket, entry), entry["stored_size"]
        except DamagedEntry as error:
            raise self._damaged(row, str(error)) from error

    def stream(self, row: int, see: Callable[[bytes, bytes], None] | None = None) -> Iterator[bytes]:
        """A file of any size, unpacked, in chunks, and never more than it announced.

        Its size and, where it has one, its checksum are verified at the end. `see` is given the stored bytes piece by
        piece, and what each was unpacked to; of one that unpacks to CHUNK bytes more may come with the next.
        InvalidArgument where the file is damaged.
        """
        key, offset, stored = self.locate(row)
        entry = self._entry(row)
        pieces = self._pieces(key, offset, stored, PIECE if entry["method"] else CHUNK)
        try:
            for packed, data in unpacked(entry, pieces, CHUNK):
                if see:
                    see(packed, data)
                yield data
        except DamagedEntry as error:
            raise self._damaged(row, str(error)) from error

    def _entry(self, row: int) -> dict[str, Any]:
        """A row of the index."""
        entry: dict[str, Any] = self.entries.slice(row, 1).to_pylist()[0]
        return entry

    def _pieces(self, key: str, offset: int, stored: int, size: int) -> Iterator[bytes]:
        """Bytes of an object, `size` at a time, fetched ahead."""
        ranges = ((start, min(CHUNK, stored - start)) for start in range(0, stored, CHUNK))
        for chunk in ahead(self.bucket.get_range(key, offset + start, length) for start, length in ranges):
            yield from (chunk[first : first + size] for first in range(0, len(chunk), size))

    def _damaged(self, row: int, text: str) -> errors.InvalidArgument:
        return errors.InvalidArgument(
            f"{self.path(row)} is damaged: {text}; pack and send the archive again", reason="ENTRY_DAMAGED"
        )


def ahead(chunks: Iterator[bytes]) -> Generator[bytes, None, None]:
    """The same chunks; the next ones are made in a thread while the caller works on one."""
    thread = ThreadPoolExecutor(1)
    try:
        pending = deque(thread.submit(next, chunks, None) for _ in range(AHEAD))
        while (chunk := pending.popleft().result()) is not None:
            pending.append(thread.submit(next, chunks, None))
            yield chunk
    finally:
        thread.shutdown(cancel_futures=True)
