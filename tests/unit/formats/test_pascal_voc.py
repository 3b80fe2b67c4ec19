"""Pascal VOC read and written by the whole way: layouts, coordinates, masks, lists, and what people bring instead."""

import io
import json
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from whole_way import Imported, detect, image, packed, read, write

from framehouse.annotations.labels import labels_of
from framehouse.annotations.schema import Flag, Kind, State
from framehouse.runtime.errors import InvalidArgument
from framehouse.v1.conversion_pb2 import LABEL_MAP_VOC, VocWriteOptions, WriteOptions
from services.conversion.voc import labels as voc_labels
from services.conversion.voc import masks as voc_masks

SIZE = "<size><width>100</width><height>50</height><depth>3</depth></size>"


def box(name: str, corners: str = "10 20 30 40", more: str = "") -> str:
    values = zip(("xmin", "ymin", "xmax", "ymax"), corners.split(), strict=False)
    inside = "".join(f"<{key}>{value}</{key}>" for key, value in values)
    return f"<object><name>{name}</name>{more}<bndbox>{inside}</bndbox></object>"


def xml(*objects: str, name: str = "a.jpg", head: str = "") -> str:
    return f"<annotation><filename>{name}</filename>{head}{SIZE}{''.join(objects)}</annotation>"


def png(pixels: Any, palette: list[int] | None = None) -> bytes:
    file = io.BytesIO()
    picture = Image.fromarray(np.array(pixels, np.uint8))
    if palette is not None:
        picture.putpalette(palette)
    picture.save(file, "PNG")
    return file.getvalue()


def one(found: Imported, path: str = "a.jpg") -> list[dict[str, Any]]:
    return found.rows()[path]["annotations"]


def names(found: Imported, path: str = "a.jpg") -> list[str]:
    return [found.labels[item["label"]] for item in one(found, path)]


def export(found: Imported, source: str = "pascal-voc", **options: Any) -> tuple[dict[str, bytes], set[str]]:
    asked = WriteOptions(voc=VocWriteOptions(**options))
    written, losses = write(found.table, found.shelf, "pascal-voc", source, options=asked)
    return written, {loss.code for loss in losses}


VOC = {
    "JPEGImages/a.jpg": image(),
    "JPEGImages/b.jpg": image(),
    "Annotations/a.xml": xml(box("cat"), box("dog")),
    "ImageSets/Main/train.txt": "a\n",
    "ImageSets/Main/val.txt": "b\n",
    "ImageSets/Main/trainval.txt": "a\nb\n",
}


@pytest.mark.parametrize("prefix", ["", "VOCdevkit/VOC2007/"])
def test_an_archive_of_voc_is_told_from_others(prefix: str) -> None:
    files = {f"{prefix}{name}": data for name, data in VOC.items()} | {f"__MACOSX/{prefix}Annotations/._a.xml": "x"}
    found = detect(files)
    assert max(found, key=lambda name: found[name]) == "pascal-voc"
    assert detect({"a.jpg": image(), "a.xml": xml(box("cat"))}).get("pascal-voc", 0) > 0.5
    assert read(files, "pascal-voc").table["split"].to_pylist() == ["train", "val"]


def test_xml_of_others_is_not_taken() -> None:
    labelme = (
        "<annotation><filename>a.jpg</filename><object><name>x</name><polygon><pt><x>1</x></pt></polygon></object>"
    )
    assert "pascal-voc" not in detect({"a.jpg": image(), "a.xml": labelme + "</annotation>"})
    assert "pascal-voc" not in detect({"annotations.xml": "<annotations><image name='a.jpg'/></annotations>"})


