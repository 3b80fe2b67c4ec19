"""Ultralytics segmentation, oriented boxes and keypoints: how they are told apart, read and written."""

import json
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from whole_way import Imported, detect, image, packed, read, write

from framehouse.annotations import geometry
from framehouse.annotations.schema import Kind
from framehouse.runtime import errors

quick = settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
BOX = "0 0.5 0.5 0.2 0.4\n"
POLYGON = "1 0.1 0.2 0.5 0.2 0.5 0.6\n"
TURNED = "0 0.5 0.2 0.7 0.4 0.5 0.8 0.3 0.6\n"
POSE = "kpt_shape: [3, 3]\nflip_idx: [0, 2, 1]\n"


def one(rows: str, extra: str = "") -> dict[str, bytes | str]:
    """A dataset of one image of 100 × 50 with the given label file."""
    head = "path: .\ntrain: images/train\nval: images/train\nnames: [cat, dog]\n"
    return {"data.yaml": head + extra, "images/train/1.jpg": image(), "labels/train/1.txt": rows}


def annotations(found: Imported) -> list[dict[str, Any]]:
    return list(found.rows()["1.jpg"]["annotations"])


@pytest.mark.parametrize(
    ("rows", "extra", "task"),
    [
        (BOX, "", "detect"),
        (BOX + POLYGON, "", "segment"),
        (POLYGON * 3, "", "segment"),
        (TURNED * 2, "", "obb"),
        (TURNED + POLYGON, "", "segment"),
        ("0 0.5 0.5 0.2 0.4" + " 0.5 0.5 2" * 3 + "\n", POSE, "pose"),
    ],
)
def test_tasks_are_told_apart(rows: str, extra: str, task: str) -> None:
    found = detect(one(rows, extra))
    assert max(found, key=lambda name: found[name]) == f"ultralytics-{task}"
    assert sorted(found.values())[-1] > 0.5 > sorted(found.values())[-2]


def test_boxes_and_polygons_in_one_file_are_both_read() -> None:
    found = annotations(read(one(POLYGON + BOX), "yolo-seg"))
    assert [item["kind"] for item in found] == [Kind.POLYGON, Kind.BOX]
    assert found[0]["rings"] == [[10, 10, 50, 10, 50, 30]]
    assert found[1]["bbox"] == [40, 15, 20, 20]


def test_what_is_no_polygon_is_written_as_one_and_told() -> None:
    coco = {
        "images": [{"id": 1, "width": 100, "height": 50, "file_name": "1.jpg"}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 20, 20]},
            {
                "id": 2,
                "image_id": 1,
                "category_id": 1,
                "segmentation": [[10, 10, 20, 10, 20, 20, 10, 20], [60, 10, 70, 10, 70, 20, 60, 20]],
            },
            {"id": 3, "image_id": 1, "category_id": 1, "segmentation": {"size": [50, 100], "counts": [510, 20, 4470]}},
        ],
    }
    found = read({"annotations/instances_train.json": json.dumps(coco), "images/train/1.jpg": image()}, "coco")
    written, losses = write(found.table, found.shelf, "ultralytics-segment")
    assert {(loss.code, loss.subject, loss.annotation_count) for loss in losses} == {
        ("KIND_UNSUPPORTED", "box", 1),
        ("KIND_UNSUPPORTED", "mask", 1),
        ("RINGS_JOINED", "polygons of several rings", 1),
    }
    lines = [
        np.array(line.split()[1:], float).reshape(-1, 2) * (100, 50)
        for line in written["labels/train/1.txt"].decode().splitlines()
    ]
    assert lines[0].tolist() == [[10, 10], [30, 10], [30, 30], [10, 30]]
    # Both parts, and nothing of what lies between them but the bridge.
    raster = cv2.fillPoly(np.zeros((50, 100), np.uint8), [lines[1].astype(np.int32)], 1)
    assert raster[10:21, 10:21].all()
    assert raster[10:21, 60:71].all()
    assert raster[:, 25:55].sum() <= 30
    assert lines[2].min(axis=0).tolist() == [10, 10]
    assert lines[2].max(axis=0).tolist() == [11, 30]


def test_corners_in_any_order_around_are_one_turned_box() -> None:
    corners = [(0.5, 0.2), (0.7, 0.4), (0.5, 0.8), (0.3, 0.6)]
    # Of a rectangle in pixels: turned by 30 degrees in an image of 100 × 50.
    points = geometry.corners(np.array([[30.0, 15.0, 40.0, 10.0]]), np.array([30.0]))[0] / (100, 50)
    for order in ([0, 1, 2, 3], [2, 3, 0, 1], [3, 2, 1, 0], [1, 0, 3, 2]):
        row = "0 " + " ".join(f"{value:.8f}" for value in points[order].reshape(-1))
        (item,) = annotations(read(one(row), "yolo-obb"))
        assert item["kind"] == Kind.ROTATED_BOX
        box, degrees = np.array([item["bbox"]]), np.array([item["rotation"]])
        again = geometry.corners(box, degrees)[0]
        assert sorted(map(tuple, np.round(again, 3).tolist())) == sorted(
            map(tuple, np.round(points * (100, 50), 3).tolist())
        )
    skewed = read(one("0 " + " ".join(f"{x} {y}" for x, y in corners)), "yolo-obb")
    assert skewed.codes() == {"BOX_NOT_RECTANGULAR"}


