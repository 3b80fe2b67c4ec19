"""Annotations at another scale."""

from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as peer

from framehouse.annotations import geometry
from framehouse.annotations.scaling import scale
from framehouse.annotations.schema import ANNOTATION_SCHEMA, Kind


def flat(*annotations: dict[str, Any]) -> pa.Table:
    rows = [{"image": 0, "annotation_id": i, "label": 0, "flags": 0, **one} for i, one in enumerate(annotations)]
    return pa.Table.from_pylist(rows, schema=ANNOTATION_SCHEMA)


def test_everything_is_scaled() -> None:
    one = peer.encode(np.asfortranarray(np.kron(np.eye(4, dtype=np.uint8), np.ones((2, 2), np.uint8))))
    table = flat(
        {"kind": Kind.BOX, "bbox": [2, 4, 6, 8], "area": 48.0},
        {"kind": Kind.POLYGON, "bbox": [0, 0, 2, 4], "rings": [[0, 0, 2, 0, 2, 4], [1, 1, 2, 1, 2, 2]]},
        {"kind": Kind.MASK, "bbox": [0, 0, 8, 8], "rle": one["counts"], "rle_size": one["size"]},
        {"kind": Kind.CUBOID_3D, "rings": [[1, 2, 3, 4]]},
        {"kind": Kind.CAPTION, "text": "a"},
    )
    box, polygon, mask, cuboid, caption = scale(table, np.full((5, 2), 0.5)).to_pylist()
    assert (box["bbox"], box["area"], box["rings"]) == ([1, 2, 3, 4], 12, None)
    assert polygon["rings"] == [[0, 0, 1, 0, 1, 2], [0.5, 0.5, 1, 0.5, 1, 1]]
    assert np.array_equal(peer.decode({"counts": mask["rle"], "size": mask["rle_size"]}), np.eye(4))
    assert cuboid["rings"] == [[1, 2, 3, 4]]
    assert caption["bbox"] is None


@given(
    st.tuples(st.floats(0, 5e3), st.floats(0, 5e3), st.floats(1, 5e3), st.floats(1, 5e3)),
    st.floats(-360, 360),
    st.floats(0.1, 1),
    st.floats(-1e-3, 1e-3),
)
def test_a_turned_box_is_off_by_no_more_than_is_said(
    box: tuple[float, float, float, float], degrees: float, factor: float, unequal: float
) -> None:
    factors = np.array([[factor, factor * (1 + unequal)]])
    table = flat({"kind": Kind.ROTATED_BOX, "bbox": list(box), "rotation": degrees})
    (row,) = scale(table, factors).to_pylist()
    found = geometry.corners(np.array([row["bbox"]]), np.array([row["rotation"]]))
    wanted = geometry.corners(np.array([box]), np.array([degrees])) * factors
    off = np.hypot(*(found - wanted)[0].T).max()
    assert off <= max(box[2:]) * factor * abs(unequal) / 2 + 1e-6


@given(st.floats(0.1, 3), st.floats(-360, 360))
def test_equal_factors_keep_the_angle(factor: float, degrees: float) -> None:
    table = flat({"kind": Kind.ELLIPSE, "bbox": [1, 2, 3, 4], "rotation": degrees})
    (row,) = scale(table, np.full((1, 2), factor)).to_pylist()
    assert row["rotation"] == degrees
    assert np.allclose(row["bbox"], np.array([1, 2, 3, 4]) * factor)


def test_rows_with_a_factor_of_one_and_columns_that_are_not_there_are_left_alone() -> None:
    table = flat(
        {"kind": Kind.ROTATED_BOX, "bbox": [0.1, 0.2, 0.3, 0.7], "rotation": 33.3}, {"kind": Kind.BOX, "bbox": [2] * 4}
    )
    assert scale(table, np.ones((2, 2))) is table
    some = scale(table.select(["image", "kind", "bbox", "rotation"]), np.array([[1, 1], [0.5, 0.5]]))
    assert some.slice(0, 1).equals(table.select(some.column_names).slice(0, 1))
    assert some["bbox"][1].as_py() == [1] * 4
