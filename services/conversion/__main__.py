"""Starts conversion."""

import asyncio

from framehouse.runtime.server import serve
from services.conversion.service import ConversionService

if __name__ == "__main__":
    asyncio.run(serve("conversion", {"framehouse.v1.ConversionService": ConversionService()}))
