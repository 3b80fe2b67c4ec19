"""The forms of an image that are kept beside its bytes: the preview, and the normalised form of a large one.

Both are made of one decode, upright, the preview of the normalised form where there is one.
"""

import io
from typing import NamedTuple

from PIL import Image, ImageFile

from framehouse.pillow import alone_if_large
from services.media.looks import look_of
from services.media.shrinking import shrunk

PREVIEW_SIDE = 256
"""Pixels of a preview's longest side; a smaller image keeps its size."""
JPEG_QUALITY = 95
PNG_LEVEL = 3
"""zlib's level of a normalised PNG: two thirds of the time of the default, for a tenth more bytes."""
MAX_PROFILE = 1 << 20
"""Bytes of a colour profile that is kept with a normalised form."""


class Form(NamedTuple):
    """A form of an image that is smaller than its original, as a file."""

    data: bytes
    format: str
    """jpeg or png."""
    width: int
    height: int


class Forms(NamedTuple):
    """What one decode gives."""

    preview: bytes
    """A WebP file."""
    normalised: Form | None
    transparent: bool
    """Whether any pixel of the preview is."""
    look: int | None
    """As `look_of` has it."""


def scaled(width: int, height: int, side: int) -> tuple[int, int]:
    """The size that has `side` pixels on its longest side; never larger, and at least 1 pixel."""
    scale = min(1.0, side / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def decode(
    image: ImageFile.ImageFile, size: int, turn: Image.Transpose | None, *, goal: tuple[int, int] | None, lossy: bool
) -> Forms:
    """Decodes the whole of an image, of which `size` bytes are read.

    `turn` makes it upright. `goal` is the size of its normalised form, before the turn; a `lossy` one is a JPEG.
    """
    full = image.size
    target = goal or scaled(*full, PREVIEW_SIDE)
    image.decodermaxblock = size  # one pass over the bytes instead of many over blocks of 64 KiB
    # A HEIC's draft would be its embedded thumbnail, which says nothing of the image itself.
    reduced = image.draft("RGB", target) if image.format in ("JPEG", "MPO") else None
    box = reduced[1] if reduced else None
    with alone_if_large(image.width * image.height):
        image.load()
        return forms_of(image, full, turn, goal=goal, box=box, lossy=lossy)


def forms_of(
    pixels: Image.Image,
    full: tuple[int, int],
    turn: Image.Transpose | None,
    *,
    goal: tuple[int, int] | None,
    lossy: bool,
    box: tuple[float, float, float, float] | None = None,
) -> Forms:
    """The forms of decoded pixels: all of them, or those in `box`, show an image of the size `full`."""
    normalised = None
    if goal is not None:
        pixels = _scalable(pixels)
        if pixels.size != goal:
            pixels = pixels.resize(goal, Image.Resampling.LANCZOS, box=box, reducing_gap=3.0)
        if turn is not None:
            pixels = pixels.transpose(turn)
        normalised = _file(pixels, lossy)
        full, turn = pixels.size, None
    small = _eight_bits(pixels)
    target = scaled(*full, PREVIEW_SIDE)
    if small.size != target:
        small = shrunk(small, target)
    if small.mode == "F":
        small = _stretched(small)
    if turn is not None:
        small = small.transpose(turn)
    file = io.BytesIO()
    small.save(file, "WEBP", quality=80, method=0)
    transparent = small.mode == "RGBA" and small.getchannel("A").getextrema()[0] < 255  # type: ignore[operator]
    return Forms(file.getvalue(), normalised, transparent, look_of(small))


def _scalable(image: Image.Image) -> Image.Image:
    """The image as L, RGB or RGBA, or as I;16 where it is grey with up to 16 bits, which a PNG holds."""
    if image.mode == "I" or (image.mode.startswith("I;16") and image.mode != "I;16"):
        low, high = image.getextrema()
        if low >= 0 and high < 1 << 16:  # type: ignore[operator]
            return image.convert("I").convert("I;16")
    if image.mode == "I;16":
        return image
    plain = _eight_bits(image)
    return _stretched(plain) if plain.mode == "F" else plain


def _file(pixels: Image.Image, lossy: bool) -> Form:
    jpeg = lossy and pixels.mode in ("L", "RGB")
    file = io.BytesIO()
    profile = pixels.info.get("icc_profile") or None
    if profile and len(profile) > MAX_PROFILE:
        profile = None
    # Nothing else of the original is written along: neither its orientation nor its comments.
    pixels.info = {"icc_profile": profile} if profile else {}
    if jpeg:
        pixels.save(file, "JPEG", quality=JPEG_QUALITY, icc_profile=profile)
    else:
        pixels.save(file, "PNG", compress_level=PNG_LEVEL, icc_profile=profile)
    return Form(file.getvalue(), "jpeg" if jpeg else "png", *pixels.size)


def _eight_bits(image: Image.Image) -> Image.Image:
    """The image as L, RGB or RGBA; as F where its values go beyond eight bits."""
    if image.mode.startswith("I"):
        return image.convert("I").convert("F")
    if image.mode in ("RGB", "RGBA", "L", "F") and "transparency" not in image.info:
        return image
    converted = image.convert("RGBA" if image.has_transparency_data else "RGB")
    if image.mode in ("CMYK", "LAB"):
        converted.info.pop("icc_profile", None)  # it is about the colours that were converted
    return converted


def _stretched(image: Image.Image) -> Image.Image:
    """Values from the darkest to the brightest as 0 to 255, so that 12 bits in a file of 16 are not seen as black."""
    low, high = image.getextrema()
    scale = 255 / (high - low) if high > low else 0.0  # type: ignore[operator]
    return image.point(lambda value: value * scale - low * scale).convert("L")  # type: ignore[operator]
