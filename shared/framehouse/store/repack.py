"""What cannot be read at random: a compressed tar is streamed once, and its files are laid into objects of their own.

The same archive gives the same objects, byte for byte, so a step that is done again changes nothing. Memory is that
of a few requests.
"""

import io
import re
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing

import pyarrow as pa

from framehouse.runtime import errors
from framehouse.runtime.config import Settings
from framehouse.store import issues
from framehouse.store.archive import INDEX_SCHEMA, SMALL, check_size, damaged
from framehouse.store.bucket import Bucket, MultipartWriter
from framehouse.store.frames import BatchFile, write_batches
from framehouse.store.issues import IssueLog
from framehouse.store.packs import RUN, Run, fetch_ahead
from framehouse.store.tar import Kind, Located, index_members, members, truncated

PACK_SIZE = 1 << 30
"""Bytes of an object, unless a single file is larger."""
CHUNK = 1 << 20

CODECS = {
    "gzip": re.compile(rb"\x1f\x8b"),
    "zstd": re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"),  # a frame, or one to be skipped
}
"""Compressions, as Arrow calls them, by the bytes that a file begins with."""


def codec_of(head: bytes) -> str:
    """The compression of a file that begins so; empty for none."""
    return next((codec for codec, magic in CODECS.items() if magic.match(head)), "")


def repack(
    bucket: Bucket, key: str, codec: str, limits: Settings, report: Callable[[int], None]
) -> tuple[pa.Table, IssueLog]:
    """Lays the files of the compressed tar at `key` into `<key>-0000`, `<key>-0001` …; answers as `index_members` does.

    The index is kept at `<key>.index`, so an archive is unpacked once. `InvalidArgument` with the reasons of
    `index_members`, ARCHIVE_EXPANDS_TOO_MUCH and ARCHIVE_TOO_LARGE; then, and where the job is cancelled, what was
    written is removed.
    """
    index_key = f"{key}.index"
    if (known := known_index(bucket, index_key)) is not None:
        return known
    written: list[str] = []
    try:
        with Unpacked(bucket, key, codec, limits) as file, closing(_lay_out(bucket, key, file, written)) as found:
            table, log = index_members(found, limits, report)
    except (errors.InvalidArgument, errors.Cancelled):
        if bucket.size(index_key) is None:  # else another job unpacked it meanwhile
            bucket.remove(written)
        raise
    log.save(bucket, index_key)
    write_batches(bucket, index_key, table.schema, table.to_batches())
    return table, log


def known_index(bucket: Bucket, index_key: str) -> tuple[pa.Table, IssueLog] | None:
    """The index that an earlier run left, unless what it speaks of is gone."""
    if bucket.size(index_key) is None:
        return None
    file = BatchFile(bucket, index_key)
    if file.schema != INDEX_SCHEMA:  # it was made by another release
        return None
    table = pa.Table.from_batches(file.batches(), file.schema)
    if any(bucket.size(key) is None for key in table["object"].unique().to_pylist()):
        return None
    log = IssueLog()
    log.extend(issues.load(bucket, index_key))
    return table, log


def _lay_out(bucket: Bucket, key: str, file: "Unpacked", written: list[str]) -> Generator[Located, None, None]:
    """Writes every file into the pack of the moment; notes the packs' keys in `written` as they are begun."""
    writer: MultipartWriter | None = None
    with ExitStack() as pack:
        for member in members(file):
            if member.kind != Kind.FILE:
                yield Located(member, "", -1, None)
                continue
            if writer is None or (writer.position and writer.position + member.size > PACK_SIZE):
                pack.close()
                written.append(f"{key}-{len(written):04d}")
                writer = pack.enter_context(bucket.writer(written[-1]))
            offset, rest, checksum = writer.position, member.size, 0
            while rest:
                chunk = file.read(min(CHUNK, rest))
                if not chunk:
                    raise truncated()
                writer.write(chunk)
                checksum = zlib.crc32(chunk, checksum)
                rest -= len(chunk)
            yield Located(member, written[-1], offset, checksum)
        # To the end, where gzip has its checksum.
        while file.read(CHUNK):
            pass


class Unpacked:
    """What a compressed object unpacks to, read forward, and refused where it expands beyond the limits."""

    def __init__(self, bucket: Bucket, key: str, codec: str, limits: Settings) -> None:
        self._limits = limits
        self._packed_size = bucket.size(key) or 0
        self._codec = codec
        self._position = 0
        wanted = (Run(key, start, min(start + RUN, self._packed_size)) for start in range(0, self._packed_size, RUN))
        self._fetched = fetch_ahead(bucket, wanted)
        source = pa.PythonFile(_Concatenated(data for _, data in self._fetched), mode="r")
        self._stream = pa.CompressedInputStream(source, codec)

    def __enter__(self) -> "Unpacked":
        return self

    def __exit__(self, *_: object) -> None:
        self._fetched.close()

    def seek(self, offset: int, /) -> None:
        while self._position < offset and self.read(min(CHUNK, offset - self._position)):
            pass

    def read(self, size: int, /) -> bytes:
        try:
            data: bytes = self._stream.read(size)
        except OSError as error:
            if "Truncated" in str(error):
                raise truncated() from error
            raise damaged(f"its {self._codec} data cannot be unpacked ({error})") from error
        self._position += len(data)
        check_size(self._position, self._limits)
        if self._position > max(SMALL, self._packed_size * self._limits.max_expansion_ratio):
            raise errors.InvalidArgument(
                f"the archive unpacks to more than {self._limits.max_expansion_ratio} times its {self._packed_size:,} "
                "bytes; send it as a plain tar, if it is meant to be so",
                reason="ARCHIVE_EXPANDS_TOO_MUCH",
                facts={"limit": str(self._limits.max_expansion_ratio)},
            )
        return data


class _Concatenated(io.RawIOBase):
    """Pieces of bytes as a file that is read forward."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        super().__init__()
        self._pieces = pieces
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        if not self._rest:
            self._rest = memoryview(next(self._pieces, b""))
        data = self._rest[:size] if size is not None and size >= 0 else self._rest
        self._rest = self._rest[len(data) :]
        return bytes(data)
