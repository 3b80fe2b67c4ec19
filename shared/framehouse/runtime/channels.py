"""Channels to other processes: balanced over replicas, kept alive, retried while a process is away.

A call made while a request is answered carries that request's id, its caller and what is left of its deadline.
"""

import asyncio
import json
from collections.abc import Callable
from contextvars import ContextVar
from functools import cache
from typing import Any

import grpc

from framehouse.runtime.access import IDENTITY, IDENTITY_METADATA
from framehouse.runtime.config import settings
from framehouse.runtime.errors import Unavailable
from framehouse.runtime.telemetry import REQUEST_ID

DEADLINE: ContextVar[float | None] = ContextVar("deadline", default=None)
"""Time of the event loop at which the request being answered ends; none for a request without a deadline."""

SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.1s",
                "maxBackoff": "2s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
}

OPTIONS: list[tuple[str, Any]] = [
    ("grpc.service_config", json.dumps(SERVICE_CONFIG)),
    ("grpc.enable_retries", 1),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
]
"""Channel arguments that every channel of ours is made with."""


class _CarryOn(grpc.aio.UnaryUnaryClientInterceptor):
    """Sends the request id, the caller and the rest of the deadline with every call to a process."""

    def __init__(self, process: str) -> None:
        self._process = process

    async def intercept_unary_unary(
        self, continuation: Callable[..., Any], details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        timeout = details.timeout
        if (deadline := DEADLINE.get()) is not None:
            left = max(deadline - asyncio.get_running_loop().time(), 0.001)
            timeout = left if timeout is None else min(timeout, left)
        metadata = details.metadata or grpc.aio.Metadata()
        if request_id := REQUEST_ID.get():
            metadata.add("x-request-id", request_id)
        if identity := IDENTITY.get():
            metadata.add(IDENTITY_METADATA, identity)
        carried = grpc.aio.ClientCallDetails(
            details.method, timeout, metadata, details.credentials, details.wait_for_ready
        )
        call = await continuation(carried, request)
        try:
            await call
        except grpc.aio.AioRpcError as error:
            if (away := unreachable(error, self._process)) is not None:
                raise away from error
        return call


def open_channel(address: str, process: str) -> grpc.aio.Channel:
    """A channel to a process at host:port; of a name with several addresses, all are used in turn.

    A call raises `Unavailable` where the process does not answer.
    """
    return grpc.aio.insecure_channel(f"dns:///{address}", options=OPTIONS, interceptors=[_CarryOn(process)])


@cache
def connect(process: str) -> grpc.aio.Channel:
    """The channel of this process to another one of ours (`ingest`, `media` …), opened once."""
    return open_channel(address_of(process), process)


def unreachable(error: grpc.aio.AioRpcError, process: str) -> Unavailable | None:
    """The error that names the process, where it did not answer; none where the error is its own answer.

    gRPC has one code for both. What the transport reports has no metadata; what a service answers has its details.
    """
    if error.code() is not grpc.StatusCode.UNAVAILABLE or len(error.trailing_metadata()):
        return None
    return Unavailable(f"the {process} service", address_of(process), error.details() or "")


def address_of(process: str) -> str:
    """host:port of a process, as the settings say."""
    return str(getattr(settings(), f"{process}_address"))
