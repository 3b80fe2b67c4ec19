"""Fetching from the web: which addresses are asked, and what becomes of servers that do not answer well."""

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from services.ingest import remote, web
from services.ingest.remote import Broken, Failed, Refused
from services.ingest.web import Web, allowed, parse, resolve, shown

Answer = Callable[[BaseHTTPRequestHandler], None]
DATA = bytes(range(256)) * 4000
getaddrinfo = socket.getaddrinfo


@contextmanager
def serving(answer: Answer, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """A server on loopback whose every GET is answered so; its port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            answer(self)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def send(handler: BaseHTTPRequestHandler, body: bytes = b"", status: int = 200, **headers: str) -> None:
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def fetched(url: str, by: Web | None = None) -> bytes:
    with (by or Web("any", 2, threading.Event())).open(url) as body:
        return b"".join(body.chunks)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "FIRST_PAUSE", 0.01)


@pytest.mark.parametrize(
    "address",
    [
        *(
            "127.0.0.1",
            "127.1.2.3",
            "10.0.0.1",
            "172.16.5.4",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
        ),
        *("192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
        *("::1", "::", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "fe80::1", "fe80::1%lo", "fc00::1"),
        *("ff02::1", "2001:db8::1", "64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::", "2001:0:1::1"),
    ],
)
def test_an_address_that_is_not_public_is_not_fetched_from(address: str) -> None:
    assert not allowed(address, "public")


def test_public_addresses_are_and_with_any_also_private_ones() -> None:
    public = ("8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808")
    assert all(allowed(address, mode) for address in public for mode in ("public", "any"))
    assert all(allowed(address, "any") for address in ("127.0.0.1", "::1", "10.0.0.1", "fc00::1", "::ffff:127.0.0.1"))
    never = ("169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "0.0.0.0", "224.0.0.1")
    assert not any(allowed(address, "any") for address in never)


@pytest.mark.parametrize(
    "host", ["localhost", "2130706433", "0x7f.1", "0177.0.0.1", "127.1", "[::1]", "[::ffff:7f00:1]"]
)
def test_a_name_or_number_that_means_loopback_is_refused(host: str) -> None:
    with pytest.raises(Refused, match="has an address that is not fetched from"):
        resolve(parse(f"http://{host}/a.jpg", "public"), "public")


@pytest.mark.parametrize(
    "url",
    [
        *(
            "ftp://example.com/a",
            "file:///etc/passwd",
            "gopher://example.com/",
            "a.jpg",
            "http://",
            "",
            "//example.com/a",
        ),
        *(
            "http://user:word@example.com/a",
            "http://user@example.com/",
            "http://example.com:25/",
            "https://[::1",
            "http://a b/",
        ),
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(Refused):
        parse(url, "public")


def test_a_url_is_shown_without_its_secrets() -> None:
    assert shown("https://me:word@example.com:8443/a/b.jpg?key=1#2") == "https://example.com:8443/a/b.jpg"


def test_a_redirect_is_judged_like_a_url() -> None:
    places = {
        "/metadata": "http://169.254.169.254/latest?token=1",
        "/file": "file:///etc/passwd",
        "/user": "http://me:word@127.0.0.1/",
        "/round": "/round",
        "/one": "/two",
        "/two": "image",
    }

    def answer(handler: BaseHTTPRequestHandler) -> None:
        place = places.get(handler.path)
        send(handler, status=302, Location=place) if place else send(handler, DATA)

    with serving(answer) as port:
        at = f"http://127.0.0.1:{port}"
        assert fetched(f"{at}/one") == DATA
        with pytest.raises(Refused, match=r"leads to http://169.254.169.254/latest, and .* has an address"):
            fetched(f"{at}/metadata")
        for path in ("/file", "/user"):
            with pytest.raises(Refused):
                fetched(at + path)
        with pytest.raises(Failed, match="more than 5 times"):
            fetched(f"{at}/round")


def test_the_address_that_was_judged_is_the_one_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts: list[str] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        hosts.append(handler.headers["Host"])
        send(handler, DATA, Connection="close")

    with serving(answer) as port:
        kept = Web("any", 2, threading.Event())
        url = f"http://localhost:{port}/a"
        assert fetched(url, kept) == DATA

        def resolving(host: str, *more: Any, **options: Any) -> Any:
            assert host == "127.0.0.1"
            return getaddrinfo(host, *more, **options)

        monkeypatch.setattr(socket, "getaddrinfo", resolving)
        assert fetched(url, kept) == DATA
    assert hosts == [f"localhost:{port}"] * 2


@pytest.mark.skipif(shutil.which("openssl") is None, reason="certificates are made by openssl")
def test_a_certificate_must_be_of_the_name_that_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", "2", "-keyout", key, "-out", certificate, "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost"),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with serving(lambda handler: send(handler, DATA), context) as port:
        with pytest.raises(Failed, match="certificate"):
            fetched(f"https://localhost:{port}/a")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        web._tls.cache_clear()
        assert fetched(f"https://localhost:{port}/a") == DATA
        with pytest.raises(Failed, match="certificate"):
            fetched(f"https://127.0.0.1:{port}/a")
    web._tls.cache_clear()


def test_a_busy_server_is_asked_again_and_another_error_is_told() -> None:
    asked: list[str] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        if handler.path == "/busy" and len(asked) < 3:
            send(handler, status=503)
        else:
            send(handler, DATA, 200 if handler.path == "/busy" else 404)

    with serving(answer) as port:
        assert fetched(f"http://127.0.0.1:{port}/busy") == DATA
        with pytest.raises(Failed, match="the server answers 404 Not Found"):
            fetched(f"http://127.0.0.1:{port}/none?key=1")
    assert asked == ["/busy"] * 3 + ["/none?key=1"]
    with pytest.raises(Failed, match="its server does not take connections"):
        fetched(f"http://127.0.0.1:{port}/busy")
    with pytest.raises(Failed, match=r"the name nowhere.invalid is not known"):
        fetched("http://nowhere.invalid/")


@pytest.mark.parametrize("tag", ['"v1"', ""])
def test_a_file_that_breaks_off_is_taken_up_where_the_server_can(tag: str) -> None:
    ranges: list[str | None] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        ranges.append(handler.headers["Range"])
        start = int((ranges[-1] or "bytes=0-")[6:-1])
        rest = DATA[start:]
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", str(len(rest)))
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(DATA) - 1}/{len(DATA)}")
        if tag:
            handler.send_header("ETag", tag)
        handler.end_headers()
        handler.wfile.write(rest[:400_000])
        handler.close_connection = True

    with serving(answer) as port:
        if tag:
            assert fetched(f"http://127.0.0.1:{port}/") == DATA
            assert ranges == [None, "bytes=400000-", "bytes=800000-"]
        else:
            with pytest.raises(Broken, match="after 400,000 bytes"):
                fetched(f"http://127.0.0.1:{port}/")
