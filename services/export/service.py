"""The servicer of `ExportService`: starts exports, assembles archives, and signs the URLs to fetch them from.

The record of an export is an object beside its archive; there is no database.
"""

import asyncio
import re
from datetime import UTC, datetime, timedelta

from google.longrunning import operations_pb2
from google.protobuf import empty_pb2

from framehouse.runtime import channels, jobs
from framehouse.runtime.config import settings
from framehouse.runtime.errors import InvalidArgument, NotFound
from framehouse.runtime.writing import bundle_key
from framehouse.store.bucket import bucket
from framehouse.v1 import dataset_pb2, dataset_pb2_grpc, export_pb2, job_pb2

NAME = re.compile(r"exports/[0-9a-f]{32}")
FILE_NAME = re.compile(r"[^/\\\x00-\x1f]{1,255}")


class ExportService:
    """Assembles archives and signs their URLs."""

    async def ExportDataset(self, request: export_pb2.ExportDatasetRequest) -> operations_pb2.Operation:
        if not request.write.format:
            raise InvalidArgument("no format is named; ListFormats has the list", field="write.format")
        # Refuses an unknown dataset now and not in the job.
        datasets = dataset_pb2_grpc.DatasetServiceStub(channels.connect("ingest"))
        await datasets.ResolveTable(dataset_pb2.ResolveTableRequest(dataset=request.dataset), timeout=30)
        job = await jobs.start(
            "ExportDataset",
            request,
            queue="export",
            kind=job_pb2.JOB_KIND_EXPORT,
            target=request.dataset,
            request_id=request.request_id,
        )
        return operations_pb2.Operation(name=job)

    async def GetExport(self, request: export_pb2.GetExportRequest) -> export_pb2.Export:
        return await asyncio.to_thread(_get, request.name)

    async def ListExports(self, request: export_pb2.ListExportsRequest) -> export_pb2.ListExportsResponse:
        raise NotImplementedError("not built yet")

    async def DeleteExport(self, request: export_pb2.DeleteExportRequest) -> empty_pb2.Empty:
        raise NotImplementedError("not built yet")

    async def FindExport(self, request: export_pb2.FindExportRequest) -> export_pb2.Export:
        raise NotImplementedError("not built yet")

    async def AssembleSnapshot(
        self, request: export_pb2.AssembleSnapshotRequest
    ) -> export_pb2.AssembleSnapshotResponse:
        raise NotImplementedError("not built yet")

    async def AssembleArchive(self, request: export_pb2.AssembleArchiveRequest) -> export_pb2.Export:
        return await asyncio.to_thread(_assemble, request)


def _get(name: str) -> export_pb2.Export:
    if not NAME.fullmatch(name):
        raise InvalidArgument(f"{name!r} is no export; write exports/EXPORT", field="name")
    try:
        export = export_pb2.Export.FromString(bucket().get(_record_key(name)))
    except NotFound:
        raise NotFound("export", name, "start one with ExportDataset") from None
    seconds = settings().download_expiry_seconds
    export.url = bucket().presign_get(f"{name}/{export.file_name}", seconds, export.file_name)
    export.url_expire_time.FromDatetime(datetime.now(UTC) + timedelta(seconds=seconds))
    return export


def _assemble(request: export_pb2.AssembleArchiveRequest) -> export_pb2.Export:
    from framehouse.store.archive_writer import write_archive

    if not NAME.fullmatch(request.export) or not FILE_NAME.fullmatch(request.file_name):
        raise InvalidArgument("export and file_name must be a plain name each", field="file_name")
    bundles = [bundle_key(request.bundle_prefix, number) for number in range(request.bundle_count)]
    summary = write_archive(
        bucket(), [*bundles, request.last_bundle_key], f"{request.export}/{request.file_name}", jobs.report
    )
    export = export_pb2.Export(
        name=request.export,
        file_name=request.file_name,
        format=request.format,
        size=summary.size,
        image_count=request.image_count,
        annotation_count=request.annotation_count,
    )
    export.create_time.GetCurrentTime()
    bucket().put(_record_key(request.export), export.SerializeToString())
    return export


def _record_key(name: str) -> str:
    return f"{name}/export.pb"
