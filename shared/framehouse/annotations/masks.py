"""Run-length encoded masks on whole columns: COCO's compressed strings to run lengths and back, areas, envelopes.

The encoding is that of pycocotools (`rleToString` in maskApi.c): run lengths column by column, zeros first, from the
third one on as the difference to the last but one, in signed groups of five bits. What meets polygons is in
`framehouse.annotations.outlines`.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from framehouse.annotations.geometry import Floats, Integers, lengths, spread, starts

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

    def part(self, first: int, end: int) -> "Runs":
        """The masks from `first` up to `end`."""
        begin, stop = self.offsets[first], self.offsets[end]
        return Runs(self.values[begin:stop], self.offsets[first : end + 1] - begin)

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


def open_lists(column: pa.Array) -> Runs:
    """Uncompressed counts, a list of run lengths each; null counts as no runs."""
    return Runs(column.flatten().to_numpy(zero_copy_only=False).astype(np.int64), starts(lengths(column)))


def list_column(runs: Runs) -> pa.Array:
    """Run lengths as uncompressed counts, a list each."""
    return pa.ListArray.from_arrays(pa.array(runs.offsets.astype(np.int32)), pa.array(runs.values))


class Intervals(NamedTuple):
    """The ones of masks: from position `begin` up to `end`, counted column by column."""

    owner: Integers
    """Mask that each belongs to."""
    begin: Integers
    end: Integers


def intervals(runs: Runs) -> Intervals:
    """The runs of ones, in order; none of them is empty."""
    ends = np.cumsum(runs.values)
    owner = runs.owners()
    ends -= np.concatenate([[0], ends])[runs.offsets[:-1]][owner]
    used = (runs.ordinals() % 2 == 1) & (runs.values > 0)
    return Intervals(owner[used], (ends - runs.values)[used], ends[used])


def union(parts: Intervals, pixels: Integers) -> Runs:
    """Masks of what any of their parts covers; `pixels` is the size of each mask. The parts may lie in any order."""
    return _combined(parts, pixels, lambda cover: cover > 0)


def odd(parts: Intervals, pixels: Integers) -> Runs:
    """Masks of what an odd number of their parts covers: a part within a part is a hole."""
    return _combined(parts, pixels, lambda cover: cover % 2 == 1)


def difference(one: Runs, other: Runs, pixels: Integers) -> Runs:
    """What each mask of `one` covers and the mask of `other` in its place does not."""
    first, second = intervals(one), intervals(other)
    # Twice, so that it outweighs.
    parts = (np.concatenate(arrays) for arrays in zip(first, second, second, strict=True))
    return _combined(Intervals(*parts), pixels, lambda cover: cover == 1)


def _combined(parts: Intervals, pixels: Integers, on: Callable[[Integers], NDArray[np.bool_]]) -> Runs:
    # A position of its own ends each mask, or the last run of one would flow into the first of the next.
    base = starts(pixels + 1)
    edges = np.concatenate([base[parts.owner] + parts.begin, base[parts.owner] + parts.end])
    steps = np.repeat([1, -1], len(parts.owner))
    place, of = np.unique(edges, return_inverse=True)
    covered = on(np.cumsum(np.bincount(of, steps, len(place)).astype(np.int64)))
    turns = place[covered != np.concatenate([[False], covered[:-1]])] if len(place) else place
    owner = np.searchsorted(base, turns, side="right") - 1
    turns = turns - base[owner]
    # Each mask's turns between its beginning and its end; no run of zeros follows ones that reach the end.
    closed = np.zeros(len(pixels), bool)
    closed[owner[turns == pixels[owner]]] = True
    counts = np.bincount(owner, minlength=len(pixels)) + 1
    offsets = starts(counts)
    bounds = np.insert(turns, (offsets[1:] - np.arange(1, len(pixels) + 1)), pixels)
    before = np.concatenate([[0], bounds[:-1]])
    before[offsets[:-1]] = 0
    values = bounds - before
    if closed.any():
        values = np.delete(values, offsets[1:][closed] - 1)
        offsets = starts(counts - closed)
    return Runs(values, offsets)


def columns(parts: Intervals, heights: Integers) -> Intervals:
    """The intervals cut where a column of their mask ends."""
    height = heights[parts.owner]
    first = parts.begin // height
    counts = (parts.end - 1) // height - first + 1
    column = spread(first, counts)
    owner, height = np.repeat(parts.owner, counts), np.repeat(height, counts)
    begin = np.maximum(np.repeat(parts.begin, counts), column * height)
    end = np.minimum(np.repeat(parts.end, counts), (column + 1) * height)
    return Intervals(owner, begin, end)


def resize(runs: Runs, sizes: Integers, targets: Integers) -> Runs:
    """Masks at other sizes, (n, 2) height and width each: every pixel is as the one that its centre falls on."""
    cut = columns(intervals(runs), sizes[:, 0])
    height, width = sizes[cut.owner].T
    new_height, new_width = targets[cut.owner].T
    column = cut.begin // height
    top = _first_centre(cut.begin - column * height, height, new_height)
    bottom = _first_centre(cut.end - column * height, height, new_height)
    left = _first_centre(column, width, new_width)
    counts = np.where(bottom > top, _first_centre(column + 1, width, new_width) - left, 0)
    first = spread(left, counts) * np.repeat(new_height, counts)
    parts = Intervals(np.repeat(cut.owner, counts), first + np.repeat(top, counts), first + np.repeat(bottom, counts))
    return union(parts, targets.prod(axis=1))


def _first_centre(edge: Integers, old: Integers, new: Integers) -> Integers:
    """The first of `new` equal steps over a length of `old` whose centre is at `edge` or beyond; in whole numbers."""
    return -((old - 2 * edge * new) // (2 * old))
