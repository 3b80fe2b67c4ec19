"""Versions of datasets, on real tables in the real store: what was in one is what comes out, whatever is done later."""

import random
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sqlalchemy import update

from framehouse.annotations.labels import label_schema, labels_of, with_labels
from framehouse.annotations.schema import ANNOTATION_COLUMNS, DATASET_SCHEMA
from framehouse.runtime.errors import Aborted, FailedPrecondition, InvalidArgument, NotFound
from framehouse.store.bucket import Bucket
from framehouse.store.tables import change, commit, open_table, write_fragments
from framehouse.v1 import dataset_pb2
from services.ingest import adding, comparing, trash, versions
from services.ingest.catalogue import Catalogue, DatasetRow, ObjectRow, now
from services.ingest.collecting import collect
from services.ingest.columns import snapshot
from tests.services import catalogues
from tests.services.test_adding import Datasets, row
from tests.services.test_changes import PACK, Dataset, six_images


@pytest.fixture
def cars(each_catalogue: Catalogue, bucket: Bucket) -> Iterator[Dataset]:
    """The same six images on each database."""
    with six_images(each_catalogue, bucket) as made:
        yield made


def make(dataset: Dataset, description: str = "", request_id: str = "", etag: str = "") -> dataset_pb2.Version:
    request = dataset_pb2.CreateVersionRequest(
        parent=dataset.name, description=description, request_id=request_id, etag=etag
    )
    version, _ = versions.create(dataset.catalogue, request)
    return versions.message(dataset.name, version)


def listed(dataset: Dataset, **request: Any) -> dataset_pb2.ListVersionsResponse:
    return versions.list_versions(dataset.catalogue, dataset_pb2.ListVersionsRequest(parent=dataset.name, **request))


def rows_of(dataset: Dataset, number: int) -> pa.Table:
    table = versions.resolve(dataset.catalogue, dataset.row, number)
    return open_table(table.key, table.version).to_table()


def purge(dataset: Dataset) -> None:
    trash.discard(dataset.catalogue, dataset_pb2.DeleteDatasetRequest(name=dataset.name))
    trash.purge(dataset.catalogue, dataset_pb2.PurgeDatasetRequest(parent="users/local", uid=dataset.uid))


def test_a_version_is_what_the_dataset_was(cars: Dataset) -> None:
    before = rows_of(cars, 0)
    made = make(cars, "the first")
    assert (made.name, made.number, made.description) == (f"{cars.name}/versions/1", 1, "the first")
    assert (made.image_count, made.annotation_count, made.class_count, made.image_bytes) == (6, 4, 2, 5)
    assert [(one.split, one.image_count) for one in made.splits] == [("train", 3), ("val", 2), ("", 1)]
    assert (made.snapshot_state, made.snapshot_size) == (dataset_pb2.SNAPSHOT_STATE_PENDING, 0)
    cars.change(filter="*", move_to_split="test")
    cars.change("a.jpg", "b.jpg", remove=True)
    assert make(cars).number == 2
    assert versions.get(cars.catalogue, made.name) == made
    assert [one.number for one in listed(cars).versions] == [2, 1]
    assert rows_of(cars, 1) == before
    assert rows_of(cars, 2) == rows_of(cars, 0) != before
    resolved = versions.resolve(cars.catalogue, cars.row, 1)
    assert (resolved.image_count, resolved.annotation_count) == (6, 4)


def test_the_same_request_makes_one_version(cars: Dataset) -> None:
    first = make(cars, "one", request_id="r")
    cars.change("a.jpg", move_to_split="test")
    assert make(cars, "two", request_id="r") == first
    assert make(cars, "two").number == 2


def test_calls_at_once_make_versions_of_their_own(cars: Dataset) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda place: make(cars, str(place)), range(16)))
    assert sorted(one.number for one in made) == list(range(1, 17))
    assert {one.number: one.description for one in listed(cars).versions} == {
        one.number: one.description for one in made
    }


