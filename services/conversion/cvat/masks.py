"""CVAT's masks: run lengths row by row of the part of the image that has the pixels, zeros first.

Ours are those of COCO, column by column of the whole image. Rasters are made of that part alone, one after the other.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from framehouse.annotations import masks
from framehouse.annotations.geometry import Floats, Integers, starts
from framehouse.annotations.masks import Intervals, Runs


class Crops(NamedTuple):
    """Masks as CVAT has them."""

    places: Integers
    """(n, 4): left, top, width and height of each."""
    runs: Runs


def from_rows(crops: Crops, sizes: Integers) -> pa.Array:
    """Compressed counts of masks whose runs fill their crops; `sizes` (n, 2) are height and width of the images.

    What lies outside of an image goes.
    """
    owners, begins, ends = [], [], []
    bounds = crops.runs.offsets.tolist()
    for i, ((left, top, width, height), (rows, columns)) in enumerate(
        zip(crops.places.tolist(), sizes.tolist(), strict=True)
    ):
        lengths = crops.runs.values[bounds[i] : bounds[i + 1]]
        raster = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape(height, width)
        raster = raster[max(-top, 0) : max(rows - top, 0), max(-left, 0) : max(columns - left, 0)]
        if not raster.size:
            continue
        # A column of zeros below each column ends its last run.
        padded = np.zeros((raster.shape[1], raster.shape[0] + 1), np.int8)
        padded[:, :-1] = raster.T
        steps = np.diff(padded.reshape(-1), prepend=0)
        column, row = np.divmod(np.flatnonzero(steps), padded.shape[1])
        places = (column + max(left, 0)) * rows + row + max(top, 0)
        begins.append(places[0::2])
        ends.append(places[1::2])
        owners.append(np.full(len(places) // 2, i))
    none = np.zeros(0, np.int64)
    parts = Intervals(*(np.concatenate([none, *arrays]) for arrays in (owners, begins, ends)))
    return masks.encode(masks.union(parts, sizes.prod(axis=1)))


def to_rows(rle: pa.Array, sizes: Integers, around: Floats) -> Crops:
    """The crops of masks with compressed counts. One without pixels is the box `around` it, or one pixel."""
    runs = masks.decode(rle)
    boxes = masks.envelopes(runs, sizes[:, 0])
    empty = np.isnan(boxes).any(axis=1)
    boxes[empty] = np.nan_to_num(around[empty])
    places = np.clip(boxes, [0, 0, 1, 1], np.concatenate([sizes, sizes], axis=1)[:, ::-1]).astype(np.int64)
    parts = masks.columns(masks.intervals(runs), sizes[:, 0])
    begin = np.searchsorted(parts.owner, np.arange(len(places) + 1)).tolist()
    lengths = []
    for i, (left, top, width, height) in enumerate(places.tolist()):
        mine = slice(begin[i], begin[i + 1])
        column, row = np.divmod(parts.begin[mine], sizes[i, 0])
        first = (column - left) * (height + 1) + row - top
        steps = np.zeros(width * (height + 1), np.int8)
        steps[first] = 1
        # Parts of a column do not touch, so no end is another's beginning.
        steps[first + parts.end[mine] - parts.begin[mine]] = -1
        raster = np.cumsum(steps, dtype=np.int8).reshape(width, height + 1)[:, :height].T
        edges = np.flatnonzero(np.diff(raster.reshape(-1), prepend=0))
        lengths.append(np.diff(np.concatenate([[0], edges, [width * height]])))
    values = np.concatenate([np.zeros(0, np.int64), *lengths])
    return Crops(places, Runs(values, starts(np.array([len(one) for one in lengths], np.int64))))
