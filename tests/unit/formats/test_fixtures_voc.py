"""The Pascal VOC fixtures of other tools, read by the whole way and compared with what those tools read.

Known differences: classes that an image has objects of are no tags here; groups and ids are each tool's own.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tool_items import beside
from whole_way import Imported, folder, read

from framehouse.annotations.schema import Flag, Kind

FIXTURES = Path(__file__).parents[4] / "shared" / "fixtures"
CASES = sorted(path for path in (FIXTURES / "pascal-voc").glob("*") if path.is_dir())
KINDS = {"bbox": Kind.BOX, "mask": Kind.MASK, "label": Kind.TAG}
FLAGS = {"difficult": Flag.DIFFICULT, "truncated": Flag.TRUNCATED, "occluded": Flag.OCCLUDED}


@pytest.mark.skipif(not CASES, reason="the fixtures are not here")
@pytest.mark.parametrize("path", CASES, ids=lambda path: path.name)
def test_a_fixture_reads_as_its_tool_reads_it(path: Path) -> None:
    expected = json.loads((FIXTURES / "expected" / f"{path.name}.json").read_text())
    found = read(folder(path), "pascal-voc")
    assert not found.issues
    assert found.labels == expected["labels"]
    for ours, theirs in beside(found, expected):
        objects = {one["label"] for one in theirs if one["type"] == "bbox"}
        _compare(found, ours, [one for one in theirs if one["type"] != "label" or one["label"] not in objects])


def _compare(found: Imported, ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> None:
    ours = sorted(ours, key=lambda one: (one["kind"], found.labels[one["label"]]))
    theirs = sorted(theirs, key=lambda one: (KINDS[one["type"]], one["label"]))
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        assert (mine["kind"], found.labels[mine["label"]]) == (KINDS[other["type"]], other["label"])
        attributes = dict(other["attributes"])
        assert mine["flags"] == sum(flag for name, flag in FLAGS.items() if attributes.pop(name, False))
        assert json.loads(mine["attributes"] or "{}") == attributes
        if other["type"] != "label":
            assert np.allclose(mine["bbox"], other["bbox"], atol=0.01)
        if other["type"] == "mask":
            assert (mine["rle_size"], mine["rle"].decode()) == (other["rle"]["size"], other["rle"]["counts"])
