"""Images without labels: found, put into splits by their folders, and written as they were read."""

import json

import pytest
from whole_way import detect, image, packed, read, write

from framehouse.runtime import errors

FILES = {
    "train/a.png": image(40, 30, "PNG"),
    "validation/a.png": image(41, 30, "PNG"),
    "images/test/deep/b.png": image(42, 30, "PNG"),
    "c.png": image(43, 30, "PNG"),
    "other/d.png": image(44, 30, "PNG"),
}


def test_folders_name_the_splits() -> None:
    found = read(packed(FILES), "image-dir")
    assert not found.codes()
    assert {path: row["split"] for path, row in found.rows().items()} == {
        "train/a.png": "train",
        "val/a.png": "val",
        "deep/b.png": "test",
        "c.png": "",
        "other/d.png": "",
    }
    assert found.table["state"].to_pylist() == [0] * 5
    assert found.labels == []


def test_what_is_written_is_read_again() -> None:
    found = read(packed(FILES), "image-dir")
    files, losses = write(found.table, found.shelf, "image-dir", "image-dir")
    assert sorted(files) == [
        "images/default/c.png",
        "images/default/other/d.png",
        "images/test/deep/b.png",
        "images/train/a.png",
        "images/validation/a.png",
    ]
    assert not losses
    again = read(packed(files), "image-dir")
    columns = [name for name in found.table.column_names if name != "original"]
    assert again.table.select(columns).sort_by("path").equals(found.table.select(columns).sort_by("path"))


def test_what_has_annotations_is_written_without_them_and_says_so() -> None:
    files = {
        "data.yaml": "names: [car]\n",
        "images/train/a.png": image(40, 30, "PNG"),
        "labels/train/a.txt": "0 0.5 0.5 0.5 0.5\n",
    }
    found = read(packed(files), "ultralytics-detect")
    written, losses = write(found.table, found.shelf, "image-dir")
    assert written == {"images/train/a.png": files["images/train/a.png"]}
    assert [(loss.subject, loss.annotation_count, loss.fallback) for loss in losses] == [("box", 1, "left out")]


def test_it_is_guessed_only_where_nothing_could_be_labels() -> None:
    assert detect(packed({"a.png": b""})) == {"image-dir": 0.6}
    assert detect(packed({"a.png": b"", "a.xml": b""})) == {}
    assert detect(packed({"a.md": b""})) == {}


def test_an_archive_without_images_is_refused() -> None:
    with pytest.raises(errors.InvalidArgument, match="no images"):
        read(packed({"a.txt": b""}), "image-dir")


def test_names_without_bytes_are_left_out_and_told_and_alone_refused() -> None:
    listed = [{"id": i, "width": 40, "height": 30, "file_name": f"{name}.png"} for i, name in enumerate("ab")]
    files = {"annotations/image_info_val.json": json.dumps({"images": listed}), "val/a.png": image(40, 30, "PNG")}
    found = read(packed(files), "coco-image-info")
    written, losses = write(found.table, found.shelf, "image-dir")
    assert list(written) == ["images/val/a.png"]
    assert [(loss.code, loss.image_count) for loss in losses] == [("IMAGE_MISSING", 1)]
    with pytest.raises(errors.FailedPrecondition, match="there are names, and no bytes"):
        write(found.table.slice(1), found.shelf, "image-dir")
