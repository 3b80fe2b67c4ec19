"""The fixtures of COCO's tasks, compared with what Datumaro and CVAT's branch of it read.

Known differences: they have a box of the same id beside each outline, and make a group of each record; the boxes of
panoptic segments are computed there; edges of skeletons of these fixtures are counted from 0.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tool_items import beside
from whole_way import Imported, folder, packed, read, write

from framehouse.annotations.labels import labels_of
from framehouse.annotations.schema import Flag, Kind

FIXTURES = Path(__file__).parents[4] / "shared" / "fixtures"
CASES = sorted(path for path in FIXTURES.glob("coco-*/*") if path.is_dir())
KINDS = {
    "bbox": Kind.BOX,
    "polygon": Kind.POLYGON,
    "mask": Kind.MASK,
    "skeleton": Kind.SKELETON,
    "caption": Kind.CAPTION,
    "label": Kind.TAG,
}
SEEN = {"absent": 0, "hidden": 1, "visible": 2}

pytestmark = pytest.mark.skipif(not CASES, reason="the fixtures are not here")


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.parent.name)
def test_a_fixture_reads_as_its_tool_reads_it(path: Path) -> None:
    task = path.parent.name
    # The branch keeps skeletons; Datumaro itself keeps the boxes of stuff.
    tool = "@cvat" if task == "coco-keypoints" else ""
    expected = json.loads((FIXTURES / "expected" / f"{path.name}{tool}.json").read_text())
    found = read(folder(path), task)
    # A map of segments is smaller than its image.
    assert not [issue for issue in found.issues if issue.severity > 1 and issue.code != "MASK_SIZE_DIFFERS"]
    points = {point for known in expected.get("skeletons", {}).values() for point in known["points"]}
    assert found.labels == [label for label in expected["labels"] if label not in points]
    for ours, theirs in beside(found, expected):
        _compare(found, ours, theirs)
    for label in labels_of(found.table.schema).labels:
        skeleton = expected.get("skeletons", {}).get(label.name, {"points": [], "joints": []})
        assert list(label.keypoints) == skeleton["points"]
        assert [[getattr(edge, "from"), edge.to] for edge in label.edges] == skeleton["joints"]


def _compare(found: Imported, ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> None:
    boxes = {item["id"]: item["bbox"] for item in theirs if item["type"] == "bbox"}
    shapes = {item["id"] for item in theirs if item["type"] in ("polygon", "mask", "skeleton")}
    theirs = [item for item in theirs if not (item["type"] == "bbox" and item["id"] in shapes)]
    assert len(ours) == len(theirs)

    def key(kind: int, number: int) -> tuple[int, int]:
        return int(kind), number

    # The outline of a skeleton's group has an id of its own, below zero.
    ours = sorted(ours, key=lambda item: key(item["kind"], max(item["annotation_id"], ~item["annotation_id"])))
    theirs = sorted(theirs, key=lambda item: key(KINDS[item["type"]], item["id"]))
    for mine, other in zip(ours, theirs, strict=True):
        label = found.labels[mine["label"]] if mine["label"] >= 0 else None
        assert (mine["kind"], label) == (KINDS[other["type"]], other["label"])
        attributes = dict(other["attributes"])
        assert bool(mine["flags"] & Flag.CROWD) == attributes.pop("is_crowd", False)
        assert json.loads(mine["attributes"] or "{}") == attributes
        if other["type"] in ("polygon", "mask", "skeleton") and other["id"] in boxes:
            assert np.allclose(mine["bbox"], boxes[other["id"]], atol=0.01)
        if other["type"] == "bbox":
            assert np.allclose(mine["bbox"], other["bbox"], atol=0.01)
        elif other["type"] == "polygon":
            assert np.allclose(mine["rings"], [other["points"]], atol=0.01)
        elif other["type"] == "mask":
            assert mine["rle_size"] == other["rle"]["size"]
            assert mine["rle"].decode() == other["rle"]["counts"]
        elif other["type"] == "caption":
            assert mine["text"] == other["caption"]
        elif other["type"] == "skeleton":
            points = [value for element in other["elements"] for value in element["points"]]
            assert np.allclose(mine["rings"], [points], atol=0.01)
            assert mine["visibility"] == [SEEN[element["visibility"][0]] for element in other["elements"]]


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.parent.name)
def test_a_fixture_is_written_as_it_came(path: Path) -> None:
    task = path.parent.name
    files = folder(path)
    found = read(files, task)
    written, losses = write(found.table, found.shelf, task, task)
    assert not losses
    assert set(written) == set(files)
    for name, data in files.items():
        if not name.endswith(".json"):
            assert name.endswith(".png") or written[name] == data
            continue
        ours, theirs = json.loads(written[name]), json.loads(data)
        for category in theirs["categories"]:
            if category.get("keypoints") is not None:
                # Theirs are counted from 0, ours as COCO counts.
                category["skeleton"] = [[begin + 1, end + 1] for begin, end in category["skeleton"]]
        if task == "coco-captions":
            # Captions are of no category; official files have no list of them.
            del theirs["categories"]
            for record in theirs["annotations"]:
                del record["category_id"]
        assert ours == theirs
    again = read(packed(written), task)
    columns = [name for name in found.table.column_names if name != "original"]
    assert again.table.select(columns).sort_by("path").equals(found.table.select(columns).sort_by("path"))
