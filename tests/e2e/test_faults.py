"""Processes die and servers are away: jobs end all the same, with the same table, and errors name what is missing."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import psutil
import pyarrow as pa
import pytest

from framehouse.client import Client
from framehouse.client.progress import Progress
from framehouse.runtime import channels
from framehouse.store.bucket import Bucket
from framehouse.store.tables import open_table
from framehouse.v1 import ingest_pb2, ingest_pb2_grpc, job_pb2, job_pb2_grpc
from tests.samples import photo_archive

PLACES = ("original", "preview", "normalised")
"""Columns that say where bytes lie, which differs from upload to upload."""
IMAGES = 2000
VICTIMS = ("media", "conversion", "ingest", "store", "temporal", "gateway, statistics and export")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "photos.zip"
    photo_archive(path, images=IMAGES, kilobytes=10)
    return path


def rows(client: Client, name: str) -> pa.Table:
    """All that is known of a dataset but where its bytes lie and what brought them, by path."""
    table = open_table(f"tables/{client.get_dataset(name).uid}.lance").to_table()
    return table.drop_columns([*PLACES, "import_job"]).sort_by("path")


@pytest.fixture(scope="module")
def undisturbed(client: Client, photos: Path) -> pa.Table:
    client.import_dataset(photos, "undisturbed-photos")
    return rows(client, "undisturbed-photos")


@pytest.mark.parametrize("victim", VICTIMS)
def test_a_process_killed_in_the_middle_of_an_import_changes_nothing(
    stack: Any, client: Client, bucket: Bucket, photos: Path, undisturbed: pa.Table, victim: str
) -> None:
    name = f"photos-{VICTIMS.index(victim)}"
    command = [sys.executable, "-m", "framehouse.cli.main", "import", str(photos), "--name", name]
    # Images are known by their bytes and this limit: with one of its own, each import decodes them all.
    command += ["--max-side", str(5000 + VICTIMS.index(victim))]
    importing = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    victims = victim.replace(" and", ",").split(", ")
    before = {process: process_of(stack, process) for process in victims}
    wait_until(lambda: images_done(client, name) > 0, seconds=60)
    done = images_done(client, name)
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)
    output, errors = importing.communicate(timeout=120)
    assert importing.returncode == 0, output + errors
    assert done < IMAGES
    assert all(process_of(stack, process) != before[process] for process in victims)
    assert rows(client, name).equals(undisturbed)
    assert orphans(bucket, client.get_dataset(name).uid) == []


def test_a_job_that_waits_for_the_store_says_so_and_goes_on(stack: Any, client: Client, photos: Path) -> None:
    client.import_dataset(photos, "waiting-photos")
    notes: list[str] = []

    def told(progress: Progress) -> None:
        if not notes:
            os.kill(stack.pid, signal.SIGSTOP)  # it would start the store again
            os.kill(process_of(stack, "store"), signal.SIGKILL)
        elif progress.note:
            os.kill(stack.pid, signal.SIGCONT)
        notes.append(progress.note)

    try:
        done = client.export_dataset("waiting-photos", "coco-instances", report=told)
    finally:
        os.kill(stack.pid, signal.SIGCONT)
    assert [note.partition(" at ")[0] for note in notes if note] == ["waiting: object store", "going on"]
    assert done.export.image_count == IMAGES


def orphans(bucket: Bucket, job: str) -> list[str]:
    """What lies in the bucket for an import that ended well, and is neither its dataset nor what that refers to."""
    table = open_table(f"tables/{job}.lance")
    places = table.to_table(columns=list(PLACES))
    needed = {place["object"] for column in PLACES for place in places[column].to_pylist() if place}
    uploads = {place["object"][: len("packs/") + 32] for place in places["original"].to_pylist()}
    needed |= {f"tables/{job}.lance/data/{file.path}" for one in table.get_fragments() for file in one.data_files()}
    prefixes = [f"jobs/{job}/", f"derived/{job}/", f"tables/{job}.lance/data/", *uploads]
    found = [key for prefix in prefixes for key in bucket.keys(prefix)]
    assert any(key.startswith("derived/") for key in found)
    assert all(bucket.size(key) for key in needed)
    return sorted(set(found) - needed)


def images_done(client: Client, name: str) -> int:
    for job in client.list_jobs():
        metadata = job_pb2.JobMetadata()
        job.metadata.Unpack(metadata)
        if metadata.target.endswith(f"/{name}"):
            return next((stage.done for stage in metadata.stages if stage.name == "images"), 0)
    return 0


def process_of(stack: Any, name: str) -> int:
    """The process that serves `name` now."""
    port = int(stack.addresses[name].rpartition(":")[2])
    found: list[int] = []

    def listening() -> bool:
        found[:] = [
            one.pid
            for one in psutil.net_connections("tcp")
            if one.status == psutil.CONN_LISTEN and one.laddr.port == port and one.pid
        ]
        return bool(found)

    wait_until(listening, seconds=30)
    return found[0]


def wait_until(true: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.05)


@pytest.fixture
def lonely_ingest(tmp_path: Path) -> Iterator[str]:
    """The address of an ingest that has neither a store nor a job server."""
    ports = [free_port() for _ in range(4)]
    environment = {
        **os.environ,
        "FRAMEHOUSE_PORT": str(ports[0]),
        "FRAMEHOUSE_METRICS_PORT": str(ports[1]),
        "FRAMEHOUSE_STORE_ENDPOINT": f"127.0.0.1:{ports[2]}",
        "FRAMEHOUSE_STORE_SECRET_KEY": "none",
        "FRAMEHOUSE_TEMPORAL_ADDRESS": f"127.0.0.1:{ports[3]}",
        "FRAMEHOUSE_DATABASE_URL": f"sqlite:///{tmp_path}/catalogue.db",
    }
    process = subprocess.Popen([sys.executable, "-m", "services.ingest"], env=environment, stderr=subprocess.DEVNULL)
    yield f"127.0.0.1:{ports[0]}"
    process.terminate()
    assert process.wait(20) == 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_what_is_missing_is_named(lonely_ingest: str) -> None:
    async with channels.open_channel(lonely_ingest, "ingest") as channel:
        await channel.channel_ready()
        with pytest.raises(grpc.aio.AioRpcError) as store:
            upload = ingest_pb2.CreateUploadRequest(file_name="big.zip", size=1 << 30)
            await ingest_pb2_grpc.IngestServiceStub(channel).CreateUpload(upload, timeout=30)
        with pytest.raises(grpc.aio.AioRpcError) as jobs:
            await job_pb2_grpc.JobServiceStub(channel).ListJobs(job_pb2.ListJobsRequest(), timeout=30)
    assert (store.value.code(), jobs.value.code()) == (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAVAILABLE)
    assert "object store" in store.value.details()
    assert "job server" in jobs.value.details()
