"""The bytes of single images, fetched from the gateway under their signed URLs."""

import json
from functools import cache

import urllib3
from google.rpc import code_pb2, status_pb2

from framehouse.client.errors import FailedPrecondition, FramehouseError, Unavailable, from_status
from framehouse.client.trust import https


@cache
def _pool() -> urllib3.PoolManager:
    retries = urllib3.Retry(total=4, backoff_factor=0.2, status_forcelist=[503], raise_on_status=False, redirect=0)
    timeout = urllib3.Timeout(connect=10.0, read=60.0)
    return urllib3.PoolManager(retries=retries, timeout=timeout, maxsize=8, ssl_context=https())


def read(url: str) -> bytes:
    """All bytes under a URL of `GetImage`. Raises `FramehouseError`."""
    try:
        answer = _pool().request("GET", url)
    except urllib3.exceptions.HTTPError as error:
        host = urllib3.util.parse_url(url).netloc or "?"
        raise Unavailable(
            f"the gateway's HTTP face at {host} does not answer",
            remedy="check that this machine reaches it; FRAMEHOUSE_PUBLIC_URL of ingest says what the URLs name",
            reason="GATEWAY_UNREACHABLE",
            facts={"address": host},
        ) from error
    if answer.status == 200:
        return answer.data
    raise _refusal(answer.status, answer.data)


def _refusal(status: int, body: bytes) -> FramehouseError:
    try:
        told = json.loads(body)["error"]
        return from_status(status_pb2.Status(code=code_pb2.Code.Value(told["status"]), message=told["message"]))
    except (ValueError, KeyError, TypeError):
        # Not ours: something between here and the gateway.
        return FailedPrecondition(f"the image was refused with HTTP status {status}", facts={"status": str(status)})
