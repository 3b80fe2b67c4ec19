"""What the gateway knows of keys, and for how long, before a real server that checks them."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import NamedTuple

import grpc
import pytest
from pydantic import SecretStr

from framehouse.runtime import access, config, topology
from framehouse.runtime.errors import PermissionDenied, ResourceExhausted, ServiceError, Unauthenticated
from framehouse.runtime.handlers import generic_handler
from framehouse.v1 import key_pb2
from services.gateway import keys
from services.gateway.keys import Keys


class Checker:
    """Knows the keys `good` and `slow`; counts how often it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def CheckKey(self, request: key_pb2.CheckKeyRequest) -> key_pb2.Key:
        self.asked.append(request.secret)
        await asyncio.sleep(0.02)
        if request.secret not in ("good", "slow"):
            raise Unauthenticated("the key was revoked", reason="KEY_REVOKED")
        limits = key_pb2.KeyLimits(requests_per_second=10 if request.secret == "slow" else 0, stored_bytes=5)
        return key_pb2.Key(name="users/ann/keys/1", scopes=[key_pb2.SCOPE_READ], limits=limits)

    async def CreateKey(self, request: key_pb2.CreateKeyRequest) -> key_pb2.Key:
        raise NotImplementedError

    ListKeys = RevokeKey = CreateKey


class Gate(NamedTuple):
    """The keys of a gateway, and who checks them."""

    keys: Keys
    checker: Checker
    server: grpc.aio.Server

    async def admit(self, authorization: str, scope: int = key_pb2.SCOPE_READ) -> str:
        return await self.keys.admit(authorization, scope, "GetDataset")


@pytest.fixture
async def gate(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gate]:
    signing = config.settings().model_copy(update={"identity_key": SecretStr("k" * 32), "key_cache_seconds": 0.2})
    monkeypatch.setattr(access, "settings", lambda: signing.model_copy(update={"auth": "api_key"}))
    monkeypatch.setattr("framehouse.runtime.handlers.access.identify", lambda identity, required: None)
    monkeypatch.setattr(keys, "settings", lambda: signing)
    server, checker = grpc.aio.server(), Checker()
    server.add_generic_rpc_handlers([generic_handler(topology.services()["framehouse.v1.KeyService"], checker)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Gate(Keys(channel), checker, server)
    await server.stop(0)


async def test_a_key_is_checked_once_for_as_long_as_it_is_known(gate: Gate) -> None:
    answers = await asyncio.gather(*(gate.admit("Bearer good") for _ in range(20)))
    assert gate.checker.asked == ["good"]
    assert access.verify(answers[0]) == access.Caller("ann", False, "users/ann/keys/1", False, 0, 5)
    await gate.admit("bearer good")
    assert gate.checker.asked == ["good"]
    await asyncio.sleep(0.25)
    await gate.admit("Bearer good")
    assert gate.checker.asked == ["good"] * 2


async def test_what_is_no_key_is_remembered_too_but_not_too_much_of_it(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "KEPT", 3)
    for secret in ("bad", "bad", *map(str, range(5)), "bad"):
        with pytest.raises(Unauthenticated, match="revoked") as refused:
            await gate.admit(f"Bearer {secret}")
        assert refused.value.reason == "KEY_REVOKED"
    assert gate.checker.asked == ["bad", *map(str, range(5)), "bad"]
    for none in ("", "good", "Basic good", "Bearer ", "Bearer " + "x" * 300):
        with pytest.raises(Unauthenticated, match="FRAMEHOUSE_API_KEY"):
            await gate.admit(none)
    assert len(gate.checker.asked) == 7


async def test_a_key_makes_as_many_calls_a_second_as_it_may(gate: Gate) -> None:
    for _ in range(10):
        await gate.admit("Bearer slow")
    began = time.monotonic()
    with pytest.raises(ResourceExhausted, match="10 calls a second"):
        await gate.admit("Bearer slow")
    await asyncio.sleep(max(began + 0.11 - time.monotonic(), 0))
    await gate.admit("Bearer slow")


async def test_a_scope_that_is_missing_is_named(gate: Gate) -> None:
    with pytest.raises(PermissionDenied, match="needs a key with the scope write, and this one has read"):
        await gate.admit("Bearer good", key_pb2.SCOPE_WRITE)


async def test_without_ingest_no_key_is_taken(gate: Gate) -> None:
    await gate.admit("Bearer good")
    await gate.server.stop(0)
    await gate.admit("Bearer good")
    await asyncio.sleep(0.25)
    with pytest.raises(ServiceError, match="ingest") as refused:
        await gate.admit("Bearer good")
    assert refused.value.code is grpc.StatusCode.UNAVAILABLE
