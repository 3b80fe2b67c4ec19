"""What of a dataset is written: selected rows, changed classes, the kinds of a task."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from whole_way import Imported, image, read, write

from framehouse.runtime import errors
from framehouse.store.frames import write_batches
from framehouse.store.tables import lance
from framehouse.v1.annotation_pb2 import Label
from framehouse.v1.conversion_pb2 import Loss, WriteOptions
from framehouse.v1.dataset_pb2 import (
    ANNOTATION_FATE_KEEP,
    ANNOTATION_FATE_REMOVE,
    TASK_DETECT,
    TASK_SEGMENT,
    TASK_UNSPECIFIED,
    ClassChange,
    DeleteClass,
    MergeClasses,
    RenameClass,
    ReorderClasses,
    Task,
)
from services.conversion import selection, writing

NDJSON = "ultralytics-ndjson"
CAT, DOG, BIRD = ([number, 0.5, 0.5, 0.2, 0.4] for number in range(3))
ANNOTATIONS = [
    {"boxes": [CAT, DOG]},
    {"boxes": [DOG], "segments": [[0, 0.1, 0.2, 0.5, 0.2, 0.5, 0.6]]},
    {"segments": [[2, 0.1, 0.2, 0.5, 0.2, 0.5, 0.6]]},
    {},
    {"boxes": [BIRD]},
    {"boxes": [CAT]},
]
"""Of images 0.jpg to 5.jpg; those of an odd number are of val."""


@pytest.fixture(scope="module")
def dataset() -> Imported:
    head = {"type": "dataset", "task": "segment", "name": "n", "class_names": {"0": "cat", "1": "dog", "2": "bird"}}
    lines: list[dict[str, Any]] = [head]
    for i, annotations in enumerate(ANNOTATIONS):
        split = ("train", "val")[i % 2]
        lines.append({"type": "image", "file": f"{i}.jpg", "split": split, "annotations": annotations})
    files = {f"images/{line['split']}/{line['file']}": image() for line in lines[1:]}
    return read({"d.ndjson": "\n".join(map(json.dumps, lines)), **files}, NDJSON)


def written(
    dataset: Imported,
    options: WriteOptions | None = None,
    *,
    task: Task = TASK_UNSPECIFIED,
    rows: list[int] | None = None,
) -> tuple[dict[str, Any], dict[str, Any], list[Loss]]:
    """The first line, the annotations of each image, and what is lost."""
    files, losses = write(dataset.table, dataset.shelf, NDJSON, NDJSON, options=options, task=task, rows=rows)
    first, *lines = [json.loads(line) for line in files["dataset.ndjson"].splitlines()]
    assert {line["file"] for line in lines} == {name.rpartition("/")[2] for name in files if name.endswith(".jpg")}
    rows_of = {line["file"]: line.get("annotations", {}) for line in lines}
    return first, {name: {key: each for key, each in lists.items() if each} for name, lists in rows_of.items()}, losses


def row_of(dataset: Imported, *numbers: int) -> list[int]:
    paths = dataset.table["path"].to_pylist()
    return sorted(paths.index(f"{number}.jpg") for number in numbers)


def test_selected_rows_alone_are_written_and_the_other_options_apply_to_them(dataset: Imported) -> None:
    _, found, losses = written(dataset, rows=row_of(dataset, 0, 3, 5))
    assert found == {f"{i}.jpg": ANNOTATIONS[i] for i in (0, 3, 5)}
    assert not losses
    _, found, _ = written(dataset, WriteOptions(splits=["val"]), rows=row_of(dataset, 0, 3, 5))
    assert set(found) == {"3.jpg", "5.jpg"}
    _, found, _ = written(dataset, WriteOptions(labels=["dog"], only_annotated=True), rows=row_of(dataset, 0, 3, 5))
    assert found == {"0.jpg": {"boxes": [[0, *DOG[1:]]]}, "3.jpg": {}}
    for options, rows in ((WriteOptions(), []), (WriteOptions(splits=["val"]), row_of(dataset, 0, 4))):
        with pytest.raises(errors.FailedPrecondition, match="no image"):
            written(dataset, options, rows=rows)


def test_a_plan_says_how_much_is_written(dataset: Imported, tmp_path: Path) -> None:
    table = lance.write_dataset(dataset.table, tmp_path / "t")
    asked = WriteOptions(format="ultralytics-detect")
    head, _ = writing.preview(table, NDJSON, asked)
    assert (head.image_count, head.annotation_count) == (6, 7)
    head, _ = writing.preview(table, NDJSON, asked, task=TASK_DETECT, rows=np.array(row_of(dataset, 1, 2)))
    assert (head.image_count, head.annotation_count) == (2, 1)


def test_classes_are_changed_before_they_are_chosen_and_nothing_of_it_is_a_loss(dataset: Imported) -> None:
    changes = [
        ClassChange(merge=MergeClasses(labels=["dog"], into="cat")),
        ClassChange(rename=RenameClass(label="cat", new_name="animal")),
        ClassChange(add=Label(name="fish")),
        ClassChange(reorder=ReorderClasses(labels=["bird"])),
    ]
    first, found, losses = written(dataset, WriteOptions(class_changes=changes))
    assert first["class_names"] == {"0": "bird", "1": "animal", "2": "fish"}
    assert [row[0] for row in found["0.jpg"]["boxes"]] == [1, 1]
    assert found["2.jpg"]["segments"][0][0] == 0
    assert not losses
    first, found, _ = written(dataset, WriteOptions(class_changes=changes, labels=["animal"]))
    assert first["class_names"] == {"0": "animal"}
    assert not found["4.jpg"]


def test_what_becomes_of_the_annotations_of_a_deleted_class_is_said(dataset: Imported) -> None:
    def options(fate: int) -> WriteOptions:
        delete = DeleteClass(label="dog", annotations=fate)  # type: ignore[arg-type]
        return WriteOptions(class_changes=[ClassChange(delete=delete)])

    first, found, losses = written(dataset, options(ANNOTATION_FATE_REMOVE))
    assert first["class_names"] == {"0": "cat", "1": "bird"}
    assert found["0.jpg"]["boxes"] == [CAT]
    assert not losses
    _, _, losses = written(dataset, options(ANNOTATION_FATE_KEEP))
    assert [(loss.code, loss.annotation_count) for loss in losses] == [("LABEL_MISSING", 2)]
    with pytest.raises(errors.FailedPrecondition, match="2 annotations to be written are of the class 'dog'"):
        written(dataset, options(0))
    _, found, _ = written(dataset, options(0), rows=row_of(dataset, 2, 5))
    assert set(found) == {"2.jpg", "5.jpg"}
    with pytest.raises(errors.InvalidArgument, match="no class 'dgo'"):
        written(dataset, WriteOptions(class_changes=[ClassChange(delete=DeleteClass(label="dgo"))]))


def test_annotations_of_another_task_are_held_back_and_told(dataset: Imported) -> None:
    first, found, losses = written(dataset, task=TASK_DETECT)
    assert first["task"] == "detect"
    assert [set(found[f"{i}.jpg"]) for i in (0, 1, 2, 4)] == [{"boxes"}, {"boxes"}, set(), {"boxes"}]
    assert [(loss.code, loss.subject, loss.annotation_count) for loss in losses] == [("OTHER_TASK", "polygon", 2)]
    first, found, losses = written(dataset, WriteOptions(task=TASK_UNSPECIFIED), task=TASK_DETECT)
    assert first["task"] == "segment"
    assert set(found["1.jpg"]) == {"boxes", "segments"}
    assert not losses
    _, found, _ = written(dataset, WriteOptions(task=TASK_SEGMENT, only_annotated=True), task=TASK_DETECT)
    assert set(found) == {"1.jpg", "2.jpg", "3.jpg"}


def test_strict_refuses_another_task_unless_it_was_asked_for(dataset: Imported) -> None:
    with pytest.raises(errors.FailedPrecondition, match="held back"):
        written(dataset, WriteOptions(strict=True), task=TASK_DETECT)
    _, _, losses = written(dataset, WriteOptions(strict=True, task=TASK_SEGMENT))
    assert {loss.code for loss in losses} == {"OTHER_TASK"}


def test_the_rows_of_a_selection_are_read_from_its_file(dataset: Imported) -> None:
    schema = pa.schema([("row", pa.int64())])
    batches = [pa.record_batch([pa.array(rows, pa.int64())], schema=schema) for rows in ([1, 4], [7])]
    write_batches(dataset.shelf, "jobs/rows", schema, batches)
    assert selection.selected_rows(dataset.shelf, "jobs/rows").tolist() == [1, 4, 7]
