"""Changing a large dataset through the gateway: many images to another split, all splits anew, many writers at once."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from framehouse.client import Client
from framehouse.client.errors import Aborted
from tests.benchmarks import big_table
from tests.benchmarks.measure import Bench, PeakMemory, Row, Series, seconds_of

MOVE_SECONDS = 1.0
REDISTRIBUTE_SECONDS = 5.0
WRITERS = 8
CHANGES = 25
"""Of each writer."""
SPREAD = 'path = "*7.jpg"'
"""A tenth of the images, from everywhere in the table."""


def changes(bench: Bench) -> Row:
    """Measures; the targets are the medians of moving a tenth of the images, and of dealing all of them anew."""
    images, repeats = (50_000, 2) if bench.quick else (1_000_000, 5)
    dataset = big_table.publish(bench.suite, "changes", images, seed=1)
    with Client(bench.suite.address) as client, PeakMemory(bench.suite) as memory:

        def move(number: int) -> None:
            done = client.change_images("changes", SPREAD, move_to_split=f"other-{number}")
            assert done.changed_count == images // 10

        def deal(seed: int, stratify: bool) -> None:
            done = client.redistribute_splits("changes", {"train": 0.8, "val": 0.2}, seed=seed, stratify=stratify)
            assert abs(done.splits[0].image_count - 0.8 * images) <= (0.001 * images if stratify else 1)

        def series(name: str, work: Callable[[int], object]) -> Series:
            made = Series(name, "s", [seconds_of(partial(work, number)) for number in range(1, repeats + 1)])
            bench.say(f"{name}: {made.median:.2f} s")
            return made

        cold = [
            Series("the first move of all", "s", [seconds_of(lambda: move(0))]),
            Series("the first redistribution of all", "s", [seconds_of(lambda: deal(0, stratify=True))]),
        ]
        moves = series(f"move {images // 10:,} images", move)
        dealt = series(f"redistribute {images:,}", lambda seed: deal(seed, stratify=False))
        stratified = series("redistribute, stratified", lambda seed: deal(seed, stratify=True))
        left = client.get_dataset("changes")
    assert (left.image_count, left.annotation_count) == (dataset.image_count, dataset.annotation_count)
    slowest = max(dealt.median, stratified.median)
    return Row(
        "changes",
        "a tenth of a large dataset, from everywhere in it, moved to another split; all splits dealt anew",
        f"{dataset.image_count:,} images, {dataset.annotation_count:,} boxes; {repeats} × each, committed",
        series=[moves, dealt, stratified, *cold],
        target=f"moved within {MOVE_SECONDS:g} s, redistributed within {REDISTRIBUTE_SECONDS:g} s, at the median",
        passed=moves.median <= MOVE_SECONDS and slowest <= REDISTRIBUTE_SECONDS,
        peak_memory={name: memory.peaks[name] for name in ("ingest", "gateway")},
    )


def writers(bench: Bench) -> Row:
    """Measures; the target is that no change is lost."""
    images = 2_000 if bench.quick else 20_000
    big_table.publish(bench.suite, "writers", images, seed=2)
    lock = threading.Lock()
    wanted: dict[str, str] = {}
    seconds: list[float] = []
    refused = 0

    def write(writer: int) -> None:
        nonlocal refused
        with Client(bench.suite.address) as client:
            for place in range(writer, WRITERS * CHANGES, WRITERS):
                name, split = names[place], f"writer-{writer}"
                begin = time.perf_counter()
                try:
                    client.change_images("writers", images=[name], move_to_split=split)
                except Aborted:
                    with lock:
                        refused += 1
                else:
                    with lock:
                        wanted[name] = split
                        seconds.append(time.perf_counter() - begin)

    with Client(bench.suite.address) as client:
        names = [image.name for image in client.list_images("writers", limit=WRITERS * CHANGES)]
        begin = time.perf_counter()
        with ThreadPoolExecutor(WRITERS) as pool:
            list(pool.map(write, range(WRITERS)))
        whole = time.perf_counter() - begin
        splits = {f"writer-{writer}" for writer in range(WRITERS)}
        found = {
            image.name: image.split
            for image in client.list_images("writers", limit=WRITERS * CHANGES)
            if image.split in splits
        }
    lost = sum(found.get(name) != split for name, split in wanted.items()) + len(found.keys() - wanted.keys())
    return Row(
        "writers",
        "several writers changing one dataset at once, an image with each change",
        f"{images:,} images; {WRITERS} clients, {CHANGES} changes each, one right after the other",
        series=[
            Series("changes", "a second", [len(wanted) / whole]),
            Series("one of them, waiting for the others included", "s", seconds),
        ],
        target="every change is there or was answered with ABORTED",
        passed=lost == 0 and len(wanted) + refused == WRITERS * CHANGES,
        notes=[f"{len(wanted)} made, {refused} answered with ABORTED, {lost} lost"],
    )
