"""The gRPC face: every client-facing method, passed through to the process that owns its service.

Messages stay bytes from end to end. Deadline, cancellation, metadata, status and its details go both ways; nothing here
knows a message.
"""

import asyncio
import string
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, NoReturn, cast

import grpc

from framehouse.runtime.access import IDENTITY_METADATA
from framehouse.runtime.channels import unreachable
from framehouse.runtime.errors import ServiceError
from framehouse.runtime.telemetry import RPC_SECONDS, logger
from framehouse.runtime.topology import OWNERS, is_client_facing, methods, scope_of
from framehouse.v1 import key_pb2
from services.gateway.backends import STATUS_DETAILS
from services.gateway.keys import AUTHORIZATION, Keys

REQUEST_ID = "x-request-id"

Pair = tuple[str, str | bytes]
ChannelOf = Callable[[str], grpc.aio.Channel]
Context = grpc.aio.ServicerContext[bytes, bytes]

# Belong to one connection or to gRPC itself, and are made anew on the next one.
_HOP_BY_HOP = {
    "connection",
    "content-length",
    "content-type",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
}
_ID_CHARACTERS = set(string.ascii_letters + string.digits + "-_.:/=+")


class Route(NamedTuple):
    """Where a method is served, and how it is called."""

    process: str
    service: str
    """Short name, for metrics."""
    method: str
    streams_requests: bool
    streams_responses: bool
    scope: int = key_pb2.SCOPE_ADMIN
    """What a key needs for it."""


def client_routes() -> dict[str, Route]:
    """The route of every client-facing method by its path, `/framehouse.v1.JobService/GetJob`."""
    return {
        path: Route(
            OWNERS[method.containing_service.full_name],
            method.containing_service.name,
            method.name,
            method.client_streaming,
            method.server_streaming,
            scope_of(method),
        )
        for path, method in methods()
        if is_client_facing(method)
    }


def request_id(given: str | bytes | None) -> str:
    """The caller's request id where it can be kept in logs and headers, else a new one."""
    if isinstance(given, str) and 0 < len(given) <= 128 and set(given) <= _ID_CHARACTERS:
        return given
    return uuid.uuid4().hex


def passed_on(metadata: Iterable[Pair]) -> list[Pair]:
    """The metadata that crosses the gateway: all but what belongs to one connection, or is the gateway's own to say."""
    return [
        (key, value)
        for key, value in metadata
        if key not in _HOP_BY_HOP
        and key not in (REQUEST_ID, IDENTITY_METADATA)
        and (key == STATUS_DETAILS or not key.startswith(("grpc-", ":")))
    ]


class Proxy(grpc.GenericRpcHandler):
    """Answers the routed methods with what their process answers, and all others with `UNIMPLEMENTED`."""

    def __init__(self, routes: Mapping[str, Route], channel_of: ChannelOf, keys: Keys | None = None) -> None:
        self._handlers = {
            path: _handler(path, route, channel_of(route.process), keys) for path, route in routes.items()
        }
        self._internal = {path for path, _ in methods()} - routes.keys()

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        path = handler_call_details.method
        if handler := self._handlers.get(path):
            return handler
        if path.startswith("/grpc."):
            return None  # health and reflection are the server's own
        if path in self._internal:
            return _unimplemented(f"{path} is a step of jobs inside the suite; clients cannot call it")
        return _unimplemented(f"there is no method {path}; server reflection and /docs list those there are")


def _unimplemented(text: str) -> "grpc.RpcMethodHandler[bytes, bytes]":
    async def refuse(_: AsyncIterator[bytes], context: Context) -> None:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, text)

    # Stream to stream, because that reads nothing before it answers, whatever kind of call it is.
    return grpc.stream_stream_rpc_method_handler(cast(Any, refuse))


def _handler(
    path: str, route: Route, channel: grpc.aio.Channel, keys: Keys | None
) -> "grpc.RpcMethodHandler[bytes, bytes]":
    match route.streams_requests, route.streams_responses:
        case False, False:
            return grpc.unary_unary_rpc_method_handler(_unary(route, channel.unary_unary(path), keys))
        case True, False:
            return grpc.stream_unary_rpc_method_handler(_unary(route, channel.stream_unary(path), keys))
        case False, True:
            return grpc.unary_stream_rpc_method_handler(_streaming(route, channel.unary_stream(path), keys))
        case _:
            return grpc.stream_stream_rpc_method_handler(_streaming(route, channel.stream_stream(path), keys))


