"""The fixtures of CVAT's formats, compared with what Datumaro reads, and written as they came.

Known differences: groups of 0 are none; the subset that it takes from the name of a file is none where that is not the
name of a split.
"""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from cvat_documents import again, assert_same
from whole_way import folder, read

from framehouse.annotations.schema import Flag, Kind

FIXTURES = Path(__file__).parents[4] / "shared" / "fixtures"
CASES = sorted(path for path in FIXTURES.glob("cvat-*/*") if path.is_dir())
KINDS = {"bbox": Kind.BOX, "polygon": Kind.POLYGON, "polyline": Kind.POLYLINE, "points": Kind.POINTS}
FLAGS = {"occluded": Flag.OCCLUDED, "outside": Flag.OUTSIDE, "keyframe": Flag.KEYFRAME}


@pytest.mark.skipif(not CASES, reason="the fixtures are not here")
@pytest.mark.parametrize("path", CASES, ids=lambda path: path.name)
def test_a_fixture_reads_as_its_tool_reads_it(path: Path) -> None:
    name = path.parent.name
    expected = json.loads((FIXTURES / "expected" / f"{path.name}.json").read_text())
    found = read(folder(path), name)
    assert not found.issues
    assert found.labels == expected["labels"]
    subsets = {subset.replace("annotations", ""): count for subset, count in expected["subsets"].items()}
    assert Counter(found.table["split"].to_pylist()) == subsets
    rows = {row["path"].rsplit(".", 1)[0]: row for row in found.rows().values()}
    assert set(rows) == {item["id"] for item in expected["items"]}
    for item in expected["items"]:
        row = rows[item["id"]]
        assert [row["height"], row["width"]] == item["size"]
        assert row["frame"] == item["attributes"]["frame"]
        ours = sorted(row["annotations"], key=lambda one: one["kind"])
        theirs = sorted(item["annotations"], key=lambda one: KINDS[one["type"]])
        assert len(ours) == len(theirs)
        for mine, other in zip(ours, theirs, strict=True):
            label = found.labels[mine["label"]] if mine["label"] >= 0 else None
            assert (mine["kind"], label) == (KINDS[other["type"]], other["label"])
            said = dict(other["attributes"])
            assert all(bool(mine["flags"] & flag) == said.pop(key, False) for key, flag in FLAGS.items())
            assert mine["track"] == said.pop("track_id", None)
            assert json.loads(mine["attributes"] or "{}") == said
            assert (mine["z_order"] or 0) == other["z_order"]
            numbers = mine["bbox"] if other["type"] == "bbox" else mine["rings"][0]
            assert np.allclose(numbers, other["bbox"] if other["type"] == "bbox" else other["points"], atol=0.01)
    assert_same(found, again(found, name))
