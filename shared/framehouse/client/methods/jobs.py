"""Jobs: listed, watched, waited for, stopped and tried again."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import TypeVar

from google.longrunning import operations_pb2
from google.protobuf import empty_pb2
from google.protobuf.message import Message

from framehouse.client import leaving, progress
from framehouse.client.errors import Cancelled, FramehouseError, from_status
from framehouse.client.progress import Report
from framehouse.client.suite import Suite
from framehouse.v1 import job_pb2

R = TypeVar("R", bound=Message)


async def list_jobs(suite: Suite, limit: int = 100) -> list[operations_pb2.Operation]:
    """The newest jobs, at most `limit`."""
    found: list[operations_pb2.Operation] = []
    request = job_pb2.ListJobsRequest(page_size=min(limit, 1000))
    while len(found) < limit:
        page = await suite.call("JobService/ListJobs", request, job_pb2.ListJobsResponse)
        found.extend(page.jobs)
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    return found[:limit]


async def watch_job(suite: Suite, name: str) -> AsyncGenerator[operations_pb2.Operation, None]:
    """The job now, and again each time it changes, up to its end."""
    request = job_pb2.WatchJobRequest(name=name)
    async with aclosing(suite.stream("JobService/WatchJob", request, operations_pb2.Operation)) as operations:
        async for operation in operations:
            yield operation


async def wait(suite: Suite, job: str, report: Report = progress.ignore) -> operations_pb2.Operation:
    """The job when it has ended; raises its error where it failed, whose facts name the job."""
    metadata = job_pb2.JobMetadata()
    told, waited_for = False, ""
    async with aclosing(watch_job(suite, job)) as operations:
        async for operation in operations:
            if operation.metadata.Unpack(metadata):
                stage = progress.Progress("", "", 0, 0)
                for stage in progress.stages(metadata):
                    report(stage)
                if metadata.losses and not told:
                    told = True
                    report(replace(stage, losses=tuple(metadata.losses)))
                if metadata.waiting_for != waited_for:
                    waited_for = metadata.waiting_for
                    report(replace(stage, note=f"waiting: {waited_for}" if waited_for else "going on"))
            if operation.done:
                if operation.HasField("error"):
                    failure = from_status(operation.error)
                    failure.facts["job"] = operation.name
                    raise failure
                return operation
    raise FramehouseError(f"{job} was no longer told of before its end", remedy="read it again")


async def cancel_job(suite: Suite, name: str) -> None:
    """Asks a job to stop; what it wrote is removed."""
    await suite.call("JobService/CancelJob", job_pb2.CancelJobRequest(name=name), empty_pb2.Empty)


async def retry_job(suite: Suite, name: str, report: Report = progress.ignore) -> operations_pb2.Operation:
    """Starts a job that failed or was cancelled again, as a new one, and answers with that when it has ended.

    The new job is cancelled where the caller is; `response` of the answer is that of the method that had started
    the job.
    """
    request = job_pb2.RetryJobRequest(name=name)
    job = await suite.call("JobService/RetryJob", request, operations_pb2.Operation)
    return await ended(suite, job.name, report)


async def ended(suite: Suite, job: str, report: Report) -> operations_pb2.Operation:
    """A job of ours when it has ended; where the caller goes, the job goes."""
    try:
        return await wait(suite, job, report)
    except asyncio.CancelledError:
        raise asyncio.CancelledError(await _stop(suite, job)) from None


async def result(suite: Suite, job: operations_pb2.Operation, response: type[R], report: Report) -> R:
    """The response of a job of ours; where the caller goes, the job goes."""
    operation = await ended(suite, job.name, report)
    answer = response()
    operation.response.Unpack(answer)
    return answer


async def _stop(suite: Suite, job: str) -> str:
    """Cancels a job whose caller is on the way out, and says what became of it."""

    async def stop() -> None:
        await cancel_job(suite, job)
        await wait(suite, job)

    match await leaving.last(stop()):
        case Cancelled():
            return f"{job} is stopped, and what it wrote is removed"
        case asyncio.CancelledError():
            return f"{job} was asked to stop"
        case FramehouseError() as error:
            return f"{job} could not be asked to stop and may go on: {error}"
        case _:
            return f"{job} had ended before it could be stopped"
