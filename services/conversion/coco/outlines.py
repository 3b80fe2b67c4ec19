"""What shapes become before COCO's records of them are written: polygons that must be masks, masks that are to be
polygons, and what others cover cut off. Most datasets need none of it and pass through untouched.

A polygon of COCO is the sum of its rings, so one with a hole is written as a mask. Rings of sources that are COCO's own
have no holes: they were parts from the start.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from framehouse.annotations import geometry, masks, outlines
from framehouse.annotations.geometry import Floats, Integers
from framehouse.annotations.schema import Kind
from framehouse.v1.conversion_pb2 import SegmentationMode
from services.conversion.shapes import polygon_rings

Marks = NDArray[np.bool_]

AREAS = (Kind.POLYGON, Kind.ROTATED_BOX, Kind.MASK)
"""Kinds that become masks."""


@dataclass(frozen=True)
class Wanted:
    """What shapes are to become."""

    mode: SegmentationMode = SegmentationMode.SEGMENTATION_MODE_GUESS
    crop_covered: bool = False
    holes: bool = False
    """Whether a ring within another is a hole in it, which COCO's polygons cannot say."""


def reshape(annotations: pa.Table, sizes: Integers, wanted: Wanted) -> pa.Table:
    """Flat annotations whose kind, rings and masks are as they are to be written.

    `sizes` (n, 2) are height and width of the images; in one without a size nothing becomes a mask.
    """
    kinds = annotations["kind"].to_numpy()
    size = sizes[annotations["image"].to_numpy()]
    known = (size > 0).all(axis=1)
    as_mask = np.zeros(len(kinds), bool)
    if wanted.mode == SegmentationMode.SEGMENTATION_MODE_MASK:
        as_mask = (kinds == Kind.POLYGON) | (kinds == Kind.ROTATED_BOX)
    elif wanted.holes and wanted.mode != SegmentationMode.SEGMENTATION_MODE_POLYGONS:
        as_mask = with_holes(annotations)
    if (as_mask & known).any():
        annotations = _fill(annotations, np.flatnonzero(as_mask & known), size, wanted.holes)
    if wanted.crop_covered:
        annotations = _crop(annotations, size, known, wanted.holes)
    if wanted.mode == SegmentationMode.SEGMENTATION_MODE_POLYGONS:
        at = np.flatnonzero(annotations["kind"].to_numpy() == Kind.MASK)
        if len(at):
            annotations = _outline(annotations, at)
    return annotations


def with_holes(annotations: pa.Table) -> Marks:
    """Which polygons have a ring that lies within another one."""
    rings = geometry.open_rings(annotations["rings"])
    result = np.zeros(annotations.num_rows, bool)
    counts = np.bincount(rings.owner, minlength=len(result))
    counts[annotations["kind"].to_numpy() != Kind.POLYGON] = 0
    at = np.flatnonzero(counts[rings.owner] > 1)
    if not len(at):
        return result
    # Every ring with every ring of its polygon; few pairs are left once their envelopes are compared.
    ends = geometry.starts(np.bincount(rings.owner, minlength=len(result)))
    owner = rings.owner[at]
    inner = np.repeat(at, counts[owner])
    outer = geometry.spread(ends[:-1][owner], counts[owner])
    boxes = geometry.ring_envelopes(rings._replace(owner=np.arange(len(rings.owner))), len(rings.owner))
    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    fits = (inner != outer) & (low[inner] >= low[outer]).all(axis=1) & (high[inner] <= high[outer]).all(axis=1)
    for i, k in zip(inner[fits].tolist(), outer[fits].tolist(), strict=True):
        one, other = (rings.values[rings.offsets[n] : rings.offsets[n + 1]].reshape(-1, 2) for n in (i, k))
        result[rings.owner[i]] |= _within(one, other)
    return result


def _within(inner: Floats, outer: Floats) -> bool:
    """Whether all points of a ring are inside of another or on it."""
    contour = outer.astype(np.float32)[:, None]
    places = [cv2.pointPolygonTest(contour, point, False) for point in inner.tolist()]
    return min(places) >= 0 and max(places) > 0


def _runs(annotations: pa.Table, at: Integers, size: Integers, holes: bool) -> masks.Runs:
    """The pixels of some polygons, rotated boxes and masks, in this order."""
    part = annotations.take(pa.array(at))
    kinds, heights, widths = part["kind"].to_numpy(), size[at, 0], size[at, 1]
    rings = polygon_rings(part)
    filled = masks.encode(outlines.fill(rings, heights, widths, holes=holes))
    is_mask = pa.array(kinds == Kind.MASK)
    return masks.decode(pc.if_else(is_mask, part["rle"].combine_chunks(), filled))


def _fill(annotations: pa.Table, at: Integers, size: Integers, holes: bool) -> pa.Table:
    """The same with some polygons and rotated boxes as masks."""
    return with_masks(annotations, at, _runs(annotations, at, size, holes), size[at])


def with_masks(annotations: pa.Table, at: Integers, runs: masks.Runs, size: Integers) -> pa.Table:
    """The same with masks for some annotations; the boxes of those that were turned are computed again."""
    count = annotations.num_rows
    kinds = annotations["kind"].to_numpy().copy()
    turned = np.zeros(count, bool)
    turned[at] = kinds[at] == Kind.ROTATED_BOX
    kinds[at] = int(Kind.MASK)
    touched = np.zeros(count, bool)
    touched[at] = True
    sizes = pa.FixedSizeListArray.from_arrays(pa.array(size.astype(np.int32).reshape(-1)), 2)
    return _replaced(
        annotations,
        kind=pa.array(kinds),
        rings=_cleared(annotations["rings"], touched),
        rle=_spliced(annotations["rle"], at, masks.encode(runs)),
        rle_size=_spliced(annotations["rle_size"], at, sizes),
        bbox=_cleared(annotations["bbox"], turned),
    )


