"""Deals images out to splits: by groups that stay together, in an order that a seed gives, class by class if asked.

Stratified, it is iterative stratification (Sechidis, Tsoumakas, Vlahavas 2011) with the order of the classes fixed
beforehand, so that all groups of a class are dealt at once: rare classes first, as little can be mended for them later.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Shorts = NDArray[np.int32]
"""Of which there are several for each image."""
Floats = NDArray[np.float64]
Keys = NDArray[np.uint64]

DENSE_CELLS = 1 << 22
"""Images times classes that are counted by a table; beyond, by sorting."""


class Presence(NamedTuple):
    """In how many images of each group each class is, in the order of the groups; none twice, none of no image."""

    groups: Shorts
    classes: Shorts
    images: Shorts


def mixed(ids: Keys, seed: int) -> Keys:
    """A number for each id, given as two halves, by which a seed orders them. The mixing is that of SplitMix64."""
    low = _splitmix(ids[:, 1] + np.uint64(seed % (1 << 64)))
    return _splitmix(ids[:, 0] ^ low)


def _splitmix(values: Keys) -> Keys:
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def grouped(first: Keys, second: Keys) -> Integers:
    """Numbers the groups from 0: what is the same in one of the two is in one group, and so on from there."""
    one, other = numbered(first), numbered(second)
    count = int(one.max(initial=-1)) + 1
    pairs = _distinct(other * count + one)
    owner, member = pairs // max(count, 1), pairs % max(count, 1)
    same = np.flatnonzero(owner[1:] == owner[:-1])
    return numbered(joined(np.arange(count), member[same], member[same + 1]))[one]


def joined(roots: Integers, one: Integers, other: Integers) -> Integers:
    """Groups made one where a pair links them. `roots`, and the answer: of each member the first of its group."""
    while True:
        first, second = roots[one], roots[other]
        apart = first != second
        if not apart.any():
            return roots
        one, other, first, second = one[apart], other[apart], first[apart], second[apart]
        roots = roots.copy()
        np.minimum.at(roots, np.maximum(first, second), np.minimum(first, second))
        while not np.array_equal(up := roots[roots], roots):
            roots = up


def numbered(keys: NDArray[Any]) -> Integers:
    """Numbers from 0 for what is the same, in the order of the keys."""
    order = np.argsort(keys)
    numbers = np.zeros(len(keys), np.int64)
    numbers[order] = np.cumsum(_changes(keys[order])) - 1
    return numbers


def _distinct(values: Integers) -> Integers:
    """Sorted, each once. NumPy's own way of it takes a minute for some millions."""
    values = np.sort(values)
    return values[_changes(values)]


