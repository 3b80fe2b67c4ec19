"""Datasets as a whole: described, listed, starred, cloned, thrown away and taken back, on each database."""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from framehouse.runtime.access import CALLER, Caller
from framehouse.runtime.errors import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
)
from framehouse.store.bucket import Bucket
from framehouse.store.tables import open_table
from framehouse.v1 import annotation_pb2, dataset_pb2, ingest_pb2
from services.ingest import adding, browsing, cloning, describing, heads, trash
from services.ingest.catalogue import (
    Catalogue,
    DatasetRow,
    ImportRow,
    ReferenceRow,
    StarRow,
    TableBaseRow,
    VersionRow,
    now,
)
from services.ingest.collecting import collect
from services.ingest.datasets import find, message
from services.ingest.leftovers import _is_needed
from services.ingest.redistributing import redistribute
from services.statistics.service import _statistics
from tests.services.test_adding import row
from tests.services.test_changes import Dataset

NAME = "users/local/datasets/cars"
PACK = "packs/adding"
ROWS = [row("a.jpg", "1", 0, 1), row("b.jpg", "2", 0, split="val"), row("c.jpg", "3"), row("d.jpg", "4", 1)]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"license": "WTFPL"}, "dataset.license"),
    ({"description": "a" * 10_001}, "dataset.description"),
    ({"display_name": "a\nb"}, "dataset.display_name"),
    ({"visibility": 7}, "dataset.visibility"),
    ({"labels": {"labels": [{"name": "a"}, {"name": "a"}]}}, "dataset.labels.labels[1].add.name"),
]
FILTERS = [
    ("", ["ann/birds", "ann/ships", "local/night-cars", "local/cars"]),
    ("images = 10", ["ann/ships", "local/cars"]),
    ("images > 10 OR annotations >= 5", ["ann/birds", "local/night-cars", "local/cars"]),
    ("name = cars", ["local/cars"]),
    ('name = "*cars"', ["local/night-cars", "local/cars"]),
    ('name = "users/ann/*"', ["ann/birds", "ann/ships"]),
    ("name:r", ["ann/birds", "local/night-cars", "local/cars"]),
    ("-name:r", ["ann/ships"]),
    ('display_name:"GROSSE" OR display_name:"GROßE 100%"', ["ann/ships"]),
    ('display_name:"0_"', []),
    ("license = mit", ["local/cars"]),
    ("license != MIT visibility = private", ["ann/birds", "local/night-cars"]),
    ("license:*", ["local/cars"]),
    ("task = detect", ["local/night-cars"]),
    ("NOT task:*", ["ann/ships", "local/cars"]),
    ("bytes = 7", ["ann/birds"]),
    ("stars > 1 format = ''", ["local/cars"]),
    ("format = coco", ["local/night-cars"]),
    ("starred = true", []),
    ("created > 2020-01-01 updated < '2020-01-01T00:00:00+02:00'", []),
]
ORDERS = [
    ("name", ["ann/birds", "ann/ships", "local/cars", "local/night-cars"]),
    ("images, name desc", ["local/cars", "ann/ships", "ann/birds", "local/night-cars"]),
    ("images desc, created", ["local/night-cars", "ann/birds", "local/cars", "ann/ships"]),
    ("stars desc, updated desc", ["local/cars", "ann/birds", "ann/ships", "local/night-cars"]),
    ("bytes desc, annotations desc, created desc", ["ann/birds", "local/cars", "ann/ships", "local/night-cars"]),
]
WRONG_FILTERS = [
    ("images > many", 10, "whole number"),
    ("name = a nmae = b", 10, "did you mean 'name'"),
    ("visibility = open", 14, "'private', 'public'"),
    ("name > a", 6, "neither a number nor a time"),
    ("created > yesterday", 11, "2026-01-31"),
    ("license = MTI", 11, "did you mean 'MIT'"),
    ("(images = 1", 1, "not closed"),
]

