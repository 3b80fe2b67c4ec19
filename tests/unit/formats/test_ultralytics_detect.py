"""`ultralytics-detect`: the traps of reading it, and what is written."""

import numpy as np
import pytest
import yaml
from whole_way import detect, image, packed, read, write

from framehouse.annotations.schema import Kind, State
from framehouse.runtime import errors
from services.conversion.ultralytics import finding as ultralytics_finding

NAMES = "names: [cat, dog]\n"
YAML = "path: .\ntrain: images/train\nval: images/val\n" + NAMES
ROW = "0 0.5 0.5 0.2 0.4\n"
BOX = [40.0, 15.0, 20.0, 20.0]


def one(row: bytes | str, names: str = NAMES) -> dict[str, bytes | str]:
    """A dataset of one image with the given label file."""
    return {
        "data.yaml": "train: images/train\nval: images/train\n" + names,
        "images/train/1.jpg": image(),
        "labels/train/1.txt": row,
    }


def test_boxes_become_pixels() -> None:
    found = read(one(ROW + "1 0.25 0.5 0.5 1\n"), "yolo")
    assert found.boxes("1.jpg") == [BOX, [0, 0, 50, 50]]
    assert [item["label"] for item in found.rows()["1.jpg"]["annotations"]] == [0, 1]
    assert [item["annotation_id"] for item in found.rows()["1.jpg"]["annotations"]] == [1, 2]
    assert found.labels == ["cat", "dog"]
    assert not found.issues


def test_it_is_detected() -> None:
    assert detect(one(ROW))["ultralytics-detect"] > 0.9
    assert "ultralytics-detect" not in detect({"1.jpg": image()})
    assert detect({"data.yaml": YAML}) == {}


@pytest.mark.parametrize(
    "row",
    [
        b"\xef\xbb\xbf0 0.5 0.5 0.2 0.4\n",
        "0 0.5 0.5 0.2 0.4\r\n\r\n",
        "0,0.5,0.5,0.2,0.4  \n",
        "  0\t0.5 0.5   0.2 0.4 \t ",
        "0.0 5e-1 .5 +0.2 0.4\n\n",
    ],
)
def test_byte_order_marks_line_ends_commas_and_blanks_are_read(row: bytes | str) -> None:
    found = read(one(row), "yolo")
    assert found.boxes("1.jpg") == [BOX]
    assert not found.issues


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ("0 0.5 oops 0.2 0.4\n", "LABEL_NOT_A_NUMBER"),
        ("0 0.5 nan 0.2 0.4\n", "LABEL_NOT_A_NUMBER"),
        ("2 0.5 0.5 0.2 0.4\n", "LABEL_CLASS_UNKNOWN"),
        ("-1 0.5 0.5 0.2 0.4\n", "LABEL_CLASS_UNKNOWN"),
        ("0.5 0.5 0.5 0.2 0.4\n", "LABEL_CLASS_UNKNOWN"),
        ("0 0.5 0.5 0.2\n", "LABEL_FIELD_COUNT"),
        ("0 0.5 0.5 0.2 0.4 0.9 0.9 0.9\n", "LABEL_FIELD_COUNT"),
        ("0 50 20 12 14\n", "BOX_OUTSIDE"),
        ("0 0.5 0.5 0 0.4\n", "BOX_EMPTY"),
    ],
)
def test_a_bad_row_is_left_out_and_told_with_its_line(row: str, code: str) -> None:
    found = read(one(f"{ROW}\n{row}{ROW}"), "yolo")
    assert found.boxes("1.jpg") == [BOX, BOX]
    (issue,) = found.issues
    assert (issue.code, issue.path, issue.line) == (code, "labels/train/1.txt", 3)
    assert issue.remedy


