"""The gateway as its own process, before a real gRPC backend: what goes in at one side comes out at the other."""

import asyncio
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.longrunning import operations_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status

from framehouse.runtime.errors import NotFound
from framehouse.v1 import dataset_pb2, dataset_pb2_grpc, job_pb2, job_pb2_grpc
from services.gateway.proxy import Proxy, Route

GET_DATASET = "/framehouse.v1.DatasetService/GetDataset"
WATCH_JOB = "/framehouse.v1.JobService/WatchJob"
UNKNOWN_FIELD = b"\xc2\x3e\x05later"  # field 1000, which no contract has
CARS = "users/me/datasets/cars"


class Backend(grpc.GenericRpcHandler):
    """The catalogue as bytes in and bytes out. What it saw of the last call is kept in `seen`."""

    def __init__(self) -> None:
        self.seen: dict[str, Any] = {}
        self.cancelled = asyncio.Event()
        self.next = asyncio.Event()

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        if handler_call_details.method == GET_DATASET:
            return grpc.unary_unary_rpc_method_handler(self.get_dataset)
        if handler_call_details.method == WATCH_JOB:
            return grpc.unary_stream_rpc_method_handler(self.watch_job)
        if handler_call_details.method == "/test.Talk/Both":
            return grpc.stream_stream_rpc_method_handler(self.talk)
        if handler_call_details.method == "/test.Talk/Sum":
            return grpc.stream_unary_rpc_method_handler(self.sum)
        return None

    async def get_dataset(self, request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        metadata = list(context.invocation_metadata() or ())
        self.seen = {"request": request, "metadata": metadata, "left": context.time_remaining()}
        name = dataset_pb2.GetDatasetRequest.FromString(request).name
        if name.endswith("/missing"):
            await context.abort_with_status(rpc_status.to_status(NotFound("dataset", name).status()))
        if name.endswith("/bare"):
            await context.abort(grpc.StatusCode.OUT_OF_RANGE, "näh", trailing_metadata=(("why", "because"),))
        if name.endswith("/away"):
            await context.abort_with_status(rpc_status.to_status(status_pb2.Status(code=14, message="store is away")))
        if name.endswith("/held"):
            await self._wait(self.next)
        if name.endswith("/slow"):
            await self._wait()
        await context.send_initial_metadata((("early", "1"), ("raw-bin", b"\x00\xff")))
        context.set_trailing_metadata((("late", "2"),))
        return dataset_pb2.Dataset(name=name, image_count=7).SerializeToString() + UNKNOWN_FIELD

    async def watch_job(self, request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        self.seen = {"left": context.time_remaining()}
        self.next.clear()
        for done in (False, True):
            operation = operations_pb2.Operation(name="jobs/1", done=done)
            operation.metadata.Pack(job_pb2.JobMetadata(kind=job_pb2.JOB_KIND_IMPORT, target=CARS))
            await context.write(operation.SerializeToString())
            await self._wait(self.next)
        if b"broken" in request:
            await context.abort_with_status(rpc_status.to_status(NotFound("job", "jobs/broken").status()))

    async def talk(self, requests: AsyncIterator[bytes], _: object) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request.upper()

    async def sum(self, requests: AsyncIterator[bytes], _: object) -> bytes:
        return b"".join([request async for request in requests])

    async def _wait(self, event: asyncio.Event | None = None) -> None:
        self.cancelled.clear()
        try:
            await asyncio.wait_for((event or asyncio.Event()).wait(), 20)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


async def start(*handlers: grpc.GenericRpcHandler) -> tuple[grpc.aio.Server, health.aio.HealthServicer, int]:
    server, checks = grpc.aio.server(), health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    server.add_generic_rpc_handlers(handlers)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    await checks.set("", health_pb2.HealthCheckResponse.SERVING)
    return server, checks, port


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Running:
    """A gateway process before `backend`; media, conversion, statistics and export are not there."""

    def __init__(self, backend: Backend, backend_port: int) -> None:
        self.backend = backend
        self.port, self.http_port, self.nowhere = free_port(), free_port(), free_port()
        addresses = {
            f"FRAMEHOUSE_{name}_ADDRESS": f"127.0.0.1:{self.nowhere}"
            for name in ("MEDIA", "CONVERSION", "STATISTICS", "EXPORT")
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "services.gateway"],
            env={
                **os.environ,
                **addresses,
                "FRAMEHOUSE_INGEST_ADDRESS": f"127.0.0.1:{backend_port}",
                "FRAMEHOUSE_PORT": str(self.port),
                "FRAMEHOUSE_HTTP_PORT": str(self.http_port),
            },
        )
        self.channel: Any = grpc.aio.insecure_channel(f"127.0.0.1:{self.port}")

    async def fetch(self, verb: str, path: str, body: bytes | None = None, **headers: Any) -> "Answer":
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        return await asyncio.to_thread(self._fetch, verb, path, body, headers)

    def _fetch(self, verb: str, path: str, body: bytes | None, headers: dict[str, str]) -> "Answer":
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=20)
        try:
            connection.request(verb, path, body, headers)
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()