SHELF: dict[str, dict[str, Any]] = {
    "local/cars": {"image_count": 10, "annotation_count": 5, "license": "MIT", "star_count": 2},
    "local/night-cars": {"image_count": 30, "task": dataset_pb2.TASK_DETECT, "source_format": "coco"},
    "ann/ships": {"image_count": 10, "public": True, "display_name": "Große 100% Schiffe"},
    "ann/birds": {"image_count": 20, "image_bytes": 7, "task": dataset_pb2.TASK_POSE},
    "ann/trees": {"image_count": 10, "delete_time": now()},
}


class Own:
    """A catalogue, and short words for what is done with it."""

    def __init__(self, catalogue: Catalogue, bucket: Bucket) -> None:
        self.catalogue, self.bucket = catalogue, bucket

    def enter(self, name: str, **values: Any) -> DatasetRow:
        """A dataset of which only the catalogue knows."""
        user, slug = name.split("/")
        uid = uuid.uuid4().hex
        summary = dataset_pb2.Dataset().SerializeToString()
        given: dict[str, Any] = {
            "display_name": slug,
            "source_format": "",
            "image_count": 0,
            "annotation_count": 0,
            "image_bytes": 0,
        }
        times = {"create_time": now(), "update_time": now()}
        table = {"table_key": f"tables/{uid}.lance", "table_version": 1, "revision": 1, "summary": summary}
        made = DatasetRow(uid=uid, user=user, slug=slug, **(given | times | table | values))
        with self.catalogue.session() as session:
            session.add(made)
        return made

    def create(self, id: str = "cars", **said: Any) -> dataset_pb2.Dataset:
        dataset = dataset_pb2.Dataset(**said)
        request = dataset_pb2.CreateDatasetRequest(parent="users/local", dataset_id=id, dataset=dataset)
        return describing.create(self.catalogue, request)

    def change(self, *paths: str, name: str = NAME, **said: Any) -> dataset_pb2.Dataset:
        request = dataset_pb2.UpdateDatasetRequest(dataset=dataset_pb2.Dataset(name=name, **said))
        request.update_mask.paths.extend(paths or said)
        return describing.change(self.catalogue, request)

    def list(self, filter: str = "", order_by: str = "", parent: str = "users/-", **more: Any) -> list[str]:
        request = dataset_pb2.ListDatasetsRequest(parent=parent, filter=filter, order_by=order_by, **more)
        names: list[str] = []
        while True:
            page = browsing.list_datasets(self.catalogue, request)
            names += [one.name.removeprefix("users/").replace("datasets/", "") for one in page.datasets]
            if not page.next_page_token:
                return names
            request.page_token = page.next_page_token

    def star(self, name: str, user: str, **more: Any) -> dataset_pb2.Dataset:
        token = CALLER.set(Caller(user, False, "key"))
        try:
            return describing.star(self.catalogue, dataset_pb2.StarDatasetRequest(name=name, **more))
        finally:
            CALLER.reset(token)

    def make(self, name: str = NAME) -> Dataset:
        return Dataset(self.catalogue, self.bucket, name).publish(ROWS, fragment=2)

    def clone(self, source: str = NAME, id: str = "clone", **more: Any) -> Dataset:
        request = dataset_pb2.CloneDatasetRequest(source=source, parent="users/local", dataset_id=id, **more)
        done = cloning.clone(self.catalogue, request)
        made = Dataset(self.catalogue, self.bucket, done.name)
        made.uid, made.key = done.uid, f"tables/{done.uid}.lance"
        return made

    def discard(self, name: str = NAME, etag: str = "") -> dataset_pb2.Dataset:
        return trash.discard(self.catalogue, dataset_pb2.DeleteDatasetRequest(name=name, etag=etag))

    def restore(self, uid: str, id: str = "") -> dataset_pb2.Dataset:
        request = dataset_pb2.RestoreDatasetRequest(parent="users/local", uid=uid, dataset_id=id)
        return trash.restore(self.catalogue, request)

    def purge(self, uid: str) -> None:
        trash.purge(self.catalogue, dataset_pb2.PurgeDatasetRequest(parent="users/local", uid=uid))


@contextmanager
def own_datasets(catalogue: Catalogue, bucket: Bucket) -> Iterator[Own]:
    """What a test makes of datasets, removed from the bucket at its end."""
    bucket.put(PACK, b"-")
    yield Own(catalogue, bucket)
    bucket.remove([PACK])
    with catalogue.session() as session:
        keys = {*session.scalars(select(DatasetRow.table_key)), *session.scalars(select(TableBaseRow.base_key))}
    for key in keys:
        bucket.remove_prefix(f"{key}/")


