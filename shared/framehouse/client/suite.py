"""`Suite`: what all methods of a client go through, a connection and what short names mean to its caller."""

from collections.abc import AsyncGenerator, Sequence
from typing import Any, TypeVar

from google.protobuf.message import Message

from framehouse.client.address import find_address, find_api_key
from framehouse.client.connection import Connection
from framehouse.client.names import Names, own_user

R = TypeVar("R", bound=Message)


class Suite:
    """The suite whose gateway is at host:port. The arguments are those of `AsyncClient`.

    `address`: the gateway's. `names`: full names of short ones. `resumes`: whether uploads that are cut off are
    remembered. A method is told by its service and name, such as `DatasetService/GetDataset`.
    """

    def __init__(self, address: str | None, api_key: str | None, deadline: float, resumes: bool) -> None:
        self.address = find_address(address)
        self.resumes = resumes
        key = find_api_key(self.address) if api_key is None else api_key
        self.names = Names(own_user(key))
        self._connection = Connection(self.address, deadline, key)

    async def close(self) -> None:
        """Ends the connection."""
        await self._connection.close()

    async def call(
        self, method: str, request: Message | Sequence[Message], response: type[R], work_seconds: float = 0.0
    ) -> R:
        """The answer of a method, as `Connection.call` says."""
        return await self._connection.call(_path(method), request, response, work_seconds)

    def stream(self, method: str, request: Message, response: type[R]) -> AsyncGenerator[R, None]:
        """The answers of a method that streams them, as `Connection.stream` says."""
        return self._connection.stream(_path(method), request, response)

    async def pages(self, method: str, request: Any, response: type[R]) -> AsyncGenerator[R, None]:
        """The answers of a listing, page by page; `request` is moved on."""
        while True:
            page: Any = await self.call(method, request, response)
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token


def _path(method: str) -> str:
    return f"/framehouse.v1.{method}"
