"""`yolo-darknet` and `ultralytics-classify`: reading, writing, and what they cannot hold."""

import json
from pathlib import Path

import numpy as np
import pytest
from whole_way import Imported, detect, folder, image, packed, read, write

from framehouse.annotations.schema import Kind
from framehouse.runtime import errors

FIXTURES = Path(__file__).parents[4] / "shared" / "fixtures"
DARKNET = {
    "obj.data": "classes = 2\ntrain = data/train.txt\nvalid = data/valid.txt\nnames = data/obj.names\nbackup = b/\n",
    "obj.names": "cat\r\ndog\r\n\r\n",
    "train.txt": "data/obj_train_data/a/1.jpg\nC:\\data\\obj_train_data\\2.jpg\n",
    "valid.txt": "data/obj_valid_data/1.jpg\n",
    "obj_train_data/a/1.jpg": image(),
    "obj_train_data/a/1.txt": "1 0.5 0.5 0.2 0.4\n",
    "obj_train_data/2.jpg": image(),
    "obj_valid_data/1.jpg": image(),
    "obj_valid_data/1.txt": "",
}
CLASSES = {
    "top/train/cat/1.jpg": image(),
    "top/train/dog/deep/2.jpg": image(),
    "top/validation/cat/1.jpg": image(),
    "__MACOSX/top/train/cat/._1.jpg": b"\0",
}


def test_lists_say_the_splits() -> None:
    found = read(DARKNET, "yolo-1.1")
    assert not found.issues
    assert found.labels == ["cat", "dog"]
    assert {(row["split"], row["path"]) for row in found.rows().values()} == {
        ("train", "a/1.jpg"),
        ("train", "2.jpg"),
        ("val", "1.jpg"),
    }
    assert found.boxes("a/1.jpg") == [[40, 15, 20, 20]]
    assert detect({f"top/{name}": data for name, data in DARKNET.items()})["yolo-darknet"] > 0.9


def test_what_is_written_reads_the_same() -> None:
    found = read(DARKNET, "yolo-darknet")
    written, losses = write(found.table, found.shelf, "yolo-darknet", "yolo-darknet")
    assert not losses
    assert written["train.txt"] == b"data/obj_train_data/2.jpg\ndata/obj_train_data/a/1.jpg\n" or sorted(
        written["train.txt"].splitlines()
    ) == [b"data/obj_train_data/2.jpg", b"data/obj_train_data/a/1.jpg"]
    # Of three images one has a box, one was looked at in vain, and one nobody looked at.
    assert written["obj_valid_data/1.txt"] == b""
    assert written["obj_train_data/2.txt"] == b"\n"
    back = read(packed(written), "yolo-darknet")
    columns = [name for name in found.table.column_names if name != "original"]
    assert back.table.select(columns).sort_by("path").equals(found.table.select(columns).sort_by("path"))


def test_splits_that_darknet_does_not_know_are_told() -> None:
    found = read({"images/test/1.jpg": image(), "images/2.jpg": image()}, "image-dir")
    _, losses = write(found.table, found.shelf, "yolo-darknet")
    assert {(loss.code, loss.image_count) for loss in losses} == {("SPLIT_UNSUPPORTED", 2)}


def test_a_list_without_its_images_is_an_error() -> None:
    files = {name: data for name, data in DARKNET.items() if not name.endswith(".jpg")}
    with pytest.raises(errors.InvalidArgument, match="none of the images"):
        read({**files, "other/7.jpg": image()}, "yolo-darknet")


def test_folders_are_classes() -> None:
    found = read(CLASSES, "ultralytics-classify")
    assert found.labels == ["cat", "dog"]
    rows = found.rows()
    assert {(row["split"], path, row["annotations"][0]["label"]) for path, row in rows.items()} == {
        ("train", "train/cat/1.jpg", 0),
        ("train", "dog/deep/2.jpg", 1),
        ("val", "val/cat/1.jpg", 0),
    }
    assert {item["kind"] for row in rows.values() for item in row["annotations"]} == {Kind.TAG}
    ranked = detect(CLASSES)
    assert max(ranked, key=lambda name: ranked[name]) == "ultralytics-classify"
    plain = detect({"images/train/1.jpg": image(), "images/val/2.jpg": image()})
    assert "ultralytics-classify" not in plain


