"""Inputs that hardly anybody has: nothing of them is lost or changed without a word, and no reader fails unclearly."""

import json
from typing import Any

import pytest
from cvat_documents import document
from whole_way import Imported, image, packed, read

from framehouse.annotations.schema import Kind
from framehouse.runtime import errors

ROW = "0 0.5 0.5 0.2 0.4\n"
PICTURES = {f"images/train/{name}.jpg": image() for name in "12"}
DEEP = "[" * 5000 + "]" * 5000


def told(found: Imported) -> set[tuple[str, str, int]]:
    return {(issue.code, issue.path, issue.line) for issue in found.issues}


def yolo(yaml: str, **files: str) -> dict[str, bytes | str]:
    return {"data.yaml": yaml, "labels/train/1.txt": ROW, **PICTURES, **files}


@pytest.mark.parametrize(
    ("yaml", "text"),
    [
        ("names: " + "[" * 50_000, "line 1: .*values too deep in each other"),
        ("names: &a [*a]\n", "line 1: .*an alias that makes it too large"),
        ("a: &a [x, x, x]\n" + "".join(f"{b}: &{b} [{f'*{a}, ' * 99}]\n" for a, b in ("ab", "bc", "cd")), "line 4: "),
        ("names: [2020-13-45]\n", "a date or a number is none"),
        ("names: [[a], b]\n", "0 under `names` has no name but several values"),
        ("names: {²: a}\n", "² under `names` is no class id"),
    ],
)
def test_a_data_yaml_that_would_bring_a_reader_down_is_refused(yaml: str, text: str) -> None:
    with pytest.raises(errors.InvalidArgument, match=f"^data.yaml.*{text}"):
        read(packed(yolo(yaml)), "ultralytics-detect")


def test_label_files_are_found_whatever_the_case_of_their_ending() -> None:
    files = yolo("names: [cat]\n") | {"labels/train/2.TXT": ROW}
    assert len(read(packed(files), "ultralytics-detect").boxes("2.jpg")) == 1


def test_lists_that_overlap_or_name_what_is_not_there_are_told() -> None:
    lists = {"train.txt": "images/train/1.jpg\nimages/train/2.jpg\n", "val.txt": "images/train/2.jpg\nx.jpg\ny.jpg\n"}
    yaml = "names: [cat]\ntrain: [train.txt, images/train]\nval: val.txt\ntest: train.txt\n"
    found = read(packed(yolo(yaml, **lists)), "ultralytics-detect")
    assert set(found.table["split"].to_pylist()) == {"train"}
    assert told(found) == {("SPLITS_OVERLAP", "data.yaml", 0), ("LIST_ENTRY_UNKNOWN", "val.txt", 0)}


def test_what_no_list_of_darknet_names_is_told() -> None:
    files: dict[str, bytes | str] = {
        "obj.data": "train = train.txt\nvalid = valid.txt\nnames = obj.names\n",
        "obj.names": "cat\n",
        "train.txt": "data/1.jpg\n",
        "valid.txt": "data/1.jpg\n",
        **{f"data/{name}.txt": ROW for name in ("1", "2", "3", "classes")},
        **{f"data/{name}.jpg": image() for name in "12"},
    }
    found = read(packed(files), "yolo-darknet")
    assert len(found.boxes("data/1.jpg")) == 1
    assert told(found) == {
        ("SPLITS_OVERLAP", "valid.txt", 0),
        ("IMAGE_NOT_LISTED", "data/2.jpg", 0),
        ("LABEL_WITHOUT_IMAGE", "data/3.txt", 0),
    }
    orphans = {name: data for name, data in files.items() if name not in ("data/1.txt", "data/2.txt")}
    with pytest.raises(errors.InvalidArgument, match="none of 1 label files belongs to an image"):
        read(packed(orphans), "yolo-darknet")
    with pytest.raises(errors.InvalidArgument, match=r"obj\.names is no UTF-8 text"):
        read(packed(files | {"obj.names": "Kätzchen\n".encode("utf-16")}), "yolo-darknet")


def ndjson(*lines: str | bytes, names: Any = ("cat",)) -> dict[str, bytes | str]:
    head = json.dumps({"type": "dataset", "task": "detect", "class_names": names})
    whole = b"\n".join(line if isinstance(line, bytes) else line.encode() for line in (head, *lines))
    return {"a.ndjson": whole, **PICTURES}


def test_lines_that_are_no_text_or_too_deep_are_told_and_so_are_tags_that_are_no_numbers() -> None:
    def line(file: int, annotations: str) -> str:
        return f'{{"type": "image", "file": "{file}.jpg", "split": "train", "annotations": {annotations}}}'

    found = read(
        packed(ndjson(line(1, '{"classification": [0, "a"]}'), line(2, DEEP), line(2, '"é"').encode("latin-1"))),
        "ultralytics-ndjson",
    )
    assert [item["label"] for item in found.rows()["1.jpg"]["annotations"]] == [0]
    assert told(found) >= {("LABEL_NOT_A_NUMBER", "a.ndjson", 2), *(("IMAGE_INVALID", "a.ndjson", n) for n in (3, 4))}
    for names in ({"²": "cat"}, {"cat": 0}, [["cat"]]):
        with pytest.raises(errors.InvalidArgument, match="under `class_names` is no class id with a name"):
            read(packed(ndjson(names=names)), "ultralytics-ndjson")


