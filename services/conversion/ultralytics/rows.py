"""Rows of Ultralytics label files to annotations: what all tasks check alike, and the shapes that rows can be.

Coordinates are relative to the upright image. What cannot be meant becomes an issue with file and line.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from framehouse.annotations import geometry
from framehouse.annotations.geometry import Floats, Integers, Rings
from framehouse.annotations.schema import Kind
from framehouse.store.issues import INFO, WARNING, IssueLog
from services.conversion import columns
from services.conversion.format import LabelSource
from services.conversion.ultralytics.finding import Rows

ROUNDING = 1e-6
"""How far a number may leave 0 to 1, and how far an edge of a box may, before anything is said."""
REACH = 1.0
"""How far beyond the image, in images, a turned box may reach; further out the numbers are no relative ones."""
RECTANGLE_PIXELS = 1.0
"""How far a corner may be from the rectangle's before it is told."""


@dataclass
class Shapes:
    """Annotations of one kind that rows became."""

    rows: Integers
    """The row of each, ascending."""
    kind: Kind
    boxes: Floats
    """(n, 4), in pixels."""
    rings: Rings | None = None
    rotation: Floats | None = None
    visibility: NDArray[np.int8] | None = None
    """(n, k)."""
    score: Floats | None = None
    """NaN for none."""


def usable(rows: Rows, classes: int, fits: NDArray[np.bool_], wanted: str, issues: IssueLog) -> Integers:
    """The rows with a number of fields that `fits` marks, one for each row, and with a class that exists. Empty lines
    are no rows.
    """
    runs = rows.runs
    widths = np.diff(runs.offsets)
    there = widths > 0
    bad = np.flatnonzero(there & ~fits)
    texts = [f"the row has {width} numbers; {wanted}" for width in widths[bad].tolist()]
    rows.report(issues, "LABEL_FIELD_COUNT", bad, texts, "correct or remove the row")
    good = np.flatnonzero(there & fits)
    label = runs.values[runs.offsets[good]]
    exists = (label >= 0) & (label < classes) & (label == np.floor(label))
    texts = [f"class {value:g} does not exist; there are {classes}, from 0" for value in label[~exists].tolist()]
    rows.report(issues, "LABEL_CLASS_UNKNOWN", good[~exists], texts, "add the class to data.yaml, or correct the row")
    result: Integers = good[exists]
    return result


def matrix(rows: Rows, at: Integers, first: int, count: int) -> Floats:
    """`count` numbers of each of some rows from their field `first` on, as (n, count)."""
    result: Floats = rows.runs.values[rows.runs.offsets[:-1][at][:, None] + np.arange(first, first + count)]
    return result


def boxes(rows: Rows, at: Integers, issues: IssueLog) -> tuple[Integers, Floats]:
    """Rows that hold a box in their fields 1 to 4, and the boxes, (n, 4), relative: x, y of the corner, size."""
    relative = matrix(rows, at, 1, 4)
    outside = ((relative < -ROUNDING) | (relative > 1 + ROUNDING)).any(axis=1)
    texts = [
        f"the box {cx:g} {cy:g} {w:g} {h:g} leaves the image; the numbers are relative to it, from 0 to 1"
        for cx, cy, w, h in relative[outside].tolist()
    ]
    rows.report(issues, "BOX_OUTSIDE", at[outside], texts, "divide by the image's width and height, or correct the row")
    empty = ~outside & (relative[:, 2:] <= 0).any(axis=1)
    rows.report(issues, "BOX_EMPTY", at[empty], "the box has no width or no height", "correct or remove the row")
    low = relative[:, :2] - relative[:, 2:] / 2
    kept = ~outside & ~empty
    return at[kept], np.concatenate([low, relative[:, 2:]], axis=1)[kept]


def boxes_and_polygons(source: LabelSource, rows: Rows, issues: IssueLog) -> pa.Table:
    """Rows of five numbers are boxes, of six boxes with a score, of seven or more (odd) polygons."""
    widths = np.diff(rows.runs.offsets)
    fits = (widths == 5) | (widths == 6) | ((widths >= 7) & (widths % 2 == 1))
    wanted = "a box has 5 (class cx cy w h), a polygon 7 or more (class x1 y1 x2 y2 …)"
    good = usable(rows, len(source.labels.labels), fits, wanted, issues)
    size = sizes(source, rows)
    boxed = upright_boxes(rows, good[widths[good] <= 6], size, issues)
    return assemble(source, rows, [boxed, polygons(rows, good[widths[good] >= 7], size, issues)])


