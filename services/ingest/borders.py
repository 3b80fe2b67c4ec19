"""Shapes at the borders of their images: what reaches over is told, and cut where that was asked for; what lies wholly
outside is left out. The same for all formats, since only here size and shape meet. An object with the mark `outside` is
not in its image: its shape says where it was last, which may be anywhere.
"""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from framehouse.annotations import geometry
from framehouse.annotations.geometry import Floats, Integers
from framehouse.annotations.schema import Flag, Kind
from framehouse.store.issues import ERROR, WARNING, IssueLog
from framehouse.v1.annotation_pb2 import Severity
from framehouse.v1.conversion_pb2 import BOX_POLICY_CLAMP, BoxPolicy
from services.ingest.mask_sizes import fit_masks

Marks = NDArray[np.bool_]

LOOKED_AT = (Kind.BOX, Kind.ROTATED_BOX, Kind.POLYGON)
TOLERANCE = 0.05
"""Pixels that a shape may reach over without a word: less than formats round away."""


def mind_borders(
    annotations: pa.Table, image: Integers, sizes: Floats, paths: pa.Array, policy: BoxPolicy, issues: IssueLog
) -> pa.Table:
    """Flat annotations as the policy wants them. `image` is the row of each one's image in `paths` and in `sizes`,
    (width, height), NaN where it is not known.
    """
    annotations = fit_masks(annotations, image, sizes, paths, issues)
    kinds = annotations["kind"].to_numpy()
    boxes = geometry.boxes(annotations["bbox"])
    turned = np.flatnonzero((kinds == Kind.ROTATED_BOX) & annotations["rotation"].is_valid().to_numpy())
    if len(turned):
        angles = annotations["rotation"].to_numpy()[turned]
        boxes[turned] = geometry.corner_envelopes(geometry.corners(boxes[turned], angles))
    size = sizes[image]
    shown = annotations["flags"].to_numpy() & Flag.OUTSIDE == 0
    mine = shown & np.isin(kinds, LOOKED_AT) & ~np.isnan(boxes).any(axis=1) & ~np.isnan(size).any(axis=1)
    over = np.maximum(-boxes[:, :2], boxes[:, :2] + boxes[:, 2:] - size).max(axis=1, initial=-np.inf)
    if not (mine & (over > TOLERANCE)).any():
        return annotations
    gone = mine & geometry.outside(boxes, size)
    reaching = mine & ~gone & (over > TOLERANCE)
    _tell(gone, over, image, paths, "wholly outside of the image, left out", "BOX_OUTSIDE", ERROR, issues)
    clamped = policy == BOX_POLICY_CLAMP
    what = "cut at the border, turned boxes excepted" if clamped else "kept as they are"
    text = "reaching over the border of the image by up to {pixels} pixels; " + what
    _tell(reaching, over, image, paths, text, "BOX_REACHES_OUTSIDE", WARNING, issues)
    if clamped:
        annotations = _cut(annotations, reaching & (kinds != Kind.ROTATED_BOX), size)
    return annotations.filter(pa.array(~gone)) if gone.any() else annotations


def _tell(
    marked: Marks,
    over: Floats,
    image: Integers,
    paths: pa.Array,
    text: str,
    code: str,
    severity: Severity,
    log: IssueLog,
) -> None:
    """One issue for each image that has any."""
    rows, at = np.unique(image[marked], return_inverse=True)
    counts = np.bincount(at)
    furthest = np.full(len(rows), -np.inf)
    np.maximum.at(furthest, at, over[marked])
    remedy = (
        "cut the shapes at the border, or import with --boxes clamp" if severity == WARNING else "correct the labels"
    )
    names = paths.take(pa.array(rows)).to_pylist()
    for path, count, pixels in zip(names, counts.tolist(), furthest.tolist(), strict=True):
        shapes = f"{count:,} shape{'s' if count > 1 else ''} "
        far = f"{pixels:,.1f}" if pixels < 1e9 else f"{pixels:.0e}"
        log.add(code, severity, path, shapes + text.format(pixels=far), remedy)


def _cut(annotations: pa.Table, cut: Marks, size: Floats) -> pa.Table:
    """The annotations with those that `cut` marks, boxes and polygons, cut at the borders of their images, in the same
    order. What a source said of their areas goes.
    """
    at = np.flatnonzero(cut)
    mine = annotations.filter(pa.array(cut))
    rings = geometry.clip_rings(geometry.open_rings(mine["rings"]), size[at])
    boxes = geometry.clip(geometry.boxes(mine["bbox"]), size[at])
    shaped = mine["kind"].to_numpy() == Kind.POLYGON
    boxes[shaped] = geometry.ring_envelopes(rings, len(at))[shaped]
    counts = np.bincount(rings.owner, minlength=len(at))
    columns = {
        "bbox": geometry.box_column(boxes),
        "rings": geometry.ring_column(rings.values, np.diff(rings.offsets), counts, ~shaped),
        "area": pa.nulls(len(at), pa.float64()),
    }
    for name, values in columns.items():
        mine = mine.set_column(mine.schema.get_field_index(name), mine.schema.field(name), values)
    order = np.argsort(np.concatenate([np.flatnonzero(~cut), at]), kind="stable")
    return pa.concat_tables([annotations.filter(pa.array(~cut)), mine]).take(pa.array(order))
