"""Ultralytics NDJSON: a line an image, all tasks side by side."""

import json
import time
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from test_datumaro import table
from whole_way import Imported, Shelf, detect, image, packed, read, write

from framehouse.annotations import geometry, masks
from framehouse.annotations.schema import Kind, State
from framehouse.runtime import errors
from framehouse.runtime.config import Settings
from framehouse.store import signed_urls
from framehouse.store.issues import IssueLog
from framehouse.store.sources import index_archive
from framehouse.v1.annotation_pb2 import Label, LabelSchema
from framehouse.v1.conversion_pb2 import WriteOptions
from services.conversion import image_urls
from services.conversion.archive import Archive
from services.conversion.ultralytics import lines as ultralytics_lines

quick = settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
HEAD = {"type": "dataset", "task": "detect", "name": "n", "class_names": {"0": "cat", "1": "dog"}}
BOX = [0, 0.5, 0.5, 0.2, 0.4]


def line(file: str = "1.jpg", split: str = "train", **members: Any) -> dict[str, Any]:
    return {"type": "image", "file": file, "url": "", "width": 100, "height": 50, "split": split, **members}


def lines(*records: Any, head: dict[str, Any] = HEAD) -> str:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in (head, *records))


def one(annotations: Any, head: dict[str, Any] = HEAD) -> Imported:
    """A dataset of one image of 100 × 50 with the given annotations."""
    text = lines(line(annotations=annotations), head=head)
    return read({"d.ndjson": text, "images/train/1.jpg": image()}, "ultralytics-ndjson")


def annotations(found: Imported, path: str = "1.jpg") -> list[dict[str, Any]]:
    return list(found.rows()[path]["annotations"])


def written_lines(files: dict[str, bytes]) -> list[dict[str, Any]]:
    return [json.loads(text) for text in files["dataset.ndjson"].decode().splitlines()]


def test_all_tasks_are_read_from_one_line() -> None:
    turned = geometry.corners(np.array([[30.0, 15.0, 40.0, 10.0]]), np.array([30.0]))[0] / (100, 50)
    found = one(
        {
            "boxes": [BOX, [1, 0.1, 0.1, 0.1, 0.1]],
            "segments": [[1, 0.1, 0.2, 0.5, 0.2, 0.5, 0.6]],
            "pose": [[0, 0.5, 0.5, 0.2, 0.4, 0.4, 0.4, 2, 0.6, 0.6, 1, 0, 0, 0]],
            "obb": [[0, *turned.reshape(-1).tolist()]],
            "classification": [1, 0],
        },
        HEAD | {"kpt_shape": [3, 3], "flip_idx": [1, 0, 2]},
    )
    assert not found.codes()
    kinds = [Kind.BOX, Kind.BOX, Kind.POLYGON, Kind.SKELETON, Kind.ROTATED_BOX, Kind.TAG, Kind.TAG]
    items = annotations(found)
    assert [item["kind"] for item in items] == kinds
    assert [item["label"] for item in items] == [0, 1, 1, 0, 0, 1, 0]
    assert items[0]["bbox"] == [40, 15, 20, 20]
    assert items[2]["rings"] == [[10, 10, 50, 10, 50, 30]]
    assert items[3]["rings"] == [[40, 20, 60, 30, 0, 0]]
    assert items[3]["visibility"] == [2, 1, 0]
    assert items[4]["rotation"] == pytest.approx(30)
    assert items[4]["bbox"] == pytest.approx([30, 15, 40, 10])
    assert items[5]["bbox"] is None


def test_its_archive_is_detected_above_all_others() -> None:
    files = {"a/d.ndjson": lines(line()), "a/images/train/1.jpg": image(), "__MACOSX/a/._d.ndjson": "x"}
    found = detect(files)
    assert max(found, key=lambda name: found[name]) == "ultralytics-ndjson"
    assert not read(files, "ndjson").codes()
    assert "ultralytics-ndjson" not in detect({"d.ndjson": '{"a": 1}\n', "1.jpg": image()})


def test_images_named_by_urls_are_kept_without_bytes() -> None:
    text = lines(line("1.jpg", url="https://host/1", annotations={"boxes": [BOX]}), line("2.jpg", url="https://host/2"))
    found = read({"d.ndjson": text}, "ultralytics-ndjson")
    assert found.counts == {"IMAGE_NOT_FETCHED": 1}
    assert annotations(found)[0]["bbox"] == [40, 15, 20, 20]
    files, losses = write(found.table, found.shelf, "ultralytics-ndjson", "ultralytics-ndjson")
    assert not losses
    assert [record.get("url") for record in written_lines(files)] == [None, "https://host/1", "https://host/2"]


