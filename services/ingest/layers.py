"""Label files that speak of the same images, layer by layer: what a later one says again is kept once.

A box or an outline of a later layer with the id, the class and the box of a skeleton is the same object, where nothing
else that they say differs: the box is the skeleton's own, and the outline is of its group, with the complement of the
id, as COCO's keypoint records are read.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from framehouse.annotations import geometry
from framehouse.annotations.fingerprints import Hashes, annotation_hashes
from framehouse.annotations.geometry import Integers
from framehouse.annotations.schema import ANNOTATION_COLUMNS, Kind
from framehouse.store.issues import WARNING, IssueLog
from services.ingest.uniting import unite

OUTLINES = (Kind.POLYGON, Kind.MASK)
SHAPE = ("kind", "rings", "rle", "rle_size")
"""The columns in which outlines are the same."""
SAID = ("bbox", "area", "score", "attributes")
"""What a skeleton, and its outline, take from the other record of their object, where their own does not say it."""
TELLING = ("flags", "score", "attributes")
"""What two records of one object do not say differently."""
SAME_PLACE = 1.0
"""Pixels that two boxes of one object may differ by: tools round."""


def one_of(layers: Sequence[pa.Table], first_row: int, paths: pa.ChunkedArray, issues: IssueLog) -> pa.Table:
    """The flat annotations of all layers, from the one that counts most, as those of one.

    `paths` are the names of the images of rows `first_row` and on.
    """
    whole = layers[0]
    for layer in layers[1:]:
        *sides, told = _objects(whole, layer)
        rows, counts = np.unique(told - first_row, return_counts=True)
        for path, count in zip(paths.take(pa.array(rows)).to_pylist(), counts.tolist(), strict=True):
            objects = f"{count:,} objects have" if count > 1 else "1 object has"
            text = f"{objects} another outline in another file, which was left out"
            issues.add(
                "OUTLINE_REPEATED", WARNING, path, text, "correct one of the files, or import the right one alone"
            )
        united = unite(*(as_lists(side, first_row, len(paths))[0] for side in sides))
        columns = {name: united[name].flatten() for name in ANNOTATION_COLUMNS}
        image = np.repeat(np.arange(first_row, first_row + len(paths)), geometry.lengths(united["kind"]))
        columns["image"] = pa.array(image)
        whole = pa.table([columns[name] for name in whole.column_names], whole.column_names).cast(whole.schema)
    return whole


def as_lists(annotations: pa.Table, first_row: int, rows: int) -> tuple[dict[str, pa.Array], Integers]:
    """Flat annotations as one list a row for each column, and the number of annotations of each row.

    The order of the annotations of one image stays as it was.
    """
    image = annotations["image"].to_numpy() - first_row
    order = np.argsort(image, kind="stable")
    if not np.array_equal(order, np.arange(len(order))):
        annotations = annotations.take(order)
    counts = np.bincount(image, minlength=rows)
    offsets = pa.array(np.concatenate(([0], np.cumsum(counts))).astype(np.int32))
    lists = {name: pa.ListArray.from_arrays(offsets, annotations[name].combine_chunks()) for name in ANNOTATION_COLUMNS}
    return lists, counts


def _objects(old: pa.Table, new: pa.Table) -> tuple[pa.Table, pa.Table, Integers]:
    """The two layers, with what the new one says of objects that are skeletons in the old one moved to those; and the
    image of each outline that is left out, since its object has another one.
    """
    none = np.zeros(0, np.int64)
    kinds, label, ids, image = (_both(old, new, name) for name in ("kind", "label", "annotation_id", "image"))
    count = old.num_rows
    is_skeleton = kinds[:count] == Kind.SKELETON
    wanted = np.flatnonzero(np.isin(kinds[count:], (Kind.BOX, *OUTLINES)))
    if not is_skeleton.any() or not len(wanted):
        return old, new, none
    skeletons = np.flatnonzero(is_skeleton)
    at = _find(image, ids, skeletons, wanted + count)
    boxes = geometry.boxes(pa.concat_arrays([old["bbox"].combine_chunks(), new["bbox"].combine_chunks()]))
    apart = np.nan_to_num(np.abs(boxes[at] - boxes[wanted + count])).max(axis=1, initial=0) > SAME_PLACE
    same = np.flatnonzero((at >= 0) & (label[at] == label[wanted + count]) & ~apart)
    same = same[~_contradict(old.take(pa.array(at[same])), new.take(pa.array(wanted[same])))]
    # An object is there once; of several records with one id the others stay.
    skeleton, first = np.unique(at[same], return_index=True)
    mine = wanted[same[first]]
    if not len(mine):
        return old, new, none
    outlines = np.flatnonzero(np.isin(kinds[:count], OUTLINES))
    # Where the skeleton has an outline, that has the complement of its id.
    partner = _find(image, np.where(np.isin(np.arange(len(ids)), outlines), ~ids, ids), outlines, mine + count)
    is_outline = kinds[mine + count] != Kind.BOX
    twice = is_outline & (partner >= 0)
    differs = _shapes(old.take(pa.array(partner[twice]))) != _shapes(new.take(pa.array(mine[twice])))
    moves = is_outline & (partner < 0)
    old = _completed(old, new, mine, skeleton)
    old = _completed(old, new, mine[partner >= 0], partner[partner >= 0])
    group = old["group"].combine_chunks()
    grouped = np.zeros(count, bool)
    grouped[skeleton[moves]] = True
    old = _with(old, "group", pc.if_else(pa.array(grouped), pa.array(ids[:count]), group))
    moved = new.take(pa.array(mine[moves]))
    moved = _with(_with(moved, "group", moved["annotation_id"]), "annotation_id", pa.array(~ids[mine[moves] + count]))
    stays = np.ones(new.num_rows, bool)
    stays[mine] = False
    return pa.concat_tables([old, moved]), new.filter(pa.array(stays)), image[mine[twice][differs] + count]


def _both(old: pa.Table, new: pa.Table, name: str) -> Integers:
    values: Integers = np.concatenate([table[name].to_numpy() for table in (old, new)])
    return values


def _find(image: Integers, ids: Integers, known: Integers, wanted: Integers) -> Integers:
    """Which of the rows `known` has the image and the id of each of the rows `wanted`; -1 for none."""
    _, code = np.unique(ids, return_inverse=True)
    keys = image.astype(np.int64) * len(ids) + code
    order = known[np.argsort(keys[known], kind="stable")]
    if not len(order):
        return np.full(len(wanted), -1)
    place = np.minimum(np.searchsorted(keys[order], keys[wanted]), len(order) - 1)
    return np.where(keys[order[place]] == keys[wanted], order[place], -1)


def _contradict(old: pa.Table, new: pa.Table) -> NDArray[np.bool_]:
    """Which annotations of two tables, row by row, both say something that differs."""
    marks = np.zeros(old.num_rows, bool)
    for name in TELLING:
        differs = pc.not_equal(old[name].combine_chunks(), new[name].combine_chunks())
        marks |= pc.fill_null(differs, False).to_numpy(zero_copy_only=False)
    return marks


def _completed(old: pa.Table, new: pa.Table, mine: Integers, rows: Integers) -> pa.Table:
    """The old annotations, where `rows` of them lack what the rows `mine` of the new ones say of their objects."""
    for name in SAID:
        before, after = old[name].combine_chunks(), new[name].combine_chunks()
        place = np.arange(len(before))
        lacks = ~before.is_valid().to_numpy(zero_copy_only=False)[rows]
        place[rows[lacks]] = len(before) + mine[lacks]
        if lacks.any():
            old = _with(old, name, pa.concat_arrays([before, after]).take(pa.array(place)))
    return old


def _with(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    at = table.schema.get_field_index(name)
    return table.set_column(at, table.schema.field(at), values.cast(table.schema.field(at).type))


def _shapes(annotations: pa.Table) -> Hashes:
    """One number for each outline, the same where they are."""
    everything = pa.array([0, annotations.num_rows], pa.int32())
    columns = {
        name: pa.ListArray.from_arrays(everything, annotations[name].combine_chunks())
        for name in ("annotation_id", *SHAPE)
    }
    return annotation_hashes(columns, SHAPE)
