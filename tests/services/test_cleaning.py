"""Old versions of datasets' tables go, on a real store and real databases, and nothing else does."""

import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from lance.dataset import DatasetOptimizer
from sqlalchemy import select, update

from framehouse.runtime.errors import Aborted, InvalidArgument
from framehouse.store import tables
from framehouse.store.bucket import Bucket
from framehouse.store.tables import open_table
from framehouse.v1 import dataset_pb2
from services.ingest import changes, cleaning, collecting, compacting, listing, restoring, versions
from services.ingest.annotating import update_annotations
from services.ingest.catalogue import Catalogue, DatasetRow, ReferenceRow, SupersededRow, TableBaseRow, now
from services.ingest.columns import snapshot
from services.ingest.edits import Edit
from services.ingest.removals import forget
from services.ingest.restoring import restore_images
from tests.services import catalogues
from tests.services.test_adding import row
from tests.services.test_changes import NAME, PACK, ROWS, Dataset
from tests.services.test_datasets import Own, own_datasets

OTHER = f"packs/{uuid.uuid4().hex}"


@pytest.fixture
def own(tmp_path: Path, bucket: Bucket) -> Iterator[Own]:
    with own_datasets(catalogues.sqlite(tmp_path), bucket) as made:
        yield made


@pytest.fixture
def anywhere(each_catalogue: Catalogue, bucket: Bucket) -> Iterator[Own]:
    """The same, on each database."""
    with own_datasets(each_catalogue, bucket) as made:
        yield made


def late() -> datetime:
    """A time before which all was that is now."""
    return now() + timedelta(minutes=1)


def clean(own: Own, before: datetime | None = None) -> int:
    """The number of versions that went."""
    removed, _ = cleaning.clean(own.catalogue, before or late())
    snapshot.cache_clear()
    return removed


def kept(dataset: Dataset) -> list[int]:
    """The versions that its table has."""
    return [one["version"] for one in open_table(dataset.key).versions()]


def size(dataset: Dataset) -> int:
    """Bytes of its table in the store."""
    return sum(dataset.bucket.size(key) or 0 for key in dataset.bucket.keys(f"{dataset.key}/"))


def move(dataset: Dataset, *splits: str) -> None:
    """Moves the first image to one split after the other: a version each."""
    for split in splits:
        dataset.change("a.jpg", move_to_split=split)


def number(dataset: Dataset) -> int:
    """A version that a user makes; answers with that of the table."""
    request = dataset_pb2.CreateVersionRequest(parent=dataset.name)
    made, _ = versions.create(dataset.catalogue, request)
    return made.table_version


def rows(dataset: Dataset, version: int | None = None) -> list[dict[str, Any]]:
    table = open_table(dataset.key, version or dataset.row.table_version)
    return table.to_table(with_row_id=True).to_pylist()  # type: ignore[no-any-return]


def page(dataset: Dataset, token: str = "") -> dataset_pb2.ListImagesResponse:
    request = dataset_pb2.ListImagesRequest(parent=dataset.name, page_size=2, page_token=token)
    return listing.list_images(dataset.catalogue, request)


def test_the_head_and_the_versions_that_users_made_stay_and_all_others_go(anywhere: Own) -> None:
    cars = anywhere.make()
    move(cars, "one", "two")
    first = number(cars)
    move(cars, "three", "four")
    second = number(cars)
    move(cars, "five", "six")
    anywhere.bucket.put(f"statistics/{cars.uid}/2.pb", b"-")
    before = {version: rows(cars, version) for version in (first, second, cars.row.table_version)}
    full = size(cars)
    assert clean(anywhere) == len(range(1, 8)) - 3
    assert kept(cars) == list(before)
    assert {version: rows(cars, version) for version in before} == before
    assert size(cars) < full * 0.75
    assert list(anywhere.bucket.keys(f"statistics/{cars.uid}/")) == []
    move(cars, "seven")
    cars.check()
    versions.restore(anywhere.catalogue, dataset_pb2.RestoreVersionRequest(name=f"{NAME}/versions/1"))
    assert cars.images("split") == {one["path"]: one["split"] for one in before[first]}
    assert clean(anywhere) == 2
    assert (clean(anywhere), kept(cars)) == (0, [first, second, cars.row.table_version])


