"""Geometry on columns."""

import cv2
import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as peer

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


inside = st.floats(0, 50)
polygon = st.lists(st.tuples(st.floats(-30, 80), st.floats(-30, 80)), min_size=3, max_size=8)


def rings_of(polygons: list[list[tuple[float, float]]]) -> geometry.Rings:
    column = pa.array([[[c for p in points for c in p]] for points in polygons], pa.list_(pa.list_(pa.float64())))
    return geometry.open_rings(column)


@given(st.lists(polygon, max_size=4))
def test_a_clipped_ring_stays_inside_and_within_what_it_was(polygons: list[list[tuple[float, float]]]) -> None:
    sizes = np.full((len(polygons), 2), [50.0, 40.0])
    before = rings_of(polygons)
    after = geometry.clip_rings(before, sizes)
    x, y = after.values[0::2], after.values[1::2]
    assert ((x >= 0) & (x <= 50) & (y >= 0) & (y <= 40)).all()
    assert (np.diff(after.offsets) >= 6).all()
    old, new = (geometry.ring_envelopes(rings, len(polygons)) for rings in (before, after))
    left = ~np.isnan(new).any(axis=1)
    assert (new[left, :2] >= np.maximum(old[left, :2], 0)).all()
    assert (new[left, :2] + new[left, 2:] <= old[left, :2] + old[left, 2:] + 1e-9).all()


@given(st.floats(-60, 60), st.floats(-60, 60), st.floats(1, 90), st.floats(1, 90), st.floats(0, 90))
def test_a_convex_ring_loses_what_is_outside_and_nothing_else(
    x: float, y: float, width: float, height: float, degrees: float
) -> None:
    turned = geometry.corner_rings(geometry.corners(np.array([[x, y, width, height]]), np.array([degrees])))
    sizes = np.array([[50.0, 40.0]])
    clipped = geometry.clip_rings(turned, sizes)
    area = geometry.ring_areas(clipped, 1)[0]
    # The other way: the image's own rectangle, cut at the borders of the box, in the box's frame.
    image = geometry.corners(np.array([[0.0, 0.0, 50.0, 40.0]]), np.zeros(1))[0] - [x + width / 2, y + height / 2]
    angle = np.deg2rad(-degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    back = (image @ turn.T + [width / 2, height / 2])[None]
    mirror = geometry.clip_rings(geometry.corner_rings(back), np.array([[width, height]]))
    assert np.isclose(area, geometry.ring_areas(mirror, 1)[0], atol=1e-6)


def test_a_ring_inside_is_left_alone_and_one_outside_goes() -> None:
    inner, outer = [(1.0, 1.0), (4.0, 1.0), (4.0, 4.0)], [(60.0, 1.0), (70.0, 1.0), (70.0, 9.0)]
    clipped = geometry.clip_rings(rings_of([inner, outer]), np.full((2, 2), 50.0))
    assert clipped.values.tolist() == [1, 1, 4, 1, 4, 4]
    assert clipped.owner.tolist() == [0]


def test_boxes_over_a_border_and_beyond_it() -> None:
    boxes = np.array(
        [[1, 1, 5, 5], [-2, 1, 5, 5], [-6, 1, 5, 5], [-5, 1, 5, 5], [10, 3, 0, 0], [11, 3, 0, 0], [np.nan] * 4]
    )
    sizes = np.full((7, 2), 10.0)
    assert geometry.reaching(boxes, sizes).tolist() == [False, True, True, True, False, True, False]
    assert geometry.outside(boxes, sizes).tolist() == [False, False, True, True, False, True, False]


@given(number, number, st.floats(0.1, 1e3), st.floats(0.1, 1e3), st.floats(-179, 180))
def test_a_rotated_box_survives_its_corners(x: float, y: float, width: float, height: float, degrees: float) -> None:
    box = np.array([[x, y, width, height]])
    boxes, angles = geometry.rotated_boxes(geometry.corners(box, np.array([degrees])))
    assert np.allclose(boxes, box, atol=1e-6)
    turns = (angles[0] - degrees + 180) % 360 - 180
    assert abs(np.deg2rad(turns)) * width < 1e-6


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), min_size=4, max_size=4))
def test_the_smallest_box_of_any_quadrilateral_is_that_of_opencv(points: list[tuple[int, int]]) -> None:
    quads = np.array([points], np.float64)
    (_, (width, height), _) = cv2.minAreaRect(quads[0].astype(np.float32))
    around, degrees = geometry.smallest_rotated_boxes(geometry.corner_rings(quads), 1)
    assert np.isclose(around[0, 2] * around[0, 3], width * height, rtol=1e-3, atol=0.1)
    assert 0 <= degrees[0] <= 90
    for boxes, angles in (geometry.rotated_boxes(quads), (around, degrees)):
        assert boxes[0, 2] * boxes[0, 3] <= width * height * 1.001 + 0.1
        middle = boxes[0, :2] + boxes[0, 2:] / 2
        angle = np.deg2rad(angles[0])
        apart = quads[0] - middle
        along = apart @ [np.cos(angle), np.sin(angle)]
        across = apart @ [-np.sin(angle), np.cos(angle)]
        slack = 1e-4 * max(boxes[0, 2:]) + 1e-9
        assert (abs(along) <= boxes[0, 2] / 2 + slack).all()
        assert (abs(across) <= boxes[0, 3] / 2 + slack).all()


@given(st.lists(st.tuples(inside, inside, inside, inside), max_size=5))
def test_overlaps_are_those_of_pycocotools(given_boxes: list[tuple[float, float, float, float]]) -> None:
    boxes = np.array(given_boxes, np.float64).reshape(-1, 4)
    found = geometry.overlaps(boxes, boxes)
    if len(boxes):
        assert np.allclose(found, np.nan_to_num(peer.iou(boxes, boxes, [0] * len(boxes))), atol=1e-9)
    assert found.shape == (len(boxes), len(boxes))
