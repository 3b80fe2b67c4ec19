"""Jobs on Temporal: steps, the worker that runs them, and starting a job.

A step is an internal unary method of a servicer, run as an activity on the task queue of the process that serves it.
Its request is its whole input, so a step can be run again by anyone at any time. Workflows call steps with `step`.
"""

import asyncio
import base64
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from datetime import datetime, timedelta
from functools import cache
from typing import Any, TypeVar

import grpc
import structlog
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2, status_pb2
from temporalio import activity, workflow
from temporalio.client import Client, WorkflowExecution, WorkflowExecutionStatus
from temporalio.common import (
    RetryPolicy,
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from framehouse.runtime import access
from framehouse.runtime.config import settings
from framehouse.runtime.errors import (
    RETRIABLE,
    Cancelled,
    FailedPrecondition,
    ResourceExhausted,
    Unavailable,
    code_name,
)
from framehouse.runtime.handlers import status_of
from framehouse.runtime.telemetry import JOBS_STARTED, REQUEST_ID, STEP_SECONDS, logger
from framehouse.runtime.topology import JOB_OWNER, OWNERS, is_client_facing, services
from framehouse.v1 import job_pb2

R = TypeVar("R", bound=Message)
T = TypeVar("T")

HEARTBEAT_SECONDS = 2.0
HEARTBEAT_TIMEOUT = timedelta(seconds=10)
STEP_TIMEOUT = timedelta(hours=6)
OWNER = SearchAttributeKey.for_keyword(JOB_OWNER)
"""By which the job server finds the jobs of a user. It has to be told of it once: `framehouse up` and deploy/ do."""
DEFECT_ATTEMPTS = 3
"""A step that fails for a reason nobody foresaw is tried so often; one that waits for a dependency, for ever."""

QUICK_RETRY = RetryPolicy(
    initial_interval=timedelta(milliseconds=500), backoff_coefficient=2.0, maximum_interval=timedelta(seconds=20)
)


# --- inside a step


class _Progress:
    done = 0
    cancelled = False


_PROGRESS: ContextVar[_Progress | None] = ContextVar("progress", default=None)


def report(done: int) -> None:
    """Says how much of a step is done, in units of the step's own, and stops the step where its job was cancelled.

    Call it from time to time in a long step, from any thread. Outside a job it does nothing.
    """
    if (progress := _PROGRESS.get()) is not None:
        progress.done = done
        if progress.cancelled:
            raise Cancelled("the job was cancelled")


def activities_of(descriptor: ServiceDescriptor, servicer: object) -> list[Callable[..., Any]]:
    """The internal unary methods of a servicer as activities, named `framehouse.v1.MediaService/ProcessShard`."""
    return [
        _activity(method, getattr(servicer, method.name))
        for method in descriptor.methods
        if not is_client_facing(method) and not method.server_streaming
    ]


def _activity(method: MethodDescriptor, call: Callable[[Message], Awaitable[Message]]) -> Callable[..., Any]:
    name = step_name(method)

    async def run(request: Message) -> Message:
        progress = _Progress()
        _PROGRESS.set(progress)
        # Children of a job are named after it.
        attempt, job = activity.info().attempt, (activity.info().workflow_id or "").partition("-")[0]
        REQUEST_ID.set(job)
        structlog.contextvars.bind_contextvars(request_id=job, method=method.full_name)
        began = time.perf_counter()
        work = asyncio.ensure_future(call(request))
        try:
            while not work.done():
                await asyncio.wait([work], timeout=HEARTBEAT_SECONDS)
                activity.heartbeat(progress.done)
            response = work.result()
        except asyncio.CancelledError:
            progress.cancelled = True
            await asyncio.wait([work], timeout=STEP_TIMEOUT.total_seconds())
            STEP_SECONDS.labels(name, "CANCELLED").observe(time.perf_counter() - began)
            raise
        except Exception as error:
            failure = _failure(error, job, attempt)
            STEP_SECONDS.labels(name, failure.type or "").observe(time.perf_counter() - began)
            logger().warning("step failed", step=name, attempt=attempt, error=str(failure))
            raise failure from None
        STEP_SECONDS.labels(name, "OK").observe(time.perf_counter() - began)
        return response

    # Temporal takes the payload types from the annotations.
    run.__annotations__ = {
        "request": GetMessageClass(method.input_type),
        "return": GetMessageClass(method.output_type),
    }
    return activity.defn(name=name)(run)


def _failure(error: Exception, request_id: str, attempt: int) -> ApplicationError:
    """A step's error as Temporal carries it: the status goes along, so that the job's client sees it as it was."""
    status = status_of(error, request_id)
    code = grpc.StatusCode[code_name(status.code)]
    defect = code is grpc.StatusCode.INTERNAL and attempt >= DEFECT_ATTEMPTS
    return failure_from(status, non_retryable=code not in RETRIABLE or defect)


def failure_from(status: status_pb2.Status, *, non_retryable: bool = True) -> ApplicationError:
    """A status as the error that ends a workflow or a step."""
    packed = base64.b64encode(status.SerializeToString()).decode()
    return ApplicationError(status.message, packed, type=code_name(status.code), non_retryable=non_retryable)


def status_from(error: BaseException | None) -> status_pb2.Status:
    """The status inside the error of a failed workflow, however deep it lies."""
    while error is not None:
        if isinstance(error, ApplicationError) and error.details and isinstance(error.details[0], str):
            return status_pb2.Status.FromString(base64.b64decode(error.details[0]))
        deeper = error.__cause__
        if deeper is None:
            break
        error = deeper
    return status_pb2.Status(code=grpc.StatusCode.INTERNAL.value[0], message=str(error) if error else "unknown error")


def reason_of(error: BaseException) -> str:
    """The stable reason inside the error of a failed step; empty where it has none."""
    info = error_details_pb2.ErrorInfo()
    return next((info.reason for detail in status_from(error).details if detail.Unpack(info)), "")


# --- inside a workflow


def step_name(method: MethodDescriptor) -> str:
    return f"{method.containing_service.full_name}/{method.name}"


@cache
def _steps() -> dict[str, MethodDescriptor]:
    """Internal methods by the full name of their request, which each has for itself."""
    return {
        method.input_type.full_name: method
        for service in services().values()
        for method in service.methods
        if not is_client_facing(method)
    }


async def step(request: Message, returns: type[R]) -> R:
    """Runs the step that takes `request`, on whichever replica is free, until it succeeds or cannot.

    Raises temporalio's ActivityError; `status_from` has what went wrong.
    """
    method = _steps()[request.DESCRIPTOR.full_name]
    response: R = await workflow.execute_activity(
        step_name(method),
        request,
        task_queue=OWNERS[method.containing_service.full_name],
        result_type=returns,
        start_to_close_timeout=STEP_TIMEOUT,
        heartbeat_timeout=HEARTBEAT_TIMEOUT,
        retry_policy=QUICK_RETRY,
        cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    )
    # A step that ended well although its job was cancelled meanwhile must not make the job go on.
    if (task := asyncio.current_task()) is not None and task.cancelling():
        raise asyncio.CancelledError
    return response


async def together(work: Iterable[Awaitable[T]]) -> list[T]:
    """Results of several awaitables, in order. The first failure cancels the others and is raised once they ended."""
    tasks = [asyncio.ensure_future(one) for one in work]
    if not tasks:
        return []
    try:
        await workflow.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in tasks:
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                raise error
        return [task.result() for task in tasks]
    except BaseException:
        for task in tasks:
            task.cancel()
        await workflow.wait(tasks)
        raise


# --- worker and client


@asynccontextmanager
async def reaching_job_server() -> AsyncIterator[None]:
    """Turns the job server's absence into `UNAVAILABLE` with its name and address; `FailedPrecondition` where it was
    never told of `OWNER`.
    """
    try:
        yield
    except RPCError as error:
        if error.status in (RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED):
            raise Unavailable("job server (Temporal)", settings().temporal_address, error.message) from None
        if error.status == RPCStatusCode.INVALID_ARGUMENT and OWNER.name in error.message:
            text = (
                f"the job server (Temporal) does not know the search attribute {OWNER.name}; register it with: "
                f"temporal operator search-attribute create --name {OWNER.name} --type Keyword"
            )
            raise FailedPrecondition(text, reason="JOB_SERVER_UNPREPARED") from None
        raise
    except RuntimeError as error:
        if "connect" in str(error):
            raise Unavailable("job server (Temporal)", settings().temporal_address, str(error)) from None
        raise


_client: Client | None = None


async def client() -> Client:
    """The connection of this process to the job server; made at the first call, and again after a failure."""
    global _client  # noqa: PLW0603
    if _client is None:
        async with reaching_job_server():
            _client = await Client.connect(
                settings().temporal_address, namespace=settings().temporal_namespace, lazy=True
            )
    return _client


async def run_worker(
    queue: str,
    servicers: dict[str, object],
    workflows: Sequence[type],
    stop: asyncio.Event,
) -> None:
    """Polls the task queue until `stop` is set, waiting for the job server as long as it takes."""
    activities = [work for name, servicer in servicers.items() for work in activities_of(services()[name], servicer)]
    if not activities and not workflows:
        return
    wait = 0.25
    while not stop.is_set():
        try:
            # A connection of its own: one that failed at first stays failed.
            connection = await Client.connect(settings().temporal_address, namespace=settings().temporal_namespace)
            worker = Worker(
                connection,
                task_queue=queue,
                workflows=workflows,
                activities=activities,
                max_concurrent_activities=settings().concurrent_activities,
                max_cached_workflows=100,
                graceful_shutdown_timeout=timedelta(seconds=settings().drain_seconds),
                # The sandbox is entered again for every payload: an eighth of the CPU of ingest in a small job.
                workflow_runner=UnsandboxedWorkflowRunner(),
            )
            async with worker:
                logger().info("polling for steps", queue=queue)
                await stop.wait()
        except (RPCError, RuntimeError) as error:
            logger().warning("job server does not answer", address=settings().temporal_address, error=str(error))
            await _sleep_unless(stop, wait)
            wait = min(wait * 2, 5.0)


async def _sleep_unless(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return


def job_of(request_id: str, user: str = "") -> str:
    """The id of the job that a user starts with a request id: what others call theirs does not matter.

    The user is empty where nobody is asked who it is.
    """
    return uuid.uuid5(uuid.NAMESPACE_URL, f"users/{user}/{request_id}" if user else request_id).hex


async def start(
    workflow_name: str,
    request: Message,
    *,
    queue: str,
    kind: job_pb2.JobKind,
    target: str,
    request_id: str,
    after_failure: bool = False,
    owner: str | None = None,
) -> str:
    """Starts a job and answers with its name, `jobs/{job}`; with a `request_id` used before, the job of that time.

    It belongs to the caller; `ResourceExhausted` where that has as many jobs as it may. One that the suite itself
    wants names its `owner`, and is neither refused nor counted. With `after_failure`, the
    job of that time is started again where it failed or was cancelled.
    """
    caller = access.CALLER.get() if owner is None else None
    limit = caller.concurrent_jobs if caller else 0
    user = caller.user if caller else owner or ""
    job = job_of(request_id, caller.user if caller else "") if request_id else uuid.uuid4().hex
    connection = await client()
    async with reaching_job_server():
        if limit:
            if request_id and await _is_there(connection, job):
                return f"jobs/{job}"
            await _check_room(connection, user, limit)
        try:
            await connection.start_workflow(
                workflow_name,
                request,
                id=job,
                task_queue=queue,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY
                if after_failure
                else WorkflowIDReusePolicy.REJECT_DUPLICATE,
                search_attributes=TypedSearchAttributes([SearchAttributePair(OWNER, user)] if user else []),
                memo={"kind": int(kind), "target": target, "owner": user, "counts": owner is None},
                rpc_timeout=timedelta(seconds=10),
            )
        except WorkflowAlreadyStartedError:
            return f"jobs/{job}"
    if limit:
        _just_started[job] = (user, time.monotonic())
    JOBS_STARTED.labels(workflow_name).inc()
    return f"jobs/{job}"


# --- how many jobs a caller may have at once

RUNNING = "ExecutionStatus = 'Running'"
LISTED_SECONDS = 5.0
"""The job server lists a job a moment after it has begun, so that those of the last seconds are asked for by name."""
ROOM_SECONDS = 10.0
"""After which somebody who has too many jobs is told to try again."""

_just_started: dict[str, tuple[str, float]] = {}
"""Owner of each job that this process has started in the last seconds, and when."""


async def owner_of(execution: WorkflowExecution) -> str:
    """The user to whom a job belongs; empty where nobody was asked who it is."""
    owner: str = await execution.memo_value("owner", "", type_hint=str)
    return owner


async def oldest_start() -> datetime | None:
    """When the job began that has run for the longest; None where none runs."""
    connection = await client()
    async with reaching_job_server():
        return min([one.start_time async for one in connection.list_workflows(RUNNING)], default=None)


def of_owner(user: str) -> str:
    """The jobs of a user, in the job server's query language."""
    return f"{OWNER.name} = '{user}'"


async def _check_room(connection: Client, owner: str, limit: int) -> None:
    listed = connection.list_workflows(f"{RUNNING} AND {of_owner(owner)}")
    running = {one.id async for one in listed if await one.memo_value("counts", True, type_hint=bool)}
    for job, (user, began) in list(_just_started.items()):
        if time.monotonic() - began > LISTED_SECONDS:
            del _just_started[job]
        elif user == owner and job not in running and await _is_there(connection, job, running=True):
            running.add(job)
    if len(running) >= limit:
        raise ResourceExhausted(
            f"users/{owner} has {len(running)} jobs and may have {limit} at once; wait for one to end",
            reason="TOO_MANY_JOBS",
            retry_seconds=ROOM_SECONDS,
            facts={"limit": str(limit)},
        )


async def _is_there(connection: Client, job: str, *, running: bool = False) -> bool:
    """Whether there is a job, or one that still runs."""
    try:
        found = await connection.get_workflow_handle(job).describe(rpc_timeout=timedelta(seconds=10))
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            return False
        raise
    return not running or found.status == WorkflowExecutionStatus.RUNNING
