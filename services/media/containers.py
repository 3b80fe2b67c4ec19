"""The formats of files around pixels, as far as bytes tell without a decoder: damage, frames, what is inside.

All of it is for bytes of anybody's: nothing is raised, and time and memory are bounded by the file's size.
"""

import re
import struct
from typing import NamedTuple

import numpy as np

EOI = b"\xff\xd9"
"""The last bytes of a JPEG."""

NEW_SUBFILE_TYPE = 254
STRIP_OFFSETS, STRIP_SIZES = 273, 279
TILE_OFFSETS, TILE_SIZES = 324, 325
SUB_DIRECTORIES = 330
DNG_VERSION = 50706
KEPT_TAGS = {STRIP_OFFSETS, STRIP_SIZES, TILE_OFFSETS, TILE_SIZES, SUB_DIRECTORIES, DNG_VERSION}
INTEGERS = {1: "u1", 3: "u2", 4: "u4", 13: "u4", 16: "u8", 18: "u8"}
"""NumPy's name of each whole-number type of a TIFF."""
WIDTHS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Bytes of a value of each TIFF type."""

MANY = 10_000
"""Pages of a TIFF are counted up to this number."""


class Tiff(NamedTuple):
    """How the numbers of a TIFF or BigTIFF are written (TIFF 6.0, section 2)."""

    order: str
    offset: str
    size: str
    """Of a number of entries."""
    entry: str
    first: int
    """Where the first directory begins."""


class Directory(NamedTuple):
    """A directory of a TIFF."""

    tags: dict[int, list[int]]
    """Values of those of KEPT_TAGS that it has."""
    end: int
    """Where the bytes end that it refers to, strips and tiles included."""


def is_cut(data: bytes, format: str) -> bool:
    """Whether something is missing that the container announces."""
    tail = data[-64:].rstrip(b"\0")
    match format:
        case "jpeg" | "mpo":
            return not tail.endswith(EOI)
        case "png":
            return b"IEND" not in tail
        case "gif":
            return not tail.endswith(b";")
        case "webp":
            return len(data) < 12 or 8 + int(struct.unpack_from("<I", data, 4)[0]) > len(data)
        case "bmp":
            return len(data) < 6 or int(struct.unpack_from("<I", data, 2)[0]) > len(data)
        case "jp2" | "heic" | "avif":
            return data[4:8] not in (b"ftyp", b"jP  ") or _boxes_end(data) > len(data)
        case "tiff" | "dng":
            return _tiff_end(data) > len(data)
        case _:
            return False


def is_dng(data: bytes) -> bool:
    """Whether a TIFF is a raw photograph in Adobe's format."""
    try:
        tiff = _tiff(data)
        return DNG_VERSION in _directory(data, tiff, tiff.first).tags
    except struct.error:
        return False


def is_lossy_webp(data: bytes) -> bool:
    """Whether the first frame of a WebP is in its lossy format."""
    found = re.search(rb"VP8[ L]", data[12:])
    return found is not None and found[0] == b"VP8 "


def tiff_pages(data: bytes) -> int:
    """Pages of a TIFF, up to MANY. Smaller copies of pages are none, and a chain that loops ends there."""
    pages = 0
    seen: set[int] = set()
    try:
        tiff = _tiff(data)
        at = tiff.first
        while at and at not in seen and len(seen) < MANY:
            seen.add(at)
            (entries,) = struct.unpack_from(tiff.order + tiff.size, data, at)
            at += struct.calcsize(tiff.size)
            tag, _, _, value = struct.unpack_from(tiff.order + tiff.entry, data, at)
            pages += not (tag == NEW_SUBFILE_TYPE and value[0 if tiff.order == "<" else 3] & 1)
            at += entries * struct.calcsize("=" + tiff.entry)
            (at,) = struct.unpack_from(tiff.order + tiff.offset, data, at)
    except struct.error:
        return pages
    return pages


def gif_frames(data: bytes) -> int:
    """Images in a GIF (GIF89a, section 20), up to where it makes no sense any more."""
    frames = 0
    at = 13 + _colours(data[10:11])
    while True:
        kind = data[at : at + 1]
        if kind == b",":
            frames += 1
            at += 11 + _colours(data[at + 9 : at + 10])
        elif kind == b"!":
            at += 2
        else:
            return frames
        while size := int.from_bytes(data[at : at + 1]):
            at += 1 + size
        at += 1


def _colours(flags: bytes) -> int:
    """Bytes of the colour table that these flags announce."""
    value = int.from_bytes(flags)
    return 3 << ((value & 7) + 1) if value & 0x80 else 0


def _tiff(data: bytes) -> Tiff:
    """Raises struct.error, as all of the following do, where the bytes end too early."""
    order, large = "<" if data[:2] == b"II" else ">", 43 in data[2:4]
    offset = "Q" if large else "I"
    (first,) = struct.unpack_from(order + offset, data, 8 if large else 4)
    return Tiff(order, offset, "Q" if large else "H", "HHQ8s" if large else "HHI4s", first)


def _directory(data: bytes, tiff: Tiff, at: int) -> Directory:
    (entries,) = struct.unpack_from(tiff.order + tiff.size, data, at)
    at += struct.calcsize(tiff.size)
    end, tags = at, {}
    layout = struct.Struct(tiff.order + tiff.entry)
    for _ in range(entries):
        tag, kind, count, inline = layout.unpack_from(data, at)
        at += layout.size
        size = count * WIDTHS.get(kind, 0)
        start = at - len(inline)
        if size > len(inline):
            (start,) = struct.unpack(tiff.order + tiff.offset, inline)
        end = max(end, at, start + size)
        if tag in KEPT_TAGS and tag not in tags and kind in INTEGERS:
            if start + size > len(data):
                raise struct.error("the values of a tag are not there")
            tags[tag] = np.frombuffer(data, tiff.order + INTEGERS[kind], count, start)
    for offsets, sizes in ((STRIP_OFFSETS, STRIP_SIZES), (TILE_OFFSETS, TILE_SIZES)):
        if offsets in tags and sizes in tags:
            paired = min(len(tags[offsets]), len(tags[sizes]))
            ends = tags[offsets][:paired].astype(np.float64) + tags[sizes][:paired]
            end = max(end, int(ends.max(initial=0)))
    return Directory({tag: tags[tag][:MANY].tolist() for tag in (SUB_DIRECTORIES, DNG_VERSION) if tag in tags}, end)


def _tiff_end(data: bytes) -> int:
    """Where the bytes end that the first directory of a TIFF, and the parts of a DNG, refer to."""
    try:
        tiff = _tiff(data)
        first = _directory(data, tiff, tiff.first)
        parts = first.tags.get(SUB_DIRECTORIES, [])[:16] if DNG_VERSION in first.tags else []
        return max(first.end, *(_directory(data, tiff, at).end for at in parts), 0)
    except struct.error:
        return len(data) + 1


def _boxes_end(data: bytes) -> int:
    """Where the last top-level box of an ISO base media file (ISO/IEC 14496-12, 4.2) ends."""
    at = 0
    while at + 8 <= len(data):
        (size,) = struct.unpack_from(">I", data, at)
        if size == 1 and at + 16 <= len(data):
            (size,) = struct.unpack_from(">Q", data, at + 8)
        if size < 8:  # 0: to the end of the file
            return len(data)
        at += size
    return at if at >= len(data) else len(data) + 1
