"""CVAT's XML, for images and for videos: the traps of reading and of writing."""

import json
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
import pyarrow as pa
import pytest
from cvat_documents import LABELS, again, assert_same, document
from lxml import etree
from pycocotools import mask as peer
from whole_way import Imported, detect, image, packed, read, write

from framehouse.annotations.labels import labels_of
from framehouse.annotations.schema import Flag, Kind
from framehouse.runtime.errors import InvalidArgument
from services.conversion import writing
from services.conversion.cvat import files as cvat_files
from services.conversion.cvat import frames as cvat_frames
from services.conversion.cvat import images as cvat_images
from services.conversion.cvat.files import File, Scanner


def one(shapes: str, **attributes: str) -> str:
    more = "".join(f" {key}={quoteattr(value)}" for key, value in attributes.items())
    return f'<image id="0" name="1.jpg" width="100" height="50"{more}>\n{shapes}\n</image>'


def archive(body: str, **more: Any) -> dict[str, bytes | str]:
    return {"annotations.xml": document(body, **more), "images/1.jpg": image()}


def records(found: Imported, path: str = "1.jpg") -> list[dict[str, Any]]:
    return found.rows()[path]["annotations"]


def shapes(text: str, **more: Any) -> Imported:
    return read(archive(one(text), **more), "cvat-images")


def track(body: str, head: str = 'id="0" label="car"') -> dict[str, bytes | str]:
    size = "<original_size><width>100</width><height>50</height></original_size>"
    meta = f"<task><size>3</size><mode>interpolation</mode>{LABELS}{size}</task>"
    return {"annotations.xml": document(f"<track {head}>{body}</track>", meta)}


def box(frame: int, more: str = 'keyframe="1"') -> str:
    return f'<box frame="{frame}" xtl="1" ytl="2" xbr="{frame + 3}" ybr="4" {more}></box>'


def test_boxes_are_turned_clockwise_around_their_centre() -> None:
    found = shapes(
        '<box label="car" xtl="10" ytl="20" xbr="30" ybr="24" rotation="90.00"></box>'
        '<box label="car" xtl="79.33" ytl="8.92" xbr="96.52" ybr="28.94" rotation="0.00"></box>'
    )
    turned, upright = records(found)
    assert (turned["kind"], turned["bbox"], turned["rotation"]) == (Kind.ROTATED_BOX, [10, 20, 20, 4], 90)
    assert (upright["kind"], upright["rotation"]) == (Kind.BOX, None)
    written, _ = write(found.table, found.shelf, "cvat-images", "cvat-images")
    text = written["annotations.xml"].decode()
    assert 'xtl="10" ytl="20" xbr="30" ybr="24" rotation="90"' in text
    assert 'xtl="79.33" ytl="8.92" xbr="96.52" ybr="28.94"' in text


def test_ellipses_are_inscribed_in_their_box() -> None:
    (found,) = records(shapes('<ellipse label="car" cx="50" cy="20.5" rx="10" ry="4.25" rotation="30"/>'))
    assert (found["kind"], found["bbox"], found["rotation"]) == (Kind.ELLIPSE, [40, 16.25, 20, 8.5], 30)


def test_masks_are_cut_out_of_their_image_row_by_row() -> None:
    found = shapes('<mask label="car" rle="1, 2, 4, 1, 1" left="20" top="30" width="3" height="3" z_order="2"></mask>')
    (record,) = records(found)
    raster = np.zeros((50, 100), np.uint8)
    raster[30:33, 20:23] = [[0, 1, 1], [0, 0, 0], [0, 1, 0]]
    assert (peer.decode({"size": record["rle_size"], "counts": record["rle"]}) == raster).all()
    assert (record["kind"], record["bbox"], record["z_order"]) == (Kind.MASK, [21, 30, 2, 3], 2)
    written, _ = write(found.table, found.shelf, "cvat-images", "cvat-images")
    node = etree.fromstring(written["annotations.xml"]).find("image/mask")
    said = [int(node.get(name)) for name in ("left", "top", "width", "height")]
    runs = [int(value) for value in node.get("rle").split(",")]
    assert (said, runs) == ([21, 30, 2, 3], [0, 2, 2, 1, 1])
    assert_same(found, again(found, "cvat-images"))


