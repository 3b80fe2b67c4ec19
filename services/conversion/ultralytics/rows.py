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
from framehouse.store.issues import IssueLog
from services.conversion import columns
from services.conversion.format import LabelSource
from services.conversion.ultralytics.finding import Rows

ROUNDING = 1e-6
"""How far a number may leave 0 to 1, and how far an edge of a box may, before anything is said."""


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
    runs = rows.runs
    widths = np.diff(runs.offsets)
    fits = (widths == 5) | (widths == 6) | ((widths >= 7) & (widths % 2 == 1))
    wanted = "a box has 5 (class cx cy w h), a polygon 7 or more (class x1 y1 x2 y2 …)"
    good = usable(rows, len(source.labels.labels), fits, wanted, issues)
    size = sizes(source)

    box_rows, relative = boxes(rows, good[widths[good] <= 6], issues)
    scored = widths[box_rows] == 6
    score = np.full(len(box_rows), np.nan)
    score[scored] = runs.values[runs.offsets[:-1][box_rows[scored]] + 5]
    image = rows.images[runs.item[box_rows]]
    found = Shapes(box_rows, Kind.BOX, relative * np.tile(size[image], 2), score=score)

    shape_rows = good[widths[good] >= 7]
    counts = widths[shape_rows] - 1
    values = runs.values[geometry.spread(runs.offsets[:-1][shape_rows] + 1, counts)]
    wrong = (values < -ROUNDING) | (values > 1 + ROUNDING)
    leaves = np.bincount(np.repeat(np.arange(len(counts)), counts), wrong, len(counts)) > 0
    rows.report(issues, "BOX_OUTSIDE", shape_rows[leaves], "the polygon leaves the image", "correct the row")
    values, shape_rows, counts = values[np.repeat(~leaves, counts)], shape_rows[~leaves], counts[~leaves]
    scales = np.repeat(size[rows.images[runs.item[shape_rows]]], counts // 2, axis=0).reshape(-1)
    rings = Rings(values * scales, geometry.starts(counts), np.arange(len(counts)))
    polygons = Shapes(shape_rows, Kind.POLYGON, geometry.ring_envelopes(rings, len(counts)), rings)
    return assemble(source, rows, [found, polygons])


def sizes(source: LabelSource) -> Floats:
    """(width, height) of the images of a shard."""
    assert source.media is not None
    size = [source.media[name].to_numpy(zero_copy_only=False) for name in ("width", "height")]
    return np.stack(size, axis=1).astype(float)


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
