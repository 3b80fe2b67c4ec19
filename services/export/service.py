"""The servicer of `ExportService`: starts exports, assembles archives, and signs the URLs to fetch them from.

Whoever made an export may see and remove it, and so may the owner of its dataset; whoever may read the dataset may see
it.
"""

import asyncio
from datetime import UTC, datetime, timedelta

import grpc
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2

from framehouse.runtime import channels
from framehouse.runtime.access import may_read
from framehouse.runtime.config import settings
from framehouse.runtime.errors import InvalidArgument, NotFound, PermissionDenied
from framehouse.store.bucket import bucket
from framehouse.v1 import dataset_pb2, dataset_pb2_grpc, export_pb2
from services.export import records

URLS_LONGEST = 7 * 24 * 3600
LARGEST_PAGE = 1000


class ExportService:
    """Assembles archives and signs their URLs."""

    async def ExportDataset(self, request: export_pb2.ExportDatasetRequest) -> operations_pb2.Operation:
        from services.export.requests import begin

        return await begin(request)

    async def GetExport(self, request: export_pb2.GetExportRequest) -> export_pb2.Export:
        if not 0 <= request.url_seconds <= URLS_LONGEST:
            raise InvalidArgument(
                f"url_seconds is {request.url_seconds:,}; a URL lives for {URLS_LONGEST:,} seconds at most",
                field="url_seconds",
            )
        export = await asyncio.to_thread(records.read, bucket(), request.name)
        if not _owns(*records.owner_and_user(export)) and not await _is_public(export.dataset):
            raise NotFound("export", request.name)
        return await asyncio.to_thread(_sign, export, request.url_seconds or settings().download_expiry_seconds)

    async def ListExports(self, request: export_pb2.ListExportsRequest) -> export_pb2.ListExportsResponse:
        if request.page_size < 0:
            raise InvalidArgument("page_size is negative", field="page_size")
        if request.dataset:
            # It says what is wrong with the name, too.
            datasets = dataset_pb2_grpc.DatasetServiceStub(channels.connect("ingest"))
            await datasets.GetDataset(dataset_pb2.GetDatasetRequest(name=request.dataset), timeout=30)
        size = min(request.page_size or 100, LARGEST_PAGE)
        # Of a dataset that the caller may read, all exports may be seen.
        visible = _owns if not request.dataset else lambda owner, user: True
        return await asyncio.to_thread(records.page, bucket(), request, size, visible)

    async def DeleteExport(self, request: export_pb2.DeleteExportRequest) -> empty_pb2.Empty:
        export = await asyncio.to_thread(records.read, bucket(), request.name)
        if not _owns(*records.owner_and_user(export)):
            if not await _is_public(export.dataset):
                raise NotFound("export", request.name)
            raise PermissionDenied(f"{request.name} is another user's", reason="NOT_THE_OWNER")
        await asyncio.to_thread(records.remove, bucket(), request.name)
        return empty_pb2.Empty()

    async def FindExport(self, request: export_pb2.FindExportRequest) -> export_pb2.Export:
        keep = timedelta(seconds=request.request.keep_seconds or settings().export_keep_seconds)
        return await asyncio.to_thread(records.find, bucket(), request, keep)

    async def AssembleSnapshot(
        self, request: export_pb2.AssembleSnapshotRequest
    ) -> export_pb2.AssembleSnapshotResponse:
        from services.export.snapshots import assemble

        return await asyncio.to_thread(assemble, request)

    async def AssembleArchive(self, request: export_pb2.AssembleArchiveRequest) -> export_pb2.Export:
        from services.export.assembling import assemble

        return await asyncio.to_thread(assemble, request)


def _owns(owner: str, user: str) -> bool:
    """Whether the caller is one of two users, or is not asked who it is."""
    return may_read(owner) or may_read(user)


async def _is_public(dataset: str) -> bool:
    """Whether the caller may read a dataset that is another's."""
    if not dataset:
        return False
    datasets = dataset_pb2_grpc.DatasetServiceStub(channels.connect("ingest"))
    try:
        await datasets.GetDataset(dataset_pb2.GetDatasetRequest(name=dataset), timeout=30)
    except grpc.aio.AioRpcError as error:
        if error.code() in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.PERMISSION_DENIED):
            return False
        raise
    return True


def _sign(export: export_pb2.Export, seconds: int) -> export_pb2.Export:
    """The export with URLs that live for so long, but not longer than the export."""
    left = int((export.expire_time.ToDatetime(UTC) - datetime.now(UTC)).total_seconds())
    seconds = max(min(seconds, left), 1)
    for file in export.files:
        file.url = bucket().presign_get(f"{export.name}/{file.name}", seconds, file.name)
    export.url = export.files[0].url
    export.url_expire_time.FromDatetime(datetime.now(UTC) + timedelta(seconds=seconds))
    return export
