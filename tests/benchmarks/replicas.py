"""Two media processes against one, with one image at a time each, on cores that nothing else of the import needs.

A suite of its own, whose steps are all limited in that way. What is compared is the stage of the images.
"""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator

from framehouse.cli.stack.control import running_stack
from framehouse.cli.stack.health import is_serving
from framehouse.cli.stack.ports import HOST, free_ports
from framehouse.cli.stack.state import StackInfo
from framehouse.client import Client
from tests.benchmarks.images import import_photos
from tests.benchmarks.job_times import seconds_of_stage
from tests.benchmarks.measure import Bench, PeakMemory, Row, Series, cores, ratio
from tests.benchmarks.photos import many_photos

LIMIT = "FRAMEHOUSE_CONCURRENT_ACTIVITIES"
FASTER = 1.7
START_SECONDS = 30.0
FIRST = 300
"""Seed: no row has images of another."""


def run(bench: Bench) -> Row:
    """Measures; images a second."""
    count, repeats = (1_000, 1) if bench.quick else (4_000, 3)
    archive = bench.folder / "photos.zip"
    seeds = iter(range(FIRST, FIRST + 100))

    def speed(client: Client, images: int) -> float:
        many_photos(archive, images, next(seeds))
        return images / seconds_of_stage(import_photos(client, archive, images), "images")

    before = os.environ.get(LIMIT)
    os.environ[LIMIT] = "1"
    try:
        with (
            running_stack(bench.folder / "suite") as suite,
            Client(suite.address) as client,
            PeakMemory(suite) as memory,
        ):
            speed(client, 50)  # services load their libraries at their first use
            one = [speed(client, count) for _ in range(repeats)]
            with second_media(suite):
                speed(client, 1_000)
                two = [speed(client, count) for _ in range(repeats)]
    finally:
        os.environ.pop(LIMIT)
        if before is not None:
            os.environ[LIMIT] = before
    bench.say(f"one process {one[-1]:.0f} images/s, two {two[-1]:.0f}")
    two_series, one_series = Series("two processes", "images/s", two), Series("one process", "images/s", one)
    reached = ratio("two : one", two_series, one_series)
    return Row(
        "replicas",
        "two media processes of one thread each, against one",
        f"{repeats} × {count:,} JPEGs on {cores()} cores, which the other processes share",
        ratio=reached,
        series=[two_series, one_series],
        target=f"at least {FASTER:g} × where two cores are free for them",
        passed=None if bench.quick else reached.median >= FASTER,
        peak_memory=memory.peaks,
    )


@contextlib.contextmanager
def second_media(suite: StackInfo) -> Iterator[None]:
    """Another media process of the suite, which takes its steps from the same queue."""
    ports = free_ports({"own": None, "metrics": None})
    own = {"FRAMEHOUSE_PORT": str(ports["own"]), "FRAMEHOUSE_METRICS_PORT": str(ports["metrics"])}
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "services.media"],
        env={**os.environ, **suite.environment(), **own},
        stderr=subprocess.DEVNULL,
    )
    try:
        end = time.monotonic() + START_SECONDS
        while not is_serving(f"{HOST}:{ports['own']}", ""):
            assert time.monotonic() < end and process.poll() is None, "the second media process did not start"
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(30)
