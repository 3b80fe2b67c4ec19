"""One image: its header, its damage and the forms kept beside it, from bytes to facts.

It is decoded exactly once, and only as the format that the bytes announce, never the one that the name claims. What
cannot be used is raised as `Unusable` with a stable code. Where the bytes come from and go to is the shard's business.
"""

import io
import re
import threading
import warnings
from dataclasses import dataclass
from typing import Any, TextIO

from PIL import Image, ImageFile, UnidentifiedImageError

from framehouse.pillow import UPRIGHT, one_large, register_heif
from services.media import containers, findings
from services.media.findings import Remark, Unusable
from services.media.pixels import PREVIEW_SIDE, Form, decode, forms_of, scaled

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
"""How a file of each format begins, our name of it, and Pillow's. A DNG begins as a TIFF."""

EXTENSIONS = {
    **dict.fromkeys(("jpg", "jpeg", "jpe", "jfif", "mpo"), ("jpeg", "mpo")),
    **dict.fromkeys(("tif", "tiff"), ("tiff",)),
    **dict.fromkeys(("heic", "heif", "hif"), ("heic", "avif")),
    **{name: (name,) for name in ("png", "webp", "bmp", "gif", "jp2", "avif", "dng")},
}
"""Formats that a file of each extension may hold without a word."""

PHOTOGRAPHS = {"jpeg", "mpo", "heic", "avif", "jp2", "dng"}
"""Formats whose normalised form is a JPEG; a WebP's is where it is lossy itself."""

MODES = {"CMYK": "CMYK", "LAB": "Lab", "I": "32-bit greyscale", "F": "floating-point greyscale"}
"""What is said of Pillow's modes that are converted, beside those of 16 bits."""

ORIENTATION = 0x0112


@dataclass(frozen=True, slots=True)
class Picture:
    """What an image is."""

    format: str
    """jpeg, png, webp, bmp, tiff, gif, jp2, mpo, heic, avif or dng."""
    width: int
    """Pixels, upright."""
    height: int
    orientation: int | None
    """EXIF orientation found, 1 to 8."""
    preview: bytes | None
    """A WebP file, upright; None where only the header was looked at."""
    normalised: Form | None
    """The form of a large image that was asked for."""
    remarks: tuple[Remark, ...]
    """What is worth knowing of it."""
    look: int | None = None
    """As `look_of` has it; None too where only the header was looked at."""


def look(data: bytes, *, min_side: int, preview: bool, max_side: int | None = None) -> Picture:
    """Looks at an image: at its header alone, or, for a preview, at every byte that makes a pixel.

    `min_side` is in pixels; 0 takes anything. Beside the preview, an image whose longest side is above `max_side` gets
    a normalised form of that size, and a DNG always does, for nothing that trains reads it; with 0 only a DNG does, and
    with None nothing. A JPEG whose coded stream has wrong bits but is complete is not told from a sound one: the
    decoder carries on, as viewers do.
    """
    _remarks.texts = []
    try:
        return _look(data, min_side, preview, max_side)
    finally:
        _remarks.texts = None


def is_expected(path: str, format: str) -> bool:
    """Whether a file of this name may be of this format; an unknown extension promises nothing."""
    extension = path.rpartition(".")[2].lower()
    return format in EXTENSIONS.get(extension, (format,))


def _look(data: bytes, min_side: int, preview: bool, max_side: int | None) -> Picture:
    name, plugin = _sniff(data)
    if name == "tiff" and containers.is_dng(data):
        return _look_raw(data, min_side, preview, max_side)
    if name == "heic":
        register_heif()
    try:
        image = Image.open(io.BytesIO(data), formats=(plugin,))
    except Image.DecompressionBombError as error:
        raise findings.too_many_pixels(int(re.findall(r"\d+", str(error))[0])) from None
    except Exception as error:
        raise _damaged(data, name, error) from None
    with image:
        if image.format == "MPO":
            name = "mpo"
        findings.check_size(*image.size, 0)
        orientation = _orientation(image)
        # Pillow and libheif turn TIFF and HEIC upright themselves, and say the size of the result.
        turn = None if name in ("tiff", "heic") else UPRIGHT.get(orientation or 1)
        width, height = image.size[::-1] if turn is not None and orientation in (5, 6, 7, 8) else image.size
        findings.check_size(width, height, min_side)
        forms = None
        if preview:
            goal = scaled(*image.size, max_side) if max_side and max(image.size) > max_side else None
            lossy = name in PHOTOGRAPHS or (name == "webp" and containers.is_lossy_webp(data))
            try:
                remarks = _remarks_before(image, data, name)
                forms = decode(image, len(data), turn, goal=goal, lossy=lossy)
            except Exception as error:
                raise _damaged(data, name, error) from None
    if forms is None:
        return Picture(name, width, height, orientation, None, None, _heard())
    # The decoder takes the zeros for pixels that an interrupted copy leaves where the rest should be.
    if name == "jpeg" and data.endswith(bytes(64)) and not (rest := data.rstrip(b"\0")).endswith(containers.EOI):
        raise findings.truncated(name, len(rest))
    if name == "mpo" and _lacks_pictures(image, data):
        raise findings.truncated(name, len(data))
    if forms.transparent:
        remarks.append(findings.transparent(image.mode))
    remarks += _heard()
    return Picture(name, width, height, orientation, forms.preview, forms.normalised, tuple(remarks), forms.look)


