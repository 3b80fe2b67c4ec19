"""An image as a file of another format: all of its pixels, upright, and nothing of what else its file says.

Without loss as far as the format holds them: a JPEG has quality 95 and 8 bits, WebP and BMP have 8 bits, and neither
JPEG nor BMP knows transparency.
"""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from framehouse.pillow import UPRIGHT, alone_if_large, one_large, register_heif
from framehouse.runtime.config import settings

FORMATS = ("jpeg", "png", "webp", "bmp", "tiff")
"""What images are written as."""
LONGEST_SIDE = {"jpeg": 65_500, "webp": 16_383}
"""Pixels that a side has at most, where the format says so."""

JPEG_QUALITY = 95
OPTIONS: dict[str, dict[str, Any]] = {
    "jpeg": {"quality": JPEG_QUALITY},
    # A tenth more bytes in two thirds of the time of the defaults; of WebP in a third.
    "png": {"compress_level": 3},
    "webp": {"lossless": True, "exact": True, "method": 1, "quality": 20},
    "bmp": {},
    "tiff": {"compression": "tiff_adobe_deflate"},
}
READERS = {
    **{name: name.upper() for name in ("jpeg", "png", "webp", "bmp", "tiff", "gif", "avif")},
    "mpo": "JPEG",
    "jp2": "JPEG2000",
    "heic": "HEIF",
}
"""What Pillow calls each format that it reads; an image is opened as nothing else."""
DEEP = ("png", "tiff")
"""Formats that hold more than eight bits, read and written."""
TURNED_BY_READERS = ("heic", "tiff", "dng")
"""Formats whose pixels come upright from the reader."""

MAX_PROFILE = 1 << 20
"""Bytes of a colour profile that is kept."""


def encode(data: bytes, format: str, orientation: int | None, target: str) -> bytes:
    """An image of a `format` of the table as a file of one of FORMATS. `orientation` is the EXIF one that was found.

    `ValueError` where it cannot be decoded, has more than FRAMEHOUSE_MAX_IMAGE_PIXELS, or is too long for the format.
    """
    limit = settings().max_image_pixels
    Image.MAX_IMAGE_PIXELS = None  # the limit is checked here
    try:
        if format == "dng":
            with one_large:
                return _file(_developed(data), target)
        if format == "heic":
            register_heif()
        with Image.open(io.BytesIO(data), formats=(READERS[format],)) as image:
            pixels = image.width * image.height
            if pixels > limit:
                raise ValueError(f"it has {pixels:,} pixels, more than the {limit:,} allowed")
            with alone_if_large(pixels):
                turn = None if format in TURNED_BY_READERS else UPRIGHT.get(orientation or 1)
                if format in DEEP and target in DEEP and _has_deep_colours(image):
                    return _deep_file(data, turn, target)
                image.decodermaxblock = len(data)  # one pass over the bytes instead of many
                image.load()
                return _file(image.transpose(turn) if turn is not None else image, target)
    except ValueError:
        raise
    except Exception as error:  # whatever decoders may raise
        raise ValueError(str(error) or type(error).__name__) from None


def _file(image: Image.Image, target: str) -> bytes:
    profile = image.info.get("icc_profile") or b""
    if len(profile) > MAX_PROFILE or image.mode in ("CMYK", "LAB"):  # of the colours that are converted
        profile = b""
    pixels = _held(image, target)
    pixels.info = {}
    file = io.BytesIO()
    more = {"icc_profile": profile} if profile and target != "bmp" else {}
    pixels.save(file, target.upper(), **OPTIONS[target], **more)
    return file.getvalue()


def _held(image: Image.Image, target: str) -> Image.Image:
    """The image in a mode that the format holds, with the values that it has where that can be."""
    if image.mode.startswith("I;16") or image.mode == "I":
        values = np.asarray(image.convert("I"))
        if values.min() >= 0 and values.max() < 1 << 16:
            deep = values.astype(np.uint16)
            return Image.fromarray(deep) if target in DEEP else Image.fromarray((deep >> 8).astype(np.uint8))
        return image if target == "tiff" else _stretched(values)
    if image.mode == "F":
        return image if target == "tiff" else _stretched(np.asarray(image))
    if image.mode == "1":
        image = image.convert("L")
    if image.mode in ("L", "RGB") and "transparency" not in image.info:
        return image
    transparent = image.has_transparency_data and target not in ("jpeg", "bmp")
    if image.mode == "LA" and not transparent:
        return image.convert("L")
    return image.convert("RGBA" if transparent else "RGB")


def _stretched(values: NDArray[Any]) -> Image.Image:
    """Values from the darkest to the brightest as 0 to 255, as previews show them."""
    low, high = float(values.min()), float(values.max())
    scaled = (values.astype(np.float64) - low) * (255 / (high - low) if high > low else 0.0)
    return Image.fromarray(np.nan_to_num(scaled).astype(np.uint8))


def _has_deep_colours(image: ImageFile.ImageFile) -> bool:
    """Whether it has several channels of 16 bits, of which Pillow would drop eight."""
    return not image.mode.startswith("I") and ";16" in str(image.tile[0].args if image.tile else "")


def _deep_file(data: bytes, turn: Image.Transpose | None, target: str) -> bytes:
    import cv2

    values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None:
        raise ValueError("its colours of 16 bits cannot be read")
    match turn:
        case None:
            pass
        case Image.Transpose.FLIP_LEFT_RIGHT:
            values = values[:, ::-1]
        case Image.Transpose.FLIP_TOP_BOTTOM:
            values = values[::-1]
        case Image.Transpose.TRANSPOSE:
            values = values.swapaxes(0, 1)
        case Image.Transpose.TRANSVERSE:
            values = values[::-1, ::-1].swapaxes(0, 1)
        case _:
            quarters = {Image.Transpose.ROTATE_90: 1, Image.Transpose.ROTATE_180: 2, Image.Transpose.ROTATE_270: 3}
            values = np.rot90(values, quarters[turn])
    done, file = cv2.imencode(f".{target}", np.ascontiguousarray(values))
    if not done:
        raise ValueError("its colours of 16 bits cannot be written")
    return bytes(file.tobytes())


def _developed(data: bytes) -> Image.Image:
    """A raw photograph with the camera's white balance, in 8 bits, upright."""
    import rawpy

    with rawpy.imread(io.BytesIO(data)) as raw:
        return Image.fromarray(raw.postprocess(use_camera_wb=True, output_bps=8))
