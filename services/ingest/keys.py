"""The servicer of `KeyService`: keys, made, listed, revoked and checked."""

from google.protobuf import empty_pb2

from framehouse.v1 import key_pb2
from services.ingest.catalogue import Catalogue


class KeyService:
    """Keeps keys, and only the hashes of their secrets."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    async def CreateKey(self, request: key_pb2.CreateKeyRequest) -> key_pb2.Key:
        raise NotImplementedError("not built yet")

    async def ListKeys(self, request: key_pb2.ListKeysRequest) -> key_pb2.ListKeysResponse:
        raise NotImplementedError("not built yet")

    async def RevokeKey(self, request: key_pb2.RevokeKeyRequest) -> empty_pb2.Empty:
        raise NotImplementedError("not built yet")

    async def CheckKey(self, request: key_pb2.CheckKeyRequest) -> key_pb2.Key:
        raise NotImplementedError("not built yet")