@pytest.mark.parametrize("mask", ['rle="1,2" left="1" top="1" width="3" height="3"', 'rle="9,x" left="1" top="1"'])
def test_a_mask_that_does_not_fit_is_told(mask: str) -> None:
    found = shapes(f'<mask label="car" {mask}></mask>')
    assert found.codes() in ({"MASK_INVALID"}, {"ANNOTATION_INVALID"})
    assert found.issues[0].line == document("@").split("@")[0].count("\n") + 2


def test_skeletons_have_the_points_of_their_label_in_order() -> None:
    text = (
        '<skeleton label="person" occluded="1" z_order="1"><points label="tail" outside="0" occluded="1" points="3,4"/>'
        '<points label="nose" outside="0" occluded="0" points="1.5,2"/></skeleton>'
        '<skeleton label="person"><points label="nose" outside="1" occluded="0" points="9,9"/></skeleton>'
    )
    found = shapes(text)
    whole, part = records(found)
    assert (whole["kind"], whole["rings"], whole["visibility"]) == (Kind.SKELETON, [[1.5, 2, 3, 4]], [2, 1])
    assert (whole["flags"], whole["bbox"]) == (Flag.OCCLUDED, [1.5, 2, 1.5, 2])
    assert (part["rings"], part["visibility"]) == ([[9, 9, 0, 0]], [0, 0])
    label = labels_of(found.table.schema).labels[2]
    assert (list(label.keypoints), [(getattr(edge, "from"), edge.to) for edge in label.edges]) == (
        ["nose", "tail"],
        [(0, 1)],
    )
    assert found.labels == ["car", 'a "b" & <ü>', "person"]
    back = again(found, "cvat-images")
    assert labels_of(back.table.schema).labels == labels_of(found.table.schema).labels
    assert_same(found, back)


def test_cuboids_tags_and_other_shapes_are_kept() -> None:
    corners = " ".join(
        f'{axis}{side}{face}="{i}"'
        for i, (face, side, axis) in enumerate(
            (face, side, axis) for face in "12" for side in ("tl", "bl", "tr", "br") for axis in "xy"
        )
    )
    found = shapes(
        f'<cuboid label="car" {corners}></cuboid>'
        '<tag label="car" source="auto"><attribute name="doors">4</attribute></tag>'
        '<polyline label="car" points="1,2;3,4" group_id="7"></polyline><points label="car" points="1,2"></points>'
    )
    cuboid, tag, line, points = records(found)
    in_turn = [0, 1, 4, 5, 6, 7, 2, 3]
    front_and_back = [float(first + i) for first in (0, 8) for i in in_turn]
    assert (cuboid["kind"], cuboid["rings"]) == (Kind.CUBOID, [front_and_back])
    assert (tag["kind"], json.loads(tag["attributes"])) == (Kind.TAG, {"doors": 4, "source": "auto"})
    assert (line["group"], points["group"]) == (7, None)
    written, _ = write(found.table, found.shelf, "cvat-images", "cvat-images")
    tags = etree.fromstring(written["annotations.xml"]).find("image/tag")
    assert (tags.get("source"), len(tags)) == ("auto", 1)
    assert_same(found, again(found, "cvat-images"))


def test_attributes_have_the_type_that_the_meta_says() -> None:
    values = {"parked": "true", "doors": "4", "plate": "0003", "new": "False", "other": "5"}
    inner = "".join(f'<attribute name="{name}">{value}</attribute>' for name, value in values.items())
    found = shapes(f'<tag label="car">{inner}</tag><tag label="person"><attribute name="doors">4</attribute></tag>')
    said = [json.loads(record["attributes"]) for record in records(found)]
    assert said == [{"parked": True, "doors": 4, "plate": "0003", "new": False, "other": "5"}, {"doors": "4"}]
    assert list(labels_of(found.table.schema).labels[0].attributes) == ["parked", "doors", "plate"]
    back = again(found, "cvat-images")
    assert [json.loads(record["attributes"]) for record in records(back)] == said
    label = labels_of(back.table.schema).labels[0]
    assert (label.color, list(label.attributes)) == ("#aa0010", ["parked", "doors", "plate", "new", "other"])


