"""Annotations turned upright, against the pixels that Pillow turns."""

from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image, ImageOps
from pycocotools import mask as peer

from framehouse.annotations import geometry
from framehouse.annotations.orientation import stored, turn_upright
from framehouse.annotations.schema import ANNOTATION_SCHEMA, Kind

INVERSE = [0, 1, 2, 3, 4, 5, 8, 7, 6]
orientations = st.integers(1, 8)
number = st.floats(-20, 120)


def flat(*annotations: dict[str, Any]) -> pa.Table:
    rows = [{"image": 0, "annotation_id": i, "label": 0, "flags": 0, **one} for i, one in enumerate(annotations)]
    return pa.Table.from_pylist(rows, schema=ANNOTATION_SCHEMA)


def turned(table: pa.Table, orientation: int, width: int, height: int) -> pa.Table:
    count = table.num_rows
    return turn_upright(table, np.full(count, orientation), np.full((count, 2), [width, height]))


def by_pillow(image: np.ndarray, orientation: int) -> np.ndarray:
    picture = Image.fromarray(image)
    picture.getexif()[0x0112] = orientation
    return np.array(ImageOps.exif_transpose(picture))


@given(
    orientations,
    arrays.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 1)),
)
def test_masks_and_boxes_go_where_the_pixels_go(orientation: int, image: np.ndarray) -> None:
    height, width = image.shape
    one = peer.encode(np.asfortranarray(image))
    box = peer.toBbox(one).tolist()
    ring = geometry.corners(np.array([box]), np.zeros(1)).reshape(-1).tolist()
    table = flat(
        {"kind": Kind.MASK, "bbox": box, "rle": one["counts"], "rle_size": [height, width]},
        {"kind": Kind.POLYGON, "bbox": None, "rings": [ring]},
    )
    mask, polygon = turned(table, orientation, width, height).to_pylist()
    upright = by_pillow(image, orientation)
    again = peer.encode(np.asfortranarray(upright))
    assert (mask["rle"], mask["rle_size"]) == (again["counts"], list(upright.shape))
    if image.any():
        assert mask["bbox"] == peer.toBbox(again).tolist()
        points = np.array(polygon["rings"][0]).reshape(-1, 2)
        low = points.min(axis=0)
        assert [*low, *(points.max(axis=0) - low)] == mask["bbox"]


@given(orientations, number, number, st.floats(0, 90), st.floats(0, 90), st.floats(-360, 360))
def test_a_turned_box_covers_what_its_corners_cover(
    orientation: int, x: float, y: float, width: float, height: float, degrees: float
) -> None:
    box = [x, y, width, height]
    ring = geometry.corners(np.array([box]), np.array([degrees])).reshape(-1).tolist()
    table = flat({"kind": Kind.ROTATED_BOX, "bbox": box, "rotation": degrees}, {"kind": Kind.POLYGON, "rings": [ring]})
    rotated, polygon = turned(table, orientation, 100, 70).to_pylist()
    corners = geometry.corners(np.array([rotated["bbox"]]), np.array([rotated["rotation"]]))[0]
    points = np.array(polygon["rings"][0]).reshape(-1, 2)
    apart = np.abs(corners[:, None] - points[None]).max(axis=2)
    assert (apart.min(axis=0) < 1e-6).all()
    assert (apart.min(axis=1) < 1e-6).all()


@given(orientations, number, number, st.floats(0, 90), st.floats(0, 90), st.floats(0, 360))
def test_an_orientation_and_its_inverse_change_nothing(
    orientation: int, x: float, y: float, width: float, height: float, degrees: float
) -> None:
    table = flat(
        {"kind": Kind.ELLIPSE, "bbox": [x, y, width, height], "rotation": degrees},
        {"kind": Kind.SKELETON, "rings": [[x, y, width, height], []], "visibility": [2, 1], "area": 5.0},
        {"kind": Kind.CAPTION, "text": "a"},
        {"kind": Kind.CUBOID_3D, "rings": [[x, y, width, height]], "rotation": None},
    )
    there = turned(table, orientation, 100, 70)
    size = (70, 100) if orientation >= 5 else (100, 70)
    back = turned(there, INVERSE[orientation], *size)
    assert there.schema == ANNOTATION_SCHEMA
    for name in set(table.column_names) - {"bbox", "rings"}:
        assert back[name].equals(table[name])
    assert np.allclose(geometry.boxes(back["bbox"]), geometry.boxes(table["bbox"]), equal_nan=True)
    old, new = (geometry.open_rings(one["rings"]) for one in (table, back))
    assert np.allclose(old.values, new.values)
    assert back["rings"].is_null().equals(table["rings"].is_null())
    assert there["rings"][3] == table["rings"][3]


def test_points_keep_their_order() -> None:
    table = flat({"kind": Kind.SKELETON, "rings": [[1, 2, 3, 4]]})
    assert turned(table, 6, 10, 20)["rings"].to_pylist() == [[[18, 1, 16, 3]]]


def test_sizes_as_stored() -> None:
    images = pa.table(
        {
            "orientation": pa.array([6, 2, None, 6, 8], pa.int8()),
            "format": ["jpeg", "png", "jpeg", "heic", None],
            "width": pa.array([10, 10, 10, 10, None], pa.int32()),
            "height": pa.array([20, 20, 20, 20, None], pa.int32()),
        }
    )
    orientation, sizes = stored(images)
    assert orientation.tolist() == [6, 2, 1, 1, 8]
    assert sizes.tolist() == [[20, 10], [10, 20], [10, 20], [10, 20], [0, 0]]
