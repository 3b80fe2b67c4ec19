"""Changes of classes: what becomes of the schema and of each class's annotations, and what is refused where."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from google.protobuf.json_format import ParseDict
from google.rpc import error_details_pb2
from hypothesis import given
from hypothesis import strategies as st

from framehouse.annotations.class_changes import REMOVED, WITHOUT, ClassPlan, apply
from framehouse.annotations.labels import label_schema
from framehouse.runtime.errors import InvalidArgument
from framehouse.v1.annotation_pb2 import Label, LabelSchema
from framehouse.v1.dataset_pb2 import ClassChange


def changes(*given: dict[str, Any]) -> list[ClassChange]:
    return [ParseDict(one, ClassChange()) for one in given]


def merge(*labels: str, into: str) -> dict[str, Any]:
    return {"merge": {"labels": labels, "into": into}}


def rename(label: str, new: str) -> dict[str, Any]:
    return {"rename": {"label": label, "new_name": new}}


def delete(label: str, fate: str = "UNSPECIFIED") -> dict[str, Any]:
    return {"delete": {"label": label, "annotations": f"ANNOTATION_FATE_{fate}"}}


def names(plan: ClassPlan) -> list[str]:
    return [label.name for label in plan.labels.labels]


def test_each_change_is_made_on_what_the_one_before_left() -> None:
    labels = label_schema(["car", "bus", "van", "dog", "cat", "cow"])
    plan = apply(
        labels,
        changes(
            rename("car", "vehicle"),
            merge("bus", "van", into="vehicle"),
            {"add": {"name": "bus", "color": "#FF0000"}},
            delete("dog", "REMOVE"),
            delete("cat", "KEEP"),
            {"reorder": {"labels": ["bus", "cow"]}},
            {"recolour": {"label": "cow", "color": "#00ff00"}},
        ),
    )
    assert names(plan) == ["bus", "cow", "vehicle"]
    assert [label.color for label in plan.labels.labels] == ["#ff0000", "#00ff00", ""]
    assert plan.positions.tolist() == [2, 2, 2, REMOVED, WITHOUT, 1]
    assert [touched.tolist() for touched in plan.touched] == [[], [1, 2], [], [3], [4], [], []]
    assert plan.refused == {}
    assert [label.name for label in labels.labels] == ["car", "bus", "van", "dog", "cat", "cow"]


def test_a_deletion_that_does_not_say_what_becomes_of_annotations_is_refused_where_there_are_any() -> None:
    plan = apply(label_schema("abc"), changes(rename("c", "d"), merge("a", into="b"), delete("b"), delete("d", "KEEP")))
    assert plan.refused == {0: 2, 1: 2}
    assert plan.positions.tolist() == [REMOVED, REMOVED, WITHOUT]


def test_no_changes_change_nothing() -> None:
    labels = LabelSchema(labels=[Label(name="a", source_id=7)], source='{ "coco": {} }')
    plan = apply(labels, [])
    assert plan.labels == labels
    assert plan.positions.tolist() == [0]


@pytest.mark.parametrize(
    ("given", "field", "text"),
    [
        ([merge("a", "x", into="b")], "changes[0].merge.labels[1]", "no class 'x'"),
        ([merge("a", into="x")], "changes[0].merge.into", "no class 'x'"),
        ([merge(into="a")], "changes[0].merge.labels", "no class to merge"),
        ([merge("b", "a", into="a")], "changes[0].merge.labels[1]", "into itself"),
        ([merge("b", "b", into="a")], "changes[0].merge.labels[1]", "named twice"),
        ([merge("a", into="b"), merge("b", into="a")], "changes[1].merge.into", r"changes\[0\] merged it into 'b'"),
        ([merge("pose", into="a")], "changes[0].merge.labels[0]", "other keypoints"),
        ([rename("x", "y")], "changes[0].rename.label", "no class"),
        ([rename("a", "b")], "changes[0].rename.new_name", "already"),
        ([rename("a", " ")], "changes[0].rename.new_name", "empty"),
        ([rename("a", "a\nb")], "changes[0].rename.new_name", "cannot be the name"),
        ([rename("a", "c"), rename("a", "d")], "changes[1].rename.label", r"changes\[0\] renamed it to 'c'"),
        ([{"add": {"name": "a"}}], "changes[0].add.name", "already"),
        ([{"add": {}}], "changes[0].add.name", "empty"),
        ([{"add": {"name": "n", "color": "red"}}], "changes[0].add.color", "#rrggbb"),
        ([{"add": {"name": "n", "edges": [{"to": 1}]}}], "changes[0].add.edges[0]", "0 keypoints"),
        ([{"recolour": {"label": "a", "color": "#12345"}}], "changes[0].recolour.color", "#rrggbb"),
        ([{"reorder": {"labels": ["b", "a", "b"]}}], "changes[0].reorder.labels[2]", "twice"),
        ([{"reorder": {}}], "changes[0].reorder.labels", "no class"),
        ([delete("a"), delete("a")], "changes[1].delete.label", r"changes\[0\] deletes it"),
        ([{"delete": {"label": "a", "annotations": 9}}], "changes[0].delete.annotations", "remove or keep"),
        ([{}], "changes[0]", "says no change"),
        ([{"add": {"name": f"n{i}"}} for i in range(10_001)], "changes", "10,000 at most"),
    ],
)
def test_what_cannot_be_done_is_named(given: list[dict[str, Any]], field: str, text: str) -> None:
    labels = label_schema(["a", "b", "pose"])
    labels.labels[2].keypoints.append("nose")
    with pytest.raises(InvalidArgument, match=text) as caught:
        apply(labels, changes(*given))
    details = [one for one in caught.value.details if isinstance(one, error_details_pb2.BadRequest)]
    assert details[0].field_violations[0].field == field


def test_what_the_source_said_of_a_class_stays_with_it() -> None:
    source = {
        "coco_categories": {"a": {"extra": 1}, "b": {"extra": 2}, "c": {"extra": 3}},
        "datumaro_categories": {"label_groups": [{"name": "g", "labels": ["a", "b", "c"]}]},
        "cvat": {"labels": {"c": {"type": "any"}}},
    }
    labels = LabelSchema(
        labels=[Label(name=name, source_id=number) for name, number in (("a", 10), ("b", 20), ("c", 30))],
        source=json.dumps(source),
    )
    plan = apply(
        labels, changes(rename("a", "x"), rename("b", "a"), rename("x", "b"), delete("c"), {"add": {"name": "c"}})
    )
    assert [(label.name, label.HasField("source_id") and label.source_id) for label in plan.labels.labels] == [
        ("b", 10),
        ("a", 20),
        ("c", False),
    ]
    assert json.loads(plan.labels.source) == {
        "coco_categories": {"b": {"extra": 1}, "a": {"extra": 2}},
        "datumaro_categories": {"label_groups": [{"name": "g", "labels": ["b", "a"]}]},
        "cvat": {"labels": {}},
    }


def test_parents_and_attributes_follow() -> None:
    labels = LabelSchema(
        labels=[
            Label(name="car", attributes=["colour"]),
            Label(name="bus", attributes=["colour", "doors"]),
            Label(name="wheel", parent="bus"),
            Label(name="person", parent="person"),
        ]
    )
    plan = apply(labels, changes(merge("bus", into="car"), rename("car", "vehicle"), rename("person", "human")))
    assert [(label.name, label.parent) for label in plan.labels.labels] == [
        ("vehicle", ""),
        ("wheel", "vehicle"),
        ("human", "person"),
    ]
    assert list(plan.labels.labels[0].attributes) == ["colour", "doors"]


NAMES = st.sampled_from("abcdefgh")
CHANGES: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.builds(lambda name: {"add": {"name": name}}, NAMES),
    st.builds(rename, NAMES, NAMES),
    st.builds(lambda labels, into: merge(*labels, into=into), st.lists(NAMES, min_size=1, max_size=2), NAMES),
    st.builds(delete, NAMES, st.sampled_from(["UNSPECIFIED", "REMOVE", "KEEP"])),
    st.builds(lambda labels: {"reorder": {"labels": labels}}, st.lists(NAMES, min_size=1, max_size=3, unique=True)),
)


def _possible(given: list[dict[str, Any]], make: Callable[[list[ClassChange]], object]) -> list[ClassChange]:
    """Those of the changes that can be made after the possible ones before them."""
    made: list[ClassChange] = []
    for one in changes(*given):
        try:
            make([*made, one])
        except InvalidArgument:
            continue
        made.append(one)
    return made


@given(st.lists(CHANGES, max_size=12))
def test_changes_at_once_are_the_same_as_one_by_one(given: list[dict[str, Any]]) -> None:
    labels = label_schema("abcde")
    all_of_them = _possible(given, lambda some: apply(labels, some))
    at_once = apply(labels, all_of_them)
    stepwise, positions = labels, np.arange(5, dtype=np.int32)
    for number, change in enumerate(all_of_them):
        step = apply(stepwise, [change])
        here = np.append(step.positions, [REMOVED, WITHOUT])  # which positions -2 and -1 find
        touched = np.isin(positions, step.touched[0]).nonzero()[0]
        assert sorted(at_once.touched[number].tolist()) == touched.tolist()
        stepwise, positions = step.labels, here[positions].astype(np.int32)
    assert at_once.labels == stepwise
    assert at_once.positions.tolist() == positions.tolist()
    assert all(at_once.positions[place] == REMOVED for place in at_once.refused)
