"""`coco-instances`: the traps of reading it, and what is written."""

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as peer
from pycocotools.coco import COCO
from whole_way import detect, image, packed, read, write

from framehouse.annotations.labels import labels_of
from framehouse.annotations.schema import Flag, Kind
from framehouse.runtime import errors
from services.conversion.coco import planning as coco_planning

BOX = [10.0, 5.0, 20.0, 10.0]
SQUARE = [10.0, 10.0, 20.0, 10.0, 20.0, 20.0, 10.0, 20.0]


def annotation(**changes: Any) -> dict[str, Any]:
    base = {"id": 1, "image_id": 7, "category_id": 3, "bbox": BOX, "area": 200, "iscrowd": 0, "segmentation": []}
    return {**base, **changes}


def content(*annotations: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "images": [{"id": 7, "width": 100, "height": 50, "file_name": "1.jpg"}],
        "annotations": list(annotations),
        "categories": [{"id": 3, "name": "cat", "supercategory": "animal"}, {"id": 90, "name": "dog"}],
        **changes,
    }


def archive(body: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"annotations/instances_train.json": json.dumps(body), "images/train/1.jpg": image(), **more}


def one(*annotations: dict[str, Any], **changes: Any) -> Any:
    """What is read of a dataset of one image."""
    return read(archive(content(*annotations, **changes)), "coco")


def records(found: Any) -> list[dict[str, Any]]:
    return found.rows()["1.jpg"]["annotations"]


def test_boxes_polygons_and_masks_are_told_apart() -> None:
    raster = np.zeros((50, 100), np.uint8)
    raster[2:9, 3:7] = 1
    packed_mask = peer.encode(np.asfortranarray(raster))
    lengths = [3 * 50 + 2, 7, 43, 7, 43, 7, 43, 7, 93 * 50 + 41]
    found = one(
        annotation(id=1),
        annotation(id=2, segmentation=[SQUARE, [1, 1, 5, 1, 5, 5]]),
        annotation(id=3, segmentation={"size": [50, 100], "counts": packed_mask["counts"].decode()}),
        annotation(id=4, segmentation={"size": [50, 100], "counts": lengths}, iscrowd=1),
    )
    kinds = [Kind.BOX, Kind.POLYGON, Kind.MASK, Kind.MASK]
    assert [item["kind"] for item in records(found)] == kinds
    assert [item["annotation_id"] for item in records(found)] == [1, 2, 3, 4]
    assert records(found)[1]["rings"] == [SQUARE, [1, 1, 5, 1, 5, 5]]
    assert records(found)[2]["rle"] == records(found)[3]["rle"] == packed_mask["counts"]
    assert records(found)[3]["rle_size"] == [50, 100]
    assert all(item["bbox"] == BOX for item in records(found))
    assert [item["area"] for item in records(found)] == [200] * 4
    assert [item["rings"] is None for item in records(found)] == [True, False, True, True]
    assert not found.issues


def test_crowd_is_what_iscrowd_says_whatever_the_encoding() -> None:
    mask = {"size": [50, 100], "counts": [0, 5000]}
    found = one(
        annotation(segmentation=[SQUARE], iscrowd=1),
        annotation(id=2, segmentation=mask, iscrowd=0),
        annotation(id=3, segmentation=mask, iscrowd=True),
    )
    assert [item["flags"] for item in records(found)] == [Flag.CROWD, 0, Flag.CROWD]


def test_sparse_and_zero_based_ids_are_mapped() -> None:
    body = content(
        annotation(image_id=0, category_id=0),
        annotation(image_id=0, category_id=90),
        images=[{"id": 0, "width": 100, "height": 50, "file_name": "1.jpg"}],
        categories=[{"id": 90, "name": "dog"}, {"id": 0, "name": "cat"}],
    )
    found = read(archive(body), "coco")
    assert found.labels == ["dog", "cat"]
    assert [label.source_id for label in labels_of(found.table.schema).labels] == [90, 0]
    assert [item["label"] for item in records(found)] == [1, 0]


