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


def reaching(boxes: Floats, sizes: Floats) -> NDArray[np.bool_]:
    """Which boxes reach over a border of their images, whose (width, height) are `sizes`; not those of NaN."""
    over = (boxes[:, :2] < 0) | (boxes[:, :2] + boxes[:, 2:] > sizes)
    return np.asarray(over.any(axis=1))


def outside(boxes: Floats, sizes: Floats) -> NDArray[np.bool_]:
    """Which boxes have nothing in common with their images, whose (width, height) are `sizes`; not those of NaN.

    A box without width or height is outside where it lies beyond the border, not where it lies on it.
    """
    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    is_flat = boxes[:, 2:] == 0
    beyond = np.where(is_flat, (high < 0) | (low > sizes), (high <= 0) | (low >= sizes))
    return np.asarray(beyond.any(axis=1))


def clip_rings(rings: Rings, sizes: Floats) -> Rings:
    """Closed rings cut at the borders of their images; `sizes` are the (width, height) for each annotation.

    Sutherland and Hodgman, Reentrant Polygon Clipping (1974), one border after the other for all rings at once. What a
    border cuts in two stays one ring, joined along it. Rings that keep fewer than three points go.
    """
    points = rings.values.reshape(-1, 2)
    counts = np.diff(rings.offsets) // 2
    if not _any_over(points, np.repeat(sizes[rings.owner], counts, axis=0)):
        return rings
    for axis in (0, 1):
        for is_upper in (False, True):
            bound = np.repeat(sizes[rings.owner, axis] if is_upper else np.zeros(len(counts)), counts)
            points, counts = _cut(points, counts, axis, bound, is_upper)
    kept = counts >= 3
    points = points[np.repeat(kept, counts)]
    return Rings(points.reshape(-1), starts(2 * counts[kept]), rings.owner[kept])


def _any_over(points: Floats, sizes: Floats) -> bool:
    return bool(((points < 0) | (points > sizes)).any())


def _cut(points: Floats, counts: Integers, axis: int, bound: Floats, is_upper: bool) -> tuple[Floats, Integers]:
    """Rings cut at one border each: what is left of their points (n, 2), and how many each ring has."""
    ring = np.repeat(np.arange(len(counts)), counts)
    ends = np.cumsum(counts)
    following = np.arange(1, len(points) + 1)
    following[ends[counts > 0] - 1] = (ends - counts)[counts > 0]
    after = points[following]
    inside, inside_after = (p[:, axis] <= bound if is_upper else p[:, axis] >= bound for p in (points, after))
    crosses = inside != inside_after
    with np.errstate(all="ignore"):
        share = (bound - points[:, axis]) / (after[:, axis] - points[:, axis])
    crossing = points + np.where(crosses, share, 0)[:, None] * (after - points)
    crossing = np.clip(crossing, np.minimum(points, after), np.maximum(points, after))
    crossing[:, axis] = bound
    kept = np.stack([inside, crosses], axis=1)
    found = np.stack([points, crossing], axis=1)[kept]
    return found, np.bincount(ring, kept.sum(axis=1), len(counts)).astype(np.int64)


def corner_rings(points: Floats) -> Rings:
    """Corners (n, k, 2) of n annotations as a ring each, for instance those of rotated boxes."""
    count, size = len(points), 2 * points.shape[1]
    return Rings(points.reshape(-1), np.arange(count + 1) * size, np.arange(count))


RECTANGLE = 1e-4
"""How far the corners of a quadrilateral may be from those of a rectangle, as a share of its longer side."""


