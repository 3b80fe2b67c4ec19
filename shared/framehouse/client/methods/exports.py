"""Datasets written as archives, and the archives on their way to this machine."""

import asyncio
import uuid
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Unpack

from google.longrunning import operations_pb2
from google.protobuf import empty_pb2

from framehouse.client import downloading, progress
from framehouse.client.methods import jobs
from framehouse.client.options import WriteChoices, write_options
from framehouse.client.progress import Progress, Report
from framehouse.client.suite import Suite
from framehouse.client.unpacking import check_target
from framehouse.v1 import export_pb2


async def export_dataset(
    suite: Suite,
    name: str,
    format: str = "",
    out: str | Path | None = None,
    *,
    recipe: str = "",
    volume_bytes: int = 0,
    keep_seconds: int = 0,
    report: Report = progress.ignore,
    **choices: Unpack[WriteChoices],
) -> export_pb2.ExportDatasetResponse:
    """Writes a dataset in a format, or a version of it (`cars@3`); fetches it to `out`, as `download` does.

    `recipe`: what it is like where nothing else is said, the format too. `volume_bytes`: makes several archives of
    so many bytes at most. `keep_seconds`: how long it is kept, 30 days at most. Where the same was exported
    of the same data before and is still there, that is the answer.
    """
    write = write_options(format, **choices)
    target = check_target(out)
    dataset, version = suite.names.versioned(name)
    request = export_pb2.ExportDatasetRequest(
        dataset=dataset,
        version=version,
        write=write,
        recipe=recipe and suite.names.recipe(recipe),
        volume_bytes=volume_bytes,
        keep_seconds=keep_seconds,
        request_id=uuid.uuid4().hex,
    )
    job = await suite.call("ExportService/ExportDataset", request, operations_pb2.Operation)
    result = await jobs.result(suite, job, export_pb2.ExportDatasetResponse, report)
    if target is not None:
        await download(suite, result.export.name, target, report)
    return result


async def get_export(suite: Suite, name: str, url_seconds: int = 0) -> export_pb2.Export:
    """A finished export, with fresh URLs to fetch it from, which live for `url_seconds`, 7 days at most."""
    request = export_pb2.GetExportRequest(name=name, url_seconds=url_seconds)
    return await suite.call("ExportService/GetExport", request, export_pb2.Export)


async def list_exports(suite: Suite, dataset: str = "") -> AsyncGenerator[export_pb2.Export, None]:
    """The exports that are there, or those of a dataset, newest first, without URLs."""
    request = export_pb2.ListExportsRequest(dataset=dataset and suite.names.dataset(dataset), page_size=1000)
    async for page in suite.pages("ExportService/ListExports", request, export_pb2.ListExportsResponse):
        for export in page.exports:
            yield export


async def delete_export(suite: Suite, name: str) -> None:
    """Removes an export (`exports/...`) and its files."""
    await suite.call("ExportService/DeleteExport", export_pb2.DeleteExportRequest(name=name), empty_pb2.Empty)


async def download(suite: Suite, export: str, out: str | Path, report: Report = progress.ignore) -> list[Path]:
    """Fetches an export (`exports/...`) as a file where `out` ends in `.zip`, else unpacked into the folder `out`.

    Volumes become `X-001.zip` … of `X.zip`. Bytes of an attempt that was cut off are kept beside `out` and not
    fetched again. Answers with what was written.
    """
    target = check_target(out) or Path()
    found = await get_export(suite, export)

    def received(count: int) -> None:
        report(Progress("download", "bytes", count, found.size))

    received(0)
    try:
        written = await downloading.download(found, lambda: get_export(suite, export), target, received)
    except asyncio.CancelledError:
        raise asyncio.CancelledError("what came is kept, and the same command goes on there") from None
    report(Progress("download", "bytes", found.size, found.size, ended=True))
    return written
