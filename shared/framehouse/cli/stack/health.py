"""Asks a process of the suite whether it is well: by the standard gRPC health check, or by an object of the store."""

import io
from collections.abc import Callable
from typing import Any

import grpc
import urllib3
from grpc_health.v1 import health_pb2, health_pb2_grpc


def is_serving(address: str, service: str, seconds: float = 1.0) -> bool:
    """Whether the gRPC server at host:port says that `service` (empty: all of it) is served."""
    request = health_pb2.HealthCheckRequest(service=service)
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            check: Any = health_pb2_grpc.HealthStub(channel).Check  # type: ignore[attr-defined]
            answer = check(request, timeout=seconds)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


class Store:
    """Whether the S3 server at host:port keeps what it is given, seen by one small object of its own."""

    KEY = "health"

    def __init__(self, address: str, access_key: str, secret_key: str, bucket: str = "framehouse") -> None:
        import minio

        pool = urllib3.PoolManager(retries=False, timeout=1.0)
        self._client = minio.Minio(address, access_key, secret_key, secure=False, region="us-east-1", http_client=pool)
        self._bucket = bucket

    def takes(self) -> bool:
        """Writes and reads; what the store had before it can read then, too."""
        return (
            self._answers(lambda: self._client.put_object(self._bucket, self.KEY, io.BytesIO(b"well"), 4))
            and self.gives()
        )

    def gives(self) -> bool:
        """Reads. Its own health page says well before it can."""
        return self._answers(lambda: self._client.get_object(self._bucket, self.KEY).close())

    @staticmethod
    def _answers(call: Callable[[], object]) -> bool:
        import minio

        try:
            call()
        except (minio.error.MinioException, urllib3.exceptions.HTTPError):
            return False
        return True


def is_healthy(check: str, address: str, access_key: str, secret_key: str) -> bool:
    """The check of a process by its kind."""
    return Store(address, access_key, secret_key).gives() if check == "s3" else is_serving(address, check)
