"""Uploads: presigned URLs out, whole archives in. Bytes go from the client to the store directly; few need not.

An upload is open until its `expire_time`. Giving one up moves that time into the past before anything is removed, so
that no replica of ingest can complete what another one removes.
"""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, delete, or_, select, update

from framehouse.runtime import access
from framehouse.runtime.config import settings
from framehouse.runtime.errors import FailedPrecondition, InvalidArgument, NotFound, ServiceError, Unavailable
from framehouse.runtime.telemetry import logger
from framehouse.store.bucket import bucket
from framehouse.v1 import ingest_pb2
from services.ingest.catalogue import Catalogue, UploadRow, now
from services.ingest.names import upload_id
from services.ingest.stored_bytes import check_room

SINGLE_PART_BYTES = 16 << 20
"""Up to this size an upload goes in one piece, or in one call."""
MAX_PARTS = 10_000
"""S3 takes no more."""
UPLOAD_LIFE = timedelta(days=7)
"""How long an upload may be resumed."""
EXPIRY_ROUND_SECONDS = 300.0

GIVEN_UP = datetime.fromtimestamp(0, UTC)


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
    check_room(catalogue, request.size)
    part_size = SINGLE_PART_BYTES
    while -(-request.size // part_size) > MAX_PARTS:
        part_size *= 2
    key = uuid.uuid4().hex
    multipart = bucket().create_multipart(pack_key(key)) if request.size > SINGLE_PART_BYTES else ""
    row = _opened(key, request.file_name, request.size, part_size, multipart)
    with catalogue.session() as session:
        session.add(row)
    return _message(row, {})


def _opened(key: str, file_name: str, size: int, part_size: int, multipart: str = "") -> UploadRow:
    """A new row of an upload that is open."""
    began = now()
    return UploadRow(
        id=key,
        file_name=file_name[:1024],
        size=size,
        part_size=part_size,
        multipart_id=multipart,
        complete=False,
        owner=access.owner(),
        create_time=began,
        expire_time=began + UPLOAD_LIFE,
    )


async def received(requests: AsyncIterator[ingest_pb2.SendUploadRequest]) -> tuple[str, bytearray]:
    """The name and the bytes of a file that comes in pieces; `InvalidArgument` where there are none, or too many."""
    file_name, data = "", bytearray()
    async for request in requests:
        file_name = file_name or request.file_name
        data += request.data
        if len(data) > SINGLE_PART_BYTES:
            raise InvalidArgument(
                f"more than {SINGLE_PART_BYTES:,} bytes do not go in one call; send them by CreateUpload",
                field="data",
                reason="UPLOAD_TOO_LARGE",
            )
    if not data:
        raise InvalidArgument("no bytes were sent", field="data", reason="ARCHIVE_EMPTY")
    return file_name, data


def send(catalogue: Catalogue, file_name: str, data: bytearray) -> ingest_pb2.Upload:
    """Keeps a small upload whole."""
    check_room(catalogue, len(data))
    # Open at first: where this process ends in between, the upload expires with what was written of it.
    row = _opened(uuid.uuid4().hex, file_name, len(data), SINGLE_PART_BYTES)
    with catalogue.session() as session:
        session.add(row)
    bucket().put(pack_key(row.id), data)
    return _completed(catalogue, row)


def add_fetched(catalogue: Catalogue, key: str, file_name: str, size: int, owner: str = "") -> ingest_pb2.Upload:
    """Enters an upload whose bytes the suite itself has put into the store. Safe to retry."""
    row = _opened(key, file_name, size, max(size, 1))
    row.complete = True
    row.owner = owner
    with catalogue.session() as session:
        if session.get(UploadRow, key) is None:
            session.add(row)
    return _message(row, {})


def remove_fetched(catalogue: Catalogue, key: str) -> None:
    """Removes an upload that a job fetched, complete or not, and all objects of it."""
    with catalogue.session() as session:
        session.execute(delete(UploadRow).where(UploadRow.id == key))
    bucket().remove_prefix(pack_key(key))


def get(catalogue: Catalogue, name: str) -> ingest_pb2.Upload:
    row = find(catalogue, name)
    if row.complete:
        return _message(row, {})
    arrived = _arrived(row)
    return _completed(catalogue, row) if arrived is None else _message(row, arrived)


def complete(catalogue: Catalogue, request: ingest_pb2.CompleteUploadRequest) -> ingest_pb2.Upload:
    row = find(catalogue, request.name)
    if row.complete:
        return _message(row, {})
    arrived = _arrived(row)
    if arrived is not None:
        _check_arrived(row, arrived, request.parts)
        if row.multipart_id:
            # Another call may put the parts together at this moment; the object then is there.
            with contextlib.suppress(NotFound):
                bucket().complete_multipart(pack_key(row.id), row.multipart_id, sorted(arrived.items()))
    return _completed(catalogue, row)


def abort(catalogue: Catalogue, name: str) -> None:
    with catalogue.session() as session:
        row = session.get(UploadRow, upload_id(name))
    if row is not None and not access.may_read(row.owner):
        raise _unknown(name)
    if row is not None and not _give_up(catalogue, row):
        raise FailedPrecondition(f"{name} is complete; it can no longer be aborted", reason="UPLOAD_COMPLETE")


def expire(catalogue: Catalogue, at: datetime) -> int:
    """Gives up every open upload whose time was over at `at`; answers with their number. Safe to run twice at once."""
    with catalogue.session() as session:
        stale = session.scalars(select(UploadRow).where(~UploadRow.complete, UploadRow.expire_time <= at)).all()
    expired = 0
    for row in stale:
        try:
            expired += _give_up(catalogue, row)
        except Unavailable:
            raise
        except ServiceError as error:
            logger().warning("upload does not expire", upload=row.id, error=str(error))
    return expired


async def keep_expiring(catalogue: Catalogue, stop: asyncio.Event) -> None:
    """Gives stale uploads up every few minutes."""
    while not stop.is_set():
        try:
            if expired := await asyncio.to_thread(expire, catalogue, now()):
                logger().info("uploads expired", count=expired)
        except ServiceError as error:
            logger().warning("uploads do not expire", error=str(error))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), EXPIRY_ROUND_SECONDS)


