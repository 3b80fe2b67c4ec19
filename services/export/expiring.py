"""Removes exports that have ended, every hour."""

import asyncio
from datetime import UTC, datetime

from framehouse.runtime.hourly import hourly
from framehouse.store.bucket import bucket
from services.export import records

FIRST_SECONDS = 90
"""From the start of the process to the first look."""


async def keep_expiring(stop: asyncio.Event) -> None:
    """Looks for what has ended until the process stops."""
    await hourly(FIRST_SECONDS, "exports do not expire", _sweep, stop)


async def _sweep() -> None:
    await asyncio.to_thread(records.sweep, bucket(), datetime.now(UTC))
