"""Fingerprints: equal exactly where the annotations are."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framehouse.annotations.fingerprints import COMPARED, fingerprints
from framehouse.annotations.schema import ANNOTATION_FIELDS

LABELS = np.arange(9, dtype=np.int32)

SHAPE: dict[str, Any] = {
    "annotation_id": 7,
    "kind": 4,
    "label": 1,
    "bbox": [1.0, 2.0, 3.0, 4.0],
    "rings": [[0.0, 0.0, 1.0, 0.0, 1.0, 1.0], [5.0, 5.0]],
    "rle": b"abc",
    "rle_size": [3, 4],
    "visibility": [2, 1],
    "flags": 0,
    "text": "grün",
}


def columns(images: list[list[dict[str, Any]]]) -> dict[str, pa.Array]:
    return {
        field.name: pa.array([[one.get(field.name) for one in image] for image in images], pa.list_(field.type))
        for field in ANNOTATION_FIELDS
    }


def of(*images: list[dict[str, Any]], labels: Any = LABELS) -> list[int]:
    result: list[int] = fingerprints(columns(list(images)), labels).tolist()
    return result


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kind", 2),
        ("label", -1),
        ("bbox", [1.0, 2.0, 4.0, 3.0]),
        ("bbox", None),
        ("rings", [[0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 5.0, 5.0]]),
        ("rings", [[5.0, 5.0], [0.0, 0.0, 1.0, 0.0, 1.0, 1.0]]),
        ("rings", []),
        ("rings", None),
        ("rle", b"acb"),
        ("rle", b""),
        ("rle", None),
        ("rle_size", [4, 3]),
        ("rotation", 0.0),
        ("visibility", [1, 2]),
        ("group", 0),
        ("track", 1),
        ("z_order", 1),
        ("flags", 4),
        ("score", 0.5),
        ("area", 1.0),
        ("text", "grun"),
        ("attributes", "{}"),
    ],
)
def test_a_difference_in_any_column_is_seen(name: str, value: object) -> None:
    same, other = of([SHAPE], [{**SHAPE, name: value}])
    assert same != other
    assert name in COMPARED


def test_order_and_ids_make_no_difference_but_number_does() -> None:
    box = {"kind": 2, "label": 2, "bbox": [0.0, -0.0, 1.0, 1.0], "flags": 0, "annotation_id": 1}
    first, turned, renumbered, twice, fewer, none = of(
        [SHAPE, box], [box, SHAPE], [{**SHAPE, "annotation_id": 9}, box | {"bbox": [-0.0, 0.0, 1, 1]}],
        [SHAPE, box, box], [SHAPE], [],
    )  # fmt: skip
    assert first == turned == renumbered
    assert len({first, twice, fewer, none}) == 4


def test_labels_are_compared_as_what_they_are_known_by() -> None:
    swapped = np.array([1, 0], np.int32)
    assert of([{**SHAPE, "label": 0}], labels=swapped) == of([{**SHAPE, "label": 1}])
    assert of([{**SHAPE, "label": -1}], labels=swapped) == of([{**SHAPE, "label": -1}])


shapes = st.fixed_dictionaries(
    {
        "kind": st.sampled_from([2, 4]),
        "label": st.integers(-1, 2),
        "flags": st.just(0),
        "rings": st.none() | st.lists(st.lists(st.sampled_from([0.0, 1.0]), max_size=3), max_size=2),
        "text": st.none() | st.text("ab", max_size=2),
        "visibility": st.none() | st.lists(st.sampled_from([0, 1]), max_size=2),
    }
)


@given(st.lists(st.lists(shapes, max_size=3), min_size=1, max_size=6), st.integers(0, 3))
def test_equal_fingerprints_are_equal_sets_of_annotations(images: list[list[dict[str, Any]]], skipped: int) -> None:
    # A slice of a larger table, as a reader of tables gets it.
    rows = {name: column.slice(skipped) for name, column in columns([[SHAPE]] * skipped + images).items()}
    found = fingerprints(rows, LABELS).tolist()
    plain = [sorted(repr(sorted(one.items())) for one in image) for image in images]
    for i in range(len(images)):
        assert [one == found[i] for one in found] == [one == plain[i] for one in plain]
