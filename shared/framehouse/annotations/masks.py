"""Run-length encoded masks on whole columns: COCO's compressed strings to run lengths and back, areas, envelopes.

The encoding is that of pycocotools (`rleToString` in maskApi.c): run lengths column by column, zeros first, from the
third one on as the difference to the last but one, in signed groups of five bits. Rasters are left to OpenCV.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from framehouse.annotations.geometry import Floats, Integers, starts

GROUPS = 7
"""Five bits each: enough for differences of 34 bits."""


class Runs(NamedTuple):
    """Run lengths of n masks, one after the other; the first run of each is of zeros."""

    values: Integers
    offsets: Integers
    """Where each mask begins in `values`, and the end."""

    def owners(self) -> Integers:
        """Mask that each run belongs to."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))

    def ordinals(self) -> Integers:
        """Position of each run in its mask, from 0."""
        return np.arange(len(self.values)) - np.repeat(self.offsets[:-1], np.diff(self.offsets))


def decode(column: pa.Array) -> Runs:
    """Compressed counts to run lengths; null counts as no runs. What is no such string gives nonsense: see `valid`."""
    sizes = np.array([len(item) if item is not None else 0 for item in column.to_pylist()], np.int64)
    data = np.frombuffer(b"".join(item for item in column.to_pylist() if item is not None), np.uint8)
    bits = data.astype(np.int64) - 48
    # The last byte of a string always ends a number, or damage would leak into the next mask.
    last = (bits & 0x20) == 0
    last[np.cumsum(sizes)[sizes > 0] - 1] = True
    ends = np.flatnonzero(last)
    begins = np.concatenate([[0], ends[:-1] + 1]) if len(ends) else ends
    widths = ends - begins + 1
    place = np.minimum(np.arange(len(bits)) - np.repeat(begins, widths), GROUPS)
    values = np.add.reduceat((bits & 0x1F) << (5 * place), begins) if len(ends) else np.zeros(0, np.int64)
    values -= np.where(bits[ends] & 0x10, np.int64(1) << (5 * np.minimum(widths, GROUPS)), 0)
    offsets = np.searchsorted(ends, starts(sizes))
    runs = Runs(values, offsets)
    ordinal, owner = runs.ordinals(), runs.owners()
    for chain in (ordinal % 2 == 1, (ordinal % 2 == 0) & (ordinal > 0)):
        if chain.any():
            total = np.cumsum(values[chain])
            first = np.concatenate([[True], np.diff(owner[chain]) != 0])
            before = (total - values[chain])[first]
            values[chain] = total - before[np.cumsum(first) - 1]
    return runs


def encode(runs: Runs) -> pa.Array:
    """Run lengths to compressed counts."""
    values = runs.values.copy()
    later = np.flatnonzero(runs.ordinals() > 2)
    values[later] -= runs.values[later - 2]
    limits = np.int64(1) << (5 * np.arange(1, GROUPS + 1) - 1)
    widths = 1 + np.searchsorted(limits, np.where(values >= 0, values, ~values), side="right")
    at = starts(widths)
    place = np.arange(at[-1]) - np.repeat(at[:-1], widths)
    bits = (np.repeat(values, widths) >> (5 * place)) & 0x1F
    bits |= np.where(place < np.repeat(widths, widths) - 1, 0x20, 0)
    data = (bits + 48).astype(np.uint8)
    offsets = at[runs.offsets].astype(np.int32)
    return pa.Array.from_buffers(pa.binary(), len(offsets) - 1, [None, pa.py_buffer(offsets), pa.py_buffer(data)])


def valid(runs: Runs, heights: Integers, widths: Integers) -> NDArray[np.bool_]:
    """Whether the runs of each mask fill its image exactly."""
    count = len(runs.offsets) - 1
    owner = runs.owners()
    total = np.bincount(owner, runs.values, count).astype(np.int64)
    negative = np.bincount(owner, runs.values < 0, count) > 0
    fits: NDArray[np.bool_] = (total == heights * widths) & (heights > 0) & (widths > 0)
    return fits & (np.diff(runs.offsets) > 0) & ~negative


def areas(runs: Runs) -> Floats:
    """Pixels of each mask."""
    ones = runs.ordinals() % 2 == 1
    return np.bincount(runs.owners()[ones], runs.values[ones], len(runs.offsets) - 1).astype(np.float64)


def envelopes(runs: Runs, heights: Integers) -> Floats:
    """The smallest box around the pixels of each mask, (n, 4); NaN where it has none."""
    result = np.full((len(runs.offsets) - 1, 4), np.nan)
    owner = runs.owners()
    ends = np.cumsum(runs.values)
    mask_start = np.concatenate([[0], ends])[runs.offsets[:-1]]
    ends = ends - mask_start[owner]
    used = (runs.ordinals() % 2 == 1) & (runs.values > 0)
    if not used.any():
        return result
    owner, last = owner[used], ends[used] - 1
    first = ends[used] - runs.values[used]
    height = heights[owner]
    left, right, top, bottom = first // height, last // height, first % height, last % height
    over = right > left
    top, bottom = np.where(over, 0, top), np.where(over, height - 1, bottom)
    masks, begin = np.unique(owner, return_index=True)
    x, y = np.minimum.reduceat(left, begin), np.minimum.reduceat(top, begin)
    result[masks] = np.stack(
        [x, y, np.maximum.reduceat(right, begin) - x + 1, np.maximum.reduceat(bottom, begin) - y + 1], axis=1
    )
    return result
