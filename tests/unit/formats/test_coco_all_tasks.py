"""A folder with files of several of COCO's tasks is one dataset: nothing is doubled, nothing is lost."""

import io
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as peer
from whole_way import Imported, detect, folder, image, packed, read, write

from framehouse.annotations.labels import labels_of
from framehouse.annotations.schema import Kind

FIXTURES = Path(__file__).parents[4] / "shared" / "fixtures"
SQUARE = [10.0, 10.0, 20.0, 10.0, 20.0, 20.0, 10.0, 20.0]
BOX = [10.0, 10.0, 10.0, 10.0]
CAT = {"id": 17, "name": "cat", "supercategory": "animal"}
PERSON = {"id": 1, "name": "person", "supercategory": "person"}
POINTS = {"keypoints": ["nose", "left", "right"], "skeleton": [[1, 2], [1, 3]]}


def body(*annotations: dict[str, Any], **changes: Any) -> str:
    images = [{"id": 7, "width": 100, "height": 50, "file_name": "1.jpg"}]
    given = [{"image_id": 7, **item} for item in annotations]
    return json.dumps({"images": images, "annotations": given, "categories": [PERSON, CAT], **changes})


def thing(number: int, category: int = 1, **changes: Any) -> dict[str, Any]:
    base = {"id": number, "category_id": category, "bbox": BOX, "area": 100.0, "iscrowd": 0, "segmentation": [SQUARE]}
    return {**base, **changes}


def person(number: int, **changes: Any) -> dict[str, Any]:
    return thing(number, keypoints=[11, 12, 2, 13, 14, 1, 0, 0, 0], num_keypoints=2, **changes)


def archive(**tasks: str) -> dict[str, bytes | str]:
    files: dict[str, bytes | str] = {f"annotations/{task}_train2017.json": text for task, text in tasks.items()}
    return {**files, "images/train2017/1.jpg": image()}


def keypoints(*annotations: dict[str, Any]) -> str:
    return body(*annotations, categories=[{**PERSON, **POINTS}])


def records(found: Imported) -> list[dict[str, Any]]:
    return found.rows()["1.jpg"]["annotations"]


def told(found: Imported) -> list[tuple[Kind, int, int | None]]:
    return [(Kind(item["kind"]), item["annotation_id"], item["group"]) for item in records(found)]


def everything() -> dict[str, bytes | str]:
    segment = {"id": 197121, "category_id": 17, "area": 100, "bbox": BOX, "iscrowd": 0}
    pixels = np.zeros((50, 100, 3), np.uint8)
    pixels[10:20, 10:20] = 1, 2, 3
    files = archive(
        instances=body(thing(4), thing(5, 17), thing(9, category=17, segmentation=[])),
        person_keypoints=keypoints(person(4)),
        captions=body({"id": 4, "caption": "a cat"}, categories=[]),
        labels=body({"id": 5, "category_id": 17}),
        stuff=body(thing(2, 92), categories=[{"id": 92, "name": "sky", "supercategory": "stuff"}]),
        panoptic=body(
            {"file_name": "1.png", "segments_info": [segment]},
            categories=[{**CAT, "isthing": 1, "color": [1, 2, 3]}],
        ),
        image_info=body(),
    )
    return {**files, "annotations/panoptic_train2017/1.png": cv2.imencode(".png", pixels[:, :, ::-1])[1].tobytes()}


def test_files_of_all_tasks_make_one_dataset() -> None:
    assert max(detect(everything()).items(), key=lambda pair: pair[1])[0] == "coco"
    found = read(everything(), "coco")
    assert not found.codes()
    assert found.plan.format == "coco"
    assert found.table["path"].to_pylist() == ["1.jpg"]
    assert told(found) == [
        (Kind.SKELETON, 4, 4),
        (Kind.POLYGON, ~4, 4),
        (Kind.POLYGON, 5, None),
        (Kind.BOX, 9, None),
        (Kind.POLYGON, 2, None),
        (Kind.MASK, 197121, None),
        (Kind.TAG, 197122, None),
        (Kind.CAPTION, 197123, None),
    ]
    labels = {label.name: label for label in labels_of(found.table.schema).labels}
    assert list(labels) == ["person", "cat", "sky"]
    assert (labels["cat"].color, labels["cat"].parent, labels["cat"].source_id) == ("#010203", "animal", 17)
    assert list(labels["person"].keypoints) == POINTS["keypoints"]
    assert len(labels["person"].edges) == 2


def test_what_came_as_one_dataset_goes_out_task_by_task() -> None:
    files = everything()
    found = read(files, "coco")
    for task, name in (("instances", "coco"), ("person_keypoints", "coco-keypoints"), ("captions", "coco-captions")):
        written, _ = write(found.table, found.shelf, name, "coco")
        path = f"annotations/{task}_train2017.json"
        ours, theirs = (json.loads(one[path])["annotations"] for one in (written, files))
        kept = {item["id"]: item for item in ours}
        if task == "captions":
            assert [item["caption"] for item in ours] == ["a cat"]
        else:
            assert [kept[item["id"]] for item in theirs] == theirs


