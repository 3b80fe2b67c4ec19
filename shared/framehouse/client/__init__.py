"""The Python SDK: `Client` for plain code, `AsyncClient` for asyncio; the same methods, the same errors."""

from framehouse.client.aio import AsyncClient
from framehouse.client.blocking import Client
from framehouse.client.errors import FramehouseError
from framehouse.client.progress import Progress

__all__ = ["AsyncClient", "Client", "FramehouseError", "Progress"]
