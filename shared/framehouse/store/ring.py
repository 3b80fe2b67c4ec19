"""Ranges of objects, read ahead into one piece of memory that is used again and again.

For those who copy many bytes: large buffers that come and go leave holes in a process that the next ones do not fit, so
that it grows while it copies. Those who keep what they read take `framehouse.store.packs.fetch_ahead`.
"""

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from framehouse.store.bucket import Bucket
from framehouse.store.packs import AHEAD, REQUESTS, Range

R = TypeVar("R", bound=Range)


class Ring:
    """Memory that is taken in pieces, and given back in the order in which they were taken."""

    def __init__(self, size: int) -> None:
        self._memory = np.empty(size, np.uint8).data
        self._taken: deque[tuple[int, int]] = deque()

    def take(self, length: int) -> memoryview | None:
        """A piece of `length` bytes; None where something has to be given back first."""
        start = 0
        if self._taken:
            first, start = self._taken[0][0], self._taken[-1][1]
            if start > first and start + length > len(self._memory):
                start = 0
            if start <= first < start + length:
                return None
        self._taken.append((start, start + length))
        return self._memory[start : start + length]

    def give_back(self) -> None:
        """Gives back what was taken first."""
        self._taken.popleft()


def read_ahead(bucket: Bucket, wanted: Iterable[R]) -> Generator[tuple[R, memoryview], None, None]:
    """Reads ranges in order, the next ones before they are asked for: several where they are small.

    What is yielded is there until the next is asked for; its bytes are fewer where the object ends before. Holds AHEAD
    bytes, that which was yielded last among them; no range is longer.
    """
    ring = Ring(AHEAD)
    pending: deque[tuple[R, memoryview, Future[int]]] = deque()
    threads = ThreadPoolExecutor(REQUESTS, thread_name_prefix="read")
    try:
        for one in wanted:
            length = one.end - one.start
            while len(pending) > REQUESTS or (memory := ring.take(length)) is None:
                yield _first(pending)
                ring.give_back()
            pending.append((one, memory, threads.submit(bucket.read_into, one.object, one.start, memory)))
        while pending:
            yield _first(pending)
    finally:
        threads.shutdown(cancel_futures=True)


def _first(pending: deque[tuple[R, memoryview, Future[int]]]) -> tuple[R, memoryview]:
    one, memory, reading = pending.popleft()
    return one, memory[: reading.result()]
