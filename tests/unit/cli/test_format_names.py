"""Formats that commands name: found by id and other names, and what is near where there is none."""

import pytest

from framehouse.client.errors import InvalidArgument
from framehouse.client.formats import named
from framehouse.v1.conversion_pb2 import Format

KNOWN = [
    Format(id="coco"),
    Format(id="coco-instances", aliases=["coco"]),
    Format(id="ultralytics-detect", aliases=["yolo", "yolov8"]),
]


def test_formats_are_found_by_id_and_other_names_that_of_the_id_first() -> None:
    assert [one.id for one in named("YOLOv8", KNOWN)] == ["ultralytics-detect"]
    assert [one.id for one in named("coco", KNOWN[::-1])] == ["coco", "coco-instances"]


def test_of_a_format_that_there_is_not_the_near_names_are_told_once() -> None:
    with pytest.raises(InvalidArgument) as caught:
        named("cocoo", KNOWN)
    assert (caught.value.message, caught.value.reason) == (
        "there is no format 'cocoo'; did you mean coco?",
        "FORMAT_UNKNOWN",
    )
