"""Polygons to masks and back, against pycocotools and OpenCV."""

import cv2
import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from pycocotools import mask as peer

from framehouse.annotations import geometry, masks, outlines

Raster = NDArray[np.uint8]
rasters = st.lists(
    arrays.arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 1)), max_size=4
)


def opened(images: list[Raster]) -> tuple[masks.Runs, NDArray[np.int64], NDArray[np.int64]]:
    column = pa.array([peer.encode(np.asfortranarray(image))["counts"] for image in images], pa.binary())
    shape = np.array([image.shape for image in images], np.int64).reshape(-1, 2)
    return masks.decode(column), shape[:, 0], shape[:, 1]


def drawn(runs: masks.Runs, heights: NDArray[np.int64], widths: NDArray[np.int64]) -> list[Raster]:
    counts = masks.encode(runs).to_pylist()
    sizes = zip(heights.tolist(), widths.tolist(), strict=True)
    return [peer.decode({"counts": one, "size": size}) for one, size in zip(counts, sizes, strict=True)]


@given(rasters)
def test_an_outline_filled_again_is_the_mask(images: list[Raster]) -> None:
    runs, heights, widths = opened(images)
    found = outlines.outlines(runs, heights, widths)
    again = outlines.fill(found.rings, heights, widths, holes=True)
    assert all(map(np.array_equal, drawn(again, heights, widths), images))
    assert masks.encode(again).equals(masks.encode(runs))


@given(rasters)
def test_an_outline_has_the_area_and_the_envelope_of_the_mask(images: list[Raster]) -> None:
    runs, heights, widths = opened(images)
    found = outlines.outlines(runs, heights, widths)
    signed = np.where(found.holes(), -1, 1) * geometry.ring_areas(
        found.rings._replace(owner=np.arange(len(found.parent))), len(found.parent)
    )
    assert np.bincount(found.rings.owner, signed, len(images)).tolist() == masks.areas(runs).tolist()
    envelopes = geometry.ring_envelopes(found.rings, len(images))
    assert np.array_equal(envelopes, masks.envelopes(runs, heights), equal_nan=True)


@given(rasters)
def test_parts_and_holes_are_those_of_opencv(images: list[Raster]) -> None:
    runs, heights, widths = opened(images)
    found = outlines.outlines(runs, heights, widths)
    for i, image in enumerate(images):
        _, hierarchy = cv2.findContours(np.pad(image, 1), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
        parents = hierarchy[0, :, 3] if hierarchy is not None else np.zeros(0)
        mine = found.rings.owner == i
        assert found.parts(len(images))[i] == (parents < 0).sum()
        assert found.holes()[mine].sum() == (parents >= 0).sum()
        _, labels = cv2.connectedComponents(image, connectivity=8)
        for hole in np.flatnonzero(mine & found.holes()).tolist():
            # A ring begins at the lower end of its leftmost edge: an outer one's first pixel is above to the right, and
            # left of a hole's first pixel there is the mask.
            part = found.parent[hole]
            x, y = found.rings.values[found.rings.offsets[part] :][:2].astype(int)
            u, v = found.rings.values[found.rings.offsets[hole] :][:2].astype(int)
            assert labels[y - 1, x] == labels[v, u - 1] > 0


def test_a_hole_and_a_part_in_it_are_told_apart() -> None:
    image = np.zeros((9, 9), np.uint8)
    image[1:8, 1:8] = 1
    image[2:7, 2:7] = 0
    image[4, 4] = 1
    found = outlines.outlines(*opened([image]))
    assert found.parts(1).tolist() == [2]
    assert found.parent.tolist() == [0, 0, 2]
    assert geometry.ring_areas(found.rings, 1).tolist() == [49 + 25 + 1]


def test_what_rings_share_is_covered_or_a_hole() -> None:
    square = [[1.0, 1, 9, 1, 9, 9, 1, 9], [3.0, 3, 5, 3, 5, 5, 3, 5]]
    rings = geometry.open_rings(pa.array([square, None, square]))
    sizes = np.array([10, 10, 12]), np.array([10, 10, 11])
    assert masks.areas(outlines.fill(rings, *sizes, holes=False)).tolist() == [64, 0, 64]
    assert masks.areas(outlines.fill(rings, *sizes, holes=True)).tolist() == [60, 0, 60]


@settings(deadline=None)
@given(
    st.lists(
        st.lists(st.lists(st.floats(-8, 28), min_size=6, max_size=12).filter(lambda r: len(r) % 2 == 0), max_size=3),
        max_size=4,
    ),
)
def test_rings_are_filled_as_by_pycocotools(polygons: list[list[list[float]]]) -> None:
    rings = geometry.open_rings(pa.array(polygons, pa.list_(pa.list_(pa.float64()))))
    count = len(polygons)
    inside = geometry.clip_rings(rings, np.full((count, 2), 20.0))
    found = masks.encode(outlines.fill(rings, np.full(count, 20), np.full(count, 20), holes=False)).to_pylist()
    for i, counts in enumerate(found):
        mine = [
            inside.values[inside.offsets[k] : inside.offsets[k + 1]] for k in np.flatnonzero(inside.owner == i).tolist()
        ]
        one = peer.merge(peer.frPyObjects(mine, 20, 20)) if mine else peer.encode(np.zeros((20, 20), np.uint8, "F"))
        assert counts == one["counts"]


def test_a_ring_that_is_far_outside_or_no_ring_is_filled_without_harm() -> None:
    far = [[-1e12, -1e12, 1e12, -1e12, 1e12, 1e12, -1e12, 1e12]]
    broken = [[0.0, 0, float("nan"), 3, 3, 3], [1.0, 1]]
    rings = geometry.open_rings(pa.array([far, broken], pa.list_(pa.list_(pa.float64()))))
    filled = outlines.fill(rings, np.array([7, 7]), np.array([5, 5]), holes=False)
    assert masks.areas(filled).tolist() == [35, 0]


def test_overlaps_of_masks() -> None:
    left, both = np.zeros((4, 4), np.uint8), np.ones((4, 4), np.uint8)
    left[:, :2] = 1
    runs, heights, widths = opened([left, both])
    sizes = pa.array(np.stack([heights, widths], axis=1).tolist(), pa.list_(pa.int32(), 2))
    shapes = outlines.objects(masks.encode(runs), sizes)
    assert outlines.overlaps(shapes, shapes).tolist() == [[1, 0.5], [0.5, 1]]
    assert outlines.overlaps(shapes, []).shape == (2, 0)