def datumaro(items: str, label: str = "cat") -> dict[str, bytes | str]:
    text = f'{{"categories": {{"label": {{"labels": [{{"name": "{label}"}}]}}}},\n"items": [\n{items}]}}'
    return {"annotations/train.json": text.encode("latin-1"), **PICTURES}


def test_items_that_are_no_text_or_too_deep_are_told() -> None:
    box = '{"id": 1, "type": "bbox", "label_id": 0, "bbox": [1, 2, 3, 4], "attributes": %s}'
    item = '{"id": "%d", "image": {"path": "%d.jpg"}, "annotations": [' + box + "]}"
    attributes = ("{}", f'{{"a": {DEEP}}}', '{"a": "é"}')
    items = ",\n".join(item % (number, number, text) for number, text in enumerate(attributes, 1))
    found = read(packed(datumaro(items)), "datumaro")
    assert found.boxes("1.jpg") == [[1, 2, 3, 4]]
    assert found.counts["IMAGE_INVALID"] == 2
    with pytest.raises(errors.InvalidArgument, match=r"train\.json, line 1: this is no valid Datumaro file"):
        read(packed(datumaro("", "é")), "datumaro")


def test_points_of_polygons_of_voc_may_stand_in_any_order() -> None:
    rings = (
        "<x1>1</x1><y1>2</y1><x2>30</x2><y2>4</y2><x3>5</x3><y3>40</y3>",
        "<x1>1</x1><x2>30</x2><x3>5</x3><y1>2</y1><y2>4</y2><y3>40</y3>",
        "<pt><y>2</y><x>1</x></pt><pt><x>30</x><y>4</y></pt><pt><x>5</x><y>40</y></pt>",
        "<y1>2</y1><x1>1</x1><y2>4</y2><x3>5</x3><y3>40</y3>",
    )
    inside = "\n".join(f"<object><name>a</name><polygon>{ring}</polygon></object>" for ring in rings)
    found = read(packed({"1.xml": f"<annotation>\n{inside}</annotation>", "1.jpg": image()}), "pascal-voc")
    assert [item["rings"] for item in found.rows()["1.jpg"]["annotations"]] == [[[1, 2, 30, 4, 5, 40]]] * 3
    assert told(found) == {("LABEL_NOT_A_NUMBER", "1.xml", 5)}


def test_pixels_of_masks_outside_of_their_image_are_told() -> None:
    masks = "".join(f'<mask label="car" rle="0, 4" left="{x}" top="0" width="2" height="2"/>\n' for x in (98, 99))
    body = f'<image id="0" name="1.jpg" width="100" height="50">\n{masks}</image>'
    found = read(packed({"annotations.xml": document(body), "images/1.jpg": image()}), "cvat-images")
    assert [item["kind"] for item in found.rows()["1.jpg"]["annotations"]] == [Kind.MASK] * 2
    assert found.boxes("1.jpg") == [[98, 0, 2, 2], [99, 0, 1, 2]]
    assert found.counts == {"MASK_INVALID": 1}


def coco(annotations: str = "[]", encoding: str = "utf-8", **members: Any) -> dict[str, bytes | str]:
    given = {
        "images": [{"id": 1, "file_name": "1.jpg", "width": 100, "height": 50}],
        "categories": [{"id": 1, "name": "cat"}],
        **members,
    }
    text = json.dumps(given, ensure_ascii=False)[:-1] + f',\n"annotations": {annotations}}}'
    return {"annotations/instances_train.json": text.encode(encoding), "images/train/1.jpg": image()}


def test_annotations_of_coco_that_are_no_text_or_too_deep_are_told_and_ids_may_be_of_any_size() -> None:
    box = '{"id": %d, "image_id": 1, "category_id": %d, "bbox": [1, 2, 3, 4], "attributes": %s}'
    rows = (
        box % (10**30, 10**30, "{}"),
        box % (2, 1, f'{{"a": {DEEP}}}'),
        box % (3, 1, '{"a": "é"}'),
        box % (4, 1, "{}"),
    )
    names = [{"id": 1, "name": "cat"}, {"id": 10**30, "name": "dog"}]
    found = read(packed(coco("[\n" + ",\n".join(rows) + "]", "latin-1", categories=names)), "coco-instances")
    assert [item["label"] for item in found.rows()["1.jpg"]["annotations"]] == [1, 0]
    assert told(found) == {("ANNOTATION_INVALID", "annotations/instances_train.json", line) for line in (4, 5)}


@pytest.mark.parametrize(
    "members", [{"categories": [{"id": 1, "name": "é"}]}, {"images": [{"id": 1, "file_name": "é"}]}]
)
def test_a_coco_file_that_is_no_text_is_refused(members: dict[str, Any]) -> None:
    with pytest.raises(errors.InvalidArgument, match=r"line 1: .*it is no UTF-8 text; save it as UTF-8"):
        read(packed(coco(encoding="latin-1", **members)), "coco-instances")


def test_ids_that_two_images_or_classes_of_coco_have_are_told() -> None:
    images = [{"id": 1, "file_name": f"{name}.jpg", "width": 100, "height": 50} for name in "112"]
    names = [{"id": 1, "name": name} for name in ("cat", "dog")]
    box = '[{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}]'
    found = read(packed(coco(box, images=images, categories=names) | {"images/train/2.jpg": image()}), "coco-instances")
    assert [(row["path"], row["label"]) for row in found.table.to_pylist()] == [("1.jpg", [0]), ("2.jpg", [])]
    assert found.counts == {"IMAGE_REPEATED": 1, "CATEGORY_INVALID": 1}
