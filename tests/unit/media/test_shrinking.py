"""Small reductions, against Pillow's filters."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from services.media.shrinking import shrunk
from tests.samples import texture


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(texture(np.random.default_rng(3), 600, 440)[..., :3]))


def _error(one: Image.Image, other: Image.Image) -> float:
    difference: NDArray[np.float64] = np.asarray(one, np.float64) - np.asarray(other, np.float64)
    return float(np.mean(difference**2))


@pytest.mark.parametrize("ratio", [1.03, 1.25, 1.5, 1.75, 2.0])
def test_a_reduction_is_about_as_near_to_lanczos_as_bicubic_is(picture: Image.Image, ratio: float) -> None:
    size = round(picture.width / ratio), round(picture.height / ratio)
    best = picture.resize(size, Image.Resampling.LANCZOS)
    found = shrunk(picture, size)
    assert (found.mode, found.size) == ("RGB", size)
    assert _error(found, best) < 1.2 * max(1.0, _error(picture.resize(size, Image.Resampling.BICUBIC), best))


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (2, 3)])
def test_images_of_hardly_any_pixels_are_reduced_too(size: tuple[int, int]) -> None:
    target = max(1, size[0] * 3 // 4), max(1, size[1] * 3 // 4)
    found = shrunk(Image.new("RGB", size, (10, 200, 30)), target)
    assert found.size == target
    assert found.getcolors() == [(target[0] * target[1], (10, 200, 30))]
