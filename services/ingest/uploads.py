"""Uploads: presigned URLs out, whole archives in. The bytes go from the client to the store directly."""

import uuid
from collections.abc import Sequence
from datetime import timedelta

from framehouse.runtime.config import settings
from framehouse.runtime.errors import FailedPrecondition, InvalidArgument, NotFound
from framehouse.store.bucket import bucket
from framehouse.v1 import ingest_pb2
from services.ingest.catalogue import Catalogue, UploadRow, now
from services.ingest.names import upload_id

SINGLE_PART_BYTES = 16 << 20
"""Up to this size an upload goes in one piece."""
MAX_PARTS = 10_000
"""S3 takes no more."""


def pack_key(upload: str) -> str:
    """Where the archive of an upload lies."""
    return f"packs/{upload}"


def create(catalogue: Catalogue, request: ingest_pb2.CreateUploadRequest) -> ingest_pb2.Upload:
    limit = settings().max_archive_bytes
    if request.size <= 0:
        raise InvalidArgument("the archive is empty; announce its size in bytes", field="size", reason="ARCHIVE_EMPTY")
    if request.size > limit:
        raise InvalidArgument(
            f"the archive has {request.size:,} bytes and {limit:,} are allowed; split it",
            field="size",
            reason="ARCHIVE_TOO_LARGE",
        )
    part_size = SINGLE_PART_BYTES
    while -(-request.size // part_size) > MAX_PARTS:
        part_size *= 2
    key = uuid.uuid4().hex
    multipart = bucket().create_multipart(pack_key(key)) if request.size > SINGLE_PART_BYTES else ""
    began = now()
    row = UploadRow(
        id=key,
        file_name=request.file_name[:1024],
        size=request.size,
        part_size=part_size,
        multipart_id=multipart,
        complete=False,
        create_time=began,
        expire_time=began + timedelta(seconds=settings().upload_expiry_seconds),
    )
    with catalogue.session() as session:
        session.add(row)
    return _message(row)


def complete(catalogue: Catalogue, request: ingest_pb2.CompleteUploadRequest) -> ingest_pb2.Upload:
    row = find(catalogue, request.name)
    if row.complete:
        return _message(row)
    key = pack_key(row.id)
    if row.multipart_id and bucket().size(key) is None:
        _complete_multipart(row, request.parts)
    size = bucket().size(key)
    if size != row.size:
        raise FailedPrecondition(
            f"{size or 0:,} of {row.size:,} bytes of {row.file_name!r} arrived; send it again",
            reason="UPLOAD_INCOMPLETE",
        )
    with catalogue.session() as session:
        row.complete = True
        session.merge(row)
    return _message(row)


def _complete_multipart(row: UploadRow, parts: Sequence[ingest_pb2.CompletedPart]) -> None:
    expected = -(-row.size // row.part_size)
    numbers = sorted(part.number for part in parts)
    if numbers != list(range(1, expected + 1)):
        missing = sorted(set(range(1, expected + 1)) - set(numbers))
        raise FailedPrecondition(
            f"parts {missing[:10]} of {expected} are missing; send them and complete again", reason="UPLOAD_INCOMPLETE"
        )
    etags = sorted((part.number, part.etag) for part in parts)
    bucket().complete_multipart(pack_key(row.id), row.multipart_id, etags)


def abort(catalogue: Catalogue, name: str) -> None:
    with catalogue.session() as session:
        row = session.get(UploadRow, upload_id(name))
        if row is None:
            return
        if row.complete:
            raise FailedPrecondition(f"{name} is complete; it can no longer be aborted", reason="UPLOAD_COMPLETE")
        session.delete(row)
    if row.multipart_id:
        bucket().abort_multipart(pack_key(row.id), row.multipart_id)
    bucket().remove([pack_key(row.id)])


def find(catalogue: Catalogue, name: str) -> UploadRow:
    """The upload of that name, or `NOT_FOUND`."""
    with catalogue.session() as session:
        row = session.get(UploadRow, upload_id(name))
    if row is None:
        raise NotFound("upload", name, "create it with CreateUpload")
    return row


def complete_key(catalogue: Catalogue, name: str) -> str:
    """Where the archive of a complete upload lies."""
    row = find(catalogue, name)
    if not row.complete:
        raise FailedPrecondition(f"{name} is not complete; call CompleteUpload first", reason="UPLOAD_INCOMPLETE")
    return pack_key(row.id)


def _message(row: UploadRow) -> ingest_pb2.Upload:
    upload = ingest_pb2.Upload(
        name=f"uploads/{row.id}",
        state=ingest_pb2.UPLOAD_STATE_COMPLETE if row.complete else ingest_pb2.UPLOAD_STATE_OPEN,
        file_name=row.file_name,
        size=row.size,
        part_size=row.part_size,
    )
    upload.expire_time.FromDatetime(row.expire_time)
    if not row.complete:
        seconds = max(int((row.expire_time - now()).total_seconds()), 1)
        key = pack_key(row.id)
        if row.multipart_id:
            for number in range(1, -(-row.size // row.part_size) + 1):
                url = bucket().presign_part(key, row.multipart_id, number, seconds)
                upload.parts.add(number=number, url=url)
        else:
            upload.parts.add(number=1, url=bucket().presign_put(key, seconds))
    return upload