def test_ids_may_be_text_or_whole_numbers_with_a_point() -> None:
    body = content(
        annotation(image_id="a7", category_id="c", id="x"),
        images=[{"id": "a7", "width": 100, "height": 50, "file_name": "1.jpg"}],
        categories=[{"id": "c", "name": "cat"}],
    )
    assert len(records(read(archive(body), "coco"))) == 1
    assert len(records(one(annotation(image_id=7.0, category_id=3.0)))) == 1


def test_two_categories_of_one_name_stay_apart() -> None:
    found = one(annotation(category_id=4), categories=[{"id": 3, "name": "cat"}, {"id": 4, "name": "cat"}])
    assert found.labels == ["cat", "cat (4)"]
    assert records(found)[0]["label"] == 1
    assert found.codes() == {"CLASS_NAME_REPEATED"}


def test_categories_of_several_files_are_merged_by_name() -> None:
    other = content(
        annotation(category_id=1, image_id=1),
        images=[{"id": 1, "width": 100, "height": 50, "file_name": "1.jpg"}],
        categories=[{"id": 1, "name": "dog"}, {"id": 2, "name": "bird"}],
    )
    files = archive(content(annotation()))
    files |= {"annotations/instances_valid2017.json": json.dumps(other), "images/valid2017/1.jpg": image()}
    found = read(files, "coco")
    assert found.labels == ["cat", "dog", "bird"]
    rows = found.rows()
    assert {path: (row["split"], row["split_name"]) for path, row in rows.items()} == {
        "train/1.jpg": ("train", "train"),
        "val/1.jpg": ("val", "valid2017"),
    }
    assert rows["val/1.jpg"]["annotations"][0]["label"] == 1
    again, _ = write(found.table, found.shelf, "coco", "coco-instances")
    assert {name for name in again if name.endswith(".jpg")} == {"images/train/1.jpg", "images/valid2017/1.jpg"}


def test_a_ring_of_under_three_points_is_told_and_the_box_kept() -> None:
    found = one(annotation(segmentation=[[1, 2, 3, 4]]), annotation(id=2, segmentation=[[1, 2, 3, 4], SQUARE]))
    assert [item["kind"] for item in records(found)] == [Kind.BOX, Kind.POLYGON]
    assert records(found)[1]["rings"] == [SQUARE]
    assert found.counts == {"RING_TOO_SHORT": 2}


@pytest.mark.parametrize(
    ("changes", "code", "kept"),
    [
        ({"image_id": 8}, "ANNOTATION_WITHOUT_IMAGE", 0),
        ({"category_id": 4}, "LABEL_CLASS_UNKNOWN", 0),
        ({"category_id": None}, "LABEL_CLASS_UNKNOWN", 0),
        ({"bbox": None}, "BOX_MISSING", 0),
        ({"bbox": [1, 2, 3]}, "BOX_MISSING", 0),
        ({"bbox": [1, 2, 0, 3]}, "BOX_EMPTY", 0),
        ({"bbox": ["1", 2, 3, 4]}, "BOX_MISSING", 0),
        ({"segmentation": [["a", 1, 2, 3, 4, 5]]}, "SEGMENTATION_INVALID", 1),
        ({"segmentation": {"size": [50, 100], "counts": [1, 2]}}, "MASK_INVALID", 1),
        ({"segmentation": {"size": [50, 100], "counts": "oooo"}}, "MASK_INVALID", 1),
        ({"segmentation": {"counts": 5}}, "MASK_INVALID", 1),
        ({"iscrowd": "maybe"}, "ANNOTATION_INVALID", 0),
        ({"area": float("nan")}, None, 1),
        ({"segmentation": [], "score": 0.5}, None, 1),
        ({"keypoints": [1, 2, 2]}, "FIELDS_NOT_READ", 1),
    ],
)
def test_a_bad_annotation_is_told_with_its_line_and_the_others_are_read(
    changes: dict[str, Any], code: str | None, kept: int
) -> None:
    body = content(annotation(**changes), annotation(id=2))
    files = {"annotations/instances_train.json": json.dumps(body, indent=1), "images/train/1.jpg": image()}
    found = read(files, "coco")
    assert len(records(found)) == 1 + kept
    assert found.codes() == ({code} if code else set())
    for issue in found.issues:
        assert issue.path == "annotations/instances_train.json"
        if issue.code != "FIELDS_NOT_READ":
            assert files[issue.path].splitlines()[issue.line - 1].strip() == "{"


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ('{"images": [],\n"annotations": [{"id": 1},\n', 3),
        ('{"images": [}\n], "annotations": [], "categories": []}', 2),
        ('{"info": {"a": 1},\n"images": [{"id": 1 "file_name": "a"}], "annotations": [], "categories": []}', 2),
        ('{"info": {}, "images": [], "annotations": [], "categories": [],,}]', 1),
    ],
)
def test_a_broken_file_is_refused_with_its_line(body: str, line: int) -> None:
    files = {"annotations/instances_train.json": '{"info": {},' + body[1:], "images/train/1.jpg": image()}
    with pytest.raises(errors.InvalidArgument, match=rf"instances_train\.json, line {line}:"):
        read(files, "coco")


