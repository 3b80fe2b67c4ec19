"""The export job: a dataset becomes an archive."""

from google.protobuf import empty_pb2
from temporalio import workflow

from framehouse.runtime import writing
from framehouse.runtime.jobs import step
from framehouse.runtime.progress import Tracked
from framehouse.runtime.writing import WriteShards, write_archive
from framehouse.v1 import dataset_pb2, export_pb2, ingest_pb2, job_pb2


@workflow.defn(name="ExportDataset")
class ExportDataset(Tracked):
    """The head of a dataset, as it is when the job begins, becomes an archive."""

    @workflow.run
    async def run(self, request: export_pb2.ExportDatasetRequest) -> export_pb2.ExportDatasetResponse:
        job = workflow.info().workflow_id
        prefix = f"jobs/{job}/"
        self.plan_stages(job_pb2.JOB_KIND_EXPORT, request.dataset, writing.STAGES)
        try:
            table = await step(dataset_pb2.ResolveTableRequest(dataset=request.dataset), dataset_pb2.Table)
            file_name = f"{request.dataset.rpartition('/')[2]}.zip"
            export, losses = await write_archive(self, prefix, table, request.write, f"exports/{job}", file_name)
        finally:
            await step(ingest_pb2.CleanUpJobRequest(prefixes=[prefix]), empty_pb2.Empty)
        return export_pb2.ExportDatasetResponse(export=export, losses=losses)


WORKFLOWS = (ExportDataset, WriteShards)
"""What export's worker knows."""
