"""Masks that some annotations have, as columns of all."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from framehouse.annotations import masks
from framehouse.annotations.geometry import Floats, Integers


class Masks(NamedTuple):
    """Columns with a value for each annotation."""

    rle: pa.Array
    """Compressed counts, null where there is no mask that can be used."""
    rle_size: pa.Array
    """Height and width, likewise."""
    boxes: Floats
    """Around the pixels (n, 4); NaN where there are none."""
    is_mask: NDArray[np.bool_]


def mask_columns(count: int, at: Integers, packed: pa.Array, size: Integers) -> tuple[Masks, Integers]:
    """The masks of `count` annotations, of which those `at` have these compressed counts and (m, 2) sizes; and which
    annotations have one that does not fill its size, or cannot be read.
    """
    runs = masks.decode(packed)
    good = masks.valid(runs, size[:, 0], size[:, 1])
    boxes, is_mask = np.full((count, 4), np.nan), np.zeros(count, bool)
    boxes[at] = masks.envelopes(runs, np.maximum(size[:, 0], 1))
    is_mask[at[good]] = True
    place = np.full(count, -1)
    place[at[good]] = np.flatnonzero(good)
    take = pa.array(np.maximum(place, 0), mask=place < 0)
    sizes = pa.FixedSizeListArray.from_arrays(pa.array(size.astype(np.int32).reshape(-1)), 2)
    return Masks(packed.take(take), sizes.take(take), boxes, is_mask), at[~good]
