"""Images made a little smaller, as previews of JPEGs are, which come from the decoder at up to twice their size.

By OpenCV in a third of Pillow's time, and nearer to Lanczos' filter over all pixels of the original than Pillow's
bicubic one: five taps take away what the smaller image cannot show, and OpenCV's cubic interpolation follows.
"""

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

MOST = 2.0
"""How many times as large a side may be before as after it."""


def shrunk(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The image in a size that is nowhere larger; in its own mode."""
    ratios = [before / after for before, after in zip(image.size, size, strict=True)]
    if image.mode != "RGB" or max(ratios) > MOST:
        return image.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
    # Pillow holds four bytes a pixel and lends them to Arrow; so they are not copied.
    pixels = pa.array(image).flatten().to_numpy().reshape(image.height, image.width, 4)
    across, down = map(_taps, ratios)
    smooth = cv2.sepFilter2D(pixels, cv2.CV_8U, across, down, borderType=cv2.BORDER_REPLICATE)
    small = cv2.resize(smooth, size, interpolation=cv2.INTER_CUBIC)
    return Image.frombytes("RGB", size, small, "raw", "RGBX")


def _taps(ratio: float) -> NDArray[np.float32]:
    """The weights of five pixels, for a side so many times as large before as after.

    Fitted at ratios of 1, 1.5 and 2 to what Lanczos' filter makes of photographs, and straight in between.
    """
    if ratio < 1.5:
        beside, beyond = 0.4 * (ratio - 1), -0.12 * (ratio - 1)
    else:
        beside, beyond = 0.2 + 0.26 * (ratio - 1.5), -0.06 - 0.04 * (ratio - 1.5)
    return np.array((beyond, beside, 1 - 2 * (beside + beyond), beside, beyond), np.float32)
