"""Listing the images of a large dataset through the gateway: filters and orders, first pages and later ones.

Each query is asked for the first time in each repeat, with a number in it that no other has, so that no answer is a
remembered one. What is read of the table only once, by the first query of all, is told by itself.
"""

import statistics
import time
from collections.abc import Callable

import grpc

from framehouse.v1 import dataset_pb2, dataset_pb2_grpc
from tests.benchmarks import big_table
from tests.benchmarks.measure import Bench, PeakMemory, Row, Series

LIMIT_MS = 150.0
LATER_PAGES = 4
SETTLE_SECONDS = 60.0

QUERIES = {
    "all": ("width > {n}", ""),
    "by path, from the last": ("width > {n}", "path desc"),
    "by size": ("width > {n}", "size desc"),
    "by two numbers": ("width > {n}", "annotations desc, width"),
    "of a class and a split": ('label:"class 40" AND split = val AND width > {n}', "size"),
    "of the commonest class": ('label = "class 00" AND width > {n}', "height"),
    "without annotations": ("NOT label:* AND width > {n}", "path"),
    "by a pattern of paths": ('path = "train/*7*{n}.jpg"', "width"),
    "by state and kind": ("(state = verified_empty OR kind:box) AND height > {n}", "size, path"),
}
"""Filter and order of each; `{n}` is a number of its own."""

Ask = Callable[[str, str, str], dataset_pb2.ListImagesResponse]


def run(bench: Bench) -> Row:
    """Measures; the target is the median of first pages of the slowest query, and of later pages."""
    images, repeats = (50_000, 2) if bench.quick else (1_000_000, 5)
    dataset = big_table.publish(bench.suite, "catalogue", images)
    bench.say(f"{dataset.image_count:,} images, {dataset.annotation_count:,} boxes")
    with grpc.insecure_channel(bench.suite.address) as channel, PeakMemory(bench.suite) as memory:
        stub = dataset_pb2_grpc.DatasetServiceStub(channel)

        def ask(filter: str, order_by: str, token: str) -> dataset_pb2.ListImagesResponse:
            return stub.ListImages(
                dataset_pb2.ListImagesRequest(parent=dataset.name, filter=filter, order_by=order_by, page_token=token)
            )

        cold = [_first(ask, filter.format(n=0), order) for filter, order in QUERIES.values()]
        _settle(ask)
        firsts: dict[str, list[float]] = {name: [] for name in QUERIES}
        laters: dict[str, list[float]] = {name: [] for name in QUERIES}
        for repeat in range(repeats):
            for name, (filter, order) in QUERIES.items():
                began, *rest = _pages(ask, filter.format(n=repeat + 1), order)
                firsts[name].append(began)
                laters[name] += rest
    bench.say("; ".join(f"{name} {statistics.median(values):.0f} ms" for name, values in firsts.items()))
    first = Series("first page", "ms", [value for values in firsts.values() for value in values])
    later = Series("later page", "ms", [value for values in laters.values() for value in values])
    name = max(firsts, key=lambda name: statistics.median(firsts[name]))
    slowest = Series(f"first page of the slowest, {name}", "ms", firsts[name])
    return Row(
        "catalogue",
        "pages of 100 images of a large dataset, by any filter and in any order",
        f"{dataset.image_count:,} images, {dataset.annotation_count:,} boxes; {len(QUERIES)} queries × {repeats}, each "
        f"with a filter that was never asked before; {LATER_PAGES} later pages each",
        series=[
            first,
            slowest,
            later,
            Series("first page before anything was read", "ms", cold),
        ],
        target=f"at most {LIMIT_MS:g} ms at the median, first pages of every query and later pages",
        passed=max(slowest.median, later.median) <= LIMIT_MS,
        peak_memory={name: memory.peaks[name] for name in ("ingest", "gateway")},
    )


def _first(ask: Ask, filter: str, order: str) -> float:
    begin = time.perf_counter()
    ask(filter, order, "")
    return (time.perf_counter() - begin) * 1000


def _pages(ask: Ask, filter: str, order: str) -> list[float]:
    """Milliseconds of each of the first pages."""
    times = []
    token = ""
    for _ in range(1 + LATER_PAGES):
        begin = time.perf_counter()
        page = ask(filter, order, token)
        times.append((time.perf_counter() - begin) * 1000)
        if not (token := page.next_page_token):
            break
    return times


def _settle(ask: Ask) -> None:
    """Goes through pages of images from all over the table until nothing more is read for them."""
    end = time.monotonic() + SETTLE_SECONDS
    quick = 0
    token = ""
    while quick < 3 and time.monotonic() < end:
        begin = time.perf_counter()
        token = ask("", "size", token).next_page_token
        quick = quick + 1 if time.perf_counter() - begin < LIMIT_MS / 1000 else 0