def test_attributes_of_other_formats_are_declared_by_their_values() -> None:
    found = shapes("".join(f'<tag label="person" z_order="{i}"/>' for i in range(4)))
    values = [
        {"a": 1, "b": "x", "c": True},
        {"a": 2.5, "b": "5"},
        {"a": "many", "source": "web"},
        {"c": [1], "b": "\x01\n<"},
    ]
    texts = pa.array([[json.dumps(value) for value in values]])
    at = found.table.schema.get_field_index("attributes")
    found.table = found.table.set_column(at, found.table.schema.field(at), texts)
    written, losses = write(found.table, found.shelf, "cvat-images", "coco-instances")
    assert [(loss.code, loss.annotation_count) for loss in losses] == [("ATTRIBUTE_RETYPED", 2)]
    kinds = {
        node.findtext("name"): node.findtext("input_type")
        for node in etree.fromstring(written["annotations.xml"]).iter("attribute")
        if len(node)
    }
    assert kinds | {"parked": "checkbox"} == kinds
    assert {name: kinds[name] for name in "abc"} | {"source": kinds["source"]} == {
        "a": "number",
        "b": "text",
        "c": "text",
        "source": "text",
    }
    back = [json.loads(record["attributes"]) for record in records(read(packed(written), "cvat-images"))]
    assert back == [{**values[0], "c": "true"}, values[1], values[2], {"c": "[1]", "b": "\ufffd\n<"}]


def test_what_is_broken_is_told_with_its_line_and_ends_nothing() -> None:
    body = "\n".join(
        (
            one(
                '<box label="car" xtl="1" ytl="1" xbr="5" ybr="5"/>\n<box label="car" xtl="a" ytl="1" xbr="5" ybr="5"/>'
            ),
            '<image id="1" name="2.jpg" width="9" height="9"><box label="car"></image>',
            '<image id="2" name="" width="9" height="9"><broken></image>',
            '<image id="3" name="3.jpg" width="9" height="9"><circle label="car"/>'
            '<polygon label="car" points="1,2;3,4"/><box label="van" xtl="1" ytl="1" xbr="3" ybr="1"/></image>',
        )
    )
    found = read({"annotations.xml": document(body)}, "cvat-images")
    codes = {issue.code: issue.line for issue in found.issues}
    first = document("@").split("@")[0].count("\n") + 1
    assert codes == {
        "ANNOTATION_INVALID": first + 6,
        "XML_INVALID": first + 4,
        "IMAGE_INVALID": first + 5,
        "SHAPE_UNKNOWN": first + 6,
        "BOX_EMPTY": first + 6,
        "CLASS_UNDECLARED": first + 6,
        "IMAGES_ABSENT": 0,
    }
    assert found.counts["ANNOTATION_INVALID"] == 2
    assert found.labels[-1] == "van"
    assert {path: len(row["annotations"]) for path, row in found.rows().items()} == {"1.jpg": 1, "2.jpg": 0, "3.jpg": 0}


def test_a_file_that_is_cut_off_is_read_as_far_as_it_goes() -> None:
    text = document(one('<tag label="car"/>') + '<image id="1" name="2.jpg"><box label="car" xtl="1" yt')
    found = read({"annotations.xml": text.replace("</annotations>\n", "")}, "cvat-images")
    assert found.codes() >= {"XML_INVALID"}
    assert len(records(found)) == 1


@pytest.mark.parametrize(
    "head",
    ['<!DOCTYPE annotations [<!ENTITY e SYSTEM "file:///etc/passwd">]>\n', '<!DOCTYPE annotations SYSTEM "x">\n'],
)
def test_a_document_type_is_refused(head: str) -> None:
    with pytest.raises(InvalidArgument, match="document type"):
        shapes("", head=head)


