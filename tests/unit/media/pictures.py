"""Images of every format, made by code."""

import io
import struct
import zlib
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from services.media.decode import Picture, look
from services.media.findings import Unusable

pillow_heif.register_heif_opener()

FORMATS = {
    "jpeg": "JPEG",
    "png": "PNG",
    "webp": "WEBP",
    "bmp": "BMP",
    "tiff": "TIFF",
    "gif": "GIF",
    "jp2": "JPEG2000",
    "heic": "HEIF",
    "avif": "AVIF",
}
"""Our names, and Pillow's, of what Pillow writes of one picture."""

ALL_FORMATS = [*FORMATS, "mpo", "dng"]


def picture(width: int = 300, height: int = 200) -> Image.Image:
    """Noise, so that it does not compress to nothing; the left half red, the right half blue."""
    pixels = np.random.default_rng(0).integers(0, 60, (height, width, 3), dtype=np.uint8)
    pixels[:, : width // 2, 0] += 190
    pixels[:, width // 2 :, 2] += 190
    return Image.fromarray(pixels)


def encoded(image: Image.Image, plugin: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, plugin, **options)
    return file.getvalue()


@cache
def example(format: str, width: int = 300, height: int = 200) -> bytes:
    """`picture` as a file of any of ALL_FORMATS."""
    image = picture(width, height)
    match format:
        case "dng":
            return dng(image)
        case "mpo":
            return encoded(image, "MPO", save_all=True, append_images=[picture(width // 2, height // 2)])
        case _:
            return encoded(image, FORMATS[format])


def dng(image: Image.Image, orientation: int = 1) -> bytes:
    """A raw photograph without compression: what a sensor behind red, green and blue squares sees of the image."""
    colours = np.asarray(image.convert("RGB")).astype("<u2") * 60
    height, width = colours.shape[:2]
    mosaic = colours[:, :, 1].copy()
    mosaic[0::2, 0::2] = colours[0::2, 0::2, 0]
    mosaic[1::2, 1::2] = colours[1::2, 1::2, 2]
    one, none = struct.pack("<ii", 1, 1), struct.pack("<ii", 0, 1)
    return tiff(
        {
            254: struct.pack("<I", 0),
            256: struct.pack("<I", width),
            257: struct.pack("<I", height),
            258: struct.pack("<H", 16),
            259: struct.pack("<H", 1),
            262: struct.pack("<H", 32803),  # colour filter array
            271: b"Maker\0",
            272: b"Model\0",
            274: struct.pack("<H", orientation),
            277: struct.pack("<H", 1),
            278: struct.pack("<I", height),
            33421: struct.pack("<HH", 2, 2),  # CFARepeatPatternDim
            33422: bytes([0, 1, 1, 2]),  # CFAPattern: red, green, green, blue
            50706: bytes([1, 4, 0, 0]),  # DNGVersion
            50708: b"Maker Model\0",
            50717: struct.pack("<I", 16383),  # WhiteLevel
            50721: (one + none * 3) * 2 + one,  # ColorMatrix1
            50728: one * 3,  # AsShotNeutral
            50778: struct.pack("<H", 21),  # CalibrationIlluminant1: D65
        },
        mosaic.tobytes(),
    )


KINDS = {256: "I", 257: "I", 258: "H", 259: "H", 262: "H", 271: "s", 272: "s", 274: "H", 277: "H", 278: "I", 254: "I"}
KINDS |= {33421: "H", 33422: "B", 50706: "B", 50708: "s", 50717: "I", 50721: "ii", 50728: "II", 50778: "H"}
TYPES = {"B": (1, 1), "s": (2, 1), "H": (3, 2), "I": (4, 4), "II": (5, 8), "ii": (10, 8)}


def tiff(tags: Mapping[int, bytes], strip: bytes, following: int = 0) -> bytes:
    """A TIFF of one directory and one strip; `following` is where it says that the next directory lies."""
    entries: dict[int, tuple[int, int, bytes]] = {}
    for tag, value in tags.items():
        kind, width = TYPES[KINDS[tag]]
        entries[tag] = kind, len(value) // width, value
    entries[273] = 4, 1, b""
    entries[279] = 4, 1, struct.pack("<I", len(strip))
    at = 8 + 2 + 12 * len(entries) + 4
    table, values = b"", b""
    for tag, (kind, count, value) in sorted(entries.items()):
        if len(value) > 4:
            inline = struct.pack("<I", at + len(values))
            values += value + bytes(len(value) % 2)
        else:
            inline = b"here" if tag == 273 else value
        table += struct.pack("<HHI4s", tag, kind, count, inline)
    table = table.replace(b"here", struct.pack("<I", at + len(values)))
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + table + struct.pack("<I", following) + values + strip


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def full(data: bytes, min_side: int = 0, max_side: int | None = None) -> Picture:
    """The image, decoded."""
    return look(data, min_side=min_side, preview=True, max_side=max_side)


def refusal(data: bytes, min_side: int = 0, preview: bool = True) -> Unusable:
    """Why an image is not taken."""
    with pytest.raises(Unusable) as caught:
        look(data, min_side=min_side, preview=preview)
    return caught.value


def shown(webp: bytes | None) -> Image.Image:
    """A preview's pixels."""
    assert webp is not None
    return Image.open(io.BytesIO(webp))


def is_red_then_blue(image: Image.Image) -> bool:
    """Whether the left of the image is that of `picture`, and the right."""
    rgb = image.convert("RGB")
    left, right = (rgb.getpixel((rgb.width * part // 8, rgb.height // 2)) for part in (1, 7))
    return bool(left[0] > left[2] + 80 and right[2] > right[0] + 80)