def test_attributes_scores_and_areas_are_kept() -> None:
    found = one(annotation(attributes={"x": 1, "y": 'hé"llo'}, score=0.25, area=3.5), annotation(id=2, attributes={}))
    first, second = records(found)
    assert json.loads(first["attributes"]) == {"x": 1, "y": 'hé"llo'}
    assert (first["score"], first["area"]) == (0.25, 3.5)
    assert (second["attributes"], second["score"]) == (None, None)


def test_images_are_found_wherever_they_lie() -> None:
    body = content(annotation())
    for path in ("1.jpg", "images/1.jpg", "train/1.jpg", "train2017/1.jpg", "data/deep/1.jpg"):
        files = {"annotations/instances_train2017.json": json.dumps(body), path: image()}
        found = read(files, "coco")
        assert found.rows()["1.jpg"]["original"] is not None, path
        assert not found.issues
    roboflow = {"train/_annotations.coco.json": json.dumps(body), "train/1.jpg": image()}
    assert read(roboflow, "coco").rows()["1.jpg"]["split"] == "train"
    body["images"][0]["file_name"] = "C:\\data\\set\\1.jpg"
    assert read({"result.json": json.dumps(body), "images/1.jpg": image()}, "coco").table["original"][0].is_valid


def test_images_without_bytes_are_kept_and_those_that_nobody_names_too() -> None:
    body = content(annotation(image_id=8), annotation(id=2))
    body["images"].append({"id": 8, "width": 30, "height": 40, "file_name": "gone.jpg"})
    found = read(archive(body, **{"images/test/9.jpg": image()}), "coco")
    rows = found.rows()
    assert {path: row["split"] for path, row in rows.items()} == {
        "1.jpg": "train",
        "gone.jpg": "train",
        "9.jpg": "test",
    }
    assert (rows["gone.jpg"]["width"], rows["gone.jpg"]["original"]) == (30, None)
    assert len(rows["gone.jpg"]["annotations"]) == 1
    assert found.counts == {"IMAGE_MISSING": 1, "IMAGE_NOT_LISTED": 1}


def test_labels_alone_are_a_dataset() -> None:
    found = read({"instances_default.json": json.dumps(content(annotation()))}, "coco")
    assert found.codes() == {"IMAGES_ABSENT"}
    assert found.rows()["1.jpg"]["split"] == ""
    written, _ = write(found.table, found.shelf, "coco")
    assert list(written) == ["annotations/instances_default.json"]


def test_names_that_match_nothing_are_an_error_that_shows_both() -> None:
    with pytest.raises(errors.InvalidArgument, match=r"it names 1\.jpg, and the archive has images/train/x\.jpg"):
        read({"instances_train.json": json.dumps(content()), "images/train/x.jpg": image()}, "coco")


def test_it_is_detected_by_what_the_file_holds() -> None:
    assert detect(archive(content(annotation())))["coco-instances"] > 0.9
    assert detect({"result.json": json.dumps(content(annotation())), "1.jpg": image()})["coco-instances"] > 0.5
    assert detect({"captions_train.json": json.dumps(content(annotation())), "1.jpg": image()})["coco-instances"] < 0.5
    assert detect({"package.json": '{"name": "x", "images": {}}', "1.jpg": image()}).get("coco-instances", 0) < 0.5
    assert detect({"broken.json": "{]", "1.jpg": image()}) == {}


