"""The gateway process: gRPC on one port, HTTP/JSON on another, both in front of the same backends."""

import asyncio
import contextlib
import signal
import socket

import grpc
import uvicorn
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from framehouse.runtime.access import check_settings
from framehouse.runtime.config import settings
from framehouse.runtime.server import SERVER_OPTIONS
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


async def _watch(backends: Backends, certificate: Certificate | None) -> None:
    await asyncio.gather(backends.watch(), *([certificate.follow()] if certificate is not None else []))


async def run() -> None:
    """Serves until SIGTERM or SIGINT; then calls in flight are finished within the drain time."""
    check_settings()
    certificate = own_certificate()
    configure_logging("gateway", settings().log_level)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    checks = health.aio.HealthServicer()
    backends = Backends(checks)
    keys = Keys(backends.channel("ingest")) if settings().auth == "api_key" else None
    routes = client_routes()
    services = sorted({path.split("/")[1] for path in routes})
    server = grpc.aio.server(handlers=[Proxy(routes, backends.channel, keys)], options=SERVER_OPTIONS)
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    reflection.enable_server_reflection([*services, health.SERVICE_NAME, reflection.SERVICE_NAME], server)

    host, port, http_port = settings().host, settings().port or PORTS["gateway"], settings().http_port
    if certificate is None:
        server.add_insecure_port(f"{host}:{port}")
    else:
        server.add_secure_port(f"{host}:{port}", certificate.grpc())
    # Bound here: uvicorn leaves the process where a port is taken, without a word in the log.
    listener = socket.create_server((host, http_port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
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
    http = _HttpServer(config)
    await server.start()
    await checks.set("", health_pb2.HealthCheckResponse.SERVING)
    serving_http = asyncio.ensure_future(http.serve(sockets=[listener]))
    watching = asyncio.ensure_future(_watch(backends, certificate))
    logger().info("serving", address=f"{host}:{port}", http_address=f"{host}:{http_port}")

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