def test_a_label_file_that_is_too_large_to_be_one_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ultralytics_finding, "MAX_LABEL_BYTES", 100)
    found = read(one(ROW * 20), "yolo")
    assert found.boxes("1.jpg") == []
    assert [(issue.code, issue.path) for issue in found.issues] == [("LABEL_FILE_TOO_LARGE", "labels/train/1.txt")]
    monkeypatch.setattr(ultralytics_finding, "MAX_LABEL_BYTES", 1000)
    assert len(read(one(ROW * 20), "yolo").boxes("1.jpg")) == 20
    monkeypatch.setattr(ultralytics_finding, "MAX_SHARD_BYTES", 300)
    assert read(one(ROW * 20), "yolo").boxes("1.jpg") == []


def test_a_box_over_the_edge_is_kept_and_told() -> None:
    found = read(one("0 0.95 0.5 0.2 0.4\n"), "yolo")
    assert found.boxes("1.jpg") == [[85, 15, 20, 20]]
    assert found.codes() == {"BOX_REACHES_OUTSIDE"}
    assert not read(one("0 0.9333333 0.5 0.1333335 0.4\n"), "yolo").issues


def test_polygons_among_boxes_are_kept_as_polygons() -> None:
    found = read(one("1 0.1 0.2 0.5 0.2 0.5 0.6\n" + ROW), "yolo").rows()["1.jpg"]["annotations"]
    assert [item["kind"] for item in found] == [Kind.POLYGON, Kind.BOX]
    assert found[0]["rings"] == [[10, 10, 50, 10, 50, 30]]
    assert found[0]["bbox"] == [10, 10, 40, 20]


def test_a_sixth_number_is_a_score() -> None:
    found = read(one("0 0.5 0.5 0.2 0.4 0.75\n" + ROW), "yolo").rows()["1.jpg"]["annotations"]
    assert [item["score"] for item in found] == [0.75, None]


@pytest.mark.parametrize(
    ("names", "expected", "codes"),
    [
        ("names: [cat, dog]", ["cat", "dog"], set()),
        ("names: {0: cat, 2: dog}", ["cat", "class_1", "dog"], {"CLASS_NAME_MISSING"}),
        ("names: [cat, cat]", ["cat", "cat (1)"], {"CLASS_NAME_REPEATED"}),
        ("nc: 2", ["class_0", "class_1"], {"CLASS_NAME_MISSING"}),
        ("nc: 1\nnames: [cat, dog]", ["cat", "dog"], {"CLASS_COUNT_DIFFERS"}),
        ("names: ['кот', '犬 1.5']", ["кот", "犬 1.5"], set()),
        ("names: {'0': 7}", ["7"], set()),
    ],
)
def test_names_are_read_from_lists_and_maps(names: str, expected: list[str], codes: set[str]) -> None:
    found = read(one(ROW, names), "yolo")
    assert found.labels == expected
    assert found.codes() == codes


@pytest.mark.parametrize("path", ["path: .\n", "path: /datasets/mine\n", "path: ../datasets/mine\n", ""])
@pytest.mark.parametrize("value", ["images/train", "./images/train/", "../images/train", "/datasets/mine/images/train"])
def test_the_path_may_be_absolute_or_missing(path: str, value: str) -> None:
    files = {
        "top/data.yaml": f"{path}train: {value}\nval:\n{NAMES}",
        "top/images/train/a/1.jpg": image(),
        "top/labels/train/a/1.txt": ROW,
    }
    found = read(files, "yolo").rows()["a/1.jpg"]
    assert found["split"] == "train"
    assert len(found["annotations"]) == 1


def test_both_orders_of_folders_and_all_spellings_of_val_are_read() -> None:
    files = {
        "data.yaml": "train: ../train/images\nval: ../valid/images\ntest: ../test/images\n" + NAMES,
        "train/images/1.jpg": image(),
        "train/labels/1.txt": ROW,
        "valid/images/2.jpg": image(),
        "valid/labels/2.txt": ROW,
    }
    found = read(files, "yolo")
    rows = found.rows()
    assert {path: (row["split"], row["split_name"]) for path, row in rows.items()} == {
        "1.jpg": ("train", "train"),
        "2.jpg": ("val", "valid"),
    }
    assert all(len(row["annotations"]) == 1 for row in rows.values())
    assert found.codes() == {"SPLIT_EMPTY"}


