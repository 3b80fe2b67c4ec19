"""Annotations as a person sends them: what is computed, and what is refused with which field."""

from typing import Any

import pyarrow as pa
import pytest

from framehouse.annotations.labels import label_schema, with_labels
from framehouse.annotations.masks import encode, open_lists
from framehouse.annotations.schema import ANNOTATION_COLUMNS, DATASET_SCHEMA
from framehouse.runtime.errors import InvalidArgument
from framehouse.v1 import annotation_pb2, dataset_pb2
from services.ingest.drawn import Drawn

BOX, POLYGON, MASK = (
    annotation_pb2.ANNOTATION_KIND_BOX,
    annotation_pb2.ANNOTATION_KIND_POLYGON,
    annotation_pb2.ANNOTATION_KIND_MASK,
)


def drawn() -> Drawn:
    """An image of 100 × 50 pixels without annotations; its dataset has cars."""
    row = {"path": "a.jpg", "width": 100, "height": 50, **{name: [] for name in ANNOTATION_COLUMNS}}
    return Drawn(pa.Table.from_pylist([row], with_labels(DATASET_SCHEMA, label_schema(("car",)))))


def test_an_envelope_is_computed_where_there_is_no_bbox() -> None:
    mask = encode(open_lists(pa.array([[50 * 10 + 20, 5, 45, 5, 50 * 88 + 25]]))).to_pylist()[0]
    shapes = [
        dataset_pb2.Annotation(kind=POLYGON, rings=[{"points": [1, 2, 30, 2, 30, 40]}, {"points": [5, 5, 6, 5, 6, 6]}]),
        dataset_pb2.Annotation(kind=MASK, rle=mask, rle_size=[50, 100]),
        dataset_pb2.Annotation(
            kind=annotation_pb2.ANNOTATION_KIND_SKELETON,
            rings=[{"points": [0, 0, 10, 20, 12, 30]}],
            visibility=[0, 2, 1],
        ),
    ]
    assert drawn().columns(shapes)["bbox"] == [[1, 2, 29, 38], [10, 20, 2, 5], [10, 20, 2, 10]]


POINTS = {"points": [0, 0, 9, 0, 9, 9]}


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"kind": BOX, "bbox": [0, 0, 5, 5], "label": "cat"}, "label"),
        ({"kind": BOX, "bbox": [0, 0, 5, 5], "id": 5}, "id"),
        ({"kind": BOX, "bbox": [0, 0, 5, 5], "id": -5}, "id"),
        ({"kind": 0, "bbox": [0, 0, 5, 5]}, "kind"),
        ({"kind": BOX}, "bbox"),
        ({"kind": BOX, "bbox": [0, 0, 5]}, "bbox"),
        ({"kind": BOX, "bbox": [0, 0, 5, float("nan")]}, "bbox"),
        ({"kind": BOX, "bbox": [0, 0, 5, 0]}, "bbox"),
        ({"kind": BOX, "bbox": [100, 0, 5, 5]}, ""),
        ({"kind": BOX, "bbox": [0, -5, 5, 5]}, ""),
        ({"kind": BOX, "bbox": [0, 0, 5, 5], "rings": [POINTS]}, "rings"),
        ({"kind": POLYGON, "bbox": [0, 0, 5, 5]}, "rings"),
        ({"kind": POLYGON, "rings": [POINTS, {"points": [0, 0, 9, 0]}]}, "rings[1]"),
        ({"kind": POLYGON, "rings": [{"points": [0, 0, 9, 0, 9, 9, 1]}]}, "rings[0]"),
        ({"kind": POLYGON, "rings": [{"points": [0, 0, 9, 0, 9, float("inf")]}]}, "rings[0]"),
        ({"kind": POLYGON, "rings": [POINTS], "bbox": [0, 0, 20, 20]}, "bbox"),
        ({"kind": MASK, "rle": b"1", "rle_size": [100, 50]}, "rle_size"),
        ({"kind": MASK, "rle": b"1", "rle_size": [50, 100]}, "rle"),
        ({"kind": annotation_pb2.ANNOTATION_KIND_TAG}, "label"),
        ({"kind": annotation_pb2.ANNOTATION_KIND_TAG, "label": "car", "bbox": [0, 0, 5, 5]}, "bbox"),
        ({"kind": annotation_pb2.ANNOTATION_KIND_CAPTION}, "text"),
        ({"kind": annotation_pb2.ANNOTATION_KIND_SKELETON, "rings": [POINTS], "visibility": [1, 3, 0]}, "visibility"),
        ({"kind": annotation_pb2.ANNOTATION_KIND_CUBOID, "rings": [POINTS]}, "rings[0]"),
        ({"kind": BOX, "bbox": [0, 0, 5, 5], "flags": ["big"]}, "flags"),
        ({"kind": BOX, "bbox": [0, 0, 5, 5], "attributes": "[1]"}, "attributes"),
        ({"kind": BOX, "bbox": [0, 0, 5, 5], "attributes": '{"a": NaN}'}, "attributes"),
        ({"kind": BOX, "bbox": [0, 0, 5, 5], "score": float("inf")}, "score"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_cannot_be_is_refused_with_the_path_of_its_field(wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidArgument) as failure:
        drawn().columns([dataset_pb2.Annotation(kind=BOX, bbox=[1, 0, 5, 5], id=5), dataset_pb2.Annotation(**wrong)])
    details = [one for one in failure.value.details if hasattr(one, "field_violations")]
    assert [one.field for detail in details for one in detail.field_violations] == [
        f"annotations[1].{field}".rstrip(".")
    ]
