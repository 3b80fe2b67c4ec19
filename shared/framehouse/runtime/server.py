"""Starts a service: gRPC with health and reflection, metrics, the worker for its steps; and stops it cleanly.

`serve` is the whole main of a service. SIGTERM: health says NOT_SERVING, calls and steps in flight are finished within
the drain time, then the process leaves.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
from collections.abc import Awaitable, Callable, Sequence

# Read as Arrow is loaded, hence before. With an allocator of its own, what it frees is nobody's: a fifth more memory.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from prometheus_client import start_http_server

from framehouse.runtime.access import check_settings
from framehouse.runtime.config import settings
from framehouse.runtime.handlers import generic_handler
from framehouse.runtime.telemetry import configure_logging, logger
from framehouse.runtime.topology import PORTS, services

_OPTIONS = [
    ("grpc.so_reuseport", 0),
    # A small upload in one message, a hundred thousand URLs.
    ("grpc.max_receive_message_length", 20 << 20),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.max_ping_strikes", 0),
]

M_ARENA_MAX = -8
"""glibc's `mallopt` parameter for the number of arenas."""
ARENAS = 2

Background = Callable[[asyncio.Event], Awaitable[None]]
"""Something that runs beside the server until the event is set."""


async def serve(
    name: str,
    servicers: dict[str, object],
    *,
    workflows: Sequence[type] = (),
    background: Sequence[Background] = (),
) -> None:
    """Serves `servicers` (by full service name) until SIGTERM or SIGINT."""
    from framehouse.runtime import jobs

    check_settings()
    configure_logging(name, settings().log_level)
    share_memory_between_threads()
    port = settings().port or PORTS[name]
    start_http_server(settings().metrics_port or port + 1000, addr=settings().host)
    handlers = [generic_handler(services()[service], servicer) for service, servicer in servicers.items()]

    async def work(stop: asyncio.Event) -> None:
        await jobs.run_worker(name, servicers, workflows, stop)

    await run_server(name, handlers, list(servicers), background=(work, *background))


async def run_server(
    name: str,
    handlers: Sequence[grpc.GenericRpcHandler],
    service_names: Sequence[str],
    *,
    background: Sequence[Background] = (),
) -> None:
    """Runs a gRPC server with health and reflection for `service_names`, and the background work, until SIGTERM."""
    stop = stopped_by_signals()
    checks = health.aio.HealthServicer()
    server = grpc_server(handlers, service_names, checks)
    address = f"{settings().host}:{settings().port or PORTS[name]}"
    server.add_insecure_port(address)
    await server.start()
    tasks = [asyncio.ensure_future(work(stop)) for work in background]
    for service in ("", *service_names):
        await checks.set(service, health_pb2.HealthCheckResponse.SERVING)
    logger().info("serving", address=address)

    ended = [asyncio.ensure_future(stop.wait()), *tasks]
    while not stop.is_set():
        done, pending = await asyncio.wait(ended, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if (error := task.exception()) is not None:
                # Work that cannot go on ends the process; whoever supervises it starts it again.
                logger().error("background work failed", exc_info=error)
                stop.set()
        ended = list(pending)

    logger().info("stopping")
    await checks.enter_graceful_shutdown()
    await server.stop(settings().drain_seconds)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), settings().drain_seconds + 5)
    logger().info("stopped")


def stopped_by_signals() -> asyncio.Event:
    """The event that SIGTERM and SIGINT set from now on."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def grpc_server(
    handlers: Sequence[grpc.GenericRpcHandler], service_names: Sequence[str], checks: health.aio.HealthServicer
) -> grpc.aio.Server:
    """A server, not yet started and without a port, with health by `checks` and reflection for `service_names`."""
    server = grpc.aio.server(handlers=handlers, options=_OPTIONS)
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    reflection.enable_server_reflection([*service_names, health.SERVICE_NAME, reflection.SERVICE_NAME], server)
    return server


def share_memory_between_threads() -> None:
    """Keeps glibc from holding freed memory back for each thread; media's peak halves, its speed stays.

    Elsewhere than on glibc it does nothing.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, ARENAS)
