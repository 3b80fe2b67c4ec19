"""Starts the gateway: `python -m services.gateway`."""

import asyncio

from services.gateway.service import run

if __name__ == "__main__":
    asyncio.run(run())
