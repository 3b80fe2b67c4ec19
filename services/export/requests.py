"""Requests for exports: completed by their recipe, checked, and made a job."""

from google.longrunning import operations_pb2

from framehouse.runtime import channels, jobs, recipes
from framehouse.runtime.errors import InvalidArgument
from framehouse.v1 import conversion_pb2, conversion_pb2_grpc, export_pb2, job_pb2
from services.export.records import KEPT_LONGEST

LEAST_VOLUME = 1 << 20


async def begin(request: export_pb2.ExportDatasetRequest) -> operations_pb2.Operation:
    """Starts the job. What cannot be is refused now and not in the job, as far as it is known without reading the
    annotations.
    """
    if request.volume_bytes and request.volume_bytes < LEAST_VOLUME:
        raise InvalidArgument(
            f"volume_bytes is {request.volume_bytes:,}; a volume has {LEAST_VOLUME:,} bytes or more, and 0 is for one "
            "archive",
            field="volume_bytes",
        )
    longest = int(KEPT_LONGEST.total_seconds())
    if not 0 <= request.keep_seconds <= longest:
        raise InvalidArgument(
            f"keep_seconds is {request.keep_seconds:,}; an export is kept for {longest:,} seconds at most",
            field="keep_seconds",
        )
    asked = export_pb2.ExportDatasetRequest()
    asked.CopyFrom(request)
    asked.write.CopyFrom(await recipes.completed(channels.connect("ingest"), request.recipe, request.write))
    check = conversion_pb2.PreviewLossRequest(
        dataset=request.dataset, version=request.version, write=asked.write, check_only=True
    )
    conversion = conversion_pb2_grpc.ConversionServiceStub(channels.connect("conversion"))
    await conversion.PreviewLoss(check, timeout=60)
    job = await jobs.start(
        "ExportDataset",
        asked,
        queue="export",
        kind=job_pb2.JOB_KIND_EXPORT,
        target=request.dataset,
        request_id=request.request_id,
    )
    return operations_pb2.Operation(name=job)
