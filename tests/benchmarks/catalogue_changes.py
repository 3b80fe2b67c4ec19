"""Changing a large dataset through the gateway: many images to another split, all splits anew, classes merged and
deleted, many writers at once.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

from framehouse.client import Client, classes
from framehouse.client.errors import Aborted, Cancelled
from tests.benchmarks import big_table
from tests.benchmarks.measure import Bench, PeakMemory, Row, Series, seconds_of

MOVE_SECONDS = 1.0
REDISTRIBUTE_SECONDS = 5.0
VERSION_SECONDS = 1.0
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

        def merge(number: int) -> None:
            two = [f"class {2 * number:02d}", f"class {2 * number + 1:02d}"]
            done = client.change_classes("changes", [classes.merge(two, into="class 79")])
            assert done.effects[0].annotation_count > 0

        def remove() -> None:
            client.change_classes("changes", [classes.delete("class 40", annotations="remove")])

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
        merged = series("merge two of eighty classes into another one", merge)
        left = client.get_dataset("changes")
        removed = Series("delete a class with its annotations", "s", [seconds_of(remove)])
    assert (left.image_count, left.annotation_count) == (dataset.image_count, dataset.annotation_count)
    slowest = max(dealt.median, stratified.median)
    return Row(
        "changes",
        "a tenth of a large dataset, from everywhere in it, moved to another split; all splits dealt anew; classes "
        "merged and deleted",
        f"{dataset.image_count:,} images, {dataset.annotation_count:,} boxes; {repeats} × each, committed",
        series=[moves, dealt, stratified, merged, removed, *cold],
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


def versions(bench: Bench) -> Row:
    """Measures; the targets are the medians of making a version, without its snapshot, and of a clone."""
    images, repeats = (50_000, 3) if bench.quick else (1_000_000, 5)
    dataset = big_table.publish(bench.suite, "versions", images, seed=3)
    with Client(bench.suite.address) as client, PeakMemory(bench.suite) as memory:

        def make() -> tuple[float, int]:
            """Makes a version; its snapshot would be written while something else is measured, and is given up."""
            begin = time.perf_counter()
            version = client.create_version("versions", wait=False)
            seconds = time.perf_counter() - begin
            client.cancel_job(version.snapshot_job)
            with suppress(Cancelled):
                client.wait(version.snapshot_job)
            return seconds, version.number

        made = Series("a version", "s", [make()[0] for _ in range(repeats)])
        bench.say(f"a version: {made.median:.3f} s")
        clones = iter(range(repeats))
        cloned = Series(
            "a clone",
            "s",
            [seconds_of(lambda: client.clone_dataset("versions", f"clone-{next(clones)}")) for _ in range(repeats)],
        )
        bench.say(f"a clone: {cloned.median:.3f} s")
        snapshot = Series("a version and its snapshot", "s", [seconds_of(lambda: client.create_version("versions"))])
        size = client.get_version(f"versions@{repeats + 1}").snapshot_size
        bench.say(f"snapshot: {snapshot.median:.1f} s, {size / 1e6:.0f} MB")
        done: list[tuple[str, Callable[[], object]]] = [
            ("all images in another split", lambda: client.change_images("versions", "*", move_to_split="other")),
            ("a tenth of them removed", lambda: client.change_images("versions", SPREAD, remove=True)),
            (
                "two classes merged",
                lambda: client.change_classes("versions", [classes.merge(["class 01"], into="class 02")]),
            ),
        ]
        compared = []
        for number, (what, change) in enumerate(done):
            base = make()[1]
            change()
            found = [seconds_of(lambda: client.compare_versions(f"versions@{base}")) for _ in range(1 + repeats)]  # noqa: B023
            compared.append(Series(f"compared: {what}", "s", found[1:]))
            compared.append(Series(f"compared: {what}, the first time", "s", found[:1]))
            bench.say(f"{what}: {found[0]:.2f} s, then {compared[2 * number].median:.2f} s")
        restored = Series("restored", "s", [seconds_of(lambda: client.restore_version("versions@1"))])
        left = client.get_dataset("versions")
    assert (left.image_count, left.annotation_count) == (dataset.image_count, dataset.annotation_count)
    return Row(
        "versions",
        "versions and clones of a large dataset: made, compared with what the dataset became, restored",
        f"{dataset.image_count:,} images, {dataset.annotation_count:,} boxes; snapshot of {size / 1e6:,.0f} MB",
        series=[made, cloned, snapshot, *compared, restored],
        target=f"made, and cloned, within {VERSION_SECONDS:g} s at the median, without the snapshot",
        passed=max(made.median, cloned.median) <= VERSION_SECONDS,
        peak_memory={name: memory.peaks[name] for name in ("ingest", "conversion", "export")},
    )