def test_corners_outside_are_kept_and_told_but_not_pixels() -> None:
    found = read(one("0 -0.1 0.2 0.2 0.2 0.2 0.4 -0.1 0.4\n0 10 20 40 20 40 30 10 30\n"), "yolo-obb")
    assert annotations(found)[0]["bbox"] == pytest.approx([-10, 10, 30, 10])
    assert found.codes() == {"BOX_REACHES_OUTSIDE", "BOX_OUTSIDE"}
    written, losses = write(found.table, found.shelf, "ultralytics-obb", "ultralytics-obb")
    assert {loss.code for loss in losses} == {"BOX_CLIPPED"}
    row = b"0 0.000000 0.200000 0.200000 0.200000 0.200000 0.400000 0.000000 0.400000\n"
    assert written["labels/train/1.txt"] == row


@pytest.mark.parametrize(
    ("shape", "points", "expected"),
    [
        ([3, 3], "0.1 0.2 2 0.3 0.4 1 0 0 0", [2, 1, 0]),
        ([3, 2], "0.1 0.2 0.3 0.4 -1 -1", [2, 2, 0]),
    ],
)
def test_keypoints_have_a_visibility_or_are_seen(shape: list[int], points: str, expected: list[int]) -> None:
    (item,) = annotations(read(one(f"0 0.5 0.5 0.2 0.4 {points}\n", f"kpt_shape: {shape}\n"), "yolo-pose"))
    assert item["kind"] == Kind.SKELETON
    assert item["visibility"] == expected
    assert item["rings"][0][:4] == pytest.approx([10, 10, 30, 20])
    assert item["bbox"] == [40, 15, 20, 20]


def test_a_wrong_keypoint_shape_is_refused() -> None:
    for extra in ("kpt_shape: [17]\n", "kpt_shape: [17, 4]\n", "kpt_shape: 17\n"):
        with pytest.raises(errors.InvalidArgument, match="kpt_shape"):
            read(one(BOX, extra), "yolo-pose")
    with pytest.raises(errors.InvalidArgument, match="kpt_shape"):
        read(one(BOX), "yolo-pose")
    assert read(one("0 0.5 0.5 0.2 0.4 0.1 0.1\n" + BOX, POSE), "yolo-pose").codes() == {"LABEL_FIELD_COUNT"}


def test_keypoints_are_written_with_their_order_for_mirrored_images() -> None:
    found = read(
        one("0 0.5 0.5 0.2 0.4 0.1 0.2 2 0.3 0.4 1 0 0 0\n", POSE + "kpt_names: {0: [a, b, c]}\n"), "yolo-pose"
    )
    written, losses = write(found.table, found.shelf, "ultralytics-pose", "ultralytics-pose")
    assert not losses
    data = yaml.safe_load(written["data.yaml"])
    assert (data["kpt_shape"], data["flip_idx"], data["kpt_names"][0]) == ([3, 3], [0, 2, 1], ["a", "b", "c"])
    row = "0 0.500000 0.500000 0.200000 0.400000 0.100000 0.200000 2 0.300000 0.400000 1 0.000000 0.000000 0\n"
    assert written["labels/train/1.txt"].decode() == row
    plain = read(one(BOX), "yolo")
    with pytest.raises(errors.FailedPrecondition, match="keypoints"):
        write(plain.table, plain.shelf, "ultralytics-pose")


share = st.integers(1, 999_999).map(lambda value: value / 1e6)


def again(found: Imported, name: str) -> Imported:
    written, losses = write(found.table, found.shelf, name, name)
    assert not losses
    return read(packed(written), name)


def same(found: Imported, back: Imported, *columns: str) -> None:
    assert back.labels == found.labels
    exact = [name for name in found.table.column_names if name not in ("original", "bbox", "rings", *columns)]
    assert back.table.select(exact).equals(found.table.select(exact))
    for mine, other in zip(annotations(found), annotations(back), strict=True):
        assert np.allclose(mine["rings"] or 0, other["rings"] or 0, atol=1e-3)


@quick
@given(st.lists(st.lists(st.tuples(share, share), min_size=3, max_size=6), min_size=1, max_size=4))
def test_polygons_come_back(shapes: list[list[tuple[float, float]]]) -> None:
    rows = "".join(f"{i % 2} " + " ".join(f"{x} {y}" for x, y in shape) + "\n" for i, shape in enumerate(shapes))
    found = read(one(rows), "yolo-seg")
    same(found, again(found, "ultralytics-segment"))


@quick
@given(
    st.lists(st.tuples(share, share, st.floats(1, 20), st.floats(1, 20), st.floats(-180, 180)), min_size=1, max_size=4)
)
def test_turned_boxes_come_back(boxes: list[tuple[float, ...]]) -> None:
    rows = ""
    for x, y, width, height, degrees in boxes:
        # Within the image however it is turned: corners outside would be moved.
        box = np.array([[50 + 30 * (x - 0.5) - width / 2, 25 + 15 * (y - 0.5) - height / 2, width, height]])
        corners = geometry.corners(box, np.array([degrees]))[0] / (100, 50)
        rows += "1 " + " ".join(f"{value:.9f}" for value in corners.reshape(-1)) + "\n"
    found = read(one(rows), "yolo-obb")
    back = again(found, "ultralytics-obb")
    same(found, back, "rotation")
    for mine, other in zip(annotations(found), annotations(back), strict=True):
        corners = [
            geometry.corners(np.array([item["bbox"]]), np.array([item["rotation"]]))[0] for item in (mine, other)
        ]
        assert np.allclose(*corners, atol=0.01)


@quick
@given(st.lists(st.lists(st.tuples(share, share, st.integers(1, 2)), min_size=3, max_size=3), min_size=1, max_size=4))
def test_keypoints_come_back(skeletons: list[list[tuple[float, float, int]]]) -> None:
    rows = "".join(
        "0 0.5 0.5 0.25 0.5 " + " ".join(f"{x} {y} {v}" for x, y, v in points) + "\n" for points in skeletons
    )
    found = read(one(rows, POSE), "yolo-pose")
    same(found, again(found, "ultralytics-pose"))
