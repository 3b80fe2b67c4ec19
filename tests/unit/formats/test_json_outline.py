"""The outline of a JSON file, against a decoder."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.conversion.json_outline import Malformed, Outline, elements

text = st.text(st.sampled_from('a"\\{}[],:\né'), max_size=6)
values = st.recursive(
    st.none() | st.integers() | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
)


def outline(data: bytes, size: int) -> Outline:
    result = Outline()
    for start in range(0, len(data), size):
        result.feed(data[start : start + size])
    result.close()
    return result


@given(st.dictionaries(text, values, max_size=4), st.integers(1, 40), st.sampled_from([None, 1]), st.booleans())
def test_members_are_found_in_chunks_of_any_size(
    body: dict[str, Any], size: int, indent: int | None, plain: bool
) -> None:
    data = json.dumps(body, indent=indent, ensure_ascii=plain).encode()
    found = outline(data, size)
    assert found.keys == list(body)
    containers = {key: value for key, value in body.items() if isinstance(value, list | dict)}
    assert list(found.members) == list(containers)
    for key, span in found.members.items():
        assert json.loads(data[span.start : span.end]) == body[key]
        assert span.line == 1 + data.count(b"\n", 0, span.start)


@given(st.lists(st.dictionaries(text, values, max_size=3), max_size=12), st.integers(8, 60), st.integers(1, 80))
def test_parts_are_whole_elements_and_leave_none_out(items: list[dict[str, Any]], size: int, part: int) -> None:
    data = json.dumps({"annotations": items, "z": [{"q": 1}, {"q": 2}]}, indent=1).encode()
    found = outline(data, size)
    read: list[dict[str, Any]] = []
    for span in found.parts("annotations", part):
        piece = data[span.start : span.end]
        read += json.loads(b"[" + piece + b"]")
        assert span.line == 1 + data.count(b"\n", 0, span.start)
        assert [json.loads(piece[a:b]) for a, b in elements(piece)] == json.loads(b"[" + piece + b"]")
    assert read == items


def test_parts_begin_where_the_file_can_be_unpacked_from() -> None:
    data = json.dumps({"annotations": [{"id": i} for i in range(1000)]}).encode()
    found = outline(data, 50)
    found.begins = [0, *range(800, len(data), 1900)]
    starts = [span.start for span in found.parts("annotations", 2000)]
    assert len(starts) > 4
    assert all(0 <= start - begin < 100 for start, begin in zip(starts[1:], found.begins[1:], strict=False))
    found.begins = [0, 100]  # too near
    assert all(2000 <= span.end - span.start < 2100 for span in found.parts("annotations", 2000)[:-1])


@pytest.mark.parametrize(("data", "line"), [(b'{"a": [1,\n2', 2), (b'{"a": 1}\n}', 2), (b'{"a": "b\n', 2)])
def test_what_is_cut_off_or_unbalanced_is_told_with_its_line(data: bytes, line: int) -> None:
    with pytest.raises(Malformed) as caught:
        outline(data, 4)
    assert caught.value.line == line


@pytest.mark.parametrize("letter", [b"\\", b"x"])
def test_a_string_of_any_length_is_passed_by(letter: bytes) -> None:
    found = Outline()
    for chunk in [b'{"a": "', *[letter * 300_001] * 4, b'", "b": [{}]}']:
        found.feed(chunk)
        assert len(found._held) + len(found._string) < 10_000
    found.close()
    assert found.keys == ["a", "b"]
    assert list(found.members) == ["b"]
