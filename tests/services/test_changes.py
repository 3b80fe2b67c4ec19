"""Many images changed at once, on real tables in the real store: every change, all or nothing, and none lost."""

import asyncio
import json
import subprocess
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from sqlalchemy import select

from framehouse.annotations.labels import label_schema, with_labels
from framehouse.annotations.schema import DATASET_SCHEMA, State
from framehouse.client import Client
from framehouse.client import errors as client_errors
from framehouse.runtime.errors import Aborted, FailedPrecondition, InvalidArgument, NotFound, ServiceError
from framehouse.store.bucket import Bucket
from framehouse.store.tables import commit, open_table, write_fragments
from framehouse.v1 import annotation_pb2, dataset_pb2, ingest_pb2
from services.ingest import datasets, heads
from services.ingest.catalogue import Catalogue, DatasetRow, ReferenceRow
from services.ingest.changes import change_images
from services.ingest.columns import snapshot
from services.ingest.redistributing import redistribute
from tests.services import catalogues
from tests.services.test_adding import archive, row

NAME = "users/local/datasets/cars"
PACK = "packs/adding"
Framehouse = Callable[..., subprocess.CompletedProcess[str]]


class Dataset:
    """A dataset in a catalogue, its table in the suite's bucket."""

    def __init__(self, catalogue: Catalogue, bucket: Bucket, name: str = NAME) -> None:
        self.catalogue, self.bucket, self.name = catalogue, bucket, name
        self.uid = uuid.uuid4().hex
        self.key = f"tables/{self.uid}.lance"

    def publish(
        self, rows: list[dict[str, Any]], fragment: int = 4, labels: Sequence[str] = ("car", "bus")
    ) -> "Dataset":
        table = pa.Table.from_pylist(rows, DATASET_SCHEMA)
        fragments = [
            one
            for first in range(0, len(rows), fragment)
            for one in write_fragments(self.key, table.slice(first, fragment).combine_chunks(), DATASET_SCHEMA)
        ]
        schema = with_labels(DATASET_SCHEMA, label_schema(labels))
        version = commit(self.key, schema, fragments, {"framehouse.job": self.uid})
        counts = [annotation_pb2.IssueCount(code="A", severity=annotation_pb2.SEVERITY_INFO, count=1)]
        where = dataset_pb2.Table(key=self.key, version=version)
        request = ingest_pb2.PublishDatasetRequest(name=self.name, uid=self.uid, table=where, issues=counts)
        datasets.publish(self.catalogue, request)
        return self

    @property
    def row(self) -> DatasetRow:
        return datasets.find(self.catalogue, self.name)

    def message(self) -> dataset_pb2.Dataset:
        return datasets.message(self.row)

    def image(self, path: str) -> str:
        return f"{self.name}/images/{row(path, None)['id']}"

    def change(self, *paths: str, **request: Any) -> dataset_pb2.ChangeImagesResponse:
        if paths:
            request["images"] = dataset_pb2.ImageNames(names=[self.image(path) for path in paths])
        return change_images(self.catalogue, dataset_pb2.ChangeImagesRequest(parent=self.name, **request))

    def deal(self, **request: Any) -> dataset_pb2.RedistributeSplitsResponse:
        return redistribute(self.catalogue, dataset_pb2.RedistributeSplitsRequest(name=self.name, **request))

    def images(self, *columns: str, version: int | None = None) -> dict[str, Any]:
        """The values of the columns, by path; of one column, its value."""
        table = open_table(self.key, version or self.row.table_version)
        rows = table.to_table(columns=["path", *columns]).to_pylist()
        return {
            one["path"]: tuple(one[name] for name in columns) if len(columns) > 1 else one[columns[0]] for one in rows
        }

    def check(self) -> None:
        """What the catalogue and the memory say of the head is what is in it, and its images' bytes are kept."""
        there = self.row
        kept = snapshot(there.table_key, there.table_version)
        codes, names = kept.strings("split")
        in_memory = [(names[code], state) for code, state in zip(codes, kept.numbers("state"), strict=True)]
        assert in_memory == list(self.images("split", "state").values())
        assert set(names) == set(self.images("split").values())
        head = heads.measure(there.table_key, there.table_version)
        issues = dataset_pb2.Dataset.FromString(there.summary).issues
        assert {name: getattr(there, name) for name in head.values(issues)} == head.values(issues)
        assert len(issues) == 1
        with self.catalogue.session() as session:
            query = select(ReferenceRow.object).filter_by(table_key=self.key, table_version=there.table_version)
            assert head.objects <= set(session.scalars(query))