def _crop(annotations: pa.Table, size: Integers, known: Marks, holes: bool) -> pa.Table:
    """The same with what annotations of a higher z order cover cut off; one wholly covered keeps its box alone."""
    kinds, image = annotations["kind"].to_numpy(), annotations["image"].to_numpy()
    order = pc.fill_null(annotations["z_order"], 0).to_numpy()
    shaped = np.flatnonzero(known & np.isin(kinds, AREAS))
    if len(shaped) < 2:
        return annotations
    # Of images whose shapes all lie on one level nothing is covered.
    bounds = geometry.starts(np.bincount(image[shaped]))
    first, last = bounds[:-1][image[shaped]], bounds[1:][image[shaped]]
    levels = order[shaped]
    top = np.maximum.reduceat(levels, np.unique(first))[np.unique(first, return_inverse=True)[1]]
    low = np.minimum.reduceat(levels, np.unique(first))[np.unique(first, return_inverse=True)[1]]
    mixed = top > low
    if not mixed.any():
        return annotations
    mine = np.flatnonzero(mixed)
    place = np.full(len(shaped), -1)
    place[mine] = np.arange(len(mine))
    runs = _runs(annotations, shaped[mine], size, holes)
    pixels = size[shaped[mine]].prod(axis=1)
    under = np.repeat(mine, (last - first)[mine])
    over = geometry.spread(first[mine], (last - first)[mine])
    above = levels[over] > levels[under]
    under, over = place[under[above]], place[over[above]]
    parts = masks.intervals(runs)
    begins = np.searchsorted(parts.owner, np.arange(len(mine) + 1))
    counts = np.diff(begins)[over]
    at = geometry.spread(begins[:-1][over], counts)
    covers = masks.union(masks.Intervals(np.repeat(under, counts), parts.begin[at], parts.end[at]), pixels)
    left = masks.difference(runs, covers, pixels)
    cut = np.flatnonzero(masks.areas(left) < masks.areas(runs))
    if not len(cut):
        return annotations
    rows = shaped[mine[cut]]
    rle = masks.encode(left).take(pa.array(cut))
    annotations = with_masks(annotations, rows, masks.decode(rle), size[rows])
    gone = np.zeros(len(kinds), bool)
    gone[rows] = masks.areas(left)[cut] == 0
    seen = np.zeros(len(kinds), bool)
    seen[rows] = ~gone[rows]
    kinds = np.where(gone, int(Kind.BOX), annotations["kind"].to_numpy()).astype(np.int8)
    return _replaced(
        annotations,
        kind=pa.array(kinds),
        bbox=_cleared(annotations["bbox"], seen),
        area=_cleared(annotations["area"], seen | gone),
        rle=_cleared(annotations["rle"], gone),
        rle_size=_cleared(annotations["rle_size"], gone),
    )


def _outline(annotations: pa.Table, at: Integers) -> pa.Table:
    """The same with some masks as polygons: the outlines of their parts; holes are filled."""
    rle = annotations["rle"].combine_chunks().take(pa.array(at))
    size = annotations["rle_size"].combine_chunks().take(pa.array(at)).flatten().to_numpy().reshape(-1, 2)
    found = outlines.outlines(masks.decode(rle), *size.astype(np.int64).T)
    outer = ~found.holes()
    lengths = np.diff(found.rings.offsets)
    values, owner = found.rings.values[np.repeat(outer, lengths)], found.rings.owner[outer]
    count = annotations.num_rows
    drawn = geometry.ring_column(values, lengths[outer], np.bincount(owner, minlength=len(at)))
    # A mask without a pixel has no outline; it stays.
    some = np.bincount(owner, minlength=len(at)) > 0
    at, drawn = at[some], drawn.filter(pa.array(some))
    touched = np.zeros(count, bool)
    touched[at] = True
    kinds = np.where(touched, int(Kind.POLYGON), annotations["kind"].to_numpy()).astype(np.int8)
    return _replaced(
        annotations,
        kind=pa.array(kinds),
        rings=_spliced(annotations["rings"], at, drawn),
        rle=_cleared(annotations["rle"], touched),
        rle_size=_cleared(annotations["rle_size"], touched),
    )


def _replaced(table: pa.Table, **columns: pa.Array) -> pa.Table:
    for name, column in columns.items():
        at = table.schema.get_field_index(name)
        table = table.set_column(at, table.schema.field(name), column.cast(table.schema.field(name).type))
    return table


def _spliced(column: pa.ChunkedArray, at: Integers, values: pa.Array) -> pa.Array:
    """The column with `values` at some places."""
    old = column.combine_chunks()
    place = np.arange(len(old))
    place[at] = len(old) + np.arange(len(at))
    return pa.concat_arrays([old, values.cast(old.type)]).take(pa.array(place))


def _cleared(column: pa.ChunkedArray, where: Marks) -> pa.Array:
    """The column with null at some places."""
    old = column.combine_chunks()
    return old.take(pa.array(np.arange(len(old)), mask=where))