def test_what_was_the_head_a_short_time_ago_stays(own: Own) -> None:
    cars = own.make()
    token = page(cars).next_page_token
    # A version that never became the head lies between the two.
    with pytest.raises(RuntimeError, match="died"):
        _die_before_the_head_moves(cars)
    time.sleep(0.1)
    began = now()
    move(cars, "one", "two")
    clean(own, began)
    assert page(cars, token).images
    assert clean(own) >= 2
    with pytest.raises(InvalidArgument, match="is gone; start again"):
        page(cars, token)
    with own.catalogue.session() as session:
        assert not session.scalars(select(SupersededRow)).all()


def _die_before_the_head_moves(cars: Dataset) -> None:
    with pytest.MonkeyPatch.context() as patch:

        def die(*_: object) -> None:
            raise RuntimeError("died")

        patch.setattr("services.ingest.edits.follow", die)
        cars.change(filter="*", move_to_split="never")


def test_removed_images_come_back_after_a_cleaning_until_they_are_forgotten(own: Own) -> None:
    cars = own.make()
    move(cars, "one")
    images = rows(cars)
    cars.change("b.jpg", "d.jpg", remove=True)
    move(cars, "two", "three", "one")
    assert clean(own) > 0
    request = dataset_pb2.RestoreImagesRequest(parent=NAME, filter="*")
    assert restore_images(own.catalogue, request).changed_count == 2
    cars.check()
    assert sorted(one["path"] for one in rows(cars)) == sorted(one["path"] for one in images)
    clean(own)
    assert len(kept(cars)) == 3
    assert forget(own.catalogue, late()) == 1
    assert clean(own) == 2
    assert len(kept(cars)) == 1
    cars.check()


def test_a_clone_reads_the_files_of_its_base_whatever_becomes_of_that(anywhere: Own) -> None:
    cars = anywhere.make()
    move(cars, "one")
    cars.change("d.jpg", remove=True)
    clone = anywhere.clone()
    clone.change("c.jpg", move_to_split="mine")
    second = anywhere.clone(clone.name, "second")
    before = rows(clone), rows(second)
    move(cars, "two", "three")
    for split in ("other", "mine"):
        clone.change("c.jpg", move_to_split=split)
    forget(anywhere.catalogue, late())
    full = size(cars)
    assert clean(anywhere) > 0
    assert size(cars) < full
    assert (rows(clone), rows(second)) == before
    anywhere.purge(anywhere.discard().uid)
    anywhere.purge(anywhere.discard(clone.name).uid)
    clean(anywhere)
    assert rows(second) == before[1]
    second.check()
    anywhere.purge(anywhere.discard(second.name).uid)
    assert not [one for key in (cars.key, clone.key, second.key) for one in anywhere.bucket.keys(f"{key}/")]


def test_a_base_whose_clone_does_not_say_what_it_reads_is_not_cleaned(own: Own) -> None:
    cars = own.make()
    clone = own.clone()
    with own.catalogue.session() as session:
        session.execute(update(TableBaseRow).values(base_version=None))
    move(cars, "one", "two")
    move(clone, "one", "two")
    assert clean(own) == 2
    assert (len(kept(cars)), len(kept(clone))) == (3, 1)
    clone.check()


def test_a_cleaning_that_was_cut_short_is_ended_by_the_next(own: Own) -> None:
    cars = own.make()
    move(cars, "one", "two", "three")
    # What a kill leaves: files are gone, and the version that had them is listed yet.
    (old,) = {file.path for one in open_table(cars.key, 2).get_fragments() for file in one.metadata.files} - {
        file.path
        for version in (1, 3, 4)
        for one in open_table(cars.key, version).get_fragments()
        for file in one.metadata.files
    }
    own.bucket.remove([f"{cars.key}/data/{old}"])
    assert clean(own) == 3
    assert kept(cars) == [4]
    cars.check()


