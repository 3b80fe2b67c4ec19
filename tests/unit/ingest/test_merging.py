"""What is decided without tables: how labels are merged."""

import pytest

from framehouse.annotations.labels import label_schema
from framehouse.runtime.errors import FailedPrecondition
from framehouse.v1.annotation_pb2 import Label, LabelSchema
from services.ingest.merging import merge_labels


def test_labels_are_merged_by_name_and_keep_their_ids() -> None:
    base = LabelSchema(labels=[Label(name="car", color="#ff0000"), Label(name="bus")], source='{"info":{}}')
    incoming = LabelSchema(
        labels=[
            Label(name="tram", parent="rail", source_id=7),
            Label(name="bus", color="#00ff00", attributes=["size"]),
            Label(name="car", color="#0000ff", keypoints=["a", "b"], edges=[{"from": 0, "to": 1}]),
        ],
        source="{}",
    )
    merged, lookup = merge_labels(base, incoming)
    assert lookup.tolist() == [2, 1, 0]
    assert list(merged.labels) == [
        Label(name="car", color="#ff0000", keypoints=["a", "b"], edges=[{"from": 0, "to": 1}]),
        Label(name="bus", color="#00ff00", attributes=["size"]),
        Label(name="tram", parent="rail", source_id=7),
    ]
    assert merged.source == base.source
    assert merge_labels(merged, incoming)[0] == merged


def test_nothing_is_merged_into_nothing() -> None:
    merged, lookup = merge_labels(LabelSchema(), LabelSchema())
    assert (len(merged.labels), lookup.tolist()) == (0, [])
    assert merge_labels(label_schema(["a"]), LabelSchema())[0] == label_schema(["a"])


@pytest.mark.parametrize("keypoints", [["a", "b", "c"], ["b", "a"]])
def test_a_class_with_other_keypoints_is_refused_by_name(keypoints: list[str]) -> None:
    base = LabelSchema(labels=[Label(name="person", keypoints=["a", "b"])])
    with pytest.raises(FailedPrecondition, match="person") as failure:
        merge_labels(base, LabelSchema(labels=[Label(name="person", keypoints=keypoints)]))
    assert failure.value.reason == "LABEL_KEYPOINTS_DIFFER"
