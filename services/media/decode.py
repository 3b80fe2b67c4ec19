"""One image: its header, its damage and its preview, from bytes to facts.

Pillow decodes, exactly once, and only the format that the bytes announce, never the one that the name claims. What
cannot be used is raised as `Unusable` with a stable code. Where the bytes come from and go to is the shard's business.
"""

import io
import re
import struct
import threading
import warnings
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any, TextIO

from PIL import Image, ImageFile, UnidentifiedImageError

from framehouse.runtime.config import settings

PREVIEW_SIDE = 256
"""Pixels of a preview's longest side; a smaller image keeps its size."""

LARGE = 32_000_000
"""Pixels from which images are decoded one after the other, so that memory does not grow with the threads."""

SIGNATURES = [
    (re.compile(rb"\xff\xd8\xff"), "jpeg", "JPEG"),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "png", "PNG"),
    (re.compile(rb"RIFF.{4}WEBP", re.DOTALL), "webp", "WEBP"),
    (re.compile(rb"GIF8[79]a"), "gif", "GIF"),
    (re.compile(rb"II[*+]\0|MM\0[*+]"), "tiff", "TIFF"),
    (re.compile(rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51"), "jp2", "JPEG2000"),
    (re.compile(rb".{4}ftyp(avif|avis|(mif1|msf1)(?=.{4}(.{4}){0,8}?avif))", re.DOTALL), "avif", "AVIF"),
    (re.compile(rb".{4}ftyp(hei[cxms]|hev[cxms]|mif1|msf1)", re.DOTALL), "heic", "HEIF"),
    (re.compile(rb"BM"), "bmp", "BMP"),
]
"""How a file of each format begins, our name of it, and Pillow's."""

EXTENSIONS = {
    **dict.fromkeys(("jpg", "jpeg", "jpe", "jfif", "mpo"), ("jpeg", "mpo")),
    **dict.fromkeys(("tif", "tiff"), ("tiff",)),
    **dict.fromkeys(("heic", "heif", "hif"), ("heic", "avif")),
    **{name: (name,) for name in ("png", "webp", "bmp", "gif", "jp2", "avif")},
}
"""Formats that a file of each extension may hold without a word."""

UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns the pixels of each EXIF orientation upright."""

EOI = b"\xff\xd9"
"""The last bytes of a JPEG."""
ORIENTATION = 0x0112
DNG_VERSION = 0xC612
STRIPS = {273: "offset", 324: "offset", 279: "length", 325: "length"}
"""Tags of a TIFF that say where its strips or tiles lie."""
TIFF_WIDTHS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Bytes of a value of each TIFF type."""


@dataclass(frozen=True, slots=True)
class Picture:
    """What an image is."""

    format: str
    """jpeg, png, webp, bmp, tiff, gif, jp2, mpo, heic or avif."""
    width: int
    """Pixels, upright."""
    height: int
    orientation: int | None
    """EXIF orientation found, 1 to 8."""
    preview: bytes | None
    """A WebP file, upright; None where only the header was looked at."""
    remarks: tuple[str, ...]
    """What the decoder found odd without being stopped by it."""


class Unusable(Exception):
    """An image that cannot be used: the code, the message and the remedy of its issue."""

    def __init__(self, code: str, message: str, remedy: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.remedy = remedy


def look(data: bytes, *, min_side: int, preview: bool) -> Picture:
    """Looks at an image: at its header alone, or, for a preview, at every byte that makes a pixel.

    `min_side` is in pixels; 0 takes anything. A JPEG whose coded stream has wrong bits but is complete is not told from
    a sound one: the decoder carries on, as viewers do.
    """
    _remarks.texts = []
    try:
        return _look(data, min_side, preview)
    finally:
        _remarks.texts = None


def is_expected(path: str, format: str) -> bool:
    """Whether a file of this name may be of this format; an unknown extension promises nothing."""
    extension = path.rpartition(".")[2].lower()
    return format in EXTENSIONS.get(extension, (format,))


def too_large(size: int) -> Unusable:
    """The refusal of a file of `size` bytes, known before it is read."""
    return Unusable(
        "IMAGE_TOO_LARGE",
        f"the image has {size:,} bytes; the limit is {settings().max_image_bytes:,}",
        "compress it, scale it down, or raise FRAMEHOUSE_MAX_IMAGE_BYTES",
    )


def _look(data: bytes, min_side: int, preview: bool) -> Picture:
    name, plugin = _sniff(data)
    if name == "heic":
        _register_heif()
    try:
        image = Image.open(io.BytesIO(data), formats=(plugin,))
    except Image.DecompressionBombError as error:
        raise _too_many_pixels(int(re.findall(r"\d+", str(error))[0])) from None
    except Exception as error:
        raise _damaged(data, name, error) from None
    with image:
        if image.format == "MPO":
            name = "mpo"
        if name == "tiff" and DNG_VERSION in image.tag_v2:  # type: ignore[attr-defined]
            raise _unsupported("it is a DNG raw file")
        width, height = image.size
        if width * height > settings().max_image_pixels:
            raise _too_many_pixels(width * height)
        if min(width, height) < min_side:
            raise Unusable(
                "IMAGE_TOO_SMALL",
                f"the image has {width} × {height} pixels; its shortest side must have {min_side}",
                "leave it out, or allow smaller images",
            )
        orientation = _orientation(image)
        # Pillow and libheif turn TIFF and HEIC upright themselves, and say the size of the result.
        turn = None if name in ("tiff", "heic") else UPRIGHT.get(orientation or 1)
        try:
            webp = _preview(image, len(data), turn) if preview else None
        except Exception as error:
            raise _damaged(data, name, error) from None
    # The decoder takes the zeros for pixels that an interrupted copy leaves where the rest should be.
    if preview and name == "jpeg" and data.endswith(bytes(64)) and not (rest := data.rstrip(b"\0")).endswith(EOI):
        raise _truncated(name, len(rest))
    if turn is not None and orientation in (5, 6, 7, 8):
        width, height = height, width
    return Picture(name, width, height, orientation, webp, tuple(_remarks.texts or ()))


def _sniff(data: bytes) -> tuple[str, str]:
    """The format that the bytes announce, in our words and in Pillow's."""
    if not data:
        raise Unusable("IMAGE_UNREADABLE", "the file is empty (0 bytes)", "send it again")
    for signature, name, plugin in SIGNATURES:
        if signature.match(data):
            return name, plugin
    raise _unsupported(f"it begins with the bytes {data[:8].hex(' ')}, as no image format known here does")


def _orientation(image: ImageFile.ImageFile) -> int | None:
    if image.format == "HEIF":
        found = image.info.get("original_orientation")
    elif image.format == "TIFF":
        found = image.tag_v2.get(ORIENTATION)  # type: ignore[attr-defined]
    elif image.info.keys() & {"exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"}:
        try:
            found = image.getexif().get(ORIENTATION)
        except Exception as error:  # whatever a parser of hostile bytes may raise: the pixels are none the worse
            warnings.warn(f"the EXIF data cannot be read ({error})", UserWarning, stacklevel=1)
            return None
    else:
        return None
    return found if isinstance(found, int) and 1 <= found <= 8 else None


def _preview(image: ImageFile.ImageFile, size: int, turn: Image.Transpose | None) -> bytes:
    """Decodes the whole image and answers with its preview."""
    width, height = image.size
    scale = min(1.0, PREVIEW_SIDE / max(width, height))
    target = max(1, round(width * scale)), max(1, round(height * scale))
    image.decodermaxblock = size  # one pass over the bytes instead of many over blocks of 64 KiB
    # A HEIC's draft would be its embedded thumbnail, which says nothing of the image itself.
    reduced = image.draft("RGB", target) if image.format in ("JPEG", "MPO") else None
    with nullcontext() if reduced or width * height < LARGE else _one_large:
        image.load()
        small = _eight_bits(image)
        if small.size != target:
            small = small.resize(target, Image.Resampling.BICUBIC, reducing_gap=2.0)
    if small.mode == "F":
        small = _stretched(small)
    if turn is not None:
        small = small.transpose(turn)
    file = io.BytesIO()
    small.save(file, "WEBP", quality=80, method=0)
    return file.getvalue()


def _eight_bits(image: Image.Image) -> Image.Image:
    """The image as L, RGB or RGBA; as F where its values go beyond eight bits."""
    if image.mode.startswith("I"):
        return image.convert("I").convert("F")
    if image.mode in ("RGB", "RGBA", "L", "F") and "transparency" not in image.info:
        return image
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _stretched(image: Image.Image) -> Image.Image:
    """Values from the darkest to the brightest as 0 to 255, so that 12 bits in a file of 16 are not seen as black."""
    low, high = image.getextrema()
    scale = 255 / (high - low) if high > low else 0.0  # type: ignore[operator]
    return image.point(lambda value: value * scale - low * scale).convert("L")  # type: ignore[operator]


def _damaged(data: bytes, name: str, error: Exception) -> Unusable:
    """Says whether an image that failed to decode was cut off or is wrong inside."""
    if "truncated" in str(error).lower() or _is_cut(data, name):
        return _truncated(name, len(data))
    cause = "its header makes no sense" if isinstance(error, UnidentifiedImageError) else str(error)
    return Unusable(
        "IMAGE_UNREADABLE",
        f"the {name} image of {len(data):,} bytes is corrupted: {cause or type(error).__name__}",
        "open it in a viewer; where that fails too, replace it",
    )


def _truncated(name: str, size: int) -> Unusable:
    return Unusable(
        "IMAGE_TRUNCATED",
        f"the {name} image is cut off after {size:,} bytes",
        "copy or download it again; part of it was lost on the way",
    )


def _is_cut(data: bytes, name: str) -> bool:
    """Whether something is missing that the container announces."""
    tail = data[-64:].rstrip(b"\0")
    match name:
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
        case "tiff":
            return _tiff_end(data) > len(data)
        case _:
            return False


def _tiff_end(data: bytes) -> int:
    """Where the bytes end that the first directory of a TIFF or BigTIFF refers to (TIFF 6.0, section 2)."""
    order, large = "<" if data[:2] == b"II" else ">", 43 in data[2:4]
    offset, count, entry = ("Q", "Q", "HHQ8s") if large else ("I", "H", "HHI4s")
    end = 0
    strips = {"offset": (0,), "length": (0,)}
    try:
        (at,) = struct.unpack_from(order + offset, data, 8 if large else 4)
        (entries,) = struct.unpack_from(order + count, data, at)
        at += struct.calcsize(order + count)
        for _ in range(entries):
            tag, kind, values, inline = struct.unpack_from(order + entry, data, at)
            at += struct.calcsize(order + entry)
            width = TIFF_WIDTHS.get(kind, 0)
            start = at - len(inline)
            if values * width > len(inline):
                (start,) = struct.unpack(order + offset, inline)
            end = max(end, at, start + values * width)
            if tag in STRIPS and width > 1:
                strips[STRIPS[tag]] = struct.unpack_from(
                    f"{order}{values}{' HIQ'[width.bit_length() - 1]}", data, start
                )
    except struct.error:
        return len(data) + 1
    return max(end, *map(sum, zip(strips["offset"], strips["length"], strict=False)))


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


def _too_many_pixels(pixels: int) -> Unusable:
    return Unusable(
        "IMAGE_TOO_MANY_PIXELS",
        f"the image announces {pixels:,} pixels; the limit is {settings().max_image_pixels:,}",
        "scale it down, or raise FRAMEHOUSE_MAX_IMAGE_PIXELS",
    )


def _unsupported(why: str) -> Unusable:
    return Unusable(
        "IMAGE_UNSUPPORTED",
        f"the content is of no supported image format: {why}",
        "use JPEG, PNG, WebP, BMP, TIFF, GIF, JPEG 2000, HEIC or AVIF",
    )


# --- Pillow, as this process has it


_one_large = threading.Lock()
_remarks: Any = threading.local()
_shown = warnings.showwarning


def note(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Keeps a warning of the decoder with the image that this thread is looking at."""
    texts = getattr(_remarks, "texts", None)
    if texts is None or category is not UserWarning:
        _shown(message, category, filename, lineno, file, line)
    elif (text := str(message).strip()) not in texts:
        texts.append(text)


# `warnings.catch_warnings` is of the whole process and would mix up the images of several threads.
warnings.showwarning = note
warnings.filterwarnings("always", category=UserWarning, module=r"PIL\.|services\.media")
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # the limit is checked here
Image.MAX_IMAGE_PIXELS = settings().max_image_pixels


@cache
def _register_heif() -> None:
    import pillow_heif

    pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)