class Answer:
    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def gateway() -> AsyncIterator[Running]:
    backend = Backend()
    server, _, port = await start(backend)
    running = Running(backend, port)
    try:
        checks: Any = health_pb2_grpc.HealthStub(running.channel)
        name = dataset_pb2.DESCRIPTOR.services_by_name["DatasetService"].full_name
        async for answer in checks.Watch(health_pb2.HealthCheckRequest(service=name), wait_for_ready=True, timeout=20):
            if answer.status == health_pb2.HealthCheckResponse.SERVING:
                break
        yield running
    finally:
        await running.channel.close()
        running.process.terminate()
        assert await asyncio.to_thread(running.process.wait, 20) == 0
        await server.stop(None)


def get_dataset(gateway: Running) -> Any:
    return gateway.channel.unary_unary(GET_DATASET)


def asked(name: str) -> bytes:
    return dataset_pb2.GetDatasetRequest(name=name).SerializeToString()


# --- gRPC


async def test_bytes_pass_unchanged_with_fields_that_nobody_knows(gateway: Running) -> None:
    request = asked(CARS) + UNKNOWN_FIELD
    response = await get_dataset(gateway)(request)
    assert gateway.backend.seen["request"] == request
    assert response == dataset_pb2.Dataset(name=CARS, image_count=7).SerializeToString() + UNKNOWN_FIELD


async def test_a_generated_stub_works_through_it(gateway: Running) -> None:
    stub = dataset_pb2_grpc.DatasetServiceStub(gateway.channel)
    dataset = await stub.GetDataset(dataset_pb2.GetDatasetRequest(name=CARS))
    assert dataset.image_count == 7


async def test_metadata_goes_both_ways(gateway: Running) -> None:
    sent = (("x-request-id", "mine-1"), ("authorization", "Bearer x"), ("some-bin", b"\x00\x01"), ("twice", "a"))
    call = get_dataset(gateway)(asked(CARS), metadata=(*sent, ("twice", "b"), ("te-st", "kept")))
    await call
    seen = gateway.backend.seen["metadata"]
    assert {*sent, ("twice", "b"), ("te-st", "kept")} <= {(key, value) for key, value in seen}
    assert [value for key, value in seen if key == "x-request-id"] == ["mine-1"]
    assert {("early", "1"), ("raw-bin", b"\x00\xff")} <= {(key, value) for key, value in await call.initial_metadata()}
    assert {("late", "2"), ("x-request-id", "mine-1")} == {
        (key, value) for key, value in await call.trailing_metadata()
    }


async def test_a_request_id_is_made_where_there_is_none(gateway: Running) -> None:
    call = get_dataset(gateway)(asked(CARS))
    await call
    answered = dict(await call.trailing_metadata())["x-request-id"]
    assert len(answered) == 32
    assert dict(gateway.backend.seen["metadata"])["x-request-id"] == answered


async def test_an_error_comes_back_with_its_details(gateway: Running) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await get_dataset(gateway)(asked("users/me/datasets/missing"))
    status = rpc_status.from_call(caught.value)  # type: ignore[arg-type]
    assert status == NotFound("dataset", "users/me/datasets/missing").status()
    assert dict(caught.value.trailing_metadata())["x-request-id"]


async def test_an_error_without_details_comes_back_as_it_is(gateway: Running) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await get_dataset(gateway)(asked("users/me/datasets/bare"))
    assert caught.value.code() is grpc.StatusCode.OUT_OF_RANGE
    assert caught.value.details() == "näh"
    assert dict(caught.value.trailing_metadata())["why"] == "because"


async def test_an_outage_behind_the_backend_is_not_taken_for_the_backend(gateway: Running) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await get_dataset(gateway)(asked("users/me/datasets/away"))
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.UNAVAILABLE, "store is away")


