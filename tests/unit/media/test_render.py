"""Images of every format are opened for drawing as an import saw them: upright, and as bright as their preview."""

import io

import numpy as np
import pytest
from PIL import Image

from framehouse.pillow import UPRIGHT
from services.media.decode import look
from services.media.render import Part, shown
from tests.unit.media.pictures import ALL_FORMATS, dng, encoded, example

INVERSE = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}


def corners() -> Image.Image:
    """300 × 200: red, green, blue and white corners, so that no turn looks like another."""
    image = Image.new("RGB", (300, 200), "white")
    for colour, place in (("red", (0, 0)), ("lime", (150, 0)), ("blue", (0, 100))):
        image.paste(Image.new("RGB", (150, 100), colour), place)
    return image


def assert_shown_as_its_preview(data: bytes) -> None:
    found = look(data, min_side=0, preview=True)
    assert found.preview is not None
    preview = Image.open(io.BytesIO(found.preview)).convert("RGB")
    whole = found.width, found.height
    image = shown(
        data, whole, Part(0, 0, *whole), preview.size, orientation=found.orientation or 1, raw=found.format == "dng"
    )
    assert image.size == preview.size
    assert np.abs(np.asarray(image, np.int64) - np.asarray(preview, np.int64)).mean() < 12  # noise, and WebP


@pytest.mark.parametrize("format", ALL_FORMATS)
def test_every_format_is_shown_as_its_preview(format: str) -> None:
    assert_shown_as_its_preview(example(format))


@pytest.mark.parametrize("plugin", ["JPEG", "PNG", "WEBP", "TIFF", "HEIF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_shown_upright(plugin: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = corners()
    if orientation > 1:
        stored = stored.transpose(UPRIGHT[INVERSE[orientation]])
    data = encoded(stored, plugin, exif=exif.tobytes())
    assert_shown_as_its_preview(data)
    image = np.asarray(shown(data, (300, 200), Part(150, 0, 150, 100), (30, 20), orientation=orientation), np.int64)
    assert np.abs(image[10, 15] - (0, 255, 0)).max() < 30


def test_a_turned_raw_photograph_is_shown_upright() -> None:
    assert_shown_as_its_preview(dng(corners(), orientation=6))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16"])
def test_every_mode_of_a_png_is_shown_as_its_preview(mode: str) -> None:
    image = corners().convert("RGB" if mode == "I;16" else mode)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 16)
    assert_shown_as_its_preview(encoded(image, "PNG"))


def test_a_jpeg_is_decoded_no_larger_than_it_is_shown_and_a_part_of_it_is_that_part() -> None:
    data = encoded(corners().resize((3000, 2000)), "JPEG")
    image = np.asarray(shown(data, (3000, 2000), Part(1500, 0, 1500, 1000), (150, 100)), np.int64)
    assert np.abs(image - (0, 255, 0))[3:-3, 3:-3].max() < 30


def test_what_is_transparent_is_shown_on_white() -> None:
    image = shown(encoded(Image.new("RGBA", (40, 40), (255, 0, 0, 0)), "PNG"), (40, 40), Part(0, 0, 40, 40), (20, 20))
    assert (np.asarray(image) == 255).all()