def _look_raw(data: bytes, min_side: int, preview: bool, max_side: int | None) -> Picture:
    """As `_look`, for a DNG."""
    from services.media import raw

    if preview and containers.is_cut(data, "dng"):
        raise findings.truncated("dng", len(data))
    try:
        with raw.opened(data) as photograph:
            width, height, orientation = raw.facts_of(photograph)
            findings.check_size(width, height, min_side)
            if not preview:
                return Picture("dng", width, height, orientation, None, None, ())
            goal = None if max_side is None else scaled(width, height, max_side or max(width, height))
            with one_large:
                image = raw.develop(photograph, max(goal or (PREVIEW_SIDE,)))
                forms = forms_of(image, (width, height), None, goal=goal, lossy=True)
    except Unusable:
        raise
    except Exception as error:
        cause = error.args[0].decode().lower() if error.args and isinstance(error.args[0], bytes) else str(error)
        raise findings.corrupted("dng", len(data), cause) from None
    return Picture("dng", width, height, orientation, forms.preview, forms.normalised, (), forms.look)


def _sniff(data: bytes) -> tuple[str, str]:
    """The format that the bytes announce, in our words and in Pillow's."""
    if not data:
        raise findings.empty()
    for signature, name, plugin in SIGNATURES:
        if signature.match(data):
            return name, plugin
    raise findings.unsupported(data)


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


def _remarks_before(image: ImageFile.ImageFile, data: bytes, name: str) -> list[Remark]:
    """What is worth knowing of an image that is about to be decoded: its other frames, and colours that are converted.

    The frames of TIFF and GIF are counted without Pillow, whose time for them is not bounded by their bytes.
    """
    found = []
    match name:
        case "tiff":
            frames = containers.tiff_pages(data)
        case "gif":
            frames = containers.gif_frames(data)
        case "jpeg" | "bmp" | "jp2":
            frames = 1
        case _:
            frames = getattr(image, "n_frames", 1)
    if frames > 1:
        found.append(findings.several_frames(name, frames))
    mode = "16-bit greyscale" if image.mode.startswith("I;16") else MODES.get(image.mode, "")
    if name in ("png", "tiff") and not mode and ";16" in str(image.tile[0].args if image.tile else ""):
        mode = f"16-bit {image.mode}"
    if mode:
        found.append(findings.mode_converted(mode))
    return found


def _lacks_pictures(image: ImageFile.ImageFile, data: bytes) -> bool:
    """Whether an MPO is cut off in one of the pictures after its first; not where they were taken out as a whole."""
    if containers.is_cut(data, "mpo"):
        begin = data.find(b"MPF\0") + 4  # offsets count from there
        entries = image.mpinfo[0xB002][1:]  # type: ignore[attr-defined]
        return any(begin + entry["DataOffset"] + entry["Size"] > len(data) for entry in entries)
    return False


def _damaged(data: bytes, name: str, error: Exception) -> Unusable:
    """Says whether an image that failed to decode was cut off or is wrong inside."""
    if "truncated" in str(error).lower() or containers.is_cut(data, name):
        return findings.truncated(name, len(data))
    cause = "its header makes no sense" if isinstance(error, UnidentifiedImageError) else str(error)
    return findings.corrupted(name, len(data), cause or type(error).__name__)


# --- Pillow, as this process has it


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


def _heard() -> tuple[Remark, ...]:
    """What the decoder said of the image that this thread is looking at."""
    return tuple(findings.metadata_damaged(text) for text in _remarks.texts)


# `warnings.catch_warnings` is of the whole process and would mix up the images of several threads.
warnings.showwarning = note
warnings.filterwarnings("always", category=UserWarning, module=r"PIL\.|services\.media")
