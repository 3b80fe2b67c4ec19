"""What is removed from the bucket and what stays, on a real store and real databases."""

import json
import random
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, func, select, update

from framehouse.client import Client
from framehouse.runtime import jobs
from framehouse.runtime.config import settings
from framehouse.runtime.errors import FailedPrecondition
from framehouse.store.bucket import Bucket
from framehouse.v1 import ingest_pb2
from services.ingest import contents
from services.ingest.catalogue import Catalogue, ContentRow, DatasetRow, ObjectRow, ReferenceRow, UploadRow, now
from services.ingest.collecting import ABANDONED, collect, free
from services.ingest.leftovers import abort_unfinished, sweep
from services.ingest.references import hold, refer, release
from tests.services import catalogues
from tests.unit.media.pictures import example

TABLE = "tables/t.lance"


@pytest.fixture(scope="module")
def own(bucket: Bucket) -> Bucket:
    """A bucket that nobody else uses."""
    own = Bucket(settings().model_copy(update={"store_bucket": f"test-{uuid.uuid4().hex}"}))
    own.ensure_bucket()
    return own


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    return catalogues.sqlite(tmp_path)


@pytest.fixture
def put(own: Bucket) -> Iterator[Callable[..., list[str]]]:
    """Writes objects: `put("packs/x", "packs/y")`."""
    written: list[str] = []

    def write(*keys: str) -> list[str]:
        for key in keys:
            own.put(key, b"bytes")
        written.extend(keys)
        return list(keys)

    yield write
    own.remove(written)


def age(catalogue: Catalogue, days: float = 30) -> None:
    """All uses are so long ago."""
    with catalogue.session() as session:
        session.execute(update(ObjectRow).values(last_used=now() - timedelta(days=days)))


def record(catalogue: Catalogue, pack: str, derived: str = "", count: int = 1) -> None:
    place = {"object": pack, "crc32": 5}
    row = json.dumps({"original": place, "preview": {**place, "object": derived} if derived else None}).encode()
    known = [ingest_pb2.Content(hash=uuid.uuid4().bytes, size=100 + one, row=row) for one in range(count)]
    contents.record(catalogue, ingest_pb2.RecordContentsRequest(contents=known))


def known(catalogue: Catalogue) -> int:
    with catalogue.session() as session:
        return session.scalar(select(func.count()).select_from(ContentRow)) or 0


def point(catalogue: Catalogue, *objects: str, version: int = 1, table: str = TABLE) -> None:
    """A version of a table refers to objects."""
    with catalogue.session() as session:
        refer(session, table, version, objects)


def enter(catalogue: Catalogue, upload: str, complete: bool = True) -> None:
    counts = {"size": 5, "part_size": 5, "complete": complete, "create_time": now(), "expire_time": now()}
    with catalogue.session() as session:
        session.add(UploadRow(id=upload, file_name="cars.zip", multipart_id="", **counts))


def uploads(catalogue: Catalogue) -> list[str]:
    with catalogue.session() as session:
        return list(session.scalars(select(UploadRow.id)))


def late() -> datetime:
    """A time before which all was that is now."""
    return now() + timedelta(minutes=1)


def new(count: int = 1) -> list[str]:
    return [uuid.uuid4().hex for _ in range(count)]


def test_what_nothing_refers_to_goes_after_the_grace_period(
    own: Bucket, catalogue: Catalogue, put: Callable[..., list[str]]
) -> None:
    upload, job = new(2)
    pack, derived, never_noted = put(f"packs/{upload}", f"derived/{job}/000000", f"derived/{job}/000001")
    enter(catalogue, upload)
    record(catalogue, pack, derived, count=700)
    record(catalogue, "packs/else", derived)
    record(catalogue, "packs/else")
    age(catalogue)
    assert collect(own, catalogue, now() - timedelta(days=7)) == 0
    written = now()
    hold(catalogue, [pack, derived])
    assert collect(own, catalogue, written) == 1
    assert set(own.keys("packs/")) | set(own.keys("derived/")) == {pack, derived}
    assert (known(catalogue), uploads(catalogue)) == (702, [upload])
    assert collect(own, catalogue, late()) == 2
    assert not list(own.keys("packs/")) + list(own.keys("derived/"))
    assert (known(catalogue), uploads(catalogue)) == (1, [])
    assert never_noted.endswith("1")


