"""Archive indexes: the directory of an uploaded zip as an Arrow table, read by ranges where the archive lies.

Names are checked here, once, for every kind of archive: whatever an index lists is a plain file below the archive's
top. The bytes are left to `framehouse.store.packs`. The layout is that of APPNOTE.TXT 6.3.10.
"""

import io
import re
import stat
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from framehouse.runtime import errors
from framehouse.runtime.config import Settings
from framehouse.store.image_names import IMAGE_EXTENSIONS, VIDEO_EXTENSIONS
from framehouse.store.issues import ERROR, WARNING, IssueLog
from framehouse.store.manifest import MANIFEST
from framehouse.store.structures import structures_at

INDEX_SCHEMA = pa.schema(
    [
        pa.field("path", pa.string()),  # relative, `/` between folders, unique
        pa.field("object", pa.string()),  # key in the bucket
        pa.field("header_offset", pa.int64()),  # of the local header; -1 where the bytes begin at data_offset
        pa.field("data_offset", pa.int64()),  # -1 where only the local header tells
        pa.field("stored_size", pa.int64()),  # bytes in the object
        pa.field("size", pa.int64()),  # bytes after inflating
        pa.field("method", pa.int8()),  # 0 stored, 8 deflate
        pa.field("crc32", pa.uint32()),  # of the inflated bytes; null in a tar, which has none
        pa.field("frame", pa.int64()),  # number in its video, from 0; null for what is no frame of a video
    ]
)
"""One row a file, sorted by path."""

SMALL = 1 << 20
"""Entries up to this many bytes may expand by any ratio: a black bitmap does, and is no danger."""

LONGEST_NAME = 255
"""Bytes of a file's or folder's name: more has room in no usual file system."""
LONGEST_PATH = 4096
"""Bytes of a path: more is opened by no usual system."""
MOST_NAMES = (1 << 31) - 1
"""Bytes of all paths of an archive together."""

LOCAL_MAGIC = b"PK\3\4"
CENTRAL_MAGIC = b"PK\1\2"
END_MAGIC = b"PK\5\6"
CHUNK = 8 << 20
"""Bytes of the directory that are parsed at once."""
FULL32 = 0xFFFFFFFF
"""In a field of 32 bits: see the zip64 extra field."""

CENTRAL = np.dtype(
    [
        ("magic", "S4"),
        ("made_by", "u1"),
        ("host", "u1"),
        ("needed", "<u2"),
        ("flags", "<u2"),
        ("method", "<u2"),
        ("time", "<u2"),
        ("date", "<u2"),
        ("crc32", "<u4"),
        ("stored_size", "<u4"),
        ("size", "<u4"),
        ("name_length", "<u2"),
        ("extra_length", "<u2"),
        ("comment_length", "<u2"),
        ("disk", "<u2"),
        ("internal", "<u2"),
        ("external", "<u4"),
        ("offset", "<u4"),
    ]
)
"""A central directory header without its name, extra field and comment: 46 bytes."""
LENGTHS = struct.Struct("<HHH")

ENCRYPTED = 1 << 0
MASKED = 1 << 13
UTF8 = 1 << 11
UNIX_HOSTS = (3, 19)

METHODS = {
    1: "shrink",
    6: "implode",
    9: "deflate64",
    12: "bzip2",
    14: "LZMA",
    93: "zstd",
    95: "xz",
    98: "PPMd",
}
AES = 99

LITTER = rf"(?i)(^|/)(__MACOSX/|(\.DS_Store|Thumbs\.db|desktop\.ini|Icon\r|\._[^/]*|{re.escape(MANIFEST)})$)"
"""What systems leave in folders, and our own manifests: nothing of a dataset."""
ESCAPE = r"^/|^[A-Za-z]:|(^|/)\.\.(/|$)"
FOLDER = r"[/\\]$"
SEPARATORS = b"/\\"
REDUNDANT = r"(^|/)\.(/|$)|//"
CONTROL = r"[\x00-\x1f\x7f]"
LONG = rf"[^/]{{{LONGEST_NAME + 1}}}"
ARCHIVE = r"(?i)\.(zip|tar|tgz|tar\.(gz|zst|bz2|xz)|tzst|tbz2?|txz|7z|rar)$"

