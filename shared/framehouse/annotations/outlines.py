"""Between polygons and masks: polygons filled as COCO fills them, and the outlines of masks, exact to the pixel.

Filling is pycocotools'. Outlines are those of OpenCV's `findContours` with its hierarchy (parts joined where they touch
at a corner, holes apart), but they run along the edges of the pixels and not through their centres: the area and the
envelope are those of the mask, and filled again they give it back. Other masks are next door in `masks`.
"""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from framehouse.annotations import masks
from framehouse.annotations.geometry import Floats, Integers, Rings, clip_rings, starts
from framehouse.annotations.masks import Intervals, Runs


class Outlines(NamedTuple):
    """The rings around masks and around their holes."""

    rings: Rings
    """Outer ones run clockwise as one looks at the image, those of holes the other way."""
    parent: Integers
    """For a hole the ring around the part that it is in; for an outer ring its own position."""

    def holes(self) -> NDArray[np.bool_]:
        """Which rings are those of holes."""
        is_hole: NDArray[np.bool_] = self.parent != np.arange(len(self.parent))
        return is_hole

    def parts(self, count: int) -> Integers:
        """Parts that each of `count` masks falls into."""
        return np.bincount(self.rings.owner[~self.holes()], minlength=count)


def fill(rings: Rings, heights: Integers, widths: Integers, *, holes: bool) -> Runs:
    """Masks of the rings of n annotations, in images of the given sizes; what lies outside of the image goes.

    `holes`: whether a ring within another is a hole in it (even-odd), as `outlines` gives them. Without, rings are
    parts, and what two of them cover is covered, as COCO means them.
    """
    from pycocotools import mask as peer

    sizes = np.diff(rings.offsets)
    if not np.isfinite(rings.values).all():
        broken = np.bincount(np.repeat(np.arange(len(sizes)), sizes), ~np.isfinite(rings.values), len(sizes)) > 0
        values = rings.values[np.repeat(~broken, sizes)]
        rings = Rings(values, starts(sizes[~broken]), rings.owner[~broken])
    # Rings far outside would make pycocotools ask for memory without end.
    rings = clip_rings(rings, np.stack([widths, heights], axis=1).astype(np.float64))
    at = np.flatnonzero(np.diff(rings.offsets) >= 6)
    owner = rings.owner[at]
    counts: list[bytes] = [b""] * len(at)
    size, which = np.unique(np.stack([heights, widths], axis=1)[owner], axis=0, return_inverse=True)
    for k, (height, width) in enumerate(size.tolist()):
        mine = np.flatnonzero(which == k).tolist()
        shapes = [rings.values[rings.offsets[at[i]] : rings.offsets[at[i] + 1]] for i in mine]
        for i, one in zip(mine, peer.frPyObjects(shapes, height, width), strict=True):
            counts[i] = one["counts"]
    filled = masks.decode(pa.array(counts, pa.binary()))
    if np.array_equal(owner, np.arange(len(heights))):
        return filled
    parts = masks.intervals(filled)
    return (masks.odd if holes else masks.union)(parts._replace(owner=owner[parts.owner]), heights * widths)