def _unary(route: Route, backend: Any, keys: Keys | None) -> Any:
    """Relays a call with one response. `request` is the message, or the stream of them, as bytes."""

    async def relay(request: Any, context: Context) -> bytes:
        answer = _Answer(route, context)
        metadata = await answer.admitted(keys)
        call = backend(request, timeout=context.time_remaining(), metadata=metadata)
        async with answer.ending_with(call):
            response: bytes = await call
            if initial := passed_on(await call.initial_metadata()):
                await context.send_initial_metadata(initial)
            context.set_trailing_metadata(answer.trailing(await call.trailing_metadata()))
        return response

    return relay


def _streaming(route: Route, backend: Any, keys: Keys | None) -> Any:
    """Relays a call with a stream of responses, each as it comes."""

    async def relay(request: Any, context: Context) -> None:
        answer = _Answer(route, context)
        metadata = await answer.admitted(keys)
        call = backend(request, timeout=context.time_remaining(), metadata=metadata)
        async with answer.ending_with(call):
            await context.send_initial_metadata(passed_on(await call.initial_metadata()))
            async for response in call:
                await context.write(response)
            context.set_trailing_metadata(answer.trailing(await call.trailing_metadata()))

    return relay


class _Answer:
    """One call on its way through: its metadata, its end, its time."""

    def __init__(self, route: Route, context: Context) -> None:
        self._began = time.perf_counter()
        self._route = route
        self._context = context
        self._received = list(cast(Iterable[Pair], context.invocation_metadata() or ()))
        self.id = request_id(next((value for key, value in self._received if key == REQUEST_ID), None))

    async def admitted(self, keys: Keys | None) -> list[Pair]:
        """The metadata to call with, which says who calls in place of the key; ends the call where its key does not
        allow it. Without `keys` anybody may call.
        """
        metadata = [*passed_on(self._received), (REQUEST_ID, self.id)]
        if keys is None:
            return metadata
        shown = next((value for key, value in metadata if key == AUTHORIZATION), "")
        try:
            identity = await keys.admit(shown, self._route.scope, self._route.method)
        except ServiceError as error:
            self._count(error.code.name)
            details: list[Pair] = [(STATUS_DETAILS, error.status().SerializeToString())]
            await self._context.abort(error.code, error.text, trailing_metadata=tuple(self.trailing(details)))
        return [*(pair for pair in metadata if pair[0] != AUTHORIZATION), (IDENTITY_METADATA, identity)]

    @asynccontextmanager
    async def ending_with(self, call: Any) -> AsyncIterator[None]:
        """Ends as the backend's call does: cancels it where the client is gone, and passes on why it failed."""
        try:
            yield
        except asyncio.CancelledError:
            call.cancel()
            self._count("CANCELLED")
            raise
        except grpc.aio.AioRpcError as error:
            await self._fail(error)
        self._count("OK")

    def trailing(self, metadata: Iterable[Pair]) -> list[Pair]:
        # The id travels at the end, where it costs no message of its own.
        return [*passed_on(metadata), (REQUEST_ID, self.id)]

    def _count(self, code: str) -> None:
        seconds = time.perf_counter() - self._began
        RPC_SECONDS.labels(self._route.service, self._route.method, code).observe(seconds)

    async def _fail(self, error: grpc.aio.AioRpcError) -> NoReturn:
        self._count(error.code().name)
        text, metadata = error.details() or "", list(cast(Iterable[Pair], error.trailing_metadata()))
        if (missing := unreachable(error, self._route.process)) is not None:
            logger().warning("backend does not answer", request_id=self.id, process=self._route.process, cause=text)
            text, metadata = missing.text, [(STATUS_DETAILS, missing.status().SerializeToString())]
        await self._context.abort(error.code(), text, trailing_metadata=tuple(self.trailing(metadata)))