LOOKS = [
    (b"PK\3\4", "a zip archive"),
    (b"\x1f\x8b", "a gzip file"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ\0", "an xz file"),
    (b"\x28\xb5\x2f\xfd", "a zstd file"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"\x89PNG", "a PNG image"),
    (b"GIF8", "a GIF image"),
    (b"RIFF", "a WebP image or a RIFF file"),
    (b"%PDF", "a PDF document"),
    (b"MZ", "a Windows program"),
    (b"\x7fELF", "a Linux program"),
    (b"PAR1", "a Parquet file"),
    (b"ARROW1", "an Arrow file"),
    (b"SQLite format 3", "an SQLite database"),
    (b"\x89HDF", "an HDF5 file"),
]


class Directory(NamedTuple):
    """Where the central directory of a zip lies in its object."""

    offset: int
    size: int
    prefix: int
    """Bytes before the archive, to be added to every offset in it."""
    entry_count: int
    """Entries as the archive says it; many writers wrap this at 65536."""


def index_file(file: io.RawIOBase, key: str, limits: Settings) -> tuple[pa.Table, IssueLog]:
    """Reads the directory of a zip; answers with its index (INDEX_SCHEMA) and what was left out of it.

    `key` is what the index will name as the object. Folders and the litter of operating systems are dropped.
    `InvalidArgument` with one of the reasons ARCHIVE_UNKNOWN, ARCHIVE_TRUNCATED, ARCHIVE_DAMAGED, ARCHIVE_EMPTY,
    ARCHIVE_SPLIT, ARCHIVE_ENCRYPTED, ARCHIVE_NESTED, ARCHIVE_TOO_LARGE and ARCHIVE_TOO_MANY_ENTRIES.
    """
    size = file.seek(0, io.SEEK_END)
    if size == 0:
        raise errors.InvalidArgument("the archive has no bytes", reason="ARCHIVE_EMPTY")
    check_size(size, limits)
    directory = find_directory(file, size)
    check_count(directory.entry_count, limits)
    issues = IssueLog()
    chunks: list[pa.RecordBatch] = []
    seen = letters = 0
    for data, starts in _headers(file, directory):
        seen += len(starts)
        check_count(seen, limits)
        chunks.append(_entries(data, starts, directory.prefix))
        letters += chunks[-1]["path"].nbytes
        check_names(letters)
    if (seen - directory.entry_count) % (1 << 16):
        issues.add(
            "ARCHIVE_COUNT_DIFFERS",
            WARNING,
            "",
            f"the archive says that it has {directory.entry_count:,} entries, and its directory has {seen:,}, all of "
            "which were looked at",
            "compare the number of files with what was packed; if some are missing, pack and send the archive again",
        )
    table = pa.Table.from_batches(chunks, ENTRY_SCHEMA)
    table = drop_litter(table)
    if pc.all(table["encrypted"]).as_py():
        raise errors.InvalidArgument("the archive is encrypted; send it without a password", reason="ARCHIVE_ENCRYPTED")
    table = _leave_out(table, directory, limits, issues)
    check_unpacked(table, limits)
    remark(table["path"], issues)
    table = table.append_column("object", pa.repeat(key, table.num_rows))
    table = table.append_column("data_offset", pa.repeat(pa.scalar(-1, pa.int64()), table.num_rows))
    table = table.append_column("frame", pa.nulls(table.num_rows, pa.int64()))
    table = table.set_column(table.column_names.index("method"), "method", table["method"].cast(pa.int8()))
    return table.select(INDEX_SCHEMA.names).cast(INDEX_SCHEMA).sort_by("path").combine_chunks(), issues


def is_image(paths: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """For each path whether it is an image by its extension, as booleans."""
    return pc.match_substring_regex(paths, rf"(?i)\.({'|'.join(sorted(IMAGE_EXTENSIONS))})$")


def is_video(paths: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """For each path whether it is a video by its extension, as booleans."""
    return pc.match_substring_regex(paths, rf"(?i)\.({'|'.join(sorted(VIDEO_EXTENSIONS))})$")


def find_directory(file: io.RawIOBase, size: int) -> Directory:
    """Finds the central directory from the end of the file, zip64 or not, bytes before it or a comment after it."""
    tail_size = min(size, 22 + 0xFFFF + 20 + 56)
    tail = _read(file, size - tail_size, tail_size)
    tail_start = size - tail_size
    at = _find_end(tail)
    head = _read(file, 0, 512)
    if at < 0:
        if head.startswith(LOCAL_MAGIC):
            raise errors.InvalidArgument(
                "the archive is cut off: its directory, which stands at the end, is missing; send it again",
                reason="ARCHIVE_TRUNCATED",
            )
        raise errors.InvalidArgument(
            f"this is no zip or tar archive, but looks like {looks_like(head)}; send the files as one zip",
            reason="ARCHIVE_UNKNOWN",
        )
    disk, first_disk, _, count, directory_size, offset = struct.unpack_from("<HHHHII", tail, at + 4)
    end = tail_start + at
    if at >= 20 and tail[at - 20 : at - 16] == b"PK\6\7":
        disk, record, _ = struct.unpack_from("<IQI", tail, at - 16)
        # Bytes before the archive shift the record from where it says it is.
        for place in (end - 20 - 56, record):
            header = _read(file, place, 56) if 0 <= place <= size - 56 else b""
            if header.startswith(b"PK\6\6"):
                disk, first_disk, _, count, directory_size, offset = struct.unpack_from("<IIQQQQ", header, 16)
                end = place
                break
        else:
            raise damaged("its zip64 end record is missing")
    if disk != 0 or first_disk != 0:
        raise errors.InvalidArgument(
            "the archive is one of several volumes; join them into one zip first", reason="ARCHIVE_SPLIT"
        )
    if directory_size == 0:
        raise errors.InvalidArgument("the archive holds no files", reason="ARCHIVE_EMPTY")
    prefix = end - directory_size - offset
    for start, shift in ((end - directory_size, prefix), (offset, 0)):
        if shift >= 0 and 0 <= start <= end - CENTRAL.itemsize and _read(file, start, 4) == CENTRAL_MAGIC:
            if shift and head.startswith(LOCAL_MAGIC):
                # The end record is that of an archive inside this one; its own is gone.
                raise errors.InvalidArgument(
                    "the archive is cut off or was joined of several; send it again", reason="ARCHIVE_TRUNCATED"
                )
            return Directory(start, min(directory_size, end - start), shift, count)
    raise damaged("its directory is not where its end record says")


ENTRY_SCHEMA = pa.schema(
    [
        pa.field("path", pa.string()),
        pa.field("header_offset", pa.int64()),
        pa.field("stored_size", pa.int64()),
        pa.field("size", pa.int64()),
        pa.field("method", pa.int32()),
        pa.field("crc32", pa.uint32()),
        pa.field("folder", pa.bool_()),
        pa.field("encrypted", pa.bool_()),
        pa.field("link", pa.bool_()),
    ]
)
"""An entry as the directory has it, before it is judged."""


def _headers(file: io.RawIOBase, directory: Directory) -> Iterator[tuple[bytes, NDArray[np.int64]]]:
    """Runs of whole central headers, with where each begins in its run."""
    position, end = directory.offset, directory.offset + directory.size
    rest = b""
    done = 0
    while position < end:
        data = rest + _read(file, position, min(CHUNK, end - position))
        position += len(data) - len(rest)
        starts, at = _whole(data)
        done += len(starts)
        if at + CENTRAL.itemsize <= len(data) and not data.startswith(CENTRAL_MAGIC, at):
            raise damaged(f"its directory is unreadable after {done:,} entries")
        rest = data[at:]
        if len(starts):
            yield data, starts
        if position == end and rest:
            raise damaged(f"its directory breaks off after {done:,} entries")


def _whole(data: bytes) -> tuple[NDArray[np.int64], int]:
    """Where each of the whole central headers begins that follow one another from the first byte on, and where the
    last of them ends.
    """
    if len(data) < CENTRAL.itemsize:
        return np.zeros(0, np.int64), 0
    raw = np.frombuffer(data, np.uint8)
    # Where headers seem to begin is where they do, unless a name or a comment holds the same bytes.
    places = np.flatnonzero(raw[: 1 - CENTRAL.itemsize] == CENTRAL_MAGIC[0])
    for i in range(1, len(CENTRAL_MAGIC)):
        places = places[raw[places + i] == CENTRAL_MAGIC[i]]
    fixed = structures_at(data, places, CENTRAL)
    lengths = (fixed[name].astype(np.int64) for name in ("name_length", "extra_length", "comment_length"))
    ends = places + CENTRAL.itemsize + sum(lengths)
    if len(places) and places[0] == 0 and np.array_equal(ends[:-1], places[1:]):
        count = len(places) - int(ends[-1] > len(data))
        return places[:count], int(ends[count - 1]) if count else 0
    starts: list[int] = []
    at, last = 0, len(data) - CENTRAL.itemsize
    while at <= last and data.startswith(CENTRAL_MAGIC, at):
        following = at + CENTRAL.itemsize + sum(LENGTHS.unpack_from(data, at + 28))
        if following > len(data):
            break
        starts.append(at)
        at = following
    return np.array(starts, np.int64), at


def _entries(data: bytes, starts: NDArray[np.int64], prefix: int) -> pa.RecordBatch:
    """Central headers as rows of ENTRY_SCHEMA."""
    raw = np.frombuffer(data, np.uint8)
    fixed = structures_at(data, starts, CENTRAL)
    stored_size, size, offset = (fixed[name].astype(np.int64) for name in ("stored_size", "size", "offset"))
    for i in np.flatnonzero((stored_size == FULL32) | (size == FULL32) | (offset == FULL32)).tolist():
        at = int(starts[i]) + 46 + int(fixed["name_length"][i])
        wide = _extra(data[at : at + int(fixed["extra_length"][i])], 0x0001)
        values = iter(struct.unpack(f"<{len(wide) // 8}q", wide[: len(wide) // 8 * 8]))
        for column in (size, stored_size, offset):  # this order, each only where its field is full
            if column[i] == FULL32:
                column[i] = next(values, FULL32)
    mode = fixed["external"] >> 16
    kind = mode & 0o170000
    names = _names(data, raw, starts, fixed)
    folder = _are_folders(names) | (kind == stat.S_IFDIR)
    return pa.record_batch(
        [
            tidied(names),
            pa.array(offset + prefix),
            pa.array(stored_size),
            pa.array(size),
            pa.array(fixed["method"].astype(np.int32)),
            pa.array(fixed["crc32"]),
            pa.array(folder),
            pa.array(((fixed["flags"] & (ENCRYPTED | MASKED)) != 0) | (fixed["method"] == AES)),
            pa.array(~np.isin(kind, (0, stat.S_IFREG, stat.S_IFDIR))),
        ],
        schema=ENTRY_SCHEMA,
    )


def _names(data: bytes, raw: NDArray[np.uint8], starts: NDArray[np.int64], fixed: NDArray[Any]) -> pa.Array:
    """The names as text: gathered at once where they are ASCII, which they nearly always are."""
    renamed = _renamed(raw, starts, fixed)
    lengths = fixed["name_length"].astype(np.int64)
    ends = np.cumsum(lengths)
    begins = ends - lengths
    letters = raw[np.repeat(starts + 46 - begins, lengths) + np.arange(ends[-1])]
    if not renamed and not (letters >= 0x80).any():
        offsets = np.concatenate([[0], ends]).astype(np.int32)
        return pa.StringArray.from_buffers(len(starts), pa.py_buffer(offsets), pa.py_buffer(letters))
    names: list[str] = []
    text = letters.tobytes()
    for i, (begin, end) in enumerate(zip(begins.tolist(), ends.tolist(), strict=True)):
        name = text[begin:end]
        extra_at = int(starts[i]) + 46 + len(name)
        names.append(
            name.decode("ascii")
            if i not in renamed and name.isascii()
            else _decode(
                name,
                data[extra_at : extra_at + int(fixed["extra_length"][i])],
                bool(fixed["flags"][i] & UTF8) or int(fixed["host"][i]) in UNIX_HOSTS,
            )
        )
    return pa.array(names, pa.string())


def _renamed(raw: NDArray[np.uint8], starts: NDArray[np.int64], fixed: NDArray[Any]) -> set[int]:
    """The entries that may have Info-ZIP's Unicode field, by the bytes that it begins with."""
    found = np.flatnonzero((raw[:-1] == 0x75) & (raw[1:] == 0x70))
    entry = np.searchsorted(starts, found, "right") - 1
    found, entry = found[entry >= 0], entry[entry >= 0]
    extra = starts[entry] + 46 + fixed["name_length"][entry]
    inside = (found >= extra) & (found < extra + fixed["extra_length"][entry])
    return set(entry[inside].tolist())


def _decode(name: bytes, extra: bytes, utf8: bool) -> str:
    """A name as text: Info-ZIP's Unicode field before all, then UTF-8 where flagged or written on Unix, else cp437.

    The field has the checksum of the name that it was made for, which somebody may have changed since.
    """
    field = _extra(extra, 0x7075)
    fits = len(field) > 5 and field[0] == 1 and int.from_bytes(field[1:5], "little") == zlib.crc32(name)
    for candidate in ([field[5:]] if fits else []) + ([name] if utf8 else []):
        try:
            return candidate.decode("utf-8")
        except UnicodeDecodeError:
            continue
    return name.decode("cp437")


def _extra(extra: bytes, wanted: int) -> bytes:
    """The content of one extra field; empty where it is absent."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == wanted:
            return extra[at + 4 : at + 4 + length]
        at += 4 + length
    return b""


def tidied(names: pa.Array) -> pa.Array:
    """Names with `/` between folders, and without empty and `.` components."""
    if _are_plain(names):
        return names
    paths = pc.replace_substring(names, "\\", "/")
    if pc.any(pc.match_substring_regex(paths, REDUNDANT)).as_py():
        paths = pa.array([_tidy(path) for path in paths.to_pylist()], pa.string())
    return paths


def _are_folders(names: pa.Array) -> NDArray[np.bool_]:
    """For each name whether it is one of a folder."""
    letters, offsets = _letters(names)
    last = np.append(letters, 0)[np.maximum(offsets[1:] - 1, 0)]
    return np.isin(last, list(SEPARATORS)) & (offsets[1:] > offsets[:-1])


def _are_plain(paths: pa.Array | pa.ChunkedArray) -> bool:
    """Whether none of the paths has any of what REDUNDANT, CONTROL, ESCAPE and LONG look for, or a backslash.

    Said of all at once, for nearly all archives are so; where it is in doubt, they are not.
    """
    for chunk in paths.chunks if isinstance(paths, pa.ChunkedArray) else [paths]:
        letters, offsets = _letters(chunk)
        lengths = np.diff(offsets)
        if not len(lengths):
            continue
        if lengths.min() == 0 or lengths.max() > LONGEST_NAME or letters.min() < 0x20:
            return False
        if (letters[offsets[:-1]] == ord("/")).any() or (letters[offsets[1:] - 1] == ord(".")).any():
            return False
        text = letters.tobytes()
        dot, slash = letters == ord("."), letters == ord("/")
        odd = (dot[:-1] & (dot[1:] | slash[1:])) | (slash[:-1] & slash[1:])
        if odd.any() or any(letter in text for letter in (b"\x7f", b"\\", b":")):
            return False
    return True


def _letters(paths: pa.Array) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """The bytes of all paths, one after the other, and where each begins, and the end."""
    _, places, letters = paths.buffers()
    if places is None or letters is None:
        return np.zeros(0, np.uint8), np.zeros(len(paths) + 1, np.int32)
    offsets = np.frombuffer(places, np.int32)[paths.offset : paths.offset + len(paths) + 1]
    return np.frombuffer(letters, np.uint8)[offsets[0] : offsets[-1]], offsets - offsets[0]


def _tidy(path: str) -> str:
    """A path without empty and `.` components; a leading `/` is kept, for it makes the path absolute."""
    return ("/" if path.startswith("/") else "") + "/".join(part for part in path.split("/") if part not in ("", "."))


def drop_litter(table: pa.Table) -> pa.Table:
    """The rows that are neither folders nor litter. InvalidArgument where there are none."""
    dropped = pc.or_(table["folder"], pc.match_substring_regex(table["path"], LITTER))
    if pc.any(dropped).as_py():
        table = table.filter(pc.invert(dropped))
    if not table.num_rows:
        raise errors.InvalidArgument("the archive holds no files", reason="ARCHIVE_EMPTY")
    return table


class Objection(NamedTuple):
    """Why some rows cannot be used."""

    rows: NDArray[np.bool_]
    code: str
    message: str | Callable[[int], str]
    """The same for all, or made for a row."""
    remedy: str


def object_to_names(paths: pa.ChunkedArray) -> list[Objection]:
    """The objections to names that no file can have, or that would lead out of a folder."""
    if _are_plain(paths):
        return []
    return [
        Objection(
            as_mask(pc.or_(pc.equal(paths, ""), pc.match_substring_regex(paths, CONTROL))),
            "ENTRY_NAME_UNUSABLE",
            "the name is empty or holds a control character, such as the end of a line",
            "rename the file",
        ),
        Objection(
            as_mask(pc.greater(pc.binary_length(paths), LONGEST_PATH)),
            "ENTRY_NAME_UNUSABLE",
            f"the path has more than {LONGEST_PATH:,} bytes",
            "rename the file, or its folders",
        ),
        Objection(
            as_mask(pc.match_substring_regex(paths, ESCAPE)),
            "ENTRY_NAME_ESCAPES",
            "the name leaves the archive: it is absolute, names a drive or contains `..`",
            "pack the files with names relative to their folder",
        ),
    ]


def as_mask(values: pa.ChunkedArray) -> NDArray[np.bool_]:
    """Booleans as NumPy has them."""
    return np.asarray(values.to_numpy(), bool)


def leave_out(table: pa.Table, objections: list[Objection], issues: IssueLog) -> pa.Table:
    """The rows that nothing objects to, and of each path the last; the others become issues, one each."""
    kept = np.ones(table.num_rows, bool)
    for objection in objections:
        rows = np.flatnonzero(objection.rows & kept)
        kept[rows] = False
        say = objection.message
        texts = [say if isinstance(say, str) else say(i) for i in rows.tolist()]
        _note(issues, objection.code, table["path"].take(pa.array(rows)), texts, objection.remedy)
    if not kept.all():
        table = table.filter(pa.array(kept))
    return _drop_duplicates(table, issues)


def remark(paths: pa.ChunkedArray, issues: IssueLog) -> None:
    """Notes what is odd about the paths that are left: names that no file system has room for, archives in the archive.

    `InvalidArgument` with the reason ARCHIVE_NESTED where all of them are archives.
    """
    long = paths.slice(0, 0)
    if not _are_plain(paths):
        long = paths.filter(pc.match_substring_regex(pc.cast(paths, pa.binary()), LONG))
    text = (
        f"a name in this path has more than {LONGEST_NAME} bytes, which no usual file system has room for; it is kept"
    )
    remedy = "rename the file, or unpacking an export of it will fail"
    _note(issues, "ENTRY_NAME_LONG", long, [text] * len(long), remedy, severity=int(WARNING))
    nested = paths.filter(pc.match_substring_regex(paths, ARCHIVE))
    if 0 < len(nested) == len(paths):
        raise errors.InvalidArgument(
            f"there is nothing in it but other archives ({nested[0].as_py()!r}"
            + (f" and {len(nested) - 1:,} more" if len(nested) > 1 else "")
            + "); unpack them and send their files together, or import one of them alone",
            reason="ARCHIVE_NESTED",
        )
    text = "an archive in the archive, which was not read"
    remedy = "unpack it and pack its files with the others, or import it alone"
    _note(issues, "ARCHIVE_NESTED", nested, [text] * len(nested), remedy, severity=int(WARNING))


def _leave_out(table: pa.Table, directory: Directory, limits: Settings, issues: IssueLog) -> pa.Table:
    """The rows that can be used; the others become issues."""
    size, stored, begin = (table[name].to_numpy() for name in ("size", "stored_size", "header_offset"))
    method = table["method"].to_numpy()
    beyond = (begin < 0) | (stored < 0) | (size < 0) | (stored > directory.offset - 30 - begin)
    objections = [
        *object_to_names(table["path"]),
        Objection(
            as_mask(table["link"]),
            "ENTRY_IS_LINK",
            "the entry is a link or a device, not a file",
            "pack the file that the link leads to (zip does so without --symlinks)",
        ),
        Objection(
            as_mask(table["encrypted"]),
            "ENTRY_ENCRYPTED",
            "the entry is encrypted",
            "pack it without a password",
        ),
        Objection(
            (method != 0) & (method != 8),
            "ENTRY_METHOD_UNSUPPORTED",
            lambda i: (
                f"the entry is packed by {METHODS.get(int(method[i]), f'method {method[i]}')}; "
                "only stored and deflated entries are read"
            ),
            "pack it with zip's usual settings",
        ),
        Objection(
            beyond | ((method == 0) & (size != stored)),
            "ENTRY_DAMAGED",
            "the directory contradicts itself about where the entry lies and how long it is",
            "pack and send the archive again",
        ),
        Objection(
            (size > SMALL) & (size > stored * limits.max_expansion_ratio),
            "ENTRY_EXPANDS_TOO_MUCH",
            lambda i: (
                f"the entry unpacks from {stored[i]:,} to {size[i]:,} bytes; "
                f"at most {limits.max_expansion_ratio} times its size is taken"
            ),
            "send the file stored instead of deflated, if it is meant to be so",
        ),
    ]
    return _drop_overlaps(leave_out(table, objections, issues), issues)


def _drop_duplicates(table: pa.Table, issues: IssueLog) -> pa.Table:
    """Keeps the last entry of each path, as unzip does."""
    codes = table["path"].combine_chunks().dictionary_encode().indices.to_numpy()
    last = np.zeros(table.num_rows, bool)
    last[table.num_rows - 1 - np.unique(codes[::-1], return_index=True)[1]] = True
    if last.all():
        return table
    paths = table["path"].filter(pa.array(~last))
    text = "the archive holds this path more than once; this is not the last of them, which counts"
    remedy = "pack each file once, under its own name"
    _note(issues, "ENTRY_DUPLICATE", paths, [text] * len(paths), remedy, severity=int(WARNING))
    return table.filter(pa.array(last))


def _drop_overlaps(table: pa.Table, issues: IssueLog) -> pa.Table:
    """Leaves out entries that lie inside one another: no packer writes them, bombs do."""
    begin = table["header_offset"].to_numpy()
    order = np.argsort(begin, kind="stable")
    end = begin[order] + 30 + table["stored_size"].to_numpy()[order]
    inside = np.zeros(table.num_rows, bool)
    if len(order) > 1:
        inside[order[1:]] = begin[order[1:]] < np.maximum.accumulate(end)[:-1]
    if not inside.any():
        return table
    paths = table["path"].filter(pa.array(inside))
    text = "the entry shares its bytes with another one"
    _note(issues, "ENTRY_DAMAGED", paths, [text] * len(paths), "pack and send the archive again")
    return table.filter(pa.array(~inside))


def _note(
    issues: IssueLog, code: str, paths: pa.ChunkedArray, messages: list[str], remedy: str, *, severity: int = int(ERROR)
) -> None:
    if len(paths):
        count = len(paths)
        issues.extend(
            pa.table(
                {
                    "code": pa.repeat(code, count),
                    "severity": pa.repeat(severity, count),
                    "path": paths,
                    "line": pa.repeat(0, count),
                    "message": pa.array(messages, pa.string()),
                    "remedy": pa.repeat(remedy, count),
                }
            )
        )


def _find_end(tail: bytes) -> int:
    """Where the end record begins in the tail, preferring one whose comment reaches the very end; -1 for none."""
    loose = -1
    at = tail.rfind(END_MAGIC)
    while at >= 0:
        if at + 22 <= len(tail):
            end = at + 22 + struct.unpack_from("<H", tail, at + 20)[0]
            if end == len(tail):
                return at
            if loose < 0 and end < len(tail):
                loose = at
        at = tail.rfind(END_MAGIC, 0, at)
    return loose


def looks_like(head: bytes) -> str:
    """What a file is by its first bytes, in words."""
    for magic, what in LOOKS:
        if head.startswith(magic):
            return what
    if head[257:262] == b"ustar":
        return "a tar archive with a damaged header"
    start = head.lstrip()[:15].lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "a web page (was a sign-in page saved instead of the file?)"
    if start.startswith((b"<?xml", b"<")):
        return "an XML file"
    if start.startswith((b"{", b"[")):
        return "a JSON file"
    if not head.strip(b"\0"):
        return "a file of zeros"
    if all(byte >= 0x20 or byte in b"\t\r\n" for byte in head):
        return "a text file"
    return "nothing known, beginning with the bytes " + head[:8].hex(" ")


def _read(file: io.RawIOBase, offset: int, length: int) -> bytes:
    file.seek(offset)
    return file.read(length) or b""


def check_size(size: int, limits: Settings) -> None:
    """Refuses an archive of too many bytes, packed or not."""
    if size > limits.max_archive_bytes:
        raise errors.InvalidArgument(
            f"the archive has {size:,} bytes; at most {limits.max_archive_bytes:,} are taken",
            reason="ARCHIVE_TOO_LARGE",
            facts={"size": str(size), "limit": str(limits.max_archive_bytes)},
        )


def check_unpacked(table: pa.Table, limits: Settings) -> None:
    """Refuses an archive whose files have too many bytes together, unpacked. `table` has the column size."""
    if (size := pc.sum(table["size"]).as_py() or 0) > limits.max_archive_bytes:
        raise errors.InvalidArgument(
            f"the archive unpacks to {size:,} bytes; at most {limits.max_archive_bytes:,} are taken",
            reason="ARCHIVE_TOO_LARGE",
            facts={"size": str(size), "limit": str(limits.max_archive_bytes)},
        )


def check_names(count: int) -> None:
    """Refuses an archive whose paths have too many bytes together."""
    if count > MOST_NAMES:
        raise errors.InvalidArgument(
            f"the paths in the archive have more than {MOST_NAMES:,} bytes together; split it",
            reason="ARCHIVE_TOO_MANY_ENTRIES",
        )


def check_count(count: int, limits: Settings) -> None:
    """Refuses an archive of too many entries."""
    if count > limits.max_archive_entries:
        raise errors.InvalidArgument(
            f"the archive has more than {limits.max_archive_entries:,} entries; split it",
            reason="ARCHIVE_TOO_MANY_ENTRIES",
            facts={"limit": str(limits.max_archive_entries)},
        )


def damaged(what: str) -> errors.InvalidArgument:
    """An archive that contradicts itself."""
    return errors.InvalidArgument(f"the archive is damaged: {what}; send it again", reason="ARCHIVE_DAMAGED")