def test_what_the_files_of_a_split_say_of_it_is_united_and_differences_are_told() -> None:
    licences = [{"id": 1, "name": "BY"}, {"id": 2, "name": "NC"}, {"id": 1, "name": "ND"}]
    files = archive(
        instances=body(thing(4), info={"year": 2017, "url": "", "version": "1"}, licenses=licences[:1]),
        labels=body(
            {"id": 5, "category_id": 17}, info={"year": 2018, "url": "a", "version": "1"}, licenses=licences[1:]
        ),
        image_info=body(info={"contributor": "b", "version": ""}, licenses=[]),
    )
    found = read(files, "coco")
    ((code, path, message),) = ((issue.code, issue.path, issue.message) for issue in found.issues)
    assert (code, path) == ("INFO_DIFFERS", "annotations/labels_train2017.json")
    assert message == "info year, licenses 1: another than in annotations/instances_train2017.json, which is kept"
    written, _ = write(found.table, found.shelf, "coco", "coco")
    said = json.loads(written["annotations/instances_train2017.json"])
    assert said["info"] == {"year": 2017, "url": "a", "version": "1", "contributor": "b"}
    assert said["licenses"] == licences[:2]


def test_one_task_is_read_alone_where_it_is_named() -> None:
    found = read(everything(), "coco-keypoints")
    assert {item["kind"] for item in records(found)} == {Kind.SKELETON, Kind.POLYGON}
    assert found.counts["FILE_OF_OTHER_TASK"] == 6
    alone = {"annotations/instances_train.json": body(thing(1)), "images/train/1.jpg": image()}
    assert "coco" not in detect(alone)
    assert told(read(alone, "coco")) == told(read(alone, "coco-instances"))


@pytest.mark.parametrize(
    ("instance", "skeleton", "expected"),
    [
        (thing(4), person(4, segmentation=[]), [(Kind.SKELETON, 4, 4), (Kind.POLYGON, ~4, 4)]),
        (thing(4, segmentation=[]), person(4, segmentation=[]), [(Kind.SKELETON, 4, None)]),
        (thing(4, segmentation=[]), person(4, bbox=None, segmentation=[]), [(Kind.SKELETON, 4, None)]),
        (thing(4, segmentation=[]), person(4), [(Kind.SKELETON, 4, 4), (Kind.POLYGON, ~4, 4)]),
        # Another tool counted anew: the id is the same, the object is not.
        (
            thing(4, segmentation=[], bbox=[50.0, 10.0, 10.0, 10.0]),
            person(4, segmentation=[]),
            [(Kind.SKELETON, 4, None), (Kind.BOX, 5, None)],
        ),
        (
            thing(4, 17, segmentation=[]),
            person(4, segmentation=[]),
            [(Kind.SKELETON, 4, None), (Kind.BOX, 5, None)],
        ),
        (thing(8), person(4), [(Kind.SKELETON, 4, 4), (Kind.POLYGON, ~4, 4)]),
        (
            thing(4),
            thing(4, keypoints=[0] * 9, num_keypoints=0),
            [(Kind.POLYGON, 4, None)],
        ),
    ],
)
def test_an_object_of_two_files_is_one(instance: Any, skeleton: Any, expected: Any) -> None:
    found = read(archive(instances=body(instance), person_keypoints=keypoints(skeleton)), "coco")
    assert not found.codes()
    assert told(found) == expected
    assert records(found)[0]["bbox"] == BOX


def test_of_two_outlines_of_an_object_one_is_kept_and_the_other_is_told() -> None:
    other = [[10.0, 10.0, 20.0, 10.0, 20.0, 20.0]]
    found = read(
        archive(
            instances=body(thing(4, segmentation=other, attributes={"x": 1})), person_keypoints=keypoints(person(4))
        ),
        "coco",
    )
    assert found.counts == {"OUTLINE_REPEATED": 1}
    assert told(found) == [(Kind.SKELETON, 4, 4), (Kind.POLYGON, ~4, 4)]
    assert records(found)[1]["rings"] == [SQUARE]
    # What only the other one says of the object is not lost with it.
    assert [item["attributes"] for item in records(found)] == ['{"x":1}', '{"x":1}']
    written, _ = write(found.table, found.shelf, "coco-instances", "coco")
    (item,) = json.loads(written["annotations/instances_train2017.json"])["annotations"]
    assert item["attributes"] == {"x": 1}


@pytest.mark.parametrize(
    ("instance", "skeleton"),
    [({"attributes": {"x": 1}}, {"attributes": {"y": 2}}), ({"score": 0.5}, {"score": 0.25}), ({"iscrowd": 1}, {})],
)
@pytest.mark.parametrize("outline", [[], [SQUARE]])
def test_what_two_files_say_differently_of_an_object_is_kept(instance: Any, skeleton: Any, outline: Any) -> None:
    files = archive(
        instances=body(thing(4, segmentation=outline, **instance)),
        person_keypoints=keypoints(person(4, segmentation=[], **skeleton)),
    )
    found = read(files, "coco")
    assert not found.codes()
    kind = Kind.POLYGON if outline else Kind.BOX
    assert told(found) == [(Kind.SKELETON, 4, None), (kind, 5, None)]
    names = ("attributes", "score", "flags")
    for item, alone in zip(records(found), ("coco-keypoints", "coco-instances"), strict=True):
        (expected,) = records(read(files, alone))
        assert [item[name] for name in names] == [expected[name] for name in names]


