"""Files on the web, from addresses that were judged and from no others.

A name is resolved once, each of its addresses is judged, and the connection goes to the very address that was; every
redirect goes the same way. Nothing of this process goes along: no proxy, cookie or credential of its environment.
"""

import ipaddress
import re
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from functools import cache
from importlib import metadata
from typing import Literal, NamedTuple
from urllib.parse import urljoin

import urllib3
from urllib3.exceptions import ConnectTimeoutError, HTTPError, LocationParseError, NewConnectionError, SSLError
from urllib3.util import parse_url

from framehouse.runtime.errors import PermissionDenied
from services.ingest.remote import RETRIES, Body, Broken, Failed, Refused, pause, reading, reason, timeout

MAX_REDIRECTS = 5
MAX_ADDRESSES = 4
"""Of one name, that are tried."""
GIVEN_UP = 8
"""Requests that a server leaves without any answer, one after the other, before it is asked no more."""
REDIRECTS = {301, 302, 303, 307, 308}
PASSING = {408, 425, 429, 500, 502, 503, 504}
"""Statuses after which the same request may do."""
USUAL_PORTS = {"http": 80, "https": 443}
PRIVILEGED = 1023
"""Ports up to this one belong to a machine's own services; of these, the web has two."""

GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""What a resolver makes of the IPv4 address of a site, in a network that has IPv6 alone (RFC 6052)."""

Mode = Literal["public", "any"]


def url_mode(setting: str) -> Mode:
    """The mode that the setting `fetch_urls` asks for; `PermissionDenied` where it is `off`."""
    if setting == "any":
        return "any"
    if setting == "public":
        return "public"
    raise PermissionDenied(
        "this suite does not fetch URLs; its operator allows it by FRAMEHOUSE_FETCH_URLS=public",
        reason="FETCH_NOT_ALLOWED",
    )


class Place(NamedTuple):
    """Where a URL leads."""

    scheme: str
    host: str
    """A name, or an address without brackets."""
    port: int
    target: str
    """Path and query."""


def shown(url: str) -> str:
    """A URL as it may be shown: without query, fragment, user and password, and of bearable length."""
    plain = re.sub(r"(?<=//)[^/]*@", "", re.split(r"[?#]", url, maxsplit=1)[0])
    return plain if len(plain) <= 300 else f"{plain[:300]}…"


def parse(url: str, mode: Mode) -> Place:
    """The parts of a URL; `Refused` where such a one is never fetched."""
    try:
        parts = parse_url(url)
    except LocationParseError:
        raise Refused("it cannot be read as a URL") from None
    if parts.scheme not in USUAL_PORTS or not parts.host:
        raise Refused("only http:// and https:// are fetched")
    if parts.auth is not None:
        raise Refused("user names and passwords in URLs are not taken")
    port = parts.port or USUAL_PORTS[parts.scheme]
    if mode == "public" and port not in USUAL_PORTS.values() and port <= PRIVILEGED:
        raise Refused(f"port {port} is not fetched from, only 80, 443 and those above {PRIVILEGED}")
    return Place(parts.scheme, parts.host.strip("[]"), port, parts.request_uri)


def allowed(address: str, mode: Mode) -> bool:
    """Whether an IP address may be connected to.

    `public`: one that is routed globally, by the IANA registries of special addresses. `any`: private and loopback ones
    too, but no link-local one, where clouds keep the credentials of machines.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and (ip.ipv4_mapped or ip in NAT64):
        ip = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    if ip.is_multicast or ip.is_unspecified or ip.is_link_local:
        return False
    if mode == "any":
        return True
    if isinstance(ip, ipaddress.IPv6Address) and (ip not in GLOBAL_UNICAST or ip.sixtofour or ip.teredo):
        return False  # a tunnel's address holds another one
    return ip.is_global


def resolve(place: Place, mode: Mode) -> list[str]:
    """The addresses of a host, all of which may be connected to. `Refused` where one may not."""
    try:
        found = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise Failed(f"the name {place.host} is not known") from None
    addresses = list(dict.fromkeys(str(one[4][0]) for one in found))
    if not all(allowed(address, mode) for address in addresses):
        only = "public addresses are" if mode == "public" else "no link-local address is"
        raise Refused(f"{place.host} has an address that is not fetched from; {only}")
    return addresses[:MAX_ADDRESSES]