@pytest.fixture
def own(each_catalogue: Catalogue, bucket: Bucket) -> Iterator[Own]:
    with own_datasets(each_catalogue, bucket) as made:
        yield made


@pytest.fixture
def shelf(own: Own) -> Own:
    """Datasets to be listed, each made a day after the one before."""
    first = now() - timedelta(days=10)
    for number, (name, values) in enumerate(SHELF.items()):
        time = first + timedelta(days=number)
        own.enter(name, create_time=time, update_time=time, **values)
    return own


# --- what a dataset says of itself


def test_a_created_dataset_says_what_it_was_made_with_and_is_added_to(own: Own) -> None:
    labels = annotation_pb2.LabelSchema(labels=[annotation_pb2.Label(name="car", color="#ff0000")])
    said: dict[str, Any] = {"description": "Cars", "license": "cc-by-4.0", "visibility": dataset_pb2.VISIBILITY_PUBLIC}
    made = own.create(labels=labels, task=dataset_pb2.TASK_OBB, **said)
    assert (made.display_name, made.description, made.license) == ("cars", "Cars", "CC-BY-4.0")
    assert (made.visibility, made.task, made.labels) == (dataset_pb2.VISIBILITY_PUBLIC, dataset_pb2.TASK_OBB, labels)
    assert (made.image_count, made.state) == (0, dataset_pb2.DATASET_STATE_INCOMPLETE)
    with pytest.raises(AlreadyExists):
        own.create()
    other = own.make("users/local/datasets/other")
    table = dataset_pb2.Table(key=other.key, version=other.row.table_version, source_format="datumaro")
    request = ingest_pb2.AddToDatasetRequest(
        name=NAME, table=table, policy=ingest_pb2.ADD_POLICY_KEEP, job=uuid.uuid4().hex
    )
    added = adding.add(own.catalogue, request).dataset
    assert (made.source_format, added.source_format) == ("", "datumaro")
    assert (added.image_count, [label.name for label in added.labels.labels]) == (4, ["car", "bus"])


def test_a_dataset_is_not_created_of_what_cannot_be(own: Own) -> None:
    for said, field in WRONG:
        with pytest.raises(InvalidArgument) as refused:
            own.create(**said)
        assert field in str(refused.value.status().details)
    assert own.list() == []


def test_only_what_the_mask_names_is_changed(own: Own) -> None:
    first = own.create(description="old", license="MIT")
    changed = own.change("description", "task", description="new", task=dataset_pb2.TASK_POSE, license="GPL-3.0")
    assert (changed.description, changed.task, changed.license) == ("new", dataset_pb2.TASK_POSE, "MIT")
    assert changed.etag != first.etag
    assert own.change("license", "display_name").license == ""
    with pytest.raises(Aborted):
        own.change("description", description="newer", etag=first.etag)
    for paths in ((), ("uid",)):
        request = dataset_pb2.UpdateDatasetRequest(dataset=dataset_pb2.Dataset(name=NAME), update_mask={"paths": paths})
        with pytest.raises(InvalidArgument, match="display_name, description, license, visibility, task"):
            describing.change(own.catalogue, request)


def test_stars_are_counted_once_for_each_user(own: Own) -> None:
    own.enter("local/cars", public=True)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda user: own.star(NAME, user), ["ann", "bob", "ann", "ann"]))
    mine = own.star(NAME, "ann")
    assert (mine.star_count, mine.starred) == (2, True)
    token = CALLER.set(Caller("bob", False, "key"))
    assert own.list("starred = true") == ["local/cars"]
    CALLER.reset(token)
    assert own.list("starred = true") == []
    assert own.star(NAME, "ann", remove=True).star_count == 1
    left = own.star(NAME, "ann", remove=True)
    assert (left.star_count, left.starred) == (1, False)


# --- lists


def test_a_filter_selects_datasets(shelf: Own) -> None:
    for filter, names in FILTERS:
        assert shelf.list(filter) == names, filter
        assert shelf.list(filter, page_size=1) == names, filter


