"""One unary call through the gateway, against the same call to the service itself and against a bare echo.

Sequential calls from one client over one channel each, in turns of 200, so that all three see the same machine.
"""

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable

import grpc

from framehouse.v1 import dataset_pb2
from tests.benchmarks.measure import Bench, Row, Series, ratio

METHOD = "/framehouse.v1.DatasetService/ListDatasets"
TURN = 200
LIMIT_MS = 1.0

Call = Callable[[dataset_pb2.ListDatasetsRequest], Awaitable[object]]


def run(bench: Bench) -> Row:
    """Measures; the target is what the gateway adds at the median."""
    calls, repeats = (400, 2) if bench.quick else (2_000, 5)
    echo = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.echo"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert echo.stdin and echo.stdout
    try:
        port = int(echo.stdout.readline())
        addresses = {
            "echo": f"127.0.0.1:{port}",
            "direct": bench.suite.addresses["ingest"],
            "gateway": bench.suite.address,
        }
        medians = asyncio.run(_measure(addresses, calls, repeats))
    finally:
        echo.stdin.close()
        echo.wait()
    gateway, direct, bare = (Series(name, "ms", medians[name]) for name in ("gateway", "direct", "echo"))
    added = Series(
        "added by the gateway", "ms", [one - other for one, other in zip(gateway.values, direct.values, strict=True)]
    )
    return Row(
        "calls",
        "a unary call through the gateway, against the direct call",
        f"{repeats} × {calls:,} sequential calls of ListDatasets, medians",
        ratio=ratio("gateway : direct", gateway, direct),
        series=[added, gateway, direct, bare],
        target=f"the gateway adds at most {LIMIT_MS:g} ms at the median",
        passed=added.median <= LIMIT_MS,
    )


async def _measure(addresses: dict[str, str], calls: int, repeats: int) -> dict[str, list[float]]:
    """Milliseconds at the median by name, one value a repeat."""
    channels = {name: grpc.aio.insecure_channel(address) for name, address in addresses.items()}
    request = dataset_pb2.ListDatasetsRequest(parent="users/local", page_size=1)
    methods: dict[str, Call] = {
        name: channel.unary_unary(
            METHOD,
            request_serializer=dataset_pb2.ListDatasetsRequest.SerializeToString,
            response_deserializer=dataset_pb2.ListDatasetsResponse.FromString if name != "echo" else bytes,
        )
        for name, channel in channels.items()
    }
    for call in methods.values():
        await _times(call, request, TURN)
    medians: dict[str, list[float]] = {name: [] for name in methods}
    for _ in range(repeats):
        times: dict[str, list[float]] = {name: [] for name in methods}
        for _ in range(calls // TURN):
            for name, call in methods.items():
                times[name] += await _times(call, request, TURN)
        for name, values in times.items():
            medians[name].append(statistics.median(values) * 1000)
    for channel in channels.values():
        await channel.close()
    return medians


async def _times(call: Call, request: dataset_pb2.ListDatasetsRequest, count: int) -> list[float]:
    times = []
    for _ in range(count):
        begin = time.perf_counter()
        await call(request)
        times.append(time.perf_counter() - begin)
    return times
