"""Adding to a dataset: what becomes of every image, on real tables in the real store."""

import json
import subprocess
import uuid
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pyarrow as pa
import pytest
import xxhash

from framehouse.annotations.labels import label_schema, labels_of, with_labels
from framehouse.annotations.schema import ANNOTATION_COLUMNS, DATASET_SCHEMA, Kind, State
from framehouse.client import Client
from framehouse.client.errors import AlreadyExists
from framehouse.runtime.errors import FailedPrecondition, NotFound
from framehouse.store.bucket import Bucket
from framehouse.store.tables import change, commit, open_table, write_fragments
from framehouse.v1 import annotation_pb2, dataset_pb2, ingest_pb2
from services.ingest import adding, datasets, trash
from services.ingest.catalogue import Catalogue, ImportRow
from services.ingest.heads import in_use

if TYPE_CHECKING:
    import lance

REPLACE, KEEP, RENAME, MERGE, FAIL = (
    ingest_pb2.ADD_POLICY_REPLACE,
    ingest_pb2.ADD_POLICY_KEEP,
    ingest_pb2.ADD_POLICY_RENAME,
    ingest_pb2.ADD_POLICY_MERGE,
    ingest_pb2.ADD_POLICY_FAIL,
)
NAME = "users/local/datasets/cars"
Framehouse = Callable[..., subprocess.CompletedProcess[str]]


def row(path: str, data: str | None, *labels: int, x: float = 0, split: str = "train", **more: Any) -> dict[str, Any]:
    """An image with these bytes, and a box of each label."""
    boxes = {
        "annotation_id": list(range(1, len(labels) + 1)),
        "kind": [int(Kind.BOX)] * len(labels),
        "label": list(labels),
        "bbox": [[x, 0.0, 10.0, 10.0]] * len(labels),
        "flags": [0] * len(labels),
    }
    place = {"object": "packs/adding", "offset": 0, "stored_size": 1, "size": 1, "method": 0, "crc32": 0}
    return {
        **{name: [None] * len(labels) for name in ANNOTATION_COLUMNS},
        **boxes,
        "id": xxhash.xxh3_128_hexdigest(path.encode()),
        "path": path,
        "split": split,
        "split_name": split,
        "hash": data and xxhash.xxh3_128_hexdigest(data.encode()),
        "bytes": data and len(data),
        "original": data and place,
        "state": int(State.ANNOTATED if labels else State.UNANNOTATED),
        **more,
    }


