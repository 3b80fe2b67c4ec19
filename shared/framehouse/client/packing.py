"""What is sent: an archive as it is; a folder, or images and videos, as one stored zip that is made while it is sent.

The zip's size is known before its first byte, its order and its bytes depend on the files alone, and no more than one
chunk of a file is in memory. Layout: APPNOTE.TXT 6.3.10, with data descriptors, zip64 where the numbers need it.
"""

import hashlib
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from framehouse.client.errors import InvalidArgument
from framehouse.store.image_names import IMAGE_EXTENSIONS, VIDEO_EXTENSIONS

CHUNK = 1 << 20
LITTER_FILES = {".ds_store", "thumbs.db", "desktop.ini"}
LITTER_FOLDERS = {"__MACOSX", ".git", ".svn", ".ipynb_checkpoints", "__pycache__", "@eaDir"}

_LOCAL = struct.Struct("<4s5H3L2H")
_DESCRIPTOR = struct.Struct("<4sLLL")
_DESCRIPTOR_64 = struct.Struct("<4sLQQ")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_EXTRA_64 = struct.Struct("<HHQQQ")
_LOCAL_EXTRA_64 = struct.Struct("<HHQQ")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR_64 = struct.Struct("<4sLQL")
_END = struct.Struct("<4s4H2LH")

_COMPRESSED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd")
"""What gzip and zstd files begin with; that there is a tar in them is seen by who unpacks them."""

_FULL_16, _FULL_32 = 0xFFFF, 0xFFFFFFFF
_FLAGS = 1 << 3 | 1 << 11
"""Sizes and checksum follow the data; names are UTF-8."""
_DATE = 1 << 5 | 1
"""1 January 1980: the same files make the same archive."""


