"""The shapes of COCO's annotation records as columns: boxes, polygons, run-length masks, keypoints.

A segmentation that is an object is a mask, one with rings is a polygon, else there is a box. `bbox` stays as the file
has it; where there is none, it is computed. The numbers of all records are parsed as one text.

Measured on 85 MB with 8.4 million coordinates: this way 0.6 s, pyarrow.json 0.8 s (and it can hold neither both kinds
of segmentation nor attributes), msgspec with typed lists 2.6 s.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from framehouse.annotations import geometry, masks
from framehouse.annotations.geometry import Floats, Integers
from framehouse.annotations.schema import Kind
from framehouse.store.issues import ERROR, WARNING
from services.conversion import numbers
from services.conversion.coco.records import Records
from services.conversion.mask_columns import Masks, mask_columns

Raw = msgspec.Raw
SHORT = 128
"""Bytes of a list of rings up to which it may be one without three points, as tools write numbers."""


class Mask(msgspec.Struct, gc=False):
    """A run-length mask, its counts as text."""

    counts: Raw
    size: tuple[int, int]


MASKS = msgspec.json.Decoder(list[Mask])


class Shapes(NamedTuple):
    """Boxes, polygons and masks of records."""

    columns: dict[str, Any]
    """Annotation columns: kind, bbox, rings, rle, rle_size."""
    has_outline: NDArray[np.bool_]
    """Which are polygons or masks."""
    usable: NDArray[np.bool_]
    """Which have any shape."""


class Keypoints(NamedTuple):
    """Keypoints of records."""

    columns: dict[str, Any]
    """Annotation columns: rings, visibility."""
    found: NDArray[np.bool_]
    """Which records have any that is there."""


def read_shapes(found: Records, excused: NDArray[np.bool_] | None = None) -> Shapes:
    """The shapes of records; one that has none is told, unless it is excused."""
    records, count = found.records, len(found)
    shapes = [record.segmentation for record in records]
    opening, sizes = _beginnings(shapes)
    is_list, is_object = opening == ord("["), opening == ord("{")
    boxes = read_boxes([record.bbox for record in records])
    without = np.asarray(np.isnan(boxes).any(axis=1))
    # A short list may have no ring; of longer ones nobody has to look.
    listed = without | found.wants_rings | (sizes < SHORT)
    packed = without | found.wants_masks
    rings = _read_rings(shapes, np.flatnonzero(is_list & listed), found)
    ring_counts = np.bincount(rings.owner, minlength=count)
    rle, rle_size, mask_boxes, is_mask = _read_masks(shapes, np.flatnonzero(is_object & packed), found)
    is_polygon = ring_counts > 0
    if not (listed & packed).all():
        is_polygon |= is_list & ~listed
        is_mask |= is_object & (sizes > len("[[]]")) & ~packed
    if without.any():
        computed = geometry.ring_envelopes(rings, count)
        computed = np.where(np.isnan(computed), mask_boxes, computed)
        boxes[without] = computed[without]
    shapeless = ~is_polygon & ~is_mask
    missing = np.isnan(boxes).any(axis=1)
    with np.errstate(invalid="ignore"):
        flat = (boxes[:, 2:] <= 0).any(axis=1)
    told = shapeless if excused is None else shapeless & ~excused
    for i in np.flatnonzero(told & missing).tolist():
        text = f"annotation {records[i].id} has neither a bbox of four numbers nor a segmentation"
        found.add("BOX_MISSING", ERROR, i, text, "give it a bbox: [x, y, width, height]")
    for i in np.flatnonzero(told & flat).tolist():
        text = f"the box of annotation {records[i].id} has no width or no height"
        found.add("BOX_EMPTY", ERROR, i, text, "correct or remove the annotation")
    columns = {
        "kind": np.select([is_mask, is_polygon], [int(Kind.MASK), int(Kind.POLYGON)], int(Kind.BOX)),
        "bbox": geometry.box_column(boxes),
        "rings": geometry.ring_column(rings.values, np.diff(rings.offsets), ring_counts, ring_counts == 0),
        "rle": rle,
        "rle_size": rle_size,
    }
    return Shapes(columns, ~shapeless, ~(shapeless & (missing | flat)))


def _beginnings(texts: Sequence[bytes]) -> tuple[NDArray[np.uint8], Integers]:
    """The first byte of each text, 0 where it has none, and the number of its bytes."""
    sizes = np.fromiter(map(len, texts), np.int64, len(texts))
    joined = np.frombuffer(b"".join([*texts, b"\0"]), np.uint8)
    return np.where(sizes > 0, joined[geometry.starts(sizes)[:-1]], 0), sizes


def _read_rings(shapes: Sequence[bytes], at: Integers, found: Records) -> geometry.Rings:
    """The rings of the shapes that are lists; one that is no ring is told and left out."""
    texts = [shapes[i] for i in at.tolist()]

    def tell(k: int) -> None:
        i = int(at[k])
        what = f"the segmentation of annotation {found.records[i].id} holds something that is no number"
        found.add("SEGMENTATION_INVALID", WARNING, i, what, "a ring is a list of x and y")

    runs = _parse(texts, tell)
    sizes = np.diff(runs.offsets)
    bad = (sizes > 0) & ((sizes < 6) | (sizes % 2 == 1))
    for k in np.flatnonzero(bad).tolist():
        i = int(at[runs.item[k]])
        what = (
            f"a ring of annotation {found.records[i].id} has {sizes[k]} numbers; three points have six. It was left out"
        )
        found.add("RING_TOO_SHORT", WARNING, i, what, "correct or remove the ring")
    good = (sizes > 0) & ~bad
    values = runs.values if not bad.any() else runs.values[np.repeat(good, sizes)]
    return geometry.Rings(values, geometry.starts(sizes[good]), at[runs.item[good]])


def _parse(texts: Sequence[bytes], tell: Any) -> numbers.Runs:
    """Lists of numbers; `tell` is called for each text that holds something else, which then counts as empty."""
    try:
        return numbers.parse(texts, b"]")
    except numbers.NotNumbers:
        mended = list(texts)
        for k, text in enumerate(texts):
            try:
                numbers.parse([text], b"]")
            except numbers.NotNumbers:
                tell(k)
                mended[k] = b"[]"
        return numbers.parse(mended, b"]")


def _read_masks(shapes: Sequence[bytes], at: Integers, found: Records) -> Masks:
    """The shapes that are masks."""
    decoded: list[Mask | None] = []
    try:
        decoded = list(MASKS.decode(b"[" + b",".join([shapes[i] for i in at.tolist()]) + b"]"))
    except msgspec.DecodeError:
        for i in at.tolist():
            try:
                decoded.append(msgspec.json.decode(shapes[i], type=Mask))
            except msgspec.DecodeError:
                decoded.append(None)
    counts = [bytes(mask.counts) if mask else b"" for mask in decoded]
    lists = np.array([text.startswith(b"[") for text in counts], bool)
    packed: list[bytes | None] = [None] * len(decoded)
    for k in np.flatnonzero([text.startswith(b'"') for text in counts]).tolist():
        packed[k] = msgspec.json.decode(counts[k], type=str).encode()
    encoded = _encode_lists([counts[k] for k in np.flatnonzero(lists).tolist()])
    for k, text in zip(np.flatnonzero(lists).tolist(), encoded, strict=True):
        packed[k] = text
    size = np.array([mask.size if mask else (0, 0) for mask in decoded], np.int64).reshape(-1, 2)
    read, bad = mask_columns(len(shapes), at, pa.array(packed, pa.binary()), size)
    for i in bad.tolist():
        what = f"the mask of annotation {found.records[i].id} does not fill its size, or cannot be read"
        found.add("MASK_INVALID", WARNING, i, what, "encode the mask again; its box was kept")
    return read


def _encode_lists(texts: list[bytes]) -> list[bytes | None]:
    """Run lengths as JSON lists, to compressed counts; None for what is no list of numbers."""
    if not texts:
        return []
    try:
        runs = numbers.parse(texts, b"]")
    except numbers.NotNumbers:
        return [None] * len(texts) if len(texts) == 1 else [_encode_lists([text])[0] for text in texts]
    sizes = np.bincount(runs.item, np.diff(runs.offsets), len(texts)).astype(np.int64)
    values = np.clip(runs.values, -(2.0**31), 2.0**31).astype(np.int64)
    encoded: list[bytes | None] = masks.encode(masks.Runs(values, geometry.starts(sizes))).to_pylist()
    return encoded


def read_boxes(texts: Sequence[bytes]) -> Floats:
    """Boxes (n, 4) of JSON lists of four numbers; NaN for anything else."""
    try:
        runs = numbers.parse(texts, b"]")
    except numbers.NotNumbers:
        single = [read_boxes([text]) for text in texts] if len(texts) > 1 else []
        return np.concatenate(single) if single else np.full((len(texts), 4), np.nan)
    result = np.full((len(texts), 4), np.nan)
    fits = (np.diff(runs.offsets) == 4) & (runs.ordinal == 0)
    result[runs.item[fits]] = runs.take(fits) if fits.any() else np.zeros((0, 4))
    return result


def read_keypoints(found: Records, expected: Integers) -> Keypoints:
    """The keypoints of records: x, y, visibility each, or x, y alone where that makes as many as `expected` (of each
    label). Where all are absent, there is nothing to keep.
    """
    count = len(found)
    texts = [bytes(record.keypoints) for record in found.records]
    texts = [text if text.startswith(b"[") else b"" for text in texts]

    def tell(i: int, what: str = "hold something that is no number") -> None:
        text = f"the keypoints of annotation {found.records[i].id} {what}; its box or outline was kept"
        found.add("KEYPOINTS_INVALID", WARNING, i, text, "keypoints are x, y and 0, 1 or 2, one after the other")

    runs = _parse(texts, tell)
    used = (runs.ordinal == 0) & (np.diff(runs.offsets) > 0)
    sizes = np.zeros(count, np.int64)
    begins = np.zeros(count, np.int64)
    sizes[runs.item[used]] = np.diff(runs.offsets)[used]
    begins[runs.item[used]] = runs.offsets[:-1][used]
    pairs = (sizes > 0) & (sizes == 2 * expected[found.label])
    bad = (sizes % 3 != 0) & ~pairs
    for i in np.flatnonzero(bad).tolist():
        tell(i, f"are {sizes[i]} numbers, which is no multiple of three")
    step = np.where(pairs, 2, 3)
    points = np.where(bad, 0, sizes // step)
    owner = np.repeat(np.arange(count), points)
    at = (
        np.repeat(begins, points)
        + (np.arange(len(owner)) - np.repeat(geometry.starts(points)[:-1], points)) * step[owner]
    )
    xy = np.stack([runs.values[at], runs.values[at + 1]], axis=1)
    seen = np.full(len(owner), 2.0)
    flagged = ~pairs[owner]
    seen[flagged] = runs.values[at[flagged] + 2]
    odd = ~np.isin(seen, (0, 1, 2))
    for i in np.unique(owner[odd]).tolist():
        text = f"a keypoint of annotation {found.records[i].id} has another visibility than 0, 1, 2; it was taken as 2"
        found.add("VISIBILITY_INVALID", WARNING, i, text, "0 is absent, 1 hidden, 2 visible")
    seen = np.where(odd, 2, seen)
    there = np.bincount(owner, (seen > 0) | (xy != 0).any(axis=1), count) > 0
    rings = geometry.ring_column(xy[there[owner]].reshape(-1), 2 * points[there], there.astype(np.int64), ~there)
    said = there & ~pairs
    visibility = pa.ListArray.from_arrays(
        pa.array(geometry.starts(np.where(said, points, 0)).astype(np.int32)),
        pa.array(seen[said[owner]].astype(np.int8)),
        mask=pa.array(~said),
    )
    return Keypoints({"rings": rings, "visibility": visibility}, there)