def test_classes_come_back() -> None:
    found = read(CLASSES, "ultralytics-classify")
    written, losses = write(found.table, found.shelf, "ultralytics-classify", "ultralytics-classify")
    assert not losses
    assert set(written) == {"train/cat/1.jpg", "train/dog/deep/2.jpg", "validation/cat/1.jpg"}
    back = read(packed(written), "ultralytics-classify")
    columns = [name for name in found.table.column_names if name != "original"]
    assert back.table.select(columns).sort_by("path").equals(found.table.select(columns).sort_by("path"))


def _of_coco(**annotation: object) -> Imported:
    """Three images, of the last only the name; the first and the last with an annotation."""
    coco = {
        "images": [{"id": i, "width": 100, "height": 50, "file_name": f"{i}.jpg"} for i in (1, 2, 3)],
        "categories": [{"id": 1, "name": "a/b"}, {"id": 2, "name": "c"}],
        "annotations": [{"id": i, "image_id": i, "category_id": 1, **annotation} for i in (1, 3)],
    }
    pictures = {f"images/train/{i}.jpg": image() for i in (1, 2)}
    kind = "instances" if annotation else "labels"
    return read({f"annotations/{kind}_train.json": json.dumps(coco), **pictures}, f"coco-{kind}")


def test_what_has_no_folder_is_told() -> None:
    found = _of_coco()
    written, losses = write(found.table, found.shelf, "ultralytics-classify")
    assert set(written) == {"train/a_b/1.jpg"}
    assert {loss.code: loss.image_count for loss in losses} == {
        "IMAGE_UNTAGGED": 1,
        "IMAGE_MISSING": 1,
        "CLASS_EMPTY": 0,
        "NAME_CHANGED": 0,
    }


@pytest.mark.parametrize(("annotation", "there"), [({"bbox": [1, 2, 3, 4]}, "there are box"), ({}, "and no bytes")])
def test_an_archive_of_nothing_is_refused(annotation: dict[str, object], there: str) -> None:
    found = _of_coco(**annotation)
    table = found.table if annotation else found.table.slice(2)
    with pytest.raises(
        errors.FailedPrecondition, match=rf"nothing would be written: .*{there}.*; choose a format"
    ) as said:
        write(table, found.shelf, "ultralytics-classify")
    assert said.value.reason == "NOTHING_TO_WRITE"
    with pytest.raises(errors.InvalidArgument, match="nothing beside the images; leave without_images out"):
        write(table, found.shelf, "ultralytics-classify", without_images=True)


@pytest.mark.skipif(not FIXTURES.is_dir(), reason="the fixtures are not here")
@pytest.mark.parametrize(
    "name",
    ["yolo-darknet/yolo.strict", "ultralytics-classify/yolov8_classification.dir.cvat", "image-zip/image_zip.dir"],
)
def test_a_fixture_reads_as_its_tool_reads_it(name: str) -> None:
    path = FIXTURES / name
    expected = json.loads((FIXTURES / "expected" / f"{path.name}.json").read_text())
    archives = [archive.read_bytes() for archive in sorted(path.glob("*.zip"))] or [folder(path)]
    found = [read(archive, path.parent.name) for archive in archives]
    rows = {key.rsplit(".", 1)[0]: row for one in found for key, row in one.rows().items()}
    assert found[0].labels == expected["labels"]
    assert set(rows) == {item["id"] for item in expected["items"]}
    for item in expected["items"]:
        ours, theirs = rows[item["id"]]["annotations"], item["annotations"]
        assert [found[0].labels[one["label"]] for one in ours] == [one["label"] for one in theirs]
        for mine, other in zip(ours, theirs, strict=True):
            if other["type"] == "bbox":
                assert np.allclose(mine["bbox"], other["bbox"], atol=0.01)