def upright_boxes(rows: Rows, at: Integers, size: Floats, issues: IssueLog) -> Shapes:
    """Rows of five numbers as boxes, and of six as boxes with a score.

    Here and below, `at` are the rows that are meant, and `size` (n, 2) is the size in pixels of the image of each of
    all `rows`.
    """
    at, relative = boxes(rows, at, issues)
    return Shapes(at, Kind.BOX, relative * np.tile(size[at], 2), score=_scores(rows, at, 5))


def polygons(rows: Rows, at: Integers, size: Floats, issues: IssueLog) -> Shapes:
    """Rows of a class and the coordinates of points as polygons of one ring."""
    counts = np.diff(rows.runs.offsets)[at] - 1
    values = rows.runs.values[geometry.spread(rows.runs.offsets[:-1][at] + 1, counts)]
    wrong = (values < -ROUNDING) | (values > 1 + ROUNDING)
    leaves = np.bincount(np.repeat(np.arange(len(counts)), counts), wrong, len(counts)) > 0
    rows.report(issues, "BOX_OUTSIDE", at[leaves], "the polygon leaves the image", "correct the row")
    values, at, counts = values[np.repeat(~leaves, counts)], at[~leaves], counts[~leaves]
    scales = np.repeat(size[at], counts // 2, axis=0).reshape(-1)
    rings = Rings(values * scales, geometry.starts(counts), np.arange(len(counts)))
    return Shapes(at, Kind.POLYGON, geometry.ring_envelopes(rings, len(counts)), rings)


def turned_boxes(rows: Rows, at: Integers, size: Floats, issues: IssueLog) -> Shapes:
    """Rows of a class, four corners in any order around, and perhaps a score, as turned boxes."""
    relative = matrix(rows, at, 1, 8)
    far = ((relative < -REACH) | (relative > 1 + REACH)).any(axis=1)
    text = "the box lies far outside of the image; the numbers are relative to it, from 0 to 1"
    rows.report(issues, "BOX_OUTSIDE", at[far], text, "divide by the image's width and height, or correct the row")
    at, relative = at[~far], relative[~far]
    points = relative.reshape(-1, 4, 2) * size[at][:, None]
    found, degrees = geometry.rotated_boxes(points)
    empty = ~(found[:, 2:] > 0).all(axis=1)
    rows.report(issues, "BOX_EMPTY", at[empty], "the box has no width or no height", "correct or remove the row")
    at, points, found, degrees = at[~empty], points[~empty], found[~empty], degrees[~empty]
    # Each given corner against the nearest one of the rectangle that was read.
    away = np.sqrt(((points[:, :, None] - geometry.corners(found, degrees)[:, None]) ** 2).sum(axis=3))
    skewed = at[away.min(axis=2).max(axis=1, initial=0) > RECTANGLE_PIXELS]
    text = "the four corners are no rectangle; the smallest one around them was taken"
    remedy = "nothing, unless the corners were meant; as a polygon, of ultralytics-segment, they are kept"
    rows.report(issues, "BOX_NOT_RECTANGULAR", skewed, text, remedy, INFO)
    return Shapes(at, Kind.ROTATED_BOX, found, rotation=degrees, score=_scores(rows, at, 9))


def skeletons(rows: Rows, at: Integers, size: Floats, keypoints: tuple[int, int], issues: IssueLog) -> list[Shapes]:
    """Rows of a class, a box, and keypoints, of which `keypoints` says how many there are and how many numbers each has
    (2 or 3), as skeletons; rows of five numbers as boxes whose keypoints nobody marked.
    """
    count, numbers = keypoints
    at, relative = boxes(rows, at, issues)
    found = relative * np.tile(size[at], 2)
    alone = np.diff(rows.runs.offsets)[at] == 5
    plain = Shapes(at[alone], Kind.BOX, found[alone])
    at, found = at[~alone], found[~alone]
    points = matrix(rows, at, 5, count * numbers).reshape(len(at), count, numbers)
    if numbers == 3:
        given = points[:, :, 2]
        odd = ~np.isin(given, (0, 1, 2))
        visibility = np.where(odd, 2, given).astype(np.int8)
        text = "a visibility is not 0, 1 or 2; it was taken for 2"
        rows.report(issues, "KEYPOINT_INVALID", at[odd.any(axis=1)], text, "correct the row", WARNING)
    else:
        visibility = np.where((points < 0).any(axis=2), 0, 2).astype(np.int8)
    places = points[:, :, :2]
    beyond = ((places < -ROUNDING) | (places > 1 + ROUNDING)).any(axis=2) & (visibility > 0)
    text = "a keypoint lies outside of the image; it was kept as it is"
    rows.report(issues, "KEYPOINT_INVALID", at[beyond.any(axis=1)], text, "correct the row", WARNING)
    values = (places * size[at][:, None]).reshape(-1)
    rings = Rings(values, np.arange(len(at) + 1) * 2 * count, np.arange(len(at)))
    return [plain, Shapes(at, Kind.SKELETON, found, rings, visibility=visibility)]


def _scores(rows: Rows, at: Integers, field: int) -> Floats:
    """The number in a field of some rows; NaN for those that end before it."""
    scores = np.full(len(at), np.nan)
    there = np.diff(rows.runs.offsets)[at] > field
    scores[there] = rows.runs.values[rows.runs.offsets[:-1][at[there]] + field]
    return scores


def sizes(source: LabelSource, rows: Rows) -> Floats:
    """(width, height) in pixels of the image of each row."""
    assert source.media is not None
    size = [source.media[name].to_numpy(zero_copy_only=False) for name in ("width", "height")]
    return np.stack(size, axis=1).astype(float)[rows.images[rows.runs.item]]


def assemble(source: LabelSource, rows: Rows, shapes: list[Shapes]) -> pa.Table:
    """Shapes of several kinds as flat annotations, in the order of their rows."""
    runs = rows.runs
    counts = [len(one.rows) for one in shapes]
    row = np.concatenate([one.rows for one in shapes])
    order = np.argsort(row, kind="stable")
    row = row[order]
    rings = [one.rings or Rings(np.zeros(0), np.zeros(1, np.int64), np.zeros(0, np.int64)) for one in shapes]
    ring_column = geometry.ring_column(
        np.concatenate([one.values for one in rings]),
        np.concatenate([np.diff(one.offsets) for one in rings]),
        np.concatenate([np.bincount(one.owner, minlength=n) for one, n in zip(rings, counts, strict=True)]),
        np.repeat([one.rings is None for one in shapes], counts),
    )

    def numbers(name: str) -> pa.Array:
        values = [getattr(one, name) for one in shapes]
        filled = [np.full(n, np.nan) if value is None else value for value, n in zip(values, counts, strict=True)]
        joined = np.concatenate(filled)[order]
        return pa.array(joined, mask=np.isnan(joined))

    image = rows.images[runs.item[row]]
    return columns.annotations(
        image + source.first_row,
        annotation_id=np.arange(len(row)) - np.searchsorted(image, image) + 1,
        kind=np.repeat([int(one.kind) for one in shapes], counts)[order],
        label=runs.values[runs.offsets[:-1][row]].astype(np.int32),
        bbox=geometry.box_column(np.concatenate([one.boxes for one in shapes])[order]),
        rings=ring_column.take(pa.array(order)),
        rotation=numbers("rotation"),
        visibility=_visibility(shapes, counts).take(pa.array(order)),
        score=numbers("score"),
    )


def _visibility(shapes: list[Shapes], counts: list[int]) -> pa.Array:
    kind = pa.list_(pa.int8())
    parts = []
    for one, count in zip(shapes, counts, strict=True):
        if one.visibility is None:
            parts.append(pa.nulls(count, kind))
        else:
            offsets = np.arange(count + 1, dtype=np.int32) * one.visibility.shape[1]
            parts.append(pa.ListArray.from_arrays(pa.array(offsets), pa.array(one.visibility.reshape(-1), pa.int8())))
    return pa.concat_arrays(parts)
