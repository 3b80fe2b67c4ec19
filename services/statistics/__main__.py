"""Starts statistics."""

import asyncio

from framehouse.runtime.server import serve
from services.statistics.service import StatisticsService

if __name__ == "__main__":
    asyncio.run(serve("statistics", {"framehouse.v1.StatisticsService": StatisticsService()}))