def rotated_boxes(points: Floats) -> tuple[Floats, Floats]:
    """Boxes (n, 4) and the degrees that they are turned by, of the corners (n, 4, 2) of quadrilaterals in any winding.

    A rectangle is turned as its first side runs, so this is the inverse of `corners` up to whole turns. Any other
    quadrilateral gets the smallest rectangle around it.
    """
    first, second = points[:, 1] - points[:, 0], points[:, 2] - points[:, 1]
    width, height = np.hypot(first[:, 0], first[:, 1]), np.hypot(second[:, 0], second[:, 1])
    longer = np.maximum(width, height)
    skew = np.abs(points[:, 0] + points[:, 2] - points[:, 1] - points[:, 3]).max(axis=1)
    lean = np.abs((first * second).sum(axis=1))
    is_rectangle = (skew <= RECTANGLE * longer) & (lean <= RECTANGLE * longer * longer)
    centre = points.mean(axis=1)
    size = np.stack([width, height], axis=1)
    boxes = np.concatenate([centre - size / 2, size], axis=1)
    # A side of no length has no direction; the other one then says it.
    across = np.stack([second[:, 1], -second[:, 0]], axis=1)
    along = np.where((width > 0)[:, None], first, across)
    degrees = np.rad2deg(np.arctan2(along[:, 1], along[:, 0])) + 0.0
    other = np.flatnonzero(~is_rectangle)
    if len(other):
        pairs = np.array([(0, 1), (1, 2), (2, 3), (3, 0), (0, 2), (1, 3)])
        quads = points[other]
        boxes[other], degrees[other] = _smallest(quads, quads[:, pairs[:, 1]] - quads[:, pairs[:, 0]])
    return boxes, degrees


def smallest_rotated_boxes(rings: Rings, count: int) -> tuple[Floats, Floats]:
    """The smallest rectangle around all rings of each of `count` annotations: boxes (n, 4), and degrees from 0 up to
    90 that they are turned by; NaN where there is no point. A side of it lies on a side of the convex hull.
    """
    import cv2

    boxes, degrees = np.full((count, 4), np.nan), np.full(count, np.nan)
    points = rings.values.reshape(-1, 2)
    owner = np.repeat(rings.owner, np.diff(rings.offsets) // 2)
    for i, begin, size in zip(*(part.tolist() for part in np.unique(owner, True, False, True)), strict=True):
        mine = points[begin : begin + size]
        # OpenCV knows single precision alone, and is better off near the origin.
        near = (mine - mine.min(axis=0)).astype(np.float32)
        hull = mine[cv2.convexHull(near, returnPoints=False)[:, 0]]
        sides = np.roll(hull, -1, axis=0) - hull
        (boxes[i],), (degrees[i],) = _smallest(hull[None], sides[None])
    return boxes, degrees


def _smallest(points: Floats, sides: Floats) -> tuple[Floats, Floats]:
    """The smallest rectangle around points (n, k, 2) that has a side along one of `sides` (n, m, 2)."""
    angle = np.mod(np.arctan2(sides[..., 1], sides[..., 0]), np.pi / 2)
    cos, sin = np.cos(angle)[:, :, None], np.sin(angle)[:, :, None]
    x, y = points[:, None, :, 0], points[:, None, :, 1]
    u, v = x * cos + y * sin, y * cos - x * sin
    low, high = (np.stack([pick(u, axis=2), pick(v, axis=2)], axis=2) for pick in (np.min, np.max))
    best = np.argmin((high - low).prod(axis=2), axis=1)
    at = np.arange(len(points))
    angle, low, high = angle[at, best], low[at, best], high[at, best]
    middle = (low + high) / 2
    cos, sin = np.cos(angle), np.sin(angle)
    centre = np.stack([middle[:, 0] * cos - middle[:, 1] * sin, middle[:, 0] * sin + middle[:, 1] * cos], axis=1)
    return np.concatenate([centre - (high - low) / 2, high - low], axis=1), np.rad2deg(angle)


def overlaps(one: Floats, other: Floats) -> Floats:
    """Intersection over union of each box of `one` (n, 4) with each of `other` (m, 4), as (n, m); 0 for empty boxes."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, :2] + one[:, None, 2:], other[None, :, :2] + other[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    total = one[:, 2:].prod(axis=1)[:, None] + other[:, 2:].prod(axis=1)[None] - shared
    result: Floats = np.divide(shared, total, out=np.zeros_like(shared), where=total > 0)
    return result
