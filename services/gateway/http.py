"""The HTTP face: every client-facing method as JSON, images, the API's own description, health and metrics.

One handler answers all methods. A stream is answered as lines of JSON, each sent when its message comes.
"""

import asyncio
import json
import math
import re
import time
from collections.abc import AsyncIterator, Coroutine
from http import HTTPStatus
from typing import Any

import grpc
import structlog
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2, status_pb2
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send

from framehouse.runtime.access import IDENTITY_METADATA
from framehouse.runtime.channels import unreachable
from framehouse.runtime.errors import ServiceError, code_name
from framehouse.runtime.handlers import status_of
from framehouse.runtime.telemetry import RPC_SECONDS
from framehouse.runtime.topology import OWNERS, is_client_facing, methods, scope_of
from framehouse.store.signed_urls import PATH as IMAGES
from services.gateway import images
from services.gateway.backends import Backends
from services.gateway.keys import AUTHORIZATION, Keys
from services.gateway.openapi import describe
from services.gateway.page import CONTENT_SECURITY_POLICY, render
from services.gateway.proxy import REQUEST_ID, request_id
from services.gateway.transcoding import HTTP_STATUS, Rule, error_body, read_request, rules, write_answer, write_json

MAX_BODY_BYTES = 4 << 20
"""What gRPC takes as one message, too."""

MAX_DROPPED_BYTES = 64 << 20
"""How much of a body that is too large is read before the connection is closed on it."""

DEFAULT_TIMEOUT_SECONDS = 30.0
"""Deadline of a call that names none. A stream has none, it ends with its client."""

THREAD_BYTES = 64 << 10
"""JSON of this size and more is read and written in a thread, so that other calls go on meanwhile."""

# All others stay behind: a header means something to HTTP alone, unless it is known to mean something to a service.
_PASSED_HEADERS = (AUTHORIZATION, "traceparent", "tracestate")

_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}


class _Refused(ServiceError):
    """A request that is wrong as HTTP, before it is one to a method."""

    code = grpc.StatusCode.INVALID_ARGUMENT

    def __init__(self, http: HTTPStatus, text: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(text, reason=http.name)
        self.http = http
        self.headers = headers or {}
        if http is HTTPStatus.NOT_FOUND:
            self.code = grpc.StatusCode.NOT_FOUND


def application(backends: Backends, keys: Keys | None = None) -> Starlette:
    """The ASGI application in front of the backends."""
    client_methods = [method for _, method in methods() if is_client_facing(method)]
    document = describe(client_methods)
    openapi = json.dumps(document, ensure_ascii=False, indent=1)
    page = render(document)
    table = list(rules(client_methods))

    async def home(_: Request) -> Response:
        return RedirectResponse("/docs")

    async def docs(_: Request) -> Response:
        return HTMLResponse(page, headers={"content-security-policy": CONTENT_SECURITY_POLICY})

    async def openapi_json(_: Request) -> Response:
        return Response(openapi, media_type="application/json")

    async def healthz(_: Request) -> Response:
        missing = [process for process, serving in backends.serving().items() if not serving]
        body = {"status": "NOT_SERVING" if missing else "SERVING", "not_serving": missing}
        return Response(json.dumps(body), status_code=503 if missing else 200, media_type="application/json")

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(), headers={"content-type": CONTENT_TYPE_LATEST})

    async def image(request: Request) -> Response:
        call_id = request_id(request.headers.get(REQUEST_ID))
        structlog.contextvars.bind_contextvars(request_id=call_id)
        began, code = time.perf_counter(), "OK"
        try:
            response = await images.answer(request)
        except Exception as error:
            code = error.code.name if isinstance(error, ServiceError) else "INTERNAL"
            response = _fail(error, call_id)
        finally:
            RPC_SECONDS.labels("images", request.method, code).observe(time.perf_counter() - began)
        response.headers[REQUEST_ID] = call_id
        return response

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        await _answer(table, backends, keys, scope, receive, send)

    return Starlette(
        routes=[
            Route("/", home),
            Route("/docs", docs),
            Route("/openapi.json", openapi_json),
            Route("/healthz", healthz),
            Route("/metrics", metrics),
            Route(IMAGES + "{token}", image),
            Mount("/", app=call),
        ]
    )


