"""Texts of numbers, parsed as one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.conversion import numbers

floats = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(st.lists(st.lists(floats, max_size=4), max_size=4), max_size=4))
def test_lines_come_back_with_their_place(texts: list[list[list[float]]]) -> None:
    lines = [b"\n".join(" ".join(map(repr, line)).encode() for line in text) for text in texts]
    runs = numbers.parse(lines, b"\n")
    found = [
        (int(item), int(ordinal), runs.values[begin:end].tolist())
        for item, ordinal, begin, end in zip(runs.item, runs.ordinal, runs.offsets[:-1], runs.offsets[1:], strict=True)
        if end > begin
    ]
    assert found == [(i, k, line) for i, text in enumerate(texts) for k, line in enumerate(text) if line]


@pytest.mark.parametrize("text", [b"1 x", b"1 nan", b"inf", b"1 \x1e 2", b'"1"', b"1e999", b"null"])
def test_anything_else_is_refused(text: bytes) -> None:
    with pytest.raises(numbers.NotNumbers):
        numbers.parse([b"1 2", text], b"\n")
