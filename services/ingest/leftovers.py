"""What jobs and datasets leave behind that did not come to their own clean-up: steps' outputs, tables, statistics.

A job was terminated in the job server, or a process died while it removed a dataset. All of it is named by the job's
id, which is the dataset's too.
"""

import asyncio
import re
from collections.abc import Iterator
from datetime import datetime
from itertools import groupby, islice

from sqlalchemy import select
from temporalio.client import WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from framehouse.runtime import jobs
from framehouse.store.bucket import Bucket
from services.ingest.catalogue import Catalogue, DatasetRow, UploadRow
from services.ingest.references import is_base

WRITTEN = ("packs/", "derived/", "jobs/", "tables/", "statistics/", "exports/", "versions/")
"""Where objects are written in parts."""
FOLDERS = ("jobs/", "tables/", "statistics/", "versions/")
OWNED = re.compile(r"(jobs|tables|statistics|versions)/([0-9a-f]{32})(\.lance)?")
AT_ONCE = 1000
"""Prefixes of one round."""


async def sweep(bucket: Bucket, catalogue: Catalogue, before: datetime) -> int:
    """Removes what was last written before that time and belongs to no dataset and no job that runs.

    Answers with the number of prefixes.
    """
    swept = 0
    for prefix in await asyncio.to_thread(lambda: list(islice(_old(bucket, catalogue, before), AT_ONCE))):
        job = _owner(prefix)
        # In this order: the job may just have made its dataset.
        if not await _is_running(job) and not await asyncio.to_thread(_is_needed, catalogue, prefix):
            await asyncio.to_thread(bucket.remove_prefix, f"{prefix}/")
            swept += 1
    return swept


def abort_unfinished(bucket: Bucket, catalogue: Catalogue, before: datetime) -> int:
    """Frees the parts of objects whose writer died before it had ended, and which began before that time.

    Uploads that clients may still resume are left alone. Answers with the number of objects.
    """
    with catalogue.session() as session:
        open_uploads = set(session.scalars(select(UploadRow.multipart_id).where(~UploadRow.complete)))
    aborted = 0
    for prefix in WRITTEN:
        for key, upload, began in bucket.unfinished(prefix):
            if began < before and upload not in open_uploads:
                bucket.abort_multipart(key, upload)
                aborted += 1
    return aborted


def _old(bucket: Bucket, catalogue: Catalogue, before: datetime) -> Iterator[str]:
    """The prefixes that belong to no dataset and under which all is old."""
    for folder in FOLDERS:
        for prefix, objects in groupby(bucket.modified(folder), key=lambda item: "/".join(item[0].split("/")[:2])):
            # All of them are gone through, whatever the answer: the next prefix comes after them.
            newest = max(time for _, time in objects)
            if newest < before and OWNED.fullmatch(prefix) and not _is_needed(catalogue, prefix):
                yield prefix


def _owner(prefix: str) -> str:
    match = OWNED.fullmatch(prefix)
    return match[2] if match else ""


def _is_needed(catalogue: Catalogue, prefix: str) -> bool:
    """Whether it is a dataset's, or a table that the table of a clone reads files of."""
    with catalogue.session() as session:
        dataset = session.scalar(select(DatasetRow.uid).filter_by(uid=_owner(prefix)))
        return dataset is not None or is_base(session, prefix)


async def _is_running(job: str) -> bool:
    client = await jobs.client()
    async with jobs.reaching_job_server():
        try:
            return (await client.get_workflow_handle(job).describe()).status == WorkflowExecutionStatus.RUNNING
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:
                return False
            raise