async def _answer(
    table: list[Rule], backends: Backends, keys: Keys | None, scope: Scope, receive: Receive, send: Send
) -> None:
    request = Request(scope, receive)
    call_id = request_id(request.headers.get(REQUEST_ID))
    structlog.contextvars.bind_contextvars(request_id=call_id)
    try:
        rule, variables = _find(table, request.method, scope["raw_path"].decode("ascii", "replace"))
        body = await _read_body(request)
        metadata = _metadata(request, call_id)
        if keys is not None:
            metadata = await _admitted(keys, rule, metadata)
        call = _call(rule, variables, body, backends, request, metadata, call_id, send)
        await _while_connected(receive, call)
    except ClientDisconnect:
        return
    except Exception as error:
        await _fail(error, call_id)(scope, receive, send)


def _find(table: list[Rule], verb: str, path: str) -> tuple[Rule, dict[str, str]]:
    allowed = []
    for rule in table:
        variables = rule.template.match(path)
        if variables is not None and rule.verb == verb:
            return rule, variables
        if variables is not None:
            allowed.append(rule.verb)
    if allowed:
        raise _Refused(
            HTTPStatus.METHOD_NOT_ALLOWED,
            f"{path} takes {' and '.join(allowed)}, not {verb}",
            {"allow": ", ".join(allowed)},
        )
    raise _Refused(HTTPStatus.NOT_FOUND, f"there is nothing at {path}; /docs lists what there is")


async def _read_body(request: Request) -> bytes:
    """The body, if it is JSON and not too large."""
    announced = request.headers.get("content-length", "0")
    size = int(announced) if announced.isdigit() else 0
    body = bytearray()
    # One that asks first is not told to go on. From others the rest is read and dropped, up to a bound: a connection
    # closed on a sender that is still sending loses the answer.
    if size <= MAX_BODY_BYTES or "expect" not in request.headers:
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
            if size <= MAX_BODY_BYTES:
                body += chunk
            elif size > MAX_DROPPED_BYTES:
                break
    if size > MAX_BODY_BYTES:
        text = f"the body is larger than {MAX_BODY_BYTES} bytes; archives go to the store, by the URLs of an upload"
        raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, text, {"connection": "close"})
    # A page of another site can send a form or plain text without being asked first, but not JSON.
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if body and kind != "application/json":
        raise _Refused(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"the body must have content-type: application/json, not {kind or 'none'}",
        )
    return bytes(body)


async def _call(
    rule: Rule,
    variables: dict[str, str],
    body: bytes,
    backends: Backends,
    request: Request,
    metadata: list[tuple[str, str]],
    call_id: str,
    send: Send,
) -> None:
    """Calls the method and sends its answer."""
    method = rule.method
    process = OWNERS[method.containing_service.full_name]
    path = f"/{method.containing_service.full_name}/{method.name}"
    began, code = time.perf_counter(), "OK"
    try:
        read = (rule, variables, request.query_params.multi_items(), body)
        message = await _in_thread(len(body), read_request, *read)
        timeout = _timeout(request.headers, method.server_streaming)
        encode, decode = type(message).SerializeToString, GetMessageClass(method.output_type).FromString
        channel = backends.channel(process)
        if method.server_streaming:
            lines = channel.unary_stream(path, encode, decode)(message, timeout=timeout, metadata=metadata)
            code = await _send_lines(lines, process, call_id, send)
        else:
            # A stream of requests is one of a single message: a body is read whole before anything is called.
            call: Any = channel.stream_unary if method.client_streaming else channel.unary_unary
            sent = iter([message]) if method.client_streaming else message
            response = await call(path, encode, decode)(sent, timeout=timeout, metadata=metadata)
            media_type, content = await _in_thread(response.ByteSize(), write_answer, response)
            await _send(send, 200, call_id, media_type, content)
    except asyncio.CancelledError:
        code = "CANCELLED"
        raise
    except grpc.aio.AioRpcError as error:
        code = error.code().name
        raise unreachable(error, process) or error from error
    except ServiceError as error:
        code = error.code.name
        raise
    except Exception:
        code = "INTERNAL"
        raise
    finally:
        seconds = time.perf_counter() - began
        RPC_SECONDS.labels(method.containing_service.name, method.name, code).observe(seconds)


async def _in_thread(size: int, function: Any, *arguments: Any) -> Any:
    if size < THREAD_BYTES:
        return function(*arguments)
    return await asyncio.to_thread(function, *arguments)


