"""The export job: a dataset becomes an archive."""

from google.protobuf import empty_pb2
from temporalio import workflow

from framehouse.runtime import writing
from framehouse.runtime.jobs import step
from framehouse.runtime.progress import Tracked
from framehouse.runtime.writing import WriteShards, write_archive
from framehouse.v1 import dataset_pb2, export_pb2, ingest_pb2, job_pb2
from services.export.snapshots import SnapshotVersion


@workflow.defn(name="ExportDataset")
class ExportDataset(Tracked):
    """The head of a dataset, as it is when the job begins, or a version becomes an archive."""

    @workflow.run
    async def run(self, request: export_pb2.ExportDatasetRequest) -> export_pb2.ExportDatasetResponse:
        job = workflow.info().workflow_id
        prefix = f"jobs/{job}/"
        self.plan_stages(job_pb2.JOB_KIND_EXPORT, request.dataset, writing.STAGES)
        try:
            resolve = dataset_pb2.ResolveTableRequest(dataset=request.dataset, version=request.version)
            table = await step(resolve, dataset_pb2.Table)
            found = await step(export_pb2.FindExportRequest(request=request, table=table), export_pb2.Export)
            if found.name:
                self.set_losses(found.losses)
                return export_pb2.ExportDatasetResponse(export=found, losses=found.losses, reused=True)
            export = await write_archive(
                self, prefix, table, request.write, f"exports/{job}", _file_name(request), request
            )
        finally:
            await step(ingest_pb2.CleanUpJobRequest(prefixes=[prefix]), empty_pb2.Empty)
        return export_pb2.ExportDatasetResponse(export=export, losses=export.losses)


def _file_name(request: export_pb2.ExportDatasetRequest) -> str:
    """`cars.zip` for the head, `cars-v3.zip` for a version."""
    version = f"-v{request.version}" if request.version else ""
    return f"{request.dataset.rpartition('/')[2]}{version}.zip"


WORKFLOWS = (ExportDataset, SnapshotVersion, WriteShards)
"""What export's worker knows."""
