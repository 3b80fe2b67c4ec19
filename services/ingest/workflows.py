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
from framehouse.runtime.jobs import reason_of, step
from framehouse.runtime.progress import Tracked
from framehouse.runtime.writing import WriteShards, plan_archive, write_archive
from framehouse.v1 import conversion_pb2, dataset_pb2, ingest_pb2, job_pb2, media_pb2, statistics_pb2
from services.ingest import issues, reading
from services.ingest.failing import cleaning_up
from services.ingest.fetching import FetchUpload
from services.ingest.reading import JoinRows, ReadImages, ReadLabels, ReadVideos, read_archive

R = TypeVar("R", bound=Message)


@workflow.defn(name="ImportDataset")
class ImportDataset(Tracked):
    """An upload becomes a dataset, or is added to one; visible at the very end."""

    @workflow.run
    async def run(self, request: ingest_pb2.ImportDatasetRequest) -> ingest_pb2.ImportDatasetResponse:
        job = workflow.info().workflow_id
        name = f"{request.parent}/datasets/{request.dataset_id}"
        self.plan_stages(job_pb2.JOB_KIND_IMPORT, name, (*reading.STAGES, ("statistics", "images")))
        table_key = f"tables/{job}.lance"
        issues_key = issues.kept_key(job)
        work = keeping_issues(self._run(request, name, job, table_key, issues_key), f"jobs/{job}/", issues_key)
        # After a failure, previews stay for the grace period, so that the job started again decodes nothing twice.
        return await cleaning_up(
            work,
            f"jobs/{job}/",
            on_failure=[f"{table_key}/", f"statistics/{job}/"],
            on_cancellation=[f"derived/{job}/"],
        )

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
            request.max_side if request.HasField("max_side") else reading.DEFAULT_MAX_SIDE,
            request.drop_originals,
        )
        self.begin("statistics", committed.table.image_count)
        response = ingest_pb2.ImportDatasetResponse(
            issue_counts=committed.issue_counts, issues=committed.issues, job=f"jobs/{job}"
        )
        added = await _add(request, name, job, committed) if request.add else None
        if added is None:
            await step(statistics_pb2.MeasureTableRequest(table=committed.table), statistics_pb2.Statistics)
            publish = ingest_pb2.PublishDatasetRequest(
                name=name,
                display_name=request.display_name,
                uid=job,
                table=committed.table,
                issues=committed.issue_counts,
                tag=request.tag,
            )
            try:
                response.dataset.CopyFrom(await step(publish, dataset_pb2.Dataset))
            except ActivityError as error:
                # Another import may have made the dataset since.
                if reason_of(error) == "DATASET_EXISTS" and request.add:
                    added = await _add(request, name, job, committed)
                if added is None:
                    raise
        if added is not None:
            response.dataset.CopyFrom(added.dataset)
            response.added.CopyFrom(added.summary)
            # The images are in the dataset, whatever becomes of its statistics.
            with suppress(ActivityError):
                await step(statistics_pb2.MeasureTableRequest(table=added.table), statistics_pb2.Statistics)
            mine = [f"{table_key}/", f"statistics/{job}/"]
            await step(ingest_pb2.CleanUpJobRequest(prefixes=mine), empty_pb2.Empty)
        self.finish("statistics")
        return response


async def _add(
    request: ingest_pb2.ImportDatasetRequest, name: str, job: str, committed: ingest_pb2.CommitTableResponse
) -> ingest_pb2.AddToDatasetResponse | None:
    """Adds to the dataset; None where there is no such dataset."""
    add = ingest_pb2.AddToDatasetRequest(
        name=name, table=committed.table, policy=request.add, job=job, issues=committed.issue_counts, tag=request.tag
    )
    try:
        return await step(add, ingest_pb2.AddToDatasetResponse)
    except ActivityError as error:
        if reason_of(error) == "DATASET_NOT_FOUND":
            return None
        raise


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
            write=request.write,
        )
        response = conversion_pb2.ConvertArchiveResponse(
            source_format=committed.table.source_format,
            image_count=committed.table.image_count,
            annotation_count=committed.table.annotation_count,
            issue_counts=committed.issue_counts,
            issues=committed.issues,
        )
        if request.dry_run:
            plan = await plan_archive(self, prefix, committed.table, request.write)
            response.losses.extend(plan.losses)
            return response
        export = await write_archive(
            self, prefix, committed.table, request.write, f"exports/{job}", f"{request.write.format}.zip"
        )
        response.export = export.name
        response.losses.extend(export.losses)
        return response


async def keeping_issues(work: Awaitable[R], prefix: str, issues_key: str) -> R:
    """Runs a job's work and keeps, after a failure or a cancellation, the issues that its steps had found by then."""
    try:
        return await work
    except (Exception, asyncio.CancelledError):
        # What the job failed of is what its caller has to hear.
        with suppress(ActivityError):
            await step(ingest_pb2.KeepIssuesRequest(job_prefix=prefix, issues_key=issues_key), empty_pb2.Empty)
        raise


WORKFLOWS = (ImportDataset, ConvertArchive, FetchUpload, ReadVideos, ReadImages, ReadLabels, JoinRows, WriteShards)
"""What ingest's worker knows."""
