"""The look of an image: 64 bits that copies of a picture have nearly in common, whatever their size and file are.

It is the perceptual hash of Zauner (Implementation and Benchmarking of Perceptual Image Hash Functions, 2010): which of
the low frequencies are strong. Which images are taken as alike by it is said by ingest.
"""

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 32
"""Pixels of the square that an image is shrunk to, in grey."""
PLAIN = 4.0
"""How far the lower and the upper quarter of the frequencies are apart at least. Below, as of one colour or a smooth
gradient, the bits say how the file was compressed and not what it shows."""
BACKGROUND = (128, 128, 128, 255)
"""Behind what is transparent, so that neither black nor white drawings vanish."""


def _cosines() -> NDArray[np.float32]:
    """(8, SIDE): the eight lowest frequencies of the orthonormal DCT-II, but for the scale of the mean."""
    frequencies, places = np.arange(8)[:, None], np.arange(SIDE)[None, :]
    return (np.cos(np.pi / SIDE * frequencies * (places + 0.5)) * math.sqrt(2 / SIDE)).astype(np.float32)


COSINES = _cosines()


def look_of(image: Image.Image) -> int | None:
    """64 bits, half of them set, of an upright image in L, RGB or RGBA; None where it is plain.

    So two looks differ in an even number of bits, and none is 0.
    """
    if image.mode == "RGBA" and image.getchannel("A").getextrema()[0] < 255:  # type: ignore[operator]
        image = Image.alpha_composite(Image.new("RGBA", image.size, BACKGROUND), image)
    grey = image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX, reducing_gap=2.0)
    waves = COSINES @ np.asarray(grey, np.float32) @ COSINES.T
    ordered = sorted(waves.ravel().tolist())  # of so few, sooner done than by NumPy
    if ordered[47] - ordered[16] < PLAIN:
        return None
    return int.from_bytes(np.packbits(waves >= ordered[32]).tobytes(), "big")
