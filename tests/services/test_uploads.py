"""Uploads as any S3 client sends them: parts are known, resumed, checked, given up."""

import asyncio
import hashlib
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import urllib3
from google.protobuf.message import Message

from framehouse.cli.stack.state import StackInfo
from framehouse.client.connection import Connection
from framehouse.client.errors import FailedPrecondition, InvalidArgument, NotFound
from framehouse.runtime import errors
from framehouse.store.bucket import Bucket
from framehouse.v1 import ingest_pb2
from services.ingest import uploads
from services.ingest.catalogue import Catalogue, now

PART = uploads.SINGLE_PART_BYTES
DATA = os.urandom(1 << 20) * 40
COUNT = 3

Call = Callable[[str, Message], ingest_pb2.Upload]


@pytest.fixture
def call(stack: StackInfo) -> Call:
    """Calls a method of the suite's IngestService: `call("GetUpload", request)`."""

    def run(method: str, request: Message) -> ingest_pb2.Upload:
        async def once() -> ingest_pb2.Upload:
            connection = Connection(stack.address, 10)
            try:
                # To `Upload` the empty answer of AbortUpload is an empty upload.
                return await connection.call(f"/framehouse.v1.IngestService/{method}", request, ingest_pb2.Upload)
            finally:
                await connection.close()

        return asyncio.run(once())

    return run


def create(call: Call, size: int = len(DATA)) -> ingest_pb2.Upload:
    return call("CreateUpload", ingest_pb2.CreateUploadRequest(file_name="cars.zip", size=size))


def get(call: Call, name: str) -> ingest_pb2.Upload:
    return call("GetUpload", ingest_pb2.GetUploadRequest(name=name))


def part(number: int) -> bytes:
    return DATA[(number - 1) * PART : number * PART]


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def put(url: str, data: bytes) -> str:
    answer = urllib3.request("PUT", url, body=data)
    assert answer.status == 200
    return str(answer.headers["ETag"]).strip('"')


def is_gone(bucket: Bucket, upload: ingest_pb2.Upload) -> bool:
    """Whether the store has neither the object nor a part of it."""
    multipart = parse_qs(urlsplit(upload.parts[0].url).query).get("uploadId")
    try:
        return bucket.size(key_of(upload.name)) is None and not (
            multipart and bucket.list_parts(key_of(upload.name), multipart[0])
        )
    except errors.NotFound:
        return True


def key_of(name: str) -> str:
    return uploads.pack_key(name.removeprefix("uploads/"))


def test_an_upload_is_resumed_with_what_is_missing(call: Call, bucket: Bucket) -> None:
    upload = create(call)
    assert [bool(one.url) for one in upload.parts] == [True] * COUNT
    assert put(upload.parts[1].url, part(2)) == md5(part(2))

    known = get(call, upload.name)
    assert [one.etag for one in known.parts] == ["", md5(part(2)), ""]
    assert [bool(one.url) for one in known.parts] == [True, False, True]
    assert known.expire_time == upload.expire_time
    with pytest.raises(FailedPrecondition, match="missing or not of their size: 1, 3;"):
        call("CompleteUpload", ingest_pb2.CompleteUploadRequest(name=upload.name))

    tags = {number: put(known.parts[number - 1].url, part(number)) for number in (1, 3)}
    wrong = ingest_pb2.CompleteUploadRequest(name=upload.name)
    wrong.parts.add(number=1, etag=tags[3])
    with pytest.raises(FailedPrecondition, match="other bytes than were sent: 1;"):
        call("CompleteUpload", wrong)
    unknown = ingest_pb2.CompleteUploadRequest(name=upload.name)
    unknown.parts.add(number=4, etag=tags[3])
    with pytest.raises(InvalidArgument, match="has 3 parts, and none is 4"):
        call("CompleteUpload", unknown)

    right = ingest_pb2.CompleteUploadRequest(name=upload.name)
    for number, tag in tags.items():
        right.parts.add(number=number, etag=f'"{tag}"')
    for _ in range(2):
        done = call("CompleteUpload", right)
        assert (done.state, list(done.parts)) == (ingest_pb2.UPLOAD_STATE_COMPLETE, [])
    assert get(call, upload.name) == done
    assert md5(bucket.get(key_of(upload.name))) == md5(DATA)
    with pytest.raises(FailedPrecondition, match="can no longer be aborted"):
        call("AbortUpload", ingest_pb2.AbortUploadRequest(name=upload.name))


