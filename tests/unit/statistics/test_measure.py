"""Statistics of small tables, against numbers worked out by hand."""

from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pytest

from framehouse.annotations.labels import label_schema
from framehouse.annotations.schema import DATASET_SCHEMA, Kind
from framehouse.v1 import statistics_pb2
from services.statistics.measure import distribution, measure

LABELS = label_schema(["car", "tree", "never"])


def image(split: str, objects: list[tuple[Kind, int, list[float] | None]], **columns: Any) -> dict[str, Any]:
    known = {"split": split, "width": 100, "height": 50, "bytes": 1000, "format": "jpeg"} | columns
    kinds, labels, boxes = ([item[i] for item in objects] for i in range(3))
    return known | {"kind": kinds, "label": labels, "bbox": boxes}


IMAGES = [
    image("val", [(Kind.BOX, 0, [0, 0, 10, 20]), (Kind.BOX, 0, [1, 1, 30, 10]), (Kind.TAG, 1, None)]),
    image("", [], bytes=3000, format="png"),
    image("train", [(Kind.POLYGON, 1, [0, 0, 20, 50])], width=200, height=100),
    image("extra", [(Kind.CAPTION, -1, None)], width=None, height=None, bytes=None, format=None),
    image("train", [], format="png"),
    image("test", [(Kind.BOX, 0, [5, 5, 40, 50])], format="png"),
]


def measured(images: list[dict[str, Any]], rows: int = 2) -> statistics_pb2.Statistics:
    table = pa.Table.from_pylist(images, DATASET_SCHEMA)

    def scan(columns: list[str]) -> Iterable[pa.RecordBatch]:
        return table.select(columns).to_batches(max_chunksize=rows)

    return measure(scan, LABELS)


def test_images_and_annotations_are_counted() -> None:
    statistics = measured(IMAGES)
    assert statistics.image_count == 6
    assert statistics.annotated_image_count == 4
    assert statistics.annotation_count == 6
    assert [(kind.kind, kind.annotation_count) for kind in statistics.kinds] == [
        ("tag", 1),
        ("box", 3),
        ("polygon", 1),
        ("caption", 1),
    ]
    assert [(one.format, one.image_count) for one in statistics.image_formats] == [("png", 3), ("jpeg", 2)]


def test_splits_come_in_the_usual_order_then_by_name() -> None:
    splits = [(split.split, split.image_count) for split in measured(IMAGES).splits]
    assert splits == [("train", 2), ("val", 1), ("test", 1), ("", 1), ("extra", 1)]


def test_a_class_is_counted_once_an_image_and_listed_where_it_never_occurs() -> None:
    classes = [(one.label, one.annotation_count, one.image_count) for one in measured(IMAGES).classes]
    assert classes == [("car", 3, 2), ("tree", 2, 2), ("never", 0, 0)]


def test_sizes_are_summed_up_without_what_is_unknown() -> None:
    statistics = measured(IMAGES)
    width = statistics.image_width
    assert (width.count, width.min, width.max, width.mean, width.median) == (5, 100, 200, 120, 100)
    assert list(width.histogram) == [4] + [0] * 18 + [1]
    assert (statistics.image_bytes.count, statistics.image_bytes.mean) == (5, 1400)
    objects = statistics.objects_per_image
    assert (objects.count, objects.min, objects.max, objects.mean, objects.median) == (6, 0, 3, 1, 1)


def test_boxes_are_measured_in_pixels_and_relative_to_their_image() -> None:
    statistics = measured(IMAGES)
    width, height, area = statistics.box_width, statistics.box_height, statistics.box_relative_area
    assert (width.count, width.min, width.max, width.mean, width.median) == (4, 10, 40, 25, 25)
    assert (height.count, height.min, height.max, height.mean, height.median) == (4, 10, 50, 32.5, 35)
    # 200 / 5000, 300 / 5000, 1000 / 20000, 2000 / 5000
    assert (area.count, area.min, area.max) == (4, pytest.approx(0.04), pytest.approx(0.4))
    assert (area.mean, area.median) == (pytest.approx(0.1375), pytest.approx(0.055))


def test_the_size_of_the_batches_does_not_matter() -> None:
    assert measured(IMAGES, rows=1) == measured(IMAGES, rows=100)


def test_a_dataset_without_annotations_has_statistics() -> None:
    statistics = measured([image("train", [])])
    assert statistics.image_count == 1
    assert statistics.annotation_count == 0
    assert statistics.box_width == statistics_pb2.Distribution()
    assert [one.annotation_count for one in statistics.classes] == [0, 0, 0]


def test_a_table_without_rows_or_labels_has_statistics() -> None:
    batch = pa.RecordBatch.from_pylist([], DATASET_SCHEMA)
    empty = statistics_pb2.Statistics(
        objects_per_image={}, image_width={}, image_height={}, image_bytes={},
        box_width={}, box_height={}, box_relative_area={},
    )  # fmt: skip
    assert measure(lambda columns: [batch.select(columns)], label_schema([])) == empty


def test_equal_numbers_fall_into_the_first_bin() -> None:
    import numpy as np

    summed = distribution(np.full(7, 3.5))
    assert list(summed.histogram) == [7] + [0] * 19
    assert (summed.min, summed.max, summed.median) == (3.5, 3.5, 3.5)
