"""The gateway process: gRPC on one port, HTTP/JSON on another, both in front of the same backends."""

import asyncio
import contextlib
import socket

import grpc
import uvicorn
from grpc_health.v1 import health, health_pb2

from framehouse.runtime.access import check_settings
from framehouse.runtime.config import settings
from framehouse.runtime.server import grpc_server, stopped_by_signals
from framehouse.runtime.telemetry import configure_logging, logger
from framehouse.runtime.topology import PORTS
from services.gateway.backends import Backends
from services.gateway.http import application
from services.gateway.keys import Keys
from services.gateway.proxy import Proxy, client_routes
from services.gateway.tls import Certificate, own_certificate


class _HttpServer(uvicorn.Server):
    def capture_signals(self) -> contextlib.nullcontext[None]:  # type: ignore[override]
        """Leaves signals to `run`, which stops both faces together."""
        return contextlib.nullcontext()


async def run() -> None:
    """Serves until SIGTERM or SIGINT; then calls in flight are finished within the drain time."""
    check_settings()
    certificate = own_certificate()
    configure_logging("gateway", settings().log_level)
    stop = stopped_by_signals()

    checks = health.aio.HealthServicer()
    backends = Backends(checks)
    keys = Keys(backends.channel("ingest")) if settings().auth == "api_key" else None
    grpc_address = f"{settings().host}:{settings().port or PORTS['gateway']}"
    server = _grpc_face(backends, keys, checks)
    if certificate is None:
        server.add_insecure_port(grpc_address)
    else:
        server.add_secure_port(grpc_address, certificate.grpc())
    http, listener = _http_face(backends, keys, certificate)

    await server.start()
    await checks.set("", health_pb2.HealthCheckResponse.SERVING)
    serving_http = asyncio.ensure_future(http.serve(sockets=[listener]))
    watching = asyncio.ensure_future(_watch(backends, certificate))
    logger().info("serving", address=grpc_address, http_address=f"{settings().host}:{settings().http_port}")

    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait((stopping, serving_http, watching), return_when=asyncio.FIRST_COMPLETED)
    logger().info("stopping")
    await checks.enter_graceful_shutdown()
    http.should_exit = True
    await asyncio.gather(server.stop(settings().drain_seconds), serving_http)
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching
    logger().info("stopped")


def _grpc_face(backends: Backends, keys: Keys | None, checks: health.aio.HealthServicer) -> grpc.aio.Server:
    routes = client_routes()
    services = sorted({path.split("/")[1] for path in routes})
    return grpc_server([Proxy(routes, backends.channel, keys)], services, checks)


def _http_face(
    backends: Backends, keys: Keys | None, certificate: Certificate | None
) -> tuple[_HttpServer, socket.socket]:
    """The HTTP server, and the socket that it is to listen at."""
    host = settings().host
    # Bound here: uvicorn leaves the process where a port is taken, without a word in the log.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, settings().http_port), family=family)
    config = uvicorn.Config(
        application(backends, keys),
        http="httptools",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(settings().drain_seconds),
    )
    config.load()
    config.ssl = certificate.http if certificate is not None else None
    return _HttpServer(config), listener


async def _watch(backends: Backends, certificate: Certificate | None) -> None:
    """Follows what may change while it serves, until cancelled."""
    await asyncio.gather(backends.watch(), *([certificate.follow()] if certificate is not None else []))
