"""The normalised form of an image, and what is remarked of its colours and frames."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from services.media.decode import ORIENTATION
from services.media.pixels import Form
from tests.unit.media.pictures import ALL_FORMATS, dng, encoded, example, full, is_red_then_blue, picture, shown

PHOTOGRAPHS = {"jpeg", "mpo", "webp", "heic", "avif", "jp2", "dng"}


def normalised(data: bytes, max_side: int = 150) -> Form:
    form = full(data, max_side=max_side).normalised
    assert form is not None
    return form


def opened(form: Form) -> Image.Image:
    image = Image.open(io.BytesIO(form.data))
    assert (image.format, image.size) == (form.format.upper(), (form.width, form.height))
    return image


@pytest.mark.parametrize("name", ALL_FORMATS)
def test_an_image_above_the_limit_gets_a_smaller_form(name: str) -> None:
    found = full(example(name), max_side=150)
    assert (found.width, found.height) == (300, 200)
    form = found.normalised
    assert form is not None
    assert (form.format, form.width, form.height) == ("jpeg" if name in PHOTOGRAPHS else "png", 150, 100)
    assert is_red_then_blue(opened(form))
    assert shown(found.preview).size == (150, 100)


@pytest.mark.parametrize("name", sorted(set(ALL_FORMATS) - {"dng"}))
def test_an_image_within_the_limit_has_no_other_form(name: str) -> None:
    assert full(example(name), max_side=300).normalised is None
    assert full(example(name), max_side=0).normalised is None


@pytest.mark.parametrize(("max_side", "size"), [(0, (300, 200)), (1000, (300, 200)), (150, (150, 100))])
def test_a_raw_photograph_always_gets_a_form_that_can_be_read(max_side: int, size: tuple[int, int]) -> None:
    assert opened(normalised(dng(picture()), max_side)).size == size


@pytest.mark.parametrize(
    ("size", "expected"), [((1000, 333), (100, 33)), ((3, 1000), (1, 100)), ((433, 432), (100, 100))]
)
def test_the_longest_side_is_the_limit_and_the_other_in_proportion(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    for plugin in ("JPEG", "PNG"):
        form = normalised(encoded(Image.new("RGB", size), plugin), 100)
        assert (form.width, form.height) == expected


def test_the_reduced_decode_of_a_jpeg_is_no_smaller_than_its_form() -> None:
    """A line every 8 pixels is still there at half the size, and would not be at an eighth."""
    lines = np.zeros((1600, 1602), np.uint8)
    lines[:, ::8] = 255
    form = normalised(encoded(Image.fromarray(lines), "JPEG"), 800)
    assert np.asarray(opened(form))[400].std() > 40


@pytest.mark.parametrize("plugin", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_the_form_is_upright_and_says_so(plugin: str) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    found = full(encoded(picture(), plugin, exif=exif.tobytes()), max_side=150)
    assert (found.width, found.height, found.orientation) == (200, 300, 6)
    assert found.normalised is not None
    image = opened(found.normalised)
    assert image.size == (100, 150)
    assert ORIENTATION not in image.getexif()
    assert is_red_then_blue(image.transpose(Image.Transpose.ROTATE_90))
    assert is_red_then_blue(shown(found.preview).transpose(Image.Transpose.ROTATE_90))


@pytest.mark.parametrize("plugin", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_the_colour_profile_is_kept_and_nothing_else(plugin: str) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = opened(normalised(encoded(picture(), plugin, icc_profile=profile, comment=b"secret", dpi=(300, 300))))
    assert image.info.get("icc_profile") == profile
    assert not image.info.keys() & {"exif", "comment", "xmp"}


def test_the_profile_of_colours_that_were_converted_goes() -> None:
    image = picture().convert("CMYK")
    form = normalised(encoded(image, "JPEG", icc_profile=b"of CMYK"))
    assert "icc_profile" not in opened(form).info
    assert opened(form).mode == "RGB"


def test_sixteen_bits_stay_sixteen() -> None:
    values = np.tile(np.arange(0, 60_000, 200, dtype=np.uint16), (200, 1))
    for plugin in ("PNG", "TIFF"):
        image = opened(normalised(encoded(Image.fromarray(values), plugin)))
        assert image.mode == "I;16"
        assert abs(int(np.asarray(image).max()) - 59_800) < 400


def test_transparency_stays_in_the_form() -> None:
    image = picture().convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    for plugin in ("PNG", "WEBP", "AVIF"):
        form = normalised(encoded(image, plugin))
        assert (form.format, opened(form).mode) == ("png", "RGBA")


@pytest.mark.parametrize(
    ("image", "plugin", "options", "said"),
    [
        (picture().convert("CMYK"), "JPEG", {}, "is CMYK"),
        (Image.fromarray(np.ones((60, 60), np.uint16)), "PNG", {}, "16-bit greyscale"),
        (Image.fromarray(np.ones((60, 60), np.int32)), "TIFF", {}, "32-bit greyscale"),
        (Image.fromarray(np.ones((60, 60), np.float32)), "TIFF", {}, "floating-point"),
        (Image.new("LAB", (60, 60)), "TIFF", {}, "is Lab"),
        (Image.new("RGBA", (60, 60), (9, 9, 9, 99)), "PNG", {}, "transparent pixels (RGBA)"),
        (picture().quantize(16), "PNG", {"transparency": 3}, "transparent pixels (P)"),
    ],
    ids=["cmyk", "16-bit", "32-bit", "float", "lab", "rgba", "transparent-palette"],
)
def test_colours_that_a_trainer_would_not_read_as_such_are_remarked(
    image: Image.Image, plugin: str, options: dict[str, Any], said: str
) -> None:
    (remark,) = full(encoded(image, plugin, **options), max_side=40).remarks
    assert remark.code == "IMAGE_MODE_CONVERTED"
    assert said in remark.message
    assert remark.remedy


@pytest.mark.parametrize(
    ("image", "plugin"),
    [
        (picture().convert("L"), "JPEG"),
        (picture().quantize(16), "PNG"),
        (picture().convert("1"), "PNG"),
        (picture().convert("RGBA"), "PNG"),
        (picture().convert("LA"), "PNG"),
    ],
    ids=["grey", "palette", "bilevel", "opaque-rgba", "opaque-grey"],
)
def test_colours_that_anything_reads_are_not(image: Image.Image, plugin: str) -> None:
    assert full(encoded(image, plugin)).remarks == ()
    assert opened(normalised(encoded(image, plugin))).mode in ("L", "RGB", "RGBA")


@pytest.mark.parametrize(
    ("plugin", "said"),
    [
        ("GIF", "the gif file holds 3 frames"),
        ("WEBP", "the webp file holds 3 frames"),
        ("PNG", "the png file holds 3 frames"),
        ("AVIF", "the avif file holds 3 frames"),
        ("TIFF", "the tiff file holds 3 pages"),
        ("MPO", "the mpo file holds 3 pictures"),
        ("HEIF", "the heic file holds 3 pictures"),
    ],
)
def test_the_first_of_several_frames_is_used_and_that_is_remarked(plugin: str, said: str) -> None:
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "blue", "green")]
    found = full(encoded(frames[0], plugin, save_all=True, append_images=frames[1:]))
    (remark,) = found.remarks
    assert remark.code == "IMAGE_ANIMATED"
    assert said in remark.message
    assert shown(found.preview).convert("RGB").getpixel((30, 30))[0] > 200
