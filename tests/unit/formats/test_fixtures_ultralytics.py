"""The Ultralytics fixtures of other tools, read by the whole way and compared with what those tools read.

Known differences: keypoints are named by their number here, for data.yaml has no names; angles are one of several.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from whole_way import folder, read

from framehouse.annotations import geometry

FIXTURES = Path(__file__).parents[4] / "shared" / "fixtures"
TASKS = ("ultralytics-segment", "ultralytics-obb", "ultralytics-pose")
CASES = sorted(path for name in TASKS for path in (FIXTURES / name).glob("*") if path.is_dir())


@pytest.mark.skipif(not CASES, reason="the fixtures are not here")
@pytest.mark.parametrize("path", CASES, ids=lambda path: path.name)
def test_a_fixture_reads_as_its_tool_reads_it(path: Path) -> None:
    expected = json.loads((FIXTURES / "expected" / f"{path.name}.json").read_text())
    found = read(folder(path), path.parent.name)
    names = [name for name in expected["labels"] if name not in expected.get("label_parents", {})]
    assert found.labels == names
    rows = {(row["split"], row["path"].rsplit(".", 1)[0]): row for row in found.rows().values()}
    assert set(rows) == {(item["subset"], item["id"]) for item in expected["items"]}
    for item in expected["items"]:
        ours = rows[item["subset"], item["id"]]["annotations"]
        assert [found.labels[one["label"]] for one in ours] == [one["label"] for one in item["annotations"]]
        for mine, other in zip(ours, item["annotations"], strict=True):
            assert np.allclose(_points(mine), _expected(other), atol=0.01)


def _points(mine: dict[str, Any]) -> np.ndarray:
    if mine["rotation"] is None:
        return np.array(mine["rings"][0]).reshape(-1, 2)
    corners = geometry.corners(np.array([mine["bbox"]]), np.array([mine["rotation"]]))[0]
    return np.array(sorted(np.round(corners, 4).tolist()))


def _expected(other: dict[str, Any]) -> np.ndarray:
    if other["type"] == "bbox":
        turned = np.array([other["attributes"]["rotation"]])
        corners = geometry.corners(np.array([other["bbox"]]), turned)[0]
        return np.array(sorted(np.round(corners, 4).tolist()))
    if other["type"] == "skeleton":
        return np.array([element["points"] for element in other["elements"]])
    return np.array(other["points"]).reshape(-1, 2)
