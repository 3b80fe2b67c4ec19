"""What is said of an image beside its facts: why it cannot be used, or what is worth knowing of it all the same.

Codes, messages and remedies are those of issues; they speak of bytes and pixels, never of where the image lies.
"""

from typing import NamedTuple

from framehouse.runtime.config import settings


class Unusable(Exception):
    """An image that cannot be used: the code, the message and the remedy of its issue."""

    def __init__(self, code: str, message: str, remedy: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.remedy = remedy


class Remark(NamedTuple):
    """Something worth knowing of an image that was used."""

    code: str
    message: str
    remedy: str


def check_size(width: int, height: int, min_side: int) -> None:
    """Refuses what has too many pixels, or a shortest side under `min_side` pixels."""
    if width * height > settings().max_image_pixels:
        raise too_many_pixels(width * height)
    if min(width, height) < min_side:
        raise Unusable(
            "IMAGE_TOO_SMALL",
            f"the image has {width} × {height} pixels; its shortest side must have {min_side}",
            "leave it out, or allow smaller images",
        )


def too_many_pixels(pixels: int) -> Unusable:
    return Unusable(
        "IMAGE_TOO_MANY_PIXELS",
        f"the image announces {pixels:,} pixels; the limit is {settings().max_image_pixels:,}",
        "scale it down, or raise FRAMEHOUSE_MAX_IMAGE_PIXELS",
    )


def too_large(size: int) -> Unusable:
    """The refusal of a file of `size` bytes, known before it is read."""
    return Unusable(
        "IMAGE_TOO_LARGE",
        f"the image has {size:,} bytes; the limit is {settings().max_image_bytes:,}",
        "compress it, scale it down, or raise FRAMEHOUSE_MAX_IMAGE_BYTES",
    )


def missing() -> Unusable:
    """The refusal of an image without bytes and of unknown size."""
    return Unusable(
        "IMAGE_MISSING",
        "there are labels for this image, but the archive does not hold it and they do not say its size",
        "add the image to the archive",
    )


def damaged_entry(damage: str) -> Unusable:
    """The refusal of bytes that the archive does not give out as they were put in."""
    return Unusable("ENTRY_DAMAGED", f"the entry is damaged: {damage}", "make or send the archive again")


def empty() -> Unusable:
    return Unusable("IMAGE_UNREADABLE", "the file is empty (0 bytes)", "send it again")


def unsupported(data: bytes) -> Unusable:
    return Unusable(
        "IMAGE_UNSUPPORTED",
        f"the content is of no supported image format: it begins with the bytes {data[:8].hex(' ')}, as none known "
        "here does",
        "use JPEG, PNG, WebP, BMP, TIFF, GIF, JPEG 2000, HEIC, AVIF or DNG",
    )


def truncated(format: str, size: int) -> Unusable:
    return Unusable(
        "IMAGE_TRUNCATED",
        f"the {format} image is cut off after {size:,} bytes",
        "copy or download it again; part of it was lost on the way",
    )


def corrupted(format: str, size: int, cause: str) -> Unusable:
    return Unusable(
        "IMAGE_UNREADABLE",
        f"the {format} image of {size:,} bytes is corrupted: {cause}",
        "open it in a viewer; where that fails too, replace it",
    )


def metadata_damaged(text: str) -> Remark:
    return Remark(
        "IMAGE_METADATA_DAMAGED",
        f"the decoder remarked: {text}",
        "nothing, unless the image looks wrong; saving it again mends it",
    )


def mode_converted(mode: str) -> Remark:
    """`mode` is said as `CMYK` or `16-bit greyscale`."""
    return Remark(
        "IMAGE_MODE_CONVERTED",
        f"the image is {mode}; what is shown of it was converted to 8-bit RGB or greyscale",
        "nothing, unless the program that trains on it cannot read such a file: convert it then",
    )


def transparent(mode: str) -> Remark:
    """`mode` is Pillow's name of it."""
    return Remark(
        "IMAGE_MODE_CONVERTED",
        f"the image has transparent pixels ({mode}); what is shown of it keeps them, programs that train on it "
        "mostly see what they hide",
        "nothing, unless that matters: lay it on a background then",
    )


def several_frames(format: str, count: int) -> Remark:
    """`count` is that of frames, pages or pictures in the file."""
    said = f"{count:,} pictures; the main one was used"
    if format == "tiff":
        said = f"{count:,} pages; the first was used"
    elif format in ("gif", "png", "webp", "avif"):
        said = f"{count:,} frames of an animation; the first was used"
    return Remark(
        "IMAGE_ANIMATED",
        f"the {format} file holds {said}",
        "nothing, where that one is meant; send the others as files of their own",
    )


def extension_differs(format: str) -> Remark:
    return Remark(
        "IMAGE_EXTENSION_DIFFERS",
        f"the content is a {format} image; it was used as such",
        "rename the file if other programs stumble over it",
    )