def test_files_of_the_challenge_count_from_one_and_others_do_not() -> None:
    head = "<source><database>The VOC2007 Database</database></source>"
    files = VOC | {"Annotations/a.xml": xml(box("cat", "1 1 100 50"), head=head)}
    files |= {"Annotations/b.xml": xml(box("cat", "1.5 1 100 50.25"), name="b.jpg")}
    found = read(files, "pascal-voc")
    assert found.boxes("a.jpg") == [[0, 0, 100, 50]]
    assert found.boxes("b.jpg") == [[1.5, 1, 98.5, 49.25]]
    written, _ = export(found)
    assert b"<xmin>1</xmin>" in written["Annotations/a.xml"] and b"VOC2007 Database" in written["Annotations/a.xml"]
    assert b"<xmin>1.5</xmin>" in written["Annotations/b.xml"]
    again = read(packed(written), "pascal-voc")
    assert [again.boxes(path) for path in ("a.jpg", "b.jpg")] == [found.boxes(path) for path in ("a.jpg", "b.jpg")]
    other, _ = export(found, source="ultralytics-detect")
    assert b"<xmin>0</xmin>" in other["Annotations/a.xml"] and b"VOC2007" not in other["Annotations/a.xml"]


def test_flags_pose_attributes_actions_and_parts_are_read() -> None:
    more = "<pose>Left</pose><truncated>1</truncated><difficult>0</difficult><occluded>true</occluded>"
    attributes = "".join(
        f"<attribute><name>{name}</name><value>{value}</value></attribute>"
        for name, value in {"age": 7, "tall": "True", "id": "007", "score": 0.5}.items()
    )
    part = "<part><name>head</name><bndbox><xmin>11</xmin><ymin>21</ymin><xmax>12</xmax><ymax>22</ymax></bndbox></part>"
    inside = f"{more}{part}<actions><running>1</running></actions><attributes>{attributes}</attributes>"
    found = read(VOC | {"Annotations/a.xml": xml(box("dog"), box("person", more=inside))}, "pascal-voc")
    dog, person, head = one(found)
    assert person["flags"] == Flag.TRUNCATED | Flag.OCCLUDED
    said = {"pose": "Left", "running": True, "age": 7, "tall": True, "id": "007", "score": 0.5}
    assert json.loads(person["attributes"]) == said
    assert (dog["group"], person["group"], head["group"]) == (None, 2, 2)
    assert head["bbox"] == [11, 21, 1, 1]
    assert {label.name: label.parent for label in labels_of(found.table.schema).labels}["head"] == "person"


def test_a_file_that_cannot_be_read_is_an_issue_and_its_image_stays() -> None:
    found = read(VOC | {"Annotations/a.xml": "<annotation>\n<object>\n</annotation>"}, "pascal-voc")
    (issue,) = found.issues
    assert (issue.code, issue.path, issue.line) == ("XML_INVALID", "Annotations/a.xml", 3)
    assert set(found.rows()) == {"a.jpg", "b.jpg"}
    assert read(VOC | {"Annotations/b.xml": ""}, "pascal-voc").codes() == {"XML_INVALID"}
    assert read(VOC | {"Annotations/b.xml": "<svg/>"}, "pascal-voc").codes() == {"XML_INVALID"}


