"""Ingest dies while datasets are dealt out, merged and made versions of: each change is there whole, or not at all."""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import grpc
import numpy as np
import pyarrow as pa
import pytest

from framehouse.client import Client, classes
from framehouse.store.tables import open_table
from framehouse.v1 import dataset_pb2, dataset_pb2_grpc
from tests.benchmarks import big_table
from tests.e2e.test_faults import process_of, wait_until

IMAGES = 12_000
DELAYS = (0.2, 0.6)
"""Seconds of changes, one directly after the other, until ingest is killed."""
VERSIONS_SECONDS = 0.06
"""Of them in which versions are made: each has a job, too."""
Stub = dataset_pb2_grpc.DatasetServiceStub


def deal(name: str, number: int) -> dataset_pb2.RedistributeSplitsRequest:
    """Each has shares of its own, so that the counts tell which one it was."""
    train = 0.3 + 0.005 * number
    shares = [
        dataset_pb2.SplitShare(split=split, share=share) for split, share in (("train", train), ("val", 1 - train))
    ]
    return dataset_pb2.RedistributeSplitsRequest(name=name, shares=shares, seed=number)


def merge(name: str, number: int) -> dataset_pb2.ChangeClassesRequest:
    """The last class but so many becomes the first."""
    change = classes.merge([big_table.CLASSES[-1 - number]], into=big_table.CLASSES[0])
    return dataset_pb2.ChangeClassesRequest(parent=name, changes=[change])


def version(name: str, number: int) -> dataset_pb2.CreateVersionRequest:
    return dataset_pb2.CreateVersionRequest(parent=name, description=f"{number}", request_id=f"{name}-{number}")


class Changes:
    """Changes of a dataset, one directly after the other until ingest is away."""

    def __init__(self, call: Callable[..., Any], request: Callable[[str, int], Any], name: str) -> None:
        self.call, self.request, self.name = call, request, name
        self.done = 0
        """Changes that were answered; the next one may be there or not."""

    def next(self) -> Any:
        """Makes the next change; answers with the dataset or the version."""
        answer = self.call(self.request(self.name, self.done), timeout=60)
        self.done += 1
        return getattr(answer, "dataset", answer)

    def run(self, seconds: float, last: Any) -> Any:
        """Changes after some seconds; answers with what was answered last."""
        time.sleep(seconds)
        while True:
            try:
                last = self.next()
            except grpc.RpcError as error:
                assert error.code() == grpc.StatusCode.UNAVAILABLE, error
                return last


@pytest.fixture(scope="module")
def names(stack: Any) -> list[str]:
    """Of a dataset to deal out, one to merge classes of, and a small one to make versions of."""
    sizes = {"faults-dealt": IMAGES, "faults-merged": IMAGES, "faults-versions": 100}
    return [big_table.publish(stack, name, images, seed).name for seed, (name, images) in enumerate(sizes.items())]


def test_a_change_is_there_whole_or_not_at_all_when_ingest_is_killed(
    stack: Any, client: Client, names: list[str]
) -> None:
    with (
        grpc.insecure_channel(stack.address) as channel,
        grpc.insecure_channel(stack.addresses["ingest"]) as inside,
        ThreadPoolExecutor(3) as pool,
    ):
        stub, ingest = Stub(channel), Stub(inside)
        dealt, merged, made = changes = (
            Changes(stub.RedistributeSplits, deal, names[0]),
            Changes(stub.ChangeClasses, merge, names[1]),
            Changes(stub.CreateVersion, version, names[2]),
        )
        counts = annotation_counts(client, merged.name)
        last = [one.next() for one in changes]

        def head(name: str) -> pa.Table:
            where = ingest.ResolveTable(dataset_pb2.ResolveTableRequest(dataset=name), timeout=30)
            return open_table(where.key, where.version).to_table(columns=["split", "label"])

        for delay in DELAYS:
            victim = process_of(stack, "ingest")
            pauses = (0.0, 0.0, delay - VERSIONS_SECONDS)
            running = [
                pool.submit(one.run, pause, before) for one, pause, before in zip(changes, pauses, last, strict=True)
            ]
            time.sleep(delay)
            os.kill(victim, signal.SIGKILL)
            last = [one.result(60) for one in running]
            wait_until(lambda: answers(stub, dealt.name), seconds=30)

            check_splits(stub, dealt, last[0], head(dealt.name))
            check_classes(client, merged, last[1], head(merged.name), counts)
            check_versions(client, made, last[2])
            last = [again(dealt), again(merged), again(made)]


def answers(stub: Any, name: str) -> bool:
    with suppress(grpc.RpcError):
        return bool(stub.GetDataset(dataset_pb2.GetDatasetRequest(name=name), timeout=5).uid)
    return False


def again(change: Changes) -> Any:
    """Makes the change that failed, or the one after it where a class of it is gone by then."""
    try:
        return change.next()
    except grpc.RpcError as error:
        assert (change.request, error.code()) == (merge, grpc.StatusCode.INVALID_ARGUMENT), error
        change.done += 1
        return change.next()


def check_splits(stub: Any, change: Changes, last: dataset_pb2.Dataset, head: pa.Table) -> None:
    """The dataset is what the last change made that was answered, or what the one after it makes."""
    there = stub.GetDataset(dataset_pb2.GetDatasetRequest(name=change.name), timeout=30)
    counts = {one.split: one.image_count for one in there.splits}
    assert counts == dict(Counter(head["split"].to_pylist()))
    for split, count in counts.items():
        request = dataset_pb2.ListImagesRequest(parent=change.name, filter=f"split = {split}", page_size=1)
        assert stub.ListImages(request, timeout=30).total_size == count
    made = change.done if there.etag != last.etag else change.done - 1
    same = deal(change.name, made)
    same.validate_only = True
    assert change.call(same, timeout=30).changed_count == 0
    if there.etag == last.etag:
        assert there == last


def annotation_counts(client: Client, name: str) -> dict[str, int]:
    return {one.label.name: one.annotation_count for one in client.list_classes(name)}


def check_classes(
    client: Client, change: Changes, last: dataset_pb2.Dataset, head: pa.Table, before: dict[str, int]
) -> None:
    """The classes that were merged are gone, and their annotations of the first: of those answered, or one more."""
    there = client.get_dataset(change.name)
    merged = change.done + (there.etag != last.etag)
    left = big_table.CLASSES[: len(big_table.CLASSES) - merged]
    gone = sum(before[name] for name in big_table.CLASSES[len(left) :])
    expected = {name: before[name] for name in left}
    expected[left[0]] += gone
    assert [label.name for label in there.labels.labels] == left
    assert annotation_counts(client, change.name) == expected
    found = np.bincount(head["label"].combine_chunks().flatten().to_numpy(), minlength=len(left))
    assert found.tolist() == list(expected.values())
    assert there.annotation_count == sum(before.values())
    if there.etag == last.etag:
        assert there == last


def check_versions(client: Client, change: Changes, last: dataset_pb2.Version) -> None:
    """All versions that were answered are there, and one more at most, numbered without a gap."""
    there = list(client.list_versions(change.name))
    assert [one.number for one in there] == list(range(len(there), 0, -1))
    assert [one.description for one in there] == [str(one.number - 1) for one in there]
    assert len(there) - change.done in (0, 1)
    assert last.name in [one.name for one in there]
    assert {one.image_count for one in there} == {client.get_dataset(change.name).image_count}
