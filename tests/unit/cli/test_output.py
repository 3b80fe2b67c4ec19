"""What commands print."""

import pytest

from framehouse.cli.output import number, plain, size
from framehouse.v1 import dataset_pb2


def test_json_has_every_field_with_numbers_as_numbers() -> None:
    dataset = dataset_pb2.Dataset(name="users/local/datasets/cars", image_count=2**40)
    dataset.splits.add(split="train", image_count=3)
    dataset.create_time.FromJsonString("2026-01-02T03:04:05Z")
    document = plain(dataset)
    assert document["imageCount"] == 2**40
    assert document["annotationCount"] == 0
    assert document["splits"] == [{"split": "train", "imageCount": 3}]
    assert (document["createTime"], document["updateTime"]) == ("2026-01-02T03:04:05Z", None)
    assert document["issues"] == []


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (999_999, "1.0 MB")])
def test_sizes_are_readable(count: int, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(("value", "text"), [(1234567, "1,234,567"), (0.04213, "0.0421"), (12.34, "12.3"), (3.0, "3")])
def test_numbers_are_readable(value: float, text: str) -> None:
    assert number(value) == text
