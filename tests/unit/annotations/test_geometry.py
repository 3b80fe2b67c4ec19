"""Geometry on columns."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from framehouse.annotations import geometry

number = st.floats(-1e4, 1e4, allow_nan=False).map(lambda value: round(value, 3))
ring = st.lists(st.tuples(number, number), min_size=3, max_size=6)


@given(st.lists(st.lists(ring, max_size=3), max_size=5))
def test_envelopes_hold_all_points_and_touch_them(polygons: list[list[list[tuple[float, float]]]]) -> None:
    column = pa.array(
        [[[c for p in r for c in p] for r in rings] for rings in polygons], pa.list_(pa.list_(pa.float64()))
    )
    result = geometry.ring_envelopes(geometry.open_rings(column), len(polygons))
    for box, rings in zip(result, polygons, strict=True):
        points = np.array([p for r in rings for p in r])
        if len(points):
            low, high = points.min(axis=0), points.max(axis=0)
            assert box.tolist() == [*low, *(high - low)]
        else:
            assert np.isnan(box).all()


@given(number, number, st.floats(0.1, 1e3), st.floats(0.1, 1e3), st.floats(-720, 720))
def test_a_turned_box_keeps_its_area_and_centre(x: float, y: float, width: float, height: float, angle: float) -> None:
    points = geometry.corners(np.array([[x, y, width, height]]), np.array([angle]))
    rings = geometry.Rings(points.reshape(-1), np.array([0, 8]), np.array([0]))
    assert np.isclose(geometry.ring_areas(rings, 1)[0], width * height, rtol=1e-6, atol=1e-4)
    assert np.allclose(points[0].mean(axis=0), [x + width / 2, y + height / 2])


def test_turning_is_clockwise() -> None:
    top_left = geometry.corners(np.array([[0.0, 0.0, 4.0, 2.0]]), np.array([90.0]))[0, 0]
    assert np.allclose(top_left, [3, -1])


def test_areas_of_several_rings_are_summed() -> None:
    column = pa.array([[[0, 0, 2, 0, 2, 2, 0, 2], [5, 5, 6, 5, 6, 6]], None, []], pa.list_(pa.list_(pa.float64())))
    assert geometry.ring_areas(geometry.open_rings(column), 3).tolist() == [4.5, 0, 0]


def test_a_null_among_boxes_survives() -> None:
    column = pa.array([[1, 2, 3, 4], None, [5, 6, 7, 8]], pa.list_(pa.float64(), 4))
    assert geometry.box_column(geometry.boxes(column)).equals(column)
    assert np.isnan(geometry.boxes(column.slice(1))[0]).all()
    assert geometry.boxes(column.slice(1))[1].tolist() == [5, 6, 7, 8]


def test_clipping_leaves_nothing_of_a_box_outside() -> None:
    boxes = np.array([[-5.0, -5.0, 10.0, 10.0], [20.0, 20.0, 5.0, 5.0]])
    sizes = np.array([[10.0, 10.0], [10.0, 10.0]])
    assert geometry.clip(boxes, sizes).tolist() == [[0, 0, 5, 5], [10, 10, 0, 0]]
