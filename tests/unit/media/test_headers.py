"""What is read of plain headers is what Pillow says, and all else is left to it."""

import io

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from services.media import headers

MODES = {"png": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"), "jpeg": ("L", "RGB", "CMYK")}


def saved(mode: str, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.new(mode, (37, 23)).save(file, format, **options)
    return file.getvalue()


@pytest.mark.parametrize(("format", "mode"), [(format, mode) for format, modes in MODES.items() for mode in modes])
def test_plain_files_are_told(format: str, mode: str) -> None:
    assert headers.plain(saved(mode, format)) == (format, 37, 23)


def test_progressive_files_and_those_with_profiles_are_told() -> None:
    assert headers.plain(saved("RGB", "jpeg", progressive=True)) == ("jpeg", 37, 23)
    assert headers.plain(saved("RGB", "jpeg", icc_profile=b"profile", comment="yes")) == ("jpeg", 37, 23)
    assert headers.plain(saved("RGB", "png", icc_profile=b"profile", dpi=(72, 72))) == ("png", 37, 23)


def test_what_may_turn_an_image_or_hold_others_is_left() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    text = PngInfo()
    text.add_itxt("XML:com.adobe.xmp", "<x/>")
    assert headers.plain(saved("RGB", "jpeg", exif=exif)) is None
    assert headers.plain(saved("RGB", "png", exif=exif)) is None
    assert headers.plain(saved("RGB", "png", pnginfo=text)) is None
    assert headers.plain(saved("RGB", "mpo", save_all=True, append_images=[Image.new("RGB", (9, 9))])) is None
    assert headers.plain(saved("RGB", "webp")) is None


@pytest.mark.parametrize("format", ["png", "jpeg"])
def test_damage_before_the_pixels_is_left(format: str) -> None:
    data = saved("RGB", format)
    pixels = data.index(b"IDAT" if format == "png" else b"\xff\xda")
    assert all(headers.plain(data[:length]) is None for length in range(pixels))
    if format == "png":
        wrong = [data[:i] + bytes([data[i] ^ 0x40]) + data[i + 1 :] for i in range(pixels - 4)]
        assert all(headers.plain(one) is None for one in wrong)