def test_two_records_with_the_id_of_one_skeleton_are_both_kept() -> None:
    other = [[10.0, 10.0, 20.0, 10.0, 20.0, 20.0]]
    twice = body(thing(4), thing(4, segmentation=other))
    found = read(archive(instances=twice, person_keypoints=keypoints(person(4, segmentation=[]))), "coco")
    assert told(found) == [(Kind.SKELETON, 4, 4), (Kind.POLYGON, ~4, 4), (Kind.POLYGON, 5, None)]
    assert [item["rings"] for item in records(found)[1:]] == [[SQUARE], other]


def test_keypoints_of_a_class_that_differ_are_told() -> None:
    files = archive(person_keypoints=keypoints(person(4)))
    other = {**PERSON, "keypoints": ["tail"], "skeleton": []}
    files["annotations/person_keypoints_val2017.json"] = body(images=[], categories=[other])
    found = read(files, "coco")
    assert [(issue.code, issue.path) for issue in found.issues] == [
        ("KEYPOINTS_DIFFER", "annotations/person_keypoints_val2017.json")
    ]
    (label,) = labels_of(found.table.schema).labels
    assert list(label.keypoints) == POINTS["keypoints"]


def test_issues_name_the_file_that_they_are_of() -> None:
    files = archive(
        instances=body(thing(4), thing(5, category=99)),
        captions=body({"id": 1, "caption": 5}, categories=[]),
    )
    found = read(files, "coco")
    assert {issue.code: issue.path for issue in found.issues} == {
        "LABEL_CLASS_UNKNOWN": "annotations/instances_train2017.json",
        "CAPTION_MISSING": "annotations/captions_train2017.json",
    }


@pytest.mark.parametrize("task", ["coco", "coco-stuff"])
def test_pixelmaps_are_read_where_the_file_has_no_annotations(task: str) -> None:
    pixels = np.zeros((50, 100), np.uint8)
    pixels[10:20, 10:20], pixels[40:, :], pixels[0, 0] = 92, 17, 200
    picture = io.BytesIO()
    indexed = Image.fromarray(pixels, "P")
    indexed.putpalette(list(range(256)) * 3)
    indexed.save(picture, "PNG")
    name = "annotations/stuff_train2017_pixelmaps/1.png"
    categories = [CAT, {"id": 92, "name": "sky"}]
    found = read({**archive(stuff=body(categories=categories)), name: picture.getvalue()}, task)
    assert {issue.code: issue.path for issue in found.issues} == {"SEGMENT_UNKNOWN": name}
    assert found.table["path"].to_pylist() == ["1.jpg"]
    cat, sky = records(found)
    assert (found.labels[cat["label"]], found.labels[sky["label"]]) == ("cat", "sky")
    assert (cat["bbox"], sky["bbox"], sky["area"]) == ([0, 40, 100, 10], BOX, 100)
    assert peer.decode({"counts": sky["rle"], "size": sky["rle_size"]}).tolist() == (pixels == 92).tolist()
    files = {**archive(stuff=body(thing(2, 92), categories=categories)), name: picture.getvalue()}
    assert [item["kind"] for item in records(read(files, task))] == [Kind.POLYGON]
    broken = read({**archive(stuff=body(categories=categories)), name: b"x"}, task)
    assert broken.codes() == {"MASK_FILE_UNREADABLE"}


@pytest.mark.skipif(not FIXTURES.is_dir(), reason="the fixtures are not here")
def test_the_fixtures_of_all_tasks_in_one_folder_are_read_as_each_of_them_alone() -> None:
    paths = [path for path in sorted(FIXTURES.glob("coco-*/*")) if path.is_dir()]
    # Each has its own two images, which are called alike.
    files = {name: data for path in paths for name, data in folder(path).items()}
    found = read(packed(files), "coco")
    said = _said(found)
    assert sorted(path for path, _ in said) == ["a.jpg", "b.jpg"]
    for path in paths:
        for place, mine in _said(read(folder(path), path.parent.name)).items():
            for item in mine:
                # The box of an object with keypoints is that of its skeleton.
                skeleton = [one for one in said[place] if one[:3] == (item[0], Kind.SKELETON, item[2])]
                assert item in said[place] or (item[1] == Kind.BOX and skeleton)


def _said(found: Imported) -> dict[tuple[str, str], list[Any]]:
    """What is said of each image: of each annotation all but its number, and that of its class."""
    columns = ("kind", "bbox", "rings", "rle", "visibility", "text", "area", "score", "attributes")
    return {
        (path, row["split"]): [
            (item["label"] < 0 or found.labels[item["label"]], *(item[name] for name in columns))
            for item in row["annotations"]
        ]
        for path, row in found.rows().items()
    }