def test_cleaning_beside_many_writers_loses_nothing(own: Own) -> None:
    cars = own.make()
    move(cars, *"123456789")
    began = now()
    done = threading.Event()

    def write(path: str) -> None:
        for split in ("one", path):
            while True:
                with suppress(Aborted):
                    cars.change(path, move_to_split=split)
                    break

    def keep_cleaning() -> int:
        removed = 0
        while not done.is_set():
            removed += clean(own, began)
        return removed

    with ThreadPoolExecutor(5) as pool:
        cleaned = pool.submit(keep_cleaning)
        writers = [pool.submit(write, one["path"]) for one in ROWS[:4]]
        wait(writers)
        done.set()
        assert cleaned.result() >= 9
    cars.check()
    assert cars.images("split") == {one["path"]: one["path"] for one in ROWS[:4]}
    clean(own)
    assert kept(cars) == [cars.row.table_version]
    cars.check()


def test_many_small_parts_are_put_together_and_nothing_else_changes(own: Own, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compacting, "SMALL", 4)
    cars = Dataset(own.catalogue, own.bucket).publish([row(f"{place}.jpg", str(place), 0) for place in range(10)], 2)
    with pytest.raises(RuntimeError, match="died"):
        _die_before_the_head_moves(cars)
    assert not compacting.compact(own.catalogue, cars.key), "what may never be seen is not taken in"
    cars.change("3.jpg", "5.jpg", remove=True)
    empty = dataset_pb2.UpdateAnnotationsRequest(image=cars.image("1.jpg"), verified_empty=True)
    update_annotations(own.catalogue, empty)
    before, listed = rows(cars), page(cars).images
    assert len(open_table(cars.key, cars.row.table_version).get_fragments()) == 6
    assert before[-1]["path"] == "1.jpg", "its row was written anew"
    clean(own, now() - timedelta(hours=1))
    assert len(open_table(cars.key, cars.row.table_version).get_fragments()) == 1
    assert (rows(cars), page(cars).images) == (before, listed)
    cars.check()
    restore_images(own.catalogue, dataset_pb2.RestoreImagesRequest(parent=NAME, filter="*"))
    clean(own)
    cars.check()
    assert cars.row.image_count == 10


def test_an_edit_that_was_planned_before_a_compaction_is_planned_anew(
    own: Own, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compacting, "SMALL", 2)
    cars = own.make()
    planned: list[int] = []
    plan = changes._plan

    def meanwhile(*arguments: Any) -> Edit:
        edit = plan(*arguments)
        if not planned:
            assert compacting.compact(own.catalogue, cars.key)
        planned.append(cars.row.table_version)
        return edit

    monkeypatch.setattr(changes, "_plan", meanwhile)
    move(cars, "one")
    assert len(planned) == 2
    assert cars.images("split")["a.jpg"] == "one"
    assert len(open_table(cars.key, cars.row.table_version).get_fragments()) == 1
    cars.check()


def test_a_version_that_is_not_the_head_yet_stays(own: Own, monkeypatch: pytest.MonkeyPatch) -> None:
    cars = own.make()
    move(cars, "one", "two")
    write = changes._write

    def meanwhile(*arguments: Any) -> int:
        version = write(*arguments)
        monkeypatch.undo()
        with pytest.raises(RuntimeError, match="died"):
            _die_before_the_head_moves(cars)  # so that this one is not the newest of all
        clean(own)
        return version

    monkeypatch.setattr(changes, "_write", meanwhile)
    move(cars, "three")
    snapshot.cache_clear()
    cars.check()
    assert cars.images("split")["a.jpg"] == "three"
    move(cars, "four")
    clean(own)
    assert kept(cars) == [cars.row.table_version]


def test_what_a_clone_is_made_of_stays_or_it_is_not_made(own: Own, monkeypatch: pytest.MonkeyPatch) -> None:
    cars = own.make()
    move(cars, "one")
    clone_table = tables.clone

    def meanwhile(key: str, version: int, target: str) -> int:
        made = clone_table(key, version, target)
        move(cars, "two" if before > now() else "three")
        clean(own, before)
        return made

    monkeypatch.setattr(tables, "clone", meanwhile)
    before = late()
    with pytest.raises(Aborted, match="try again"):
        own.clone()
    assert own.list() == ["local/cars"]
    before = now() - timedelta(hours=1)
    clone = own.clone()
    clean(own)
    clone.check()


def test_a_table_whose_head_is_not_there_is_left_alone(own: Own) -> None:
    cars = own.make()
    move(cars, "one", "two", "three")
    with own.catalogue.session() as session:
        session.execute(update(DatasetRow).values(table_version=9))
    assert clean(own) == 0
    assert len(kept(cars)) == 4


