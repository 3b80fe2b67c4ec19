"""How ranges are read ahead into memory that is used again."""

from typing import NamedTuple

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from framehouse.store.packs import AHEAD, RUN
from framehouse.store.ring import Ring, read_ahead
from tests.unit.formats.whole_way import Shelf


class Span(NamedTuple):
    object: str
    start: int
    end: int


@given(st.lists(st.integers(0, 16)))
def test_what_is_taken_of_a_ring_is_nobody_elses_until_it_is_given_back(lengths: list[int]) -> None:
    ring = Ring(16)
    taken: list[tuple[int, memoryview]] = []
    for number, length in enumerate(lengths):
        while (piece := ring.take(length)) is None:
            first, earlier = taken.pop(0)
            assert bytes(earlier) == bytes([first % 256]) * len(earlier)
            ring.give_back()
        piece[:] = bytes([number % 256]) * length
        taken.append((number, piece))
    for number, piece in taken:
        assert bytes(piece) == bytes([number % 256]) * len(piece)


def test_ranges_are_read_in_order_into_the_same_memory() -> None:
    shelf, rng = Shelf(), np.random.default_rng(0)
    data = rng.bytes(RUN + 1000)
    shelf.put("a", data)
    lengths = [1, RUN, 0, 5, 70_000, RUN, RUN - 1, *[900] * 20, RUN, 3]
    spans = [Span("a", i, i + length) for i, length in enumerate(lengths)]
    memory: dict[int, object] = {}
    found = 0
    for span, read in read_ahead(shelf, [*spans, Span("a", len(data) - 10, len(data) + 10)]):
        assert read == data[span.start : span.end]
        memory[id(read.obj)] = read.obj
        found += 1
    assert found == len(spans) + 1
    (held,) = memory.values()
    assert memoryview(held).nbytes == AHEAD
