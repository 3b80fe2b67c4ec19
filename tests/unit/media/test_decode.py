"""What is said of one image: its facts and its preview."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from framehouse.pillow import UPRIGHT
from services.media import decode
from services.media.decode import is_expected, look
from tests.unit.media.pictures import (
    ALL_FORMATS,
    FORMATS,
    dng,
    encoded,
    example,
    full,
    is_red_then_blue,
    picture,
    refusal,
    shown,
)


def preview_of(data: bytes) -> Image.Image:
    return shown(full(data).preview)


@pytest.mark.parametrize("name", ALL_FORMATS)
def test_every_format_is_decoded_and_previewed(name: str) -> None:
    data = example(name)
    found = full(data)
    assert (found.format, found.width, found.height, found.orientation) == (name, 300, 200, None)
    assert found.normalised is None
    preview = preview_of(data)
    assert preview.size == (256, 171)
    assert is_red_then_blue(preview)


@pytest.mark.parametrize("name", FORMATS)
def test_an_ordinary_image_is_worth_no_remark(name: str) -> None:
    assert full(example(name)).remarks == ()


def test_the_header_alone_does_not_find_what_is_cut_off() -> None:
    data = encoded(picture(), "JPEG")
    found = look(data[: len(data) // 2], min_side=0, preview=False)
    assert (found.width, found.height, found.preview) == (300, 200, None)


def test_an_image_smaller_than_asked_for_is_refused() -> None:
    data = encoded(picture(300, 27), "PNG")
    assert refusal(data, min_side=28).code == "IMAGE_TOO_SMALL"
    assert full(data, min_side=27).height == 27


def test_a_very_long_image_has_a_preview() -> None:
    assert preview_of(encoded(Image.new("L", (20_000, 1)), "PNG")).size == (256, 1)
    assert preview_of(encoded(picture(1, 2000), "JPEG")).size == (1, 256)


def test_a_small_image_is_not_enlarged() -> None:
    assert preview_of(encoded(picture(40, 30), "PNG")).size == (40, 30)


@pytest.mark.parametrize("plugin", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_an_image_turned_by_exif_is_upright(plugin: str) -> None:
    exif = Image.Exif()
    exif[decode.ORIENTATION] = 6  # the stored top is the right side of what was seen
    stored = picture()
    data = encoded(stored, plugin, exif=exif.tobytes())
    found = full(data)
    assert (found.width, found.height, found.orientation) == (200, 300, 6)
    preview = preview_of(data)
    assert preview.size == (171, 256)
    assert is_red_then_blue(preview.transpose(Image.Transpose.ROTATE_90))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_each_orientation_is_shown_as_pillow_shows_it(orientation: int) -> None:
    exif = Image.Exif()
    exif[decode.ORIENTATION] = orientation
    data = encoded(picture(120, 80), "JPEG", exif=exif, quality=95)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data)))).astype(int)
    preview = np.asarray(preview_of(data).convert("RGB")).astype(int)
    assert preview.shape == expected.shape
    assert abs(preview - expected).mean() < 20


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_raw_photograph_is_developed_upright(orientation: int) -> None:
    data = dng(picture(120, 80), orientation)
    found = full(data)
    assert (found.width, found.height) == ((120, 80) if orientation < 5 else (80, 120))
    assert found.orientation == (orientation if orientation > 1 else None)
    assert look(data, min_side=0, preview=False).width == found.width
    turned = preview_of(data)
    back = {2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}.get(orientation)
    assert is_red_then_blue(turned.transpose(UPRIGHT[back]) if back else turned)


@pytest.mark.parametrize("value", [0, 9, 77])
def test_an_orientation_that_does_not_exist_is_none(value: int) -> None:
    exif = Image.Exif()
    exif[decode.ORIENTATION] = value
    assert full(encoded(picture(), "JPEG", exif=exif)).orientation is None


def grey(dtype: Any, factor: float) -> Image.Image:
    return Image.fromarray((np.tile(np.arange(256), (100, 1)) * factor).astype(dtype))


@pytest.mark.parametrize(
    "data",
    [
        encoded(grey(np.uint16, 16), "PNG"),  # 12 bits in a file of 16
        encoded(grey(np.uint16, 257), "TIFF"),
        encoded(grey(np.float32, 1 / 255), "TIFF"),
        encoded(grey(np.int32, -1000), "TIFF"),
        encoded(grey(np.uint8, 1), "PNG"),
    ],
    ids=["png-12-bit", "tiff-16-bit", "tiff-float", "tiff-negative", "grey"],
)
def test_a_preview_shows_the_whole_range_of_values(data: bytes) -> None:
    values = np.asarray(preview_of(data).convert("L"))
    assert values.min() < 20
    assert values.max() > 235


def test_float_pixels_without_a_range_have_a_preview() -> None:
    empty = np.full((50, 60), np.nan, np.float32)
    assert preview_of(encoded(Image.fromarray(empty), "TIFF")).size == (60, 50)


@pytest.mark.parametrize(
    "data",
    [
        encoded(picture().convert("CMYK"), "JPEG"),
        encoded(picture().quantize(16), "PNG"),
        encoded(picture().quantize(16), "GIF"),
        encoded(picture(), "JPEG", progressive=True),
    ],
    ids=["cmyk", "palette", "gif", "progressive"],
)
def test_other_colour_modes_keep_their_colours(data: bytes) -> None:
    assert is_red_then_blue(preview_of(data))


def test_transparency_is_kept() -> None:
    image = picture().convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    preview = preview_of(encoded(image, "PNG"))
    assert preview.mode == "RGBA"
    palette = picture().quantize(16)
    assert preview_of(encoded(palette, "PNG", transparency=palette.getpixel((0, 0)))).mode == "RGBA"


def test_an_animation_is_its_first_frame() -> None:
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "blue")]
    for plugin in ("WEBP", "GIF"):
        data = encoded(frames[0], plugin, save_all=True, append_images=frames[1:])
        assert preview_of(data).convert("RGB").getpixel((30, 30))[0] > 200


@pytest.mark.parametrize(
    ("path", "format", "expected"),
    [
        ("a/b.jpg", "jpeg", True),
        ("a/b.JPG", "mpo", True),
        ("a/b.jpg", "png", False),
        ("a/b.heif", "avif", True),
        ("a/b.dng", "dng", True),
        ("a/b.dng", "tiff", False),
        ("a/b.png", "webp", False),
        ("a/b.dat", "png", True),
        ("b", "png", True),
    ],
)
def test_an_extension_promises_a_format(path: str, format: str, expected: bool) -> None:
    assert is_expected(path, format) is expected