def find(catalogue: Catalogue, name: str) -> UploadRow:
    """The upload of that name, complete or still open, or `NOT_FOUND`, as those of others are."""
    with catalogue.session() as session:
        row = session.get(UploadRow, upload_id(name))
    if row is None or not (row.complete or row.expire_time > now()) or not access.may_read(row.owner):
        raise _unknown(name)
    return row


def complete_key(catalogue: Catalogue, name: str) -> str:
    """Where the archive of a complete upload lies."""
    row = find(catalogue, name)
    if not row.complete:
        raise FailedPrecondition(f"{name} is not complete; call CompleteUpload first", reason="UPLOAD_INCOMPLETE")
    return pack_key(row.id)


def _unknown(name: str) -> NotFound:
    return NotFound("upload", name, "it was aborted or has expired; create another with CreateUpload")


def _part_count(row: UploadRow) -> int:
    return -(-row.size // row.part_size)


def _arrived(row: UploadRow) -> dict[int, str] | None:
    """The etag of each part that is there and of its right size; None where they have been put together already."""
    key = pack_key(row.id)
    if row.multipart_id:
        try:
            parts = bucket().list_parts(key, row.multipart_id)
        except NotFound:
            if bucket().size(key) is None:
                raise _unknown(f"uploads/{row.id}") from None
            return None
    else:
        whole = bucket().as_part(key)
        parts = [whole] if whole else []
    last = _part_count(row)
    sizes = {last: row.size - (last - 1) * row.part_size}
    return {part.number: part.etag for part in parts if part.size == sizes.get(part.number, row.part_size)}


def _check_arrived(row: UploadRow, arrived: Mapping[int, str], claimed: Sequence[ingest_pb2.CompletedPart]) -> None:
    """Refuses an upload that lacks parts, or has others than the client says it sent."""
    count = _part_count(row)
    numbers = range(1, count + 1)
    if missing := [number for number in numbers if number not in arrived]:
        raise FailedPrecondition(
            f"of the {count} parts of {row.file_name!r}, these are missing or not of their size: {_listed(missing)}; "
            "send them and complete again",
            reason="UPLOAD_INCOMPLETE",
        )
    etags = {part.number: part.etag.strip('"') for part in claimed}
    if unknown := sorted(etags.keys() - set(numbers)):
        raise InvalidArgument(f"{row.file_name!r} has {count} parts, and none is {_listed(unknown)}", field="parts")
    if differing := [number for number in numbers if etags.get(number, arrived[number]) != arrived[number]]:
        raise FailedPrecondition(
            f"of the {count} parts of {row.file_name!r}, these arrived with other bytes than were sent: "
            f"{_listed(differing)}; send them and complete again",
            reason="UPLOAD_DIFFERS",
        )


def _listed(numbers: Sequence[int]) -> str:
    more = f" and {len(numbers) - 10} more" if len(numbers) > 10 else ""
    return ", ".join(map(str, numbers[:10])) + more


def _completed(catalogue: Catalogue, row: UploadRow) -> ingest_pb2.Upload:
    """Marks an upload complete whose object is there."""
    key = pack_key(row.id)
    size = bucket().size(key)
    if size != row.size:
        raise FailedPrecondition(
            f"{size or 0:,} of {row.size:,} bytes of {row.file_name!r} arrived; send it again",
            reason="UPLOAD_INCOMPLETE",
        )
    still_open = or_(UploadRow.complete, UploadRow.expire_time > now())
    if not _change(catalogue, row, still_open, complete=True):
        bucket().remove([key])
        raise _unknown(f"uploads/{row.id}")
    row.complete = True
    return _message(row, {})


def _give_up(catalogue: Catalogue, row: UploadRow) -> bool:
    """Removes an upload and what was sent of it; False where it is complete, and stays."""
    if not _change(catalogue, row, ~UploadRow.complete, expire_time=GIVEN_UP):
        with catalogue.session() as session:
            return session.get(UploadRow, row.id) is None
    if row.multipart_id:
        bucket().abort_multipart(pack_key(row.id), row.multipart_id)
    bucket().remove([pack_key(row.id)])
    # Last, so that a store that is away is tried again.
    with catalogue.session() as session:
        session.execute(delete(UploadRow).where(UploadRow.id == row.id))
    return True


def _change(catalogue: Catalogue, row: UploadRow, condition: ColumnElement[bool], **values: object) -> bool:
    """Changes a row where the condition holds at that moment; says whether it did."""
    with catalogue.session() as session:
        changed = session.execute(
            update(UploadRow).where(UploadRow.id == row.id, condition).values(**values).returning(UploadRow.id)
        )
        return changed.first() is not None


def _message(row: UploadRow, arrived: Mapping[int, str]) -> ingest_pb2.Upload:
    """The upload, with a fresh URL for each part that is not in `arrived`."""
    upload = ingest_pb2.Upload(
        name=f"uploads/{row.id}",
        state=ingest_pb2.UPLOAD_STATE_COMPLETE if row.complete else ingest_pb2.UPLOAD_STATE_OPEN,
        file_name=row.file_name,
        size=row.size,
        part_size=row.part_size,
    )
    upload.expire_time.FromDatetime(row.expire_time)
    if row.complete:
        return upload
    # No URL outlives its upload: nothing can be sent to one that was cleaned up.
    left = int((row.expire_time - now()).total_seconds())
    seconds = max(min(settings().upload_expiry_seconds, left), 1)
    key = pack_key(row.id)
    for number in range(1, _part_count(row) + 1):
        if number in arrived:
            upload.parts.add(number=number, etag=arrived[number])
        elif row.multipart_id:
            upload.parts.add(number=number, url=bucket().presign_part(key, row.multipart_id, number, seconds))
        else:
            upload.parts.add(number=number, url=bucket().presign_put(key, seconds))
    return upload