def test_times_are_compared_as_instants(shelf: Own) -> None:
    there = find(shelf.catalogue, "users/ann/datasets/ships").create_time
    ours = there.astimezone().isoformat()
    assert shelf.list(f'created <= "{ours}"') == ["ann/ships", "local/night-cars", "local/cars"]
    assert shelf.list(f'created > "{ours}"') == ["ann/birds"]


def test_datasets_are_listed_in_any_order(shelf: Own) -> None:
    for order, names in ORDERS:
        assert shelf.list(order_by=order) == names, order
        assert shelf.list(order_by=order, page_size=1) == names, order


def test_equal_datasets_are_on_one_page_each(own: Own) -> None:
    time = now()
    names = {own.enter(f"local/d{number}", create_time=time).slug for number in range(7)}
    listed = own.list(order_by="images desc", page_size=2)
    assert (len(listed), {name.partition("/")[2] for name in listed}) == (7, names)


def test_pages_stay_right_while_datasets_come_and_go(shelf: Own) -> None:
    request = dataset_pb2.ListDatasetsRequest(parent="users/-", page_size=2)
    first = browsing.list_datasets(shelf.catalogue, request)
    shelf.enter("local/new")
    shelf.discard("users/ann/datasets/birds")
    request.page_token = first.next_page_token
    second = browsing.list_datasets(shelf.catalogue, request)
    assert [one.display_name for one in second.datasets] == ["night-cars", "cars"]
    for other in ({"filter": "images > 1"}, {"order_by": "name"}, {"parent": "users/ann"}, {"trash": True}):
        asked = dataset_pb2.ListDatasetsRequest(**({"parent": "users/-", "page_token": request.page_token} | other))
        with pytest.raises(InvalidArgument, match="another parent"):
            browsing.list_datasets(shelf.catalogue, asked)
    request.page_token = "aGk="
    with pytest.raises(InvalidArgument, match="not one of ours"):
        browsing.list_datasets(shelf.catalogue, request)


def test_a_wrong_filter_is_shown_where_it_is_wrong(shelf: Own) -> None:
    for filter, column, says in WRONG_FILTERS:
        with pytest.raises(InvalidArgument, match=f"column {column}: .*{says}"):
            shelf.list(filter)
    with pytest.raises(InvalidArgument, match="did you mean 'images'"):
        shelf.list(order_by="imagse")


def test_a_caller_sees_its_own_and_what_is_public(shelf: Own) -> None:
    token = CALLER.set(Caller("local", False, "key"))
    try:
        assert shelf.list() == ["ann/ships", "local/night-cars", "local/cars"]
        assert shelf.list(parent="users/ann") == ["ann/ships"]
        assert shelf.list(trash=True) == []
        clone = dataset_pb2.CloneDatasetRequest(source="users/ann/datasets/birds", parent="users/local")
        with pytest.raises(NotFound):
            cloning.clone(shelf.catalogue, clone)
        with pytest.raises(PermissionDenied):
            shelf.change("license", name="users/ann/datasets/ships")
        with pytest.raises(PermissionDenied):
            shelf.discard("users/ann/datasets/ships")
        CALLER.set(Caller("ann", False, "key"))
        assert shelf.list(trash=True) == ["ann/trees"]
    finally:
        CALLER.reset(token)


# --- the trash


def test_a_deleted_dataset_frees_its_name_and_comes_back_under_another(own: Own) -> None:
    made = own.make()
    gone = own.discard()
    assert gone.purge_time.ToDatetime() - gone.delete_time.ToDatetime() == timedelta(days=30)
    with pytest.raises(NotFound, match="it is in the trash"):
        find(own.catalogue, NAME)
    other = own.create()
    with pytest.raises(AlreadyExists):
        own.restore(gone.uid)
    back = own.restore(gone.uid, "cars-2")
    assert (back.name, back.image_count, back.HasField("delete_time")) == ("users/local/datasets/cars-2", 4, False)
    assert find(own.catalogue, NAME).uid == other.uid
    made.name = back.name
    assert made.images("split")["b.jpg"] == "val"
    for uid in (gone.uid, "nothing"):
        with pytest.raises(NotFound):
            own.restore(uid)
        with pytest.raises(NotFound):
            own.purge(uid)