ROWS = [
    row("a.jpg", "1", 0, 1),
    row("b.jpg", "2", 0, split="val"),
    row("c.jpg", "3"),
    row("d.jpg", "4", split="val", state=int(State.VERIFIED_EMPTY)),
    row("e.jpg", "5", 1),
    row("f.jpg", None, split=""),
]


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    return catalogues.sqlite(tmp_path)


@contextmanager
def six_images(catalogue: Catalogue, bucket: Bucket) -> Iterator[Dataset]:
    """A dataset of `ROWS`, in two fragments."""
    bucket.put(PACK, b"-")
    made = Dataset(catalogue, bucket).publish(ROWS)
    yield made
    bucket.remove_prefix(f"{made.key}/")
    bucket.remove([PACK])


@pytest.fixture
def cars(catalogue: Catalogue, bucket: Bucket) -> Iterator[Dataset]:
    with six_images(catalogue, bucket) as made:
        yield made


def test_images_move_to_a_split_and_nothing_else_changes(cars: Dataset) -> None:
    before, head = cars.message(), cars.row.table_version
    old = open_table(cars.key, head).to_table(with_row_id=True)
    response = cars.change(filter="split = train OR path = f.jpg", move_to_split="valid")
    assert response.changed_count == 4
    assert response.dataset == cars.message()
    assert response.dataset.etag != before.etag
    assert [(one.split, one.image_count) for one in response.dataset.splits] == [("val", 6)]
    assert cars.images("split", "split_name") == {
        one["path"]: ("val", "val" if one["path"] in ("b.jpg", "d.jpg") else "valid") for one in ROWS
    }
    others = [name for name in old.column_names if name not in ("split", "split_name")]
    new = open_table(cars.key, cars.row.table_version).to_table(with_row_id=True)
    assert new.select(others) == old.select(others)
    assert open_table(cars.key, head).to_table(with_row_id=True) == old
    cars.check()

    assert cars.change("a.jpg", move_to_split="").changed_count == 1
    assert cars.images("split", "split_name")["a.jpg"] == ("", "")
    cars.check()


def test_images_are_verified_empty_unless_they_have_annotations(cars: Dataset) -> None:
    before = cars.message()
    with pytest.raises(FailedPrecondition, match=r"'a.jpg' and 2 more have annotations") as failure:
        cars.change(filter="*", set_state=dataset_pb2.IMAGE_STATE_VERIFIED_EMPTY)
    assert failure.value.reason == "IMAGE_ANNOTATED"
    assert cars.message() == before
    asked = "NOT state = annotated"
    assert cars.change(filter=asked, set_state=dataset_pb2.IMAGE_STATE_VERIFIED_EMPTY).changed_count == 2
    assert [cars.images("state")[path] for path in ("a.jpg", "c.jpg", "d.jpg", "f.jpg")] == [1, 2, 2, 2]
    assert cars.change(filter=asked, set_state=dataset_pb2.IMAGE_STATE_UNANNOTATED).changed_count == 3
    assert sorted(cars.images("state").values()) == [0, 0, 0, 1, 1, 1]
    cars.check()


def test_removed_images_stay_in_earlier_versions(cars: Dataset) -> None:
    head = cars.row.table_version
    old = open_table(cars.key, head).to_table()
    response = cars.change("b.jpg", "e.jpg", "f.jpg", remove=True)
    assert (response.changed_count, response.dataset.image_count, response.dataset.annotation_count) == (3, 3, 2)
    assert list(cars.images("split")) == ["a.jpg", "c.jpg", "d.jpg"]
    cars.check()
    assert open_table(cars.key, head).to_table() == old
    with pytest.raises(NotFound):
        cars.change("a.jpg", "b.jpg", remove=True)
    # What is left of a fragment can be changed as before.
    assert cars.change("d.jpg", "c.jpg", move_to_split="test").changed_count == 2
    assert cars.images("split") == {"a.jpg": "train", "c.jpg": "test", "d.jpg": "test"}
    assert cars.change("d.jpg", move_to_split="train").changed_count == 1
    assert cars.images("split", "bytes")["d.jpg"] == ("train", 1)
    cars.check()
    assert cars.change(filter="*", remove=True).dataset.image_count == 0
    cars.check()
    assert cars.change(filter="*", move_to_split="val").changed_count == 0
    assert cars.deal().changed_count == 0
    assert open_table(cars.key, head).to_table() == old


