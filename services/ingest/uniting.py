"""Unites the annotations of images that two tables have, by columns: files of several tasks become one dataset.

An annotation that the image has already, whatever its id and group, is not added again. Ids that are taken give way,
and groups of what is added are counted on, since two tools number theirs alike.
"""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from framehouse.annotations.fingerprints import COMPARED, annotation_hashes
from framehouse.annotations.geometry import lengths, starts
from framehouse.annotations.schema import ANNOTATION_COLUMNS

Integers = NDArray[np.int64]
Lists = Mapping[str, pa.Array]
"""Columns of lists, one row an image."""

IDENTITY = [name for name in COMPARED if name != "group"]
"""The columns in which an annotation that is there already is the same."""
ROW = np.uint64(0x9E3779B97F4A7C15)
"""What a row is multiplied by, so that numbers of different rows differ."""


def unite(old: Lists, new: Lists) -> dict[str, pa.Array]:
    """The annotations of the same images in two tables: of each image the old ones, and after them those that it lacks.

    Labels are known by the same numbers in both.
    """
    counts = lengths(old["kind"]), lengths(new["kind"])
    images = len(counts[0])
    old_row, new_row = (np.repeat(np.arange(images), each) for each in counts)
    twin, repeated = _found(
        _keys(annotation_hashes(old, IDENTITY), old_row), _keys(annotation_hashes(new, IDENTITY), new_row)
    )
    flat = {name: (old[name].flatten(), new[name].flatten()) for name in ANNOTATION_COLUMNS}
    flat["group"] = _groups(*flat["group"], old_row, new_row, twin, repeated, images)
    old_id, new_id = (column.to_numpy(zero_copy_only=False) for column in flat["annotation_id"])
    flat["annotation_id"] = (
        flat["annotation_id"][0],
        pa.array(_ids(old_id, new_id, old_row, new_row, ~repeated, images)),
    )
    added = np.flatnonzero(~repeated)
    rows = np.concatenate([old_row, new_row[added]])
    order = pa.array(np.argsort(rows, kind="stable"))
    offsets = pa.array(starts(np.bincount(rows, minlength=images)).astype(np.int32))
    return {
        name: pa.ListArray.from_arrays(offsets, pa.concat_arrays([before, after.take(pa.array(added))]).take(order))
        for name, (before, after) in flat.items()
    }


def _keys(values: NDArray[np.uint64], rows: Integers) -> NDArray[np.uint64]:
    return values + ROW * rows.astype(np.uint64)


def _found(keys: NDArray[np.uint64], wanted: NDArray[np.uint64]) -> tuple[Integers, NDArray[np.bool_]]:
    """Where each wanted key is, and whether it is."""
    if not len(keys):
        return np.zeros(len(wanted), np.int64), np.zeros(len(wanted), bool)
    order = np.argsort(keys, kind="stable")
    at = order[np.minimum(np.searchsorted(keys, wanted, sorter=order), len(keys) - 1)]
    return at, keys[at] == wanted


def _groups(
    old: pa.Array,
    new: pa.Array,
    old_row: Integers,
    new_row: Integers,
    twin: Integers,
    repeated: NDArray[np.bool_],
    images: int,
) -> tuple[pa.Array, pa.Array]:
    """The groups of both. What is there already, without a group, is in that of its twin."""
    before, after = (column.fill_null(0).to_numpy(zero_copy_only=False).copy() for column in (old, new))
    has, have = (column.is_valid().to_numpy(zero_copy_only=False).copy() for column in (old, new))
    top = np.full(images, -1, np.int64)
    np.maximum.at(top, old_row[has], before[has])
    after += top[new_row] + 1
    joins = np.flatnonzero(repeated & have & ~has[twin] if len(twin) and len(has) else np.zeros(len(new_row), bool))
    before[twin[joins]] = after[joins]
    has[twin[joins]] = True
    return pa.array(before, mask=~has), pa.array(after, mask=~have)


def _ids(
    old: Integers, new: Integers, old_row: Integers, new_row: Integers, added: NDArray[np.bool_], images: int
) -> Integers:
    """The ids of what is added: as they are where they are free in the image, else the next ones above all."""
    _, there = _found(_keys(old.view(np.uint64), old_row), _keys(new.view(np.uint64), new_row))
    taken = there & added
    top = np.full(images, -1, np.int64)
    np.maximum.at(top, old_row, old)
    np.maximum.at(top, new_row, new)
    number = np.cumsum(taken)
    before = np.concatenate([[0], number])[starts(np.bincount(new_row, minlength=images))[:-1]]
    result: Integers = np.where(taken, top[new_row] + number - before[new_row], new)
    return result
