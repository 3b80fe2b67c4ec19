"""Files elsewhere: what the web and S3 sources have in common. A file is read forward, and taken up where it broke off.

Texts of errors are for the user: they say what happened, and never hold a query string or a key.
"""

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from threading import Event

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
    ReadTimeoutError,
    SSLError,
)

CHUNK = 256 << 10
CONNECT_SECONDS = 10.0
READ_SECONDS = 60.0
RETRIES = 3
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 20.0
PATIENCE_SECONDS = 60.0
SLOWEST = 1000
"""Bytes a second, on average, that a file must arrive with after PATIENCE_SECONDS."""


class Failed(Exception):
    """The file cannot be had; the text says why."""


class Refused(Failed):
    """The file is not asked for, because the settings do not allow it."""


class Broken(Failed):
    """The file broke off, and can only be had from its beginning."""


@dataclass
class Body:
    """A file that is being read."""

    size: int | None
    """Bytes, where the other side says so."""
    content_type: str
    encoded: bool
    """Whether the bytes are compressed for the way, and not the file's own."""
    chunks: Generator[bytes, None, None]
    """Raises `Failed`."""


def timeout() -> urllib3.Timeout:
    return urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS)


def pause(attempt: int, stop: Event, asked: float = 0.0) -> None:
    """Waits before attempt `attempt` + 1, from 0, or until everything stops."""
    stop.wait(min(max(FIRST_PAUSE * 2**attempt, asked), LONGEST_PAUSE))


def reason(error: HTTPError) -> str:
    """What broke, without the address and the path that urllib3 puts into its texts."""
    cause = getattr(error, "reason", None) or error
    match cause:
        case SSLError():
            return f"the connection is not safe: {cause.args[0] if cause.args else cause}"
        case NewConnectionError():  # which is a ConnectTimeoutError, too
            return "its server does not take connections"
        case ConnectTimeoutError():
            return f"there was no connection within {CONNECT_SECONDS:.0f} seconds"
        case ReadTimeoutError():
            return f"its server said nothing for {READ_SECONDS:.0f} seconds"
        case _:
            return "the connection broke off"


def reading(
    response: urllib3.BaseHTTPResponse, again: Callable[[int], urllib3.BaseHTTPResponse], stop: Event
) -> Generator[bytes, None, None]:
    """The bytes of a response, and after a break those of `again`, which answers from an offset or raises `Failed`."""
    received, breaks, began = 0, 0, time.monotonic()
    try:
        while True:
            try:
                while chunk := response.read1(CHUNK, decode_content=False):
                    received += len(chunk)
                    yield chunk
                    elapsed = time.monotonic() - began
                    if elapsed > PATIENCE_SECONDS and received < elapsed * SLOWEST:
                        raise Failed(f"only {received:,} bytes came in {elapsed:.0f} seconds")
                    if stop.is_set():
                        raise Failed("the job ended before it came")
            except HTTPError as error:
                response.close()
                if breaks == RETRIES or stop.is_set():
                    raise Broken(f"{reason(error)} after {received:,} bytes") from error
                pause(breaks, stop)
                breaks += 1
                response = again(received)
                continue
            response.release_conn()
            return
    finally:
        # What was not read to its end cannot be used for another request.
        response.close()
