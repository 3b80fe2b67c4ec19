"""`AsyncClient`: everything a suite does for its users, on asyncio.

Names are short (`cars`) or full (`users/local/datasets/cars`). Whoever cancels the coroutine that imports, exports or
converts cancels the job.
"""

import asyncio
import os
import threading
import uuid
from collections.abc import AsyncGenerator, Coroutine, Mapping
from contextlib import aclosing, nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from google.longrunning import operations_pb2
from google.protobuf import empty_pb2
from google.protobuf.message import Message

from framehouse.client import progress, transfer
from framehouse.client.address import find_address
from framehouse.client.connection import DEADLINE_SECONDS, Connection
from framehouse.client.errors import (
    AlreadyExists,
    Cancelled,
    FailedPrecondition,
    FramehouseError,
    InvalidArgument,
    NotFound,
    from_status,
)
from framehouse.client.names import USER, dataset_name
from framehouse.client.packing import Archive, open_source
from framehouse.client.progress import Progress, Report
from framehouse.client.resuming import Bookmark, bookmark
from framehouse.client.unpacking import check_target, unpack
from framehouse.v1 import annotation_pb2, conversion_pb2, dataset_pb2, export_pb2, ingest_pb2, job_pb2, statistics_pb2

R = TypeVar("R", bound=Message)

ON_ERROR: Mapping[str, conversion_pb2.ErrorPolicy] = {
    "skip": conversion_pb2.ERROR_POLICY_SKIP,
    "fail": conversion_pb2.ERROR_POLICY_FAIL,
}
SEVERITIES: Mapping[str, annotation_pb2.Severity] = {
    "error": annotation_pb2.SEVERITY_ERROR,
    "warning": annotation_pb2.SEVERITY_WARNING,
    "info": annotation_pb2.SEVERITY_INFO,
}
CANCEL_SECONDS = 10.0

_LOST = (InvalidArgument, NotFound, FailedPrecondition, transfer.PartDiffers)
"""Errors after which what was sent is of no use."""
_KEPT = "what was sent is kept, and the same command goes on where it stopped"