def test_what_goes_wrong_with_one_table_does_not_keep_the_others(own: Own, monkeypatch: pytest.MonkeyPatch) -> None:
    both = own.make(), own.make("users/local/datasets/others")
    for one in both:
        move(one, "one")

    def fail(catalogue: Catalogue, key: str, *_: object) -> None:
        if key == min(one.key for one in both):
            raise OSError("what Lance says of a broken file")

    monkeypatch.setattr(cleaning, "compact", fail)
    assert clean(own) == 1
    assert [len(kept(one)) for one in both] == [1, 1]


def test_a_compaction_gives_way_to_who_sets_the_table_back(own: Own, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compacting, "SMALL", 2)
    cars = own.make()
    put_together = DatasetOptimizer.compact_files

    def meanwhile(*arguments: Any, **more: Any) -> Any:
        tables.restore(cars.key, cars.row.table_version, {})
        return put_together(*arguments, **more)

    monkeypatch.setattr(DatasetOptimizer, "compact_files", meanwhile)
    assert not compacting.compact(own.catalogue, cars.key)
    monkeypatch.undo()
    cars.check()


# --- the objects that versions refer to


@pytest.fixture
def two_packs(own: Own) -> Iterator[Dataset]:
    """Images in two packs, of which `b.jpg` alone lies in the second one."""
    own.bucket.put(OTHER, b"-")
    images = [row("a.jpg", "1", 0), row("b.jpg", "2", 0), row("c.jpg", "3")]
    images[1]["original"] = {**images[1]["original"], "object": OTHER}
    yield Dataset(own.catalogue, own.bucket).publish(images, 2)
    own.bucket.remove([OTHER])


def referred(dataset: Dataset) -> set[str]:
    with dataset.catalogue.session() as session:
        return set(session.scalars(select(ReferenceRow.object).filter_by(table_key=dataset.key)))


def collect_now(dataset: Dataset, before: datetime) -> None:
    collecting.collect(dataset.bucket, dataset.catalogue, before, OTHER.removeprefix("packs/"))


def test_a_pack_goes_when_no_version_that_is_kept_has_images_in_it(own: Own, two_packs: Dataset) -> None:
    cars = two_packs
    clone = own.clone()
    cars.change("b.jpg", remove=True)
    clean(own)
    assert referred(cars) == {PACK, OTHER}, "it can be taken back"
    forget(own.catalogue, late())
    clean(own, now() - timedelta(hours=1))
    assert referred(cars) == {PACK, OTHER}, "who began to read it a short time ago reads on"
    began = now()
    own.purge(own.discard(clone.name).uid)
    clean(own)
    assert referred(cars) == {PACK}
    cars.check()
    collect_now(cars, began)
    assert own.bucket.size(OTHER), "from then on it is kept for the grace period"
    collect_now(cars, late())
    assert own.bucket.size(OTHER) is None


def test_a_pack_stays_for_versions_that_users_made_and_for_clones(own: Own, two_packs: Dataset) -> None:
    cars = two_packs
    number(cars)
    cars.change("b.jpg", remove=True)
    clone = own.clone(id="without")
    forget(own.catalogue, late())
    clean(own)
    assert (referred(cars), referred(clone)) == ({PACK, OTHER}, {PACK})
    second = own.clone(version=1)
    clean(own)
    assert referred(second) == {PACK, OTHER}
    versions.restore(own.catalogue, dataset_pb2.RestoreVersionRequest(name=f"{NAME}/versions/1"))
    clean(own)
    cars.check()
    second.check()


def test_images_that_come_back_while_they_are_forgotten_keep_their_pack(
    own: Own, two_packs: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    cars = two_packs
    cars.change("b.jpg", remove=True)
    move(cars, "one")
    write = tables.change

    def meanwhile(*arguments: Any) -> int:
        version = write(*arguments)
        forget(own.catalogue, late())
        clean(own)
        assert referred(cars) == {PACK}
        return version

    monkeypatch.setattr(restoring, "change", meanwhile)
    restore_images(own.catalogue, dataset_pb2.RestoreImagesRequest(parent=NAME, filter="*"))
    assert referred(cars) == {PACK, OTHER}
    cars.check()