def test_entities_are_not_resolved() -> None:
    found = shapes('<tag label="car"><attribute name="plate">&e;</attribute></tag>')
    assert found.codes() == {"XML_INVALID"}


def test_comments_encodings_and_quotes_are_understood() -> None:
    text = document(
        '<!-- <image id="9" name="no.jpg"> -->' + one("<tag label='a \"b\" &amp; &lt;ü&gt;'/>", more="it's > that"),
        head='<?xml version="1.0" encoding="iso-8859-1"?>\n',
    )
    found = read({"annotations.xml": text.encode("iso-8859-1"), "1.jpg": image()}, "cvat-images")
    assert not found.codes()
    assert [record["label"] for record in records(found)] == [1]
    bom = read({"annotations.xml": b"\xef\xbb\xbf" + document(one("")).replace("\n", "\r\n").encode()}, "cvat-images")
    assert list(bom.rows()) == ["1.jpg"]


def test_images_are_found_by_subset_and_name() -> None:
    body = "".join(
        f'<image id="{i}" name="{name}" subset="{subset}" task_id="{task}" width="100" height="50">'
        '<tag label="car"/></image>'
        for i, (name, subset, task) in enumerate(
            (
                ("1.jpg", "train", 1),
                ("a/1.jpg", "Validation", 2),
                ("frame_000003", "Validation", 2),
                ("9.jpg", "default", 4),
            )
        )
    )
    files = {
        "up/annotations.xml": document(body, f"<project><tasks><task><id>1</id></task></tasks>{LABELS}</project>"),
        "up/images/train/1.jpg": image(),
        "up/images/Validation/a/1.jpg": image(),
        "up/images/Validation/frame_000003.PNG": image(kind="PNG"),
        "up/images/other.jpg": image(),
    }
    found = read(files, "cvat-images")
    assert found.counts == {"IMAGE_MISSING": 1, "IMAGE_NOT_LISTED": 1}
    assert {(path, row["split"], row["split_name"]) for path, row in found.rows().items()} == {
        ("1.jpg", "train", "train"),
        ("a/1.jpg", "val", "Validation"),
        ("frame_000003.PNG", "val", "Validation"),
        ("9.jpg", "", ""),
        ("other.jpg", "", ""),
    }
    written, losses = write(found.table, found.shelf, "cvat-images", "cvat-images")
    assert not losses
    assert {"images/train/1.jpg", "images/Validation/frame_000003.PNG", "images/default/other.jpg"} <= set(written)
    node = etree.fromstring(written["annotations.xml"]).findall("image")
    assert {(one.get("name"), one.get("subset"), one.get("task_id")) for one in node} >= {
        ("frame_000003", "Validation", "2")
    }
    back = read(packed(written), "cvat-images")
    assert_same(found, back, ("source", "frame"))


def test_files_none_of_whose_images_is_there_are_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"it names 1\.jpg, and the archive has images/x\.jpg"):
        read({"annotations.xml": document(one("")), "images/x.jpg": image()}, "cvat-images")


def test_an_image_in_two_files_is_one_image() -> None:
    files = archive(one('<tag label="car"/>')) | {"job2/annotations.xml": document(one('<tag label="van"/>'))}
    found = read(files, "cvat-images")
    assert list(found.rows()) == ["1.jpg"]
    assert len({record["annotation_id"] for record in records(found)}) == 2
    assert found.labels == ["car", 'a "b" & <ü>', "person", "van"]


def test_parts_of_files_are_read_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    body = "".join(
        f'<image id="{i}" name="{i}.jpg" width="9" height="9"><tag label="car" z_order="{i}"/></image>'
        for i in range(9)
    )
    for module in (cvat_images, cvat_frames):
        monkeypatch.setattr(module, "part_bytes", lambda total: 150)
    found = read({"annotations.xml": document(body)}, "cvat-images")
    assert found.plan.part_count == 5
    assert {path: row["annotations"][0]["z_order"] for path, row in found.rows().items()} == {
        f"{i}.jpg": i for i in range(9)
    }
    files = track("")
    files["annotations.xml"] = document("".join(f'<track id="{i}" label="car">{box(i)}</track>' for i in range(9)))
    assert read(files, "cvat-video").plan.part_count == 5