def test_what_is_read_stale_is_not_deleted(own: Own) -> None:
    etag = own.create().etag
    own.change("description", description="new")
    with pytest.raises(Aborted):
        own.discard(etag=etag)
    assert own.list() == ["local/cars"]


def test_who_changes_a_dataset_that_is_deleted_meanwhile_is_told(own: Own) -> None:
    made = own.make()
    version = made.row.table_version
    table = dataset_pb2.Table(key=made.key, version=version)
    own.discard()
    request = ingest_pb2.AddToDatasetRequest(name=NAME, table=table, policy=ingest_pb2.ADD_POLICY_KEEP, job="j" * 32)
    with pytest.raises(NotFound, match="it is in the trash"):
        adding.add(own.catalogue, request)
    with pytest.raises(NotFound, match="it is in the trash"):
        made.change("a.jpg", move_to_split="val")
    assert open_table(made.key).version == version


def test_the_trash_is_purged_of_what_has_lain_there_long_enough(own: Own) -> None:
    old, young = own.make(), own.make("users/local/datasets/young")
    own.discard()
    own.discard(young.name)
    with own.catalogue.session() as session:
        session.execute(update(DatasetRow).filter_by(uid=old.uid).values(delete_time=now() - timedelta(days=31)))
        session.add(StarRow(dataset=old.uid, user="ann"))
    assert trash.purge_before(own.catalogue, now() - timedelta(days=30)) == 1
    assert own.list(trash=True) == ["local/young"]
    assert list(own.bucket.keys(f"{old.key}/")) == []
    assert list(own.bucket.keys(f"{young.key}/"))
    with own.catalogue.session() as session:
        assert session.scalar(select(ReferenceRow.object).filter_by(table_key=old.key)) is None
        assert session.scalar(select(StarRow.user)) is None
    assert trash.purge_before(own.catalogue, now() - timedelta(days=30)) == 0


# --- clones


def test_a_clone_and_its_source_change_apart(own: Own) -> None:
    source = own.make()
    source.change("a.jpg", move_to_split="test")
    clone = own.clone()
    said = clone.message()
    assert (said.cloned_from, said.image_count, said.image_bytes) == (NAME, 4, source.message().image_bytes)
    assert (said.labels, said.issues, said.splits) == (
        source.message().labels,
        source.message().issues,
        source.message().splits,
    )
    clone.change("a.jpg", "b.jpg", remove=True)
    clone.change("c.jpg", move_to_split="night")
    source.change("d.jpg", move_to_split="day")
    request = ingest_pb2.AddToDatasetRequest(
        name=clone.name, table=source_table(own.make("users/local/datasets/more")), policy=ingest_pb2.ADD_POLICY_RENAME,
        job=uuid.uuid4().hex,
    )  # fmt: skip
    assert adding.add(own.catalogue, request).dataset.image_count == 4
    assert source.images("split") == {"a.jpg": "test", "b.jpg": "val", "c.jpg": "train", "d.jpg": "day"}
    assert clone.images("split") == {"c.jpg": "night", "d.jpg": "train", "a.jpg": "train", "b.jpg": "val"}
    redistribute(own.catalogue, dataset_pb2.RedistributeSplitsRequest(name=clone.name))
    source.check()
    clone.check()
    numbers = _statistics(dataset_pb2.Table(key=clone.key, version=clone.row.table_version))
    assert (numbers.image_count, numbers.annotation_count) == (4, clone.row.annotation_count)


def source_table(dataset: Dataset) -> dataset_pb2.Table:
    return dataset_pb2.Table(key=dataset.key, version=dataset.row.table_version)


