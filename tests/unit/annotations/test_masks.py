"""Run-length encoded masks, against pycocotools."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as peer

from framehouse.annotations import masks

rasters = st.lists(
    arrays.arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 1)), max_size=5
)


def encoded(images: list[np.ndarray]) -> list[dict]:
    return [peer.encode(np.asfortranarray(image)) for image in images]


@given(rasters)
def test_decode_then_encode_gives_the_same_strings(images: list[np.ndarray]) -> None:
    column = pa.array([item["counts"] for item in encoded(images)], pa.binary())
    runs = masks.decode(column)
    assert masks.encode(runs).to_pylist() == column.to_pylist()
    heights, widths = (np.array([image.shape[axis] for image in images], np.int64) for axis in (0, 1))
    assert masks.valid(runs, heights, widths).all()


@given(rasters)
def test_areas_and_envelopes_are_those_of_pycocotools(images: list[np.ndarray]) -> None:
    rles = encoded(images)
    runs = masks.decode(pa.array([item["counts"] for item in rles], pa.binary()))
    heights = np.array([image.shape[0] for image in images], np.int64)
    assert masks.areas(runs).tolist() == [float(image.sum()) for image in images]
    for box, image, rle in zip(masks.envelopes(runs, heights), images, rles, strict=True):
        if image.any():
            assert box.tolist() == peer.toBbox(rle).tolist()
        else:
            assert np.isnan(box).all()


def test_long_runs_survive() -> None:
    runs = masks.Runs(np.array([0, 20_000 * 20_000 - 5, 5]), np.array([0, 3]))
    again = masks.decode(masks.encode(runs))
    assert again.values.tolist() == runs.values.tolist()


def test_a_damaged_string_is_told_and_does_not_touch_its_neighbours() -> None:
    good = encoded([np.eye(6, dtype=np.uint8)])[0]["counts"]
    runs = masks.decode(pa.array([b"oooo", good, None, b"\xff\xff"], pa.binary()))
    six = np.full(4, 6)
    assert masks.valid(runs, six, six).tolist() == [False, True, False, False]
