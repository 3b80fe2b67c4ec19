"""Groups of images that look alike: whose perceptual hashes differ in a few bits, and so on from one to the next.

All pairs are found that there are, by multi-index hashing (Norouzi, Punjani, Fleet 2012): the bits are dealt out to
parts, and where two hashes differ in few bits, some part differs in fewer still. So only those have to be compared of
which a part is nearly the same.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations
from math import comb
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.ingest import look_tables
from services.ingest.columns import Snapshot, remembered
from services.ingest.dealing import Integers, Keys, joined, numbered
from services.ingest.look_tables import Places

LEAST_PARTS, MOST_PARTS = 3, 9
"""With three, a part has 21 bits, of which there is a table."""
BLOCK = 1 << 20
"""Pairs that are compared at once."""
LARGE = 1 << 16
"""Pairs of two buckets from which it is worth while to leave out what is known to be one group."""

VALUE_SECONDS, MASK_SECONDS, BUCKET_SECONDS, PAIR_SECONDS = 1e-8, 5e-5, 5e-9, 2e-8
"""What it costs, about: each value of a part; each way for it to differ, the buckets looked at for that, and the pairs
compared."""
TABLE_SECONDS = 6e-10
"""What each value of a part costs for each way to differ, in a table."""


class Part(NamedTuple):
    """Some of the bits of the hashes."""

    bits: Sequence[int]
    radius: int
    """In how many of them two hashes may differ to be compared."""


class Buckets(NamedTuple):
    """Hashes in the order of a part of them; those with the same part are a bucket."""

    order: Integers
    hashes: Keys
    occupied: Places
    """The values of the part that there are, ascending."""
    starts: Places
    """For each value that the part can have, where its bucket begins in the order."""
    counts: Places


class Groups:
    """What is known to be one group: of each hash, the first of its group."""

    def __init__(self, count: int) -> None:
        self._roots = np.arange(count)
        self._links: list[tuple[Integers, Integers]] = []
        self._waiting = 0

    def link(self, one: Integers, other: Integers) -> None:
        """Says which are alike, pair by pair."""
        if len(one):
            self._links.append((one, other))
            self._waiting += len(one)
        if self._waiting > BLOCK:
            self.roots()

    def roots(self) -> Integers:
        """The first of the group of each."""
        if self._links:
            ones, others = zip(*self._links, strict=True)
            self._links, self._waiting = [], 0
            self._roots = joined(self._roots, np.concatenate(ones), np.concatenate(others))
        return self._roots


def looks_of(table: Snapshot) -> Keys:
    """The look of each image; 0 for none."""
    return np.concatenate([np.zeros(0, np.uint64), *table.pieces("look")])


def groups_of(table: Snapshot, distance: int) -> Integers:
    """As `alike`, of the images of a table; kept for the next who asks."""
    key = f"looks {distance} {table.fingerprint(['look'])}"
    return remembered(key, lambda: alike(looks_of(table), distance))


def alike(looks: Keys, distance: int) -> Integers:
    """The group of each look, numbered from 0: those in one that differ in `distance` bits or fewer, and what is linked
    by such. A look of 0 is none, and alone.
    """
    number = numbered(looks)
    distinct = np.zeros(int(number.max(initial=-1)) + 1, np.uint64)
    distinct[number] = looks
    groups = linked(distinct, distance)[number]
    none = np.flatnonzero(looks == 0)
    groups[none] = len(distinct) + np.arange(len(none))
    return numbered(groups)


def linked(hashes: Keys, distance: int, parts: Sequence[Part] | None = None) -> Integers:
    """For each of the hashes, of which none is there twice, the place of the first of its group."""
    groups = Groups(len(hashes))
    for part in parts or parted(len(hashes), distance):
        table = _buckets(hashes, part)
        # Where many are alike most of them are found here already, and need not be compared with each other.
        neighbours = np.arange(len(hashes) - 1, dtype=np.int32)
        _compare(table, neighbours, neighbours + 1, distance, groups)
        several = table.occupied[table.counts[table.occupied] > 1]
        _compare_buckets(table, several, several, distance, groups)
        while _fills(table, part):
            table = _compare_firsts(table, part, distance, groups)
        for ours, theirs in _meetings(table, part):
            _compare_buckets(table, ours, theirs, distance, groups)
    return groups.roots()


def parted(count: int, distance: int) -> list[Part]:
    """The parts by which so many hashes are compared soonest.

    With the radii `r` of all parts, `distance + 1` is the sum of `r + 1`: were each part to differ in more bits than
    its radius, the hashes would differ in more than `distance`.
    """
    choices = []
    for number in range(LEAST_PARTS, MOST_PARTS + 1):
        radii = [(distance + 1 + place) // number - 1 for place in range(number)]
        # With three, a bit is left out: smaller tables are worth more.
        bits = min(64, 21 * number)
        choices.append([Part(range(place, bits, number), radius) for place, radius in enumerate(radii) if radius >= 0])
    return min(choices, key=lambda parts: sum(_seconds(count, part) for part in parts))


def _seconds(count: int, part: Part) -> float:
    values = 1 << len(part.bits)
    ways = sum(comb(len(part.bits), differing) for differing in range(part.radius + 1))
    buckets, pairs = min(count, values), count * count / 2 / values
    way = buckets * BUCKET_SECONDS + pairs * PAIR_SECONDS
    if len(part.bits) >= look_tables.LEAST_BITS and part.radius <= look_tables.RADIUS:
        way = min(way, values * TABLE_SECONDS + max(0, count - values) * PAIR_SECONDS)
    return values * VALUE_SECONDS + ways * (MASK_SECONDS + way)


def _fills(table: Buckets, part: Part) -> bool:
    """Whether there are so many buckets that a table is faster than to look for those that there are."""
    if len(part.bits) < look_tables.LEAST_BITS or not 0 < part.radius <= look_tables.RADIUS:
        return False
    return len(table.occupied) * BUCKET_SECONDS > len(table.counts) * TABLE_SECONDS


def _compare_firsts(table: Buckets, part: Part, distance: int, groups: Groups) -> Buckets:
    """Compares the first hash of each bucket with those of all others that are to be; answers with what is left."""
    width = len(part.bits)
    digests = look_tables.digests_of(table.hashes, part.bits)
    is_first = np.zeros(len(table.order), bool)
    firsts = table.starts[table.occupied]
    is_first[firsts] = True
    places = look_tables.table_of(table.occupied, digests[firsts], width)
    for ours, theirs in look_tables.near_in(places, distance, part.radius):
        there = (table.counts[ours] > 0) & (table.counts[theirs] > 0)
        _compare_any(table, table.starts[ours[there]], table.starts[theirs[there]], distance, groups)
    others = np.flatnonzero(~is_first)
    values = np.repeat(table.occupied, table.counts[table.occupied] - 1)
    for ours, theirs in look_tables.near_of(places, values, digests[others], distance, part.radius):
        there = table.counts[theirs] > 0
        _compare_any(table, others[ours[there]], table.starts[theirs[there]], distance, groups)
    counts = np.maximum(table.counts - 1, 0)
    return _bucketed(table.order[others], table.hashes[others], counts)


def _buckets(hashes: Keys, part: Part) -> Buckets:
    values = look_tables.values_of(hashes, part.bits)
    # Of 16 bits at a time: such are not compared with each other to be sorted.
    low = np.argsort(values.astype(np.uint16), kind="stable")
    order = low[np.argsort((values >> 16).astype(np.uint16)[low], kind="stable")]
    counts = np.bincount(values, minlength=1 << len(part.bits)).astype(np.int32)
    return _bucketed(order, hashes[order], counts)


def _bucketed(order: Integers, hashes: Keys, counts: Places) -> Buckets:
    starts = (np.cumsum(counts) - counts).astype(np.int32)
    return Buckets(order, hashes, np.flatnonzero(counts).astype(np.int32), starts, counts)


def _meetings(table: Buckets, part: Part) -> Iterator[tuple[Places, Places]]:
    """The buckets, side by side, whose values of the part differ in `part.radius` bits or fewer, but not in none."""
    there = table.counts > 0
    for highest in range(len(part.bits)):
        # Of two values that differ in this bit and lower ones, one has a 0 there.
        ours = table.occupied[table.occupied >> highest & 1 == 0]
        for lower in range(part.radius):
            for bits in combinations(range(highest), lower):
                theirs = ours ^ np.int32(sum((1 << bit for bit in bits), 1 << highest))
                meet = there[theirs]
                yield ours[meet], theirs[meet]


def _compare_buckets(table: Buckets, ours: Places, theirs: Places, distance: int, groups: Groups) -> None:
    """Compares the hashes of one bucket with those of another, for buckets side by side."""
    one, other = table.starts[ours], table.starts[theirs]
    height, width = table.counts[ours], table.counts[theirs]
    number = height.astype(np.int64) * width
    single = number == 1
    _compare(table, one[single], other[single], distance, groups)
    several = np.flatnonzero(~single & (number <= LARGE))
    for some in np.split(several, np.flatnonzero(np.diff(np.cumsum(number[several]) // BLOCK)) + 1):
        pair = np.repeat(some, number[some])
        place = np.arange(len(pair)) - np.repeat(np.cumsum(number[some]) - number[some], number[some])
        row, column = np.divmod(place, width[pair])
        _compare(table, one[pair] + row, other[pair] + column, distance, groups)
    for large in np.flatnonzero(number > LARGE).tolist():
        ours_here = np.arange(one[large], one[large] + height[large])
        theirs_here = np.arange(other[large], other[large] + width[large])
        _compare_large(table, ours_here, theirs_here, distance, groups)


def _compare(table: Buckets, one: NDArray[Any], other: NDArray[Any], distance: int, groups: Groups) -> None:
    """Links those that are near each other, of pairs of places in the order."""
    near = (np.bitwise_count(table.hashes[one] ^ table.hashes[other]) <= distance) & (one < other)
    groups.link(table.order[one[near]], table.order[other[near]])


def _compare_any(table: Buckets, one: NDArray[Any], other: NDArray[Any], distance: int, groups: Groups) -> None:
    """The same, whichever of a pair comes first."""
    _compare(table, np.minimum(one, other), np.maximum(one, other), distance, groups)


def _compare_large(table: Buckets, ours: Integers, theirs: Integers, distance: int, groups: Groups) -> None:
    """Compares all of two buckets, but for what the largest group has of both, which is one group already."""
    most = BLOCK >> 4  # a few are near many, as a rule, and after that there is less to be compared
    while len(ours):
        roots = groups.roots()[table.order]
        largest = _commonest(np.concatenate([roots[ours], roots[theirs]]))
        outside = roots[ours] != largest
        columns = theirs if outside.any() else theirs[roots[theirs] != largest]
        if not len(columns):
            return
        rows = (ours[outside] if outside.any() else ours)[: max(1, most // len(columns))]
        far = np.bitwise_count(table.hashes[rows][:, None] ^ table.hashes[columns])
        row, column = np.nonzero(far <= distance)
        groups.link(table.order[rows[row]], table.order[columns[column]])
        ours = ours[np.isin(ours, rows, invert=True, kind="table")]
        most = BLOCK


def _commonest(values: Integers) -> int:
    ordered = np.sort(values)
    firsts = np.flatnonzero(np.diff(ordered, prepend=ordered[0] - 1))
    return int(ordered[firsts[np.argmax(np.diff(firsts, append=len(ordered)))]])