def _changes(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Where a value is not the one before it."""
    changes = np.ones(len(values), np.bool_)
    changes[1:] = values[1:] != values[:-1]
    return changes


def presence(offsets: Integers, labels: Integers, classes: int) -> tuple[Shorts, Shorts]:
    """The classes of each image, each once, as (image, class) in order; labels below 0 are of none."""
    image = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    valid = labels >= 0
    cells = image[valid] * max(classes, 1) + labels[valid]
    if (len(offsets) - 1) * classes <= DENSE_CELLS:
        table = np.zeros((len(offsets) - 1) * classes, np.bool_)
        table[cells] = True
        cells = np.flatnonzero(table)
    else:
        cells = _distinct(cells)
    return (cells // max(classes, 1)).astype(np.int32), (cells % max(classes, 1)).astype(np.int32)


def by_group(group: Integers, images: Shorts, classes: Shorts, count: int) -> Presence:
    """What `presence` answers, of `count` classes, added up for groups. `group`: of each image."""
    cells = group[images]
    cells *= max(count, 1)
    cells += classes
    cells.sort()
    changes = _changes(cells)
    if changes.all():
        numbers = np.ones(len(cells), np.int32)
    else:
        firsts = np.flatnonzero(changes)
        cells, numbers = cells[firsts], np.diff(firsts, append=len(cells)).astype(np.int32)
    return Presence((cells // max(count, 1)).astype(np.int32), (cells % max(count, 1)).astype(np.int32), numbers)


def deal(keys: Keys, sizes: Integers, shares: Sequence[float], classes: Presence | None = None) -> Integers:
    """The split of every group, by its place in `shares`, which are positive and add up to 1.

    `keys` say in which order groups are dealt, `sizes` how many images each has. Splits get their share of the images
    but for less than one image, or one of the smallest groups; with `classes`, that of the images of each class as far
    as can be.
    """
    share = np.array(shares, np.float64) / sum(shares)
    if classes is None or not len(classes.groups):
        return _deal(keys, sizes, share)
    return _deal_by_class(keys, sizes, share, classes)


def _deal(keys: Keys, sizes: Integers, share: Floats) -> Integers:
    splits = np.full(len(keys), -1)
    need = share * sizes.sum()
    for some in _runs(keys, [_magnitude(sizes)]):
        splits[some] = _cut(sizes[some], need)
        need -= np.bincount(splits[some], sizes[some], len(share))
    return splits


def _deal_by_class(keys: Keys, sizes: Integers, share: Floats, classes: Presence) -> Integers:
    totals = np.bincount(classes.classes, classes.images)
    rarity = np.empty(len(totals), np.int32)
    rarity[np.argsort(totals, kind="stable")] = np.arange(len(totals))
    # Of each group: its pairs of a class and a number, its rarest class, and in how many of its images that is.
    starts = np.searchsorted(classes.groups, np.arange(len(keys) + 1))
    labelled = np.diff(starts) > 0
    rarest = np.full(len(keys), len(totals))
    ranks = rarity[classes.classes]
    rarest[labelled] = np.minimum.reduceat(ranks, starts[:-1][labelled])
    weights = sizes.copy()
    own = ranks == rarest[classes.groups]
    weights[classes.groups[own]] = classes.images[own]

    of_rank = np.argsort(rarity)
    wanted = totals[:, None] * share
    flat = wanted.reshape(-1)
    need = share * sizes.sum()
    dealt = 0
    splits = np.full(len(keys), -1)
    for some in _runs(keys, [_magnitude(weights), rarest]):
        rank = int(rarest[some[0]])
        if rank < len(totals):
            # What other classes made of the shares until here is mended a little with each class.
            carry = share * dealt - (share * sizes.sum() - need)
            splits[some] = _cut(weights[some], wanted[of_rank[rank]], carry)
        else:
            splits[some] = _cut(weights[some], need)
        need -= np.bincount(splits[some], sizes[some], len(share))
        dealt += int(sizes[some].sum())
        counts = starts[some + 1] - starts[some]
        pairs = np.repeat(starts[some] - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
        cells = classes.classes[pairs] * len(share) + np.repeat(splits[some], counts)
        np.subtract.at(flat, cells, classes.images[pairs].astype(np.float64))
    return splits


def _runs(keys: Keys, parts: Sequence[Integers]) -> list[Integers]:
    """The groups in the order in which they are dealt, cut where one of `parts`, the last first, has another value."""
    order = np.argsort(keys, kind="stable")
    for part in parts:
        order = order[np.argsort(part[order], kind="stable")]
    changes = np.zeros(max(len(order) - 1, 0), np.bool_)
    for part in parts:
        changes |= np.diff(part[order]) != 0
    return [run for run in np.split(order, np.flatnonzero(changes) + 1) if len(run)]


def _magnitude(sizes: Integers) -> Integers:
    """Lower for larger groups, the same within a factor of two: the larger go first, the smaller mend the shares."""
    return -np.floor(np.log2(np.maximum(sizes, 1))).astype(np.int64)


def _cut(weights: Integers, wanted: Floats, carry: Floats | None = None) -> Integers:
    """The split of each of some groups, cut where their weights add up to what is wanted of each split."""
    positive = np.maximum(wanted, 0)
    if not positive.sum():
        positive = np.ones(len(wanted))
    exact = weights.sum() * positive / positive.sum()
    if carry is not None:
        most = float(weights.max())
        exact = np.maximum(exact + np.clip(carry, -most, most), 0)
        exact *= weights.sum() / exact.sum()
    middles = np.cumsum(weights) - weights / 2
    return np.searchsorted(np.cumsum(exact)[:-1], middles, "right").astype(np.int64)
