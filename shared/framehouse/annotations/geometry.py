"""Geometry on whole columns: envelopes, areas, clipping. Coordinates are float64 pixels, nothing is rounded.

Boxes are arrays of shape (n, 4): x, y, width, height. Rings are Arrow columns, a list of rings an annotation, each ring
x0, y0, x1, y1 …; masks are next door in `framehouse.annotations.masks`.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class Rings(NamedTuple):
    """A column of rings, opened: its coordinates, and what belongs to what."""

    values: Floats
    """x0, y0, x1, y1 … of all rings, one after the other."""
    offsets: Integers
    """Where each ring begins in `values`, and the end: one more than there are rings."""
    owner: Integers
    """Annotation that each ring belongs to, ascending."""


def boxes(column: pa.Array | pa.ChunkedArray) -> Floats:
    """A column of boxes as (n, 4), with NaN where it is null."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    result = np.full((len(column), 4), np.nan)
    valid = column.is_valid().to_numpy(zero_copy_only=False)
    result[valid] = column.drop_null().flatten().to_numpy(zero_copy_only=False).reshape(-1, 4)
    return result


def box_column(values: Floats) -> pa.Array:
    """(n, 4) as a column of boxes, null where a number is NaN."""
    missing = np.isnan(values).any(axis=1)
    flat = pa.array(np.ascontiguousarray(values, np.float64).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, 4, mask=pa.array(missing) if missing.any() else None)


def open_rings(column: pa.Array | pa.ChunkedArray) -> Rings:
    """Opens a column of rings; null counts as no rings."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    counts = lengths(column)
    rings = column.flatten()
    sizes = lengths(rings)
    values = rings.flatten().to_numpy(zero_copy_only=False)
    return Rings(values, starts(sizes), np.repeat(np.arange(len(counts)), counts))


def ring_column(
    values: Floats, sizes: Integers, counts: Integers, missing: NDArray[np.bool_] | None = None
) -> pa.Array:
    """Builds a column of rings from coordinates, the numbers in each ring, and the rings of each annotation."""
    rings = pa.ListArray.from_arrays(pa.array(starts(sizes).astype(np.int32)), pa.array(values, pa.float64()))
    offsets = pa.array(starts(counts).astype(np.int32))
    return pa.ListArray.from_arrays(offsets, rings, mask=None if missing is None else pa.array(missing))


def lengths(column: pa.Array | pa.ChunkedArray) -> Integers:
    """Elements of each list of a column; 0 for null."""
    counted: Integers = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    return counted


def starts(counts: Integers) -> Integers:
    """Offsets that belong to counts: 0, c0, c0 + c1, …; one more than there are counts."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])


def spread(begins: Integers, counts: Integers) -> Integers:
    """Positions begin, begin + 1 … begin + count - 1 of each run, one after the other."""
    ends = np.cumsum(counts, dtype=np.int64)
    total = int(ends[-1]) if len(ends) else 0
    return np.repeat(begins - (ends - counts), counts) + np.arange(total)


def ring_envelopes(rings: Rings, count: int) -> Floats:
    """The smallest upright box around the rings of each of `count` annotations; NaN where there is no point."""
    result = np.full((count, 4), np.nan)
    sizes = np.diff(rings.offsets)
    used = sizes >= 2
    if not used.any():
        return result
    owner, first = np.unique(rings.owner[used], return_index=True)
    begins = rings.offsets[:-1][used][first] // 2
    low, high = (
        np.stack([pick.reduceat(rings.values[axis::2], begins) for axis in (0, 1)], axis=1)
        for pick in (np.minimum, np.maximum)
    )
    result[owner, :2] = low
    result[owner, 2:] = high - low
    return result


def ring_areas(rings: Rings, count: int) -> Floats:
    """Area enclosed by the rings of each annotation: the shoelace formula for each ring, summed without sign."""
    x, y = rings.values[0::2], rings.values[1::2]
    begins, ends = rings.offsets[:-1] // 2, rings.offsets[1:] // 2
    following = np.arange(1, len(x) + 1)
    used = ends > begins
    following[ends[used] - 1] = begins[used]
    cross = x * y[following] - x[following] * y
    result = np.zeros(count)
    if used.any():
        np.add.at(result, rings.owner[used], np.abs(np.add.reduceat(cross, begins[used])) / 2)
    return result


def corners(boxes: Floats, degrees: Floats) -> Floats:
    """Corners (n, 4, 2) of boxes turned clockwise around their centres, from the top left one on, clockwise."""
    angle = np.deg2rad(degrees)
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    half = boxes[:, 2:] / 2
    dx, dy = half[:, :1] * [-1, 1, 1, -1], half[:, 1:] * [-1, -1, 1, 1]
    centre = boxes[:, :2] + half
    # y points down, so this turns clockwise as one looks at the image.
    return np.stack([centre[:, :1] + dx * cos - dy * sin, centre[:, 1:] + dx * sin + dy * cos], axis=2)


def corner_envelopes(points: Floats) -> Floats:
    """The smallest upright boxes around points of shape (n, k, 2)."""
    low, high = points.min(axis=1), points.max(axis=1)
    return np.concatenate([low, high - low], axis=1)


def clip(boxes: Floats, sizes: Floats) -> Floats:
    """Boxes cut at the borders of their images, whose (width, height) are `sizes`; of size 0 where nothing is left."""
    low = np.clip(boxes[:, :2], 0, sizes)
    high = np.clip(boxes[:, :2] + boxes[:, 2:], 0, sizes)
    return np.concatenate([low, high - low], axis=1)