def test_lines_have_signed_urls_of_their_images_instead_of_the_images(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = Settings(url_signing_key=SecretStr("k"), public_url="https://host/", export_url_seconds=600)
    for module in (signed_urls, image_urls):
        monkeypatch.setattr(module, "settings", lambda: ours)
    text = lines(line("1.jpg", url="https://other/1", annotations={"boxes": [BOX]}), line("2.jpg", hash="h"))
    files = {"d.ndjson": text, "images/train/1.jpg": image(), "images/train/2.jpg": image(90, 40)}
    found = read(files, "ultralytics-ndjson")
    options = WriteOptions(image_urls=True)
    written, losses = write(found.table, found.shelf, "ultralytics-ndjson", "ultralytics-ndjson", options=options)
    assert not losses
    assert set(written) == {"dataset.ndjson"}
    first, second = written_lines(written)[1:]
    assert second["hash"] == "h"
    assert first["annotations"] == {"boxes": [BOX]}
    for record in (first, second):
        begin, token = record["url"].split("/images/")
        what = signed_urls.verify(token, b"k")
        data = found.shelf.get_range(what.object, what.offset, what.stored_size)
        assert begin == "https://host"
        assert (zlib.decompress(data, -15) if what.method else data) == files[f"images/train/{record['file']}"]
        assert (what.media_type, what.file_name) == ("image/jpeg", record["file"])
        assert 0 <= time.time() + 600 - what.end < 60


def test_the_file_alone_is_an_upload() -> None:
    shelf = Shelf()
    shelf.put("packs/in", lines(line(annotations={"boxes": [BOX]})).encode())
    entries, _ = index_archive(shelf, "packs/in", Settings(), file_name="a.ndjson")
    archive = Archive(entries, shelf, "scratch")
    assert ultralytics_lines.detect(archive)
    assert ultralytics_lines.plan(archive, IssueLog()).images["path"].to_pylist() == ["1.jpg"]


def test_numbers_are_of_the_image_and_not_of_the_size_that_the_line_says() -> None:
    record = line(width=10, height=10, annotations={"boxes": [BOX]})
    unsized = {key: value for key, value in record.items() if key not in ("width", "height")}
    for each, codes in ((record, {"IMAGE_SIZE_DIFFERS"}), (unsized, set())):
        found = read({"d.ndjson": lines(each), "images/train/1.jpg": image()}, "ultralytics-ndjson")
        assert annotations(found)[0]["bbox"] == [40, 15, 20, 20]
        assert found.codes() == codes


def test_what_the_first_line_and_the_lines_say_besides_comes_out_again() -> None:
    head = HEAD | {"description": "d", "version": 3, "created_at": "2026-01-15T10:00:00Z"}
    text = lines(line(split="valid", hash="h", tags=["x"]), line("a/2.jpg", annotations={}), head=head)
    found = read({"d.ndjson": text, "valid/images/1.jpg": image(), "images/a/2.jpg": image()}, "ultralytics-ndjson")
    assert not found.codes()
    assert {path: (row["split"], row["state"]) for path, row in found.rows().items()} == {
        "1.jpg": ("val", State.UNANNOTATED),
        "a/2.jpg": ("train", State.VERIFIED_EMPTY),
    }
    files, losses = write(found.table, found.shelf, "ultralytics-ndjson", "ultralytics-ndjson")
    assert not losses
    assert set(files) == {"dataset.ndjson", "images/valid/1.jpg", "images/train/a/2.jpg"}
    first, *rest = written_lines(files)
    assert {key: first[key] for key in head} == head
    assert first["bytes"] == 2 * len(image())
    by_file = {record["file"]: record for record in rest}
    assert by_file["1.jpg"] == line(split="valid", hash="h", tags=["x"])
    assert by_file["a/2.jpg"] == line("a/2.jpg", annotations={})


def test_bad_lines_and_rows_are_told_with_their_line() -> None:
    text = "\ufeff" + lines(
        line(annotations={"boxes": [[5, *BOX[1:]], [0, 0.5, 0.5], [0, 2, 0.5, 0.2, 0.4], ["a"], BOX]}),
        line("2.jpg", annotations=[1]),
        {"type": "image"},
        line("1.jpg"),
    ).replace("\n", "\r\n")
    text += "{broken\n\n" + json.dumps(line("3.jpg", annotations={"boxes": [BOX], "depth": [1]}))
    files = {"d.ndjson": text} | {f"images/train/{i}.jpg": image() for i in (1, 2, 3)}
    found = read(files, "ultralytics-ndjson")
    assert {(issue.code, issue.line) for issue in found.issues if issue.code != "FIELDS_NOT_READ"} == {
        ("LABEL_CLASS_UNKNOWN", 2),
        ("LABEL_FIELD_COUNT", 2),
        ("BOX_OUTSIDE", 2),
        ("LABEL_NOT_A_NUMBER", 2),
        ("ANNOTATION_INVALID", 3),
        ("IMAGE_INVALID", 4),
        ("IMAGE_REPEATED", 5),
        ("IMAGE_INVALID", 6),
    }
    assert found.counts["FIELDS_NOT_READ"] == 1
    assert [len(annotations(found, f"{i}.jpg")) for i in (1, 2, 3)] == [1, 0, 1]


def test_classes_without_a_name_get_one() -> None:
    gaps = one({"boxes": [[2, *BOX[1:]]]}, HEAD | {"class_names": {"0": "cat", "2": "dog"}})
    assert gaps.labels == ["cat", "class_1", "dog"]
    assert gaps.codes() == {"CLASS_NAME_MISSING"}
    none = one({"boxes": [[1, *BOX[1:]]]}, {"type": "dataset"})
    assert none.labels == ["class_0", "class_1"]


def test_keypoints_tell_their_shape_where_the_first_line_does_not() -> None:
    row = [0, 0.5, 0.5, 0.2, 0.4]
    three = one({"pose": [[*row, 0.4, 0.4, 2, 0.6, 0.6, 1]]})
    assert annotations(three)[0]["visibility"] == [2, 1]
    two = one({"pose": [[*row, 0.4, 0.4, 0.6, 0.6]]})
    assert annotations(two)[0]["rings"] == [[40, 20, 60, 30]]
    with pytest.raises(errors.InvalidArgument, match="kpt_shape"):
        one({"pose": [[*row, 0.4, 0.4, 7, 0.6, 0.6, 8]]})


def test_the_task_is_that_of_most_annotations_and_its_rows_come_first() -> None:
    polygon = {"kind": 4, "label": 0, "rings": [[4.0, 3.0, 8.0, 3.0, 8.0, 6.0]]}
    box = {"kind": 2, "label": 1, "bbox": [4, 3, 8, 6]}
    rows = [
        {"path": "1.jpg", "split": "train", "annotations": [box, polygon, polygon]},
        {"path": "2.jpg", "split": "train", "annotations": [box]},
        {"path": "3.jpg", "split": "train", "annotations": []},
    ]
    files, losses = write(table(rows), Shelf(), "ultralytics-ndjson", without_images=True)
    assert {loss.code for loss in losses} == {"EDGES_UNSUPPORTED"}
    first, *rest = written_lines(files)
    assert first["task"] == "segment"
    assert [list(record.get("annotations", {})) for record in rest] == [["segments", "boxes"]] * 2 + [[]]
    assert rest[0]["annotations"]["segments"][0] == [0, 0.1, 0.1, 0.2, 0.1, 0.2, 0.2]
    assert rest[1]["annotations"] == {"segments": [], "boxes": [[1, 0.2, 0.2, 0.2, 0.2]]}


def test_what_it_does_not_hold_becomes_what_it_does_and_is_told() -> None:
    runs = masks.Runs(np.array([30 * 10 + 5, 10, 20, 10, 30 * 28 + 15]), np.array([0, 5]))
    given = [
        {"kind": 8, "label": 0, "rle": masks.encode(runs).to_pylist()[0], "rle_size": [30, 40]},
        {"kind": 9, "label": 0, "bbox": [4.0, 3, 8, 6], "rotation": 0.0},
        {"kind": 5, "label": 0, "bbox": [4.0, 3, 8, 6], "rings": [[4.0, 3, 12, 9]]},
        {"kind": 4, "label": 0, "rings": [[0.0, 0, 8, 0, 8, 6], [20.0, 15, 28, 15, 28, 21]]},
        {"kind": 2, "label": 0, "bbox": [36.0, 3, 8, 6], "attributes": '{"a":1}', "score": 0.5},
        {"kind": 12, "label": -1, "text": "t"},
    ]
    labels = LabelSchema(labels=[Label(name="cat")])
    files, losses = write(table([{"path": "1.jpg", "annotations": given}], labels), Shelf(), "ndjson")
    assert {loss.code for loss in losses} == {
        "KIND_UNSUPPORTED",
        "RINGS_JOINED",
        "BOX_CLIPPED",
        "SPLIT_UNSET",
        "SCORE_UNSUPPORTED",
        "ATTRIBUTES_UNSUPPORTED",
    }
    found = written_lines(files)[1]["annotations"]
    assert found["boxes"] == [[0, 0.2, 0.2, 0.2, 0.2], [0, 0.95, 0.2, 0.1, 0.2]]
    assert found["obb"] == [[0, 0.1, 0.1, 0.3, 0.1, 0.3, 0.3, 0.1, 0.3]]
    outlines = [np.array(row[1:]).reshape(-1, 2) * (40, 30) for row in found["segments"]]
    assert outlines[0].min(axis=0).tolist() == pytest.approx([10, 5], abs=1e-4)
    assert outlines[0].max(axis=0).tolist() == pytest.approx([12, 15], abs=1e-4)
    assert len(outlines[1]) == 8


grid = st.integers(0, 1000)


@st.composite
def shapes(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from([Kind.BOX, Kind.POLYGON, Kind.SKELETON, Kind.ROTATED_BOX, Kind.TAG]))
    found: dict[str, Any] = {"kind": int(kind), "label": draw(st.integers(0, 1))}
    x, y = draw(grid) / 50, draw(grid) / 50
    if kind == Kind.ROTATED_BOX:
        found |= {"bbox": [x + 10, y / 4 + 10, 6.0, 4.0], "rotation": draw(st.integers(-80, 80)) * 1.0}
    elif kind != Kind.TAG:
        found["bbox"] = [x, y / 2, draw(st.integers(1, 400)) / 50, draw(st.integers(1, 400)) / 50]
    if kind == Kind.POLYGON:
        points = draw(st.lists(grid, min_size=6, max_size=6))
        found["rings"] = [[value / 50 for value in points]]
        found["bbox"] = None
    if kind == Kind.SKELETON:
        found["label"] = 1
        found["visibility"] = draw(st.lists(st.integers(1, 2), min_size=2, max_size=2))
        found["rings"] = [[x, y, y, x]]
    return found


@quick
@given(st.lists(st.lists(shapes(), max_size=6), min_size=1, max_size=4))
def test_what_is_written_is_read_again(images: list[list[dict[str, Any]]]) -> None:
    labels = LabelSchema(labels=[Label(name="ü"), Label(name="p", keypoints=["a", "b"])])
    paths = ["a.jpg", "a.png", "b c/a.jpg", "猫.jpg"]
    order = [Kind.BOX, Kind.POLYGON, Kind.SKELETON, Kind.ROTATED_BOX, Kind.TAG]
    rows: list[dict[str, Any]] = [
        {"path": path, "split": split, "split_name": split, "annotations": sorted(found, key=lambda a: a["kind"])}
        for path, split, found in zip(paths, ["train", "val", "x", "train"], images, strict=False)
    ]
    files, losses = write(table(rows, labels), Shelf(), "ultralytics-ndjson", without_images=True)
    assert not losses
    found = read(packed(files), "ultralytics-ndjson")
    assert found.labels == ["ü", "p"]
    task = json.loads(files["dataset.ndjson"].split(b"\n")[0])["task"]
    assert task in ("detect", "segment", "pose", "obb", "classify")
    for row in rows:
        ours = sorted(found.rows()[row["path"]]["annotations"], key=lambda a: a["kind"])
        assert found.rows()[row["path"]]["split"] == row["split"]
        assert len(ours) == len(row["annotations"])
        assert {one["kind"] for one in ours} <= set(order)
        for mine, other in zip(ours, row["annotations"], strict=True):
            assert (mine["kind"], mine["label"]) == (other["kind"], other["label"])
            assert mine["visibility"] == other.get("visibility")
            for name in ("bbox", "rings", "rotation"):
                if other.get(name) is not None:
                    assert np.allclose(mine[name], other[name], atol=1e-3 if name != "rotation" else 0.1)