@pytest.mark.parametrize("name", ["train.json", "labels_my-project_2026-01-02.json"])
def test_neither_a_category_nor_a_name_hides_what_a_file_holds(name: str) -> None:
    body = content(annotation(), categories=[{"id": 3, "name": "caption"}, {"id": 4, "name": "keypoints"}])
    files = {name: json.dumps(body), "1.jpg": image()}
    assert max(detect(files).items(), key=lambda pair: pair[1])[0] == "coco-instances"
    assert [item["kind"] for item in records(read(files, "coco-instances"))] == [Kind.BOX]


def test_files_of_other_tasks_are_left_alone() -> None:
    files = archive(
        content(annotation()), **{"annotations/person_keypoints_train.json": json.dumps(content(annotation()))}
    )
    found = read(files, "coco-instances")
    assert len(records(found)) == 1
    assert found.codes() == {"FILE_OF_OTHER_TASK"}


def test_many_parts_give_the_same_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    images = [{"id": i, "width": 100, "height": 50, "file_name": f"é{i}.jpg"} for i in range(40)]
    boxes = [annotation(id=i, image_id=(i * 7) % 40, segmentation=[SQUARE] if i % 3 else []) for i in range(400)]
    body = content(*boxes, images=images)
    whole = read({"instances_train.json": json.dumps(body)}, "coco")
    monkeypatch.setattr(coco_planning, "part_bytes", lambda total: 3000)
    monkeypatch.setattr("services.conversion.archive.CHUNK", 1000)
    parts = read({"instances_train.json": json.dumps(body)}, "coco")
    assert parts.plan.part_count > 5
    assert parts.table.equals(whole.table)
    monkeypatch.setattr("services.conversion.reading.STEPS", 2)
    steps = read({"instances_train.json": json.dumps(body)}, "coco")
    assert steps.plan.part_count == -(-parts.plan.part_count // 4)
    assert steps.table.equals(whole.table)
    assert whole.table.num_rows == 40


def test_a_conversion_reads_only_what_the_target_needs_and_writes_the_same() -> None:
    ring = [1.0, 2.0, 30.0, 2.0, 30.0, 20.0]
    body = content(
        annotation(segmentation=[ring]),
        annotation(id=2, segmentation=[ring], bbox=None),
        annotation(id=3, segmentation={"size": [50, 100], "counts": [510, 20, 4470]}, bbox=None),
        annotation(id=4, segmentation={"size": [50, 100], "counts": [510, 20, 4470]}),
        annotation(id=5, segmentation=[]),
    )
    whole, part = (read(archive(body), "coco", to=to) for to in ("", "yolo"))
    kinds = [[item["kind"] for item in records(found)] for found in (whole, part)]
    assert kinds[0] == kinds[1] == [Kind.POLYGON, Kind.POLYGON, Kind.MASK, Kind.MASK, Kind.BOX]
    assert {item["rings"] is None for item in records(part)} == {True}
    assert write(part.table, part.shelf, "yolo") == write(whole.table, whole.shelf, "yolo")


@pytest.mark.parametrize("empty", [[[]], [[], []], [[1, 2, 3, 4]], [[1, 2, 3, 4, 5, 6, 7]], []])
@pytest.mark.parametrize("target", ["pascal-voc", "ultralytics-detect"])
def test_a_conversion_that_needs_no_outlines_loses_none_that_are_not_there(target: str, empty: Any) -> None:
    text = json.dumps(content(annotation(segmentation=empty))).replace("[]", "[ ]")
    files = {"annotations/instances_train.json": text, "images/train/1.jpg": image()}
    direct = read(files, "coco-instances", to=target)
    assert not write(direct.table, direct.shelf, target, "coco-instances")[1]


def test_what_is_written_reads_the_same_and_opens_in_pycocotools() -> None:
    raster = np.zeros((50, 100), np.uint8)
    raster[2:9, 3:7] = 1
    raster[4, 5] = 0
    counts = peer.encode(np.asfortranarray(raster))["counts"].decode()
    body = content(
        annotation(id=11, attributes={"x": [1, {"y": None}]}),
        annotation(id=5, segmentation=[SQUARE, [0.1, 0.2, 1 / 3, 1, 5, 5]], area=77.7, score=0.5),
        annotation(id=6, segmentation={"size": [50, 100], "counts": counts}, bbox=None, area=None),
        annotation(id=7, segmentation={"size": [50, 100], "counts": counts}, iscrowd=1, category_id=90),
        info={"year": 2024, "description": "дом"},
        licenses=[{"id": 4, "name": "CC"}],
    )
    body["images"][0] |= {"license": 4, "coco_url": "http://x/1.jpg"}
    found = read(archive(body, **{'images/val/zwei "2".jpg': image()}), "coco")
    written, losses = write(found.table, found.shelf, "coco", "coco-instances")
    assert not losses
    assert written["images/train/1.jpg"] == image()
    text = written["annotations/instances_train.json"]
    train = json.loads(text)
    assert train["info"] == body["info"]
    assert train["licenses"] == body["licenses"]
    assert train["images"] == body["images"]
    assert train["categories"] == [{"supercategory": "", **item} for item in body["categories"]]
    assert [item["id"] for item in train["annotations"]] == [11, 5, 6, 7]
    assert train["annotations"][0]["attributes"] == {"x": [1, {"y": None}]}
    assert train["annotations"][1]["segmentation"] == body["annotations"][1]["segmentation"]
    assert train["annotations"][1]["area"] == 77.7
    assert train["annotations"][2]["segmentation"]["counts"] == counts
    assert train["annotations"][2]["bbox"] == [3, 2, 4, 7]
    assert train["annotations"][2]["area"] == raster.sum()
    assert isinstance(train["annotations"][3]["segmentation"]["counts"], list)
    again = read(packed(written), "coco")
    columns = [name for name in found.table.column_names if name not in ("original", "area", "source")]
    assert again.table.select(columns).sort_by("path").equals(found.table.select(columns).sort_by("path"))
    assert write(found.table, found.shelf, "coco", "coco-instances")[0] == written
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "train.json"
        file.write_bytes(text)
        tool = COCO(str(file))
    assert [int(tool.annToMask(item).sum()) for item in tool.loadAnns([6, 7])] == [27, 27]


def test_other_sources_get_ids_from_one_and_what_does_not_fit_is_told() -> None:
    files = {
        "data.yaml": "train: images/train\nval: images/val\nnames: [cat, dog]\n",
        "images/train/1.jpg": image(),
        "labels/train/1.txt": "1 0.5 0.5 0.2 0.4\n0 0.5 0.5 0.2 0.4\n",
        "images/val/1.jpg": image(),
        "labels/val/1.txt": "0 0.5 0.5 0.2 0.4 0.9\n1 0.1 0.2 0.5 0.2 0.5 0.6\n",
    }
    found = read(files, "yolo")
    written, losses = write(found.table, found.shelf, "coco", "ultralytics-detect")
    assert not losses
    train, val = (json.loads(written[f"annotations/instances_{split}.json"]) for split in ("train", "val"))
    assert [item["id"] for item in train["annotations"] + val["annotations"]] == [1, 2, 3, 4]
    assert [item["category_id"] for item in train["annotations"]] == [2, 1]
    assert (train["images"][0]["id"], val["images"][0]["id"]) == (1, 2)
    assert train["images"][0]["file_name"] == val["images"][0]["file_name"] == "1.jpg"
    assert val["annotations"][1]["area"] == 400
    assert train["annotations"][0]["area"] == 400
    back, losses = write(read(packed(written), "coco").table, found.shelf, "yolo", "coco-instances", True)
    assert {loss.code: loss.annotation_count for loss in losses} == {
        "KIND_UNSUPPORTED": 1,
        "SCORE_UNSUPPORTED": 1,
    }
    assert back["labels/train/1.txt"].decode().splitlines()[0] == "1 0.500000 0.500000 0.200000 0.400000"
