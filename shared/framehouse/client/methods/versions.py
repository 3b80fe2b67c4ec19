"""Versions of datasets, what is different between them, and their snapshots."""

import uuid
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path

from framehouse.client import downloading, progress
from framehouse.client.errors import FailedPrecondition, InvalidArgument, NotFound
from framehouse.client.methods import jobs
from framehouse.client.progress import Progress, Report
from framehouse.client.suite import Suite
from framehouse.v1 import dataset_pb2


async def create_version(
    suite: Suite,
    name: str,
    description: str = "",
    *,
    etag: str = "",
    wait: bool = True,
    report: Report = progress.ignore,
) -> dataset_pb2.Version:
    """Makes a version of a dataset as it is, and waits until its snapshot is there, unless `wait` is false.

    The version is there at once, and stays where the caller goes. With `etag` only where the dataset is still the
    one that was read.
    """
    request = dataset_pb2.CreateVersionRequest(
        parent=suite.names.dataset(name), description=description, etag=etag, request_id=uuid.uuid4().hex
    )
    version = await suite.call("DatasetService/CreateVersion", request, dataset_pb2.Version)
    if not wait:
        return version
    # Where the job server is away, the job begins later.
    with suppress(NotFound):
        await jobs.wait(suite, version.snapshot_job, report)
    return await _get_version(suite, version.name)


async def get_version(suite: Suite, name: str) -> dataset_pb2.Version:
    """A version (`cars@3`), with a URL of its snapshot where that is there."""
    return await _get_version(suite, suite.names.version(name))


async def _get_version(suite: Suite, name: str) -> dataset_pb2.Version:
    request = dataset_pb2.GetVersionRequest(name=name)
    return await suite.call("DatasetService/GetVersion", request, dataset_pb2.Version)


async def list_versions(suite: Suite, name: str) -> AsyncGenerator[dataset_pb2.Version, None]:
    """The versions of a dataset, the newest first, without URLs."""
    request = dataset_pb2.ListVersionsRequest(parent=suite.names.dataset(name), page_size=1000)
    async for page in suite.pages("DatasetService/ListVersions", request, dataset_pb2.ListVersionsResponse):
        for version in page.versions:
            yield version


async def update_version(suite: Suite, name: str, description: str, *, etag: str = "") -> dataset_pb2.Version:
    """Gives a version (`cars@3`) another description; with `etag` only where it has the one that was read."""
    version = dataset_pb2.Version(name=suite.names.version(name), description=description, etag=etag)
    request = dataset_pb2.UpdateVersionRequest(version=version)
    return await suite.call("DatasetService/UpdateVersion", request, dataset_pb2.Version)


async def compare_versions(suite: Suite, base: str, other: str = "") -> dataset_pb2.CompareVersionsResponse:
    """What is different from a version (`cars@1`) to another one of the same dataset, or to what the dataset is."""
    suite.names.version(base)
    parent, number = suite.names.versioned(base)
    compared, against = suite.names.versioned(other) if other else (parent, 0)
    if compared != parent:
        raise InvalidArgument(
            f"{base!r} and {other!r} are of different datasets", remedy="name two versions of one of them"
        )
    request = dataset_pb2.CompareVersionsRequest(parent=parent, base=number, other=against)
    return await suite.call("DatasetService/CompareVersions", request, dataset_pb2.CompareVersionsResponse)


async def restore_version(suite: Suite, name: str, *, etag: str = "") -> dataset_pb2.Dataset:
    """Makes a dataset what a version of it is (`cars@1`); with `etag` only where it is the one that was read."""
    request = dataset_pb2.RestoreVersionRequest(name=suite.names.version(name), etag=etag)
    return await suite.call("DatasetService/RestoreVersion", request, dataset_pb2.Dataset)


async def download_snapshot(suite: Suite, name: str, out: str | Path, report: Report = progress.ignore) -> Path:
    """Fetches the snapshot of a version (`cars@3`) to a file."""
    version = await get_version(suite, name)
    if not version.snapshot_url:
        raise FailedPrecondition(
            f"the snapshot of {name} is not written yet",
            remedy=f"wait for {version.snapshot_job}",
            reason="SNAPSHOT_PENDING",
        )
    target = Path(out)

    def received(count: int) -> None:
        report(Progress("download", "bytes", count, version.snapshot_size))

    received(0)
    written = await downloading.download_file(version.snapshot_url, version.snapshot_size, target, received)
    report(Progress("download", "bytes", version.snapshot_size, version.snapshot_size, ended=True))
    return written
