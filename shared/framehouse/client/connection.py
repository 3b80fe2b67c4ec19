"""The channel to a suite: kept alive, and its calls repeated within their deadline while the suite is away."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Sequence
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message

from framehouse.client import errors
from framehouse.client.address import place_of
from framehouse.client.errors import InvalidArgument
from framehouse.client.trust import authority
from framehouse.loopback import is_loopback

R = TypeVar("R", bound=Message)

DEADLINE_SECONDS = 30.0
FIRST_BACKOFF = 0.1
LONGEST_BACKOFF = 2.0
SILENCE_SECONDS = 120.0
"""How long a watched stream may be broken before its reader is told."""

_OPTIONS = [
    # Retries are ours, so that they last as long as the deadline, and their last error is the one that is told.
    ("grpc.enable_retries", 0),
    ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.max_receive_message_length", 64 << 20),
]


class Connection:
    """Calls methods of the gateway at an address by their path, with a key where there is one.

    Raises `InvalidArgument` where that key would be sent in the clear to another machine.
    """

    def __init__(self, address: str, deadline: float, api_key: str = "") -> None:
        self.address = address
        self._deadline = deadline
        self._metadata = (("authorization", f"Bearer {api_key}"),) if api_key else ()
        place = place_of(address)
        target = f"dns:///{place.target}"
        if place.is_secure:
            credentials = grpc.ssl_channel_credentials(authority())
            self._channel = grpc.aio.secure_channel(target, credentials, options=_OPTIONS)
            return
        if api_key and not place.is_plain and not is_loopback(place.host):
            raise InvalidArgument(
                f"the key would be sent to {place.target} in the clear",
                remedy=f"write https://{place.target}, or http://{place.target} where nobody can listen on the way",
            )
        self._channel = grpc.aio.insecure_channel(target, options=_OPTIONS)

    async def call(
        self, path: str, request: Message | Sequence[Message], response: type[R], work_seconds: float = 0.0
    ) -> R:
        """One answer, to a message or a stream of them. While the suite is not available, or a limit is reached that
        is not for long, the call is repeated, until the deadline.

        `work_seconds`: what the suite may take for it once it has got it, where that is more. Raises `FramehouseError`.
        """
        one = isinstance(request, Message)
        kind: Any = self._channel.unary_unary if one else self._channel.stream_unary
        method = kind(path, _write, response.FromString)
        end = time.monotonic() + self._deadline
        backoff = FIRST_BACKOFF
        last: grpc.aio.AioRpcError | None = None
        while True:
            try:
                sent = request if isinstance(request, Message) else iter(request)
                timeout = max(end - time.monotonic(), work_seconds, 0.05)
                answer: R = await method(sent, timeout=timeout, metadata=self._metadata)
                return answer
            except grpc.aio.AioRpcError as error:
                # A deadline that ends in the middle of retries says less than what made them necessary.
                if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED and last is not None:
                    raise errors.from_call(last, self.address) from error
                told = errors.from_call(error, self.address)
                wait = told.retry_seconds or backoff
                away = error.code() is grpc.StatusCode.UNAVAILABLE and told.reason != "CERTIFICATE_REFUSED"
                again = away or told.retry_seconds
                if not again or time.monotonic() + wait > end:
                    raise told from error
                last = error
            await asyncio.sleep(wait)
            backoff = min(backoff * 2, LONGEST_BACKOFF)

    async def stream(self, path: str, request: Message, response: type[R]) -> AsyncGenerator[R, None]:
        """The messages of a stream that can be asked for again at any time; a broken one is."""
        method: Any = self._channel.unary_stream(path, _write, response.FromString)
        heard = time.monotonic()
        backoff = FIRST_BACKOFF
        while True:
            call = method(request, metadata=self._metadata)
            try:
                async for message in call:
                    heard, backoff = time.monotonic(), FIRST_BACKOFF
                    yield message
                return
            except grpc.aio.AioRpcError as error:
                broken = error.code() is grpc.StatusCode.UNAVAILABLE
                if not broken or time.monotonic() - heard > max(SILENCE_SECONDS, self._deadline):
                    raise errors.from_call(error, self.address) from error
            finally:
                call.cancel()
            await asyncio.sleep(backoff)
            backoff = min(backoff * 2, LONGEST_BACKOFF)

    async def close(self) -> None:
        await self._channel.close()


def _write(message: Message) -> bytes:
    return message.SerializeToString()
