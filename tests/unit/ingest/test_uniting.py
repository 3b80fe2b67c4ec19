"""Uniting by columns does what is said annotation by annotation."""

from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from framehouse.annotations.schema import ANNOTATION_COLUMNS, DATASET_SCHEMA, Kind
from services.ingest.uniting import unite

Annotation = dict[str, Any]

annotations = st.builds(
    lambda number, x, group: {
        "annotation_id": number,
        "kind": int(Kind.BOX),
        "label": 0,
        "bbox": [float(x), 0.0, 1.0, 1.0],
        "flags": 0,
        "group": group,
    },
    st.integers(0, 5),
    st.integers(0, 3),
    st.none() | st.integers(0, 2),
)
images = st.lists(annotations, max_size=5, unique_by=lambda one: one["annotation_id"])
datasets = st.integers(0, 4).flatmap(
    lambda count: st.tuples(*[st.lists(images, min_size=count, max_size=count) for _ in range(2)])
)


def columns(rows: list[list[Annotation]]) -> dict[str, pa.Array]:
    """One list for each image in each column."""
    return {
        name: pa.array([[one.get(name) for one in row] for row in rows], DATASET_SCHEMA.field(name).type)
        for name in ANNOTATION_COLUMNS
    }


def records(lists: dict[str, pa.Array]) -> list[list[Annotation]]:
    values = {name: column.to_pylist() for name, column in lists.items()}
    count = len(values["kind"])
    return [
        [{name: values[name][row][i] for name in values} for i in range(len(values["kind"][row]))]
        for row in range(count)
    ]


@given(datasets)
def test_the_old_stay_and_what_is_not_there_follows(
    sides: tuple[list[list[Annotation]], list[list[Annotation]]],
) -> None:
    united = records(unite(*(columns(side) for side in sides)))
    for before, incoming, found in zip(*sides, united, strict=True):
        places = [one["bbox"] for one in found]
        there = [one["bbox"] for one in before]
        added = [one for one in incoming if one["bbox"] not in there]
        assert places == there + [one["bbox"] for one in added]
        ids = [one["annotation_id"] for one in found]
        assert len(set(ids)) == len(ids)
        assert ids[: len(before)] == [one["annotation_id"] for one in before]
        for one, now in zip(added, found[len(before) :], strict=True):
            assert now["annotation_id"] == one["annotation_id"] or one["annotation_id"] in ids[: len(before)]
            assert (now["group"] is None) == (one["group"] is None)
        # No annotation that is added falls into a group that was there.
        old_groups = {one["group"] for one in before} - {None}
        assert not old_groups & {one["group"] for one in found[len(before) :]}


def test_what_is_there_already_joins_the_group_of_its_twin() -> None:
    outline = {"annotation_id": 7, "kind": int(Kind.POLYGON), "label": 0, "rings": [[0.0, 0, 9, 0, 9, 9]], "flags": 0}
    skeleton = {"annotation_id": 7, "kind": int(Kind.SKELETON), "label": 0, "rings": [[1.0, 1]], "flags": 0, "group": 0}
    other = {"annotation_id": 3, "kind": int(Kind.BOX), "label": 0, "bbox": [0.0, 0, 2, 2], "flags": 0, "group": 4}
    old = columns([[outline, other]])
    new = columns([[skeleton, {**outline, "annotation_id": 8, "group": 0}]])
    (found,) = records(unite(old, new))
    assert [(one["annotation_id"], one["kind"], one["group"]) for one in found] == [
        (7, int(Kind.POLYGON), 5),
        (3, int(Kind.BOX), 4),
        (9, int(Kind.SKELETON), 5),
    ]
