"""The same bytes are stored once and decoded once; what nobody needs goes, what a job needs again stays."""

import asyncio
import json
import subprocess
import time
import zipfile
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from framehouse.cli.stack.state import StackInfo
from framehouse.client import AsyncClient, Client
from framehouse.client.errors import AlreadyExists, FailedPrecondition, NotFound
from framehouse.runtime.config import settings
from framehouse.store.bucket import Bucket
from framehouse.store.tables import open_table
from framehouse.v1 import dataset_pb2, ingest_pb2
from services.ingest.catalogue import Catalogue, now
from services.ingest.collecting import collect
from tests.samples import photo_archive

Framehouse = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def catalogue(stack: StackInfo) -> Catalogue:
    """The suite's own."""
    return Catalogue(settings().database_url.get_secret_value())


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stored-once") / "photos.zip"
    photo_archive(path, images=200, kilobytes=12, seed=77)
    return path


def late() -> datetime:
    """A time before which all was that is now."""
    return now() + timedelta(minutes=1)


def purge(client: Client, name: str) -> None:
    """Removes a dataset for ever."""
    client.purge_dataset(client.delete_dataset(name).uid)


def objects(dataset: dataset_pb2.Dataset) -> set[str]:
    rows = open_table(f"tables/{dataset.uid}.lance").to_table(columns=["original", "preview"])
    return {row[name]["object"] for row in rows.to_pylist() for name in ("original", "preview")}


def test_an_archive_that_is_imported_twice_is_stored_once(
    client: Client, bucket: Bucket, catalogue: Catalogue, photos: Path, unique_name: str
) -> None:
    uploads = [client.upload(photos).name.removeprefix("uploads/") for _ in range(2)]
    first, second = (
        client.import_dataset(ingest_pb2.Upload(name=f"uploads/{upload}"), f"{unique_name}-{upload[:4]}").dataset
        for upload in uploads
    )
    assert not list(bucket.keys(f"derived/{second.uid}/"))
    needed = objects(first)
    assert objects(second) == needed
    assert needed == {f"packs/{uploads[0]}", *bucket.keys(f"derived/{first.uid}/")}

    purge(client, first.name)
    assert collect(bucket, catalogue, late(), upload=uploads[0]) == 0
    assert collect(bucket, catalogue, late(), job=first.uid) == 0
    assert collect(bucket, catalogue, late(), upload=uploads[1]) == 1
    with pytest.raises(NotFound):
        client.import_dataset(ingest_pb2.Upload(name=f"uploads/{uploads[1]}"), unique_name)
    third = client.import_dataset(ingest_pb2.Upload(name=f"uploads/{uploads[0]}"), unique_name).dataset
    assert objects(third) == needed

    purge(client, second.name)
    assert collect(bucket, catalogue, late(), upload=uploads[0]) == 0
    in_trash = client.delete_dataset(third.name)
    assert collect(bucket, catalogue, late(), upload=uploads[0]) == 0
    client.purge_dataset(in_trash.uid)
    assert all(bucket.size(key) for key in needed)
    collect(bucket, catalogue, late(), upload=uploads[0])
    collect(bucket, catalogue, late(), job=first.uid)
    assert not any(bucket.size(key) for key in needed)


def test_a_failed_import_that_is_retried_decodes_nothing_again(
    client: Client, framehouse: Framehouse, bucket: Bucket, photos: Path, unique_name: str, tmp_path: Path
) -> None:
    archive = tmp_path / "wrong.zip"
    with zipfile.ZipFile(photos) as source, zipfile.ZipFile(archive, "w") as target:
        for name in source.namelist()[:40:2]:  # without their labels
            target.writestr(f"other-{unique_name}/{name}", source.read(name) + unique_name.encode())
        target.writestr("data.yaml", f"train: other-{unique_name}/images/train\nnames: [thing]\n")
        target.writestr(f"other-{unique_name}/labels/train/000003.txt", "9 .5 .5 .5 .5\n")
    with pytest.raises(FailedPrecondition) as failure:
        client.import_dataset(archive, unique_name, on_error="fail")
    job = failure.value.facts["job"]
    assert list(bucket.keys(f"derived/{job.removeprefix('jobs/')}/"))
    again = framehouse("jobs", "retry", job)
    assert again.returncode == 1
    assert failure.value.message in again.stderr
    retried = client.list_jobs(1)[0].name
    assert retried != job
    assert not list(bucket.keys(f"derived/{retried.removeprefix('jobs/')}/"))


