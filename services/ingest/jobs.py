"""The servicer of `JobService`: what Temporal knows of our workflows, as operations."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import grpc
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2
from google.protobuf.message import Message
from google.rpc import status_pb2
from temporalio.client import (
    Client,
    WorkflowExecution,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowQueryFailedError,
)
from temporalio.exceptions import CancelledError
from temporalio.service import RPCError, RPCStatusCode

from framehouse.runtime import access, channels, jobs
from framehouse.runtime.errors import FailedPrecondition, NotFound
from framehouse.runtime.page_tokens import not_ours
from framehouse.runtime.topology import OWNERS, is_client_facing, methods
from framehouse.v1 import export_pb2, ingest_pb2, job_pb2
from services.ingest.datasets import page_size
from services.ingest.names import job_id
from services.ingest.versions import start_snapshot

LISTED = "WorkflowType IN ('ImportDataset', 'ExportDataset', 'ConvertArchive', 'FetchUpload', 'SnapshotVersion')"
RETRIABLE = {
    WorkflowExecutionStatus.FAILED,
    WorkflowExecutionStatus.CANCELED,
    WorkflowExecutionStatus.TERMINATED,
    WorkflowExecutionStatus.TIMED_OUT,
}
POLL_SECONDS = 0.5
"""How often a watched job is looked at: as often as it tells how far it is; its end is seen at once."""
CHECKSUM_BYTES = 8
QUERY_TIMEOUT = timedelta(seconds=5)
TOLD_ATTEMPT = 3
"""The attempt of a step from which on it is told why the earlier ones failed: the first ones follow each other fast."""


class JobService:
    """Reads, follows, retries and cancels jobs."""

    async def GetJob(self, request: job_pb2.GetJobRequest) -> operations_pb2.Operation:
        handle = await _handle(request.name)
        return await _operation(handle, await _describe(handle, request.name))

    async def ListJobs(self, request: job_pb2.ListJobsRequest) -> job_pb2.ListJobsResponse:
        client = await jobs.client()
        caller = access.CALLER.get()
        asked = LISTED if caller is None or caller.admin else f"{LISTED} AND {jobs.of_owner(caller.user)}"
        async with jobs.reaching_job_server():
            listing = client.list_workflows(
                asked, page_size=page_size(request.page_size), next_page_token=_token(request.page_token)
            )
            await listing.fetch_next_page()
            page = await asyncio.gather(*(_listed(client, one) for one in listing.current_page or ()))
        return job_pb2.ListJobsResponse(jobs=page, next_page_token=_page_token(listing.next_page_token))

    async def WatchJob(self, request: job_pb2.WatchJobRequest) -> AsyncIterator[operations_pb2.Operation]:
        handle = await _handle(request.name)
        ended = asyncio.ensure_future(handle.result())
        last = None
        behind = 0.01
        try:
            while True:
                operation = await _operation(handle, await _describe(handle, request.name))
                if operation != last:
                    yield operation
                    last = operation
                if operation.done:
                    return
                if ended.done():
                    # The description may be behind for a moment; or waiting for the end broke off, and the job goes on.
                    await asyncio.sleep(behind)
                    behind = min(behind * 2, POLL_SECONDS)
                else:
                    await asyncio.wait([ended], timeout=POLL_SECONDS)
        finally:
            ended.cancel()
            await asyncio.gather(ended, return_exceptions=True)

    async def RetryJob(self, request: job_pb2.RetryJobRequest) -> operations_pb2.Operation:
        handle = await _handle(request.name)
        description = await _describe(handle, request.name)
        if description.status not in RETRIABLE:
            state = "still runs" if description.status == WorkflowExecutionStatus.RUNNING else "ended well"
            raise FailedPrecondition(
                f"{request.name} {state}; only a job that failed or was cancelled can be retried",
                reason="JOB_NOT_FAILED",
            )
        await _check_change(description)
        access.act_as(await jobs.owner_of(description))
        return await _start_again(await _started_with(handle, request.name))

    async def CancelJob(self, request: job_pb2.CancelJobRequest) -> empty_pb2.Empty:
        handle = await _handle(request.name)
        description = await _describe(handle, request.name)
        await _check_change(description)
        if description.status == WorkflowExecutionStatus.RUNNING:
            async with jobs.reaching_job_server():
                await handle.cancel()
        return empty_pb2.Empty()


async def _started_with(handle: WorkflowHandle[object, Message], name: str) -> Message:
    """The request that a job was started with, from the first event of its history."""
    client = await jobs.client()
    async with jobs.reaching_job_server():
        first = await anext(handle.fetch_history_events(page_size=1, rpc_timeout=QUERY_TIMEOUT))
        payloads = first.workflow_execution_started_event_attributes.input.payloads
        request: Message = (await client.data_converter.decode(payloads))[0]
    if isinstance(request, ingest_pb2.FetchUploadRequest) and not (request.s3_prefix or request.urls.urls):
        raise FailedPrecondition(
            f"{name} had too many URLs for them to be kept; send the request again", reason="JOB_NOT_KEPT"
        )
    return request


async def _start_again(request: Message) -> operations_pb2.Operation:
    """Calls the method that takes the request, as its client did; what that refuses is refused here too."""
    if isinstance(request, export_pb2.SnapshotVersionRequest):
        return operations_pb2.Operation(name=await start_snapshot(request, after_failure=True))
    request.ClearField("request_id")
    path, method = next(
        (path, method)
        for path, method in methods()
        if is_client_facing(method) and method.input_type is request.DESCRIPTOR
    )
    start = channels.connect(OWNERS[method.containing_service.full_name]).unary_unary(
        path, type(request).SerializeToString, operations_pb2.Operation.FromString
    )
    operation: operations_pb2.Operation = await start(request)
    return operation


async def _handle(name: str) -> WorkflowHandle[object, Message]:
    job = job_id(name)
    client = await jobs.client()
    return client.get_workflow_handle(job)


async def _describe(handle: WorkflowHandle[object, Message], name: str) -> WorkflowExecutionDescription:
    """What the job server knows of a job; `NOT_FOUND` where there is none, or it is another's."""
    unknown = NotFound("job", name, "list the jobs there are with ListJobs")
    async with jobs.reaching_job_server():
        try:
            description = await handle.describe(rpc_timeout=QUERY_TIMEOUT)
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:
                raise unknown from None
            raise
        if not access.may_read(await jobs.owner_of(description)):
            raise unknown
        return description


