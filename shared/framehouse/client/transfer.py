"""Bytes to and from the object store under presigned URLs: in parallel, tried again, taken up where they ended."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TypeVar

import urllib3

from framehouse.client.errors import FailedPrecondition, FramehouseError, Unavailable

T = TypeVar("T")

PARALLEL = 4
ATTEMPTS = 6
FIRST_BACKOFF = 0.25
LONGEST_BACKOFF = 8.0
CHUNK = 1 << 20
_TIMEOUT = urllib3.Timeout(connect=10.0, read=120.0)
_PASSING = {408, 425, 429, 500, 502, 503, 504}
"""HTTP statuses after which the same request may do."""


@cache
def _pool() -> urllib3.PoolManager:
    return urllib3.PoolManager(retries=False, timeout=_TIMEOUT, maxsize=2 * PARALLEL)


async def send_parts(parts: Iterator[bytes], urls: Sequence[str], sent: Callable[[int], None]) -> list[str]:
    """Puts each part to its URL, `PARALLEL` at once; answers with their ETags in order.

    No more than `PARALLEL` parts are in memory. `sent` is told of the bytes that arrived.
    """
    slots = asyncio.Semaphore(PARALLEL)
    tags = [""] * len(urls)

    async def send(number: int, data: bytes) -> None:
        try:
            tags[number] = await asyncio.to_thread(_put, urls[number], data)
            sent(len(data))
        finally:
            slots.release()

    async with asyncio.TaskGroup() as group:
        for number in range(len(urls)):
            await slots.acquire()
            data = await asyncio.to_thread(next, parts, b"")
            group.create_task(send(number, data))
    # One more step ends the iterator, which checks the whole.
    await asyncio.to_thread(next, parts, b"")
    return tags


def _put(url: str, data: bytes) -> str:
    def attempt() -> str:
        answer = _pool().request("PUT", url, body=data)
        _check(answer, "sending")
        return str(answer.headers.get("ETag", "")).strip('"')

    return _with_retries(url, attempt)


def fetch(url: str, size: int, target: Path, received: Callable[[int], None], stop: threading.Event) -> None:
    """Gets `size` bytes into a file, going on where an interrupted attempt, also an earlier one, has ended.

    `received` is told how much is there; `stop` ends it from another thread.
    """
    with target.open("ab") as file:

        def attempt() -> None:
            began = file.tell()
            if began >= size:
                return
            headers = {"Range": f"bytes={began}-"} if began else {}
            answer = _pool().request("GET", url, headers=headers, preload_content=False)
            try:
                _check(answer, "fetching")
                if began and answer.status != 206:
                    file.truncate(0)
                for chunk in answer.stream(CHUNK):
                    if stop.is_set():
                        return
                    file.write(chunk)
                    received(file.tell())
            finally:
                answer.close()
            if file.tell() < size:
                raise urllib3.exceptions.ProtocolError(f"only {file.tell():,} of {size:,} bytes came")

        _with_retries(url, attempt, stop)


def _with_retries(url: str, attempt: Callable[[], T], stop: threading.Event | None = None) -> T:
    backoff = FIRST_BACKOFF
    for left in reversed(range(ATTEMPTS)):
        try:
            return attempt()
        except (urllib3.exceptions.HTTPError, _Passing) as error:
            if left == 0 or (stop is not None and stop.is_set()):
                place = urllib3.util.parse_url(url).netloc or "?"
                raise Unavailable(
                    f"the object store at {place} does not answer: {error}",
                    remedy="check that this machine reaches it, and try again",
                    reason="STORE_UNREACHABLE",
                    facts={"address": place},
                ) from error
        time.sleep(backoff)
        backoff = min(backoff * 2, LONGEST_BACKOFF)
    raise AssertionError("the last attempt returns or raises")


class _Passing(Exception):
    """The store cannot answer now."""


def _check(answer: urllib3.BaseHTTPResponse, doing: str) -> None:
    if answer.status < 300:
        return
    text = answer.data.decode(errors="replace")[:500] if answer.status != 416 else ""
    if answer.status in _PASSING:
        raise _Passing(f"{doing} was answered with {answer.status}")
    raise _refused(answer.status, doing, text)


def _refused(status: int, doing: str, text: str) -> FramehouseError:
    code = text.partition("<Code>")[2].partition("</Code>")[0]
    return FailedPrecondition(
        f"the object store refused {doing} with {status} {code}".rstrip(),
        remedy="the signed URL may have ended, or this machine's clock may be wrong; try again",
        reason="STORE_REFUSED",
    )
