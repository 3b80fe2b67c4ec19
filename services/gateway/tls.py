"""TLS on both faces of the gateway, by one certificate, which is read again when its files change."""

import asyncio
import ssl
from pathlib import Path
from typing import Any

import grpc

from framehouse.loopback import is_loopback
from framehouse.runtime.config import settings
from framehouse.runtime.telemetry import logger

LOOK_SECONDS = 60.0
"""How often the files are looked at."""


class Certificate:
    """A certificate and its key, for new connections of both faces. OSError where they are none."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._certificate, self._key = certificate, key
        self.http = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        """For the HTTP face."""
        self._read_at = self._changed_at()
        self._loaded = self._load()
        self._given = self._loaded

    def grpc(self) -> grpc.ServerCredentials:
        """For the gRPC face."""
        return grpc.dynamic_ssl_server_credentials(_configuration(self._loaded), self._newer)

    async def follow(self) -> None:
        """Takes in what the files become, until cancelled; while they are wrong, what they were stays in use."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                self.look()
            except OSError as error:
                logger().warning("the certificate cannot be read", file=str(self._certificate), error=str(error))

    def look(self) -> None:
        """Reads the files where they have changed. OSError where they are no certificate and its key."""
        if (changed := self._changed_at()) != self._read_at:
            self._loaded = self._load()
            self._read_at = changed
            logger().info("the certificate is a new one", file=str(self._certificate))

    def _changed_at(self) -> tuple[float, float]:
        return self._certificate.stat().st_mtime, self._key.stat().st_mtime

    def _load(self) -> tuple[bytes, bytes]:
        pair = self._key.read_bytes(), self._certificate.read_bytes()
        # The two are held against each other before anything is changed: of a pair that is wrong, half would be.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self._certificate, self._key, password="")
        self.http.load_cert_chain(self._certificate, self._key, password="")
        return pair

    def _newer(self) -> Any:
        """What gRPC asks for at each connection; None where nothing has changed."""
        if self._given is self._loaded:
            return None
        self._given = self._loaded
        return _configuration(self._loaded)


def _configuration(pair: tuple[bytes, bytes]) -> Any:
    return grpc.ssl_server_certificate_configuration([pair])


def own_certificate() -> Certificate | None:
    """The certificate of the settings; None where it is not for the gateway to speak TLS.

    Ends a process that would let keys be sent in the clear; the text says what to set.
    """
    certificate, key = settings().tls_certificate, settings().tls_key
    if bool(certificate) != bool(key):
        missing = "FRAMEHOUSE_TLS_KEY" if certificate else "FRAMEHOUSE_TLS_CERTIFICATE"
        raise SystemExit(f"{missing} is not set: a certificate and its key, a PEM file each, go together")
    if certificate:
        try:
            return Certificate(Path(certificate), Path(key))
        except OSError as error:
            why = f"{error.filename}: {error.strerror}" if error.filename else str(error)
            raise SystemExit(
                f"FRAMEHOUSE_TLS_CERTIFICATE ({certificate}) and FRAMEHOUSE_TLS_KEY ({key}) cannot be used: {why}"
            ) from error
    if settings().auth == "api_key" and settings().tls != "proxy" and not is_loopback(settings().host):
        raise SystemExit(
            f"FRAMEHOUSE_HOST is {settings().host}, and keys would be sent to it in the clear; set"
            " FRAMEHOUSE_TLS_CERTIFICATE and FRAMEHOUSE_TLS_KEY, or FRAMEHOUSE_TLS=proxy where something before it"
            " speaks TLS with clients"
        )
    return None
