"""Raw photographs: a DNG as LibRaw develops it, with the camera's white balance, in 8 bits, upright.

Any error of rawpy means that the file is of no use.
"""

import io

import rawpy
from PIL import Image

ORIENTATIONS = {1: 2, 3: 3, 2: 4, 4: 5, 6: 6, 7: 7, 5: 8}
"""The EXIF orientation that each of LibRaw's flips stands for; 0 is upright."""
SWAPPED = 4
"""Bit of a flip that says that width and height change places."""


def opened(data: bytes) -> rawpy.RawPy:
    """A raw photograph, its header read; a context manager."""
    return rawpy.imread(io.BytesIO(data))


def facts_of(raw: rawpy.RawPy) -> tuple[int, int, int | None]:
    """Width and height of the developed photograph, and the orientation found; only the header is looked at."""
    sizes = raw.sizes
    width, height = sizes.width, sizes.height
    # As LibRaw stretches pixels that are not square.
    if 0 < sizes.pixel_aspect < 1:
        height = int(height / sizes.pixel_aspect + 0.5)
    elif sizes.pixel_aspect > 1:
        width = int(width * sizes.pixel_aspect + 0.5)
    orientation = ORIENTATIONS.get(sizes.flip)
    return (height, width, orientation) if sizes.flip & SWAPPED else (width, height, orientation)


def develop(raw: rawpy.RawPy, side: int) -> Image.Image:
    """The photograph, at half its size where its longest side has `side` pixels even then."""
    halved = max(raw.sizes.width, raw.sizes.height) >= 2 * side
    return Image.fromarray(raw.postprocess(use_camera_wb=True, output_bps=8, half_size=halved))
