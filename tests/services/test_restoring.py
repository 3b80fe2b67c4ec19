"""Removed images put back, on real tables in the real store: as they were, each once, all or nothing."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from framehouse.annotations.labels import label_schema, labels_of, with_labels
from framehouse.runtime.config import settings
from framehouse.runtime.errors import Aborted, FailedPrecondition, InvalidArgument, NotFound
from framehouse.store.bucket import Bucket
from framehouse.store.tables import change, open_table
from framehouse.v1 import dataset_pb2, ingest_pb2
from services.ingest import adding
from services.ingest.catalogue import Catalogue, DatasetRow, RemovalRow, now
from services.ingest.removals import forget, list_removals
from services.ingest.restoring import restore_images
from tests.services import catalogues
from tests.services.test_adding import Datasets, row
from tests.services.test_changes import NAME, Dataset, fields, six_images


@pytest.fixture
def cars(each_catalogue: Catalogue, bucket: Bucket) -> Iterator[Dataset]:
    """Six images on each database."""
    with six_images(each_catalogue, bucket) as made:
        yield made


@pytest.fixture
def alone(tmp_path: Path, bucket: Bucket) -> Iterator[Dataset]:
    """The same, on one."""
    with six_images(catalogues.sqlite(tmp_path), bucket) as made:
        yield made


def restore(cars: Dataset, *paths: str, **request: Any) -> dataset_pb2.ChangeImagesResponse:
    if paths:
        request["images"] = dataset_pb2.ImageNames(names=[cars.image(path) for path in paths])
    return restore_images(cars.catalogue, dataset_pb2.RestoreImagesRequest(parent=NAME, **request))


def removals(cars: Dataset, **request: Any) -> list[dataset_pb2.Removal]:
    answer = list_removals(cars.catalogue, dataset_pb2.ListRemovalsRequest(parent=NAME, **request))
    return list(answer.removals)


def contents(cars: Dataset) -> list[dict[str, Any]]:
    table = open_table(cars.key, cars.row.table_version)
    return table.to_table().sort_by("path").to_pylist()  # type: ignore[no-any-return]


def test_what_a_removal_took_comes_back_as_it_was(cars: Dataset) -> None:
    before, images = cars.message(), contents(cars)
    cars.change("b.jpg", "e.jpg", remove=True)
    cars.change(filter="split = val", remove=True)
    second, first = removals(cars)
    assert (first.image_count, list(first.paths)) == (2, ["b.jpg", "e.jpg"])
    assert (second.image_count, list(second.paths)) == (1, ["d.jpg"])
    assert first.expire_time.ToSeconds() == first.create_time.ToSeconds() + settings().trash_seconds
    asked = restore(cars, removal=first.name, validate_only=True)
    assert (asked.changed_count, asked.dataset.image_count) == (2, 3)
    done = restore(cars, removal=first.name, etag=asked.dataset.etag)
    assert (done.changed_count, done.dataset.image_count, done.dataset.annotation_count) == (2, 5, 4)
    cars.check()
    assert restore(cars, removal=first.name).dataset == done.dataset, "what is there again is skipped"
    assert restore(cars, filter="*").changed_count == 1
    assert contents(cars) == images
    after = cars.message()
    assert (after.image_count, after.annotation_count, after.image_bytes) == (6, 4, before.image_bytes)
    assert after.splits == before.splits
    cars.check()


def test_names_and_filters_find_what_was_removed_last(alone: Dataset) -> None:
    alone.change("a.jpg", "c.jpg", remove=True)
    restore(alone, "a.jpg")
    alone.change("a.jpg", move_to_split="night")
    alone.change("a.jpg", "f.jpg", remove=True)
    assert restore(alone, filter="split = train", validate_only=True).changed_count == 2
    assert restore(alone, filter="split = night").changed_count == 1
    assert alone.images("split")["a.jpg"] == "night"
    assert restore(alone, "a.jpg", "c.jpg", "b.jpg").changed_count == 1
    alone.check()
    with pytest.raises(NotFound, match=alone.image("x.jpg")):
        restore(alone, "f.jpg", "x.jpg")
    assert "f.jpg" not in alone.images("split")
    first = list_removals(alone.catalogue, dataset_pb2.ListRemovalsRequest(parent=NAME, page_size=1))
    pages = removals(alone, page_size=1, page_token=first.next_page_token)
    assert [sorted(one.paths) for one in (*first.removals, *pages)] == [["a.jpg", "f.jpg"], ["a.jpg", "c.jpg"]]


def test_another_image_of_the_same_path_stops_all(alone: Dataset) -> None:
    alone.change("a.jpg", "b.jpg", remove=True)
    others = Datasets(alone.catalogue)
    table = others.table([row("b.jpg", "other bytes")], ("car", "bus"))
    add = ingest_pb2.AddToDatasetRequest(
        name=NAME, table=table, policy=ingest_pb2.ADD_POLICY_FAIL, job="0" * 32, tag="monday"
    )
    adding.add(alone.catalogue, add)
    before = alone.message()
    with pytest.raises(FailedPrecondition, match=r"'b.jpg' is in .* again, with other bytes") as failure:
        restore(alone, filter="*")
    assert failure.value.reason == "IMAGE_EXISTS"
    assert alone.message() == before
    assert restore(alone, "a.jpg").changed_count == 1
    alone.check()
    for key in others.keys:
        alone.bucket.remove_prefix(f"{key}/")


def test_classes_are_found_by_name_and_added_where_they_are_gone(alone: Dataset) -> None:
    alone.change("a.jpg", "e.jpg", remove=True)
    there = alone.row
    metadata = with_labels(pa.schema([]), label_schema(("van", "bus"))).metadata
    text = {name.decode(): value.decode() for name, value in metadata.items()}
    version = change(alone.key, there.table_version, pa.array([], pa.int64()).to_numpy(), [], text, {"by": "test"})
    with alone.catalogue.session() as session:
        summary = dataset_pb2.Dataset.FromString(there.summary)
        summary.labels.CopyFrom(label_schema(("van", "bus")))
        held = session.get_one(DatasetRow, alone.uid)
        held.table_version, held.summary = version, summary.SerializeToString()
    restore(alone, "e.jpg")
    assert [label.name for label in alone.message().labels.labels] == ["van", "bus"]
    restore(alone, filter="*")
    assert [label.name for label in alone.message().labels.labels] == ["van", "bus", "car"]
    table = open_table(alone.key, alone.row.table_version)
    assert [label.name for label in labels_of(table.schema).labels] == ["van", "bus", "car"]
    assert (alone.images("label")["a.jpg"], alone.images("label")["e.jpg"]) == ([2, 1], [1])


def test_what_is_too_old_is_not_put_back(alone: Dataset) -> None:
    alone.change("a.jpg", remove=True)
    alone.change("b.jpg", remove=True)
    with alone.catalogue.session() as session:
        removal = session.query(RemovalRow).order_by(RemovalRow.next_version).first()
        assert removal
        removal.create_time = now() - timedelta(seconds=settings().trash_seconds + 1)
        name = f"{NAME}/removals/{removal.id}"
    assert [list(one.paths) for one in removals(alone)] == [["b.jpg"]]
    with pytest.raises(NotFound):
        restore(alone, removal=name)
    with pytest.raises(NotFound):
        restore(alone, "a.jpg")
    assert restore(alone, filter="*", validate_only=True).changed_count == 1
    assert forget(alone.catalogue, now() - timedelta(seconds=settings().trash_seconds)) == 1


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({}, "selection"),
        ({"filter": " "}, "filter"),
        ({"filter": "split ="}, "filter"),
        ({"filter": "split = nowhere"}, "filter"),
        ({"images": {}}, "images.names"),
        ({"images": {"names": [f"users/local/datasets/bus/images/{'0' * 32}"]}}, "images.names[0]"),
        ({"removal": "users/local/datasets/bus/removals/1"}, "removal"),
    ],
    ids=str,
)
def test_a_request_that_is_wrong_is_refused_with_its_field(alone: Dataset, wrong: dict[str, Any], field: str) -> None:
    alone.change("a.jpg", remove=True)
    with pytest.raises(InvalidArgument) as failure:
        restore(alone, **wrong)
    assert fields(failure.value) == [field]
    with pytest.raises(Aborted):
        restore(alone, filter="*", etag='"0"')
