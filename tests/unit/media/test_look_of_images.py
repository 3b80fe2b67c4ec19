"""The look of pictures: what copies keep of it, and what others do not have."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from services.media.looks import look_of
from tests.unit.media.pictures import FORMATS, dng, encoded, example, full

NEAR = 4
"""What images of one group of splits may differ in."""


def scene(seed: int, width: int = 640, height: int = 480) -> Image.Image:
    """Coarse shapes under fine ones, as in a photograph."""
    rng = np.random.default_rng(seed)
    layers = [
        Image.fromarray(rng.integers(0, 256, (side, side, 3), np.uint8)).resize(
            (width, height), Image.Resampling.BICUBIC
        )
        for side in (5, 12, 80)
    ]
    weights = (0.5, 0.35, 0.15)
    mixed = sum(np.asarray(layer, np.float32) * weight for layer, weight in zip(layers, weights, strict=True))
    return Image.fromarray(np.asarray(mixed).clip(0, 255).astype(np.uint8))


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    return Image.open(io.BytesIO(encoded(image, "JPEG", quality=quality))).convert("RGB")


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "other quality": lambda image: jpeg(image, 40),
    "half its size": lambda image: image.resize((320, 240), Image.Resampling.BICUBIC),
    "twice its size": lambda image: image.resize((1280, 960), Image.Resampling.BICUBIC),
    "another shape": lambda image: image.resize((500, 500)),
    "small and of low quality": lambda image: jpeg(image.resize((200, 150), Image.Resampling.BILINEAR), 60),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.15),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.7),
    "less contrast": lambda image: ImageEnhance.Contrast(image).enhance(0.7),
    "grey": lambda image: image.convert("L"),
}


def look(image: Image.Image) -> int:
    found = full(encoded(image, "BMP")).look
    assert found is not None
    return found


@pytest.mark.parametrize("change", COPIES)
def test_a_copy_looks_alike(change: str) -> None:
    for seed in range(3):
        picture = scene(seed)
        assert (look(picture) ^ look(COPIES[change](picture))).bit_count() <= NEAR


def test_other_pictures_look_otherwise() -> None:
    looks = np.array([look_of(scene(seed, 128, 96)) for seed in range(200)], np.uint64)
    apart = np.bitwise_count(looks[:, None] ^ looks)[np.triu_indices(200, 1)]
    assert apart.min() > 8


def test_a_turned_picture_looks_as_its_copy_that_is_upright() -> None:
    picture = scene(3)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = picture.transpose(Image.Transpose.ROTATE_90)
    assert (look(picture) ^ (full(encoded(turned, "JPEG", exif=exif)).look or 0)).bit_count() <= NEAR


def test_half_the_bits_are_set() -> None:
    assert {look(scene(seed)).bit_count() for seed in range(5)} == {32}


def test_a_picture_looks_alike_in_every_format() -> None:
    picture = scene(2, 320, 240)
    for plugin in FORMATS.values():
        assert ((full(encoded(picture, plugin)).look or 0) ^ look(picture)).bit_count() <= NEAR
    assert full(dng(picture)).look


def test_what_is_plain_has_no_look() -> None:
    ramp = Image.fromarray(np.tile(np.linspace(100, 103, 300).astype(np.uint8), (200, 1)))
    for image in (Image.new("RGB", (300, 200), "white"), Image.new("L", (1, 1)), ramp, jpeg(ramp.convert("RGB"), 50)):
        assert full(encoded(image, "PNG")).look is None


def test_what_is_behind_transparent_pixels_is_not_seen() -> None:
    drawing = scene(1).convert("RGBA")
    mask = np.zeros((480, 640), np.uint8)
    mask[100:300, 200:500] = 255
    looks = set()
    for behind in ("black", "white"):
        shown = Image.composite(drawing, Image.new("RGBA", drawing.size, behind), Image.fromarray(mask))
        shown.putalpha(Image.fromarray(mask))
        looks.add(look_of(shown))
    assert len(looks) == 1
    assert None not in looks


def test_only_decoding_finds_a_look() -> None:
    from services.media.decode import look as looked

    assert looked(example("png"), min_side=0, preview=False).look is None
