"""Buckets elsewhere that uploads may be fetched from: those that a file of the operator's lists, with their keys.

The file is read anew each time, so that a key can be changed without a restart. No key is ever part of a message.
"""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import minio
import urllib3
from minio.error import MinioException, S3Error
from pydantic import BaseModel, ConfigDict, SecretStr, TypeAdapter, ValidationError
from urllib3.exceptions import HTTPError

from framehouse.runtime.config import settings
from framehouse.runtime.errors import FailedPrecondition, InvalidArgument, PermissionDenied
from services.ingest.remote import RETRIES, Body, Broken, Failed, reading, reason, timeout

PREFIX = re.compile(r"s3://([^/]+)(?:/(.*))?", re.DOTALL)


class S3Source(BaseModel):
    """A bucket as the file lists it."""

    model_config = ConfigDict(extra="forbid")

    bucket: str
    endpoint: str
    """host:port of the S3 API."""
    access_key: str = ""
    """Empty for a bucket that anyone may read."""
    secret_key: SecretStr = SecretStr("")
    region: str = ""
    """Empty asks the store for it."""
    secure: bool = True
    """Whether the S3 API is spoken over TLS."""


class Found(NamedTuple):
    """An object under a prefix."""

    key: str
    name: str
    """What follows the prefix."""
    size: int


def sources() -> list[S3Source]:
    """The buckets that the settings name; `FailedPrecondition` where their file cannot be used."""
    path = settings().s3_sources_file
    if not path:
        return []
    try:
        return TypeAdapter(list[S3Source]).validate_python(json.loads(Path(path).read_text()))
    except OSError as error:
        raise _unusable(str(error.strerror)) from error
    except ValidationError as error:
        # The error's own text would show what the fields hold.
        first = error.errors(include_input=False, include_url=False)[0]
        raise _unusable(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except ValueError as error:
        raise _unusable("it is not JSON") from error


def _unusable(why: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"the file that FRAMEHOUSE_S3_SOURCES_FILE names cannot be used: {why}", reason="S3_SOURCES_UNUSABLE"
    )


def find(prefix: str) -> tuple[S3Source, str]:
    """The bucket of `s3://bucket/prefix`, and what follows it. `PermissionDenied` where it is not listed."""
    match = PREFIX.fullmatch(prefix)
    if match is None:
        raise InvalidArgument(
            f"{prefix!r} is no prefix of a bucket; write s3://BUCKET/PREFIX", field="s3_prefix", reason="S3_PREFIX"
        )
    for source in sources():
        if source.bucket == match[1]:
            return source, match[2] or ""
    raise PermissionDenied(
        f"the bucket {match[1]!r} is not among those that this suite fetches from; the operator of the suite lists it "
        "in the file that FRAMEHOUSE_S3_SOURCES_FILE names",
        reason="S3_SOURCE_NOT_ALLOWED",
        facts={"bucket": match[1]},
    )


class Objects:
    """The objects of one bucket. Thread-safe."""

    def __init__(self, source: S3Source, connections: int, stop: threading.Event) -> None:
        self._bucket = source.bucket
        self._endpoint = source.endpoint
        self._stop = stop
        self._client = minio.Minio(
            source.endpoint,
            access_key=source.access_key or None,
            secret_key=source.secret_key.get_secret_value() or None,
            secure=source.secure,
            region=source.region or None,
            http_client=urllib3.PoolManager(
                maxsize=connections,
                timeout=timeout(),
                retries=urllib3.Retry(total=RETRIES, backoff_factor=0.5, status_forcelist=[500, 502, 503, 504]),
            ),
        )

    def under(self, prefix: str) -> Iterator[Found]:
        """The objects in the folder that the prefix names, or the one that it names itself. Raises `Failed`."""
        try:
            if prefix and not prefix.endswith("/"):
                try:
                    found = self._client.stat_object(self._bucket, prefix)
                    yield Found(prefix, prefix.rpartition("/")[2], found.size or 0)
                    return
                except S3Error as error:
                    if error.code not in ("NoSuchKey", "NoSuchObject"):
                        raise
                prefix += "/"
            for item in self._client.list_objects(self._bucket, prefix, recursive=True):
                if item.object_name:
                    yield Found(item.object_name, item.object_name.removeprefix(prefix), item.size or 0)
        except (MinioException, HTTPError, ValueError) as error:
            raise self._failed(error) from error

    @contextmanager
    def open(self, key: str) -> Iterator[Body]:
        """An object. Raises `Failed`."""
        try:
            response = self._client.get_object(self._bucket, key)
        except (MinioException, HTTPError, ValueError) as error:
            raise self._failed(error) from error
        entity = response.headers.get("ETag", "")

        def again(offset: int) -> urllib3.BaseHTTPResponse:
            try:
                headers = {"If-Match": entity} if entity else None
                rest: urllib3.BaseHTTPResponse = self._client.get_object(
                    self._bucket, key, offset=offset, request_headers=headers
                )
                return rest
            except (MinioException, HTTPError, ValueError) as error:
                raise Broken(str(self._failed(error))) from error

        length = response.headers.get("Content-Length", "")
        with closing(reading(response, again, self._stop)) as chunks:
            yield Body(int(length) if length.isdigit() else None, "", False, chunks)

    def _failed(self, error: Exception) -> Failed:
        match error:
            case S3Error():
                return Failed(f"the store at {self._endpoint} answers {error.code}: {error.message}")
            case HTTPError():
                return Failed(f"{reason(error)} (store at {self._endpoint})")
            case ValueError():
                return Failed(f"the store cannot be asked for it: {error}")
            case _:
                return Failed(f"the store at {self._endpoint} answers with something else than S3 does")