def test_what_any_version_of_a_dataset_refers_to_stays_until_the_dataset_is_deleted(
    own: Bucket, catalogue: Catalogue, put: Callable[..., list[str]]
) -> None:
    first, second, job = new(3)
    old, head = put(f"packs/{first}", f"packs/{second}")
    preview, other = put(f"derived/{job}/000000", f"derived/{job}/000001")
    hold(catalogue, [old, head, preview, other])
    point(catalogue, old, preview, other)
    point(catalogue, head, preview, version=2)
    point(catalogue, preview, table="tables/other.lance")
    age(catalogue)
    assert collect(own, catalogue, late()) == 0
    with catalogue.session() as session:
        release(session, TABLE)
    released = now()
    # It was of use up to that moment.
    assert collect(own, catalogue, released - timedelta(seconds=10)) == 0
    assert collect(own, catalogue, late()) == 3
    assert list(own.keys("packs/")) + list(own.keys("derived/")) == [preview]


def test_an_upload_that_is_still_open_is_left_alone(
    own: Bucket, catalogue: Catalogue, put: Callable[..., list[str]]
) -> None:
    (upload,) = new()
    put(f"packs/{upload}")
    enter(catalogue, upload, complete=False)
    assert collect(own, catalogue, late()) == 0
    assert uploads(catalogue) == [upload]


def test_an_index_goes_with_the_packs_that_it_speaks_of(
    own: Bucket, catalogue: Catalogue, put: Callable[..., list[str]]
) -> None:
    """A compressed archive, what was unpacked of it, and the frames of two of its videos."""
    (upload,) = new()
    archive, one, two, index, issues = put(
        *(f"packs/{upload}{end}" for end in ("", "-0000", "-0001", ".index", ".index.issues"))
    )
    video = f"packs/{upload}-video-000000-0123456789abcdef"
    frames, frames_index = put(f"{video}-0000", f"{video}.index")
    unused = put(f"{video[:-1]}0-0000", f"{video[:-1]}0.index")
    enter(catalogue, upload)
    hold(catalogue, [one, two, frames])
    point(catalogue, one, two, frames)
    age(catalogue)
    assert collect(own, catalogue, late()) == 3
    assert set(own.keys(f"packs/{upload}")) == {one, two, index, issues, frames, frames_index}
    with catalogue.session() as session:
        session.execute(delete(ReferenceRow).where(ReferenceRow.object == two))
    assert collect(own, catalogue, late()) == 3
    assert set(own.keys(f"packs/{upload}")) == {one, frames, frames_index}
    assert uploads(catalogue) == [upload]
    with catalogue.session() as session:
        release(session, TABLE)
    assert collect(own, catalogue, late()) == 3
    assert (list(own.keys(f"packs/{upload}")), uploads(catalogue)) == ([], [])
    assert archive not in unused


def test_a_removal_that_was_cut_off_is_ended_later(
    own: Bucket, catalogue: Catalogue, put: Callable[..., list[str]]
) -> None:
    (job,) = new()
    (derived,) = put(f"derived/{job}/000000")
    record(catalogue, "packs/else", derived)
    with catalogue.session() as session:
        session.execute(update(ObjectRow).filter_by(key=derived).values(removed=True, last_used=now()))
    assert collect(own, catalogue, late()) == 0
    with catalogue.session() as session:
        session.execute(update(ObjectRow).values(last_used=now() - ABANDONED - timedelta(minutes=1)))
    assert collect(own, catalogue, now() - timedelta(days=7)) == 0
    assert collect(own, catalogue, late()) == 1
    assert (list(own.keys(derived)), known(catalogue)) == ([], 0)
    # A step that was taken for dead tells of it.
    record(catalogue, "packs/else", derived)
    assert known(catalogue) == 0
    age(catalogue, days=8)
    collect(own, catalogue, late())
    with catalogue.session() as session:
        assert session.get(ObjectRow, derived) is None


def test_a_cancelled_job_takes_what_it_derived_along_but_not_what_others_were_answered(
    own: Bucket, catalogue: Catalogue, put: Callable[..., list[str]]
) -> None:
    job, other = new(2)
    lent, mine, referred, untold = put(*(f"derived/{job}/{number:06d}" for number in range(4)))
    for number, derived in enumerate((lent, mine, referred)):
        place = {"object": "packs/else", "crc32": number}
        row = json.dumps({"original": place, "preview": {**place, "object": derived}}).encode()
        told = ingest_pb2.Content(hash=uuid.uuid4().bytes, size=number, row=row)
        contents.record(catalogue, ingest_pb2.RecordContentsRequest(contents=[told]))
    point(catalogue, referred)

    def ask(size: int, asking: str) -> int:
        keys = [ingest_pb2.ContentKey(size=size, crc32=size)]
        request = ingest_pb2.LookUpContentsRequest(keys=keys, job=f"jobs/{asking}")
        return len(contents.look_up(catalogue, request).contents)

    assert (ask(0, other), ask(1, job)) == (1, 1)
    free(own, catalogue, f"derived/{job}/")
    assert list(own.keys(f"derived/{job}/")) == [lent, referred]
    assert [ask(size, other) for size in range(3)] == [1, 0, 1]
    assert untold.endswith("3")


