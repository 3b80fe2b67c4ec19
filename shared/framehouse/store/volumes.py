"""Which files of an archive go into which of its volumes, none of which is larger than was asked for.

What belongs to one image stays together: files of one name but for the folder they are in, such as
`images/train/1.jpg` and `labels/train/1.txt`. A file that is larger by itself makes a larger volume.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from framehouse.store.bundle import DATA_SUFFIX
from framehouse.store.manifest import LINE_BYTES

Integers = NDArray[np.int64]

FILE_BYTES = 30 + 46 + 20 + 28 + LINE_BYTES
"""Of a file in an archive at most, beside its bytes and four times its path: its headers with zip64, and its line in
the manifest, whose path may have to be escaped."""
PATHS = 4
END_BYTES = 1000
"""Of the end of an archive and the header of its manifest at most."""
MOST_KINDS = 4
"""Files of an image at most that are found by their last name alone."""


class Volumes:
    """Deals files out to volumes, counted from 1, in the order in which they come. A limit of 0 makes one volume."""

    def __init__(self, limit: int, facts_bytes: int) -> None:
        self.limit = limit
        self.number = 1
        self._base = END_BYTES + 2 * facts_bytes
        self._used = self._base

    def deal(self, files: pa.RecordBatch) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Parts of a table of a bundle's rows, with the number of the volume that each is in."""
        if not self.limit or not files.num_rows:
            if files.num_rows:
                yield self.number, files
            return
        order, ends = _together(files)
        paths = pc.binary_length(files["path"]).to_numpy().astype(np.int64)
        costs = (files["stored_size"].to_numpy() + PATHS * paths + FILE_BYTES)[order]
        reached = np.cumsum(costs)[ends]
        before = first = 0
        while first < len(ends):
            last = int(np.searchsorted(reached, before + self.limit - self._used, "right"))
            if last <= first:
                if self._used > self._base:
                    self._turn()
                    continue
                last = first + 1
            begin = int(ends[first - 1]) + 1 if first else 0
            yield self.number, files.take(pa.array(order[begin : int(ends[last - 1]) + 1]))
            self._used += int(reached[last - 1]) - before
            before, first = int(reached[last - 1]), last

    def place(self, path: str, size: int) -> int:
        """The volume of one more file."""
        cost = size + PATHS * len(path.encode()) + FILE_BYTES
        if self.limit and self._used > self._base and self._used + cost > self.limit:
            self._turn()
        self._used += cost
        return self.number

    def _turn(self) -> None:
        self.number += 1
        self._used = self._base


def _together(files: pa.RecordBatch) -> tuple[Integers, Integers]:
    """An order of the rows in which those of an image are neighbours, and where each image ends in it.

    Images follow each other as they lie in the packs, so that a volume is read by few requests.
    """
    objects = files["object"]
    own = pc.ends_with(objects.dictionary, DATA_SUFFIX).take(objects.indices)
    place = np.empty(files.num_rows, np.int64)
    place[np.lexsort((files["offset"], objects.indices, own))] = np.arange(files.num_rows)
    group = _images(files["path"])
    first = np.full(int(group.max()) + 1, files.num_rows)
    np.minimum.at(first, group, place)
    order = np.lexsort((place, first[group]))
    ends = np.flatnonzero(np.append(np.diff(first[group][order]) != 0, True))
    return order, ends


def _images(paths: pa.Array) -> Integers:
    """A number for each path, the same for those that belong to one image."""
    below = pc.replace_substring_regex(paths, r"^[^/]*/|\.[^./]*$", "")
    group = _codes(below)
    alone = np.flatnonzero(np.bincount(group)[group] == 1)
    # Masks of panoptic segmentation lie in a folder with another name than that of the split.
    some = paths.take(pa.array(alone))
    names = _codes(pc.replace_substring_regex(some, r"^.*/|\.[^./]*$", ""))
    tops = _codes(pc.replace_substring_regex(some, r"/.*$", ""))
    if len(alone):
        counts = np.bincount(names)
        kinds = np.bincount(np.unique(names * (int(tops.max()) + 1) + tops) // (int(tops.max()) + 1))
        apart = ((counts == kinds) & (counts > 1) & (counts <= MOST_KINDS))[names]
        group[alone[apart]] = int(group.max()) + 1 + names[apart]
    return group


def _codes(values: pa.Array) -> Integers:
    codes: Integers = values.dictionary_encode().indices.to_numpy().astype(np.int64)
    return codes
