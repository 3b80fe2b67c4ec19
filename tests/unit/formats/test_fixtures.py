"""The fixtures of other tools, read by the whole way and compared with what those tools read.

Known differences: beside each polygon and mask of COCO they have a box of the same id; groups are their own.
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
CASES = sorted(
    path for name in ("ultralytics-detect", "coco-instances") for path in (FIXTURES / name).glob("*") if path.is_dir()
)
KINDS = {"bbox": Kind.BOX, "polygon": Kind.POLYGON, "mask": Kind.MASK}


@pytest.mark.skipif(not CASES, reason="the fixtures are not here")
@pytest.mark.parametrize("path", CASES, ids=lambda path: path.name)
def test_a_fixture_reads_as_its_tool_reads_it(path: Path) -> None:
    expected = json.loads((FIXTURES / "expected" / f"{path.name}.json").read_text())
    found = read(folder(path), path.parent.name)
    assert not [issue for issue in found.issues if issue.severity > 1]
    assert found.labels == expected["labels"]
    for ours, theirs in beside(found, expected):
        _compare(found, ours, theirs)


def _compare(found: Imported, ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> None:
    shapes = {item["id"] for item in theirs if item["type"] in ("polygon", "mask")}
    theirs = [item for item in theirs if not (item["type"] == "bbox" and item["id"] in shapes)]
    assert len(ours) == len(theirs)

    def key(kind: int, label: str) -> tuple[int, str]:
        return (int(kind), label)

    ours = sorted(ours, key=lambda item: key(item["kind"], found.labels[item["label"]]))
    theirs = sorted(theirs, key=lambda item: key(KINDS[item["type"]], item["label"]))
    for mine, other in zip(ours, theirs, strict=True):
        assert (mine["kind"], found.labels[mine["label"]]) == (KINDS[other["type"]], other["label"])
        attributes = dict(other["attributes"])
        assert bool(mine["flags"] & Flag.CROWD) == attributes.pop("is_crowd", False)
        assert json.loads(mine["attributes"] or "{}") == attributes
        if other["type"] == "bbox":
            assert np.allclose(mine["bbox"], other["bbox"], atol=0.01)
        elif other["type"] == "polygon":
            assert np.allclose(mine["rings"], [other["points"]], atol=0.01)
        else:
            assert mine["rle_size"] == other["rle"]["size"]
            assert mine["rle"].decode() == other["rle"]["counts"]
