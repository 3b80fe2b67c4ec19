"""The jobs that begin with an upload: imports and conversions."""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from typing import TypeVar

from google.protobuf import empty_pb2
from google.protobuf.message import Message
from temporalio import workflow
from temporalio.exceptions import ActivityError

from framehouse.runtime import writing
from framehouse.runtime.jobs import step
from framehouse.runtime.progress import Tracked
from framehouse.runtime.writing import WriteShards, write_archive
from framehouse.v1 import conversion_pb2, dataset_pb2, ingest_pb2, job_pb2, media_pb2, statistics_pb2
from services.ingest import issues, reading
from services.ingest.reading import JoinRows, ReadImages, ReadLabels, read_archive

R = TypeVar("R", bound=Message)


@workflow.defn(name="ImportDataset")
class ImportDataset(Tracked):
    """An upload becomes a dataset, visible at the very end."""

    @workflow.run
    async def run(self, request: ingest_pb2.ImportDatasetRequest) -> ingest_pb2.ImportDatasetResponse:
        job = workflow.info().workflow_id
        name = f"{request.parent}/datasets/{request.dataset_id}"
        self.plan_stages(job_pb2.JOB_KIND_IMPORT, name, (*reading.STAGES, ("statistics", "images")))
        table_key = f"tables/{job}.lance"
        issues_key = issues.kept_key(job)
        mine = [f"{table_key}/", f"derived/{job}/", f"statistics/{job}/"]
        work = keeping_issues(self._run(request, name, job, table_key, issues_key), f"jobs/{job}/", issues_key)
        return await cleaning_up(work, f"jobs/{job}/", on_failure=mine)

    async def _run(
        self, request: ingest_pb2.ImportDatasetRequest, name: str, job: str, table_key: str, issues_key: str
    ) -> ingest_pb2.ImportDatasetResponse:
        committed = await read_archive(
            self,
            f"jobs/{job}/",
            f"derived/{job}/",
            table_key,
            request.upload,
            request.read,
            media_pb2.MEDIA_DEPTH_FULL,
            issues_key,
        )
        self.begin("statistics", committed.table.image_count)
        await step(statistics_pb2.MeasureTableRequest(table=committed.table), statistics_pb2.Statistics)
        dataset = await step(
            ingest_pb2.PublishDatasetRequest(
                name=name,
                display_name=request.display_name,
                uid=job,
                table=committed.table,
                issues=committed.issue_counts,
            ),
            dataset_pb2.Dataset,
        )
        self.finish("statistics")
        return ingest_pb2.ImportDatasetResponse(
            dataset=dataset, issue_counts=committed.issue_counts, issues=committed.issues
        )


@workflow.defn(name="ConvertArchive")
class ConvertArchive(Tracked):
    """An upload becomes an archive in another format; the table in between goes with the job."""

    @workflow.run
    async def run(self, request: conversion_pb2.ConvertArchiveRequest) -> conversion_pb2.ConvertArchiveResponse:
        self.plan_stages(job_pb2.JOB_KIND_CONVERT, request.upload, (*reading.STAGES, *writing.STAGES))
        return await cleaning_up(self._run(request), f"jobs/{workflow.info().workflow_id}/", on_failure=[])

    async def _run(self, request: conversion_pb2.ConvertArchiveRequest) -> conversion_pb2.ConvertArchiveResponse:
        job = workflow.info().workflow_id
        prefix = f"jobs/{job}/"
        committed = await read_archive(
            self,
            prefix,
            f"{prefix}derived/",
            f"{prefix}table.lance",
            request.upload,
            request.read,
            media_pb2.MEDIA_DEPTH_HEADER,
        )
        export, losses = await write_archive(
            self, prefix, committed.table, request.write, f"exports/{job}", f"{request.write.format}.zip"
        )
        return conversion_pb2.ConvertArchiveResponse(
            source_format=committed.table.source_format,
            image_count=committed.table.image_count,
            annotation_count=committed.table.annotation_count,
            export=export.name,
            issue_counts=committed.issue_counts,
            issues=committed.issues,
            losses=losses,
        )


async def keeping_issues(work: Awaitable[R], prefix: str, issues_key: str) -> R:
    """Runs a job's work and keeps, after a failure or a cancellation, the issues that its steps had found by then."""
    try:
        return await work
    except (Exception, asyncio.CancelledError):
        # What the job failed of is what its caller has to hear.
        with suppress(ActivityError):
            await step(ingest_pb2.KeepIssuesRequest(job_prefix=prefix, issues_key=issues_key), empty_pb2.Empty)
        raise


async def cleaning_up(work: Awaitable[R], prefix: str, *, on_failure: list[str]) -> R:
    """Runs a job's work and removes what lies under its prefix; after a failure or a cancellation, the rest too."""
    succeeded = False
    try:
        result = await work
        succeeded = True
        return result
    finally:
        prefixes = [prefix] if succeeded else [prefix, *on_failure]
        await step(ingest_pb2.CleanUpJobRequest(prefixes=prefixes), empty_pb2.Empty)


WORKFLOWS = (ImportDataset, ConvertArchive, ReadImages, ReadLabels, JoinRows, WriteShards)
"""What ingest's worker knows."""