async def _check_change(execution: WorkflowExecution) -> None:
    """Who may only read may export, and do with that job what it likes; not so with others."""
    if await execution.memo_value("kind", 0, type_hint=int) != job_pb2.JOB_KIND_EXPORT:
        access.check_scope_write()


async def check_readable(name: str) -> None:
    """`NOT_FOUND` where there is no such job, or it is another's."""
    await _describe(await _handle(name), name)


async def _listed(client: Client, execution: WorkflowExecution) -> operations_pb2.Operation:
    """A job as a list shows it: without its response and, where it has ended, without its stages."""
    handle: WorkflowHandle[object, Message] = client.get_workflow_handle(execution.id)
    operation = operations_pb2.Operation(name=f"jobs/{execution.id}")
    if execution.status == WorkflowExecutionStatus.RUNNING:
        operation.metadata.Pack(await _metadata(handle, await handle.describe(rpc_timeout=QUERY_TIMEOUT)))
        return operation
    operation.metadata.Pack(await _outline(execution))
    operation.done = True
    if execution.status == WorkflowExecutionStatus.COMPLETED:
        operation.response.SetInParent()
        return operation
    try:
        await handle.result(follow_runs=False)
    except WorkflowFailureError as error:
        operation.error.CopyFrom(_status(error))
    return operation


async def _operation(handle: WorkflowHandle[object, Message], execution: WorkflowExecution) -> operations_pb2.Operation:
    operation = operations_pb2.Operation(name=f"jobs/{execution.id}")
    operation.metadata.Pack(await _metadata(handle, execution))
    if execution.status == WorkflowExecutionStatus.RUNNING:
        return operation
    operation.done = True
    try:
        response = await handle.result(follow_runs=False)
        operation.response.Pack(response)
    except WorkflowFailureError as error:
        operation.error.CopyFrom(_status(error))
    return operation