@pytest.mark.parametrize("size", [1, 7, 64])
def test_a_file_is_cut_alike_whatever_its_chunks(size: int) -> None:
    text = document(one("<tag/>") + "<!-- <image " + "x" * 70 + "-->\n" + one("") + '<track id="1"></track>').encode()
    found: list[cvat_files.Element] = []
    scanner = Scanner(File(0, "a.xml", True, True, False), found.append)
    for start in range(0, len(text), size):
        scanner.feed(text[start : start + size])
    scanner.close()
    assert scanner.ended
    assert [element.name for element in found] == ["meta", "image", "image", "track"]
    for element in found:
        assert text[element.start :].startswith(element.data)
        assert element.line == text[: element.start].count(b"\n") + 1


@pytest.mark.parametrize("name", ["cvat-images", "coco-instances", "ultralytics-detect", "pascal-voc"])
def test_objects_outside_are_not_written_as_if_they_were_there(name: str) -> None:
    frames = {f"images/frame_{i:06d}.jpg": image() for i in range(2)}
    found = read(track(box(0, 'keyframe="1" outside="1"') + box(1)) | frames, "cvat-video")
    written, losses = write(found.table, found.shelf, name, "cvat-video")
    counts = {loss.code: loss.annotation_count for loss in losses}
    assert (counts["OUTSIDE_LEFT_OUT"], counts["TRACK_UNSUPPORTED"], counts["FLAG_UNSUPPORTED"]) == (1, 1, 1)
    back = read(packed(written), name)
    assert {path: len(row["annotations"]) for path, row in back.rows().items() if row["annotations"]} == {
        "frame_000001.jpg": 1
    }
    kept, losses = write(found.table, found.shelf, "datumaro", "cvat-video")
    assert not losses
    assert len(read(packed(kept), "datumaro").rows()["frame_000000.jpg"]["annotations"]) == 1


def test_polygons_of_several_rings_become_one() -> None:
    found = shapes('<polygon label="car" points="0,0;10,0;10,10;0,10"/><polyline label="car" points="1,1;2,2"/>')
    at = found.table.schema.get_field_index("rings")
    rings = [[[0.0, 0, 10, 0, 10, 10, 0, 10], [20.0, 0, 30, 0, 30, 10]], [[1.0, 1, 2, 2]]]
    found.table = found.table.set_column(
        at, found.table.schema.field(at), pa.array([rings], found.table.schema.field(at).type)
    )
    written, losses = write(found.table, found.shelf, "cvat-images", "coco")
    assert [(loss.code, loss.annotation_count) for loss in losses] == [("RINGS_JOINED", 1)]
    polygon, line = records(read(packed(written), "cvat-images"))
    assert len(polygon["rings"][0]) == 18
    assert line["rings"] == [[1, 1, 2, 2]]


def test_frames_that_have_no_images_are_those_of_the_meta() -> None:
    found = read(track(box(0) + box(1, 'keyframe="0" occluded="1"') + box(5)), "cvat-video")
    assert found.counts == {"IMAGES_ABSENT": 1}
    rows = found.rows()
    assert {path: (row["frame"], row["width"], row["height"]) for path, row in rows.items()} == {
        f"frame_{i:06d}.png": (i, 100, 50) for i in (0, 1, 2, 5)
    }
    flags = [rows[f"frame_{i:06d}.png"]["annotations"][0]["flags"] for i in (0, 1, 5)]
    assert flags == [Flag.KEYFRAME, Flag.OCCLUDED, Flag.KEYFRAME]
    written, losses = write(found.table, found.shelf, "cvat-video", "cvat-video")
    assert not losses
    frames = [node.get("frame") for node in etree.fromstring(written["annotations.xml"]).iter("box")]
    assert frames == ["0", "1", "5"]


