"""Archives on their way to a suite: sent from this machine, or fetched by the suite itself.

An upload that is cut off is kept for the next attempt where it is remembered (`resuming`), and given up where not.
"""

import asyncio
import uuid
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from pathlib import Path

from google.longrunning import operations_pb2
from google.protobuf import empty_pb2

from framehouse.client import leaving, progress, transfer
from framehouse.client.errors import FailedPrecondition, FramehouseError, InvalidArgument, NotFound
from framehouse.client.methods import jobs
from framehouse.client.packing import Archive, open_source
from framehouse.client.progress import Progress, Report
from framehouse.client.remote import Remote, is_remote, remote
from framehouse.client.resuming import Bookmark, bookmark
from framehouse.client.suite import Suite
from framehouse.v1 import ingest_pb2

Source = str | Path | Archive | Remote
"""What can be imported: a path, a URL or `s3://` prefix, or what was made of them."""
_PIECE = 1 << 20
"""Bytes of one message of a small upload."""
_LOST = (InvalidArgument, NotFound, FailedPrecondition, transfer.PartDiffers)
"""Errors after which what was sent is of no use."""
_KEPT = "what was sent is kept, and the same command goes on where it stopped"


async def upload(suite: Suite, path: Source, report: Report = progress.ignore) -> ingest_pb2.Upload:
    """Sends an archive, or a folder packed on its way, and answers with the complete upload.

    Where an upload of the same source to the same suite was cut off, only what is missing is sent. A URL or an
    `s3://` prefix is fetched by the suite instead, as `fetch_upload` says.
    """
    if isinstance(path, str) and is_remote(path):
        path = remote(path)
    if isinstance(path, Remote):
        return await fetch_upload(suite, path.urls, s3_prefix=path.s3_prefix, report=report)
    archive = path if isinstance(path, Archive) else await asyncio.to_thread(open_source, path)
    with bookmark(suite.address, archive) if suite.resumes else nullcontext() as mark:
        while True:
            opened = await _open_upload(suite, archive, mark)
            try:
                done = await _send(suite, archive, opened, report)
            except BaseException as error:
                if mark is not None and not isinstance(error, _LOST):
                    _say_kept(error)
                else:
                    await _give_up(suite, opened.name, mark)
                    if isinstance(error, transfer.PartDiffers):
                        continue  # it was resumed, and the source has other bytes by now
                raise
            if mark is not None:
                mark.forget()
            return done


async def send_upload(suite: Suite, data: bytes, file_name: str = "") -> ingest_pb2.Upload:
    """Sends a small archive, of 16 MiB at most, in one call, and answers with the complete upload."""
    pieces = [
        ingest_pb2.SendUploadRequest(file_name=file_name, data=data[start : start + _PIECE])
        for start in range(0, max(len(data), 1), _PIECE)
    ]
    return await suite.call("IngestService/SendUpload", pieces, ingest_pb2.Upload)


async def fetch_upload(
    suite: Suite, urls: Sequence[str] = (), *, s3_prefix: str = "", report: Report = progress.ignore
) -> ingest_pb2.Upload:
    """Lets the suite fetch files from where they lie, and answers with the complete upload.

    `urls`: `http://` or `https://`, as far as the suite's settings allow; one alone may be that of an archive.
    `s3_prefix`: `s3://bucket/prefix`, in a bucket that the settings name. A file that cannot be fetched is an issue
    of the import that reads the upload.
    """
    if bool(urls) == bool(s3_prefix):
        raise InvalidArgument("there is nothing to fetch, or too much", remedy="give URLs or one s3:// prefix")
    request = ingest_pb2.FetchUploadRequest(request_id=uuid.uuid4().hex)
    if s3_prefix:
        request.s3_prefix = s3_prefix
    else:
        request.urls.urls.extend(urls)
    job = await suite.call("IngestService/FetchUpload", request, operations_pb2.Operation)
    try:
        return await jobs.result(suite, job, ingest_pb2.Upload, report)
    except FramehouseError as error:
        # It keeps no issues, and what it fetched if it were tried again would go to nobody.
        error.facts.pop("job", None)
        raise


async def _open_upload(suite: Suite, archive: Archive, mark: Bookmark | None) -> ingest_pb2.Upload:
    """The upload of the archive that was cut off, or a new one."""
    if mark is not None and mark.upload:
        with suppress(NotFound):
            request = ingest_pb2.GetUploadRequest(name=mark.upload)
            upload = await suite.call("IngestService/GetUpload", request, ingest_pb2.Upload)
            if upload.size == archive.size and not mark.is_stale:
                return upload
        await _give_up(suite, mark.upload, mark)
    create = ingest_pb2.CreateUploadRequest(file_name=archive.file_name, size=archive.size)
    upload = await suite.call("IngestService/CreateUpload", create, ingest_pb2.Upload)
    if mark is not None:
        mark.keep(upload.name)
    return upload


async def _send(suite: Suite, archive: Archive, upload: ingest_pb2.Upload, report: Report) -> ingest_pb2.Upload:
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
            return list((await suite.call("IngestService/GetUpload", request, ingest_pb2.Upload)).parts)

        report(Progress("upload", "bytes", sent, archive.size, note=note))
        tags = await transfer.send_parts(archive.parts(upload.part_size), parts, renew, count)
        complete = ingest_pb2.CompleteUploadRequest(name=upload.name)
        for part, tag in zip(parts, tags, strict=True):
            complete.parts.add(number=part.number, etag=tag)
        upload = await suite.call("IngestService/CompleteUpload", complete, ingest_pb2.Upload)
    report(Progress("upload", "bytes", archive.size, archive.size, ended=True))
    return upload


async def _give_up(suite: Suite, upload: str, mark: Bookmark | None) -> None:
    """Frees what was sent, as far as the suite can be reached: what it is not told of expires."""
    if mark is not None:
        mark.forget()
    abort = ingest_pb2.AbortUploadRequest(name=upload)
    await leaving.last(suite.call("IngestService/AbortUpload", abort, empty_pb2.Empty))


def _say_kept(error: BaseException) -> None:
    """Adds to what ended an upload that it can be resumed."""
    if isinstance(error, FramehouseError):
        error.remedy = f"{error.remedy}; {_KEPT}" if error.remedy else _KEPT
    elif isinstance(error, asyncio.CancelledError):
        error.args = (_KEPT,)