@pytest.mark.parametrize(
    "declared", ['<!ENTITY x "cat">', '<!ENTITY x SYSTEM "file:///etc/passwd">', '<!ENTITY % x SYSTEM "http://x/">']
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_document_type_is_refused(declared: str, encoding: str) -> None:
    text = f"<!DOCTYPE annotation [{declared}]>" + xml(box("&x;" if "%" not in declared else "cat"))
    found = read(VOC | {"Annotations/a.xml": text.encode(encoding)}, "pascal-voc")
    assert found.codes() == {"XML_FORBIDDEN"}
    assert one(found) == []


def test_one_bad_object_ends_nothing_else() -> None:
    bad = (
        box("x", "1 2 three 4"),
        box("x", "1 2 nan 4"),
        box("x", "1 2 3"),
        box("x", "5 5 5 9"),
        "<object><name>x</name></object>",
        box(" "),
        "<object><name>y</name><polygon><x1>1</x1><y1>2</y1></polygon></object>",
    )
    found = read(VOC | {"Annotations/a.xml": xml(*bad, box("cat"))}, "pascal-voc")
    assert names(found) == ["cat"]
    expected = {"LABEL_NOT_A_NUMBER": 3, "BOX_EMPTY": 1, "BOX_MISSING": 2, "ANNOTATION_INVALID": 1}
    assert found.counts == expected


def test_an_object_with_several_boxes_is_told() -> None:
    boxes = ["<xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax>", "<xmin>5</xmin><ymin>6</ymin>"]
    for one, codes in ((boxes[0], {"BOX_REPEATED"}), (boxes[1], {"BOX_REPEATED", "LABEL_NOT_A_NUMBER"})):
        inside = f"<name>cat</name><bndbox>{boxes[0]}</bndbox><bndbox>{one}</bndbox>"
        text = f"<annotation><object>{inside}</object></annotation>"
        assert read({"Annotations/1.xml": text, "JPEGImages/1.jpg": image()}, "pascal-voc").codes() == codes


def test_what_lies_where_nothing_is_looked_for_is_told() -> None:
    inside = box("dog", more=box("cat") + "\n<keypoints><x1>5</x1></keypoints>")
    found = read({"a.xml": xml(inside, box("cat"), inside), "a.jpg": image()}, "pascal-voc")
    assert names(found) == ["dog", "cat", "dog"]
    assert [(issue.code, issue.line) for issue in found.issues] == [
        ("ANNOTATION_INVALID", 1),
        ("ANNOTATION_INVALID", 2),
        ("FIELDS_NOT_READ", 2),
    ]
    assert (
        found.issues[0].message
        == "an object inside of an element object was left out; objects lie directly in annotation"
    )


def test_polygons_and_turned_boxes_of_other_dialects_are_read_and_written_again() -> None:
    ring = "<polygon><x1>10</x1><y1>20</y1><x2>30.5</x2><y2>20</y2><x3>30</x3><y3>40</y3></polygon>"
    turned = (
        "<object><type>robndbox</type><name>ship</name><robndbox><cx>50</cx><cy>25</cy><w>20</w><h>10</h>"
        f"<angle>{np.pi / 6}</angle></robndbox></object>"
    )
    found = read(VOC | {"Annotations/a.xml": xml(box("cat", more=ring), turned)}, "pascal-voc")
    polygon, rotated = one(found)
    assert (polygon["kind"], polygon["rings"]) == (Kind.POLYGON, [[10, 20, 30.5, 20, 30, 40]])
    assert (rotated["kind"], rotated["bbox"], rotated["rotation"]) == (Kind.ROTATED_BOX, [40, 20, 20, 10], 30)
    written, codes = export(found)
    assert codes == {"KIND_UNSUPPORTED"}
    assert one(read(packed(written), "pascal-voc")) == one(found)


def test_a_flat_folder_is_read_with_and_without_images() -> None:
    files = {"set/a.jpg": image(), "set/a.xml": xml(box("cat")), "set/b.png": image(kind="PNG")}
    found = read(files, "pascal-voc")
    assert {path: len(row["annotations"]) for path, row in found.rows().items()} == {"set/a.jpg": 1, "set/b.png": 0}
    alone = read({"a.xml": xml(box("cat"), name="a.png"), "b.xml": xml(name="b.jpg")}, "pascal-voc")
    assert alone.codes() == {"IMAGES_ABSENT"}
    rows = alone.rows()
    assert (rows["a.png"]["width"], rows["a.png"]["height"], rows["b.jpg"]["state"]) == (100, 50, State.VERIFIED_EMPTY)


def test_folders_of_splits_are_splits_without_lists() -> None:
    files = {f"{split}/{name}": data for split in ("train", "valid") for name, data in (("1.jpg", image()),)}
    files |= {f"{split}/1.xml": xml(box(split), name="1.jpg") for split in ("train", "valid")}
    found = read(files, "pascal-voc")
    assert {path: (row["split"], names(found, path)) for path, row in found.rows().items()} == {
        "train/1.jpg": ("train", ["train"]),
        "val/1.jpg": ("val", ["valid"]),
    }


def test_names_find_their_files() -> None:
    files = {
        "JPEGImages/x/1 é.v2.JPG": image(),
        "JPEGImages/y/1 é.v2.JPG": image(),
        "JPEGImages/c.jpg": image(),
        "JPEGImages/c.png": image(kind="PNG"),
        "JPEGImages/d.jpg": image(),
        "JPEGImages/e.jpg": image(),
        "Annotations/x/1 é.v2.xml": xml(box("one"), name="1 é.v2.JPG"),
        "Annotations/y/1 é.v2.xml": xml(box("two"), name="1 é.v2.JPG"),
        "Annotations/c.xml": xml(box("three"), name="c.png"),
        "Annotations/d.jpg.xml": xml(box("four"), name="d.jpg"),
        "Annotations/0005.xml": xml(box("five"), name="C:\\data\\e.jpg"),
        "ImageSets/Main/train.txt": "\ufeffx/1 é.v2\r\ny/1 é.v2 \r\nc.png\r\n",
    }
    found = read(files, "pascal-voc")
    assert not found.codes()
    assert {path: names(found, path) for path in found.rows()} == {
        "x/1 é.v2.JPG": ["one"],
        "y/1 é.v2.JPG": ["two"],
        "c.jpg": [],
        "c.png": ["three"],
        "d.jpg": ["four"],
        "e.jpg": ["five"],
    }
    assert found.rows()["y/1 é.v2.JPG"]["split"] == "train"
    written, losses = write(found.table, found.shelf, "pascal-voc", "pascal-voc")
    assert "Annotations/x/1 é.v2.xml" in written
    assert [loss.code for loss in losses] == ["NAME_CHANGED"]  # c.jpg and c.png would share c.xml


def test_labels_without_images_stay_and_near_names_are_shown() -> None:
    found = read(VOC | {"Annotations/c.xml": xml(box("cat"), name="c.jpg")}, "pascal-voc")
    assert found.codes() == {"IMAGE_MISSING"}
    assert names(found, "c.jpg") == ["cat"]
    with pytest.raises(InvalidArgument, match=r"near is an image img_001\.jpg"):
        read({"JPEGImages/img_001.jpg": image(), "Annotations/img-001.xml": xml(box("cat"))}, "pascal-voc")


def test_lists_say_splits_and_classes() -> None:
    files = VOC | {
        "ImageSets/Main/cat_train.txt": "a  1\n",
        "ImageSets/Main/traffic_light_train.txt": "a  1\nzzz  1\n",
        "ImageSets/Main/dog_val.txt": "b -1\n",
        "ImageSets/Segmentation/train.txt": "b\n",
        "ImageSets/Layout/test.txt": "a 1\n",
    }
    found = read(files, "pascal-voc")
    assert {path: row["split"] for path, row in found.rows().items()} == {"a.jpg": "train", "b.jpg": "val"}
    kinds = {(item["kind"], found.labels[item["label"]]) for item in one(found)}
    assert kinds == {(Kind.BOX, "cat"), (Kind.BOX, "dog"), (Kind.TAG, "traffic_light")}
    assert one(found, "b.jpg") == []
    assert found.counts == {"SPLITS_OVERLAP": 2, "LIST_ENTRY_UNKNOWN": 1}
    written, codes = export(found)
    assert not codes
    assert written["ImageSets/Main/cat_train.txt"] == b"a  1\n"
    assert found.table["kind"].equals(read(packed(written), "pascal-voc").table["kind"])


def test_masks_of_the_challenge_are_instances_with_classes() -> None:
    palette = [0] * 768
    for number, colour in {1: (128, 0, 0), 2: (0, 128, 0), 8: (64, 0, 0), 255: (224, 224, 192)}.items():
        palette[3 * number : 3 * number + 3] = colour
    classes = np.zeros((50, 100))
    classes[:10, :10], classes[20:30, :10], classes[10, :10] = 8, 8, 255
    instances = np.zeros((50, 100))
    instances[:10, :10], instances[20:30, :10], instances[10, :10] = 1, 2, 255
    files = VOC | {
        "SegmentationClass/a.png": png(classes, palette),
        "SegmentationObject/a.png": png(instances, palette),
        "ImageSets/Segmentation/train.txt": "a\n",
    }
    found = read(files, "pascal-voc")
    assert not found.codes()
    assert names(found) == ["cat", "dog", "cat", "cat", "ignored"]
    assert [item["group"] for item in one(found)] == [1, None, 1, None, None]
    assert one(found)[3]["bbox"] == [0, 20, 10, 10]
    written, codes = export(found)
    assert not codes
    assert written["ImageSets/Segmentation/train.txt"] == b"a\n"
    assert one(read(packed(written), "pascal-voc")) == one(found)
    plain, _ = export(found, without_colormap=True)
    assert Image.open(io.BytesIO(plain["SegmentationClass/a.png"])).mode == "L"
    assert one(read(packed(plain), "pascal-voc")) == one(found)


def test_masks_are_read_by_colour_by_index_and_by_class_alone() -> None:
    label_map = "# label:color_rgb:parts:actions\nbackground:0,0,0::\nroad:10,20,30::\ncar:1,2,3::\n"
    colours = np.zeros((50, 100, 3))
    colours[:5, :5], colours[40:, 90:], colours[20, 20] = (1, 2, 3), (10, 20, 30), (9, 9, 9)
    found = read(VOC | {"labelmap.txt": label_map, "SegmentationClass/b.png": png(colours)}, "pascal-voc")
    assert found.labels == ["road", "car", "cat", "dog"]
    assert found.counts == {"MASK_CLASS_UNKNOWN": 1, "CLASS_NOT_LISTED": 2}
    assert names(found, "b.jpg") == ["road", "car"]
    assert one(found, "b.jpg")[1]["bbox"] == [0, 0, 5, 5]
    indices = np.zeros((50, 100))
    indices[:5, :5] = 2
    found = read(VOC | {"labelmap.txt": label_map, "SegmentationClass/b.png": png(indices)}, "pascal-voc")
    assert names(found, "b.jpg") == ["car"]
    found = read(VOC | {"SegmentationClass/b.png": b"no png"}, "pascal-voc")
    assert found.codes() == {"MASK_FILE_UNREADABLE"}
    alone = read({"SegmentationClass/b.png": png(indices), "ImageSets/Segmentation/x.txt": "b\n"}, "pascal-voc")
    assert [(row["width"], row["split"]) for row in alone.rows().values()] == [(100, "x")]


def test_background_is_a_class_where_something_is_of_it() -> None:
    label_map = "background:0,0,0::\ncat:128,0,0::\n"
    assert read(VOC | {"labelmap.txt": label_map + "dog:0,1,0::\n"}, "pascal-voc").labels == ["cat", "dog"]
    files = VOC | {"labelmap.txt": label_map, "Annotations/a.xml": xml(box("background"))}
    found = read(files, "pascal-voc")
    assert found.labels == ["background", "cat"]
    assert read(packed(export(found)[0]), "pascal-voc").labels == found.labels


def test_many_instances_are_written_as_colours() -> None:
    raster = np.arange(50 * 100).reshape(50, 100) // 10
    colours = np.zeros((50, 100, 3))
    for place in range(8):
        for channel in range(3):
            colours[..., channel] += ((raster >> (3 * place + channel)) & 1) << (7 - place)
    classes = np.ones((50, 100, 3)) * (64, 0, 0)
    files = VOC | {"SegmentationObject/b.png": png(colours), "SegmentationClass/b.png": png(classes)}
    found = read(files, "pascal-voc")
    assert len(one(found, "b.jpg")) == 499
    assert one(read(packed(export(found)[0]), "pascal-voc"), "b.jpg") == one(found, "b.jpg")


@pytest.mark.parametrize(("most", "coloured"), [(256, True), (256, False), (60_000, True), (60_000, False)])
def test_masks_are_written_as_files_that_others_read(most: int, coloured: bool) -> None:
    raster = np.random.default_rng(0).integers(0, most, (30, 50)).astype(np.uint8 if most == 256 else np.int32)
    colours = voc_labels.colours(np.arange(most)) if coloured else None
    data = voc_masks.encode(raster.T, colours)  # which lies in memory the other way round
    read = Image.open(io.BytesIO(data))
    assert read.size == (30, 50)
    if colours is None:
        assert np.array_equal(np.asarray(read), raster.T)
    else:
        assert np.array_equal(np.asarray(read.convert("RGB")), colours[raster.T])
        assert read.mode == ("P" if most == 256 else "RGB")
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(pixels, raster.T if colours is None else colours[raster.T][..., ::-1])


def test_what_voc_cannot_hold_is_told_and_done_instead() -> None:
    ring = [[10, 10, 40, 10, 40, 30, 10, 30]]
    record = {"image_id": 1, "category_id": 3, "iscrowd": 0, "area": 1}
    body = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 100, "height": 50}],
        "categories": [{"id": 3, "name": "cat:big"}, {"id": 4, "name": "dog"}],
        "annotations": [
            record | {"id": 1, "bbox": [10, 10, 30, 20], "segmentation": ring},
            record | {"id": 2, "bbox": [0, 0, 5, 5], "category_id": 4, "attributes": {"x": [1, "a<b"]}},
            record | {"id": 3, "bbox": [0, 0, 9, 9], "segmentation": {"size": [50, 100], "counts": [0, 60, 4940]}},
            record | {"id": 4, "bbox": [0, 0, 9, 9], "segmentation": {"size": [50, 100], "counts": [50, 60, 4890]}},
        ],
    }
    files = {"annotations/instances_train.json": json.dumps(body), "images/train/a.jpg": image()}
    found = read(files, "coco-instances")
    written, codes = export(found, source="coco-instances")
    assert codes == {"KIND_UNSUPPORTED", "MASK_OVERLAP", "NAME_CHANGED"}
    converted = read(files, "coco-instances", to="pascal-voc")
    assert not any(item["rings"] for item in one(converted))
    assert export(converted, source="coco-instances") == (written, codes)
    again = read(packed(written), "pascal-voc")
    assert not again.codes() and again.labels == ["cat_big", "dog"]
    assert [item["kind"] for item in one(again)] == [Kind.BOX, Kind.BOX, Kind.MASK, Kind.MASK]
    assert json.loads(one(again)[1]["attributes"]) == {"x": [1, "a<b"]}
    painted, _ = export(found, source="coco-instances", paint_polygons=True)
    masks = [item for item in one(read(packed(painted), "pascal-voc")) if item["kind"] == Kind.MASK]
    assert [10, 10, 30, 20] in [item["bbox"] for item in masks]
    assert next(item["group"] for item in masks if item["bbox"] == [10, 10, 30, 20]) == 1
    challenge, codes = export(found, source="coco-instances", label_map=LABEL_MAP_VOC)
    assert "LABEL_NOT_IN_MAP" in codes
    assert b">cat" not in challenge["Annotations/a.xml"] and b"tvmonitor:0,64,128::" in challenge["labelmap.txt"]


