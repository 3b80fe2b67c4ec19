"""What all who open images with Pillow share: turning pixels upright, reading HEIC, one large image at a time.

With it, Pillow refuses images of more than twice as many pixels as the settings allow; who opens them checks the rest.
"""

import threading
import warnings
from contextlib import AbstractContextManager, nullcontext
from functools import cache

from PIL import Image

from framehouse.runtime.config import settings

UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns the pixels of each EXIF orientation upright."""
LARGE = 32_000_000
"""Pixels from which images are worked on one after the other, so that memory does not grow with the threads."""

one_large = threading.Lock()
"""Held while an image of LARGE pixels or more, or a raw photograph, is in memory."""


def alone_if_large(pixels: int) -> AbstractContextManager[object]:
    """What to hold while an image of so many pixels is in memory."""
    return nullcontext() if pixels < LARGE else one_large


@cache
def register_heif() -> None:
    """Lets Pillow open HEIC from now on; of a file its main picture alone."""
    import pillow_heif

    pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)


warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # of those between once and twice as many
Image.MAX_IMAGE_PIXELS = settings().max_image_pixels
