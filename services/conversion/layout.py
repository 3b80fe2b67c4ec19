"""Where things lie in an archive: names of images, splits, folders; and how images fall into shards.

An image's path is its name below the folders of images and split. Where two splits of a dataset would share a path, the
split stays before it (`train/1.jpg`, `val/1.jpg`); `targets` is the inverse of that.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from framehouse.annotations.geometry import Integers
from framehouse.annotations.plan import PLAN_FIELDS
from framehouse.annotations.splits import SPELLINGS
from framehouse.v1.conversion_pb2 import Loss
from services.conversion.archive import Archive

BARE_FACTOR = 4
"""How many times as many images a shard has that have no bytes: media has nothing to do there."""
SHARDS = 4
"""Shards that are wanted of any dataset, so that all processes have some to work on."""
LARGER = 32
"""How many times as many images a shard has where none is decoded: a step costs as much as some hundred."""
LARGER_WITH_SHAPES = 8
"""The same where polygons or masks are read, which take ten times the memory of boxes."""


def shard_images(images: int, most: int, *, shapes: bool) -> int:
    """How many of `images` a shard has where none is decoded, for `most` where they are. `shapes`: whether more than
    boxes is read.
    """
    return max(most, min(images // SHARDS, (LARGER_WITH_SHAPES if shapes else LARGER) * most))


RANGE_COLUMNS = ("object", "header_offset", "data_offset", "stored_size", "size", "method", "crc32")


def find(names: pa.Array, files: pa.Array, folders: Sequence[str]) -> Integers:
    """Position in `files` of each name, -1 for none.

    A name is looked for in each of `folders` in turn, then as the end of a path, where only one file ends so; then
    again without its first component, for it may be a path of another machine.
    """
    result = np.full(len(names), -1)
    names = tidy(names)
    while len(names):
        look_up(result, names, files, folders)
        _look_up_ends(result, names, files)
        missing = result < 0
        deeper = pc.match_substring(names, "/").to_numpy(zero_copy_only=False)
        if not (missing & deeper).any():
            break
        # What is found, and what has no folder left, is not looked for again: no file has an empty name.
        shorter = pc.replace_substring_regex(names, r"^[^/]*/", "")
        names = pc.if_else(pa.array(missing & deeper), shorter, "")
    return result


def tidy(names: pa.Array) -> pa.Array:
    """Names as a label file says them, with `/` between folders, relative, and without a way out."""
    forward = pc.replace_substring(names, "\\", "/")
    return pc.replace_substring_regex(forward, r"^(?:\.{0,2}/|[A-Za-z]:/)+|(?:^|/)\.{1,2}(?:/|$)", "")


def look_up(result: Integers, names: pa.Array, files: pa.Array, folders: Sequence[str]) -> None:
    """Sets the position in `files` of each name that has none yet and lies in one of the folders, the first before."""
    for folder in folders:
        _look_up(result, names, files, f"{folder}/" if folder else "")


def _look_up(result: Integers, names: pa.Array, files: pa.Array, prefix: str) -> None:
    missing = np.flatnonzero(result < 0)
    if len(missing):
        wanted = pc.binary_join_element_wise(prefix, names.take(pa.array(missing)), "")
        result[missing] = pc.fill_null(pc.index_in(wanted, files), -1).to_numpy(zero_copy_only=False)


def _look_up_ends(result: Integers, names: pa.Array, files: pa.Array) -> None:
    missing = np.flatnonzero(result < 0)
    if not len(missing) or not len(files):
        return
    slashes = pc.count_substring(names, "/").to_numpy(zero_copy_only=False)
    free = np.setdiff1d(np.arange(len(files)), result)
    for depth in np.unique(slashes[missing]).tolist():
        ends = pc.replace_substring_regex(files.take(pa.array(free)), rf"^(?:.*/)?((?:[^/]*/){{{depth}}}[^/]+)$", r"\1")
        groups = pc.value_counts(ends)
        unique = groups.field("values").filter(pc.equal(groups.field("counts"), 1))
        rows = missing[slashes[missing] == depth]
        wanted = names.take(pa.array(rows))
        # Two names must not take one file only because both end so.
        once = pc.value_counts(wanted)
        once = once.field("values").filter(pc.equal(once.field("counts"), 1))
        at = pc.fill_null(pc.index_in(wanted, ends), -1).to_numpy(zero_copy_only=False)
        good = pc.and_(pc.is_in(wanted, unique), pc.is_in(wanted, once)).to_numpy(zero_copy_only=False) & (at >= 0)
        result[rows[good]] = free[at[good]]


def below_split(paths: pa.Array) -> tuple[pa.Array, list[str]]:
    """Names below the folders of images and split, and the name of the split's folder (empty for none).

    Knows `images/train/a.jpg`, `train/images/a.jpg` and `train/a.jpg`, at any depth of nesting.
    """
    rest, folders = paths, [""] * len(paths)
    spelled = "|".join(spelling for spellings in SPELLINGS.values() for spelling in spellings)
    for pattern in (
        rf"(?i)^(?:.*/)?images/(?P<split>(?:{spelled})[-_.]?\d*)/(?P<rest>.+)$",
        rf"(?i)^(?:.*/)?(?P<split>(?:{spelled})[-_.]?\d*)/images/(?P<rest>.+)$",
        rf"(?i)^(?:[^/]*/)??(?P<split>(?:{spelled})[-_.]?\d*)/(?P<rest>.+)$",
        r"(?i)^(?:.*?/)??(?P<split>)images/(?P<rest>.+)$",
    ):
        found = pc.extract_regex(rest, pattern)
        matched = pc.and_(found.is_valid(), pa.array([not folder for folder in folders], pa.bool_()))
        matched = pc.and_(matched, pc.equal(rest, paths))
        if pc.any(matched).as_py():
            rest = pc.if_else(matched, pc.struct_field(found, "rest"), rest)
            split = pc.fill_null(pc.if_else(matched, pc.struct_field(found, "split"), ""), "").to_pylist()
            folders = [new or old for new, old in zip(split, folders, strict=True)]
    return rest, folders


def identities(names: pa.Array, splits: pa.Array, entries: pa.Array) -> pa.Array:
    """Paths that are unique: the names, with the split before those that occur again in another split.

    What even then occurs twice keeps its whole path in the archive, where it has one.
    """
    for _ in range(3):
        twice = _repeated(names)
        if not twice.any():
            return names
        prefixed = pc.binary_join_element_wise(pc.if_else(pc.equal(splits, ""), "unsplit", splits), names, "/")
        names = pc.if_else(pa.array(twice), prefixed, names)
    return pc.if_else(pa.array(_repeated(names)), pc.coalesce(entries, names), names)


def targets(paths: pa.Array, splits: pa.Array, folders: pa.Array) -> pa.Array:
    """Names below the split's folder that images are written under, unique in their folder: the paths, without the
    split before those that `identities` put it before.
    """
    marks = pc.binary_join_element_wise(pc.if_else(pc.equal(splits, ""), "unsplit", splits), "", "/")
    rest = paths
    for mark in pc.unique(marks).to_pylist():
        here = pc.and_(pc.equal(marks, mark), pc.starts_with(paths, mark))
        if pc.any(here).as_py():
            rest = pc.if_else(here, pc.utf8_slice_codeunits(paths, len(mark)), rest)
    shared = _repeated(rest)
    apart = ~_repeated(pc.binary_join_element_wise(folders, rest, "/"))
    return pc.if_else(pa.array(shared & apart), rest, paths)


def _repeated(values: pa.Array) -> NDArray[np.bool_]:
    codes = values.dictionary_encode().indices.to_numpy()
    repeated: NDArray[np.bool_] = np.bincount(codes, minlength=1)[codes] > 1
    return repeated


def plan_table(archive: Archive, rows: Integers, columns: dict[str, pa.Array]) -> pa.Table:
    """A read plan's columns: those of the archive's `rows` (-1: no bytes), and the given ones, one value an image.

    Columns of the plan that are not given are null; given ones that a plan does not know are kept.
    """
    at = pa.array(np.where(rows < 0, 0, rows), mask=rows < 0)
    entries = archive.entries.select(["path", *RANGE_COLUMNS, "frame"]).take(at)
    entries = entries.rename_columns(["entry_path", *RANGE_COLUMNS, "frame"])
    given = {name: entries[name].combine_chunks() for name in entries.column_names} | columns
    missing = {field.name: pa.nulls(len(rows), field.type) for field in PLAN_FIELDS if field.name not in given}
    table = pa.table(missing | given)
    own = [name for name in table.column_names if name not in {field.name for field in PLAN_FIELDS}]
    schema = pa.schema([*PLAN_FIELDS, *(table.schema.field(name) for name in own)])
    return table.select(schema.names).cast(schema)


def in_archive_order(images: pa.Table) -> pa.Table:
    """Images as their bytes lie in the archive; those without bytes last, in their own order."""
    place = pa.table(
        {
            "absent": images["object"].is_null(),
            "object": images["object"],
            "offset": pc.max_element_wise(images["header_offset"], images["data_offset"]),
            "row": pa.array(np.arange(images.num_rows)),
        }
    )
    keys = [(name, "ascending") for name in place.column_names]
    return images.take(pc.sort_indices(place, keys)).combine_chunks()


def shard_starts(images: pa.Table, max_images: int, max_bytes: int) -> list[int]:
    """Rows at which shards begin, and the number of rows: at most so many images and bytes each, but one at least."""
    count = images.num_rows
    sizes = pc.fill_null(images["stored_size"], 0).to_numpy()
    ends = np.cumsum(sizes)
    absent = int(pc.sum(images["object"].is_null()).as_py() or 0)
    result = [0]
    while result[-1] < count:
        start = result[-1]
        budget = (ends[start] - sizes[start]) + max_bytes
        full = int(np.searchsorted(ends, budget, side="right"))
        stop = min(start + max_images, max(full, start + 1), count)
        # Images without bytes have shards of their own, and larger ones.
        if start >= count - absent:
            stop = min(start + BARE_FACTOR * max_images, count)
        elif count - absent < stop:
            stop = count - absent
        result.append(stop)
    return result


def label_files(target: pa.Array, label_of: Callable[[pa.Array], pa.Array]) -> tuple[pa.Array, pa.Array, list[Loss]]:
    """Where images go, renamed where two would share a label file; the label files; and what changes by that."""
    label = label_of(target)
    losses: list[Loss] = []
    codes = label.dictionary_encode().indices.to_numpy()
    first = np.zeros(len(codes), bool)
    first[np.unique(codes, return_index=True)[1]] = True
    if not first.all():
        # `1.jpg` and `1.png` would share `1.txt`.
        renamed = pc.replace_substring_regex(target, r"\.([^./]*)$", r"_\1.\1")
        target = pc.if_else(pa.array(first), target, renamed)
        label = label_of(target)
        count = int((~first).sum())
        text = f"{count} images whose names differ by extension alone are renamed, `1.png` to `1_png.png`"
        losses.append(Loss(code="NAME_CHANGED", subject="image names", image_count=count, fallback=text))
    return target, label, losses


def write_starts(weights: Integers, max_images: int, max_weight: int) -> list[int]:
    """Images at which the steps of writing begin, and their number: at most so many images and so much weight each, but
    one image at least. `weights` say how much each image takes.
    """
    ends = np.cumsum(weights)
    result = [0]
    while (start := result[-1]) < len(ends):
        full = int(np.searchsorted(ends, ends[start] - weights[start] + max_weight, side="right"))
        result.append(min(start + max_images, max(full, start + 1), len(ends)))
    return result
