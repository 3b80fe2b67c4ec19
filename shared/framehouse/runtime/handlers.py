"""Turns the methods of a servicer into gRPC handlers: request id, deadline, metrics, logs and errors in one place.

A servicer is a plain class with one coroutine (or asynchronous generator, for a stream) for each rpc of its contract,
named like the rpc. It takes the request, or the asynchronous iterator of the requests that a client streams, and
nothing else, and raises `framehouse.runtime.errors`.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import structlog
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import status_pb2
from grpc_status import rpc_status

from framehouse.runtime import access
from framehouse.runtime.channels import DEADLINE
from framehouse.runtime.errors import Internal, InvalidArgument, ServiceError, code_name
from framehouse.runtime.requests import check_enums
from framehouse.runtime.telemetry import REQUEST_ID, RPC_SECONDS, logger
from framehouse.runtime.topology import is_client_facing

Unary = Callable[[Any], Awaitable[Message]]
"""Of a message, or of an asynchronous iterator of messages."""
Streaming = Callable[[Message], AsyncIterator[Message]]


def status_of(error: Exception, request_id: str) -> status_pb2.Status:
    """The status that a client sees for an exception; what is not ours is logged and becomes `INTERNAL`."""
    if isinstance(error, ServiceError):
        return error.status()
    if isinstance(error, grpc.aio.AioRpcError):
        carried = rpc_status.from_call(error)  # type: ignore[arg-type]
        if carried is not None:
            return carried
        return status_pb2.Status(code=error.code().value[0], message=error.details() or "")
    logger().error("unexpected error", exc_info=error)
    return Internal(request_id).status()


def generic_handler(descriptor: ServiceDescriptor, servicer: object) -> grpc.GenericRpcHandler:
    """Handlers for all methods of a service; one that the servicer lacks is an error now, not at its first call."""
    handlers = {method.name: _method_handler(method, getattr(servicer, method.name)) for method in descriptor.methods}
    return grpc.method_handlers_generic_handler(descriptor.full_name, handlers)


def _method_handler(method: MethodDescriptor, call: Any) -> "grpc.RpcMethodHandler[Any, Any]":
    # Requests come as bytes, since what gRPC cannot parse it answers as a defect of ours.
    write = GetMessageClass(method.output_type).SerializeToString
    if method.server_streaming:
        return grpc.unary_stream_rpc_method_handler(_streaming(method, call), None, write)
    if method.client_streaming:
        return grpc.stream_unary_rpc_method_handler(_unary(method, call), None, write)
    return grpc.unary_unary_rpc_method_handler(_unary(method, call), None, write)


def _parsed(method: MethodDescriptor, data: bytes) -> Message:
    try:
        request = GetMessageClass(method.input_type).FromString(data)
    except DecodeError as error:
        name = method.input_type.full_name
        raise InvalidArgument(
            f"the bytes sent are no {name}; make them with the contracts that server reflection gives",
            reason="MALFORMED_REQUEST",
        ) from error
    check_enums(request)
    return request


async def _each_parsed(method: MethodDescriptor, received: AsyncIterator[bytes]) -> AsyncIterator[Message]:
    async for data in received:
        yield _parsed(method, data)


class _Request:
    """What is known of one request while it is answered."""

    def __init__(self, method: MethodDescriptor, context: "grpc.aio.ServicerContext[Any, Any]") -> None:
        metadata = dict(context.invocation_metadata() or ())
        self.method = method
        self.context = context
        self.id = str(metadata.get("x-request-id") or uuid.uuid4().hex)
        self.identity = str(metadata.get(access.IDENTITY_METADATA, ""))
        self.began = time.perf_counter()
        structlog.contextvars.bind_contextvars(request_id=self.id, method=method.full_name)
        REQUEST_ID.set(self.id)
        left = context.time_remaining()
        DEADLINE.set(None if left is None else asyncio.get_running_loop().time() + left)

    def done(self, code: str) -> None:
        service = self.method.containing_service.name
        seconds = time.perf_counter() - self.began
        RPC_SECONDS.labels(service, self.method.name, code).observe(seconds)
        log = logger().debug if code in ("OK", "CANCELLED") else logger().warning
        log("call", code=code, seconds=round(seconds, 6))

    async def fail(self, error: Exception) -> None:
        status = status_of(error, self.id)
        self.done(code_name(status.code))
        await self.context.abort_with_status(rpc_status.to_status(status))


def _unary(method: MethodDescriptor, call: Unary) -> Any:
    answers = GetMessageClass(method.output_type)
    is_open = is_client_facing(method)

    async def answer(received: Any, context: "grpc.aio.ServicerContext[Any, Any]") -> Message:
        request = _Request(method, context)
        try:
            access.identify(request.identity, required=is_open)
            sent = _each_parsed(method, received) if method.client_streaming else _parsed(method, received)
            response = await call(sent)
            if not isinstance(response, answers):
                raise TypeError(f"{method.full_name} answered with {type(response).__name__}")
        except asyncio.CancelledError:
            request.done("CANCELLED")
            raise
        except Exception as error:
            await request.fail(error)
            raise
        request.done("OK")
        return response

    return answer


def _streaming(method: MethodDescriptor, call: Streaming) -> Any:
    is_open = is_client_facing(method)

    async def answer(received: bytes, context: "grpc.aio.ServicerContext[Any, Any]") -> AsyncIterator[Message]:
        request = _Request(method, context)
        try:
            access.identify(request.identity, required=is_open)
            async for response in call(_parsed(method, received)):
                yield response
        except (asyncio.CancelledError, GeneratorExit):
            request.done("CANCELLED")
            raise
        except Exception as error:
            await request.fail(error)
            raise
        request.done("OK")

    return answer