def test_every_object_is_either_referred_to_or_removed_whoever_is_first(
    own: Bucket, each_catalogue: Catalogue, put: Callable[..., list[str]]
) -> None:
    """Two replicas collect while tables are published."""
    (job,) = new()
    objects = put(*(f"derived/{job}/{number:06d}" for number in range(40)))
    hold(each_catalogue, objects)
    start = threading.Barrier(3)

    def publish() -> set[str]:
        start.wait()
        done = set()
        for key in random.Random(0).sample(objects, len(objects)):
            with suppress(FailedPrecondition):
                point(each_catalogue, key)
                done.add(key)
        return done

    def remove() -> int:
        start.wait()
        return sum(collect(own, each_catalogue, late(), job=job) for _ in range(3))

    with ThreadPoolExecutor(3) as threads:
        published = threads.submit(publish)
        removals = [threads.submit(remove) for _ in range(2)]
        removed = sum(removal.result() for removal in removals)
    assert published.result() == set(own.keys(f"derived/{job}/"))
    assert removed == len(objects) - len(published.result())


def test_what_was_never_noted_is_looked_for_before_it_is_referred_to(bucket: Bucket, catalogue: Catalogue) -> None:
    here, gone = (f"derived/{uuid.uuid4().hex}/000000" for _ in range(2))
    bucket.put(here, b"bytes")
    point(catalogue, here)
    with pytest.raises(FailedPrecondition, match=gone):
        point(catalogue, here, gone, version=2)
    bucket.remove([here])
    with catalogue.session() as session:
        assert [(row.table_version, row.object) for row in session.scalars(select(ReferenceRow))] == [(1, here)]


async def test_leftovers_of_jobs_are_swept_but_for_those_that_run_and_those_of_datasets(
    own: Bucket, client: Client, catalogue: Catalogue, put: Callable[..., list[str]]
) -> None:
    gone, published = new(2)
    kept = put(f"tables/{published}.lance/data/0", f"statistics/{published}/1.pb", "tables/other", "jobs/README")
    put(f"tables/{gone}.lance/data/0", f"statistics/{gone}/1.pb", f"jobs/{gone}/media/000000", f"jobs/{gone}/plan")
    with catalogue.session() as session:
        counts = dict.fromkeys(("table_version", "image_count", "annotation_count", "image_bytes", "revision"), 1)
        texts = dict.fromkeys(("user", "slug", "display_name", "table_key", "source_format"), "cars")
        times = {"create_time": now(), "update_time": now()}
        session.add(DatasetRow(uid=published, summary=b"", **times, **counts, **texts))
    assert await sweep(own, catalogue, now() - timedelta(hours=1)) == 0
    connection = await jobs.client()
    running = await connection.start_workflow("Nothing", id=gone, task_queue="nobody")
    assert await sweep(own, catalogue, late()) == 0
    await running.terminate()
    assert await sweep(own, catalogue, late()) == 3
    assert [key for folder in ("jobs/", "statistics/", "tables/") for key in own.keys(folder)] == sorted(kept)


def test_parts_whose_writer_died_go_and_those_of_open_uploads_stay(own: Bucket, catalogue: Catalogue) -> None:
    resumed, dead = (f"packs/{upload}" for upload in new(2))
    begun = {key: own.create_multipart(key) for key in (resumed, dead, f"{dead}-0000", "derived/x/000000")}
    for key, upload in begun.items():
        own.put_part(key, upload, 1, b"part")
    enter(catalogue, resumed.removeprefix("packs/"), complete=False)
    with catalogue.session() as session:
        session.execute(update(UploadRow).values(multipart_id=begun[resumed]))
    assert abort_unfinished(own, catalogue, now() - timedelta(hours=1)) == 0
    assert abort_unfinished(own, catalogue, late()) == 3
    assert [key for key, _, _ in own.unfinished("")] == [resumed]
    assert len(own.list_parts(resumed, begun[resumed])) == 1


def test_datasets_from_before_references_were_kept_lose_nothing(
    client: Client, bucket: Bucket, tmp_path: Path, unique_name: str
) -> None:
    (tmp_path / "a.png").write_bytes(example("png") + unique_name.encode())
    dataset = client.import_dataset(tmp_path / "a.png", unique_name).dataset
    suite = Catalogue(settings().database_url.get_secret_value())
    with suite.session() as session:
        session.execute(delete(ReferenceRow).where(ReferenceRow.table_key == f"tables/{dataset.uid}.lance"))
    assert collect(bucket, suite, late(), job=dataset.uid) == 0
    with suite.session() as session:
        assert session.scalar(select(func.count()).where(ReferenceRow.table_key == f"tables/{dataset.uid}.lance")) == 2
    client.delete_dataset(unique_name)