def test_versions_come_in_pages_the_newest_first(cars: Dataset) -> None:
    for _ in range(3):
        make(cars)
    first = listed(cars, page_size=2)
    second = listed(cars, page_size=2, page_token=first.next_page_token)
    assert [one.number for one in (*first.versions, *second.versions)] == [3, 2, 1]
    assert not second.next_page_token
    with pytest.raises(InvalidArgument, match="page_token"):
        listed(cars, page_token="MTI=")


def test_of_a_version_the_description_can_change(cars: Dataset) -> None:
    made = make(cars, "before")

    def describe(text: str, etag: str = "", mask: tuple[str, ...] = ()) -> dataset_pb2.Version:
        request = dataset_pb2.UpdateVersionRequest(
            version=dataset_pb2.Version(name=made.name, description=text, etag=etag, image_count=9)
        )
        request.update_mask.paths.extend(mask)
        return versions.describe(cars.catalogue, request)

    changed = describe("after", made.etag)
    assert (changed.description, changed.image_count) == ("after", 6)
    assert changed.etag != made.etag
    assert versions.get(cars.catalogue, made.name) == changed
    with pytest.raises(Aborted, match="has changed"):
        describe("late", made.etag)
    with pytest.raises(InvalidArgument, match="'image_count' of a version cannot be changed"):
        describe("x", mask=("image_count",))
    with pytest.raises(InvalidArgument, match="10,000 letters"):
        describe("x" * 10_001)


def test_what_cannot_be_a_version_is_refused(cars: Dataset) -> None:
    with pytest.raises(Aborted, match="has changed"):
        make(cars, etag='"stale"')
    with pytest.raises(NotFound, match="versions/1"):
        versions.get(cars.catalogue, f"{cars.name}/versions/1")
    with pytest.raises(InvalidArgument, match="is no version"):
        versions.get(cars.catalogue, f"{cars.name}/versions/0")
    with pytest.raises(NotFound):
        versions.resolve(cars.catalogue, cars.row, 7)
    cars.change(filter="*", remove=True)
    with pytest.raises(FailedPrecondition, match="no images") as failure:
        make(cars)
    assert failure.value.reason == "DATASET_EMPTY"


def test_a_restored_version_is_the_head_and_can_be_changed_on(cars: Dataset) -> None:
    before = rows_of(cars, 0)
    made = make(cars)
    cars.change("a.jpg", "c.jpg", remove=True)
    cars.change(filter="*", move_to_split="test")
    stale, kept = cars.message(), make(cars)

    def restore(etag: str = "") -> dataset_pb2.Dataset:
        return versions.restore(cars.catalogue, dataset_pb2.RestoreVersionRequest(name=made.name, etag=etag))

    with pytest.raises(Aborted, match="has changed"):
        restore('"another"')
    restored = restore(stale.etag)
    assert restored == cars.message()
    assert restored.etag != stale.etag
    assert (restored.image_count, restored.annotation_count) == (6, 4)
    assert rows_of(cars, 0) == before
    cars.check()

    cars.change("a.jpg", move_to_split="val")
    cars.check()
    assert cars.images("split")["a.jpg"] == "val"
    assert rows_of(cars, 1) == before
    assert rows_of(cars, kept.number).num_rows == 4
    assert make(cars).number == 3


def test_what_a_version_refers_to_is_never_collected(cars: Dataset, bucket: Bucket) -> None:
    uid = uuid.uuid4().hex
    other = f"packs/{uid}"
    bucket.put(other, b"-")
    own = Datasets(cars.catalogue)
    place = {"object": other, "offset": 0, "stored_size": 1, "size": 1, "method": 0, "crc32": 0}
    adding.add(cars.catalogue, own.request([row("g.jpg", "7", original=place)]))
    made = make(cars)

    def collected() -> int:
        with cars.catalogue.session() as session:
            session.execute(update(ObjectRow).values(last_used=now() - timedelta(days=900)))
        return collect(bucket, cars.catalogue, now() + timedelta(days=1), upload=uid)

    cars.change("g.jpg", remove=True)
    assert (collected(), bucket.size(other)) == (0, 1)
    versions.restore(cars.catalogue, dataset_pb2.RestoreVersionRequest(name=made.name))
    cars.check()
    cars.change("g.jpg", remove=True)
    assert (collected(), bucket.size(other)) == (0, 1)
    assert rows_of(cars, 1).column("path").to_pylist()[-1] == "g.jpg"

    for key in own.keys:
        bucket.remove_prefix(f"{key}/")
    purge(cars)
    assert collected() == 1


