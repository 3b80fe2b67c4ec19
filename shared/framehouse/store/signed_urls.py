"""Signed URLs of images: the range, what it holds and its end are in the URL, so that the gateway looks nothing up.

A token is a msgpack array and its HMAC-SHA256, in base64url. Ingest and conversion sign, the gateway verifies.
Whoever has such a URL needs no other key until its end, so it belongs into no log.
"""

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import grpc
import msgspec

from framehouse.runtime.config import settings
from framehouse.runtime.errors import FailedPrecondition, ServiceError

PATH = "/images/"
"""What the path of a signed URL begins with, before the token."""

STEP_SECONDS = 300
"""Ends are multiples of this, so that for some minutes the same image has the same URL and is cached under it."""

FILE_NAME_LENGTH = 100

OCTETS = "application/octet-stream"
MEDIA_TYPES = {
    "jpeg": "image/jpeg",
    "mpo": "image/jpeg",  # a JPEG followed by others, which viewers show as its first
    "png": "image/png",
    "webp": "image/webp",
    "gif": "image/gif",
    "bmp": "image/bmp",
    "tiff": "image/tiff",
    "jp2": "image/jp2",
    "heic": "image/heic",
    "avif": "image/avif",
    "dng": "image/x-adobe-dng",
}
"""Media type of each image format."""

_SIGNABLE = re.compile(r"(packs|derived)/[0-9A-Za-z](?!.*\.\.)[0-9A-Za-z._/-]*")
_PURPOSE = b"framehouse image url 1\0"


class Target(msgspec.Struct, array_like=True, frozen=True):
    """What a signed URL serves."""

    object: str
    """Key in the bucket, below packs/ or derived/."""
    offset: int
    """Where the bytes begin in it."""
    stored_size: int
    """Bytes in the object."""
    size: int
    """Bytes after inflating."""
    method: int
    """0 stored, 8 deflate."""
    crc32: int | None
    """Of the inflated bytes."""
    media_type: str
    etag: str
    """Without quotes; of the inflated bytes."""
    file_name: str
    """What a browser saves it as."""
    end: int
    """Seconds since 1970 after which the URL is dead."""


class Refused(ServiceError):
    """A token that is not ours, or is no longer."""

    code = grpc.StatusCode.PERMISSION_DENIED


def target(place: Mapping[str, Any], media_type: str, etag: str, file_name: str, end: int) -> Target:
    """The target for a range of a dataset's table, its columns being those of `schema.RANGE`."""
    return Target(
        place["object"],
        place["offset"],
        place["stored_size"],
        place["size"],
        place["method"],
        place["crc32"],
        media_type,
        etag or f"{place['crc32'] or 0:08x}-{place['size']:x}",
        file_name.rpartition("/")[2][-FILE_NAME_LENGTH:],
        end,
    )


def end_of_life(now: float) -> int:
    """When a URL that is made now ends: after the life that the settings say, and at most STEP_SECONDS more."""
    life = settings().image_url_expiry_seconds
    return -int(-(now + life) // STEP_SECONDS) * STEP_SECONDS


def url_of(what: Target) -> str:
    """The URL, under the address at which clients reach the gateway."""
    return next(urls_of([what]))


def urls_of(targets: Iterable[Target]) -> Iterator[str]:
    """The URLs of many."""
    begin, key = f"{public_url()}{PATH}", signing_key()
    return (begin + sign(what, key) for what in targets)


def public_url() -> str:
    """Address of the gateway's HTTP face as clients see it, without a slash at its end."""
    ours = settings()
    if ours.public_url:
        return ours.public_url.rstrip("/")
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(ours.host, ours.host)  # noqa: S104
    scheme = "https" if ours.tls_certificate else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{ours.http_port}"


def signing_key() -> bytes:
    """The key of this process. `FailedPrecondition` where it has none."""
    key = settings().url_signing_key.get_secret_value()
    if not key:
        raise FailedPrecondition(
            "there is no key to sign the URLs of images with; set FRAMEHOUSE_URL_SIGNING_KEY to the same random text "
            "for ingest, conversion and the gateway",
            reason="URL_SIGNING_NOT_CONFIGURED",
        )
    return key.encode()


def sign(what: Target, key: bytes) -> str:
    """The token. `ValueError` for an object that may not be served."""
    if not _SIGNABLE.fullmatch(what.object):
        raise ValueError(f"{what.object!r} is not to be served")
    payload = _encode(msgspec.msgpack.encode(what))
    return f"{payload}.{_mac(payload, key)}"


def verify(token: str, key: bytes, now: float | None = None) -> Target:
    """What a token says, if it was signed with this key and its time is not over; else `Refused`."""
    payload, _, mac = token.partition(".")
    if not hmac.compare_digest(_mac(payload, key).encode(), mac.encode()):
        raise Refused(
            "the signature of this URL is wrong: it was changed, cut off, or signed with a key that is no longer "
            "used; ask GetImage for a new one",
            reason="URL_SIGNATURE_WRONG",
        )
    what = msgspec.msgpack.decode(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)), type=Target)
    if what.end <= (time.time() if now is None else now):
        raise Refused("the time of this URL is over; ask GetImage for a new one", reason="URL_EXPIRED")
    return what


def _mac(payload: str, key: bytes) -> str:
    return _encode(hmac.new(key, _PURPOSE + payload.encode(), hashlib.sha256).digest())


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
