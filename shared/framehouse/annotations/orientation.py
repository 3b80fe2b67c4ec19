"""EXIF orientation of annotations: from the pixels as they lie in the file to those that are shown, by columns.

Which images are meant, and that their labels count on stored pixels, is for the caller to know.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from framehouse.annotations import geometry
from framehouse.annotations.geometry import Integers
from framehouse.annotations.schema import Kind

TURNED_BY_DECODERS = ("heic", "dng")
"""Formats whose every decoder turns the pixels upright, so that nobody ever sees them as they lie in the file."""

SWAPS = 5
"""From this orientation on, width and height of the stored and of the upright image are swapped."""

_SIGNS = np.array([[1, 1], [1, 1], [-1, 1], [-1, -1], [1, -1], [1, 1], [-1, 1], [-1, -1], [1, -1]], np.float64)
"""The direction that each upright axis has on the stored one, for each orientation, after x and y were swapped."""


def stored(images: pa.Table | pa.RecordBatch) -> tuple[Integers, Integers]:
    """Of rows that have orientation, format, width and height (upright): the orientation by which the stored pixels
    are turned, 1 where they are not; and the size as stored, (n, 2) width and height, 0 where it is not known.
    """
    upright = pc.is_in(images["format"], pa.array(TURNED_BY_DECODERS))
    orientation = np.array(pc.fill_null(pc.if_else(upright, None, images["orientation"]), 1), np.int64)
    size = np.stack([np.array(pc.fill_null(images[name], 0), np.int64) for name in ("width", "height")], axis=1)
    return orientation, np.where((orientation >= SWAPS)[:, None], size[:, ::-1], size)


def with_stored_sizes(images: pa.RecordBatch) -> pa.RecordBatch:
    """Rows as `stored` takes them, with the size as stored for the upright one."""
    orientation, sizes = stored(images)
    if not (orientation >= SWAPS).any():
        return images
    for axis, name in enumerate(("width", "height")):
        values = pa.array(sizes[:, axis], images.schema.field(name).type, mask=np.array(images[name].is_null()))
        images = images.set_column(images.schema.get_field_index(name), name, values)
    return images


def turn_upright(annotations: pa.Table, orientation: Integers, sizes: Integers) -> pa.Table:
    """Flat annotations, of which `orientation` says for each that of its image, from 1 to 8, and `sizes` (n, 2) the
    width and height as stored, with their coordinates on the upright image. Points keep their order.
    """
    in_image = np.array(pc.not_equal(annotations["kind"], int(Kind.CUBOID_3D)))
    orientation = np.where(in_image, orientation, 1)
    signs, swapped = _SIGNS[orientation], orientation >= SWAPS
    # An axis that runs the other way is counted from the other side.
    origin = np.where(signs < 0, _swapped(sizes, swapped), 0)

    boxes = geometry.boxes(annotations["bbox"])
    low, extent = _swapped(boxes[:, :2], swapped), _swapped(boxes[:, 2:], swapped)
    boxes = np.concatenate([signs * low + origin - np.where(signs < 0, extent, 0), extent], axis=1)
    columns = {"bbox": geometry.box_column(boxes)}

    column = annotations["rings"].combine_chunks()
    rings = geometry.open_rings(column)
    lengths = np.diff(rings.offsets)
    counts = np.bincount(rings.owner, lengths // 2, len(column)).astype(np.int64)
    points = _swapped(rings.values.reshape(-1, 2), np.repeat(swapped, counts))
    values = np.empty_like(rings.values)
    for axis in (0, 1):
        values[axis::2] = points[:, axis] * np.repeat(signs[:, axis], counts) + np.repeat(origin[:, axis], counts)
    missing = np.array(column.is_null())
    columns["rings"] = geometry.ring_column(values, lengths, geometry.lengths(column), missing)

    # Turning by quarters swaps a box's sides and leaves its angle; a mirror turns it about.
    mirrored = np.isin(orientation, [2, 4, 5, 7])
    rotation = annotations["rotation"].combine_chunks()
    columns["rotation"] = pc.if_else(pa.array(mirrored), pc.subtract(0.0, rotation), rotation)
    columns["rle"], columns["rle_size"] = _turn_masks(annotations, orientation)
    for name, values in columns.items():
        at = annotations.schema.get_field_index(name)
        annotations = annotations.set_column(at, annotations.schema.field(name), values)
    return annotations


def _swapped(pairs: NDArray[Any], swapped: NDArray[np.bool_]) -> NDArray[Any]:
    return np.where(swapped[:, None], pairs[:, ::-1], pairs) if swapped.any() else pairs


def _turn_masks(annotations: pa.Table, orientation: Integers) -> tuple[pa.Array, pa.Array]:
    """Counts and sizes of the masks, each turned in its own frame, as a raster."""
    rle, sizes = annotations["rle"].combine_chunks(), annotations["rle_size"].combine_chunks()
    touched = np.flatnonzero(np.array(rle.is_valid()) & np.array(sizes.is_valid()) & (orientation > 1))
    if not len(touched):
        return rle, sizes
    from pycocotools import mask as peer

    counts, shapes = rle.to_pylist(), sizes.to_pylist()
    for i in touched.tolist():
        raster = peer.decode({"counts": counts[i], "size": shapes[i]})
        if orientation[i] >= SWAPS:
            raster = raster.T
        across, down = _SIGNS[orientation[i]].astype(int).tolist()
        raster = raster[::down, ::across]
        one = peer.encode(np.asfortranarray(raster))
        counts[i], shapes[i] = one["counts"], one["size"]
    return pa.array(counts, rle.type), pa.array(shapes, sizes.type)
