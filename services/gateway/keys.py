"""The keys that callers show: checked by ingest, known here for a few seconds, and held to their limits.

What is known of a key is kept under the hash of its secret. A gateway counts for itself: of several, each lets through
the calls a second that a key may make.
"""

import asyncio
import hashlib
import math
import time
from typing import TypeVar

import grpc
from google.rpc import error_details_pb2

from framehouse.runtime.access import LIFE_SECONDS, Caller, sign
from framehouse.runtime.channels import unreachable
from framehouse.runtime.config import settings
from framehouse.runtime.errors import PermissionDenied, ResourceExhausted, ServiceError, Unauthenticated
from framehouse.runtime.handlers import status_of
from framehouse.v1 import key_pb2, key_pb2_grpc

T = TypeVar("T")

AUTHORIZATION = "authorization"
SCHEME = "bearer "
REMEDY = "send the key as authorization: Bearer KEY (FRAMEHOUSE_API_KEY for the command and the SDK)"
LONGEST_SECRET = 256
KEPT = 10_000
"""Keys that are known at once, and secrets that are known to be none."""
CHECK_SECONDS = 10.0
SIGNED_SECONDS = 20
"""How long one signature is used; that leaves it most of its life for calls that take long to be passed on."""


class _Key:
    """What is known of a key."""

    def __init__(self, rate: int) -> None:
        self.until = 0.0
        """When it has to be checked again, by the monotonic clock."""
        self.scope = 0
        self.caller = Caller("", False, "")
        self.rate = rate
        self._tokens = float(rate)
        self._filled = time.monotonic()
        self._identity, self._signed_until = "", 0.0

    def take(self, now: float) -> float:
        """Takes one call from what the key may make; where there is none, answers with the seconds until there is."""
        if not self.rate:
            return 0.0
        self._tokens = min(self._tokens + (now - self._filled) * self.rate, float(self.rate))
        self._filled = now
        if self._tokens < 1:
            return (1 - self._tokens) / self.rate
        self._tokens -= 1
        return 0.0

    def identity(self, now: float) -> str:
        if now >= self._signed_until:
            self._identity = sign(self.caller, int(time.time()) + LIFE_SECONDS)
            self._signed_until = now + SIGNED_SECONDS
        return self._identity

    def renew(self, key: key_pb2.Key, until: float) -> None:
        """Takes in what ingest says of it now."""
        caller = Caller(
            user=key.name.split("/")[1],
            admin=key_pb2.SCOPE_ADMIN in key.scopes,
            key=key.name,
            can_write=max(key.scopes) >= key_pb2.SCOPE_WRITE,
            concurrent_jobs=key.limits.concurrent_jobs,
            stored_bytes=key.limits.stored_bytes,
        )
        if caller != self.caller:
            self.caller, self._signed_until = caller, 0.0
        self.until, self.scope, self.rate = until, max(key.scopes), key.limits.requests_per_second


class Keys:
    """The keys that this gateway knows."""

    def __init__(self, ingest: grpc.aio.Channel) -> None:
        self._check_key = key_pb2_grpc.KeyServiceStub(ingest).CheckKey
        self._known: dict[bytes, _Key] = {}
        self._refused: dict[bytes, tuple[float, Unauthenticated]] = {}
        self._asked: dict[bytes, asyncio.Future[_Key]] = {}

    async def admit(self, authorization: str | bytes, scope: int, method: str) -> str:
        """The metadata that says who calls; raises where the key is none, may not call the method, or calls too often.

        `authorization` is the header as it came, empty for none.
        """
        secret = _secret(authorization)
        digest = hashlib.sha256(secret.encode()).digest()
        now = time.monotonic()
        key = self._known.get(digest)
        if key is None or now >= key.until:
            key = await self._ask(digest, secret, now)
        if wait := key.take(now):
            raise ResourceExhausted(
                f"the key may make {key.rate} calls a second; try again in {math.ceil(wait * 1000)} ms",
                reason="TOO_MANY_CALLS",
                retry_seconds=wait,
                facts={"limit": str(key.rate)},
            )
        if key.scope < scope:
            has, needs = (key_pb2.Scope.Name(one).removeprefix("SCOPE_").lower() for one in (key.scope, scope))
            raise PermissionDenied(
                f"{method} needs a key with the scope {needs}, and this one has {has}",
                reason="SCOPE_MISSING",
                facts={"needs": needs, "has": has},
            )
        return key.identity(now)

    async def _ask(self, digest: bytes, secret: str, now: float) -> _Key:
        """What ingest says of a key; those who ask at the same time ask once."""
        if (refused := self._refused.get(digest)) is not None:
            until, error = refused
            if now < until:
                raise error
            del self._refused[digest]
        if (asked := self._asked.get(digest)) is None:
            asked = self._asked[digest] = asyncio.ensure_future(self._check(digest, secret))
            asked.add_done_callback(lambda _: self._asked.pop(digest, None))
        # Whoever gives up does not take the answer from the others.
        return await asyncio.shield(asked)

    async def _check(self, digest: bytes, secret: str) -> _Key:
        try:
            found = await self._check_key(key_pb2.CheckKeyRequest(secret=secret), timeout=CHECK_SECONDS)
        except grpc.aio.AioRpcError as error:
            self._known.pop(digest, None)
            if error.code() is grpc.StatusCode.UNAUTHENTICATED:
                refusal = Unauthenticated(error.details() or "the key is unknown", reason=_reason(error))
                _keep(self._refused, digest, (time.monotonic() + settings().key_cache_seconds, refusal))
                raise refusal from None
            raise unreachable(error, "ingest") or _Unchecked(error) from None
        known = self._known.get(digest) or _Key(found.limits.requests_per_second)
        life = settings().key_cache_seconds
        if found.HasField("expire_time"):
            life = min(life, found.expire_time.seconds - time.time())
        known.renew(found, time.monotonic() + life)
        _keep(self._known, digest, known)
        return known


class _Unchecked(ServiceError):
    """Ingest could not say whether a key is one."""

    code = grpc.StatusCode.UNAVAILABLE

    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        super().__init__(f"the key could not be checked: {error.details()}", reason="KEY_NOT_CHECKED")


def _reason(error: grpc.aio.AioRpcError) -> str:
    info = error_details_pb2.ErrorInfo()
    found = [info.reason for detail in status_of(error, "").details if detail.Unpack(info)]
    return found[0] if found else "KEY_REFUSED"


def _secret(authorization: str | bytes) -> str:
    if not authorization:
        raise Unauthenticated(f"this suite asks for a key; {REMEDY}", reason="KEY_MISSING")
    text = authorization if isinstance(authorization, str) else authorization.decode("ascii", "replace")
    secret = text[len(SCHEME) :].strip()
    if text[: len(SCHEME)].lower() != SCHEME or not 0 < len(secret) <= LONGEST_SECRET:
        raise Unauthenticated(f"the authorization header holds no key; {REMEDY}", reason="KEY_MALFORMED")
    return secret


def _keep(kept: dict[bytes, T], digest: bytes, value: T) -> None:
    """Keeps a value, and as many others as there is room for: the oldest go first."""
    kept.pop(digest, None)
    while len(kept) >= KEPT:
        del kept[next(iter(kept))]
    kept[digest] = value