async def test_the_deadline_is_passed_on(gateway: Running) -> None:
    await get_dataset(gateway)(asked(CARS), timeout=5)
    assert gateway.backend.seen["left"] == pytest.approx(5, abs=0.5)
    await get_dataset(gateway)(asked(CARS))
    assert gateway.backend.seen["left"] is None
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await get_dataset(gateway)(asked("users/me/datasets/slow"), timeout=0.3)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await asyncio.wait_for(gateway.backend.cancelled.wait(), 5)


async def test_cancellation_reaches_the_backend(gateway: Running) -> None:
    gateway.backend.cancelled.clear()
    gateway.backend.seen = {}
    call = get_dataset(gateway)(asked("users/me/datasets/slow"))
    while not gateway.backend.seen:
        await asyncio.sleep(0.01)
    call.cancel()
    await asyncio.wait_for(gateway.backend.cancelled.wait(), 5)


async def test_a_stream_passes_each_message_as_it_comes(gateway: Running) -> None:
    stub: Any = job_pb2_grpc.JobServiceStub(gateway.channel)
    call = stub.WatchJob(job_pb2.WatchJobRequest(name="jobs/1"), timeout=10)
    first = await call.read()
    assert not first.done  # and the backend waits before it sends the second
    gateway.backend.next.set()
    assert (await call.read()).done
    assert await call.read() is grpc.aio.EOF
    assert dict(await call.trailing_metadata())["x-request-id"]


async def test_cancelling_a_stream_reaches_the_backend(gateway: Running) -> None:
    stub: Any = job_pb2_grpc.JobServiceStub(gateway.channel)
    call = stub.WatchJob(job_pb2.WatchJobRequest(name="jobs/1"))
    await call.read()
    call.cancel()
    await asyncio.wait_for(gateway.backend.cancelled.wait(), 5)


async def test_a_stream_can_end_in_an_error_with_details(gateway: Running) -> None:
    stub: Any = job_pb2_grpc.JobServiceStub(gateway.channel)
    call = stub.WatchJob(job_pb2.WatchJobRequest(name="jobs/broken"), timeout=10)
    await call.read()
    gateway.backend.next.set()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        while await call.read() is not grpc.aio.EOF:
            pass
    assert rpc_status.from_call(caught.value) == NotFound("job", "jobs/broken").status()  # type: ignore[arg-type]


async def test_streams_of_requests_pass_too() -> None:
    backend, _, port = await start(Backend())
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as behind:
        routes = {
            "/test.Talk/Both": Route("ingest", "Talk", "Both", streams_requests=True, streams_responses=True),
            "/test.Talk/Sum": Route("ingest", "Talk", "Sum", streams_requests=True, streams_responses=False),
        }
        server, _, front = await start(Proxy(routes, lambda _: behind))
        async with grpc.aio.insecure_channel(f"127.0.0.1:{front}") as channel:
            talk: Any = channel.stream_stream("/test.Talk/Both")(timeout=10)
            for word in (b"one", b"two"):
                await talk.write(word)
                assert await talk.read() == word.upper()
            await talk.done_writing()
            assert await talk.read() is grpc.aio.EOF
            total: Any = channel.stream_unary("/test.Talk/Sum")
            assert await total(iter([b"a", b"b"]), timeout=10) == b"ab"
        await server.stop(None)
    await backend.stop(None)


async def test_a_backend_that_is_away_is_named(gateway: Running) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await gateway.channel.unary_unary("/framehouse.v1.ConversionService/ListFormats")(b"", timeout=10)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert f"the conversion service at 127.0.0.1:{gateway.nowhere} does not answer" in (caught.value.details() or "")
    status = rpc_status.from_call(caught.value)  # type: ignore[arg-type]
    info = error_details_pb2.ErrorInfo()
    assert status is not None
    assert status.details[0].Unpack(info)
    assert info.metadata["dependency"] == "the conversion service"


@pytest.mark.parametrize("path", ["/framehouse.v1.MediaService/ProcessShard", "/framehouse.v1.JobService/Nothing"])
async def test_what_is_not_for_clients_is_unimplemented(gateway: Running, path: str) -> None:
    for call in (
        gateway.channel.unary_unary(path)(b"", timeout=10),
        gateway.channel.stream_stream(path)(iter([]), timeout=10).read(),
    ):
        with pytest.raises(grpc.aio.AioRpcError, match=path.rpartition("/")[2]) as caught:
            await call
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_health_is_that_of_the_backend(gateway: Running) -> None:
    stub: Any = health_pb2_grpc.HealthStub(gateway.channel)
    for service, status in (
        ("", health_pb2.HealthCheckResponse.SERVING),
        ("framehouse.v1.JobService", health_pb2.HealthCheckResponse.SERVING),
        ("framehouse.v1.ExportService", health_pb2.HealthCheckResponse.NOT_SERVING),
    ):
        assert (await stub.Check(health_pb2.HealthCheckRequest(service=service))).status == status


