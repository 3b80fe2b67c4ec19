"""Work that is done every hour for as long as the process lives, whatever becomes of one round of it."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from framehouse.runtime.errors import ServiceError
from framehouse.runtime.telemetry import logger

INTERVAL_SECONDS = 3600


async def hourly(
    first_seconds: float, complaint: str, work: Callable[[], Awaitable[None]], stop: asyncio.Event
) -> None:
    """Works until it is told to stop, for the first time after so many seconds.

    `complaint` is logged where a round fails; the next one is an hour later as ever.
    """
    wait = first_seconds
    while not stop.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), wait)
            return
        wait = INTERVAL_SECONDS
        try:
            await work()
        except ServiceError as error:
            logger().warning(complaint, error=str(error))
        except Exception as error:  # the process does not end with it
            logger().error(complaint, exc_info=error)
