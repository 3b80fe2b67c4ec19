"""Removes exports that have ended, every hour."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime

from framehouse.runtime.errors import ServiceError
from framehouse.runtime.telemetry import logger
from framehouse.store.bucket import bucket
from services.export import records

FIRST_SECONDS = 90
"""From the start of the process to the first look."""
INTERVAL_SECONDS = 3600


async def keep_expiring(stop: asyncio.Event) -> None:
    """Looks for what has ended until the process stops."""
    wait = FIRST_SECONDS
    while not stop.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), wait)
            return
        wait = INTERVAL_SECONDS
        try:
            await asyncio.to_thread(records.sweep, bucket(), datetime.now(UTC))
        except ServiceError as error:
            logger().warning("exports do not expire", error=str(error))