async def test_reflection_lists_what_clients_can_call(gateway: Running) -> None:
    def list_services() -> list[str]:
        with grpc.insecure_channel(f"127.0.0.1:{gateway.port}") as channel:
            return list(ProtoReflectionDescriptorDatabase(channel).get_services())

    names = await asyncio.to_thread(list_services)
    assert {"framehouse.v1.DatasetService", "framehouse.v1.JobService", "grpc.health.v1.Health"} <= set(names)


async def test_a_backend_that_comes_and_goes_is_noticed() -> None:
    backend = Backend()
    server, _, port = await start(backend)
    running = Running(backend, port)
    try:
        stub: Any = health_pb2_grpc.HealthStub(running.channel)
        asking = health_pb2.HealthCheckRequest(service="framehouse.v1.JobService")
        states = stub.Watch(asking, wait_for_ready=True, timeout=20)
        serving = health_pb2.HealthCheckResponse.SERVING

        async def wait_for(wanted: bool) -> None:
            while ((await states.read()).status == serving) is not wanted:
                pass

        await wait_for(True)
        await server.stop(None)
        await wait_for(False)
        server = grpc.aio.server()
        checks = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(checks, server)
        server.add_generic_rpc_handlers((backend,))
        server.add_insecure_port(f"127.0.0.1:{port}")
        await server.start()
        await checks.set("", serving)
        await wait_for(True)
        await running.channel.unary_unary(GET_DATASET)(asked(CARS), timeout=5)
    finally:
        await running.channel.close()
        running.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(running.process.wait, 20) == 0
        await server.stop(None)


async def test_calls_in_flight_are_finished_after_sigterm() -> None:
    backend = Backend()
    server, _, port = await start(backend)
    running = Running(backend, port)
    try:
        call = get_dataset(running)(asked("users/me/datasets/held"), timeout=20, wait_for_ready=True)
        while not backend.seen:
            await asyncio.sleep(0.01)
        backend.seen = {}
        fetched = asyncio.ensure_future(running.fetch("GET", "/v1/users/me/datasets/held"))
        while not backend.seen:
            await asyncio.sleep(0.01)
        running.process.terminate()
        await asyncio.sleep(0.3)
        with pytest.raises(OSError):
            await running.fetch("GET", "/healthz")
        backend.next.set()
        assert dataset_pb2.Dataset.FromString(await call).image_count == 7
        assert (await fetched).status == 200
        assert await asyncio.to_thread(running.process.wait, 20) == 0
    finally:
        await running.channel.close()
        running.process.kill()
        await server.stop(None)


# --- HTTP


async def test_http_answers_with_json(gateway: Running) -> None:
    answer = await gateway.fetch("GET", f"/v1/{CARS}", x_request_id="mine-2", authorization="Bearer x")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert (answer.json["name"], answer.json["imageCount"]) == (CARS, "7")
    assert answer.headers["x-request-id"] == "mine-2"
    seen = dict(gateway.backend.seen["metadata"])
    assert (seen["x-request-id"], seen["authorization"]) == ("mine-2", "Bearer x")
    assert gateway.backend.seen["left"] == pytest.approx(30, abs=2)


async def test_http_errors_have_the_status_and_the_details(gateway: Running) -> None:
    answer = await gateway.fetch("GET", "/v1/users/me/datasets/missing")
    error = answer.json["error"]
    assert (answer.status, error["code"], error["status"]) == (404, 404, "NOT_FOUND")
    assert error["message"] == "dataset 'users/me/datasets/missing' does not exist"
    assert error["details"][1]["resourceName"] == "users/me/datasets/missing"
    assert len(answer.headers["x-request-id"]) == 32


