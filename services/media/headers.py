"""The headers of many PNG and JPEG files at once, for readers of headers alone: Pillow takes fifty times as long.

Whatever is not altogether usual, and may turn the image or spoil it, is left to Pillow: metadata that can hold an
orientation, other pictures in the file, checksums that do not match, lengths that make no sense.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from isal import isal_zlib as zlib
from numpy.typing import NDArray

from framehouse.store.structures import structures_at

FORMATS = ("png", "jpeg")
LOOKED_AT = 4096
"""Bytes from the beginning of a file in which its header ends, mostly."""
STEPS = 32
"""Chunks or segments of a header that are followed."""

Integers = NDArray[np.int64]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
IHDR = np.dtype(
    [
        ("signature", ">u8"),
        ("length", ">u4"),
        ("kind", ">u4"),
        ("width", ">u4"),
        ("height", ">u4"),
        ("depth", "u1"),
        ("colour", "u1"),
        ("packing", "u1"),
        ("filter", "u1"),
        ("interlaced", "u1"),
        ("crc", ">u4"),
    ]
)
"""How a PNG begins."""
CHUNK = np.dtype([("length", ">u4"), ("kind", ">u4")])
CHECKSUM = np.dtype([("crc", ">u4")])
HEADER, PIXELS, COLOURS = (int.from_bytes(kind) for kind in (b"IHDR", b"IDAT", b"iCCP"))
MAX_PROFILE = 1 << 20
"""Bytes that a profile unpacks to at most, as in Pillow."""
KINDS = (b"gAMA", b"sRGB", b"cHRM", b"pHYs", b"PLTE", b"tRNS", b"sBIT", b"bKGD", b"tIME", b"iCCP", b"hIST")
HARMLESS = np.array([int.from_bytes(kind) for kind in KINDS])
"""Chunks that come before the pixels and say nothing of how they lie."""
DEPTHS = np.zeros((256, 256), bool)
"""Which colour types of a PNG have which bits a channel."""
for _colour, _depths in {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}.items():
    DEPTHS[_colour, _depths] = True

SEGMENT = np.dtype([("mark", "u1"), ("marker", "u1"), ("length", ">u2")])
FRAME = np.dtype([("precision", "u1"), ("height", ">u2"), ("width", ">u2"), ("channels", "u1")])
APP0, APP2, APP14, SCAN, QUANTISATION = 0xE0, 0xE2, 0xEE, 0xDA, 0xDB
TABLE_SIZE = 65
"""Bytes of a table of quantisation of eight bits, of which a segment may have four."""
TABLE = np.dtype([("form", "u1")])
FRAMES = np.array([0xC0, 0xC1, 0xC2])
"""Markers of the frame headers of a JPEG, baseline to progressive."""
PROFILE = np.dtype([("text", "S12"), ("number", "u1"), ("count", "u1")])
"""What a segment of a profile begins with."""
LEAST = np.full(256, 1 << 16)
"""Bytes of a segment that says nothing of how the pixels lie, by its marker, from its length on."""
LEAST[[0xC4, 0xDD, 0xFE]] = 2
LEAST[[APP0, APP14]] = 9
LEAST[APP2] = 2 + PROFILE.itemsize
LEAST[QUANTISATION] = 2 + TABLE_SIZE


class Headers(NamedTuple):
    """What is known of files by their headers, one number a file."""

    format: NDArray[np.int8]
    """A position in FORMATS; -1 for what is to be looked at more closely, of which the rest means nothing."""
    width: Integers
    """Pixels."""
    height: Integers


class _Files(NamedTuple):
    """The beginnings of files, one after the other."""

    text: bytes
    """And as many zeros as any structure has bytes."""
    end: Integers
    """Of each file."""

    def at(self, places: Integers, kind: np.dtype[np.void]) -> NDArray[np.void]:
        """The structures that begin at some places."""
        return structures_at(self.text, places, kind)


def plain(data: Sequence[bytes]) -> Headers:
    """What is known of files, whole ones, by their headers."""
    beginnings = [one[:LOOKED_AT] for one in data]
    text = b"".join([*beginnings, bytes(IHDR.itemsize)])
    end = np.cumsum(np.fromiter(map(len, beginnings), np.int64, len(data)))
    begin = np.concatenate([[0], end[:-1]])[: len(end)]
    files = _Files(text, end)
    found = Headers(np.full(len(data), -1, np.int8), *np.zeros((2, len(data)), np.int64))
    _png(files, begin, found)
    _jpeg(files, begin, found)
    return found


def _png(files: _Files, begin: Integers, found: Headers) -> None:
    """Enters what is known of the PNG files."""
    head = files.at(begin, IHDR)
    usual = (head["signature"] == int.from_bytes(SIGNATURE)) & (head["length"] == 13) & (head["kind"] == HEADER)
    usual &= (head["width"] > 0) & (head["height"] > 0) & DEPTHS[head["colour"], head["depth"]]
    usual &= (head["packing"] == 0) & (head["filter"] == 0)
    file = np.flatnonzero(usual & (begin + IHDR.itemsize <= files.end))
    found.width[file], found.height[file] = head["width"][file], head["height"][file]
    place = begin[file] + len(SIGNATURE)
    length = np.full(len(file), 13)
    for _ in range(STEPS):
        # What is at hand is a chunk whose length is known and whose bytes are there.
        pairs = zip((place + 4).tolist(), (place + 8 + length).tolist(), strict=True)
        sums = np.fromiter((zlib.crc32(files.text[a:b]) for a, b in pairs), np.int64, len(place))
        good = sums == files.at(place + 8 + length, CHECKSUM)["crc"]
        file, place = file[good], (place + 12 + length)[good]
        there = place + CHUNK.itemsize <= files.end[file]
        file, place = file[there], place[there]
        chunk = files.at(place, CHUNK)
        found.format[file[chunk["kind"] == PIXELS]] = FORMATS.index("png")
        length = chunk["length"].astype(np.int64)
        good = np.isin(chunk["kind"], HARMLESS) & (place + 12 + length <= files.end[file])
        for at in np.flatnonzero(good & (chunk["kind"] == COLOURS)).tolist():
            good[at] = _is_colour_profile(files.text[place[at] + 8 : place[at] + 8 + length[at]])
        file, place, length = file[good], place[good], length[good]
        if not len(file):
            return


def _is_colour_profile(body: bytes) -> bool:
    """Whether a chunk is a profile that a decoder takes: one with another packing, or that expands to much, spoils the
    file for Pillow.
    """
    _, end, packed = body.partition(b"\0")
    if not end or packed[:1] != b"\0":
        return False
    inflater = zlib.decompressobj()
    try:
        inflater.decompress(packed[1:], MAX_PROFILE)
    except zlib.error:  # type: ignore[misc]  # a class, whatever its stubs say
        return False
    return not inflater.unconsumed_tail


def _jpeg(files: _Files, begin: Integers, found: Headers) -> None:
    """Enters what is known of the JPEG files."""
    head = files.at(begin, SEGMENT)
    file = np.flatnonzero((head["mark"] == 0xFF) & (head["marker"] == 0xD8) & (head["length"] >> 8 == 0xFF))
    found.width[file] = found.height[file] = 0
    place = begin[file] + 2
    for _ in range(STEPS):
        there = place + SEGMENT.itemsize <= files.end[file]
        file, place = file[there], place[there]
        if not len(file):
            return
        segment = files.at(place, SEGMENT)
        marker, length = segment["marker"], segment["length"].astype(np.int64)
        good = (segment["mark"] == 0xFF) & (place + 2 + length <= files.end[file])
        sized = found.width[file] > 0
        found.format[file[good & sized & (marker == SCAN)]] = FORMATS.index("jpeg")
        fits = good & (length >= LEAST[marker])
        for check in (_is_usual_profile, _has_usual_tables):
            fits = check(files, place, marker, length, fits)
        framed = np.flatnonzero(good & np.isin(marker, FRAMES) & ~sized)
        frame = files.at(place[framed] + SEGMENT.itemsize, FRAME)
        usual = (frame["precision"] == 8) & np.isin(frame["channels"], (1, 3, 4))
        usual &= (
            (frame["width"] > 0) & (frame["height"] > 0) & (length[framed] == 8 + 3 * frame["channels"].astype(int))
        )
        fits[framed[usual]] = True
        found.width[file[framed]], found.height[file[framed]] = frame["width"], frame["height"]
        file, place = file[fits], (place + 2 + length)[fits]


def _is_usual_profile(
    files: _Files, place: Integers, marker: NDArray[np.uint8], length: Integers, fits: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """`fits`, but for segments of the marker of profiles that hold something else."""
    mine = np.flatnonzero(fits & (marker == APP2))
    fits[mine] = files.at(place[mine] + SEGMENT.itemsize, PROFILE)["text"] == b"ICC_PROFILE"
    return fits


def _has_usual_tables(
    files: _Files, place: Integers, marker: NDArray[np.uint8], length: Integers, fits: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """`fits`, but for segments of tables of quantisation that are not of eight bits, or cut off."""
    mine = np.flatnonzero(fits & (marker == QUANTISATION))
    tables, rest = np.divmod(length[mine] - 2, TABLE_SIZE)
    fits[mine] = (rest == 0) & (tables <= 4)
    for number in range(4):
        some = mine[tables > number]
        fits[some] &= files.at(place[some] + SEGMENT.itemsize + number * TABLE_SIZE, TABLE)["form"] < 16
    return fits