def test_a_job_is_retried_with_its_request_unless_it_ended_well(
    client: Client, framehouse: Framehouse, photos: Path, unique_name: str
) -> None:
    upload = client.upload(photos)
    client.import_dataset(upload, unique_name, display_name="Photos")
    with pytest.raises(AlreadyExists):
        client.import_dataset(upload, unique_name)
    made = client.list_jobs(1)[0].name
    with pytest.raises(FailedPrecondition, match="ended well"):
        client.retry_job(made)
    with pytest.raises(NotFound):
        client.retry_job(f"jobs/{'0' * 32}")
    assert json.loads(framehouse("jobs", "--json").stdout)["jobs"]
    client.delete_dataset(unique_name)


async def test_a_cancelled_import_frees_what_it_derived_and_can_be_retried(
    stack: StackInfo, bucket: Bucket, photos: Path, unique_name: str, tmp_path: Path
) -> None:
    archive = tmp_path / "new.zip"
    photo_archive(archive, images=800, kilobytes=12, seed=78)
    async with AsyncClient(stack.address) as client:
        upload = await client.upload(archive)
        importing = asyncio.ensure_future(client.import_dataset(upload, unique_name))
        job = await _job_of(client, unique_name)
        derived = f"derived/{job.removeprefix('jobs/')}/"
        end = time.monotonic() + 60
        while not await asyncio.to_thread(lambda: list(bucket.keys(derived))):
            assert time.monotonic() < end
            await asyncio.sleep(0.02)
        importing.cancel()
        with pytest.raises(asyncio.CancelledError, match="what it wrote is removed"):
            await importing
        assert not list(bucket.keys(derived))
        done = await client.retry_job(job)
        result = ingest_pb2.ImportDatasetResponse()
        done.response.Unpack(result)
        assert result.dataset.image_count == 800
        # Nothing refers to what was removed.
        assert all(bucket.size(key) for key in objects(result.dataset))
        await client.delete_dataset(unique_name)


async def _job_of(client: AsyncClient, name: str) -> str:
    from framehouse.v1 import job_pb2

    end = time.monotonic() + 60
    while time.monotonic() < end:
        for job in await client.list_jobs(5):
            metadata = job_pb2.JobMetadata()
            job.metadata.Unpack(metadata)
            if metadata.target.endswith(f"/{name}"):
                return str(job.name)
        await asyncio.sleep(0.02)
    raise AssertionError("no job was started")


def test_duplicates_are_listed_with_their_splits(
    client: Client, framehouse: Framehouse, photos: Path, unique_name: str, tmp_path: Path
) -> None:
    archive = tmp_path / "twice.zip"
    with zipfile.ZipFile(photos) as source, zipfile.ZipFile(archive, "w") as target:
        pictures = [name for name in source.namelist() if name.endswith(".jpg")][:4]
        one, two, *others = (source.read(name) for name in pictures)
        for name, data in {
            "train/a.jpg": one, "train/b.jpg": one, "val/c.jpg": one,
            "train/d.jpg": two, "train/e.jpg": two, "val/f.jpg": others[0], "train/g.jpg": others[1],
        }.items():  # fmt: skip
            target.writestr(f"images/{name}", data)
        target.writestr("data.yaml", "train: images/train\nval: images/val\nnames: [thing]\n")
    client.import_dataset(archive, unique_name)
    groups = list(client.list_duplicates(unique_name))
    assert [(group.image_count, group.size, list(group.splits)) for group in groups] == [
        (3, len(one), ["train", "val"]),
        (2, len(two), ["train"]),
    ]
    assert [path.rpartition("/")[2] for path in groups[0].paths] == ["a.jpg", "b.jpg", "c.jpg"]
    shown = framehouse("duplicates", unique_name, "--limit", "1")
    assert "3 images more than once" in shown.stdout
    assert "1 group in several splits" in shown.stdout
    assert "1 of 2 groups" in shown.stderr
    for limit, counts in (((), [3, 2]), (("--limit", "1"), [3])):
        listed = json.loads(framehouse("duplicates", unique_name, "--json", *limit).stdout)
        assert [group["imageCount"] for group in listed["groups"]] == counts
    client.delete_dataset(unique_name)