async def _admitted(keys: Keys, rule: Rule, metadata: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The metadata, with who calls in place of the key; raises where the key does not allow the call."""
    began, method = time.perf_counter(), rule.method
    shown = next((value for name, value in metadata if name == AUTHORIZATION), "")
    try:
        who = await keys.admit(shown, scope_of(method), method.name)
    except ServiceError as error:
        seconds = time.perf_counter() - began
        RPC_SECONDS.labels(method.containing_service.name, method.name, error.code.name).observe(seconds)
        raise
    return [*(pair for pair in metadata if pair[0] != AUTHORIZATION), (IDENTITY_METADATA, who)]


def _metadata(request: Request, call_id: str) -> list[tuple[str, str]]:
    metadata = [(REQUEST_ID, call_id)]
    for name in _PASSED_HEADERS:
        for value in request.headers.getlist(name):
            if not (value.isascii() and value.isprintable()):
                raise _Refused(HTTPStatus.BAD_REQUEST, f"the header {name} must be printable ASCII")
            metadata.append((name, value))
    return metadata


def _timeout(headers: Headers, streams: bool) -> float | None:
    """Seconds that the call may take: `grpc-timeout: 1500m` or `x-timeout: 1.5`, else the default."""
    if (text := headers.get("grpc-timeout")) is not None:
        if re.fullmatch(r"\d{1,8}[HMSmun]", text):
            return int(text[:-1]) * _UNITS[text[-1]]
        raise _Refused(
            HTTPStatus.BAD_REQUEST,
            f"grpc-timeout must be digits and one of H M S m u n, for instance 1500m, not {text!r}",
        )
    if (text := headers.get("x-timeout")) is not None:
        if re.fullmatch(r"\d{1,8}(\.\d{1,6})?s?", text):
            return float(text.rstrip("s"))
        raise _Refused(HTTPStatus.BAD_REQUEST, f"x-timeout must be seconds, for instance 1.5, not {text!r}")
    return None if streams else DEFAULT_TIMEOUT_SECONDS


async def _while_connected(receive: Receive, work: Coroutine[Any, Any, None]) -> None:
    """Does the work, and cancels it where the client goes away before it is done."""
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
            await asyncio.wait((task,))
        if not task.cancelled():
            task.result()
    finally:
        gone.cancel()
        task.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send(send: Send, status: int, call_id: str, kind: str, body: bytes) -> None:
    await send(_start(status, call_id, kind, len(body)))
    await send({"type": "http.response.body", "body": body})


def _start(status: int, call_id: str, kind: str, length: int | None) -> dict[str, Any]:
    headers = [
        (b"content-type", kind.encode()),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        (REQUEST_ID.encode(), call_id.encode()),
    ]
    if length is not None:
        headers.append((b"content-length", str(length).encode()))
    return {"type": "http.response.start", "status": status, "headers": headers}


async def _send_lines(call: Any, process: str, call_id: str, send: Send) -> str:
    """Sends each message of a stream as a line, and says with which code it ended.

    The status waits for the first message, which may be an error. An error after it is a last line of its own, since
    the status has gone by then.
    """
    first, code = await call.read(), "OK"
    await send(_start(200, call_id, "application/x-ndjson", None))
    try:
        async for message in _from(first, call):
            await send({"type": "http.response.body", "body": write_json(message) + b"\n", "more_body": True})
    except Exception as error:
        missing = unreachable(error, process) if isinstance(error, grpc.aio.AioRpcError) else None
        status = status_of(missing or error, call_id)
        code = code_name(status.code)
        line = json.dumps(error_body(status, HTTP_STATUS[code]), ensure_ascii=False).encode()
        await send({"type": "http.response.body", "body": line + b"\n", "more_body": True})
    await send({"type": "http.response.body", "body": b""})
    return code


async def _from(first: Any, call: Any) -> AsyncIterator[Message]:
    message = first
    while message is not grpc.aio.EOF:
        yield message
        message = await call.read()


def _fail(error: Exception, call_id: str) -> Response:
    status: status_pb2.Status = status_of(error, call_id)
    headers = {REQUEST_ID: call_id, "cache-control": "no-store"}
    http = HTTP_STATUS[code_name(status.code)]
    if http == HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = "Bearer"
    retry = error_details_pb2.RetryInfo()
    if any(detail.Unpack(retry) for detail in status.details):
        headers["retry-after"] = str(math.ceil(retry.retry_delay.ToMilliseconds() / 1000))
    if isinstance(error, _Refused):
        http = error.http
        headers |= error.headers
    body = json.dumps(error_body(status, http), ensure_ascii=False)
    return Response(body, http, headers, "application/json")