def _status(error: WorkflowFailureError) -> status_pb2.Status:
    if isinstance(error.cause, CancelledError):
        return status_pb2.Status(code=grpc.StatusCode.CANCELLED.value[0], message="the job was cancelled")
    return jobs.status_from(error.cause)


async def _metadata(handle: WorkflowHandle[object, Message], execution: WorkflowExecution) -> job_pb2.JobMetadata:
    """The stages as the workflow tells them; where no worker can answer, what the job server knows."""
    try:
        metadata: job_pb2.JobMetadata = await handle.query(
            "metadata", result_type=job_pb2.JobMetadata, rpc_timeout=QUERY_TIMEOUT
        )
    except (RPCError, WorkflowQueryFailedError):
        return await _outline(execution)
    if execution.close_time is not None:
        metadata.end_time.FromDatetime(execution.close_time)
    elif isinstance(execution, WorkflowExecutionDescription):
        _add_reported(metadata, execution)
        metadata.waiting_for = await _waiting_for(execution)
        _estimate(metadata)
    return metadata


async def _waiting_for(execution: WorkflowExecutionDescription) -> str:
    """What a step of the job, or of the first of its children, failed with again and again; empty for none."""
    running = execution.raw_description
    if not running.pending_activities and running.pending_children:
        client = await jobs.client()
        child = client.get_workflow_handle(running.pending_children[0].workflow_id)
        try:
            running = (await child.describe(rpc_timeout=QUERY_TIMEOUT)).raw_description
        except RPCError:  # it has just ended
            return ""
    stuck = (one.last_failure.message for one in running.pending_activities if one.attempt >= TOLD_ATTEMPT)
    return next((message for message in stuck if message), "")


def _add_reported(metadata: job_pb2.JobMetadata, execution: WorkflowExecutionDescription) -> None:
    """Adds the bytes that the running steps of a fetch have reported: one step may fetch an archive of any size."""
    if metadata.kind != job_pb2.JOB_KIND_FETCH:
        return
    for stage in metadata.stages:
        if stage.unit == "bytes" and stage.HasField("start_time") and not stage.HasField("end_time"):
            steps = execution.raw_description.pending_activities
            told = [one.data for step in steps for one in step.heartbeat_details.payloads]
            stage.done += sum(int(number) for number in told if number.isdigit())


async def _outline(execution: WorkflowExecution) -> job_pb2.JobMetadata:
    """What the job server itself knows of a job."""
    memo = await execution.memo()
    metadata = job_pb2.JobMetadata(kind=memo["kind"], target=memo["target"])
    metadata.start_time.FromDatetime(execution.start_time)
    if execution.close_time is not None:
        metadata.end_time.FromDatetime(execution.close_time)
    return metadata


def _estimate(metadata: job_pb2.JobMetadata) -> None:
    """The end by the rate of the stage that runs; the stages after it are short."""
    for stage in metadata.stages:
        if stage.HasField("start_time") and not stage.HasField("end_time") and 0 < stage.done < stage.total:
            began = stage.start_time.ToDatetime(UTC)
            elapsed = datetime.now(UTC) - began
            metadata.estimated_end_time.FromDatetime(began + elapsed * (stage.total / stage.done))
            return


def _page_token(token: bytes | None) -> str:
    return (_checksum(token) + token).hex() if token else ""


def _token(page_token: str) -> bytes | None:
    """The job server's token, which it takes for a fault of its own where it is none."""
    try:
        data = bytes.fromhex(page_token)
    except ValueError:
        data = b"none"
    check, token = data[:CHECKSUM_BYTES], data[CHECKSUM_BYTES:]
    if data and check != _checksum(token):
        raise not_ours()
    return token or None


def _checksum(token: bytes) -> bytes:
    return hashlib.blake2s(token, digest_size=CHECKSUM_BYTES).digest()
