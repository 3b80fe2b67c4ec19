"""Bytes to and from the object store under presigned URLs: in parallel, tried again, taken up where they ended."""

import asyncio
import hashlib
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TypeVar

import urllib3

from framehouse.client.errors import FailedPrecondition, FramehouseError, Unavailable
from framehouse.client.trust import https
from framehouse.v1 import ingest_pb2

T = TypeVar("T")

PARALLEL = 4
PATIENCE_SECONDS = 60.0
"""How long the store may be away before its user is told."""
MISMATCHES = 3
"""How often a part may arrive with other bytes than were sent."""
FIRST_BACKOFF = 0.25
LONGEST_BACKOFF = 8.0
CHUNK = 1 << 20
CONTENT_TYPE = "application/x-binary"
"""Of what is sent, whatever it is: SeaweedFS packs text with gzip where it is not told a type, which takes long to
write and, as images and labels are read by ranges, far longer to read."""
_TIMEOUT = urllib3.Timeout(connect=10.0, read=120.0)
_PASSING = {408, 425, 429, 500, 502, 503, 504}
"""HTTP statuses after which the same request may do."""


@cache
def _pool() -> urllib3.PoolManager:
    return urllib3.PoolManager(retries=False, timeout=_TIMEOUT, maxsize=2 * PARALLEL, ssl_context=https())


class PartDiffers(Exception):
    """A part that is there has other bytes than the source has now."""


async def send_parts(
    data: Iterator[bytes],
    parts: Sequence[ingest_pb2.UploadPart],
    renew: Callable[[], Awaitable[Sequence[ingest_pb2.UploadPart]]],
    sent: Callable[[int], None],
) -> list[str]:
    """Puts each part of the data that is not there to its URL, `PARALLEL` at once; answers with the ETags in order.

    No more than `PARALLEL` parts are in memory. `renew` gives the parts with new URLs where theirs have ended; `sent`
    is told of the bytes that arrived. Raises `PartDiffers`.
    """
    slots = asyncio.Semaphore(PARALLEL)
    renewing = asyncio.Lock()
    stop = threading.Event()
    known = {part.number: part for part in parts}
    tags = [""] * len(parts)

    async def renewed(part: ingest_pb2.UploadPart) -> ingest_pb2.UploadPart:
        async with renewing:
            # Several find out at once that their URLs have ended.
            if known[part.number].url == part.url:
                known.update((one.number, one) for one in await renew())
        return known[part.number]

    async def put(part: ingest_pb2.UploadPart, content: bytes, digest: str) -> None:
        try:
            await asyncio.to_thread(_put, part.url, content, digest, stop)
        except FailedPrecondition as error:
            if error.facts.get("status") != "403":
                raise
            part = await renewed(part)
            if not part.etag:
                await asyncio.to_thread(_put, part.url, content, digest, stop)
            elif part.etag != digest:
                raise PartDiffers(part.number) from error

    async def send(index: int, content: bytes) -> None:
        try:
            part = known[parts[index].number]
            tags[index] = digest = await asyncio.to_thread(_md5, content)
            if not part.etag:
                await put(part, content, digest)
                sent(len(content))
            elif part.etag != digest:
                raise PartDiffers(part.number)
        finally:
            slots.release()

    try:
        async with asyncio.TaskGroup() as group:
            for index in range(len(parts)):
                await slots.acquire()
                content = await asyncio.to_thread(next, data, b"")
                group.create_task(send(index, content))
    except BaseExceptionGroup as group_error:
        raise _first(group_error) from group_error
    finally:
        stop.set()
    # One more step ends the iterator, which checks the whole.
    await asyncio.to_thread(next, data, b"")
    return tags


def _first(error: BaseException) -> BaseException:
    """The first error of those that came together."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _put(url: str, data: bytes, digest: str, stop: threading.Event) -> None:
    """Puts the data until the store has these very bytes: S3 answers with their MD5 as the ETag."""

    headers = {"Content-Length": str(len(data)), "Content-Type": CONTENT_TYPE}

    def body() -> Iterator[bytes]:
        for offset in range(0, len(data), CHUNK):
            if stop.is_set():
                raise _Stopped
            yield data[offset : offset + CHUNK]

    def attempt() -> str:
        answer = _pool().request("PUT", url, body=body(), headers=headers)
        _check(answer, "sending")
        return str(answer.headers.get("ETag", "")).strip('"')

    for _ in range(MISMATCHES):
        if _with_retries(url, attempt, stop) == digest:
            return
    raise FailedPrecondition(
        f"the object store had other bytes than were sent, {MISMATCHES} times",
        remedy="check what is between this machine and the store; a bucket that encrypts with KMS cannot be sent to",
        reason="PART_DIFFERS",
    )


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

        _with_retries(url, attempt, stop, file.tell)


def _with_retries(url: str, attempt: Callable[[], T], stop: threading.Event, place: Callable[[], int] = lambda: 0) -> T:
    """Tries again until the store has been away for `PATIENCE_SECONDS`, in which `place` did not move."""
    backoff, end, before = FIRST_BACKOFF, 0.0, -1
    while True:
        try:
            return attempt()
        except (urllib3.exceptions.HTTPError, _Passing) as error:
            now = time.monotonic()
            if (here := place()) != before:
                backoff, end, before = FIRST_BACKOFF, now + PATIENCE_SECONDS, here
            if now + backoff > end or stop.is_set():
                host = urllib3.util.parse_url(url).netloc or "?"
                fails = isinstance(error, _Passing) and error.status == 500
                raise Unavailable(
                    f"the object store at {host} {'fails' if fails else 'does not answer'}: {error}",
                    remedy=("make room on its disk, if that is full" if fails else "check that this machine reaches it")
                    + ", and try again",
                    reason="STORE_FAILS" if fails else "STORE_UNREACHABLE",
                    facts={"address": host},
                ) from error
        stop.wait(backoff)
        backoff = min(backoff * 2, LONGEST_BACKOFF)


class _Stopped(Exception):
    """Nobody waits for the part any more."""


class _Passing(Exception):
    """The store cannot do it now."""

    def __init__(self, doing: str, status: int) -> None:
        super().__init__(f"{doing} was answered with {status}")
        self.status = status


def _check(answer: urllib3.BaseHTTPResponse, doing: str) -> None:
    if answer.status < 300:
        return
    text = answer.data.decode(errors="replace")[:500] if answer.status != 416 else ""
    if answer.status in _PASSING:
        raise _Passing(doing, answer.status)
    raise _refused(answer.status, doing, text)


def _refused(status: int, doing: str, text: str) -> FramehouseError:
    code = text.partition("<Code>")[2].partition("</Code>")[0]
    return FailedPrecondition(
        f"the object store refused {doing} with {status} {code}".rstrip(),
        remedy="the signed URL may have ended, or this machine's clock may be wrong; try again",
        reason="STORE_REFUSED",
        facts={"status": str(status)},
    )
