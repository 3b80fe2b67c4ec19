"""The job that fetches an upload from elsewhere: list the files, fetch them run by run, make an upload of it all."""

import asyncio

from temporalio import workflow

from framehouse.runtime.config import settings
from framehouse.runtime.errors import InvalidArgument
from framehouse.runtime.jobs import failure_from, step, together
from framehouse.runtime.progress import Tracked
from framehouse.v1 import ingest_pb2, job_pb2
from services.ingest.failing import cleaning_up

STAGES = (("files", "files"), ("fetched", "bytes"))
FILES_A_RUN = 200
RUNS = 500
"""Runs at most, so that the job's history is short: where there are more files, each run has more."""
RUNS_AT_ONCE = 2
"""Few: each has several connections, and other jobs wait for the same processes."""


@workflow.defn(name="FetchUpload")
class FetchUpload(Tracked):
    """Files from elsewhere become an upload, complete at the very end, whose id is the job's."""

    @workflow.run
    async def run(self, request: ingest_pb2.FetchUploadRequest) -> ingest_pb2.Upload:
        job = workflow.info().workflow_id
        title = workflow.memo_value("target", type_hint=str)
        self.plan_stages(job_pb2.JOB_KIND_FETCH, title, STAGES)
        work = self._run(request, title, f"jobs/{job}/", job)
        return await cleaning_up(work, f"jobs/{job}/", on_failure=[f"packs/{job}"])

    async def _run(
        self, request: ingest_pb2.FetchUploadRequest, title: str, prefix: str, job: str
    ) -> ingest_pb2.Upload:
        list_key, first_index = f"{prefix}list", f"{prefix}list.index"
        self.begin("files")
        plan = await step(
            ingest_pb2.FetchFilesRequest(source=request, list_key=list_key, output_key=first_index),
            ingest_pb2.FetchFilesResponse,
        )
        self.add_issues(plan.issues.count)
        self.begin("files", plan.file_count)
        self.begin("fetched", plan.byte_count)

        # The URLs are on the list.
        source = ingest_pb2.FetchUploadRequest(s3_prefix=request.s3_prefix)
        if request.WhichOneof("source") == "urls":
            source = ingest_pb2.FetchUploadRequest(urls=ingest_pb2.UrlList())
        files_a_run = FILES_A_RUN * max(-(-plan.file_count // (FILES_A_RUN * RUNS)), 1)
        firsts = range(0, plan.file_count, files_a_run)
        slots = asyncio.Semaphore(RUNS_AT_ONCE)

        async def fetch(number: int, first: int) -> str:
            index_key = f"{prefix}files/{number:04d}"
            async with slots:
                done = await step(
                    ingest_pb2.FetchFilesRequest(
                        source=source,
                        first=first,
                        count=min(files_a_run, plan.file_count - first),
                        list_key=list_key,
                        pack_key=f"packs/{job}-{number:04d}" if len(firsts) > 1 else f"packs/{job}",
                        output_key=index_key,
                    ),
                    ingest_pb2.FetchFilesResponse,
                )
            self.advance("files", done.file_count, done.issues.count)
            self.advance("fetched", done.byte_count, 0)
            self._check_size()
            return index_key

        index_keys = await together(fetch(number, first) for number, first in enumerate(firsts))
        self.finish("files", self._stage("files").done)
        self.finish("fetched", self._stage("fetched").done)
        owner: str = workflow.memo_value("owner", "", type_hint=str)
        return await step(
            ingest_pb2.FinishFetchRequest(
                upload_id=job, file_name=title, index_keys=[first_index, *index_keys], owner=owner
            ),
            ingest_pb2.Upload,
        )

    def _check_size(self) -> None:
        limit = settings().max_archive_bytes
        if self._stage("fetched").done > limit:
            raise failure_from(
                InvalidArgument(
                    f"the files have more than {limit:,} bytes, which is what an upload may have; fetch fewer at once",
                    reason="ARCHIVE_TOO_LARGE",
                ).status()
            )