def test_frames_are_found_by_number_or_by_order() -> None:
    files = track(box(0) + box(1) + box(2))
    by_number = read(files | {f"x/frame_{i:06d}.PNG": image(kind="PNG") for i in (2, 0, 1, 7)}, "cvat-video")
    assert not by_number.codes()
    assert {path: row["frame"] for path, row in by_number.rows().items()} == {
        f"x/frame_{i:06d}.PNG": i for i in (0, 1, 2, 7)
    }
    by_order = read(files | {f"images/{name}.jpg": image() for name in ("b", "a", "c")}, "cvat-video")
    assert by_order.codes() == {"FRAMES_BY_ORDER"}
    assert {path: row["annotations"][0]["bbox"][2] for path, row in by_order.rows().items()} == {
        "a.jpg": 2,
        "b.jpg": 3,
        "c.jpg": 4,
    }
    ends = read(files | {f"images/shot{i}.jpg": image() for i in (0, 2)}, "cvat-video")
    assert ends.codes() == {"IMAGE_MISSING"}
    assert {path: row["frame"] for path, row in ends.rows().items()} == {
        "shot0.jpg": 0,
        "shot2.jpg": 2,
        "frame_000001.png": 1,
    }


def test_tracks_of_a_project_keep_their_numbers_apart() -> None:
    body = "".join(
        f'<track id="{i}" label="car" task_id="{task}" subset="{subset}" group_id="4" source="file">'
        f"{box(0)}{box(0)}</track>"
        for i, task, subset in ((0, 7, "train"), (0, 8, "val"))
    )
    size = "<original_size><width>100</width><height>50</height></original_size>"
    tasks = "".join(f"<task><id>{i}</id><size>1</size>{size}</task>" for i in (7, 8))
    files = {"annotations.xml": document(body, f"<project><tasks>{tasks}</tasks>{LABELS}</project>")}
    found = read(
        files | {f"images/{name}/frame_000000.png": image(kind="PNG") for name in ("train", "val")}, "cvat-video"
    )
    rows = found.rows()
    assert {(path, row["split"]) for path, row in rows.items()} == {
        ("train/frame_000000.png", "train"),
        ("val/frame_000000.png", "val"),
    }
    assert {record["track"] for row in rows.values() for record in row["annotations"]} == {0, 1}
    for row in rows.values():
        assert len({record["annotation_id"] for record in row["annotations"]}) == 2
        assert [(record["group"], record["attributes"]) for record in row["annotations"]] == [
            (4, '{"source":"file"}')
        ] * 2
    assert_same(found, again(found, "cvat-video"))


def test_annotations_without_a_track_become_tracks_of_one_frame() -> None:
    files = {
        "annotations.xml": document(
            "".join(
                f'<image id="{i}" name="{i}.jpg" width="100" height="50">'
                '<box label="car" xtl="1" ytl="1" xbr="5" ybr="5" group_id="3"/><tag label="car"/>'
                '<skeleton label="person" source="auto"><points label="nose" points="1,2"/></skeleton></image>'
                for i in range(2)
            )
        ),
        **{f"images/{i}.jpg": image() for i in range(2)},
    }
    found = read(files, "cvat-images")
    written, losses = write(found.table, found.shelf, "cvat-video", "cvat-images")
    assert {loss.code: loss.annotation_count or loss.image_count for loss in losses} == {
        "KIND_UNSUPPORTED": 2,
        "TRACK_ADDED": 4,
        "NAME_CHANGED": 2,
    }
    tracks = etree.fromstring(written["annotations.xml"]).findall("track")
    assert [(node.get("id"), node.get("source"), node.get("group_id")) for node in tracks] == [
        ("0", "manual", "3"),
        ("2", "auto", None),
        ("3", "manual", "3"),
        ("5", "auto", None),
    ]
    assert [[(shape.get("frame"), shape.get("outside")) for shape in node] for node in tracks] == [
        [("0", "0"), ("1", "1")],
        [("0", "0"), ("1", "1")],
        [("1", "0")],
        [("1", "0")],
    ]
    assert all(shape.get("keyframe") == "1" for node in tracks for shape in node)
    back = read(packed(written), "cvat-video")
    assert [record["flags"] & Flag.OUTSIDE for record in records(back, "frame_000001.jpg")] == [16, 16, 0, 0]