@dataclass(frozen=True)
class Archive:
    """Bytes to send: their number, and a way to make them from the beginning."""

    path: Path
    file_name: str
    size: int
    files: tuple["_File", ...] = ()
    left_out: tuple[str, ...] = field(default=())
    """Links that lead out of the folder, relative; they are not followed."""

    def chunks(self) -> Iterator[bytes]:
        """The archive in order, in pieces of at most a few megabytes."""
        if self.files:
            yield from _zip(self.files)
            return
        with self.path.open("rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk

    def fingerprint(self) -> str:
        """Another one where a name, a size or a time of change is another; without reading the files."""
        digest = hashlib.sha256()
        for path, name in [(file.path, file.name) for file in self.files] or [(self.path, b"")]:
            status = path.stat()
            digest.update(b"%s\0%d %d\n" % (name, status.st_size, status.st_mtime_ns))
        return digest.hexdigest()

    def parts(self, size: int) -> Iterator[bytes]:
        """The archive in order, in pieces of exactly `size` bytes but for the last.

        Raises `InvalidArgument` where a file has changed since it was measured.
        """
        held = bytearray()
        sent = 0
        for chunk in self.chunks():
            held += chunk
            if sent + len(held) > self.size:
                raise _changed(self.path)
            while len(held) >= size:
                yield bytes(held[:size])
                sent += size
                del held[:size]
        if held:
            yield bytes(held)
        if sent + len(held) != self.size:
            raise _changed(self.path)


@dataclass(frozen=True)
class _File:
    path: Path
    name: bytes
    size: int

    @property
    def is_large(self) -> bool:
        return self.size >= _FULL_32


def open_source(path: str | Path, *more: str | Path) -> Archive:
    """What to send for a path: a zip, tar, tar.gz or tar.zst as it is, a folder packed, or images and videos packed.

    Raises `InvalidArgument` for what cannot be any of them, before anything is sent.
    """
    source, status = _look(path)
    if more or (stat.S_ISREG(status.st_mode) and _is_picture(source)):
        return _pictures([source, *(_look(other)[0] for other in more)])
    if stat.S_ISDIR(status.st_mode):
        return _folder(source.resolve())
    if not stat.S_ISREG(status.st_mode):
        raise InvalidArgument(
            f"{str(path)!r} is neither a folder nor a file",
            remedy="name a folder, an archive, images or videos",
            reason="PATH_UNREADABLE",
        )
    _check_archive(source, status.st_size)
    return Archive(source, source.name, status.st_size)


def _look(path: str | Path) -> tuple[Path, os.stat_result]:
    source = Path(path).expanduser()
    try:
        return source, source.stat()
    except OSError as error:
        raise InvalidArgument(
            f"{str(path)!r} cannot be read: {(error.strerror or 'no such file').lower()}",
            remedy="name a folder, an archive, images or videos that exist",
            reason="PATH_UNREADABLE",
        ) from error


def _is_picture(path: Path) -> bool:
    """Whether a file is an image or a video; or an NDJSON dataset, which is sent alone or beside its images too."""
    return path.suffix[1:].lower() in IMAGE_EXTENSIONS | VIDEO_EXTENSIONS | {"ndjson"}


def _pictures(paths: list[Path]) -> Archive:
    """Images and videos packed side by side, under their own names."""
    named: dict[bytes, Path] = {}
    for path in dict.fromkeys(path.resolve() for path in paths):
        if not path.is_file() or not _is_picture(path):
            raise InvalidArgument(
                f"{str(path)!r} is no image or video, and only images and videos can be sent together",
                remedy="name images and videos alone, or one folder or archive",
                reason="ARCHIVE_UNKNOWN",
            )
        other = named.setdefault(_entry_name(Path(path.name)), path)
        if other != path:
            raise InvalidArgument(
                f"{str(other)!r} and {str(path)!r} have the same name",
                remedy="rename one of them, or name the folder that holds both",
                reason="NAME_TWICE",
            )
    files = tuple(_File(path, name, path.stat().st_size) for name, path in sorted(named.items()))
    return Archive(files[0].path, f"{files[0].path.stem}.zip", _zip_size(files), files)


def _check_archive(path: Path, size: int) -> None:
    try:
        with path.open("rb") as file:
            head = file.read(512)
            whole = zipfile.is_zipfile(file)
    except OSError as error:
        raise InvalidArgument(
            f"{str(path)!r} cannot be read: {(error.strerror or 'unknown cause').lower()}", reason="PATH_UNREADABLE"
        ) from error
    if not size:
        raise InvalidArgument(f"{str(path)!r} is empty", remedy="make the archive again", reason="ARCHIVE_EMPTY")
    if whole or head[257:262] == b"ustar" or head.startswith(_COMPRESSED):
        return
    if head.startswith(b"PK\3\4"):
        raise InvalidArgument(
            f"{str(path)!r} is a zip that was cut off: its directory, at its end, is missing",
            remedy="fetch or make the archive again",
            reason="ARCHIVE_TRUNCATED",
        )
    raise InvalidArgument(
        f"{str(path)!r} is no zip or tar archive",
        remedy="pack the images and labels as a zip or tar, or name their folder",
        reason="ARCHIVE_UNKNOWN",
    )


def _folder(root: Path) -> Archive:
    left_out: list[str] = []
    files = tuple(sorted(_walk(root, root, (root,), left_out), key=lambda file: file.name))
    if not files:
        raise InvalidArgument(
            f"the folder {str(root)!r} has no files",
            remedy="name the folder that holds the images",
            reason="ARCHIVE_EMPTY",
        )
    return Archive(root, f"{root.name or 'folder'}.zip", _zip_size(files), files, tuple(sorted(left_out)))


def _walk(root: Path, folder: Path, above: tuple[Path, ...], left_out: list[str]) -> Iterator[_File]:
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise InvalidArgument(
            f"the folder {str(folder)!r} cannot be read: {(error.strerror or 'unknown cause').lower()}",
            remedy="make it readable, or move it away",
            reason="PATH_UNREADABLE",
        ) from error
    for entry in entries:
        path = Path(entry.path)
        target = path
        if entry.is_symlink():
            target = path.resolve()
            if not target.is_relative_to(root):
                left_out.append(path.relative_to(root).as_posix())
                continue
            if target in above:
                continue
        if entry.is_dir():
            if entry.name not in LITTER_FOLDERS:
                yield from _walk(root, path, (*above, target), left_out)
        elif entry.is_file() and not _is_litter(entry.name):
            yield _File(path, _entry_name(path.relative_to(root)), entry.stat().st_size)


def _entry_name(path: Path) -> bytes:
    try:
        return path.as_posix().encode()
    except UnicodeEncodeError:
        raise InvalidArgument(
            f"the name of the file {os.fsencode(path)!r} is not UTF-8",
            remedy="rename it, for instance with convmv",
            reason="NAME_NOT_UTF8",
        ) from None


def _is_litter(name: str) -> bool:
    return name.lower() in LITTER_FILES or name.startswith("._")


def _zip_size(files: tuple[_File, ...]) -> int:
    offset = directory = 0
    for file in files:
        directory += _CENTRAL.size + len(file.name) + len(_central_extra(file, offset))
        offset += _LOCAL.size + len(file.name) + len(_local_extra(file)) + file.size
        offset += _DESCRIPTOR_64.size if file.is_large else _DESCRIPTOR.size
    return offset + directory + len(_end(len(files), offset, directory))


def _zip(files: tuple[_File, ...]) -> Iterator[bytes]:
    directory = bytearray()
    offset = 0
    for file in files:
        head = _local_header(file)
        yield head
        checksum = 0
        size = 0
        for chunk in _read(file):
            checksum = zlib.crc32(chunk, checksum)
            size += len(chunk)
            yield chunk
        if size != file.size:
            raise _changed(file.path)
        descriptor = (_DESCRIPTOR_64 if file.is_large else _DESCRIPTOR).pack(b"PK\7\10", checksum, size, size)
        yield descriptor
        directory += _central_header(file, checksum, offset)
        offset += len(head) + size + len(descriptor)
    yield bytes(directory)
    yield _end(len(files), offset, len(directory))


def _read(file: _File) -> Iterator[bytes]:
    try:
        with file.path.open("rb") as data:
            while chunk := data.read(CHUNK):
                yield chunk
    except OSError as error:
        raise InvalidArgument(
            f"{str(file.path)!r} cannot be read: {(error.strerror or 'unknown cause').lower()}",
            remedy="make it readable, or move it out of the folder",
            reason="PATH_UNREADABLE",
        ) from error


def _local_extra(file: _File) -> bytes:
    return _LOCAL_EXTRA_64.pack(1, 16, 0, 0) if file.is_large else b""


def _local_header(file: _File) -> bytes:
    extra = _local_extra(file)
    size = _FULL_32 if file.is_large else 0
    version = 45 if file.is_large else 20
    fields = (version, _FLAGS, 0, 0, _DATE, 0, size, size, len(file.name), len(extra))
    return _LOCAL.pack(b"PK\3\4", *fields) + file.name + extra


def _central_extra(file: _File, offset: int) -> bytes:
    if not file.is_large and offset < _FULL_32:
        return b""
    return _EXTRA_64.pack(1, 24, file.size, file.size, offset)


def _central_header(file: _File, checksum: int, offset: int) -> bytes:
    extra = _central_extra(file, offset)
    size = _FULL_32 if extra else file.size
    place = _FULL_32 if extra else offset
    version = 45 if extra else 20
    mode = (stat.S_IFREG | 0o644) << 16
    fields = (3 << 8 | version, version, _FLAGS, 0, 0, _DATE, checksum, size, size)
    return _CENTRAL.pack(b"PK\1\2", *fields, len(file.name), len(extra), 0, 0, 0, mode, place) + file.name + extra


def _end(count: int, offset: int, size: int) -> bytes:
    large = b""
    if count >= _FULL_16 or offset >= _FULL_32 or size >= _FULL_32:
        large = _END_64.pack(b"PK\6\6", _END_64.size - 12, 45, 45, 0, 0, count, count, size, offset)
        large += _LOCATOR_64.pack(b"PK\6\7", 0, offset + size, 1)
    short = min(count, _FULL_16)
    return large + _END.pack(b"PK\5\6", 0, 0, short, short, min(size, _FULL_32), min(offset, _FULL_32), 0)


def _changed(path: Path) -> InvalidArgument:
    return InvalidArgument(
        f"{str(path)!r} changed while it was read",
        remedy="try again when nothing writes to it",
        reason="SOURCE_CHANGED",
    )