def test_splits_may_be_lists_of_folders_or_of_images() -> None:
    files = {
        "data.yaml": f"train: [images/a, images/b]\nval: lists/val.txt\n{NAMES}",
        "lists/val.txt": "./images/c/3.jpg\r\n/home/me/images/c/4 x.jpg\n\n",
        **{f"images/{name}.jpg": image() for name in ("a/1", "b/2", "c/3", "c/4 x")},
        **{f"labels/{name}.txt": ROW for name in ("a/1", "b/2", "c/3", "c/4 x")},
    }
    rows = read(files, "yolo").rows()
    assert {path: row["split"] for path, row in rows.items()} == {
        "1.jpg": "train",
        "2.jpg": "train",
        "c/3.jpg": "val",
        "c/4 x.jpg": "val",
    }
    assert all(len(row["annotations"]) == 1 for row in rows.values())


def test_one_base_name_in_two_folders_and_two_splits_stays_apart() -> None:
    names = ("train/a/1", "train/b/1", "train/2", "val/2")
    files = {"data.yaml": YAML, **{f"images/{name}.jpg": image() for name in names}}
    files |= {f"labels/{name}.txt": ROW * (i + 1) for i, name in enumerate(names)}
    found = read(files, "yolo")
    counts = {path: len(row["annotations"]) for path, row in found.rows().items()}
    assert counts == {"a/1.jpg": 1, "b/1.jpg": 2, "train/2.jpg": 3, "val/2.jpg": 4}
    again, _ = write(found.table, found.shelf, "yolo")
    assert {name for name in again if name.endswith(".jpg")} == {f"images/{name}.jpg" for name in names}


def test_images_without_labels_are_kept_and_empty_files_are_remembered() -> None:
    files = {"data.yaml": YAML, "images/train/1.jpg": image(), "images/train/2.jpg": image(), "labels/train/2.txt": ""}
    files |= {"images/val/3.jpg": image(), "labels/val/3.txt": ROW}
    found = read(files, "yolo")
    assert {path: len(row["annotations"]) for path, row in found.rows().items()} == {"1.jpg": 0, "2.jpg": 0, "3.jpg": 1}
    assert found.rows()["3.jpg"]["state"] == State.ANNOTATED


def test_a_label_without_its_image_is_an_issue() -> None:
    found = read({**one(ROW), "labels/train/2.txt": ROW}, "yolo")
    assert [(issue.code, issue.path) for issue in found.issues] == [("LABEL_WITHOUT_IMAGE", "labels/train/2.txt")]


def test_labels_that_all_miss_their_images_are_an_error_with_near_matches() -> None:
    files = {"data.yaml": YAML, "images/train/cat_001.jpg": image(), "labels/train/cat_0001.txt": ROW}
    with pytest.raises(errors.InvalidArgument, match=r"cat_0001\.txt; near is an image cat_001"):
        read(files, "yolo")


def test_images_that_no_split_names_are_kept_where_they_lie_among_images() -> None:
    files = {**one(ROW), "images/test/9.jpg": image(), "labels/test/9.txt": ROW, "plots/results.png": image(kind="PNG")}
    found = read(files, "yolo")
    assert {path: row["split"] for path, row in found.rows().items()} == {"1.jpg": "train", "9.jpg": "test"}
    assert [(issue.code, issue.path) for issue in found.issues] == [("IMAGE_NOT_LISTED", "plots/results.png")]


