"""One look at all annotations of what is to be written, a batch of images after the other.

What is lost, and how many there are, is counted on the way. Of the annotations themselves only those small columns stay
that a format prepares with: some ten bytes an annotation.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from lance import LanceDataset

from framehouse.annotations.class_changes import REMOVED, WITHOUT
from framehouse.annotations.geometry import Floats, Integers
from framehouse.annotations.labels import labels_of
from framehouse.annotations.scaling import scale
from framehouse.annotations.schema import Kind
from framehouse.runtime import jobs
from framehouse.v1.conversion_pb2 import Loss, WriteOptions
from framehouse.v1.dataset_pb2 import Task
from services.conversion import losses, pairs, selection, table_rows
from services.conversion.columns import flatten
from services.conversion.format import Format
from services.conversion.selection import Classes

BATCH_IMAGES = 2000
SHAPES = ("rings", "rle", "rle_size")
"""Columns that no scan looks at the coordinates of, and that are not scaled for it."""
FEW_NUMBERS = (Kind.TAG, Kind.BOX, Kind.ROTATED_BOX, Kind.ELLIPSE, Kind.CAPTION)


class Scanned(NamedTuple):
    """What is found of the annotations of some images."""

    annotations: pa.Table
    """Those that are written, flat: `image`, the place among the selected ones, kind, label, flags, the format's
    `plan_columns` and what its `scan` made."""
    selected: Integers
    """Places of the images that are written."""
    counts: Integers
    """Annotations of each of them."""
    outlined: Integers
    """How many of those have outlines, points or pixels."""
    used: Integers
    """Annotations of each class of the table, on these images, whether or not they are written."""
    lost: list[Loss]
    paired: bool
    """Whether there may be objects with a skeleton and an outline."""
    hides: bool
    """Whether some are not written since they are not in their image."""
    written: int
    """Annotations that are written, as one kind or another."""
    of_classes: list[int]
    """How many of them are of each class that is written."""


def scan(
    table: LanceDataset,
    at: Integers,
    images: pa.Table,
    factors: Floats | None,
    chosen: Format,
    options: WriteOptions,
    classes: Classes,
    task: Task,
) -> Scanned:
    """Looks at the annotations of the rows `at` of a table, ascending. `images` are the same rows, with their sizes as
    they are written; `factors` (n, 2) are what coordinates are to be multiplied by, None for nothing.
    """
    held = tuple(dict.fromkeys(("kind", "label", "flags", *chosen.plan_columns)))
    names = tuple(dict.fromkeys((*held, "group", *losses.COUNTED, *chosen.scan_columns)))
    label_map = np.append(classes.label_map, WITHOUT).astype(np.int32)
    used = np.zeros(len(labels_of(table.schema).labels) + 1, np.int64)
    other, outside, double, rest = (losses.Tally(classes.labels) for _ in range(4))
    found: list[pa.Table] = []
    selected, counts, outlined = ([np.zeros(0, np.int64)] for _ in range(3))
    paired, hides, written, of_classes = False, False, 0, np.zeros(len(classes.labels.labels), np.int64)
    first = place = 0
    for rows in table_rows.batches(table, at, list(names), BATCH_IMAGES):
        mine = images.slice(first, rows.num_rows)
        flat = flatten(rows, names)
        if factors is not None:
            flat = _scaled(flat, factors[first : first + rows.num_rows])
        before = flat["label"].to_numpy()
        label = label_map[before]
        kept, of_task = label > REMOVED, selection.of_task(flat["kind"].to_numpy(), task)
        gone = selection.hidden(flat["flags"].to_numpy(), chosen.holds)
        there = selection.annotated(options, mine["state"], flat["image"], kept & of_task & ~gone)
        image = np.full(rows.num_rows, -1)
        image[there] = np.arange(len(there))
        image = image[flat["image"].to_numpy()]
        stays = image >= 0
        used += np.bincount(before[stays] + 1, minlength=len(used))
        kept &= stays
        if len(there) < rows.num_rows:
            mine = mine.take(pa.array(there))
        flat = flat.set_column(0, "image", pa.array(image))
        if not np.array_equal(label, before):
            flat = flat.set_column(flat.schema.get_field_index("label"), "label", pa.array(label, pa.int32()))
        if not of_task.all():
            losses.hold_back(other, _reported(flat.filter(pa.array(kept & ~of_task))), task)
            kept &= of_task
        if (kept & gone).any():
            hides = True
            losses.hide(outside, _reported(flat.filter(pa.array(kept & gone))))
            kept &= ~gone
        if not kept.all():
            flat = flat.filter(pa.array(kept))
        kinds = flat["kind"].to_numpy()
        if (kinds == Kind.SKELETON).any() and flat["group"].is_valid().to_numpy().any():
            paired = True
            doubled = pairs.doubles(flat, chosen.holds)
            pairs.report(double, _reported(flat), doubled)
            flat = pairs.single(flat, doubled)
            kinds = flat["kind"].to_numpy()
        all_of_them = _reported(flat)
        losses.report(rest, chosen.holds, all_of_them)
        of_label = losses.class_counts(chosen.holds, all_of_them, classes.labels)
        written, of_classes = written + losses.written_count(chosen.holds, all_of_them), of_classes + of_label
        image = flat["image"].to_numpy()
        selected.append(there + first)
        counts.append(np.bincount(image, minlength=len(there)))
        outlined.append(np.bincount(image[~np.isin(kinds, FEW_NUMBERS)], minlength=len(there)))
        made = chosen.scan(mine, flat) if chosen.scan else {}
        columns = {name: flat[name].combine_chunks() for name in held} | made
        small = {name: _or_nulls(values) for name, values in columns.items()}
        found.append(pa.table({"image": pa.array((image + place).astype(np.int32)), **small}))
        first, place = first + rows.num_rows, place + len(there)
        jobs.report(first)
    whole = pa.concat_tables(found)
    del found
    # These are looked at again and again, which copies them where they lie in pieces.
    for column, name in enumerate(("image", "kind", "label", "flags")):
        whole = whole.set_column(column, name, whole[name].combine_chunks())
    return Scanned(
        whole,
        np.concatenate(selected),
        np.concatenate(counts),
        np.concatenate(outlined),
        used[1:],
        [*other.losses(), *outside.losses(), *double.losses(), *rest.losses()],
        paired,
        hides,
        written,
        of_classes.tolist(),
    )


def _scaled(flat: pa.Table, factors: Floats) -> pa.Table:
    shapes = [name for name in SHAPES if name in flat.column_names]
    scaled = scale(flat.drop_columns(shapes), factors[flat["image"].to_numpy()])
    for name in shapes:
        scaled = scaled.append_column(name, flat[name])
    return scaled


def _reported(annotations: pa.Table) -> losses.Annotations:
    """Annotations as the loss report looks at them."""
    image, kinds, label, flags = (annotations[name].to_numpy() for name in ("image", "kind", "label", "flags"))
    valued = {name: annotations[name].is_valid().to_numpy() for name in losses.COUNTED}
    return losses.Annotations(image, kinds, label, flags, valued)


def _or_nulls(column: pa.Array) -> pa.Array:
    """The same values. Where there are none, all such columns share the room that nulls take."""
    if not len(column) or column.null_count < len(column):
        return column
    return _nulls(column.type, 1 << (len(column) - 1).bit_length()).slice(0, len(column))


@lru_cache(maxsize=8)
def _nulls(type: pa.DataType, count: int) -> pa.Array:
    return pa.nulls(count, type)