def test_a_name_that_is_not_there_stops_all(cars: Dataset) -> None:
    before = cars.message()
    with pytest.raises(NotFound, match=cars.image("x.jpg")):
        cars.change("a.jpg", "x.jpg", "y.jpg", remove=True)
    assert cars.message() == before
    assert cars.change("c.jpg", "a.jpg", "c.jpg", move_to_split="test", validate_only=True).changed_count == 2


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"move_to_split": "val"}, "selection"),
        ({"filter": " ", "move_to_split": "val"}, "filter"),
        ({"filter": "split = ", "move_to_split": "val"}, "filter"),
        ({"images": {}, "remove": True}, "images.names"),
        ({"images": {"names": [f"{NAME}/images/{'0' * 32}"] * 100_001}, "remove": True}, "images.names"),
        ({"images": {"names": [f"users/local/datasets/bus/images/{'0' * 32}"]}, "remove": True}, "images.names[0]"),
        ({"filter": "*"}, "change"),
        ({"filter": "*", "remove": False}, "remove"),
        ({"filter": "*", "set_state": dataset_pb2.IMAGE_STATE_ANNOTATED}, "set_state"),
        ({"filter": "*", "move_to_split": "../x"}, "move_to_split"),
        ({"filter": "*", "move_to_split": "x" * 65}, "move_to_split"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_request_that_is_wrong_is_refused_with_its_field(cars: Dataset, wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidArgument) as failure:
        cars.change(**wrong)
    assert fields(failure.value) == [field]


def fields(error: ServiceError) -> list[str]:
    return [one.field for detail in error.details for one in getattr(detail, "field_violations", ())]


def test_a_stale_etag_is_refused_and_asking_changes_nothing(cars: Dataset) -> None:
    before = cars.message()
    asked = cars.change(filter="split = val", remove=True, etag=before.etag, validate_only=True)
    assert (asked.changed_count, asked.dataset) == (2, before)
    assert cars.change(filter="split = train", move_to_split="train", etag=before.etag).dataset == before
    assert cars.deal(validate_only=True, etag=before.etag).changed_count > 0
    assert open_table(cars.key).version == cars.row.table_version == 1
    cars.change(filter="split = val", move_to_split="test", etag=before.etag)
    for stale in (lambda: cars.change(filter="*", remove=True, etag=before.etag), lambda: cars.deal(etag=before.etag)):
        with pytest.raises(Aborted) as failure:
            stale()
        assert failure.value.reason == "ETAG_STALE"


def test_changes_of_two_datasets_at_once_do_not_mind_each_other(cars: Dataset, bucket: Bucket) -> None:
    other = Dataset(cars.catalogue, bucket, "users/local/datasets/bus").publish(ROWS)
    service = datasets.DatasetService(cars.catalogue)

    async def both() -> list[Any]:
        calls = [
            service.ChangeImages(dataset_pb2.ChangeImagesRequest(parent=one.name, filter="*", move_to_split=split))
            for split in ("x", "y", "z")
            for one in (cars, other)
        ]
        return await asyncio.gather(*calls)

    assert [one.changed_count for one in asyncio.run(both())] == [6] * 6
    for one in (cars, other):
        assert set(one.images("split").values()) == {"z"}
        one.check()
    bucket.remove_prefix(f"{other.key}/")


def test_of_changes_at_the_same_time_none_is_lost(each_catalogue: Catalogue, bucket: Bucket) -> None:
    writers, changes = 8, 4
    bucket.put(PACK, b"-")
    paths = [f"{number:03}.jpg" for number in range(writers * changes)]
    many = Dataset(each_catalogue, bucket).publish([row(path, path) for path in paths], fragment=16)

    def write(writer: int) -> list[tuple[str, str]]:
        done = []
        for number, path in enumerate(paths[writer::writers]):
            split = "" if number % 4 == 3 else f"split-{number % 3}"
            try:
                response = many.change(path, remove=True) if not split else many.change(path, move_to_split=split)
            except Aborted:
                split = "train"
            else:
                assert response.changed_count == 1
            done.append((path, split))
        return done

    with ThreadPoolExecutor(writers) as threads:
        done = dict(pair for pairs in threads.map(write, range(writers)) for pair in pairs)
    assert many.images("split") == {path: split for path, split in done.items() if split}
    visible = sum(split != "train" for split in done.values())
    assert many.row.revision == 1 + visible
    assert visible > len(paths) / 2, "most are to be answered with success"
    many.check()
    bucket.remove_prefix(f"{many.key}/")
    bucket.remove([PACK])


# --- splits dealt anew


def test_the_same_seed_deals_the_same_and_copies_stay_together(cars: Dataset, bucket: Bucket) -> None:
    rows = [row(f"{n % 7}/{n}.jpg", str(n // 2 if n < 40 else n), n % 2, split="") for n in range(200)]
    many = Dataset(cars.catalogue, bucket, "users/local/datasets/many").publish(rows, fragment=64)
    shares = [dataset_pb2.SplitShare(split=split, share=share) for split, share in (("valid", 0.3), ("train", 0.7))]
    asked = many.deal(shares=shares, seed=3, validate_only=True)
    assert [(one.split, one.image_count) for one in asked.splits] == [("train", 140), ("val", 60)]
    assert (asked.changed_count, asked.HasField("dataset")) == (200, False)
    done = many.deal(shares=shares, seed=3)
    assert (list(done.splits), done.changed_count) == (list(asked.splits), 200)
    assert done.dataset == many.message()
    first = many.images("split", "split_name")
    assert Counter(first.values()) == {("train", "train"): 140, ("val", "valid"): 60}
    by_content = {(hash, first[path]) for path, hash in many.images("hash").items()}
    assert len(by_content) == len(set(many.images("hash").values()))
    many.check()

    assert many.deal(shares=shares, seed=3).changed_count == 0
    many.deal(shares=shares, seed=4)
    assert many.images("split", "split_name") != first
    many.deal(shares=shares, seed=3)
    assert many.images("split", "split_name") == first
    bucket.remove_prefix(f"{many.key}/")


def test_folders_are_dealt_whole_and_classes_evenly(cars: Dataset, bucket: Bucket) -> None:
    rows = [row(f"{n // 10}/{n}.jpg", str(n), *([n % 2] if n % 5 else [])) for n in range(400)]
    many = Dataset(cars.catalogue, bucket, "users/local/datasets/many").publish(rows, fragment=128)
    many.deal(group=dataset_pb2.SPLIT_GROUP_FOLDER, seed=1)
    placed = {(path.partition("/")[0], split) for path, split in many.images("split").items()}
    assert len(placed) == 40
    assert Counter(split for _, split in placed) == {"train": 32, "val": 8}
    done = many.deal(stratify=True, seed=1)
    assert [one.image_count for one in done.splits] == [320, 80]
    labels = many.images("label", "split")
    counts = Counter((tuple(label), split) for label, split in labels.values())
    assert {key: count for key, count in counts.items() if key[1] == "val"} == {
        ((0,), "val"): 32, ((1,), "val"): 32, ((), "val"): 16
    }  # fmt: skip
    many.check()
    bucket.remove_prefix(f"{many.key}/")


@pytest.mark.parametrize(
    ("shares", "field"),
    [
        ([("train", 0.8), ("val", 0.1)], "shares"),
        ([("train", 1.2), ("val", -0.2)], "shares[0].share"),
        ([("train", 1), ("val", 0)], "shares[1].share"),
        ([("train", float("nan"))], "shares[0].share"),
        ([("val", 0.5), ("valid", 0.5)], "shares[1].split"),
        ([("", 1)], "shares[0].split"),
        ([("a/b", 1)], "shares[0].split"),
    ],
)
def test_shares_that_cannot_be_are_refused(cars: Dataset, shares: list[tuple[str, float]], field: str) -> None:
    with pytest.raises(InvalidArgument) as failure:
        cars.deal(shares=[dataset_pb2.SplitShare(split=split, share=share) for split, share in shares])
    assert fields(failure.value) == [field]


# --- through the suite


def test_the_command_changes_what_the_statistics_count(
    client: Client, framehouse: Framehouse, tmp_path: Path, unique_name: str
) -> None:
    images = {name: seed for seed, name in enumerate("abcdefghij")}
    client.import_dataset(archive(tmp_path / "1.zip", images, {"a": "0 .5 .5 .5 .5\n"}), unique_name)
    assert {one.split for one in client.statistics(unique_name).splits} == {"train"}

    shown = framehouse("splits", unique_name, "--redistribute", "80/20", "--dry-run", "--json")
    asked = json.loads(shown.stdout)
    assert (asked["changedCount"], asked["dryRun"]) == (2, True)
    assert [(one["split"], one["imageCount"]) for one in asked["splits"]] == [("train", 8), ("val", 2)]
    assert client.redistribute_splits(unique_name).changed_count == 2
    moved = framehouse("change", unique_name, "a.jpg", "b.jpg", "--split", "test", "--json")
    assert json.loads(moved.stdout)["dataset"]["splits"][-1] == {"split": "test", "imageCount": 2}
    refused = framehouse("change", unique_name, "--filter", "split = val", "--remove")
    assert (refused.returncode, "--yes" in refused.stderr) == (1, True)
    done = client.change_images(unique_name, "NOT state = annotated AND split = test", remove=True)
    assert (done.changed_count, done.dataset.image_count) == (1, 9)

    statistics = client.statistics(unique_name)
    assert statistics.image_count == 9
    assert {one.split: one.image_count for one in statistics.splits} == {
        one.split: one.image_count for one in done.dataset.splits
    }
    with pytest.raises(client_errors.NotFound, match=r"has no image 'b.jpg'"):
        client.change_images(unique_name, images=["a.jpg", "b.jpg"], remove=True)
    with pytest.raises(client_errors.Aborted):
        client.redistribute_splits(unique_name, {"train": 1}, etag='"0"')
    client.delete_dataset(unique_name)