def test_empty_files_are_written_where_asked_and_bytes_repeat() -> None:
    found = read(VOC, "pascal-voc")
    written, _ = export(found)
    assert "Annotations/b.xml" not in written
    kept, _ = export(found, keep_empty=True)
    assert b"<width>100</width>" in kept["Annotations/b.xml"]
    assert export(found)[0] == written


def test_names_are_escaped() -> None:
    files = VOC | {
        "JPEGImages/b & <c>.jpg": image(),
        "Annotations/b & <c>.xml": xml(box("A&amp;B &lt;é&gt;"), name="b &amp; &lt;c&gt;.jpg"),
    }
    found = read(files, "pascal-voc")
    assert names(found, "b & <c>.jpg") == ["A&B <é>"]
    written, _ = export(found)
    assert names(read(packed(written), "pascal-voc"), "b & <c>.jpg") == ["A&B <é>"]


def test_a_class_with_a_slash_has_a_list_of_its_own() -> None:
    files = VOC | {"labelmap.txt": "x/y:1,1,1::\ncat:::\ndog:::\n", "ImageSets/Main/x%2Fy_train.txt": "a  1\n"}
    found = read(files, "pascal-voc")
    assert names(found) == ["cat", "dog", "x/y"]
    written, _ = export(found)
    assert written["ImageSets/Main/x%2Fy_train.txt"] == b"a  1\n"
    assert names(read(packed(written), "pascal-voc")) == ["cat", "dog", "x/y"]
