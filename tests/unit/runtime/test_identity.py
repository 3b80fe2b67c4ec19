"""Who calls, as it is signed and checked, and what a process does that would serve strangers."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from framehouse.runtime import access
from framehouse.runtime.access import CALLER, Caller
from framehouse.runtime.config import settings
from framehouse.runtime.errors import NotFound, PermissionDenied, Unauthenticated
from framehouse.runtime.topology import methods, scope_of
from framehouse.v1 import key_pb2

ANN = Caller("ann", False, "users/ann/keys/1", can_write=False, concurrent_jobs=2, stored_bytes=10**12)


def use(patch: pytest.MonkeyPatch, **fields: object) -> None:
    usual = {"auth": "api_key", "identity_key": SecretStr("k" * 32)}
    chosen = settings().model_copy(update={**usual, **fields})
    patch.setattr(access, "settings", lambda: chosen)


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    use(monkeypatch)
    caller, identity = CALLER.set(None), access.IDENTITY.set("")
    yield
    CALLER.reset(caller)
    access.IDENTITY.reset(identity)


def test_who_calls_comes_out_as_it_went_in() -> None:
    assert access.verify(access.sign(ANN, int(time.time()) + 60)) == ANN


def test_what_is_changed_too_old_or_signed_by_others_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    good = access.sign(ANN, int(time.time()) + 60)
    old = access.sign(ANN, int(time.time()) - 1)
    changed = good[:8] + ("A" if good[8] != "A" else "B") + good[9:]
    for wrong in (old, changed, good[:-4], "", "ä", "====", "x" * 1000):
        with pytest.raises(Unauthenticated):
            access.verify(wrong)
    use(monkeypatch, identity_key=SecretStr("other" * 8))
    with pytest.raises(Unauthenticated):
        access.verify(good)


def test_nobody_is_asked_where_no_keys_are(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, auth="none")
    access.identify("forged", required=True)
    assert CALLER.get() is None
    access.check_user("ann")


def test_a_caller_is_needed_where_clients_may_call() -> None:
    access.identify("", required=False)
    with pytest.raises(Unauthenticated):
        access.identify("", required=True)
    access.identify(access.sign(ANN, int(time.time()) + 60), required=True)
    assert CALLER.get() == ANN


def test_what_is_anothers_is_hidden_or_for_reading() -> None:
    CALLER.set(ANN)
    access.check_write("ann", "dataset", "cars")
    access.check_read("ben", "dataset", "cars", public=True)
    with pytest.raises(NotFound):
        access.check_write("ben", "dataset", "cars")
    with pytest.raises(PermissionDenied, match="clone"):
        access.check_write("ben", "dataset", "cars", public=True)
    with pytest.raises(PermissionDenied, match="users/ben is another user"):
        access.check_user("ben")
    with pytest.raises(PermissionDenied):
        access.check_scope_write()
    CALLER.set(ANN._replace(admin=True))
    access.check_write("ben", "dataset", "cars")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "localhost", "::1"])
def test_loopback_needs_no_keys(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    use(monkeypatch, auth="none", host=host)
    access.check_settings()


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"auth": "none", "host": "0.0.0.0"}, "FRAMEHOUSE_AUTH=api_key"),
        ({"auth": "none", "host": "::"}, "FRAMEHOUSE_AUTH=api_key"),
        ({"auth": "none", "host": "example.com"}, "FRAMEHOUSE_AUTH=api_key"),
        ({"identity_key": SecretStr("")}, "FRAMEHOUSE_IDENTITY_KEY"),
        ({"admin_key": SecretStr("admin")}, "FRAMEHOUSE_ADMIN_KEY"),
    ],
)
def test_a_process_that_would_serve_strangers_does_not_start(
    monkeypatch: pytest.MonkeyPatch, fields: dict[str, object], names: str
) -> None:
    use(monkeypatch, **fields)
    with pytest.raises(SystemExit, match=names):
        access.check_settings()


def test_the_gateway_does_not_start_without_keys_beyond_loopback() -> None:
    environment = {**os.environ, "FRAMEHOUSE_HOST": "0.0.0.0", "FRAMEHOUSE_AUTH": "none"}
    ended = subprocess.run(
        [sys.executable, "-m", "services.gateway"], capture_output=True, text=True, check=False, env=environment
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("FRAMEHOUSE_AUTH is none, which is for loopback only")


def test_a_method_needs_what_its_contract_or_its_verb_says() -> None:
    found = {method.name: scope_of(method) for _, method in methods()}
    for name in ("GetDataset", "WatchJob", "CompareVersions", "PreviewLoss", "ExportDataset", "ProbeImage"):
        assert found[name] == key_pb2.SCOPE_READ, name
    for name in ("CreateUpload", "UpdateDataset", "DeleteDataset", "CreateKey", "RevokeKey", "DeleteExport"):
        assert found[name] == key_pb2.SCOPE_WRITE, name