def test_a_part_of_another_size_has_not_arrived(call: Call, bucket: Bucket) -> None:
    upload = create(call)
    for one in upload.parts:
        put(one.url, part(one.number)[:-1] if one.number == 3 else part(one.number))
    assert [bool(one.url) for one in get(call, upload.name).parts] == [False, False, True]
    with pytest.raises(FailedPrecondition, match="missing or not of their size: 3;"):
        call("CompleteUpload", ingest_pb2.CompleteUploadRequest(name=upload.name))
    put(upload.parts[2].url, part(3))
    call("CompleteUpload", ingest_pb2.CompleteUploadRequest(name=upload.name))
    assert bucket.size(key_of(upload.name)) == len(DATA)


def test_a_small_upload_is_one_part(call: Call, bucket: Bucket) -> None:
    upload = create(call, 1000)
    put(upload.parts[0].url, DATA[:999])
    assert [one.etag for one in get(call, upload.name).parts] == [""]
    put(upload.parts[0].url, DATA[:1000])
    assert [(one.url, one.etag) for one in get(call, upload.name).parts] == [("", md5(DATA[:1000]))]
    call("CompleteUpload", ingest_pb2.CompleteUploadRequest(name=upload.name))
    assert bucket.get(key_of(upload.name)) == DATA[:1000]


@pytest.mark.parametrize("size", [1000, len(DATA)])
def test_an_upload_that_is_aborted_leaves_nothing(call: Call, bucket: Bucket, size: int) -> None:
    upload = create(call, size)
    put(upload.parts[0].url, DATA[: min(size, PART)])
    for _ in range(2):
        call("AbortUpload", ingest_pb2.AbortUploadRequest(name=upload.name))
    for method, request in (
        ("GetUpload", ingest_pb2.GetUploadRequest(name=upload.name)),
        ("CompleteUpload", ingest_pb2.CompleteUploadRequest(name=upload.name)),
    ):
        with pytest.raises(NotFound, match="was aborted or has expired"):
            call(method, request)
    assert is_gone(bucket, upload)


@pytest.fixture
def catalogue(stack: StackInfo, tmp_path: Path) -> Iterator[Catalogue]:
    """A catalogue of the test's own, on the suite's bucket."""
    catalogue = Catalogue(f"sqlite:///{tmp_path / 'catalogue.db'}")
    catalogue.migrate()
    yield catalogue


def test_stale_uploads_expire_and_complete_ones_stay(catalogue: Catalogue, bucket: Bucket) -> None:
    requests = [ingest_pb2.CreateUploadRequest(file_name="cars.zip", size=size) for size in (len(DATA), 1000, 1000)]
    large, small, kept = (uploads.create(catalogue, request) for request in requests)
    put(large.parts[0].url, part(1))
    put(small.parts[0].url, DATA[:1000])
    put(kept.parts[0].url, DATA[:1000])
    uploads.complete(catalogue, ingest_pb2.CompleteUploadRequest(name=kept.name))

    assert uploads.expire(catalogue, now()) == 0
    assert not any(is_gone(bucket, one) for one in (large, small, kept))
    later = now() + uploads.UPLOAD_LIFE + timedelta(seconds=1)
    assert [uploads.expire(catalogue, later), uploads.expire(catalogue, later)] == [2, 0]
    assert [is_gone(bucket, one) for one in (large, small, kept)] == [True, True, False]
    for gone in (large, small):
        with pytest.raises(errors.NotFound):
            uploads.get(catalogue, gone.name)
    assert uploads.get(catalogue, kept.name).state == ingest_pb2.UPLOAD_STATE_COMPLETE