def test_a_snapshot_that_is_late_is_asked_for_until_it_is_recorded(cars: Dataset, bucket: Bucket) -> None:
    made = make(cars, "told in the snapshot")

    def late() -> list[int]:
        found = versions.missing_snapshots(cars.catalogue, now() + timedelta(seconds=1))
        return [one.number for one in found if one.uid == cars.uid]

    assert late() == [1]
    assert versions.missing_snapshots(cars.catalogue, now() - timedelta(minutes=5)) == []
    table = versions.resolve(cars.catalogue, cars.row, 1)
    request = dataset_pb2.RecordSnapshotRequest(table=table, uid=cars.uid, number=1, size=12)
    for _ in range(2):
        recorded = versions.record(cars.catalogue, request)
        assert (recorded.name, recorded.snapshot_size) == (made.name, 12)
    assert recorded.snapshot_state == dataset_pb2.SNAPSHOT_STATE_READY
    found = versions.get(cars.catalogue, made.name)
    assert f"versions/{cars.uid}/v1.ndjson?" in found.snapshot_url
    assert found.snapshot_url_expire_time.seconds > made.create_time.seconds
    assert late() == []

    # Of a version that is gone, nothing stays.
    key = versions.snapshot_key(cars.uid, 1)
    bucket.put(key, b"-")
    purge(cars)
    assert bucket.size(key) is None
    bucket.put(key, b"-")
    with pytest.raises(NotFound):
        versions.record(cars.catalogue, request)
    assert bucket.size(key) is None


# --- comparisons


def told(base: pa.Table, other: pa.Table) -> dict[str, Any]:
    """What is different, found out image by image and annotation by annotation."""
    sides = []
    for table in (base, other):
        names = [one.name for one in labels_of(table.schema).labels]
        images = {}
        for one in table.to_pylist():
            parts = zip(*(one[name] for name in ANNOTATION_COLUMNS), strict=True)
            each_of_it = [dict(zip(ANNOTATION_COLUMNS, values, strict=True)) for values in parts]
            for each in each_of_it:
                each["label"] = names[each["label"]] if each["label"] >= 0 else ""
            images[one["id"]] = (one, {each["annotation_id"]: each for each in each_of_it})
        sides.append((names, images))
    (before, mine), (after, theirs) = sides
    annotations: Counter[str] = Counter()
    classes: dict[str, Counter[str]] = {name: Counter() for name in (*before, *after, "")}
    found: dict[str, Any] = {"added": [], "removed": [], "changed": [], "moved": 0}
    for key in mine.keys() | theirs.keys():
        (one, a), (another, b) = (side.get(key, (None, {})) for side in (mine, theirs))
        differs = False
        for number in a.keys() | b.keys():
            old, new = a.get(number), b.get(number)
            if old == new:
                continue
            differs = True
            annotations["changed" if old and new else "removed" if old else "added"] += 1
            if old and new and old["label"] == new["label"]:
                classes[old["label"]]["changed"] += 1
                continue
            if old:
                classes[old["label"]]["removed"] += 1
            if new:
                classes[new["label"]]["added"] += 1
        if one is None or another is None:
            found["added" if one is None else "removed"].append((one or another)["path"])
        elif differs or any(one[name] != another[name] for name in comparing.IMAGE_COLUMNS):
            found["changed"].append(one["path"])
            found["moved"] += one["split"] != another["split"]
    del classes[""]
    shown = {
        name: (counts["added"], counts["removed"], counts["changed"], name not in before, name not in after)
        for name, counts in classes.items()
        if counts or (name in before) != (name in after)
    }
    lists = {name: sorted(found[name]) for name in ("added", "removed", "changed")}
    return lists | {"moved": found["moved"], "annotations": dict(annotations), "classes": shown}


