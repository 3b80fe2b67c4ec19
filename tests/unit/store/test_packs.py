"""How ranges are grouped into requests."""

from hypothesis import given
from hypothesis import strategies as st

from framehouse.store.packs import GAP, RUN, content_hash, runs

MiB = 1 << 20


def test_neighbours_are_fetched_together_and_others_are_not() -> None:
    spans = [("b", 0, 10), ("a", 0, 100), ("a", 100 + GAP, 200 + GAP), ("a", 201 + 2 * GAP, 300 + 2 * GAP)]
    assert [(run.object, run.rows) for run in runs(spans)] == [("a", [1, 2]), ("a", [3]), ("b", [0])]


def test_a_large_entry_has_a_request_of_its_own() -> None:
    spans = [("a", 0, 10), ("a", 10, 20 * MiB), ("a", 20 * MiB, 20 * MiB + 5)]
    assert [run.rows for run in runs(spans)] == [[0], [1], [2]]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 40 * MiB), st.integers(0, MiB))))
def test_every_row_lies_in_its_request_once_and_requests_are_bounded(rows: list[tuple[str, int, int]]) -> None:
    spans = [(name, start, start + length) for name, start, length in rows]
    grouped = list(runs(spans))
    assert sorted(i for run in grouped for i in run.rows) == list(range(len(spans)))
    for run in grouped:
        assert run.end - run.start <= RUN
        for i in run.rows:
            name, start, end = spans[i]
            assert run.object == name
            assert run.start <= start <= end <= run.end


def test_content_is_named_by_its_xxh3_128() -> None:
    assert content_hash(b"") == "99aa06d3014798d86001c324468d497f"