def test_tracks_without_keyframes_end_where_they_are_gone() -> None:
    files = track("".join(box(i) for i in (0, 1, 3)) + box(5, 'keyframe="0"'), 'id="9" label="car"')
    found = read(files | {f"images/frame_{i:06d}.png": image() for i in range(7)}, "cvat-video")
    at = found.table.schema.get_field_index("flags")
    none = pa.array([[0] * len(row) for row in found.table["flags"].to_pylist()], pa.list_(pa.int32()))
    found.table = found.table.set_column(at, found.table.schema.field(at), none)
    written, losses = write(found.table, found.shelf, "cvat-video", "mot")
    assert not losses
    (node,) = etree.fromstring(written["annotations.xml"]).findall("track")
    assert node.get("id") == "9"
    assert [(int(shape.get("frame")), int(shape.get("outside"))) for shape in node] == [
        (0, 0),
        (1, 0),
        (2, 1),
        (3, 0),
        (4, 1),
        (5, 0),
        (6, 1),
    ]


@pytest.mark.parametrize("size", [1, 2, 3])
def test_tracks_that_span_steps_are_ordered_by_frame(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(writing, "SHARD_IMAGES", size)
    body = "".join(
        f'<track id="{i}" label="car">{"".join(box(frame) for frame in range(i, 7))}</track>' for i in range(3)
    )
    files = {"annotations.xml": document(body)}
    files |= {f"images/frame_{i:06d}.png": image(kind="PNG") for i in (3, 1, 6, 0, 5, 4, 2)}
    found = read(files, "cvat-video")
    written, losses = write(found.table, found.shelf, "cvat-video", "cvat-video")
    assert not losses
    tracks = etree.fromstring(written["annotations.xml"]).findall("track")
    assert [[int(shape.get("frame")) for shape in node] for node in tracks] == [list(range(i, 7)) for i in range(3)]
    assert_same(found, read(packed(written), "cvat-video"))


def test_a_track_of_two_classes_is_divided() -> None:
    found = read(track(box(0) + box(1)), "cvat-video")
    at = found.table.schema.get_field_index("label")
    found.table = found.table.set_column(
        at, found.table.schema.field(at), pa.array([[0], [1], []], pa.list_(pa.int32()))
    )
    written, losses = write(found.table, found.shelf, "cvat-video", "cvat-video")
    assert [(loss.code, loss.annotation_count) for loss in losses] == [("TRACK_DIVIDED", 2)]
    assert [node.get("id") for node in etree.fromstring(written["annotations.xml"]).findall("track")] == ["0", "1"]


def test_the_two_are_told_apart_and_from_other_formats() -> None:
    litter = {"__MACOSX/._annotations.xml": b"\0\5\x16\7", ".DS_Store": b"x"}
    for files, name in ((archive(one("")), "cvat-images"), (track(box(0)), "cvat-video")):
        for prefix in ("", "some/where/"):
            found = detect({prefix + path: data for path, data in files.items()} | litter)
            assert max(found, key=lambda key: found[key]) == name
            assert found[name] > 0.9
    both = archive(one("") + f'<track id="0" label="car">{box(0)}</track>')
    found = detect(both)
    assert max(found, key=lambda key: found[key]) == "cvat-images"
    assert "FILE_OF_OTHER_TASK" in read(both, "cvat-images").codes()
    empty = detect({"a.xml": document("", f"<task><mode>interpolation</mode>{LABELS}</task>"), "images/1.jpg": image()})
    assert max(empty, key=lambda key: empty[key]) == "cvat-video"
    assert not {"cvat-images", "cvat-video"} & set(
        detect({"a.xml": "<annotation><object/></annotation>", "a.jpg": image()})
    )
