"""Shapes at the borders of their images, under each policy."""

import numpy as np
import pyarrow as pa
import pytest

from framehouse.annotations import geometry, masks
from framehouse.annotations.schema import ANNOTATION_SCHEMA, Flag, Kind
from framehouse.store.issues import IssueLog
from framehouse.v1.conversion_pb2 import BOX_POLICY_CLAMP, BOX_POLICY_KEEP, BoxPolicy
from services.ingest.borders import mind_borders

SIZES = np.array([[100.0, 50.0], [np.nan, np.nan]])
PATHS = pa.array(["a.jpg", "b.jpg"])


def flat(rows: list[dict]) -> pa.Table:
    blank = dict.fromkeys(ANNOTATION_SCHEMA.names)
    return pa.Table.from_pylist(
        [{**blank, "image": 0, "label": 0, "flags": 0, **row} for row in rows], ANNOTATION_SCHEMA
    )


def minded(rows: list[dict], policy: BoxPolicy) -> tuple[list[dict], list[tuple[str, str]]]:
    table, log = flat(rows), IssueLog()
    found = mind_borders(table, table["image"].to_numpy(), SIZES, PATHS, policy, log)
    return found.to_pylist(), [(row[0], row[4]) for row in log._rows]


def box(*values: float, kind: Kind = Kind.BOX, **columns: object) -> dict:
    return {"kind": int(kind), "bbox": list(values), **columns}


@pytest.mark.parametrize("policy", [BOX_POLICY_KEEP, BOX_POLICY_CLAMP])
def test_what_lies_inside_or_has_no_size_stays_as_it_is(policy: BoxPolicy) -> None:
    rows = [box(0, 0, 100, 50), box(-0.01, 0, 10, 10), box(90, 45, 20, 20, image=1)]
    found, issues = minded(rows, policy)
    assert [row["bbox"] for row in found] == [row["bbox"] for row in rows]
    assert not issues


def test_shapes_over_the_border_are_kept_and_told_once_an_image() -> None:
    rows = [box(90, 40, 20, 5), box(-3, 0, 10, 10), box(1, 1, 2, 2)]
    found, issues = minded(rows, BOX_POLICY_KEEP)
    assert [row["bbox"] for row in found] == [row["bbox"] for row in rows]
    ((code, message),) = issues
    assert code == "BOX_REACHES_OUTSIDE"
    assert message.startswith("2 shapes reaching over the border of the image by up to 10.0 pixels")


def test_boxes_and_polygons_are_cut_where_asked_and_others_left() -> None:
    ring = [90.0, 10.0, 110.0, 10.0, 110.0, 20.0, 90.0, 20.0]
    rows = [
        box(90, 40, 20, 20, area=400.0),
        box(90, 10, 20, 10, kind=Kind.POLYGON, rings=[ring]),
        box(90, 10, 20, 10, kind=Kind.ROTATED_BOX, rotation=30.0),
        box(5, 5, 5, 5),
    ]
    found, issues = minded(rows, BOX_POLICY_CLAMP)
    assert [row["bbox"] for row in found[:2]] == [[90, 40, 10, 10], [90, 10, 10, 10]]
    assert found[0]["area"] is None
    rings = geometry.open_rings(pa.array([found[1]["rings"]], ANNOTATION_SCHEMA.field("rings").type))
    assert geometry.ring_areas(rings, 1).tolist() == [100]
    assert [row["bbox"] for row in found[2:]] == [row["bbox"] for row in rows[2:]]
    assert [code for code, _ in issues] == ["BOX_REACHES_OUTSIDE"]


def test_what_lies_wholly_outside_is_left_out() -> None:
    found, issues = minded([box(120, 10, 5, 5), box(5, 5, 5, 5)], BOX_POLICY_KEEP)
    assert [row["bbox"] for row in found] == [[5, 5, 5, 5]]
    assert [code for code, _ in issues] == ["BOX_OUTSIDE"]


def test_where_an_object_was_last_may_lie_anywhere() -> None:
    rows = [box(*place, flags=int(Flag.OUTSIDE)) for place in ((200, 10, 5, 5), (90, 40, 20, 5))]
    found, issues = minded(rows, BOX_POLICY_CLAMP)
    assert [row["bbox"] for row in found] == [row["bbox"] for row in rows]
    assert not issues


def mask(raster: list[list[int]]) -> dict:
    grid = np.array(raster)
    edges = np.flatnonzero(np.diff(grid.T.reshape(-1), prepend=0))
    counts = masks.open_lists(pa.array([np.diff([0, *edges.tolist(), grid.size]).tolist()]))
    return {"kind": int(Kind.MASK), "rle": masks.encode(counts)[0].as_py(), "rle_size": list(grid.shape)}


def test_a_mask_with_room_to_spare_is_cut_to_its_image_and_others_are_told() -> None:
    pixels = [[1, 0, 1], [0, 1, 1]]
    rows = [mask(pixels), mask([[*row, 0, 0] for row in pixels] + [[0] * 5]), mask([*pixels, [0, 0, 1]]), mask([[1]])]
    table, log = flat(rows), IssueLog()
    size, path = np.array([[3.0, 2.0]]), pa.array(["a.jpg"])
    found = mind_borders(table, np.zeros(4, np.int64), size, path, BOX_POLICY_KEEP, log).to_pylist()
    assert [(row["rle"], row["rle_size"]) for row in found[:2]] == [(rows[0]["rle"], [2, 3])] * 2
    assert [row["rle_size"] for row in found[2:]] == [[3, 3], [1, 1]]
    ((code, message),) = [(row[0], row[4]) for row in log._rows]
    assert code == "MASK_SIZE_DIFFERS"
    assert message.startswith("2 masks are of another size than the image (3 × 3 pixels, and 3 × 2)")
