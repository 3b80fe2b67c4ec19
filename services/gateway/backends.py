"""The processes behind the gateway: a channel to each, and whether it is serving.

Health is watched over one stream a process, so asking for it costs nothing and a change is known at once.
"""

import asyncio
import json
from collections.abc import Mapping

import grpc
from grpc_health.v1 import health, health_pb2

from framehouse.runtime.channels import OPTIONS, address_of
from framehouse.runtime.telemetry import logger
from framehouse.runtime.topology import OWNERS

STATUS_DETAILS = "grpc-status-details-bin"
"""Trailing metadata that holds a `google.rpc.Status`; every error of our services has it."""

WATCH_AGAIN_SECONDS = 0.5

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

# Retries are the caller's: repeated here as well, one call of an SDK would be up to 25 on a backend in trouble.
_OPTIONS = [
    *((name, value) for name, value in OPTIONS if name != "grpc.service_config"),
    ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})),
    # The largest answer is a drawn image as PNG.
    ("grpc.max_receive_message_length", 64 << 20),
]


class Backends:
    """Channels to all processes, opened once, and their health, also told to `checks` under each service's name."""

    def __init__(self, checks: health.aio.HealthServicer) -> None:
        self._checks = checks
        self._channels = {
            process: grpc.aio.insecure_channel(f"dns:///{address_of(process)}", options=_OPTIONS)
            for process in sorted(set(OWNERS.values()))
        }
        self._serving = dict.fromkeys(self._channels, False)

    def channel(self, process: str) -> grpc.aio.Channel:
        """The channel to a process, without interceptors and retries."""
        return self._channels[process]

    def serving(self) -> Mapping[str, bool]:
        """Whether each process is serving, by its name."""
        return self._serving

    async def watch(self) -> None:
        """Follows the health of every process, until cancelled."""
        await asyncio.gather(*(self._follow(process) for process in self._channels))

    async def _follow(self, process: str) -> None:
        watch = self._channels[process].unary_stream(
            f"/{health.SERVICE_NAME}/Watch",
            health_pb2.HealthCheckRequest.SerializeToString,
            health_pb2.HealthCheckResponse.FromString,
        )
        await self._set(process, False)
        while True:
            try:
                async for answer in watch(health_pb2.HealthCheckRequest()):
                    await self._set(process, answer.status == _SERVING)
            except grpc.aio.AioRpcError as error:
                logger().debug("health unknown", process=process, cause=error.details())
            await self._set(process, False)
            await asyncio.sleep(WATCH_AGAIN_SECONDS)

    async def _set(self, process: str, serving: bool) -> None:
        if serving != self._serving[process]:
            logger().info("backend is serving" if serving else "backend is not serving", process=process)
        self._serving[process] = serving
        for service, owner in OWNERS.items():
            if owner == process:
                await self._checks.set(service, _SERVING if serving else _NOT_SERVING)
