"""TLS of the gateway: on both faces, by a certificate that is believed, and no key in the clear without it."""

import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
import urllib3
from grpc_health.v1 import health

from framehouse.cli.stack.state import StackInfo
from framehouse.client import Client
from framehouse.client.errors import InvalidArgument, Unavailable
from framehouse.runtime.config import Settings
from services.gateway import tls
from services.gateway.tls import Certificate
from tests.conftest import COMMAND, COMMAND_SECONDS

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates")
START_SECONDS = 30.0


def certify(folder: Path, name: str = "localhost") -> tuple[Path, Path]:
    """A certificate that vouches for itself, and its key."""
    paths = folder / "tls.crt", folder / "tls.key"
    options = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-batch"]
    named = ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"]
    files = ["-out", str(paths[0]), "-keyout", str(paths[1])]
    subprocess.run(["openssl", "req", "-x509", *options, *named, *files], check=True, capture_output=True)
    return paths


class Gateway:
    """A gateway that speaks TLS, before the services of the suite."""

    def __init__(self, stack: StackInfo, folder: Path) -> None:
        self.certificate, self.key = certify(folder)
        with socket.create_server(("", 0)) as one, socket.create_server(("", 0)) as other:
            self.port, self.http_port = one.getsockname()[1], other.getsockname()[1]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "services.gateway"],
            env={
                **os.environ,
                **stack.environment(),
                "FRAMEHOUSE_PORT": str(self.port),
                "FRAMEHOUSE_HTTP_PORT": str(self.http_port),
                "FRAMEHOUSE_TLS_CERTIFICATE": str(self.certificate),
                "FRAMEHOUSE_TLS_KEY": str(self.key),
            },
        )


@pytest.fixture(scope="module")
def gateway(stack: StackInfo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    gateway = Gateway(stack, tmp_path_factory.mktemp("tls"))
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", gateway.http_port)).close()
            break
        except OSError:
            assert time.monotonic() < end
            time.sleep(0.1)
    yield gateway
    gateway.process.terminate()
    gateway.process.wait(30)


def test_both_faces_speak_tls(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAMEHOUSE_CA", str(gateway.certificate))
    with Client(f"https://localhost:{gateway.port}", api_key="secret") as client:
        assert client.list_formats()
    done = subprocess.run(
        [str(COMMAND), "formats", "--address", f"grpcs://localhost:{gateway.port}"],
        check=False,
        capture_output=True,
        timeout=COMMAND_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    with urllib3.PoolManager(ca_certs=str(gateway.certificate)) as pool:
        assert pool.request("GET", f"https://localhost:{gateway.http_port}/v1/formats").status == 200


def test_a_certificate_that_nobody_vouches_for_is_not_believed(gateway: Gateway) -> None:
    began = time.monotonic()
    with (
        Client(f"https://localhost:{gateway.port}") as client,
        pytest.raises(Unavailable, match="not one to believe") as refused,
    ):
        client.list_formats()
    assert "FRAMEHOUSE_CA" in refused.value.remedy
    assert time.monotonic() - began < 10  # not asked again and again


async def test_a_new_certificate_is_taken_without_a_restart(tmp_path: Path) -> None:
    certificate = Certificate(*certify(tmp_path))
    before = (tmp_path / "tls.crt").read_bytes()
    server = grpc.aio.server()
    port = server.add_secure_port("127.0.0.1:0", certificate.grpc())
    await server.start()

    async def answers(believed: bytes) -> bool:
        target, credentials = f"localhost:{port}", grpc.ssl_channel_credentials(believed)
        async with grpc.aio.secure_channel(target, credentials) as channel:
            call = channel.unary_unary(f"/{health.SERVICE_NAME}/Check")
            try:
                await call(b"", timeout=5)
            except grpc.aio.AioRpcError as error:
                return error.code() is grpc.StatusCode.UNIMPLEMENTED
            return True

    assert await answers(before)
    certify(tmp_path)
    os.utime(tmp_path / "tls.crt", (1, 1))
    certificate.look()
    assert await answers((tmp_path / "tls.crt").read_bytes())
    assert not await answers(before)
    (tmp_path / "tls.key").write_text("none")
    with pytest.raises(ssl.SSLError):
        certificate.look()
    assert await answers((tmp_path / "tls.crt").read_bytes())
    await server.stop(0)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, "keys would be sent to it in the clear"),
        ({"tls_key": "tls.key"}, "FRAMEHOUSE_TLS_CERTIFICATE is not set"),
        ({"tls_certificate": "none.crt", "tls_key": "none.key"}, "none.crt: No such file"),
        ({"tls_certificate": __file__, "tls_key": __file__}, "cannot be used"),
    ],
)
def test_a_gateway_that_keys_would_reach_in_the_clear_does_not_start(
    monkeypatch: pytest.MonkeyPatch, fields: dict[str, str], says: str
) -> None:
    def use(**more: str) -> None:
        chosen = Settings(auth="api_key", host="0.0.0.0").model_copy(update={**fields, **more})
        monkeypatch.setattr(tls, "settings", lambda: chosen)

    use()
    with pytest.raises(SystemExit, match=says):
        tls.own_certificate()
    for more in ({"tls": "proxy"}, {"host": "127.0.0.1"}, {"host": "::1"}):
        use(**more)
        if not fields:
            assert tls.own_certificate() is None


def test_a_client_sends_no_key_in_the_clear_to_another_machine() -> None:
    with pytest.raises(InvalidArgument, match="in the clear") as refused:
        Client("gateway.example:50050", api_key="secret")
    assert "https://gateway.example:50050" in refused.value.remedy
    for address in ("http://gateway.example:50050", "https://gateway.example", "127.0.0.1:50050", "[::1]:50050"):
        Client(address, api_key="secret").close()
    Client("gateway.example:50050", api_key="").close()
    for address in ("gateway.example", "ftp://gateway.example:1", "gateway.example:50050/v1", "a:b:c"):
        with pytest.raises(InvalidArgument, match="no address"):
            Client(address)