def outlines(runs: Runs, heights: Integers, widths: Integers) -> Outlines:
    """The outlines of masks, from their runs alone; no raster is made."""
    x, y, owner, turn = _corners(masks.columns(masks.intervals(runs), heights), heights, widths)
    # Each corner ends a vertical and a horizontal edge, and corners in a line pair up in their order.
    across = np.lexsort([x, y, owner]) if not (doubled := np.abs(turn) == 2).any() else None
    if across is None:
        # Where two parts touch at a corner, two lie there: the one of the edge above first. Seen along the row they are
        # in the order that joins the parts.
        repeats = doubled + 1
        copy = np.arange(repeats.sum()) - np.repeat(starts(repeats)[:-1], repeats)
        x, y, owner, turn = (np.repeat(values, repeats) for values in (x, y, owner, turn))
        across = np.lexsort([np.where(turn > 0, 1 - copy, copy), x, y, owner])
    partner = np.empty(len(x), np.int64)
    partner[across[0::2]], partner[across[1::2]] = across[1::2], across[0::2]
    # Vertical edge i joins the corners 2i and 2i + 1. With the mask on its right hand it is walked upwards.
    upper, lower = np.arange(0, len(x), 2), np.arange(1, len(x), 2)
    right = turn[0::2] > 0
    begin, end = np.where(right, lower, upper), np.where(right, upper, lower)
    root, order = _cycles(partner[end] // 2)
    walked = np.lexsort([order, root])
    corners = np.stack([begin, end], axis=1)[walked].reshape(-1)
    values = np.stack([x, y], axis=1)[corners].astype(np.float64).reshape(-1)
    first, edges = np.unique(root, return_counts=True)
    rings = Rings(values, starts(4 * edges), owner[0::2][first])
    # The first edge of a ring is its leftmost one: the mask is on the right of an outer ring's.
    is_hole = ~right[first]
    return Outlines(rings, _parents(rings, is_hole, first, root, x, y))


def _corners(cut: Intervals, heights: Integers, widths: Integers) -> tuple[Integers, Integers, Integers, Integers]:
    """Corners of masks in the order of owner, x, y; and how the pixels around each turn: f(x, y) - f(x - 1, y) -
    f(x, y - 1) + f(x - 1, y - 1), which is 0 where there is no corner and ±2 where two pixels touch at one.
    """
    base = starts((widths + 1) * (heights + 1))
    height = heights[cut.owner]
    column = cut.begin // height
    top, bottom = cut.begin - column * height, cut.end - column * height
    at = base[cut.owner] + column * (height + 1)
    edges = np.concatenate([at + top, at + bottom, at + height + 1 + top, at + height + 1 + bottom])
    place, of = np.unique(edges, return_inverse=True)
    turn = np.bincount(of, np.repeat([1, -1, -1, 1], len(at)), len(place)).astype(np.int64)
    place, turn = place[turn != 0], turn[turn != 0]
    owner = np.searchsorted(base, place, side="right") - 1
    x, y = np.divmod(place - base[owner], heights[owner] + 1)
    return x, y, owner, turn


def _cycles(following: Integers) -> tuple[Integers, Integers]:
    """For each element of a permutation the smallest one of its cycle, and its place in the cycle counted from that."""
    root, ahead = np.arange(len(following)), following
    while True:
        smaller = np.minimum(root, root[ahead])
        if np.array_equal(smaller, root):
            break
        root, ahead = smaller, ahead[ahead]
    is_root = root == np.arange(len(root))
    left = (~is_root).astype(np.int64)
    ahead = np.where(is_root, root, following)
    while not np.array_equal(ahead, root):
        left, ahead = left + left[ahead], ahead[ahead]
    size = np.bincount(root, minlength=len(root))[root]
    return root, np.where(is_root, 0, size - left)


def _parents(
    rings: Rings, is_hole: NDArray[np.bool_], first: Integers, root: Integers, x: Integers, y: Integers
) -> Integers:
    """The ring that each hole lies in: to the left of a hole's first edge is its part, and left of that its ring."""
    parent = np.arange(len(first))
    outer = np.flatnonzero(~is_hole)
    counts = np.bincount(rings.owner[outer], minlength=int(rings.owner.max()) + 1) if len(outer) else np.zeros(0)
    alone = is_hole.copy()
    alone[is_hole] = counts[rings.owner[is_hole]] == 1
    parent[alone] = outer[np.searchsorted(rings.owner[outer], rings.owner[alone])]
    ring_of = np.searchsorted(first, root)
    left, top, bottom = x[0::2], y[0::2], y[1::2]
    edge_owner = rings.owner[ring_of]
    for hole in np.flatnonzero(is_hole & ~alone).tolist():
        edge = first[hole]
        begin, end = np.searchsorted(edge_owner, [rings.owner[hole], rings.owner[hole] + 1])
        mine = slice(begin, end)
        before = (left[mine] < left[edge]) & (top[mine] <= top[edge]) & (bottom[mine] > top[edge])
        beside = begin + np.flatnonzero(before)[-1]
        # Rings are in the order of their leftmost edges, so that of another hole is known by now.
        parent[hole] = parent[ring_of[beside]]
    return parent


def objects(rle: pa.Array, sizes: pa.Array) -> list[dict[str, Any]]:
    """Masks as pycocotools takes them, of columns `rle` and `rle_size` without nulls."""
    pairs = zip(rle.to_pylist(), sizes.to_pylist(), strict=True)
    return [{"counts": counts, "size": size} for counts, size in pairs]


def overlaps(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> Floats:
    """Intersection over union of each mask of `one` with each of `other`, in pycocotools' form, all of one size."""
    from pycocotools import mask as peer

    if not one or not other:
        return np.zeros((len(one), len(other)))
    return np.asarray(peer.iou(one, other, [0] * len(other)), np.float64)
