"""A servicer's methods as gRPC handlers, called through a real server."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from prometheus_client import REGISTRY

from framehouse.runtime import channels, handlers, topology
from framehouse.runtime.errors import NotFound, Unavailable
from framehouse.runtime.telemetry import REQUEST_ID
from framehouse.v1 import job_pb2, job_pb2_grpc


class Jobs:
    """Answers by the name it is asked for."""

    seen_request_id = ""

    async def GetJob(self, request: job_pb2.GetJobRequest) -> operations_pb2.Operation:
        Jobs.seen_request_id = REQUEST_ID.get()
        if request.name == "jobs/missing":
            raise NotFound("job", request.name, "list the jobs there are")
        if request.name == "jobs/broken":
            raise ZeroDivisionError("a secret detail")
        if request.name == "jobs/slow":
            await asyncio.sleep(30)
        return operations_pb2.Operation(name=request.name)

    async def ListJobs(self, request: job_pb2.ListJobsRequest) -> job_pb2.ListJobsResponse:
        raise Unavailable("object store", "127.0.0.1:1", "connection refused")

    async def WatchJob(self, request: job_pb2.WatchJobRequest) -> AsyncIterator[operations_pb2.Operation]:
        for number in range(3):
            yield operations_pb2.Operation(name=f"{request.name}/{number}")

    async def RetryJob(self, request: job_pb2.RetryJobRequest) -> operations_pb2.Operation:
        return operations_pb2.Operation(name=request.name)

    async def CancelJob(self, request: job_pb2.CancelJobRequest) -> empty_pb2.Empty:
        return empty_pb2.Empty()


@pytest.fixture
async def stub() -> AsyncIterator["job_pb2_grpc.JobServiceAsyncStub"]:
    server = grpc.aio.server()
    descriptor = topology.services()["framehouse.v1.JobService"]
    server.add_generic_rpc_handlers([handlers.generic_handler(descriptor, Jobs())])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with channels.open_channel(f"127.0.0.1:{port}", "media") as channel:
        yield job_pb2_grpc.JobServiceStub(channel)
    await server.stop(0)


async def test_an_error_arrives_with_its_code_and_details(stub: "job_pb2_grpc.JobServiceAsyncStub") -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetJob(job_pb2.GetJobRequest(name="jobs/missing"))
    status = rpc_status.from_call(caught.value)
    assert status.code == grpc.StatusCode.NOT_FOUND.value[0]
    info, resource = error_details_pb2.ErrorInfo(), error_details_pb2.ResourceInfo()
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(resource)
    assert (info.reason, resource.resource_name) == ("JOB_NOT_FOUND", "jobs/missing")


async def test_a_defect_is_internal_and_shows_nothing_of_itself(stub: "job_pb2_grpc.JobServiceAsyncStub") -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetJob(job_pb2.GetJobRequest(name="jobs/broken"), metadata=(("x-request-id", "abc"),))
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert "abc" in caught.value.details()
    assert "secret" not in caught.value.details()


async def test_the_request_id_of_the_caller_is_kept(stub: "job_pb2_grpc.JobServiceAsyncStub") -> None:
    await stub.GetJob(job_pb2.GetJobRequest(name="jobs/a"), metadata=(("x-request-id", "mine"),))
    assert Jobs.seen_request_id == "mine"


async def test_a_deadline_ends_the_call(stub: "job_pb2_grpc.JobServiceAsyncStub") -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetJob(job_pb2.GetJobRequest(name="jobs/slow"), timeout=0.2)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_what_does_not_answer_is_named_and_retried(stub: "job_pb2_grpc.JobServiceAsyncStub") -> None:
    def calls() -> float:
        labels = {"service": "JobService", "method": "ListJobs", "code": "UNAVAILABLE"}
        return REGISTRY.get_sample_value("framehouse_rpc_seconds_count", labels) or 0

    before = calls()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.ListJobs(job_pb2.ListJobsRequest(), timeout=20)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "object store at 127.0.0.1:1" in caught.value.details()
    assert calls() - before == channels.SERVICE_CONFIG["methodConfig"][0]["retryPolicy"]["maxAttempts"]


async def test_a_stream_arrives_in_order(stub: "job_pb2_grpc.JobServiceAsyncStub") -> None:
    names = [operation.name async for operation in stub.WatchJob(job_pb2.WatchJobRequest(name="jobs/a"))]
    assert names == ["jobs/a/0", "jobs/a/1", "jobs/a/2"]


def test_a_servicer_without_a_method_is_refused_at_once() -> None:
    with pytest.raises(AttributeError, match="GetJob"):
        handlers.generic_handler(topology.services()["framehouse.v1.JobService"], object())