def test_a_version_is_cloned_as_it_was(own: Own) -> None:
    source = own.make()
    there = source.row
    with own.catalogue.session() as session:
        session.add(
            VersionRow(
                dataset=source.uid,
                number=3,
                table_key=there.table_key,
                table_version=there.table_version,
                description="",
                image_count=there.image_count,
                annotation_count=there.annotation_count,
                image_bytes=there.image_bytes,
                summary=there.summary,
                request_id="",
                create_time=now(),
                revision=1,
            )
        )
    assert source.message().version == 3
    source.change(filter="*", remove=True)
    clone = own.clone(version=3)
    said = clone.message()
    assert (said.cloned_from, said.image_count, said.version) == (f"{NAME}@3", 4, 0)
    assert len(clone.images("split")) == 4
    clone.check()
    with pytest.raises(NotFound, match="versions/4"):
        own.clone(version=4, id="other")


def test_a_copyleft_licence_goes_with_the_clone_for_good(own: Own) -> None:
    own.create(license="AGPL-3.0", visibility=dataset_pb2.VISIBILITY_PUBLIC)
    clone = own.clone().message()
    assert (clone.license, clone.license_locked) == ("AGPL-3.0", True)
    assert clone.visibility == dataset_pb2.VISIBILITY_PRIVATE
    with pytest.raises(FailedPrecondition, match="cannot be changed"):
        own.change("license", name=clone.name, license="MIT")
    assert own.change("license", "task", name=clone.name, license="AGPL-3.0").license == "AGPL-3.0"
    own.change("license", license="MIT")
    assert own.clone(clone.name, "again").message().license_locked
    free = own.clone(id="free").message()
    assert (free.license, free.license_locked) == ("MIT", False)
    assert own.change("license", name=free.name, license="Other").license == "Other"


def test_a_purged_dataset_leaves_its_clones_what_they_need(own: Own) -> None:
    source = own.make()
    first = own.clone()
    first.change("a.jpg", move_to_split="test")
    second = own.clone(first.name, "second")
    expected = second.images("split", "label")
    for name, uid in ((NAME, source.uid), (first.name, first.uid)):
        own.discard(name)
        own.purge(uid)
    assert list(own.bucket.keys(f"{source.key}/"))
    assert _is_needed(own.catalogue, source.key)
    assert heads.measure(second.key, second.row.table_version).image_count == 4
    assert second.images("split", "label") == expected
    with own.catalogue.session() as session:
        assert heads.in_use(session, f"{source.key}/")
        assert list(session.scalars(select(ReferenceRow.object))) == [PACK]
        assert list(session.scalars(select(ImportRow.job))) == [source.uid]
    assert collect(own.bucket, own.catalogue, now() + timedelta(minutes=1), upload=PACK.removeprefix("packs/")) == 0
    second.change("b.jpg", remove=True)
    second.check()
    own.discard(second.name)
    own.purge(second.uid)
    for key in (source.key, first.key, second.key):
        assert list(own.bucket.keys(f"{key}/")) == []
        assert not _is_needed(own.catalogue, key)
    with own.catalogue.session() as session:
        assert session.scalar(select(TableBaseRow.base_key)) is None
        assert session.scalar(select(ImportRow.job)) is None
        assert session.scalar(select(ReferenceRow.object)) is None


def test_a_purged_clone_leaves_its_source_alone(own: Own) -> None:
    source = own.make()
    clone = own.clone()
    own.discard(clone.name)
    own.purge(clone.uid)
    assert list(own.bucket.keys(f"{clone.key}/")) == []
    source.change("a.jpg", move_to_split="test")
    source.check()


def test_a_clone_is_not_made_under_a_name_that_is_taken(own: Own) -> None:
    own.make()
    tables = set(own.bucket.keys("tables/"))
    for id in ("cars", ""):
        with pytest.raises(AlreadyExists):
            own.clone(id=id)
    assert set(own.bucket.keys("tables/")) == tables


def test_of_a_clone_and_a_purge_at_the_same_time_one_is_told(own: Own) -> None:
    for number in range(3):
        source = own.make()
        own.discard()
        own.restore(source.uid)
        with ThreadPoolExecutor(2) as threads:
            cloning_it = threads.submit(own.clone, id=f"clone-{number}")
            own.discard()
            own.purge(source.uid)
            try:
                clone = cloning_it.result()
            except NotFound:
                assert list(own.bucket.keys(f"{source.key}/")) == []
                continue
        assert len(clone.images("split")) == 4
        assert message(clone.row).cloned_from == NAME
