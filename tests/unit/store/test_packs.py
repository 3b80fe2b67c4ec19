"""How ranges are grouped into requests."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from framehouse.store.packs import GAP, RUN, Run, content_hash, runs

MiB = 1 << 20

Span = tuple[str, int, int]


def grouped(spans: list[Span]) -> list[Run]:
    columns = [[span[i] for span in spans] for i in range(3)]
    return list(runs(pa.array(columns[0], pa.string()), np.array(columns[1], np.int64), np.array(columns[2], np.int64)))


def one_by_one(spans: list[Span]) -> list[Span]:
    """The requests that ranges fall into where each is looked at after the other."""
    found: list[Span] = []
    for name, start, end in sorted(spans):
        if found and found[-1][0] == name and start - found[-1][2] <= GAP and end - found[-1][1] <= RUN:
            found[-1] = (name, found[-1][1], max(found[-1][2], end))
        else:
            found.append((name, start, end))
    return found


def test_neighbours_are_fetched_together_and_others_are_not() -> None:
    spans = [("b", 0, 10), ("a", 0, 100), ("a", 100 + GAP, 200 + GAP), ("a", 201 + 2 * GAP, 300 + 2 * GAP)]
    assert [(run.object, run.rows.tolist()) for run in grouped(spans)] == [("a", [1, 2]), ("a", [3]), ("b", [0])]


def test_a_large_entry_has_a_request_of_its_own() -> None:
    spans = [("a", 0, 10), ("a", 10, 20 * MiB), ("a", 20 * MiB, 20 * MiB + 5)]
    assert [run.rows.tolist() for run in grouped(spans)] == [[0], [1], [2]]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 40 * MiB), st.integers(0, MiB))))
def test_every_row_lies_in_its_request_once_and_requests_are_bounded(rows: list[tuple[str, int, int]]) -> None:
    spans = [(name, start, start + length) for name, start, length in rows]
    found = grouped(spans)
    assert [run[:3] for run in found] == one_by_one(spans)
    assert sorted(i for run in found for i in run.rows) == list(range(len(spans)))
    for run in found:
        assert run.end - run.start <= RUN
        for i in run.rows:
            name, start, end = spans[i]
            assert run.object == name
            assert run.start <= start <= end <= run.end


def test_content_is_named_by_its_xxh3_128() -> None:
    assert content_hash(b"") == "99aa06d3014798d86001c324468d497f"
