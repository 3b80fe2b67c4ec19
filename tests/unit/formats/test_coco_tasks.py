"""COCO's tasks beside instances: the traps of reading them, and what is written of what other sources hold."""

import json
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pytest
from pycocotools import mask as peer
from pycocotools.coco import COCO
from whole_way import Imported, detect, image, packed, read, write

from framehouse.annotations.labels import labels_of
from framehouse.annotations.schema import Kind
from framehouse.v1.conversion_pb2 import WriteOptions

SQUARE = [10.0, 10.0, 20.0, 10.0, 20.0, 20.0, 10.0, 20.0]
PERSON = {
    "id": 1,
    "name": "person",
    "supercategory": "",
    "keypoints": ["nose", "left", "right"],
    "skeleton": [[1, 2], [1, 3]],
}


def body(*annotations: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "info": {"year": 2017},
        "licenses": [{"id": 3, "name": "CC"}],
        "images": [{"id": 7, "width": 100, "height": 50, "file_name": "1.jpg", "license": 3}],
        "annotations": [{"image_id": 7, **item} for item in annotations],
        "categories": [PERSON],
        **changes,
    }


def archive(task: str, content: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {f"annotations/{task}_train2017.json": json.dumps(content), "images/train2017/1.jpg": image(), **more}


def person(keypoints: Any, **changes: Any) -> dict[str, Any]:
    base = {"id": 4, "category_id": 1, "bbox": [1.0, 2.0, 30.0, 20.0], "area": 300.0, "iscrowd": 0}
    return {**base, "segmentation": [], "keypoints": keypoints, "num_keypoints": 3, **changes}


def records(found: Imported) -> list[dict[str, Any]]:
    return found.rows()["1.jpg"]["annotations"]


def written(found: Imported, task: str, name: str, source: str = "coco-instances", **options: Any) -> dict[str, Any]:
    """The file of the training split, in whatever folder."""
    options = {"coco": options} if options else {}
    files, _ = write(found.table, found.shelf, name, source, options=WriteOptions(**options))
    (path,) = (path for path in files if path.startswith(f"annotations/{task}_") and path.endswith(".json"))
    return json.loads(files[path])


def test_keypoints_keep_their_visibility_names_and_edges() -> None:
    points = [1, 2, 2, 3.5, 4, 1, 0, 0, 0]
    found = read(archive("person_keypoints", body(person(points))), "coco-keypoints")
    (record,) = records(found)
    assert record["kind"] == Kind.SKELETON
    assert record["rings"] == [[1, 2, 3.5, 4, 0, 0]]
    assert record["visibility"] == [2, 1, 0]
    assert (record["bbox"], record["area"], record["group"]) == ([1, 2, 30, 20], 300, None)
    (label,) = labels_of(found.table.schema).labels
    assert list(label.keypoints) == ["nose", "left", "right"]
    assert [(getattr(edge, "from"), edge.to) for edge in label.edges] == [(0, 1), (0, 2)]
    again = written(found, "person_keypoints", "coco-keypoints", "coco-keypoints")
    assert again == body(person(points, num_keypoints=2))


def test_keypoints_and_an_outline_are_two_annotations_of_a_group_and_one_record_again() -> None:
    mask = {"size": [50, 100], "counts": peer.encode(np.asfortranarray(np.eye(50, 100, dtype=np.uint8)))["counts"]}
    mask["counts"] = mask["counts"].decode()
    content = body(
        person([1, 2, 2] * 3, segmentation=[SQUARE]),
        person([5, 6, 1] * 3, id=5, segmentation=mask),
        person([0] * 9, id=6, num_keypoints=0, segmentation=[SQUARE]),
        person([0] * 9, id=8, num_keypoints=0),
    )
    found = read(archive("person_keypoints", content), "coco-keypoints")
    kinds = [Kind.SKELETON, Kind.POLYGON, Kind.SKELETON, Kind.MASK, Kind.POLYGON, Kind.BOX]
    assert [item["kind"] for item in records(found)] == kinds
    assert [item["group"] for item in records(found)] == [4, 4, 5, 5, None, None]
    assert len({item["annotation_id"] for item in records(found)}) == 6
    assert written(found, "person_keypoints", "coco-keypoints", "coco-keypoints") == content
    # Each object once, with the id that it had.
    instances = written(found, "instances", "coco-instances", "coco-keypoints")["annotations"]
    fields = ("id", "segmentation", "bbox")
    assert [[item[field] for field in fields] for item in instances] == [
        [item[field] for field in fields] for item in content["annotations"]
    ]


@pytest.mark.parametrize(
    ("keypoints", "code", "visibility"),
    [
        ([1, 2, 3, 4, 5, 6], None, None),
        ([1, 2, 3, 4], "KEYPOINTS_INVALID", "box"),
        (["a", 2, 3], "KEYPOINTS_INVALID", "box"),
        ([1, 2, 7, 0, 0, 0, 0, 0, 0], "VISIBILITY_INVALID", [2, 0, 0]),
        ([4, 2, 0, 0, 0, 0, 0, 0, 0], None, [0, 0, 0]),
        (None, None, "box"),
    ],
)
def test_keypoints_of_other_forms(keypoints: Any, code: str | None, visibility: Any) -> None:
    found = read(archive("person_keypoints", body(person(keypoints))), "coco-keypoints")
    assert found.codes() == ({code} if code else set())
    (record,) = records(found)
    if visibility == "box":
        assert record["kind"] == Kind.BOX
    else:
        assert (record["kind"], record["visibility"]) == (Kind.SKELETON, visibility)


def test_skeletons_need_no_box() -> None:
    found = read(
        archive("person_keypoints", body(person([10, 12, 2, 30, 16, 1, 0, 0, 0], bbox=None))), "coco-keypoints"
    )
    assert not found.codes()
    assert written(found, "person_keypoints", "coco-keypoints")["annotations"][0]["bbox"] == [10, 12, 20, 4]


def test_captions_are_of_images_and_of_no_class() -> None:
    content = body({"id": 2, "caption": 'a "cat" – 貓'}, {"id": 9, "caption": "two\nlines"}, categories=[])
    found = read(archive("captions", content), "coco-captions")
    assert [(item["kind"], item["label"], item["text"]) for item in records(found)] == [
        (Kind.CAPTION, -1, 'a "cat" – 貓'),
        (Kind.CAPTION, -1, "two\nlines"),
    ]
    official = {key: value for key, value in content.items() if key != "categories"}
    assert written(found, "captions", "coco-captions", "coco-captions") == official
    wrong = read(archive("captions", body({"id": 2, "caption": 5}, {"id": 3, "caption": "x"})), "coco-captions")
    assert wrong.codes() == {"CAPTION_MISSING"}
    assert len(records(wrong)) == 1
    assert len(records(read(archive("captions", official), "coco-captions"))) == 2


def test_labels_are_tags() -> None:
    content = body({"id": 2, "category_id": 1}, {"id": 1, "category_id": 1, "attributes": {"x": 1}, "score": 0.5})
    found = read(archive("labels", content), "coco-labels")
    assert [item["kind"] for item in records(found)] == [Kind.TAG] * 2
    again = written(found, "labels", "coco-labels", "coco-labels")
    assert again["annotations"] == content["annotations"]


def test_image_information_has_no_annotations() -> None:
    content = body(categories=[])
    found = read(archive("image_info", content), "coco-image-info")
    assert records(found) == []
    assert written(found, "image_info", "coco-image-info", "coco-image-info") == content
    del content["annotations"], content["categories"]
    assert not read(archive("image_info", content), "coco-image-info").codes()
    assert read(archive("image_info", body({"id": 1})), "coco-image-info").codes() == {"FIELDS_NOT_READ"}


def png(ids: np.ndarray) -> bytes:
    pixels = np.stack([ids >> 16, ids >> 8 & 255, ids & 255], axis=2).astype(np.uint8)
    return cv2.imencode(".png", pixels)[1].tobytes()


def panoptic(*segments: dict[str, Any], ids: np.ndarray) -> dict[str, Any]:
    things = {"id": 1, "name": "cat", "supercategory": "", "isthing": 1, "color": [255, 0, 10]}
    stuff = {"id": 90, "name": "sky", "supercategory": "", "isthing": 0, "color": [1, 2, 3]}
    content = body({"file_name": "1.png", "segments_info": list(segments)}, categories=[things, stuff])
    return archive("panoptic", content, **{"annotations/panoptic_train2017/1.png": png(ids)})


def test_panoptic_segments_are_masks_of_the_pixels_of_their_colour() -> None:
    ids = np.zeros((50, 100), np.int64)
    ids[:20], ids[30:40, 5:9] = 5, 200_000
    first = {"id": 5, "category_id": 90, "area": 2000, "bbox": [0.0, 0.0, 100.0, 20.0], "iscrowd": 0}
    second = {"id": 200_000, "category_id": 1, "area": 40, "bbox": [5.0, 30.0, 4.0, 10.0], "iscrowd": 1}
    files = panoptic(first, second, ids=ids)
    found = read(files, "coco-panoptic")
    assert not found.codes()
    assert list(found.rows()) == ["1.jpg"]
    for item, number in zip(records(found), (5, 200_000), strict=True):
        raster = peer.decode({"size": item["rle_size"], "counts": item["rle"]})
        assert (raster == (ids == number)).all()
        assert item["annotation_id"] == number
    assert labels_of(found.table.schema).labels[0].color == "#ff000a"
    again, losses = write(found.table, found.shelf, "coco-panoptic", "coco-panoptic")
    assert not losses
    assert json.loads(again["annotations/panoptic_train2017.json"]) == json.loads(
        files["annotations/panoptic_train2017.json"]
    )
    assert (
        cv2.imdecode(np.frombuffer(again["annotations/panoptic_train2017/1.png"], np.uint8), 1)
        == cv2.imdecode(np.frombuffer(files["annotations/panoptic_train2017/1.png"], np.uint8), 1)
    ).all()


def test_what_panoptic_files_lack_is_told() -> None:
    ids = np.zeros((50, 100), np.int64)
    ids[:20], ids[30:40, 5:9] = 5, 6
    found = read(panoptic({"id": 5, "category_id": 1}, {"id": 8, "category_id": 1}, ids=ids), "coco-panoptic")
    assert found.codes() == {"SEGMENT_WITHOUT_PIXELS", "SEGMENT_UNKNOWN"}
    assert records(found)[0]["bbox"] == [0, 0, 100, 20]
    files = panoptic({"id": 5, "category_id": 1}, {"id": 6, "category_id": 4}, ids=ids)
    assert read(files, "coco-panoptic").codes() == {"LABEL_CLASS_UNKNOWN"}
    files["annotations/panoptic_train2017/1.png"] = b"no png"
    assert "MASK_FILE_UNREADABLE" in read(files, "coco-panoptic").codes()
    del files["annotations/panoptic_train2017/1.png"]
    assert "MASK_FILE_MISSING" in read(files, "coco-panoptic").codes()


def test_what_lies_on_top_is_painted_last() -> None:
    boxed = {"category_id": 1, "bbox": [10, 10, 10, 10], "iscrowd": 0}
    other = [15.0, 10.0, 30.0, 10.0, 30.0, 20.0, 15.0, 20.0]
    content = body({"id": 1, "segmentation": [SQUARE], **boxed}, {"id": 2, "segmentation": [other], **boxed})
    found = read(archive("instances", content), "coco")
    order = pa.array([[5, 1]], pa.list_(pa.int32()))
    found.table = found.table.set_column(found.table.schema.get_field_index("z_order"), "z_order", order)
    segments = written(found, "panoptic", "coco-panoptic")["annotations"][0]["segments_info"]
    assert {item["id"]: item["area"] for item in segments} == {1: 100, 2: 100}
    cut = written(found, "instances", "coco-instances", crop_covered=True)["annotations"]
    assert cut[0]["segmentation"] == [SQUARE]
    assert (cut[1]["area"], cut[1]["bbox"]) == (100, [20, 10, 10, 10])
    assert (
        int(peer.decode(peer.frPyObjects(cut[1]["segmentation"], 50, 100)).sum()) == 100
        if isinstance(cut[1]["segmentation"]["counts"], list)
        else int(peer.decode(cut[1]["segmentation"]).sum()) == 100
    )


def test_stuff_is_written_as_masks() -> None:
    content = body({"id": 1, "category_id": 1, "segmentation": [SQUARE], "bbox": [10, 10, 10, 10], "iscrowd": 0})
    found = read(archive("instances", content), "coco")
    (record,) = written(found, "stuff", "coco-stuff")["annotations"]
    assert int(peer.decode(record["segmentation"]).sum()) == 100
    (again,) = records(read(archive("stuff", body(record)), "coco-stuff"))
    assert again["kind"] == Kind.MASK


def with_polygon(rings: list[list[float]]) -> Imported:
    """A dataset of one polygon that no COCO file can say."""
    found = read(
        archive("instances", body({"id": 1, "category_id": 1, "segmentation": [SQUARE], "bbox": [1, 1, 9, 9]})), "coco"
    )
    at = found.table.schema.get_field_index("rings")
    column = pa.array([[rings]], found.table.schema.field(at).type)
    found.table = found.table.set_column(at, found.table.schema.field(at), column)
    return found


def test_a_polygon_with_a_hole_is_written_as_a_mask_and_told() -> None:
    hole = [12.0, 12.0, 12.0, 18.0, 18.0, 18.0, 18.0, 12.0]
    found = with_polygon([SQUARE, hole])
    files, losses = write(found.table, found.shelf, "coco", "cvat-images")
    assert [(loss.code, loss.annotation_count) for loss in losses] == [("SHAPE_RASTERISED", 1)]
    (record,) = json.loads(files["annotations/instances_train.json"])["annotations"]
    assert int(peer.decode(record["segmentation"]).sum()) == 100 - 36
    # Rings apart are parts, which COCO can say.
    apart = with_polygon([SQUARE, [30.0, 30.0, 40.0, 30.0, 40.0, 40.0]])
    files, losses = write(apart.table, apart.shelf, "coco", "cvat-images")
    assert not losses
    (record,) = json.loads(files["annotations/instances_train.json"])["annotations"]
    assert len(record["segmentation"]) == 2


def test_shapes_are_written_as_was_asked_for() -> None:
    ring = np.zeros((50, 100), np.uint8)
    ring[10:20, 10:20], ring[12:18, 12:18] = 1, 0
    counts = peer.encode(np.asfortranarray(ring))["counts"].decode()
    both = body(
        {"id": 5, "category_id": 1, "segmentation": [SQUARE], "bbox": [10, 10, 10, 10], "iscrowd": 0},
        {"id": 3, "category_id": 1, "segmentation": {"size": [50, 100], "counts": counts}, "iscrowd": 0},
    )
    found = read(archive("instances", both), "coco")
    masks = written(found, "instances", "coco", segmentation_mode="SEGMENTATION_MODE_MASK")["annotations"]
    assert [int(peer.decode(item["segmentation"]).sum()) for item in masks] == [100, 64]
    polygons = written(found, "instances", "coco", segmentation_mode="SEGMENTATION_MODE_POLYGONS")["annotations"]
    assert polygons[0]["segmentation"] == [SQUARE]
    assert sorted(zip(*[iter(polygons[1]["segmentation"][0])] * 2, strict=True)) == [
        (10, 10),
        (10, 20),
        (20, 10),
        (20, 20),
    ]
    options = WriteOptions(coco={"segmentation_mode": "SEGMENTATION_MODE_POLYGONS"})
    _, losses = write(found.table, found.shelf, "coco", "coco-instances", options=options)
    assert [(loss.code, loss.annotation_count) for loss in losses] == [("MASK_OUTLINED", 1)]


def test_ids_and_places_are_as_was_asked_for() -> None:
    one = body({"id": 50, "category_id": 1, "segmentation": [], "bbox": [10, 10, 10, 10], "iscrowd": 0})
    one["categories"] = [{"id": 40, "name": "b"}, {"id": 1, "name": "a"}]
    files = archive("instances", one) | {
        "annotations/instances_val2017.json": json.dumps(one),
        "images/val2017/1.jpg": image(),
        "images/val2017/2.jpg": image(),
    }
    one["images"] = [*one["images"], {"id": 8, "width": 100, "height": 50, "file_name": "2.jpg"}]
    files["annotations/instances_val2017.json"] = json.dumps(one)
    found = read(files, "coco")
    plain, _ = write(found.table, found.shelf, "coco", "coco-instances")
    train = json.loads(plain["annotations/instances_train2017.json"])
    assert [item["id"] for item in train["categories"]] == [40, 1]
    assert train["annotations"][0]["id"] == 50
    options = WriteOptions(coco={"reindex": True, "merge_images": True, "category_ids": "CATEGORY_IDS_FROM_0"})
    other, _ = write(found.table, found.shelf, "coco", "coco-instances", options=options)
    images = {"images/train/1.jpg", "images/val/1.jpg", "images/2.jpg"}
    assert {name for name in other if name.startswith("images/")} == images
    val = json.loads(other["annotations/instances_val2017.json"])
    assert [item["file_name"] for item in val["images"]] == ["val/1.jpg", "2.jpg"]
    assert [item["id"] for item in val["categories"]] == [0, 1]
    assert (val["annotations"][0]["id"], val["annotations"][0]["category_id"]) == (2, 1)
    again = read(packed(other), "coco")
    assert again.codes() == set()
    assert sorted(again.rows()) == sorted(found.rows())


@pytest.mark.parametrize(
    ("task", "name"),
    [
        ("instances", "coco-instances"),
        ("person_keypoints", "coco-keypoints"),
        ("panoptic", "coco-panoptic"),
        ("stuff", "coco-stuff"),
        ("captions", "coco-captions"),
        ("labels", "coco-labels"),
        ("image_info", "coco-image-info"),
    ],
)
def test_a_task_is_detected_by_the_name_of_its_file(task: str, name: str) -> None:
    tag = {"id": 1, "image_id": 7, "category_id": 3}
    content = body(tag if task == "labels" else person([1, 2, 2] * 3, caption="x", segments_info=[]))
    for prefix in ("", "some/where/"):
        files = {prefix + path: data for path, data in archive(task, content).items()}
        found = detect({**files, "__MACOSX/._1.jpg": b"x", ".DS_Store": b"x"})
        assert max(found, key=lambda key: found[key]) == name
        assert found[name] > 0.85


def test_a_file_without_a_task_in_its_name_is_detected_by_what_it_holds() -> None:
    found = detect({"train/_annotations.coco.json": json.dumps(body(person([1, 2, 2] * 3))), "train/1.jpg": image()})
    assert max(found, key=lambda key: found[key]) == "coco-keypoints"


def test_of_several_tasks_the_one_that_is_named_is_read() -> None:
    files = archive("captions", body({"id": 1, "caption": "x"})) | archive("instances", body(person(None)))
    files |= archive("person_keypoints", body(person([1, 2, 2] * 3)))
    found = detect(files)
    order = ["coco", "coco-instances", "coco-keypoints", "coco-captions"]
    assert sorted(found, key=lambda name: -found[name]) == order
    assert read(files, "coco-instances").counts["FILE_OF_OTHER_TASK"] == 2
    assert len(records(read(files, "coco-captions"))) == 1


def test_pycocotools_evaluates_what_is_written() -> None:
    content = body(person([1, 2, 2, 3, 4, 1, 0, 0, 0], segmentation=[SQUARE], num_keypoints=2))
    found = read(archive("person_keypoints", content), "coco-keypoints")
    files, _ = write(found.table, found.shelf, "coco-keypoints", "coco-keypoints")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "train.json"
        file.write_bytes(files["annotations/person_keypoints_train2017.json"])
        tool = COCO(str(file))
    assert tool.loadCats([1])[0]["keypoints"] == ["nose", "left", "right"]
    assert int(tool.annToMask(tool.loadAnns([4])[0]).sum()) == 100


def test_tables_of_no_annotations_are_written() -> None:
    found = read({"images/train/1.jpg": image()}, "image-dir")
    for name in ("instances", "keypoints", "captions", "labels", "panoptic", "stuff", "image-info"):
        files, losses = write(found.table, found.shelf, f"coco-{name}", "image-dir")
        assert not losses
        assert len(files) == 2


def test_an_object_with_keypoints_and_an_outline_is_written_once_in_other_formats() -> None:
    content = body(person([1, 2, 2] * 3, segmentation=[SQUARE]), person([9, 9, 2] * 3, id=5))
    found = read(archive("person_keypoints", content), "coco-keypoints")
    for name in ("ultralytics-detect", "ultralytics-pose", "ultralytics-segment"):
        files, losses = write(found.table, found.shelf, name, "coco-keypoints")
        (labels,) = (data for path, data in files.items() if path.endswith("1.txt"))
        assert labels.count(b"\n") == 2, name
        left_out = [loss for loss in losses if "beside" in loss.subject]
        assert [loss.annotation_count for loss in left_out] == [1], name
