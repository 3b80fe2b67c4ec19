"""What is still done for a caller that is on its way out: an upload is given up, a job is asked to stop."""

import asyncio
from collections.abc import Coroutine
from typing import Any

CANCEL_SECONDS = 10.0
"""How long it may hold the caller up."""


async def last(work: Coroutine[Any, Any, object]) -> object:
    """Does work that must neither hide why the caller leaves nor hold it up; answers with its result or its error."""
    task = asyncio.ensure_future(work)
    await asyncio.wait([task], timeout=CANCEL_SECONDS)
    task.cancel()
    (result,) = await asyncio.gather(task, return_exceptions=True)
    return result
