"""The headers of plain PNG and JPEG files, ten times as fast as by Pillow, for readers of headers alone.

Whatever is not altogether usual, and may turn the image or spoil it, is left to Pillow: metadata that can hold an
orientation, other pictures in the file, checksums that do not match.
"""

import struct
import zlib

PNG = b"\x89PNG\r\n\x1a\n"
DEPTHS = {0: {1, 2, 4, 8, 16}, 2: {8, 16}, 3: {1, 2, 4, 8}, 4: {8, 16}, 6: {8, 16}}
"""Bits of a channel for each colour type of a PNG."""
HARMLESS = {b"gAMA", b"sRGB", b"cHRM", b"pHYs", b"PLTE", b"tRNS", b"sBIT", b"bKGD", b"tIME", b"iCCP", b"hIST"}
"""Chunks that come before the pixels and say nothing of how they lie."""

APP0, APP2, APP14, COMMENT = 0xE0, 0xE2, 0xEE, 0xFE
FRAMES = {0xC0, 0xC1, 0xC2}
"""Markers of the frame headers of a JPEG, baseline to progressive."""
SCAN = 0xDA
TABLES = {0xDB, 0xC4, 0xDD, APP0, APP14, COMMENT}
"""Segments that say nothing of how the pixels lie."""
CHANNELS = {1, 3, 4}


def plain(data: bytes) -> tuple[str, int, int] | None:
    """(format, width, height) of a plain PNG or JPEG; None for what is to be looked at more closely."""
    try:
        if data.startswith(PNG):
            return _png(data)
        if data.startswith(b"\xff\xd8\xff"):
            return _jpeg(data)
    except (struct.error, IndexError):  # it is cut off
        return None
    return None


def _png(data: bytes) -> tuple[str, int, int] | None:
    length, kind, width, height, depth, colour = struct.unpack_from(">I4sIIBB", data, 8)
    if (length, kind) != (13, b"IHDR") or not width or not height or depth not in DEPTHS.get(colour, ()):
        return None
    place = 8
    while kind != b"IDAT":
        (crc,) = struct.unpack_from(">I", data, place + 8 + length)
        if crc != zlib.crc32(data[place + 4 : place + 8 + length]):
            return None
        place += 12 + length
        length, kind = struct.unpack_from(">I4s", data, place)
        if kind != b"IDAT" and kind not in HARMLESS:
            return None
    return "png", width, height


def _jpeg(data: bytes) -> tuple[str, int, int] | None:
    place, size = 2, (0, 0)
    while True:
        mark, marker, length = struct.unpack_from(">BBH", data, place)
        if mark != 0xFF or length < 2:
            return None
        if marker == SCAN:
            return ("jpeg", *size) if all(size) else None
        if marker in FRAMES:
            precision, height, width, channels = struct.unpack_from(">BHHB", data, place + 4)
            if precision != 8 or channels not in CHANNELS or any(size):
                return None
            size = width, height
        elif marker not in TABLES and not (marker == APP2 and data.startswith(b"ICC_PROFILE\0", place + 4)):
            return None
        place += 2 + length
