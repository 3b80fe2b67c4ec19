"""Keys that a suite is shown, of the users whose data they open."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from google.protobuf import empty_pb2

from framehouse.client.errors import InvalidArgument
from framehouse.client.suite import Suite
from framehouse.v1 import key_pb2

SCOPES: Mapping[str, key_pb2.Scope] = {
    "read": key_pb2.SCOPE_READ,
    "write": key_pb2.SCOPE_WRITE,
    "admin": key_pb2.SCOPE_ADMIN,
}


async def create_key(
    suite: Suite,
    user: str = "",
    *,
    scopes: Sequence[str] = ("read", "write"),
    display_name: str = "",
    expire_time: datetime | None = None,
    requests_per_second: int = 0,
    concurrent_jobs: int = 0,
    stored_bytes: int = 0,
) -> key_pb2.Key:
    """Makes a key of a user (of the one that short names mean, where none is given); `secret` is told this once.

    `scopes`: `read`, `write`, `admin`. A limit of 0 is that of the suite's settings.
    """
    if unknown := [scope for scope in scopes if scope not in SCOPES]:
        raise InvalidArgument(f"{unknown[0]!r} is no scope", remedy=f"use one of: {', '.join(SCOPES)}")
    limits = key_pb2.KeyLimits(
        requests_per_second=requests_per_second, concurrent_jobs=concurrent_jobs, stored_bytes=stored_bytes
    )
    key = key_pb2.Key(display_name=display_name, scopes=[SCOPES[scope] for scope in scopes], limits=limits)
    if expire_time is not None:
        key.expire_time.FromDatetime(expire_time)
    request = key_pb2.CreateKeyRequest(parent=suite.names.user(user), key=key)
    return await suite.call("KeyService/CreateKey", request, key_pb2.Key)


async def list_keys(suite: Suite, user: str = "") -> list[key_pb2.Key]:
    """The keys of a user, or with `-` those of all, newest first, without their secrets."""
    found: list[key_pb2.Key] = []
    request = key_pb2.ListKeysRequest(parent=suite.names.user(user), page_size=1000)
    async for page in suite.pages("KeyService/ListKeys", request, key_pb2.ListKeysResponse):
        found.extend(page.keys)
    return found


async def revoke_key(suite: Suite, name: str) -> None:
    """Takes a key (`users/.../keys/...`) out of use, within seconds."""
    await suite.call("KeyService/RevokeKey", key_pb2.RevokeKeyRequest(name=name), empty_pb2.Empty)