class Web:
    """Fetches URLs, over connections that are kept. Thread-safe."""

    def __init__(self, mode: Mode, connections: int, stop: threading.Event) -> None:
        self._mode: Mode = mode
        self._connections = connections
        self._stop = stop
        self._lock = threading.Lock()
        self._pools: dict[tuple[str, str, int], list[urllib3.HTTPConnectionPool]] = {}
        self._silent: dict[tuple[str, str, int], int] = {}
        self._headers = {
            "User-Agent": f"Framehouse/{metadata.version('framehouse')}",
            "Accept": "*/*",
            "Accept-Encoding": "identity",
        }

    @contextmanager
    def open(self, url: str) -> Iterator[Body]:
        """The file at a URL. Raises `Failed`."""
        response = self._answered(url, {})
        if response.status != 200:
            response.close()
            raise Failed(f"the server answers {_status(response)}")
        entity = response.headers.get("ETag", "")
        validator = entity if entity.startswith('"') else response.headers.get("Last-Modified", "")

        def again(offset: int) -> urllib3.BaseHTTPResponse:
            if not validator:
                raise Broken(f"the connection broke off after {offset:,} bytes")
            rest = self._answered(url, {"Range": f"bytes={offset}-", "If-Range": validator})
            if rest.status == 206 and rest.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
                return rest
            rest.close()
            raise Broken(f"the connection broke off after {offset:,} bytes, and the server does not go on from there")

        length = response.headers.get("Content-Length", "")
        with closing(reading(response, again, self._stop)) as chunks:
            yield Body(
                int(length) if length.isdigit() else None,
                response.headers.get("Content-Type", "").partition(";")[0].strip().lower(),
                response.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"),
                chunks,
            )

    def close(self) -> None:
        with self._lock:
            for pool in (pool for pools in self._pools.values() for pool in pools):
                pool.close()

    def _answered(self, url: str, headers: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
        """The answer to a URL, asked for again where that may help."""
        attempt = 0
        while True:
            asked = ""
            try:
                response = self._followed(url, headers)
                if response.status not in PASSING:
                    return response
                response.close()
                problem, asked = f"the server answers {_status(response)}", response.headers.get("Retry-After", "")
            except HTTPError as error:
                problem = reason(error)
                if isinstance(getattr(error, "reason", None) or error, SSLError):
                    raise Failed(problem) from error
            if attempt == RETRIES or self._stop.is_set():
                raise Failed(problem)
            pause(attempt, self._stop, float(asked) if asked.isdigit() else 0.0)
            attempt += 1

    def _followed(self, url: str, headers: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
        """The answer at the end of a URL's redirects."""
        for redirects in range(MAX_REDIRECTS + 1):
            try:
                response = self._request(parse(url, self._mode), headers)
            except Refused as error:
                raise Refused(f"it leads to {shown(url)}, and {error}" if redirects else str(error)) from None
            location = response.headers.get("Location", "")
            if response.status not in REDIRECTS or not location:
                return response
            response.close()
            url = urljoin(url, location)
        raise Failed(f"it leads on and on, more than {MAX_REDIRECTS} times")

    def _request(self, place: Place, headers: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
        key = place[:3]
        pools = self._pools_of(place)
        usual = place.port == USUAL_PORTS[place.scheme]
        host = f"[{place.host}]" if ":" in place.host else place.host
        sent = {**self._headers, **headers, "Host": host if usual else f"{host}:{place.port}"}
        unreached: HTTPError | None = None
        for pool in tuple(pools):
            try:
                response = pool.urlopen(
                    "GET",
                    place.target,
                    headers=sent,
                    retries=False,
                    redirect=False,
                    assert_same_host=False,
                    preload_content=False,
                    decode_content=False,
                )
            except (ConnectTimeoutError, NewConnectionError) as error:
                unreached = error
                continue
            except HTTPError:
                self._note_silence(key)
                raise
            with self._lock:
                self._silent.pop(key, None)
                pools.sort(key=lambda one, reached=pool: one is not reached)  # type: ignore[misc]
            return response
        self._note_silence(key)
        raise unreached or Failed(f"the name {place.host} has no address")

    def _note_silence(self, key: tuple[str, str, int]) -> None:
        with self._lock:
            self._silent[key] = self._silent.get(key, 0) + 1

    def _pools_of(self, place: Place) -> list[urllib3.HTTPConnectionPool]:
        """A pool for each address of a host, first the one that was reached last."""
        key = place[:3]
        if self._silent.get(key, 0) >= GIVEN_UP:
            raise Failed(f"{place.host} did not answer several times before")
        with self._lock:
            if (pools := self._pools.get(key)) is not None:
                return pools
        made = [self._pool(place, address) for address in resolve(place, self._mode)]
        with self._lock:
            return self._pools.setdefault(key, made)

    def _pool(self, place: Place, address: str) -> urllib3.HTTPConnectionPool:
        if place.scheme == "http":
            return urllib3.HTTPConnectionPool(address, place.port, timeout=timeout(), maxsize=self._connections)
        return urllib3.HTTPSConnectionPool(
            address,
            place.port,
            timeout=timeout(),
            maxsize=self._connections,
            ssl_context=_tls(),
            cert_reqs="CERT_REQUIRED",
            server_hostname=place.host,
        )


@cache
def _tls() -> ssl.SSLContext:
    """Trust as this machine has it, or as the variable SSL_CERT_FILE says."""
    return ssl.create_default_context()


def _status(response: urllib3.BaseHTTPResponse) -> str:
    return f"{response.status} {response.reason}" if response.reason else str(response.status)
