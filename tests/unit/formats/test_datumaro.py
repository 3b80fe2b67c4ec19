"""Datumaro's JSON: the fixtures of other tools, all kinds there and back, and what its files leave open."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from whole_way import Imported, Shelf, detect, folder, image, packed, read, write

from framehouse.annotations import masks
from framehouse.annotations.labels import with_labels
from framehouse.annotations.schema import ANNOTATION_COLUMNS, DATASET_SCHEMA, Flag, Kind
from framehouse.runtime import errors
from framehouse.v1.annotation_pb2 import KeypointEdge, Label, LabelSchema

FIXTURES = Path(__file__).parents[4] / "shared" / "fixtures"
CASES = sorted(path for path in (FIXTURES / "datumaro").glob("*") if path.is_dir())
quick = settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))

LABELS = LabelSchema(
    labels=[
        Label(name="cat", parent="animal", color="#0a141e", attributes=["tame"]),
        Label(name='Löwe "x"', color="#ff0000"),
        Label(name="person", keypoints=["head", "hand", "foot"], edges=[KeypointEdge(**{"from": 0, "to": 1})]),
    ]
)


@pytest.mark.skipif(not CASES, reason="the fixtures are not here")
@pytest.mark.parametrize("path", CASES, ids=lambda path: path.name)
def test_a_fixture_reads_as_its_tool_reads_it(path: Path) -> None:
    expected = json.loads((FIXTURES / "expected" / f"{path.name}.json").read_text())
    found = read(folder(path), "datumaro")
    assert not found.codes()
    assert found.labels == expected["labels"]
    subsets = [spelled or "default" for spelled in found.table["split_name"].to_pylist()]
    assert Counter(subsets) == expected["subsets"]
    rows = {row["path"].rsplit(".", 1)[0]: row for row in found.rows().values()}
    assert set(rows) == {item["id"] for item in expected["items"]}
    for item in expected["items"]:
        row = rows[item["id"]]
        assert [row["height"], row["width"]] == item["size"]
        for mine, other in zip(row["annotations"], item["annotations"], strict=True):
            assert found.labels[mine["label"]] == other["label"]
            attributes = json.loads(mine["attributes"] or "{}")
            parts = attributes.pop("points_attributes", None)
            if mine["score"] is not None:
                attributes["score"] = mine["score"]
            assert attributes == other["attributes"]
            assert mine["kind"] == (Kind.SKELETON if other["type"] == "skeleton" else Kind.TAG)
            if other["type"] == "skeleton":
                points = [value for element in other["elements"] for value in element["points"]]
                assert np.allclose(mine["rings"], [points], atol=0.01)
                assert mine["visibility"] == [2, 2, 2]
                assert parts == [element["attributes"] for element in other["elements"]]


def table(rows: list[dict[str, Any]], labels: LabelSchema = LABELS) -> pa.Table:
    """A dataset without bytes: rows with `path` and a list of annotations."""
    filled = []
    for row in rows:
        annotations = row.get("annotations", [])
        lists = {name: [one.get(name) for one in annotations] for name in ANNOTATION_COLUMNS}
        lists["flags"] = [one.get("flags", 0) for one in annotations]
        lists["annotation_id"] = [one.get("annotation_id", i + 1) for i, one in enumerate(annotations)]
        base = {"split": "", "split_name": "", "width": 40, "height": 30, "state": int(bool(annotations))}
        filled.append(base | {key: value for key, value in row.items() if key != "annotations"} | lists)
    return pa.Table.from_pylist(filled, DATASET_SCHEMA).replace_schema_metadata(
        with_labels(DATASET_SCHEMA, labels).metadata
    )


def there_and_back(rows: list[dict[str, Any]]) -> tuple[Imported, dict[str, Any], list[Any]]:
    """What is read of what was written of a dataset; the files, and what was lost."""
    files, losses = write(table(rows), Shelf(), "datumaro", "test", without_images=True)
    written = {name: json.loads(data) for name, data in files.items()}
    return read(packed(files), "datumaro"), written, losses


numbers = st.floats(0, 30, allow_subnormal=False)
sides = st.floats(0.01, 9)
boxes = st.tuples(numbers, st.floats(0, 20), sides, sides).map(list)
words = st.text('aü "\\\n}{,:猫', min_size=1, max_size=5)
attributes = st.dictionaries(
    words,
    words | st.integers(-9, 9) | st.booleans() | st.lists(st.integers(0, 3), max_size=2),
    min_size=1,
    max_size=3,
).map(lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def ring(points: int) -> st.SearchStrategy[list[float]]:
    return st.lists(numbers, min_size=2 * points, max_size=2 * points)


@st.composite
def shapes(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from([*Kind]))
    found: dict[str, Any] = {"kind": int(kind), "label": draw(st.integers(-1, 2))}
    match kind:
        case Kind.BOX | Kind.ROTATED_BOX | Kind.ELLIPSE:
            found["bbox"] = draw(boxes)
            if kind != Kind.BOX:
                found["rotation"] = draw(st.sampled_from([0.0, 30.5, -90.0]))
        case Kind.POLYGON | Kind.POLYLINE:
            found["rings"] = draw(st.lists(st.integers(3, 5).flatmap(ring), min_size=1, max_size=3))
        case Kind.POINTS | Kind.SKELETON:
            count = draw(st.integers(1, 4))
            found["rings"] = [draw(ring(count))]
            if draw(st.booleans()):
                found["visibility"] = draw(st.lists(st.integers(0, 2), min_size=count, max_size=count))
        case Kind.CUBOID:
            found["rings"] = [draw(ring(8))]
        case Kind.MASK:
            runs = draw(st.lists(st.integers(1, 99), min_size=1, max_size=6))
            lengths = np.array([*runs, 1200 - sum(runs)])
            found["rle"] = masks.encode(masks.Runs(lengths, np.array([0, len(lengths)]))).to_pylist()[0]
            found["rle_size"] = [30, 40]
        case Kind.CUBOID_3D:
            found["attributes"] = '{"cuboid_3d":{"position":[1,2.5,3],"rotation":[0,0,1],"scale":[1,1,1]}}'
        case Kind.CAPTION:
            found |= {"label": -1, "text": draw(words)}
    if kind != Kind.CUBOID_3D:
        found["attributes"] = draw(st.none() | attributes)
    found["flags"] = draw(st.sampled_from([0, 1, 4, 63]))
    found["score"] = draw(st.none() | st.floats(0, 1))
    found["track"] = draw(st.none() | st.integers(0, 9))
    found["z_order"] = draw(st.none() | st.integers(-3, 3))
    return found


@st.composite
def datasets(draw: st.DrawFn) -> list[dict[str, Any]]:
    rows = []
    paths = draw(
        st.lists(st.sampled_from(["a.jpg", "a.png", "b/a.jpg", "ü 1.jpg", "x.y.png"]), min_size=1, unique=True)
    )
    for path in paths:
        split = draw(st.sampled_from(["", "train", "val", "extra"]))
        row = {"path": path, "split": split, "split_name": split, "annotations": draw(st.lists(shapes(), max_size=5))}
        row["image_attributes"] = draw(st.none() | st.just('{"weather":"wet","n":[1,2]}'))
        row["frame"] = draw(st.none() | st.integers(0, 99))
        rows.append(row)
    return rows


@quick
@given(datasets())
def test_what_is_written_is_read_again(rows: list[dict[str, Any]]) -> None:
    before = {row["path"]: row for row in table(rows).to_pylist()}
    found, _, losses = there_and_back(rows)
    assert {loss.code for loss in losses} <= {"RINGS_SPLIT", "SHAPE_RASTERISED"}
    assert found.labels == [label.name for label in LABELS.labels]
    held = Imported(pa.Table.from_pylist(list(before.values()), found.table.schema), [], {}, found.plan, found.shelf)
    after = found.rows()
    assert {path: (row["split"], row["frame"], row["image_attributes"]) for path, row in after.items()} == {
        path: (row["split"], row["frame"], row["image_attributes"]) for path, row in before.items()
    }
    names = [name for name in ANNOTATION_COLUMNS if name not in ("bbox", "area")]
    for path, row in held.rows().items():
        for one, other in zip(row["annotations"], after[path]["annotations"], strict=True):
            if one["kind"] == Kind.POLYGON and other["kind"] == Kind.MASK:
                continue
            if one["attributes"]:
                assert json.loads(one.pop("attributes")) == json.loads(other.pop("attributes"))
            assert {name: one.get(name) for name in names} == {name: other.get(name) for name in names}
            if one["bbox"]:
                assert np.allclose(one["bbox"], other["bbox"])


def dataset(items: list[Any], labels: list[str] | None = None, **members: Any) -> bytes:
    """A file of a subset."""
    named = [{"name": name, "parent": "", "attributes": []} for name in labels or ["cat", "dog"]]
    return json.dumps({"categories": {"label": {"labels": named}}, "items": items, **members}, indent=1).encode()


def item(identity: str = "1", *annotations: dict[str, Any], **members: Any) -> dict[str, Any]:
    image = {"image": {"path": f"{identity}.jpg", "size": [50, 100]}} if "image" not in members else {}
    return {"id": identity, "annotations": list(annotations), **image, **members}


def one(*annotations: dict[str, Any]) -> Imported:
    return read({"annotations/train.json": dataset([item("1", *annotations)])}, "datumaro")


BOX = {"id": 1, "type": "bbox", "label_id": 0, "bbox": [1, 2, 3, 4], "group": 0, "attributes": {}}


def test_its_archive_is_detected_above_all_others() -> None:
    files = {
        "d/annotations/train.json": dataset([item("1", BOX)], info={}),
        "d/images/train/1.jpg": image(),
        "__MACOSX/d/annotations/._train.json": b"x",
        "d/.DS_Store": b"x",
    }
    found = detect(files)
    assert max(found, key=lambda name: found[name]) == "datumaro"
    assert not read(files, "datum").codes()
    coco = {"annotations/instances_train.json": b'{"images": [], "annotations": [], "categories": []}'}
    assert detect(coco).get("datumaro", 0) < 0.5


def test_attributes_with_a_meaning_are_columns_and_come_out_again() -> None:
    given = {"occluded": True, "keyframe": False, "score": 0.5, "track_id": 7, "rotation": 30.0, "x": "y"}
    plain = {**BOX, "id": 2, "attributes": {"rotation": 0.0, "occluded": False}}
    found = one({**BOX, "attributes": given, "z_order": 3, "group": 2}, plain)
    first, second = found.rows()["1.jpg"]["annotations"]
    assert (first["kind"], first["rotation"], first["flags"]) == (Kind.ROTATED_BOX, 30, Flag.OCCLUDED)
    assert (first["score"], first["track"], first["z_order"], first["group"]) == (0.5, 7, 3, 2)
    assert json.loads(first["attributes"]) == {"keyframe": False, "x": "y"}
    assert (second["kind"], json.loads(second["attributes"])) == (Kind.BOX, plain["attributes"])
    files, _ = write(found.table, found.shelf, "datumaro", "datumaro", without_images=True)
    again = json.loads(files["annotations/train.json"])["items"][0]["annotations"]
    assert again[0]["attributes"] == given
    assert again[1]["attributes"] == plain["attributes"]


def test_polygons_of_one_id_and_group_are_one_object() -> None:
    def polygon(number: int, group: int, x: float) -> dict[str, Any]:
        points = [x, 0, x + 5, 0, x + 5, 5]
        return {"id": number, "type": "polygon", "label_id": 0, "points": points, "group": group}

    found = one(polygon(5, 5, 0), polygon(5, 5, 20), polygon(0, 3, 40), polygon(0, 3, 60))
    items = found.rows()["1.jpg"]["annotations"]
    assert [(len(one["rings"]), one["group"], one["annotation_id"]) for one in items] == [
        (2, None, 5),
        (1, 3, 0),
        (1, 3, 6),
    ]
    assert items[0]["bbox"] == [0, 0, 25, 5]


def test_points_of_a_label_with_keypoints_are_a_skeleton() -> None:
    categories = {
        "label": {"labels": [{"name": "cat", "parent": ""}]},
        "points": {"items": [{"label_id": 0, "labels": ["a", "b"], "joints": [[1, 2]], "positions": [0, 0, 1, 1]}]},
        "mask": {"colormap": [{"label_id": 0, "r": 1, "g": 2, "b": 255}]},
    }
    points = {"id": 1, "type": "points", "label_id": 0, "points": [1, 2, 3, 4], "visibility": [2, 1]}
    more = {**points, "id": 2, "points": [1, 2], "visibility": [2]}
    files = {"annotations/train.json": dataset([item("1", points, more)], categories=categories)}
    found = read(files, "datumaro")
    assert [one["kind"] for one in found.rows()["1.jpg"]["annotations"]] == [Kind.SKELETON, Kind.POINTS]
    written, _ = write(found.table, found.shelf, "datumaro", "datumaro", without_images=True)
    again = json.loads(written["annotations/train.json"])
    assert again["categories"]["points"] == categories["points"]
    assert again["categories"]["mask"] == categories["mask"]
    assert [one["type"] for one in again["items"][0]["annotations"]] == ["points", "points"]


def test_subsets_with_other_orders_of_labels_are_merged_by_name() -> None:
    files = {
        "annotations/train.json": dataset([item("1", BOX)], ["cat", "dog"]),
        "annotations/validation.json": dataset([item("1", BOX)], ["dog", "cow"]),
        "annotations/default.json": dataset([item("2", BOX)], ["cow"]),
    }
    found = read(files, "datumaro")
    assert found.labels == ["cow", "cat", "dog"]
    names = {path: found.labels[row["annotations"][0]["label"]] for path, row in found.rows().items()}
    assert names == {"train/1.jpg": "cat", "val/1.jpg": "dog", "2.jpg": "cow"}
    written, _ = write(found.table, found.shelf, "datumaro", "datumaro", without_images=True)
    assert set(written) == {f"annotations/{name}.json" for name in ("train", "validation", "default")}


def test_images_are_found_by_path_and_by_id() -> None:
    files = {
        "annotations/a.json": dataset([item("x/1", image={"path": "x_1.jpg"}), item("2", image={}), item("3")]),
        "images/a/x_1.jpg": image(),
        "images/a/2.PNG": image(kind="PNG"),
        "images/a/4.jpg": image(),
    }
    found = read(files, "datumaro")
    assert found.counts == {"IMAGE_MISSING": 1, "IMAGE_NOT_LISTED": 1}
    rows = found.rows()
    assert set(rows) == {"x/1.jpg", "2", "3.jpg", "a/4.jpg"}
    assert rows["x/1.jpg"]["original"]
    assert rows["2"]["format"] == "png"
    with pytest.raises(errors.InvalidArgument, match="none of 1 images"):
        read({"annotations/a.json": dataset([item("3")]), "images/b.jpg": image()}, "datumaro")


def test_items_of_point_clouds_come_out_as_they_came_in() -> None:
    space = {"position": [1, 2.5, 3], "rotation": [0, 0, 1], "scale": [1, 1, 1]}
    cuboid = {"id": 1, "type": "cuboid_3d", "attributes": {"a": 1}, "group": 0, "label_id": 0, **space}
    cloud = {"id": "c", "annotations": [cuboid], "attr": {"w": "x", "frame": 4}, "point_cloud": {"path": "c.pcd"}}
    found = read({"annotations/test.json": dataset([cloud], media_type=6)}, "datumaro")
    assert found.codes() == {"MEDIA_NOT_KEPT"}
    row = found.rows()["c"]
    assert (row["frame"], row["annotations"][0]["kind"]) == (4, Kind.CUBOID_3D)
    files, losses = write(found.table, found.shelf, "datumaro", "datumaro")
    assert not losses
    again = json.loads(files["annotations/test.json"])
    assert again["media_type"] == 6
    assert again["items"] == [cloud]


def test_what_cannot_be_read_is_told_with_its_line() -> None:
    bad: list[dict[str, Any]] = [
        {**BOX, "label_id": 9},
        {**BOX, "type": "depth_annotation"},
        {**BOX, "bbox": [1, 2, 0, 4]},
        {**BOX, "bbox": None},
        {**BOX, "type": "polygon", "points": [1, 2, 3, 4]},
        {**BOX, "type": "polygon", "points": ["a"]},
        {**BOX, "type": "mask", "rle": {"counts": "12", "size": [5, 5]}},
        {**BOX, "type": "caption", "caption": 5},
        {**BOX, "id": "x"},
        {"id": 1},
        {**BOX, "attributes": {"x": float("nan")}, "label_id": 1.0},
    ]
    items = [item("1", *bad), {"annotations": []}, item("2", BOX)]
    found = read({"annotations/train.json": dataset(items)}, "datumaro")
    errors_found = Counter(issue.code for issue in found.issues if issue.severity == 3)
    assert errors_found == {
        "LABEL_CLASS_UNKNOWN": 1,
        "ANNOTATION_KIND_UNKNOWN": 1,
        "BOX_EMPTY": 1,
        "BOX_MISSING": 1,
        "POINTS_INVALID": 2,
        "ANNOTATION_INVALID": 3,
        "CAPTION_MISSING": 1,
        "IMAGE_INVALID": 1,
    }
    text = dataset(items).decode()
    line = text[: text.index('"id": "1"')].count("\n")
    assert {issue.line for issue in found.issues if issue.code == "BOX_EMPTY"} == {line}
    assert [one["label"] for one in found.rows()["1.jpg"]["annotations"]] == [1]
    assert len(found.rows()["2.jpg"]["annotations"]) == 1
    with pytest.raises(errors.InvalidArgument, match=r"line 1: .*cut off"):
        read({"annotations/train.json": b'{"categories": {}, "items": [{"id": "1"'}, "datumaro")


def test_a_large_file_is_read_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.conversion.unpacked.SMALL_PART_BYTES", 100_000)
    monkeypatch.setattr("services.conversion.json_outline.SLICE", 32 << 10)
    boxes = [{**BOX, "bbox": [i % 90, 2, 3, 4]} for i in range(3000)]
    files = {"annotations/train.json": dataset([item(str(i), box) for i, box in enumerate(boxes)])}
    found = read(files, "datumaro")
    assert found.plan.part_count > 3
    rows = found.rows()
    assert all(rows[f"{i}.jpg"]["annotations"][0]["bbox"][0] == i % 90 for i in range(3000))
