"""Compares two versions of a dataset: images by their ids, annotations by theirs in the same image, classes by name.

Nothing is read of what lies in the same files in both. What does not is compared by columns, in memory that does not
grow with the annotations.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from framehouse.annotations.fingerprints import annotation_hashes
from framehouse.annotations.schema import ANNOTATION_COLUMNS
from framehouse.runtime.errors import InvalidArgument
from framehouse.store.tables import rows_at
from framehouse.v1 import dataset_pb2
from services.ingest import datasets, versions
from services.ingest.catalogue import Catalogue
from services.ingest.columns import Array, Integers, Mask, Snapshot, leaves, snapshot

SHOWN = 100
"""Paths of each kind of difference."""
CHUNK_IMAGES = 8192
CHUNK_ANNOTATIONS = 1 << 17
"""What is compared at once, unless one image has more."""
CHUNKS_AT_ONCE = 2

IMAGE_COLUMNS = ("split", "state", "hash", "path")
COLUMNS = (*IMAGE_COLUMNS, *ANNOTATION_COLUMNS)
"""What makes an image another."""
ANY = np.uint32((1 << len(COLUMNS)) - (1 << len(IMAGE_COLUMNS)))
"""The bits of all columns of annotations; bit n is of the column n."""

Bits = NDArray[np.uint32]


class Pairs(NamedTuple):
    """Images that both have, in the order of the other one."""

    base: Integers
    """Rows of the base."""
    other: Integers
    """Rows of the other one."""
    bits: Bits
    """The columns that do not lie in the same files."""

    def some(self, places: Integers | Mask) -> "Pairs":
        """Those at the places."""
        return Pairs(self.base[places], self.other[places], self.bits[places])


class Classes(NamedTuple):
    """The classes of both, by name."""

    names: list[str]
    """Those of the other one, then those that it has not."""
    base: Integers
    """The place in `names` of each class of the base, and at the end that of no class."""
    other: Integers


@dataclass
class Tally:
    """Counts by class; the last is of annotations without one."""

    classes: int
    added: Integers = field(init=False)
    removed: Integers = field(init=False)
    changed: Integers = field(init=False)
    total: int = 0
    """Annotations that both have and that are not the same; by class, one of another class is added and removed."""

    def __post_init__(self) -> None:
        self.added, self.removed, self.changed = (np.zeros(self.classes + 1, np.int64) for _ in range(3))

    def count(self, kind: Integers, of: Integers) -> None:
        """Counts annotations of some classes."""
        kind += np.bincount(of, minlength=self.classes + 1)

    def differ(self, base: Integers, other: Integers) -> None:
        """Counts annotations that are of some classes in the base, and of the same or others in the other one."""
        self.total += len(base)
        same = base == other
        self.count(self.changed, base[same])
        self.count(self.removed, base[~same])
        self.count(self.added, other[~same])

    def add(self, more: "Tally") -> None:
        """Counts what somebody else has counted."""
        self.added += more.added
        self.removed += more.removed
        self.changed += more.changed
        self.total += more.total


def compare_versions(
    catalogue: Catalogue, request: dataset_pb2.CompareVersionsRequest
) -> dataset_pb2.CompareVersionsResponse:
    """What `DatasetService.CompareVersions` promises."""
    dataset = datasets.find(catalogue, request.parent, "parent")
    for name, number in (("base", request.base), ("other", request.other)):
        if number < (name == "base"):
            raise InvalidArgument(f"{name} is {number}, which is the number of no version", field=name)
    base, other = (versions.resolve(catalogue, dataset, number) for number in (request.base, request.other))
    return compare(snapshot(base.key, base.version), snapshot(other.key, other.version))


def compare(base: Snapshot, other: Snapshot) -> dataset_pb2.CompareVersionsResponse:
    """What is different from the base to the other one."""
    classes = _classes(base.labels, other.labels)
    tally = Tally(len(classes.names))
    pairs = _pairs(base, other)
    gone = _others(base.rows, pairs.base)
    new = _others(other.rows, pairs.other)
    for labels in _labels(base, gone):
        tally.count(tally.removed, classes.base[labels.values])
    for labels in _labels(other, new):
        tally.count(tally.added, classes.other[labels.values])
    lost, gained = int(tally.removed.sum()), int(tally.added.sum())

    changed = np.zeros(len(pairs.base), np.bool_)
    moved = _unequal_splits(base, other, pairs)
    changed |= moved
    for number, name in enumerate(IMAGE_COLUMNS[1:], 1):
        places = np.flatnonzero(pairs.bits >> number & 1)
        if len(places):
            changed[places] |= _unequal(base, other, name, pairs.some(places))
    changed |= _renamed(base, pairs, classes, tally)
    more, less = _compare_annotations(base, other, pairs, classes, tally, changed)

    response = dataset_pb2.CompareVersionsResponse()
    images = response.images
    images.added_count, images.removed_count = len(new), len(gone)
    images.changed_count, images.moved_count = int(changed.sum()), int(moved.sum())
    images.added.extend(_paths(other, new))
    images.removed.extend(_paths(base, gone))
    images.changed.extend(_paths(other, pairs.other[changed]))
    response.annotations.added_count = gained + more
    response.annotations.removed_count = lost + less
    response.annotations.changed_count = tally.total
    response.labels.extend(_label_differences(base, other, classes, tally))
    return response


# --- images


def _pairs(base: Snapshot, other: Snapshot) -> Pairs:
    """The images that both have, and which of their columns may differ."""
    there = {part.keys["id"]: part for part in base.parts}
    mine, theirs, rest = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], []
    for part in other.parts:
        same = there.pop(part.keys["id"], None)
        if same is None:
            rest.append(part)
        else:
            mine.append(np.arange(same.first, same.first + same.rows))
            theirs.append(np.arange(part.first, part.first + part.rows))
    left = list(there.values())
    if left and rest:
        rows = [
            np.concatenate([np.arange(part.first, part.first + part.rows) for part in some]) for some in (left, rest)
        ]
        ids = np.concatenate([read["id"] for read in (*base.read(["id"], left), *other.read(["id"], rest))])
        first, second = _twice(ids.view(np.uint64), len(rows[0]))
        mine.append(rows[0][first])
        theirs.append(rows[1][second])
    a, b = np.concatenate(mine), np.concatenate(theirs)
    order = np.argsort(b, kind="stable")
    return Pairs(a[order], b[order], _bits(base, other, a[order], b[order]))


def _twice(keys: NDArray[np.uint64], first: int) -> tuple[Integers, Integers]:
    """Of the first keys and of the others, counted from 0 each, those that are the same; keys are pairs of numbers."""
    order = np.lexsort((keys[:, 1], keys[:, 0]))
    found = keys[order]
    one, next = order[:-1], order[1:]
    same = (found[1:] == found[:-1]).all(axis=1) & (one < first) & (next >= first)
    return one[same], next[same] - first


def _bits(base: Snapshot, other: Snapshot, mine: Integers, theirs: Integers) -> Bits:
    """For each pair of rows, the columns that do not lie in the same files."""
    combined = _owners(base, mine) * max(len(other.parts), 1) + _owners(other, theirs)
    found, inverse = np.unique(combined, return_inverse=True)
    files_of_base, files_of_other = _files(base), _files(other)
    bits = np.zeros(len(found), np.uint32)
    for place, number in enumerate(found.tolist()):
        one, another = divmod(number, len(other.parts))
        a, b = files_of_base[one], files_of_other[another]
        # Rows of files that have other ids in them are others.
        is_other = [a["id"] != b["id"] or a[name] != b[name] for name in COLUMNS]
        bits[place] = sum(1 << number for number, differs in enumerate(is_other) if differs)
    each: Bits = bits[inverse.reshape(-1)]
    return each


def _files(table: Snapshot) -> list[dict[str, str]]:
    """For each part, the files that each column lies in, as text."""
    fields = {one.name(): leaves(one) for one in table.table.lance_schema.fields()}
    found = []
    for part in table.parts:
        metadata = part.fragment.metadata
        paths = [(file.path, file.fields) for file in metadata.files]
        files = {field: path for path, of in paths for field in of}
        laid_over = str(metadata.overlays or "")
        found.append(
            {
                name: " ".join((laid_over, *sorted({files.get(field, "") for field in fields[name]})))
                for name in ("id", *COLUMNS)
            }
        )
    return found


def _unequal_splits(base: Snapshot, other: Snapshot, pairs: Pairs) -> Mask:
    mask = np.zeros(len(pairs.base), np.bool_)
    places = np.flatnonzero(pairs.bits & 1)
    if len(places):
        (mine, names), (theirs, other_names) = base.strings("split"), other.strings("split")
        known = {name: number for number, name in enumerate(names)}
        as_mine = np.array([known.get(name, -1) for name in other_names], np.int32)
        mask[places] = mine[pairs.base[places]] != as_mine[theirs[pairs.other[places]]]
    return mask


def _unequal(base: Snapshot, other: Snapshot, name: str, pairs: Pairs) -> Mask:
    mine, theirs = _taken(base, name, pairs.base), _taken(other, name, pairs.other)
    unequal = mine != theirs
    mask: Mask = unequal.any(axis=1) if unequal.ndim > 1 else unequal
    return mask


def _taken(table: Snapshot, name: str, rows: Integers) -> Array:
    """A column of some rows, of which only those parts are read that have one."""
    owners = _owners(table, rows)
    numbers = np.unique(owners)
    parts = [table.parts[number] for number in numbers.tolist()]
    pieces = [read[name] for read in table.read([name], parts)]
    starts = np.cumsum([0, *(part.rows for part in parts)])
    places = rows - table.starts[owners] + starts[np.searchsorted(numbers, owners)]
    if pieces and isinstance(pieces[0], pa.Array):
        return np.asarray(pa.chunked_array(pieces).take(pa.array(places)).to_numpy())
    taken: Array = np.concatenate(pieces)[places]
    return taken


def _paths(table: Snapshot, rows: Integers) -> list[str]:
    few = rows[:SHOWN]
    return [str(path) for path in _taken(table, "path", few)] if len(few) else []


def _owners(table: Snapshot, rows: Integers) -> Integers:
    """The number of the part of each row."""
    owners: Integers = np.searchsorted(table.starts, rows, "right") - 1
    return owners


def _others(count: int, rows: Integers) -> Integers:
    """The rows that are not among these."""
    mask = np.ones(count, np.bool_)
    mask[rows] = False
    return np.flatnonzero(mask)


# --- annotations


class Labels(NamedTuple):
    """The labels of some rows of a part."""

    places: Integers
    """Which of the rows asked for they are of, ascending."""
    values: Integers


def _labels(table: Snapshot, rows: Integers) -> Iterator[Labels]:
    """The labels of rows, part by part."""
    owners = _owners(table, rows)
    for number in np.unique(owners).tolist():
        part = table.parts[number]
        asked = np.flatnonzero(owners == number)
        (read,) = table.read(["label"], [part])
        lists = read["label"]
        first = rows[asked] - part.first
        starts, ends = lists.offsets[first].astype(np.int64), lists.offsets[first + 1].astype(np.int64)
        counts = ends - starts
        at = np.repeat(starts - np.cumsum(counts) + counts, counts) + np.arange(int(counts.sum()))
        yield Labels(np.repeat(asked, counts), lists.values[at].astype(np.int64))


def _renamed(base: Snapshot, pairs: Pairs, classes: Classes, tally: Tally) -> Mask:
    """Images whose annotations lie in the same files and are of classes that have other names."""
    mask = np.zeros(len(pairs.base), np.bool_)
    both = min(len(classes.base), len(classes.other)) - 1
    renamed = np.zeros(len(classes.base), np.bool_)
    renamed[:both] = classes.base[:both] != classes.other[:both]
    if not renamed.any():
        return mask
    places = np.flatnonzero(pairs.bits & ANY == 0)
    for labels in _labels(base, pairs.base[places]):
        which = renamed[labels.values]
        found = labels.values[which]
        tally.differ(classes.base[found], classes.other[found])
        mask[places[labels.places[which]]] = True
    return mask


class Side(NamedTuple):
    """Annotations of some images."""

    image: Integers
    """Number of the pair."""
    id: Integers
    label: Integers
    """Place among the classes of both."""
    hash: NDArray[np.uint64]
    """Of what may differ."""

    def some(self, places: Integers) -> "Side":
        """Those at the places."""
        return Side(self.image[places], self.id[places], self.label[places], self.hash[places])


def _compare_annotations(
    base: Snapshot, other: Snapshot, pairs: Pairs, classes: Classes, tally: Tally, changed: Mask
) -> tuple[int, int]:
    """Compares annotations that do not lie in the same files; answers with how many were added, and removed."""
    added = removed = 0

    def one(chunk: tuple[Integers, list[str]]) -> tuple[Tally, Integers, int, int]:
        places, columns = chunk
        some = pairs.some(places)
        mine = _side(base, some.base, columns, classes.base)
        theirs = _side(other, some.other, columns, classes.other)
        counted = Tally(len(classes.names))
        images, more, less = _compare_sides(mine, theirs, counted)
        return counted, places[images], more, less

    with ThreadPoolExecutor(CHUNKS_AT_ONCE) as pool:
        for counted, places, more, less in pool.map(one, _chunks(base, other, pairs)):
            tally.add(counted)
            changed[places] = True
            added += more
            removed += less
    return added, removed


def _chunks(base: Snapshot, other: Snapshot, pairs: Pairs) -> Iterator[tuple[Integers, list[str]]]:
    """Runs of pairs, and the columns of annotations of which they may differ."""
    bits = pairs.bits & ANY
    for pattern in np.unique(bits[bits > 0]).tolist():
        names = [name for number, name in enumerate(COLUMNS) if pattern >> number & 1]
        places = np.flatnonzero(bits == pattern)
        some = pairs.some(places)
        counts = np.maximum(_taken(base, "annotations", some.base), _taken(other, "annotations", some.other))
        run = np.cumsum(counts, dtype=np.int64) // CHUNK_ANNOTATIONS
        bounds = np.flatnonzero((np.diff(run) > 0) | (np.arange(1, len(run)) % CHUNK_IMAGES == 0)) + 1
        for chunk in np.split(places, bounds):
            yield chunk, names


def _side(table: Snapshot, rows: Integers, columns: Sequence[str], classes: Integers) -> Side:
    hashed = [name for name in columns if name not in ("annotation_id", "label")]
    order = np.argsort(rows, kind="stable")
    read = rows_at(table.table, rows[order], ["annotation_id", "label", *hashed])
    lists = {name: read[name].combine_chunks() for name in read.column_names}
    counts = np.asarray(lists["label"].value_lengths()).astype(np.int64)
    return Side(
        np.repeat(order, counts),
        lists["annotation_id"].flatten().to_numpy(),
        classes[lists["label"].flatten().to_numpy()],
        annotation_hashes(lists, hashed),
    )


def _compare_sides(mine: Side, theirs: Side, tally: Tally) -> tuple[Integers, int, int]:
    """The images of which annotations differ, and how many were added, and removed."""
    lost, gained = np.zeros(0, np.int64), np.zeros(0, np.int64)
    if not (np.array_equal(mine.image, theirs.image) and np.array_equal(mine.id, theirs.id)):
        keys = np.concatenate([np.stack([side.image, side.id], axis=1) for side in (mine, theirs)]).view(np.uint64)
        first, second = _twice(keys, len(mine.id))
        lost, gained = _others(len(mine.id), first), _others(len(theirs.id), second)
        tally.count(tally.removed, mine.label[lost])
        tally.count(tally.added, theirs.label[gained])
        lost, gained = mine.image[lost], theirs.image[gained]
        mine, theirs = mine.some(first), theirs.some(second)
    unequal = (mine.hash != theirs.hash) | (mine.label != theirs.label)
    tally.differ(mine.label[unequal], theirs.label[unequal])
    images = np.unique(np.concatenate([lost, gained, mine.image[unequal]]))
    return images, len(gained), len(lost)


# --- classes


def _classes(base: Sequence[str], other: Sequence[str]) -> Classes:
    names = list(dict.fromkeys((*other, *base)))
    place = {name: number for number, name in enumerate(names)}
    return Classes(names, *(np.array([*(place[name] for name in some), len(names)]) for some in (base, other)))


def _label_differences(
    base: Snapshot, other: Snapshot, classes: Classes, tally: Tally
) -> Iterable[dataset_pb2.LabelDifference]:
    before, after = set(base.labels), set(other.labels)
    counts = zip(tally.added.tolist(), tally.removed.tolist(), tally.changed.tolist(), strict=True)
    # The last counts are of no class.
    for name, (added, removed, changed) in zip(classes.names, counts, strict=False):
        if added or removed or changed or (name in before) != (name in after):
            yield dataset_pb2.LabelDifference(
                label=name,
                added=name not in before,
                removed=name not in after,
                annotations=dataset_pb2.AnnotationDifference(
                    added_count=added, removed_count=removed, changed_count=changed
                ),
            )
