"""Annotations on an image of another size: flat columns times a factor for each axis.

The two factors of an image are one but for the rounding of its sides to whole pixels. That makes a turned box a
parallelogram: it is given the two directions' own lengths and the direction of its width, which leaves a corner off by
no more than half the longer side times the share by which the factors differ (0.5 pixels in 4096: 0.012 %).
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from framehouse.annotations import geometry, masks
from framehouse.annotations.geometry import Floats
from framehouse.annotations.schema import Kind


def scale(annotations: pa.Table, factors: Floats) -> pa.Table:
    """Flat annotations with their coordinates, areas and masks times `factors` (n, 2), for x and for y.

    Of the columns that there are; masks as `masks.resize` says. Rows with factors of 1 stay as they are.
    """
    names = annotations.column_names
    if "kind" in names:
        flat = np.array(pc.equal(annotations["kind"], int(Kind.CUBOID_3D)))
        factors = np.where(flat[:, None], 1.0, factors)
    touched = (factors != 1).any(axis=1)
    if not touched.any():
        return annotations
    columns: dict[str, pa.Array] = {}
    if "bbox" in names:
        boxes = geometry.boxes(annotations["bbox"])
        scaled = boxes * np.tile(factors, 2)
        if "rotation" in names:
            degrees = annotations["rotation"].combine_chunks()
            angle = np.array(pc.fill_null(degrees, 0.0))
            turned = touched & (angle != 0)
            scaled[turned], angle[turned] = _turned(boxes[turned], angle[turned], factors[turned])
            columns["rotation"] = pa.array(angle, mask=np.array(degrees.is_null()))
        columns["bbox"] = geometry.box_column(scaled)
    if "rings" in names:
        column = annotations["rings"].combine_chunks()
        rings = geometry.open_rings(column)
        sizes = np.diff(rings.offsets)
        values = (rings.values.reshape(-1, 2) * np.repeat(factors[rings.owner], sizes // 2, axis=0)).reshape(-1)
        columns["rings"] = geometry.ring_column(values, sizes, geometry.lengths(column), np.array(column.is_null()))
    if "area" in names:
        columns["area"] = pc.multiply(annotations["area"].combine_chunks(), pa.array(factors.prod(axis=1)))
    if "rle" in names:
        columns["rle"], columns["rle_size"] = _masks(annotations, factors, touched)
    for name, values in columns.items():
        at = annotations.schema.get_field_index(name)
        annotations = annotations.set_column(at, annotations.schema.field(name), values)
    return annotations


def _turned(boxes: Floats, degrees: Floats, factors: Floats) -> tuple[Floats, Floats]:
    """Boxes that are turned by degrees, scaled along their own sides; and the degrees that they are turned by then."""
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    along, across = factors * np.stack([cos, sin], axis=1), factors * np.stack([-sin, cos], axis=1)
    size = boxes[:, 2:] * np.stack([np.hypot(*along.T), np.hypot(*across.T)], axis=1)
    centre = (boxes[:, :2] + boxes[:, 2:] / 2) * factors
    change = np.arctan2(cos * sin * (factors[:, 1] - factors[:, 0]), cos * along[:, 0] + sin * along[:, 1])
    return np.concatenate([centre - size / 2, size], axis=1), degrees + np.rad2deg(change)


def _masks(annotations: pa.Table, factors: Floats, touched: NDArray[np.bool_]) -> tuple[pa.Array, pa.Array]:
    rle, sizes = annotations["rle"].combine_chunks(), annotations["rle_size"].combine_chunks()
    touched = touched & np.array(rle.is_valid()) & np.array(sizes.is_valid())
    if not touched.any():
        return rle, sizes
    mine = pa.array(touched)
    old = sizes.filter(mine).flatten().to_numpy().reshape(-1, 2).astype(np.int64)
    new = np.maximum(np.rint(old * factors[touched][:, ::-1]), 1).astype(np.int64)
    counts = masks.encode(masks.resize(masks.decode(rle.filter(mine)), old, new))
    shapes = pa.FixedSizeListArray.from_arrays(pa.array(new.astype(np.int32).reshape(-1)), 2)
    place = np.where(touched, len(rle) + np.cumsum(touched) - 1, np.arange(len(rle)))
    at = pa.array(place)
    return pa.concat_arrays([rle, counts]).take(at), pa.concat_arrays([sizes, shapes.cast(sizes.type)]).take(at)