class AsyncClient:
    """A connection to the suite whose gateway is at host:port; by default the one of this machine.

    `deadline`: seconds that a call may take in all, repetitions while the suite is away included. All methods raise
    `FramehouseError`. `resumes`: whether uploads that are cut off are remembered, in the user's state folder, and
    continued.
    """

    def __init__(self, address: str | None = None, *, deadline: float = DEADLINE_SECONDS, resumes: bool = True) -> None:
        self.address = find_address(address)
        self._resumes = resumes
        self._connection = Connection(self.address, deadline)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the connection."""
        await self._connection.close()

    # --- archives in

    async def upload(self, path: str | Path | Archive, report: Report = progress.ignore) -> ingest_pb2.Upload:
        """Sends an archive, or a folder packed on its way, and answers with the complete upload.

        Where an upload of the same source to the same suite was cut off, only what is missing is sent.
        """
        archive = path if isinstance(path, Archive) else await asyncio.to_thread(open_source, path)
        with bookmark(self.address, archive) if self._resumes else nullcontext() as mark:
            while True:
                upload = await self._open_upload(archive, mark)
                try:
                    done = await self._send(archive, upload, report)
                except BaseException as error:
                    if mark is not None and not isinstance(error, _LOST):
                        _say_kept(error)
                    else:
                        await self._give_up(upload.name, mark)
                        if isinstance(error, transfer.PartDiffers):
                            continue  # it was resumed, and the source has other bytes by now
                    raise
                if mark is not None:
                    mark.forget()
                return done

    async def _open_upload(self, archive: Archive, mark: Bookmark | None) -> ingest_pb2.Upload:
        """The upload of the archive that was cut off, or a new one."""
        if mark is not None and mark.upload:
            with suppress(NotFound):
                request = ingest_pb2.GetUploadRequest(name=mark.upload)
                upload = await self._call("IngestService/GetUpload", request, ingest_pb2.Upload)
                if upload.size == archive.size and not mark.is_stale:
                    return upload
            await self._give_up(mark.upload, mark)
        create = ingest_pb2.CreateUploadRequest(file_name=archive.file_name, size=archive.size)
        upload = await self._call("IngestService/CreateUpload", create, ingest_pb2.Upload)
        if mark is not None:
            mark.keep(upload.name)
        return upload

    async def _send(self, archive: Archive, upload: ingest_pb2.Upload, report: Report) -> ingest_pb2.Upload:
        """Sends what is missing, and completes the upload."""
        if upload.state == ingest_pb2.UPLOAD_STATE_OPEN:
            parts = sorted(upload.parts, key=lambda part: part.number)
            last = archive.size - (len(parts) - 1) * upload.part_size
            there = [last if part is parts[-1] else upload.part_size for part in parts if part.etag]
            sent = sum(there)
            note = f"resuming: {len(there)} of {len(parts)} parts are there" if there else ""

            def count(size: int) -> None:
                nonlocal sent
                sent += size
                report(Progress("upload", "bytes", sent, archive.size))

            async def renew() -> list[ingest_pb2.UploadPart]:
                request = ingest_pb2.GetUploadRequest(name=upload.name)
                return list((await self._call("IngestService/GetUpload", request, ingest_pb2.Upload)).parts)

            report(Progress("upload", "bytes", sent, archive.size, note=note))
            tags = await transfer.send_parts(archive.parts(upload.part_size), parts, renew, count)
            complete = ingest_pb2.CompleteUploadRequest(name=upload.name)
            for part, tag in zip(parts, tags, strict=True):
                complete.parts.add(number=part.number, etag=tag)
            upload = await self._call("IngestService/CompleteUpload", complete, ingest_pb2.Upload)
        report(Progress("upload", "bytes", archive.size, archive.size, ended=True))
        return upload

    async def _give_up(self, upload: str, mark: Bookmark | None) -> None:
        """Frees what was sent, as far as the suite can be reached: what it is not told of expires."""
        if mark is not None:
            mark.forget()
        abort = ingest_pb2.AbortUploadRequest(name=upload)
        await _last(self._call("IngestService/AbortUpload", abort, empty_pb2.Empty))

    async def import_dataset(
        self,
        source: str | Path | Archive | ingest_pb2.Upload,
        name: str,
        *,
        format: str = "auto",
        min_side: int | None = None,
        on_error: str = "skip",
        display_name: str = "",
        report: Report = progress.ignore,
    ) -> ingest_pb2.ImportDatasetResponse:
        """Makes a dataset of a folder, an archive or a complete upload, and answers when it is there.

        `min_side`: images below so many pixels are left out (unset: 28). `on_error`: `skip` leaves out what cannot be
        used and tells of it, `fail` ends at the first such thing.
        """
        parent, _, dataset = dataset_name(name).partition("/datasets/")
        read = _read_options(format, min_side, on_error)
        upload = source if isinstance(source, ingest_pb2.Upload) else await self._upload_new(source, name, report)
        request = ingest_pb2.ImportDatasetRequest(
            parent=parent,
            dataset_id=dataset,
            upload=upload.name,
            display_name=display_name,
            read=read,
            request_id=uuid.uuid4().hex,
        )
        job = await self._call("IngestService/ImportDataset", request, operations_pb2.Operation)
        return await self._result(job, ingest_pb2.ImportDatasetResponse, report)

    async def _upload_new(self, source: str | Path | Archive, name: str, report: Report) -> ingest_pb2.Upload:
        """Uploads for a dataset that is not there yet; a name that is taken is known before gigabytes are sent."""
        with suppress(NotFound):
            await self.get_dataset(name)
            raise AlreadyExists(
                f"dataset {dataset_name(name)!r} exists already",
                remedy="choose another name, or delete it first",
                reason="DATASET_EXISTS",
            )
        return await self.upload(source, report)

    # --- datasets

    async def list_datasets(self) -> list[dataset_pb2.Dataset]:
        """All datasets, newest first."""
        found: list[dataset_pb2.Dataset] = []
        request = dataset_pb2.ListDatasetsRequest(parent=USER, page_size=1000)
        while True:
            page = await self._call("DatasetService/ListDatasets", request, dataset_pb2.ListDatasetsResponse)
            found.extend(page.datasets)
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token

    async def get_dataset(self, name: str) -> dataset_pb2.Dataset:
        """One dataset."""
        request = dataset_pb2.GetDatasetRequest(name=dataset_name(name))
        return await self._call("DatasetService/GetDataset", request, dataset_pb2.Dataset)

    async def delete_dataset(self, name: str, etag: str = "") -> None:
        """Removes a dataset; with `etag` only if it is still the one that was read."""
        request = dataset_pb2.DeleteDatasetRequest(name=dataset_name(name), etag=etag)
        await self._call("DatasetService/DeleteDataset", request, empty_pb2.Empty)

    async def statistics(self, name: str) -> statistics_pb2.Statistics:
        """The numbers of a dataset."""
        request = statistics_pb2.GetStatisticsRequest(name=dataset_name(name))
        return await self._call("StatisticsService/GetStatistics", request, statistics_pb2.Statistics)

    # --- issues of imports

    async def list_issues(
        self, job_or_dataset: str, code: str = "", severity: str = ""
    ) -> AsyncGenerator[annotation_pb2.Issue, None]:
        """All issues of an import, errors first; of one code or one severity where that is said.

        `job_or_dataset`: a job (`jobs/...`), or the dataset that an import made. `severity`: `error`, `warning` or
        `info`.
        """
        async with aclosing(self.issue_pages(job_or_dataset, code=code, severity=severity)) as pages:
            async for page in pages:
                for issue in page.issues:
                    yield issue

    async def issue_pages(
        self, job_or_dataset: str, code: str = "", severity: str = "", page_size: int = 1000
    ) -> AsyncGenerator[ingest_pb2.ListIssuesResponse, None]:
        """What `list_issues` goes through, page by page, each with the number of all issues that match."""
        if severity and severity not in SEVERITIES:
            raise InvalidArgument(f"severity is {severity!r}", remedy=f"use one of: {', '.join(SEVERITIES)}")
        is_job = job_or_dataset.startswith("jobs/")
        job = job_or_dataset if is_job else f"jobs/{(await self.get_dataset(job_or_dataset)).uid}"
        request = ingest_pb2.ListIssuesRequest(
            parent=job, page_size=page_size, code=code, severity=SEVERITIES[severity] if severity else None
        )
        while True:
            page = await self._call("IngestService/ListIssues", request, ingest_pb2.ListIssuesResponse)
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    # --- archives out

    async def list_formats(self) -> list[conversion_pb2.Format]:
        """The formats and what each can hold."""
        request = conversion_pb2.ListFormatsRequest()
        answer = await self._call("ConversionService/ListFormats", request, conversion_pb2.ListFormatsResponse)
        return list(answer.formats)

    async def export_dataset(
        self,
        name: str,
        format: str,
        out: str | Path | None = None,
        *,
        without_images: bool = False,
        report: Report = progress.ignore,
    ) -> export_pb2.ExportDatasetResponse:
        """Writes a dataset in a format, and fetches the archive where `out` is given, as `download` does."""
        target = check_target(out)
        request = export_pb2.ExportDatasetRequest(
            dataset=dataset_name(name),
            write=conversion_pb2.WriteOptions(format=format, without_images=without_images),
            request_id=uuid.uuid4().hex,
        )
        job = await self._call("ExportService/ExportDataset", request, operations_pb2.Operation)
        result = await self._result(job, export_pb2.ExportDatasetResponse, report)
        if target is not None:
            await self.download(result.export.name, target, report)
        return result

    async def convert(
        self,
        source: str | Path | Archive | ingest_pb2.Upload,
        to: str,
        out: str | Path | None = None,
        *,
        format: str = "auto",
        min_side: int | None = None,
        on_error: str = "skip",
        without_images: bool = False,
        report: Report = progress.ignore,
    ) -> conversion_pb2.ConvertArchiveResponse:
        """Turns a folder, an archive or an upload into an archive of another format, without keeping a dataset."""
        target = check_target(out)
        read = _read_options(format, min_side, on_error)
        upload = source if isinstance(source, ingest_pb2.Upload) else await self.upload(source, report)
        request = conversion_pb2.ConvertArchiveRequest(
            upload=upload.name,
            read=read,
            write=conversion_pb2.WriteOptions(format=to, without_images=without_images),
            request_id=uuid.uuid4().hex,
        )
        job = await self._call("ConversionService/ConvertArchive", request, operations_pb2.Operation)
        result = await self._result(job, conversion_pb2.ConvertArchiveResponse, report)
        if target is not None:
            await self.download(result.export, target, report)
        return result

    async def get_export(self, name: str) -> export_pb2.Export:
        """A finished archive, with a fresh URL to fetch it from."""
        request = export_pb2.GetExportRequest(name=name)
        return await self._call("ExportService/GetExport", request, export_pb2.Export)

    async def download(self, export: str, out: str | Path, report: Report = progress.ignore) -> Path:
        """Fetches an export (`exports/...`) as a file where `out` ends in `.zip`, else unpacked into the folder `out`.

        Bytes of an attempt that was cut off are kept in `OUT.part` and not fetched again.
        """
        target = check_target(out) or Path()
        found = await self.get_export(export)
        is_file = target.suffix.lower() == ".zip"
        # Named by the export, so that no other export's bytes are ever continued.
        partial = target.parent / f".{target.name}.{export.rpartition('/')[2][:12]}.part"
        report(Progress("download", "bytes", 0, found.size))
        stop = threading.Event()

        def received(count: int) -> None:
            loop.call_soon_threadsafe(report, Progress("download", "bytes", count, found.size))

        loop = asyncio.get_running_loop()
        try:
            await asyncio.to_thread(transfer.fetch, found.url, found.size, partial, received, stop)
            if is_file:
                await asyncio.to_thread(os.replace, partial, target)
            else:
                await asyncio.to_thread(unpack, partial, target)
                await asyncio.to_thread(partial.unlink)
        except OSError as error:
            raise InvalidArgument(
                f"{str(target)!r} cannot be written: {(error.strerror or str(error)).lower()}",
                remedy="name another place, or make room there",
                reason="TARGET_UNWRITABLE",
            ) from error
        finally:
            stop.set()
        report(Progress("download", "bytes", found.size, found.size, ended=True))
        return target

    # --- jobs

    async def list_jobs(self, limit: int = 100) -> list[operations_pb2.Operation]:
        """The newest jobs, at most `limit`."""
        found: list[operations_pb2.Operation] = []
        request = job_pb2.ListJobsRequest(page_size=min(limit, 1000))
        while len(found) < limit:
            page = await self._call("JobService/ListJobs", request, job_pb2.ListJobsResponse)
            found.extend(page.jobs)
            if not page.next_page_token:
                break
            request.page_token = page.next_page_token
        return found[:limit]

    async def watch_job(self, name: str) -> AsyncGenerator[operations_pb2.Operation, None]:
        """The job now, and again each time it changes, up to its end."""
        request = job_pb2.WatchJobRequest(name=name)
        path = "/framehouse.v1.JobService/WatchJob"
        async with aclosing(self._connection.stream(path, request, operations_pb2.Operation)) as operations:
            async for operation in operations:
                yield operation

    async def wait(self, job: str, report: Report = progress.ignore) -> operations_pb2.Operation:
        """The job when it has ended; raises its error where it failed."""
        metadata = job_pb2.JobMetadata()
        async with aclosing(self.watch_job(job)) as operations:
            async for operation in operations:
                if operation.metadata.Unpack(metadata):
                    for stage in progress.stages(metadata):
                        report(stage)
                if operation.done:
                    if operation.HasField("error"):
                        raise from_status(operation.error)
                    return operation
        raise FramehouseError(f"{job} was no longer told of before its end", remedy="read it again")

    async def cancel_job(self, name: str) -> None:
        """Asks a job to stop; what it wrote is removed."""
        await self._call("JobService/CancelJob", job_pb2.CancelJobRequest(name=name), empty_pb2.Empty)

    # --- calls

    async def _result(self, job: operations_pb2.Operation, response: type[R], report: Report) -> R:
        """The response of a job of ours; where the caller goes, the job goes."""
        try:
            operation = await self.wait(job.name, report)
        except asyncio.CancelledError:
            raise asyncio.CancelledError(await self._stop(job.name)) from None
        result = response()
        operation.response.Unpack(result)
        return result

    async def _stop(self, job: str) -> str:
        """Cancels a job whose caller is on the way out, and says what became of it."""

        async def stop() -> None:
            await self.cancel_job(job)
            await self.wait(job)

        match await _last(stop()):
            case Cancelled():
                return f"{job} is stopped, and what it wrote is removed"
            case asyncio.CancelledError():
                return f"{job} was asked to stop"
            case FramehouseError() as error:
                return f"{job} could not be asked to stop and may go on: {error}"
            case _:
                return f"{job} had ended before it could be stopped"

    async def _call(self, method: str, request: Message, response: type[R]) -> R:
        return await self._connection.call(f"/framehouse.v1.{method}", request, response)


async def _last(work: Coroutine[Any, Any, object]) -> object:
    """Work on the way out, which must neither hide the reason nor hold it up: its result or its error."""
    task = asyncio.ensure_future(work)
    await asyncio.wait([task], timeout=CANCEL_SECONDS)
    task.cancel()
    (result,) = await asyncio.gather(task, return_exceptions=True)
    return result


def _read_options(format_id: str, min_side: int | None, on_error: str) -> conversion_pb2.ReadOptions:
    if on_error not in ON_ERROR:
        raise InvalidArgument(f"on_error is {on_error!r}", remedy=f"use one of: {', '.join(ON_ERROR)}")
    return conversion_pb2.ReadOptions(format=format_id, min_side=min_side, on_error=ON_ERROR[on_error])


def _say_kept(error: BaseException) -> None:
    """Adds to what ended an upload that it can be resumed."""
    if isinstance(error, FramehouseError):
        error.remedy = f"{error.remedy}; {_KEPT}" if error.remedy else _KEPT
    elif isinstance(error, asyncio.CancelledError):
        error.args = (_KEPT,)