@pytest.mark.parametrize(
    ("verb", "path", "body", "kind", "status", "text"),
    [
        ("GET", "/v1/nothing", None, "", 404, "there is nothing at /v1/nothing"),
        ("PUT", "/v1/jobs/1", None, "", 405, "takes GET, not PUT"),
        ("POST", "/v1/uploads", b"{}", "text/plain", 415, "application/json"),
        ("POST", "/v1/uploads", b'{"nope": 1}', "application/json", 400, "there is no field 'nope'"),
        ("POST", "/v1/uploads", b"{", "application/json", 400, "not JSON"),
        ("GET", "/v1/jobs?page_sise=1", None, "", 400, "there is no field 'page_sise'"),
        ("GET", "/v1/users/%ff/datasets", None, "", 400, "not UTF-8"),
        ("POST", "/v1/uploads", b" " * (5 << 20), "application/json", 413, "larger than 4194304 bytes"),
        ("GET", "/v1/formats", None, "", 503, "the conversion service at"),
        ("POST", "/v1/jobs/1:cancel", b"{}", "application/json; charset=utf-8", 501, "not found"),
    ],
)
async def test_what_goes_wrong_says_so(
    gateway: Running, verb: str, path: str, body: bytes | None, kind: str, status: int, text: str
) -> None:
    answer = await gateway.fetch(verb, path, body, content_type=kind)
    assert answer.status == answer.json["error"]["code"] == status
    assert text in answer.json["error"]["message"].lower() or text in answer.json["error"]["message"]


@pytest.mark.parametrize(("header", "value"), [("x_timeout", "0.3"), ("x_timeout", "1s"), ("grpc_timeout", "300m")])
async def test_http_deadlines(gateway: Running, header: str, value: str) -> None:
    answer = await gateway.fetch("GET", "/v1/users/me/datasets/slow", None, **{header: value})
    assert (answer.status, answer.json["error"]["status"]) == (504, "DEADLINE_EXCEEDED")
    answer = await gateway.fetch("GET", f"/v1/{CARS}", None, **{header: "soon"})
    assert (answer.status, "for instance" in answer.json["error"]["message"]) == (400, True)


async def test_http_sends_each_line_of_a_stream_as_it_comes(gateway: Running) -> None:
    def read() -> tuple[str | None, dict[str, Any], list[bytes]]:
        connection = http.client.HTTPConnection("127.0.0.1", gateway.http_port, timeout=10)
        connection.request("GET", "/v1/jobs/broken:watch")
        response = connection.getresponse()
        first = json.loads(response.readline())
        loop.call_soon_threadsafe(gateway.backend.next.set)
        rest = response.readlines()
        connection.close()
        return response.getheader("content-type"), first, rest

    loop = asyncio.get_running_loop()
    kind, first, rest = await asyncio.to_thread(read)
    assert kind == "application/x-ndjson"
    assert (first["done"], first["metadata"]["target"]) == (False, CARS)
    assert [list(json.loads(line)) for line in rest] == [["name", "metadata", "done"], ["error"]]
    assert json.loads(rest[1])["error"]["status"] == "NOT_FOUND"
    assert gateway.backend.seen["left"] is None


@pytest.mark.parametrize("path", ["/v1/users/me/datasets/slow", "/v1/jobs/1:watch"])
async def test_a_client_that_leaves_cancels_the_call(gateway: Running, path: str) -> None:
    gateway.backend.cancelled.clear()
    gateway.backend.seen = {}
    _, writer = await asyncio.open_connection("127.0.0.1", gateway.http_port)
    writer.write(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
    while not gateway.backend.seen:
        await asyncio.sleep(0.01)
    writer.close()
    await asyncio.wait_for(gateway.backend.cancelled.wait(), 5)


async def test_healthz_says_what_is_not_serving(gateway: Running) -> None:
    answer = await gateway.fetch("GET", "/healthz")
    assert answer.status == 503
    assert answer.json == {
        "status": "NOT_SERVING",
        "not_serving": ["conversion", "export", "media", "statistics"],
    }


async def test_metrics_count_both_faces(gateway: Running) -> None:
    await get_dataset(gateway)(asked(CARS))
    answer = await gateway.fetch("GET", "/metrics")
    assert b'framehouse_rpc_seconds_count{code="OK",method="GetDataset",service="DatasetService"}' in answer.body


async def test_the_api_describes_itself(gateway: Running) -> None:
    document = (await gateway.fetch("GET", "/openapi.json")).json
    assert "/v1/users/{user}/datasets/{dataset}" in document["paths"]
    page = await gateway.fetch("GET", "/docs")
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b"GetDataset" in page.body
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert (await gateway.fetch("GET", "/")).headers["location"] == "/docs"