class Datasets:
    """A catalogue of its own, and tables in the suite's bucket."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.keys: list[str] = []

    def table(self, rows: list[dict[str, Any]], labels: tuple[str, ...]) -> dataset_pb2.Table:
        """A committed table, in fragments of two rows."""
        key = f"tables/{uuid.uuid4().hex}.lance"
        self.keys.append(key)
        table = pa.Table.from_pylist(rows, DATASET_SCHEMA)
        fragments = [
            one
            for first in range(0, len(rows), 2)
            for one in write_fragments(key, table.slice(first, 2).combine_chunks(), DATASET_SCHEMA)
        ]
        version = commit(key, with_labels(DATASET_SCHEMA, label_schema(labels)), fragments, {"framehouse.job": key})
        return dataset_pb2.Table(key=key, version=version, image_count=len(rows), annotation_count=1)

    def make(self, rows: list[dict[str, Any]], labels: tuple[str, ...] = ("car", "bus")) -> dataset_pb2.Dataset:
        """A dataset of its first import."""
        table = self.table(rows, labels)
        counts = [annotation_pb2.IssueCount(code="A", severity=annotation_pb2.SEVERITY_INFO, count=1)]
        uid = table.key.removeprefix("tables/").removesuffix(".lance")
        request = ingest_pb2.PublishDatasetRequest(name=NAME, uid=uid, table=table, issues=counts)
        return datasets.publish(self.catalogue, request)

    def request(
        self,
        rows: list[dict[str, Any]],
        policy: "ingest_pb2.AddPolicy" = REPLACE,
        labels: tuple[str, ...] = ("car", "bus"),
    ) -> ingest_pb2.AddToDatasetRequest:
        """What an import would ask for."""
        counts = [annotation_pb2.IssueCount(code="A", severity=annotation_pb2.SEVERITY_INFO, count=2)]
        return ingest_pb2.AddToDatasetRequest(
            name=NAME, table=self.table(rows, labels), policy=policy, job=uuid.uuid4().hex, issues=counts
        )

    def add(self, *arguments: Any, **named: Any) -> ingest_pb2.AddToDatasetResponse:
        return adding.add(self.catalogue, self.request(*arguments, **named))

    def head(self) -> "lance.LanceDataset":
        """The table as it can be seen."""
        found = datasets.find(self.catalogue, NAME)
        return open_table(found.table_key, found.table_version)

    def images(self, *columns: str) -> dict[str, Any]:
        """The values of the columns, by path, in the order of the table."""
        rows = self.head().to_table(columns=["path", *columns]).to_pylist()
        return {one["path"]: tuple(one[name] for name in columns) for one in rows}


@pytest.fixture
def own(bucket: Bucket, tmp_path: Path) -> Iterator[Datasets]:
    catalogue = Catalogue(f"sqlite:///{tmp_path}/catalogue.db")
    catalogue.migrate()
    packs = ("packs/adding", "packs/adding-2")
    for key in packs:
        bucket.put(key, b"-")
    made = Datasets(catalogue)
    yield made
    bucket.remove(packs)
    for key in made.keys:
        bucket.remove_prefix(f"{key}/")


def counts(summary: ingest_pb2.AddSummary) -> dict[str, int]:
    return {
        field.name.removesuffix("_count"): value
        for field, value in summary.ListFields()
        if field.name.endswith("_count")
    }


BASE = [
    row("same.jpg", "1", 0, 1),
    row("bytes.jpg", "2", 0),
    row("boxes.jpg", "3", 0, 0),
    row("bare.jpg", "4", split="val", image_attributes='{"a":1}'),
    row("other.jpg", "5", 1),
]
INCOMING = [
    row("new.jpg", "9", 0),
    row("boxes.jpg", "3", 0, 1, split=""),
    row("bare.jpg", "4", 1, split=""),
    row("other.jpg", "5"),
    row("same.jpg", "1", 1, 0, split="test"),
    row("bytes.jpg", "other", 0),
]


def test_merging_gives_images_the_annotations_that_they_lack(own: Datasets) -> None:
    own.make(BASE)
    response = own.add([one for one in INCOMING if one["path"] != "bytes.jpg"], MERGE, labels=("bus", "car"))
    assert counts(response.summary) == {"added": 1, "unchanged": 2, "annotated": 1, "merged": 1}
    images = own.images("label", "annotation_id", "split", "hash", "state")
    # Of two boxes, one of each class, the one of a car was there; the other one's id was taken.
    assert images["boxes.jpg"] == ([0, 0, 1], [1, 2, 3], "train", BASE[2]["hash"], int(State.ANNOTATED))
    assert (len(images), datasets.find(own.catalogue, NAME).annotation_count) == (6, 9)


def test_merging_fails_where_the_bytes_differ(own: Datasets) -> None:
    before = own.make(BASE)
    with pytest.raises(FailedPrecondition, match=r"bytes\.jpg"):
        own.add(INCOMING, MERGE)
    assert datasets.message(datasets.find(own.catalogue, NAME)).etag == before.etag


@pytest.mark.parametrize(
    ("policy", "done"),
    [(REPLACE, {"replaced": 2}), (KEEP, {"kept": 2}), (RENAME, {"renamed": 2})],
    ids=["replace", "keep", "rename"],
)
def test_every_policy_does_what_it_says(own: Datasets, policy: "ingest_pb2.AddPolicy", done: dict[str, int]) -> None:
    before = own.make(BASE)
    response = own.add(INCOMING, policy)
    assert counts(response.summary) == {"added": 1, "unchanged": 2, "annotated": 1, **done}
    images = own.images("hash", "label", "split")

    def brought(path: str, split: str = "train") -> tuple[Any, ...]:
        found = next(one for one in INCOMING if one["path"] == path)
        return found["hash"], found["label"], split

    kept = {one["path"]: (one["hash"], one["label"], one["split"]) for one in BASE}
    new = {"bare.jpg": brought("bare.jpg", "val"), "new.jpg": brought("new.jpg")}
    if policy == REPLACE:
        new |= {name: brought(name) for name in ("boxes.jpg", "bytes.jpg")}
        order = ["same.jpg", "other.jpg", "new.jpg", "boxes.jpg", "bare.jpg", "bytes.jpg"]
    elif policy == KEEP:
        order = ["same.jpg", "bytes.jpg", "boxes.jpg", "other.jpg", "new.jpg", "bare.jpg"]
    else:
        new |= {f"{name} (2).jpg": brought(f"{name}.jpg") for name in ("boxes", "bytes")}
        order = ["same.jpg", "bytes.jpg", "boxes.jpg", "other.jpg", "new.jpg", "boxes (2).jpg", "bare.jpg"]
        order.append("bytes (2).jpg")
    assert images == kept | new
    assert list(images) == order
    ids = own.head().to_table(columns=["id"])["id"].to_pylist()
    assert ids == [xxhash.xxh3_128_hexdigest(path.encode()) for path in order]
    assert own.images("image_attributes")["bare.jpg"] == ('{"a":1}',)

    after = response.dataset
    assert (after.image_count, after.annotation_count) == (len(order), sum(len(one[1]) for one in images.values()))
    assert {one.split: one.image_count for one in after.splits} == {"train": len(order) - 1, "val": 1}
    assert after.image_bytes == sum(one[0] or 0 for one in own.images("bytes").values())
    assert [(one.code, one.count) for one in after.issues] == [("A", 3)]
    assert after.etag != before.etag
    assert after.create_time == before.create_time
    assert response.table.version == own.head().version


def test_fail_names_the_first_conflict_and_changes_nothing(own: Datasets, bucket: Bucket) -> None:
    before = own.make(BASE)
    key = own.keys[0]
    objects = set(bucket.keys(f"{key}/"))
    with pytest.raises(FailedPrecondition, match=r"'boxes.jpg' and 1 more are in the dataset") as failure:
        own.add(INCOMING, FAIL)
    assert failure.value.reason == "ADD_CONFLICT"
    assert datasets.message(datasets.find(own.catalogue, NAME)) == before
    assert set(bucket.keys(f"{key}/")) == objects
    assert counts(own.add([one for one in INCOMING if one["path"][0] != "b"], FAIL).summary) == {
        "added": 1,
        "unchanged": 2,
    }


def test_the_same_once_more_changes_nothing(own: Datasets) -> None:
    before = own.make(BASE)
    request = own.request(BASE)
    del request.issues[:]
    response = adding.add(own.catalogue, request)
    assert counts(response.summary) == {"unchanged": 5}
    assert response.dataset == before


def test_classes_in_another_order_are_the_same_classes(own: Datasets) -> None:
    own.make(BASE)
    response = own.add([row("same.jpg", "1", 2, 0), row("new.jpg", "9", 1, 2, 0)], FAIL, ("bus", "tram", "car"))
    assert counts(response.summary) == {"added": 1, "unchanged": 1}
    assert list(response.summary.added_labels) == ["tram"]
    assert [label.name for label in labels_of(own.head().schema).labels] == ["car", "bus", "tram"]
    assert response.dataset.labels == labels_of(own.head().schema)
    assert own.images("label")["new.jpg"] == ([2, 0, 1],)
    assert own.images("label")["same.jpg"] == ([0, 1],)


def test_what_an_image_lacks_is_taken_from_the_other_side(own: Datasets) -> None:
    empty = int(State.VERIFIED_EMPTY)
    own.make([row("labels.jpg", None, 0), row("both.jpg", "1", 0), row("open.jpg", "2"), row("empty.jpg", "3")])
    response = own.add(
        [
            row(
                "labels.jpg", "9", original={"object": "packs/adding-2", "offset": 5}
            ),  # bytes of what had labels alone
            row("both.jpg", None, 0),  # labels alone, the same
            row("open.jpg", None, 1),  # labels alone, the first
            row("empty.jpg", "3", state=empty),
        ],
        FAIL,
    )
    assert counts(response.summary) == {"unchanged": 1, "annotated": 3}
    images = own.images("hash", "label", "state")
    assert images["labels.jpg"] == (xxhash.xxh3_128_hexdigest(b"9"), [0], int(State.ANNOTATED))
    assert images["open.jpg"] == (xxhash.xxh3_128_hexdigest(b"2"), [1], int(State.ANNOTATED))
    assert images["empty.jpg"][2] == empty
    assert own.images("original")["labels.jpg"][0]["object"] == "packs/adding-2"
    # Labels alone never cost an image its bytes.
    assert counts(own.add([row("open.jpg", None, 0)], REPLACE).summary) == {"replaced": 1}
    assert own.images("hash", "label")["open.jpg"] == (xxhash.xxh3_128_hexdigest(b"2"), [0])


def test_a_name_is_the_first_that_is_free_on_both_sides(own: Datasets) -> None:
    own.make([row("a.jpg", "1", 0), row("a (2).jpg", "2", 0), row("x.y/b", "3", 0)])
    incoming = [row("a.jpg", "8", 0), row("a (3).jpg", "7", 0), row("x.y/b", "9", 0)]
    assert counts(own.add(incoming, RENAME).summary) == {"added": 1, "renamed": 2}
    assert list(own.images()) == ["a.jpg", "a (2).jpg", "x.y/b", "a (4).jpg", "a (3).jpg", "x.y/b (2)"]


def test_a_second_call_with_the_same_job_answers_from_the_first(own: Datasets, bucket: Bucket) -> None:
    own.make(BASE)
    request = own.request(INCOMING)
    first = adding.add(own.catalogue, request)
    bucket.remove_prefix(f"{request.table.key}/")
    assert adding.add(own.catalogue, request) == first
    with own.catalogue.session() as session:
        assert in_use(session, f"derived/{request.job}/")
        assert not in_use(session, f"tables/{request.job}.lance/")
        assert in_use(session, f"tables/{first.dataset.uid}.lance/")


def test_a_version_that_never_became_visible_is_passed_over(own: Datasets) -> None:
    own.make(BASE)
    head = own.head()
    key = own.keys[0]
    stray = write_fragments(key, pa.Table.from_pylist([row("stray.jpg", "s", 0)], DATASET_SCHEMA), DATASET_SCHEMA)
    change(key, head.version, np.array([0]), stray, {"framehouse.labels": "{}"}, {})
    assert counts(own.add(INCOMING).summary)["replaced"] == 2
    images = own.images("label")
    assert set(images) == {one["path"] for one in INCOMING}
    assert images["same.jpg"] == ([0, 1],)
    assert len(labels_of(own.head().schema).labels) == 2


def test_an_old_version_reads_as_before(own: Datasets) -> None:
    own.make(BASE, labels=("car", "bus"))
    old = own.head()
    rows, labels = old.to_table(), labels_of(old.schema)
    own.add(INCOMING, REPLACE, ("bus", "van"))
    own.add([row("more.jpg", "m", 0)])
    again = open_table(own.keys[0], old.version)
    assert again.to_table() == rows
    assert labels_of(again.schema) == labels
    assert own.head().count_rows() == 7


def test_adds_at_the_same_time_all_land(own: Datasets) -> None:
    own.make(BASE)
    requests = [
        own.request([row(f"{number}.jpg", str(number), 0), row("shared.jpg", str(number), 0)], KEEP)
        for number in range(3)
    ]
    with ThreadPoolExecutor(3) as threads:
        responses = list(threads.map(lambda request: adding.add(own.catalogue, request), requests))
    assert sorted(one.summary.added_count for one in responses) == [1, 1, 2]
    assert set(own.images()) == {one["path"] for one in BASE} | {"0.jpg", "1.jpg", "2.jpg", "shared.jpg"}
    assert own.head().count_rows() == 9


def test_a_purged_dataset_takes_its_imports_along(own: Datasets, bucket: Bucket) -> None:
    made = own.make(BASE)
    request = own.request(INCOMING)
    adding.add(own.catalogue, request)
    for job in (made.uid, request.job):
        bucket.put(f"imports/{job}/issues", b"-")
    trash.discard(own.catalogue, dataset_pb2.DeleteDatasetRequest(name=NAME))
    trash.purge(own.catalogue, dataset_pb2.PurgeDatasetRequest(parent="users/local", uid=made.uid))
    with own.catalogue.session() as session:
        assert session.get(ImportRow, request.job) is None
    assert [key for job in (made.uid, request.job) for key in bucket.keys(f"imports/{job}/")] == []
    with pytest.raises(NotFound):
        adding.add(own.catalogue, request)


# --- the whole job


def archive(path: Path, images: dict[str, int], labels: dict[str, str], classes: str = "[car]") -> Path:
    """Images of a seed each, and label files, in the layout of ultralytics-detect."""
    with zipfile.ZipFile(path, "w") as target:
        target.writestr("data.yaml", f"train: images/train\nnames: {classes}\n")
        for name, seed in images.items():
            pixels = np.random.default_rng(seed).integers(0, 256, (32, 40, 3), np.uint8)
            target.writestr(f"images/train/{name}.jpg", cv2.imencode(".jpg", pixels)[1].tobytes())
        for name, text in labels.items():
            target.writestr(f"labels/train/{name}.txt", text)
    return path


def test_an_import_adds_to_a_dataset_and_says_what_it_did(
    client: Client, framehouse: Framehouse, bucket: Bucket, tmp_path: Path, unique_name: str
) -> None:
    box = "0 .5 .5 .5 .5\n"
    first = archive(tmp_path / "1.zip", {"a": 1, "b": 2, "c": 3}, {"a": box, "b": box})
    made = client.import_dataset(first, unique_name, add="fail")
    assert not made.HasField("added")
    assert made.job == f"jobs/{made.dataset.uid}"
    with pytest.raises(AlreadyExists) as taken:
        client.import_dataset(first, unique_name)
    assert "--add" in taken.value.remedy

    second = archive(
        tmp_path / "2.zip", {"a": 1, "b": 20, "c": 3, "d": 4}, {"a": "1 .5 .5 .5 .5\n", "c": "0 .5 .5 .2 .2\n"},
        "[van, car]",
    )  # fmt: skip
    refused = framehouse("import", str(second), "--name", unique_name, "--add", "fail")
    assert refused.returncode == 1
    assert "'b.jpg' is in the dataset" in refused.stderr
    assert "see `framehouse issues jobs/" in refused.stderr
    assert client.get_dataset(unique_name) == made.dataset

    done = framehouse("import", str(second), "--name", unique_name, "--add", "replace", "--json", "--max-side", "0")
    result = json.loads(done.stdout)
    job = result["job"].removeprefix("jobs/")
    assert (result["added"]["addedCount"], result["added"]["unchangedCount"]) == (1, 1)
    assert (result["added"]["annotatedCount"], result["added"]["replacedCount"]) == (1, 1)
    assert result["added"]["addedLabels"] == ["van"]
    statistics = client.statistics(unique_name)
    assert {one.label: one.annotation_count for one in statistics.classes} == {"car": 1, "van": 1}
    assert (statistics.image_count, statistics.table_version > 1) == (4, True)
    # What was only between goes, the previews stay.
    left = {prefix: len(list(bucket.keys(f"{prefix}{job}"))) for prefix in ("jobs/", "tables/", "derived/")}
    assert left == {"jobs/": 0, "tables/": 0, "derived/": 1}
