"""Shapes of flat annotations as other shapes, for formats that do not hold what they are."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from framehouse.annotations import geometry, masks
from framehouse.annotations.geometry import Floats, Rings
from framehouse.annotations.outlines import outlines
from framehouse.annotations.schema import Kind


def upright_boxes(annotations: pa.Table, written: Sequence[Kind]) -> Floats:
    """Upright boxes (n, 4) in pixels around annotations that have a label and are of a kind that is `written`; NaN for
    the others.
    """
    found = geometry.boxes(annotations["bbox"])
    kinds, labels = annotations["kind"].to_numpy(), annotations["label"].to_numpy()
    turned = np.isin(kinds, [Kind.ROTATED_BOX, Kind.ELLIPSE]) & annotations["rotation"].is_valid().to_numpy()
    if turned.any():
        angles = annotations["rotation"].to_numpy()[turned]
        found[turned] = geometry.corner_envelopes(geometry.corners(found[turned], angles))
    found[(labels < 0) | ~np.isin(kinds, list(written))] = np.nan
    return found


def polygon_rings(annotations: pa.Table) -> Rings:
    """The rings of polygons, and the corners of rotated boxes as rings."""
    kinds = annotations["kind"].to_numpy()
    rings = geometry.open_rings(annotations["rings"])
    mine = kinds[rings.owner] == Kind.POLYGON
    turned = np.flatnonzero(kinds == Kind.ROTATED_BOX)
    if mine.all() and not len(turned):
        return rings
    sizes = np.diff(rings.offsets)
    values, owner, sizes = rings.values[np.repeat(mine, sizes)], rings.owner[mine], sizes[mine]
    boxes = geometry.boxes(annotations["bbox"])[turned]
    angles = pc.fill_null(annotations["rotation"], 0).to_numpy()[turned]
    corners = geometry.corners(boxes, angles)
    at = np.searchsorted(owner, turned)
    begins = geometry.starts(sizes)
    values = np.insert(values, np.repeat(begins[at], 8), corners.reshape(-1))
    sizes, owner = np.insert(sizes, at, 8), np.insert(owner, at, turned)
    return Rings(values, geometry.starts(sizes), owner)


def mask_rings(annotations: pa.Table) -> Rings:
    """The outlines of masks, along the edges of their pixels."""
    at = np.flatnonzero((annotations["kind"].to_numpy() == Kind.MASK) & annotations["rle"].is_valid().to_numpy())
    if not len(at):
        return Rings(np.zeros(0), np.zeros(1, np.int64), np.zeros(0, np.int64))
    mine = annotations.take(pa.array(at))
    size = mine["rle_size"].combine_chunks().flatten().to_numpy().reshape(-1, 2).astype(np.int64)
    found = outlines(masks.decode(mine["rle"].combine_chunks()), size[:, 0], size[:, 1]).rings
    return found._replace(owner=at[found.owner])