@pytest.mark.parametrize(
    ("files", "text"),
    [
        ({"1.jpg": b"x"}, "no data.yaml"),
        ({"data.yaml": "names: [a\ntrain: x", "1.jpg": b"x"}, r"data\.yaml, line 2"),
        ({"data.yaml": "train: images/train\nnames: []", "images/train/1.jpg": b"x"}, "names no classes"),
        ({"data.yaml": "train: there\nnames: [a]", "here/1.jpg": b"x"}, "it has some in here"),
        ({"data.yaml": "names: [a]"}, "holds no images"),
        ({"data.yaml": "names: [a]\nkpt_shape: [3, 2]", "images/1.jpg": b"x"}, "kpt_shape"),
    ],
)
def test_what_is_no_such_dataset_is_refused_with_a_reason(files: dict[str, bytes | str], text: str) -> None:
    with pytest.raises(errors.InvalidArgument, match=text):
        read(files, "yolo")


def test_an_unknown_format_is_refused_with_near_matches() -> None:
    with pytest.raises(errors.InvalidArgument, match=r"did you mean ultralytics-detect .*Known are: .*coco-instances"):
        read(one(ROW), "ultralytics-detct")


def test_an_unreadable_image_takes_its_labels_with_it() -> None:
    files = {**one(ROW), "images/train/2.jpg": b"no image", "labels/train/2.txt": ROW}
    found = read(files, "yolo")
    assert list(found.rows()) == ["1.jpg"]


def test_what_is_written_is_what_was_read() -> None:
    files = {
        "data.yaml": YAML.replace("[cat, dog]", "{0: 'кот', 1: 'yes', 2: '3'}"),
        "images/train/ä b.1.jpg": image(),
        "labels/train/ä b.1.txt": ROW + "2 0.100001 0.200002 0.1 0.2\n1 0.5 0.5 1 1\n",
        "images/val/2.jpg": image(30, 40),
        "labels/val/2.txt": "",
        "images/val/3.jpg": image(30, 40),
    }
    found = read(files, "yolo")
    written, losses = write(found.table, found.shelf, "yolo", "ultralytics-detect")
    assert not losses
    assert written["labels/train/ä b.1.txt"].decode().splitlines()[1] == "2 0.100001 0.200002 0.100000 0.200000"
    assert written["images/train/ä b.1.jpg"] == files["images/train/ä b.1.jpg"]
    assert yaml.safe_load(written["data.yaml"])["names"] == {0: "кот", 1: "yes", 2: "3"}
    again = read(packed(written), "yolo")
    assert again.labels == found.labels
    for path, row in found.rows().items():
        assert again.rows()[path]["split"] == row["split"]
        assert np.allclose(again.boxes(path), found.boxes(path), atol=1e-4)
    assert write(found.table, found.shelf, "yolo", "ultralytics-detect")[0] == written


def test_a_missing_val_split_is_stood_in_for_and_does_not_come_back_as_one() -> None:
    found = read({**one(ROW)}, "yolo")
    written, _ = write(found.table, found.shelf, "yolo", without_images=True)
    content = yaml.safe_load(written["data.yaml"])
    assert (content["train"], content["val"]) == ("images/train", "images/train")
    assert b"# There is no val split" in written["data.yaml"]
    assert "images/train/1.jpg" not in written
    val_only = {"data.yaml": YAML, "images/val/1.jpg": image(), "labels/val/1.txt": ROW}
    found = read(val_only, "yolo")
    written, _ = write(found.table, found.shelf, "yolo")
    assert [row["split"] for row in read(packed(written), "yolo").rows().values()] == ["val"]


def test_names_that_would_share_a_label_file_are_changed_and_told() -> None:
    files = {**one(ROW), "images/train/1.png": image(10, 10, "PNG")}
    found = read(files, "yolo")
    written, losses = write(found.table, found.shelf, "yolo")
    assert {name for name in written if name.startswith("images")} == {"images/train/1.jpg", "images/train/1_png.png"}
    assert [loss.code for loss in losses] == ["NAME_CHANGED"]


def test_a_folder_called_images_inside_a_name_keeps_its_labels() -> None:
    files = {"data.yaml": YAML, "images/train/images/1.jpg": image(), "images/train/labels/1.txt": ROW}
    found = read(files, "yolo")
    assert found.boxes("1.jpg") == [BOX] or found.boxes("images/1.jpg") == [BOX]
