"""What planning to write holds of annotations, and how much one step writes, whatever the dataset."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from lance import write_dataset

from framehouse.annotations.labels import label_schema, with_labels
from framehouse.annotations.schema import DATASET_SCHEMA
from framehouse.v1.conversion_pb2 import WriteOptions
from framehouse.v1.dataset_pb2 import TASK_UNSPECIFIED
from services.conversion import layout, scanning, selection, writing
from services.conversion.registry import lookup_written
from tests.benchmarks import big_table

IMAGES = 300
HELD = {"ultralytics-detect": 14, "ultralytics-ndjson": 14, "datumaro": 14, "cvat-images": 14, "pascal-voc": 22}
"""Bytes of a box at most; VOC looks at its id too."""


@pytest.mark.parametrize(("name", "most"), HELD.items())
def test_boxes_are_not_held_while_writing_is_planned(name: str, most: int, tmp_path: Path) -> None:
    rows = big_table.rows_of(np.random.default_rng(1), "0" * 32, 0, IMAGES)
    schema = with_labels(DATASET_SCHEMA, label_schema(big_table.CLASSES))
    table = write_dataset(rows.cast(schema), str(tmp_path))
    classes = selection.choose_labels(WriteOptions(), label_schema(big_table.CLASSES))
    images = table.to_table(columns=["width", "height", "state"])
    found = scanning.scan(
        table, np.arange(IMAGES), images, None, lookup_written(name), WriteOptions(), classes, TASK_UNSPECIFIED
    )
    said = [name for name in found.annotations.column_names if found.annotations[name].null_count == 0]
    assert found.written == found.annotations.num_rows > IMAGES
    assert found.annotations.select(said).nbytes <= most * found.written


def test_losses_of_batches_add_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rows = big_table.rows_of(np.random.default_rng(1), "0" * 32, 0, IMAGES)
    # Half as large: boxes are cut at the borders, or lie outside.
    for name in ("width", "height"):
        at = rows.schema.get_field_index(name)
        rows = rows.set_column(at, rows.schema.field(at), pa.array(rows[name].to_numpy() // 2, pa.int32()))
    schema = with_labels(DATASET_SCHEMA, label_schema(big_table.CLASSES))
    table = write_dataset(rows.cast(schema), str(tmp_path))
    options = WriteOptions(format="ultralytics-detect", labels=["class 01", "class 00"])
    whole = writing.preview(table, "", options)
    monkeypatch.setattr(scanning, "BATCH_IMAGES", 7)
    assert writing.preview(table, "", options) == whole
    assert {loss.code for loss in whole[1]} == {"BOX_OUTSIDE", "BOX_CLIPPED"}


def test_a_step_writes_a_bounded_number_of_annotations() -> None:
    weights = np.array([3, 3, 3, 50, 1, 1, 1, 1, 1])
    assert layout.write_starts(weights, 4, 9) == [0, 3, 4, 8, 9]
    assert layout.write_starts(np.zeros(10, np.int64), 4, 9) == [0, 4, 8, 10]
