"""What is written for Ultralytics keeps the rules that it publishes for data.yaml and label files."""

import json
from collections.abc import Collection

import pytest
from scene import dataset, scene
from ultralytics_rules import broken

from tests.unit.formats.whole_way import write

TASKS = {"detect": "box", "segment": "polygon", "pose": "skeleton", "obb": "turned", "classify": "tag"}
"""And the type of annotations of each."""


def written(task: str, splits: Collection[str] = ("train", "val", "test")) -> dict[str, bytes]:
    items = scene({TASKS[task]}, splits, single=task == "classify")
    ours = dataset(items)
    files, losses = write(ours.table, ours.shelf, f"ultralytics-{task}")
    assert {loss.code for loss in losses} <= {"IMAGE_UNTAGGED", "EDGES_UNSUPPORTED"}
    return files


@pytest.mark.parametrize("task", TASKS)
def test_the_rules_are_kept(task: str) -> None:
    files = written(task)
    assert not broken(files, task)
    if task != "classify":
        rows = [data for name, data in files.items() if name.startswith("labels/")]
        assert sum(data.count(b"\n") for data in rows) == sum(len(item.annotations) for item in scene({TASKS[task]}))
        assert b"" in rows


@pytest.mark.parametrize("task", ["detect", "pose"])
@pytest.mark.parametrize("split", ["train", "val"])
def test_one_split_is_enough(task: str, split: str) -> None:
    assert not broken(written(task, [split]), task)


@pytest.mark.parametrize(
    ("task", "name", "old", "new"),
    [
        ("detect", "data.yaml", b"val: images/val", b""),
        ("detect", "data.yaml", b"  1: cat", b"  7: cat"),
        ("detect", "data.yaml", b"images/val", b"images/valid"),
        ("detect", "labels/val/third.txt", b"1 ", b"3 "),
        (
            "detect",
            "labels/val/third.txt",
            b" 0.",
            b" 1.",
        ),
        ("detect", "labels/val/third.txt", b"\n", b" 0.5\n"),
        ("segment", "labels/val/third.txt", b"\n", b" 0.5\n"),
        ("pose", "data.yaml", b"kpt_shape", b"shape"),
        ("pose", "labels/val/third.txt", b"\n", b" 0.5\n"),
        ("obb", "labels/val/third.txt", b"\n", b" 0.5 0.5\n"),
    ],
)
def test_a_broken_rule_is_found(task: str, name: str, old: bytes, new: bytes) -> None:
    files = written(task)
    assert old in files[name]
    files[name] = files[name].replace(old, new)
    assert broken(files, task)


def test_the_rules_of_ndjson_are_kept() -> None:
    items = scene(set(TASKS.values()))
    ours = dataset(items)
    files, _ = write(ours.table, ours.shelf, "ultralytics-ndjson")
    assert not broken(files, "ndjson")
    (name,) = (name for name in files if name.endswith(".ndjson"))
    lines = list(map(json.loads, files[name].splitlines()))[1:]
    found = sum(len(rows) for line in lines for rows in line.get("annotations", {}).values())
    assert found == sum(len(item.annotations) for item in items)
    for old, new in ((b'"1":', b'"7":'), (b'"train"', b'"training"'), (b"[0,", b"[5,"), (b",0.", b",1.")):
        assert broken(files | {name: files[name].replace(old, new)}, "ndjson")


def test_a_label_file_elsewhere_is_found() -> None:
    files = written("detect")
    files["images/val/third.txt"] = files.pop("labels/val/third.txt")
    assert broken(files, "detect") == ["images/val/third.txt belongs to no image"]
