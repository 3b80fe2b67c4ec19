"""Starts media."""

import asyncio

from framehouse.runtime.server import serve
from services.media.service import MediaService

if __name__ == "__main__":
    asyncio.run(serve("media", {"framehouse.v1.MediaService": MediaService()}))
