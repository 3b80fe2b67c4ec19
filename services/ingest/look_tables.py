"""Pairs of hashes of which a part differs in one bit or two, found in a table of that part instead of by looking up.

A table has a place for each value of the part. The places of values that differ in given bits are runs of it beside
each other, so all of them are compared from the one end to the other, as fast as they are read. What stands there is
32 bits of a hash, and where there is none, chance; so what is found is to be compared as a whole.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Places = NDArray[np.int32]
Digests = NDArray[np.uint32]

RADIUS = 2
"""Bits in which the values of a part may differ at most."""
LEAST_BITS = 18
"""Of a part: the runs that are compared are of 64 places or more then."""
TURNS = 3
"""Tables with the bits of the part in another order: of three runs of bits, two that differ can be in two."""


class Turn(NamedTuple):
    """A table whose places are the values of the part with their bits turned to the right."""

    digests: Digests
    by: int


def values_of(hashes: NDArray[np.uint64], bits: Sequence[int]) -> Places:
    """These bits of each hash, as a number; byte by byte, by what each of its values comes to."""
    values = np.zeros(len(hashes), np.int32)
    numbers = np.arange(256, dtype=np.int32)
    pieces = hashes.astype("<u8").view(np.uint8).reshape(-1, 8)
    for piece in range(8):
        inside = [(place, bit % 8) for place, bit in enumerate(bits) if bit // 8 == piece]
        if inside:
            values |= np.bitwise_or.reduce([(numbers >> bit & 1) << place for place, bit in inside])[pieces[:, piece]]
    return values


def digests_of(hashes: NDArray[np.uint64], bits: Sequence[int]) -> Digests:
    """32 bits of each hash that say nothing of these: two of them differ in no more bits than the hashes."""
    others = ~np.uint64(sum(1 << bit for bit in bits))
    left = hashes & others
    return (left ^ (left >> np.uint64(32))).astype(np.uint32)


def table_of(values: Places, digests: Digests, width: int) -> Digests:
    """The table of a part of `width` bits, with digests at the places of their values, none of which is there twice."""
    table: Digests = np.random.default_rng(0).integers(0, 1 << 32, 1 << width, dtype=np.uint32)
    table[values] = digests
    return table


def differing(width: int, radius: int) -> Iterator[tuple[int, ...]]:
    """The bits in which two values may differ, in every way; but not none."""
    for count in range(1, radius + 1):
        yield from combinations(range(width), count)


def near_in(table: Digests, distance: int, radius: int) -> Iterator[tuple[Places, Places]]:
    """Values of the part, side by side, that differ in `radius` bits at most, but not in none, and whose hashes may be
    `distance` apart.
    """
    width = len(table).bit_length() - 1
    run = width // TURNS
    turns = [Turn(_turned(table, by * run), by * run) for by in range(TURNS)]
    scratch = _Scratch(len(table) // 2)
    for bits in differing(width, radius):
        turn = next(one for one in turns if all(not one.by <= bit < one.by + run for bit in bits))
        places = sorted((bit - turn.by) % width for bit in bits)
        flipped = sum(1 << place for place in places)
        for fixed, one, other in _sides(turn.digests, places):
            found = _spread(scratch.near(one, other, distance - len(bits)), places) | fixed
            if len(found):
                yield _back(found, turn.by, width), _back(found ^ flipped, turn.by, width)


def near_of(
    table: Digests, values: Places, digests: Digests, distance: int, radius: int
) -> Iterator[tuple[Places, Places]]:
    """Which of some hashes, by their values and digests, may be `distance` from one in the table, and what value that
    has. Their values differ in `radius` bits at most, but not in none.
    """
    scratch = _Scratch(len(values))
    theirs, there = np.empty_like(values), np.empty_like(digests)
    for bits in differing(len(table).bit_length() - 1, radius):
        np.bitwise_xor(values, np.int32(sum(1 << bit for bit in bits)), out=theirs)
        # All of them are in the table; `clip` because no copy is made to be sure of it.
        np.take(table, theirs, out=there, mode="clip")
        found = scratch.near(there, digests, distance - len(bits))
        if len(found):
            yield found.astype(np.int32), theirs[found]


class _Scratch:
    """Room for what is compared at once."""

    def __init__(self, size: int) -> None:
        self._bits = np.empty(size, np.uint32)
        self._counts = np.empty(size, np.uint8)
        self._near = np.empty(size, bool)

    def near(self, one: NDArray[Any], other: NDArray[Any], distance: int) -> NDArray[np.int64]:
        """Where two arrays of digests differ in so many bits at most."""
        size = one.size
        bits, counts, near = self._bits[:size], self._counts[:size], self._near[:size]
        np.bitwise_xor(one, other, out=bits.reshape(one.shape))
        np.bitwise_count(bits, out=counts)
        np.less_equal(counts, max(distance, 0), out=near)
        return np.flatnonzero(near)


def _turned(table: Digests, by: int) -> Digests:
    return np.ascontiguousarray(table.reshape(-1, 1 << by).T).reshape(-1)


def _back(places: NDArray[np.int64], by: int, width: int) -> Places:
    """The values at some places of a turned table."""
    values: Places = ((places << by | places >> (width - by)) & ((1 << width) - 1)).astype(np.int32)
    return values


def _sides(digests: Digests, places: list[int]) -> Iterator[tuple[int, NDArray[Any], NDArray[Any]]]:
    """The halves, or quarters, of a table that are to be compared where these bits of the place differ; with those of
    them that are set in the first.
    """
    if len(places) == 1:
        halves = digests.reshape(-1, 2, 1 << places[0])
        yield 0, halves[:, 0], halves[:, 1]
        return
    low, high = places
    quarters = digests.reshape(-1, 2, 1 << (high - low - 1), 2, 1 << low)
    yield 0, quarters[:, 0, :, 0], quarters[:, 1, :, 1]
    yield 1 << low, quarters[:, 0, :, 1], quarters[:, 1, :, 0]


def _spread(found: NDArray[np.int64], places: list[int]) -> NDArray[np.int64]:
    """The numbers with a 0 put in at each of these bits, ascending."""
    for place in places:
        below = found & ((1 << place) - 1)
        found = (found ^ below) << 1 | below
    return found