def compared(key: str, base: int, other_key: str, other: int) -> dict[str, Any]:
    answer = comparing.compare(snapshot(key, base), snapshot(other_key, other))
    images, annotations = answer.images, answer.annotations
    counts = (images.added_count, images.removed_count, images.changed_count)
    assert counts == (len(images.added), len(images.removed), len(images.changed))
    numbers = {name: getattr(annotations, f"{name}_count") for name in ("added", "removed", "changed")}
    return {
        "added": sorted(images.added),
        "removed": sorted(images.removed),
        "changed": sorted(images.changed),
        "moved": images.moved_count,
        "annotations": {name: number for name, number in numbers.items() if number},
        "classes": {
            one.label: (
                one.annotations.added_count,
                one.annotations.removed_count,
                one.annotations.changed_count,
                one.added,
                one.removed,
            )
            for one in answer.labels
        },
    }


def written(rows: list[dict[str, Any]], labels: tuple[str, ...], fragment: int) -> tuple[str, int]:
    key = f"tables/{uuid.uuid4().hex}.lance"
    table = pa.Table.from_pylist(rows, DATASET_SCHEMA)
    fragments = [
        one
        for first in range(0, len(rows), fragment)
        for one in write_fragments(key, table.slice(first, fragment).combine_chunks(), DATASET_SCHEMA)
    ]
    return key, commit(key, with_labels(DATASET_SCHEMA, label_schema(labels)), fragments, {"framehouse.job": key})


@pytest.mark.parametrize("seed", range(4))
def test_versions_differ_in_what_was_done_in_between(bucket: Bucket, tmp_path: Path, seed: int) -> None:
    """Random edits, against a comparison of each annotation; also with a table that has no file in common."""
    chance = random.Random(seed)
    paths = [f"{number:02d}.jpg" for number in range(24)]
    rows = [
        row(path, path, *(chance.randrange(-1, 2) for _ in range(chance.randrange(4))), split=chance.choice("ab"))
        for path in paths
    ]
    bucket.put(PACK, b"-")
    made = Dataset(catalogues.sqlite(tmp_path), bucket).publish(rows, fragment=5)
    first = made.row.table_version
    for _ in range(4):
        some = chance.sample(list(made.images("id")), 3)
        match chance.randrange(4):
            case 0:
                made.change(*some, move_to_split=chance.choice("abc"))
            case 1:
                made.change(*some, remove=True)
            case 2:
                again = [
                    row(path, path, *(chance.randrange(2) for _ in range(3)), x=chance.randrange(2)) for path in some
                ]
                again.append(row(f"new-{chance.random()}.jpg", "new", 2))
                own = Datasets(made.catalogue)
                request = own.request(again, labels=("car", "bus", "tram"))
                request.name = made.name
                adding.add(made.catalogue, request)
            case _:
                before = labels_of(open_table(made.key, made.row.table_version).schema)
                names = [f"{one.name}{chance.randrange(2) or ''}" for one in before.labels]
                labels = with_labels(pa.schema([]), label_schema(names)).metadata
                texts = {name.decode(): text.decode() for name, text in labels.items()}
                version = change(
                    made.key, made.row.table_version, np.zeros(0, np.int64), [], texts, {"framehouse.job": "rename"}
                )
                with made.catalogue.session() as session:
                    session.execute(update(DatasetRow).values(table_version=version))
    last = made.row.table_version
    old, new = open_table(made.key, first).to_table(), open_table(made.key, last).to_table()
    assert compared(made.key, first, made.key, last) == told(old, new)
    assert compared(made.key, last, made.key, first) == told(new, old)
    assert compared(made.key, last, made.key, last) == told(new, new)
    chance.shuffle(shuffled := new.to_pylist())
    for one in shuffled[:6]:
        one["bbox"] = [[box[0] + 1, *box[1:]] for box in one["bbox"]]
    labels = tuple(one.name for one in labels_of(new.schema).labels)
    key, version = written(shuffled, (*labels, "last"), 7)
    other = open_table(key, version).to_table()
    assert compared(made.key, first, key, version) == told(old, other)
    assert compared(key, version, made.key, last) == told(other, new)
    bucket.remove_prefix(f"{made.key}/")
    bucket.remove_prefix(f"{key}/")
