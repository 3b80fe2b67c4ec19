"""What is drawn is where it belongs: pixels of each kind of annotation, on grey."""

from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from framehouse.annotations.schema import Flag, Kind
from framehouse.v1 import annotation_pb2
from services.media.drawing import COLUMNS, Pixels, View, colour_of, draw

GREY = 90
RED = (255, 0, 0)
WHOLE = View(0, 0, 1, 1)
LABELS = annotation_pb2.LabelSchema(labels=[annotation_pb2.Label(name="red", color="#ff0000")])
for start, end in ((0, 1), (1, 2), (2, 3), (5, 9)):
    edge = LABELS.labels[0].edges.add(to=end)
    setattr(edge, "from", start)


def annotation(kind: Kind, **given: Any) -> dict[str, Any]:
    return {**dict.fromkeys(COLUMNS), "kind": kind, "label": 0, "flags": 0, **given}


def drawn(*annotations: dict[str, Any], view: View = WHOLE, names: bool = False, size: int = 400) -> Pixels:
    pixels = np.full((size, size, 3), GREY, np.uint8)
    draw(pixels, annotations, LABELS, view, names=names)
    return pixels


def is_red(pixels: Pixels, x: int, y: int) -> bool:
    return bool((np.abs(pixels[y, x].astype(int) - RED) < 80).all())


def is_tinted(pixels: Pixels, x: int, y: int) -> bool:
    return bool(pixels[y, x, 0] > GREY + 20 and pixels[y, x, 1] < GREY)


def is_grey(pixels: Pixels, x: int, y: int) -> bool:
    return bool((pixels[y, x] == GREY).all())


def test_a_box_is_an_outline_at_its_edges() -> None:
    pixels = drawn(annotation(Kind.BOX, bbox=[100, 50, 200, 100]))
    assert all(is_red(pixels, x, y) for x, y in ((99, 100), (100, 100), (200, 50), (299, 60), (150, 149)))
    assert is_grey(pixels, 200, 100)
    assert is_grey(pixels, 95, 100)


def test_a_part_that_is_shown_smaller_has_its_boxes_at_the_same_place() -> None:
    pixels = drawn(annotation(Kind.BOX, bbox=[1000, 500, 400, 400]), view=View(900, 400, 0.5, 0.5))
    assert all(is_red(pixels, x, y) for x, y in ((50, 150), (250, 150), (150, 50), (150, 250)))


def test_a_ring_in_a_ring_is_a_hole() -> None:
    square, hole = [100, 100, 300, 100, 300, 300, 100, 300], [180, 180, 220, 180, 220, 220, 180, 220]
    pixels = drawn(annotation(Kind.POLYGON, rings=[square, hole]))
    assert is_red(pixels, 100, 200)
    assert is_tinted(pixels, 150, 200)
    assert is_grey(pixels, 200, 200)


def test_a_box_turns_clockwise_and_so_does_an_ellipse() -> None:
    pixels = drawn(annotation(Kind.ROTATED_BOX, bbox=[100, 190, 200, 20], rotation=45.0))
    assert is_red(pixels, 264, 278)  # the right end goes down
    assert is_grey(pixels, 278, 128)
    pixels = drawn(annotation(Kind.ELLIPSE, bbox=[100, 180, 200, 40], rotation=90.0))
    assert is_tinted(pixels, 200, 280)
    assert is_grey(pixels, 280, 200)


def test_a_line_is_open_and_points_are_discs() -> None:
    ring = [100, 100, 300, 100, 300, 300]
    line, points = drawn(annotation(Kind.POLYLINE, rings=[ring])), drawn(annotation(Kind.POINTS, rings=[ring]))
    assert is_red(line, 200, 100)
    assert is_grey(line, 200, 200)
    assert is_red(points, 100, 100)
    assert is_grey(points, 200, 100)


def test_a_skeleton_has_edges_a_hollow_hidden_point_and_no_absent_one() -> None:
    ring = [100, 100, 300, 100, 300, 300, 100, 300]
    pixels = drawn(annotation(Kind.SKELETON, rings=[ring], visibility=[2, 1, 2, 0]))
    assert is_red(pixels, 200, 100)
    assert is_red(pixels, 300, 200)
    assert (pixels[100, 300] == 255).all()
    assert is_grey(pixels, 200, 300)
    assert is_grey(pixels, 100, 300)


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_a_mask_keeps_its_holes(scale: float) -> None:
    mask = np.zeros((400, 400), np.uint8, order="F")
    mask[100:300, 50:350] = 1
    mask[180:220, 180:220] = 0
    packed = coco_mask.encode(mask)
    one = annotation(Kind.MASK, rle=packed["counts"], rle_size=packed["size"])
    pixels = drawn(one, view=View(0, 0, scale, scale), size=round(400 * scale))
    places = {(60, 110): True, (340, 290): True, (200, 200): False, (40, 200): False, (200, 310): False}
    assert {place: is_tinted(pixels, round(place[0] * scale), round(place[1] * scale)) for place in places} == places


def test_a_mask_that_is_damaged_is_left_out() -> None:
    for rle, size in ((b"~~~", [400, 400]), (b"11", [1 << 20, 1 << 20]), (b"", [400, 400]), (b"1" * 9, [-5, 400])):
        assert (drawn(annotation(Kind.MASK, rle=rle, rle_size=size)) == GREY).all()


def test_a_cuboid_has_twelve_edges() -> None:
    front, back = [100, 200, 200, 200, 200, 300, 100, 300], [150, 150, 250, 150, 250, 250, 150, 250]
    pixels = drawn(annotation(Kind.CUBOID, rings=[front + back]))
    assert all(is_red(pixels, x, y) for x, y in ((150, 200), (225, 175), (250, 200), (200, 250), (100, 250)))


def test_names_and_captions_are_written_on_the_colour_of_their_class() -> None:
    box = annotation(Kind.BOX, bbox=[100, 100, 200, 100], score=0.5)
    assert is_grey(drawn(box), 103, 90)
    assert is_red(drawn(box, names=True), 101, 90)
    tag = annotation(Kind.TAG)
    assert is_red(drawn(tag, names=True), 1, 398)
    assert (drawn(tag) == GREY).all()
    caption = annotation(Kind.CAPTION, label=-1, text="a very long text " * 100)
    assert not is_grey(drawn(caption), 1, 398)


def test_what_cannot_be_drawn_is_left_out() -> None:
    pixels = drawn(
        annotation(Kind.BOX, bbox=[500, 500, 10, 10]),
        annotation(Kind.BOX, bbox=[-1e300, float("nan"), 10, 10]),
        annotation(Kind.BOX),
        annotation(Kind.POLYGON, rings=[]),
        annotation(Kind.POLYGON, rings=[[1.0]]),
        annotation(Kind.CUBOID_3D, bbox=[0, 0, 100, 100]),
        annotation(Kind.BOX, bbox=[100, 100, 100, 100], flags=int(Flag.OUTSIDE)),
        names=True,
    )
    assert (pixels == GREY).all()


def test_a_box_far_larger_than_the_image_is_drawn_as_far_as_it_is_in_it() -> None:
    pixels = drawn(annotation(Kind.BOX, bbox=[-1e12, 200, 1e13, 1e13]))
    assert is_red(pixels, 10, 200)
    assert is_red(pixels, 390, 200)


def test_colours_are_those_given_or_a_stable_palette() -> None:
    assert colour_of(3, "#0a1B2c") == (10, 27, 44)
    assert colour_of(3) == colour_of(3, "crimson")
    assert len({colour_of(label) for label in range(80)}) == 80
