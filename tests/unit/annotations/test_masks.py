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


def test_uncompressed_counts_and_back() -> None:
    column = pa.array([[0, 4, 2], [6], []], pa.list_(pa.int64()))
    runs = masks.open_lists(column)
    assert masks.list_column(runs).equals(column)
    assert masks.areas(runs).tolist() == [4, 0, 0]


@given(st.lists(arrays.arrays(np.uint8, (3, 7, 5), elements=st.integers(0, 1)), max_size=4))
def test_parts_are_put_together(stacks: list[np.ndarray]) -> None:
    layers = [layer for stack in stacks for layer in stack]
    runs = masks.decode(pa.array([item["counts"] for item in encoded(layers)], pa.binary()))
    parts = masks.intervals(runs)
    parts = parts._replace(owner=parts.owner // 3)
    pixels = np.full(len(stacks), 35)
    whole, holes = masks.union(parts, pixels), masks.odd(parts, pixels)
    assert masks.encode(whole).to_pylist() == [item["counts"] for item in encoded([s.max(axis=0) for s in stacks])]
    assert masks.encode(holes).to_pylist() == [
        item["counts"] for item in encoded([(s.sum(axis=0) % 2).astype(np.uint8) for s in stacks])
    ]
    rest = masks.difference(whole, holes, pixels)
    two = [(s.max(axis=0) & ~(s.sum(axis=0) % 2)).astype(np.uint8) for s in stacks]
    assert masks.encode(rest).to_pylist() == [item["counts"] for item in encoded(two)]


@given(rasters, st.integers(1, 20), st.integers(1, 20))
def test_a_mask_at_another_size_has_the_pixels_under_its_centres(
    images: list[np.ndarray], height: int, width: int
) -> None:
    runs = masks.decode(pa.array([item["counts"] for item in encoded(images)], pa.binary()))
    sizes = np.array([image.shape for image in images], np.int64).reshape(-1, 2)
    targets = np.full((len(images), 2), [height, width])
    resized = masks.encode(masks.resize(runs, sizes, targets)).to_pylist()
    rows = [((2 * np.arange(height) + 1) * h // (2 * height)) for h, _ in sizes.tolist()]
    columns = [((2 * np.arange(width) + 1) * w // (2 * width)) for _, w in sizes.tolist()]
    wanted = [image[np.ix_(r, c)] for image, r, c in zip(images, rows, columns, strict=True)]
    assert resized == [item["counts"] for item in encoded(wanted)]
