"""What is known of images by their bytes alone, so that the same bytes are looked at once and stored once.

Media asks before it decodes the images of a shard, and records what it found. An answer keeps the objects that it names
from being removed; what is being removed is no answer.
"""

from typing import Any

import msgspec
from sqlalchemy import select

from framehouse.runtime.errors import InvalidArgument
from framehouse.v1 import ingest_pb2
from services.ingest.catalogue import Catalogue, ContentRow, upsert
from services.ingest.names import job_id
from services.ingest.references import add, pages, use

MAX_KEYS = 1000
MAX_ANSWERS = 4000
"""Keys without a checksum match all contents of a size, and images without compression are all of one."""
MAX_ANSWER_BYTES = 3 << 20
"""gRPC takes no message of more than 4 MiB."""
OVERHEAD = 40
"""Bytes of an answer besides its row and its remarks."""


class _Range(msgspec.Struct):
    object: str
    crc32: int


class _Row(msgspec.Struct):
    """What the catalogue needs of a row of MEDIA_SCHEMA."""

    original: _Range
    normalised: _Range | None = None
    preview: _Range | None = None


def look_up(catalogue: Catalogue, request: ingest_pb2.LookUpContentsRequest) -> ingest_pb2.LookUpContentsResponse:
    """What `IngestService.LookUpContents` promises."""
    if len(request.keys) > MAX_KEYS:
        raise InvalidArgument(f"there are {len(request.keys)} keys; ask for {MAX_KEYS} at most", field="keys")
    own = f"derived/{job_id(request.job, 'job')}/" if request.job else None
    fingerprints = {_fingerprint(key.size, key.crc32) for key in request.keys if key.HasField("crc32")}
    sizes = {key.size for key in request.keys if not key.HasField("crc32")}
    known = select(ContentRow.__table__).where(ContentRow.max_side == request.max_side)
    found: dict[bytes, Any] = {}
    with catalogue.session() as session:
        for column, wanted in ((ContentRow.fingerprint, fingerprints), (ContentRow.size, sizes)):
            for page in pages(sorted(wanted)):
                query = known.where(column.in_(page)).limit(MAX_ANSWERS)
                found.update((row.hash, row) for row in session.execute(query))
        named = {key for row in found.values() for key in (row.original_object, row.derived_object) if key}
        written = {key for key in named if own and key.startswith(own)}
        kept = use(session, sorted(named - written), lent=True) | use(session, sorted(written)) | {""}
    response = ingest_pb2.LookUpContentsResponse()
    left = MAX_ANSWER_BYTES
    for row in found.values():
        left -= len(row.row) + len(row.remarks) + OVERHEAD
        if left < 0:
            break
        if row.original_object in kept and row.derived_object in kept:
            response.contents.add(hash=row.hash, size=row.size, row=row.row, remarks=row.remarks)
    return response


def record(catalogue: Catalogue, request: ingest_pb2.RecordContentsRequest) -> None:
    """What `IngestService.RecordContents` promises."""
    contents = [_content(content, request.max_side) for content in request.contents]
    named = {key for one in contents for key in (one["original_object"], one["derived_object"]) if key}
    with catalogue.session() as session:
        kept = add(session, sorted(named)) | {""}
        # In order, so that two recordings of the same images never wait for each other.
        new = sorted(
            (one for one in contents if one["original_object"] in kept and one["derived_object"] in kept),
            key=lambda one: bytes(one["hash"]),
        )
        if new:
            session.execute(upsert(session, ContentRow).on_conflict_do_nothing(), new)


def _content(content: ingest_pb2.Content, max_side: int) -> dict[str, Any]:
    """The columns of a content's row."""
    try:
        row = msgspec.json.decode(content.row, type=_Row)
    except msgspec.MsgspecError as error:
        raise InvalidArgument(f"a content's row cannot be read: {error}", field="contents.row") from None
    derived = row.normalised or row.preview
    return {
        "hash": content.hash,
        "max_side": max_side,
        "size": content.size,
        "fingerprint": _fingerprint(content.size, row.original.crc32),
        "row": content.row,
        "remarks": content.remarks,
        "original_object": row.original.object,
        "derived_object": derived.object if derived else "",
    }


def _fingerprint(size: int, crc32: int) -> int:
    return (size & 0x7FFFFFFF) << 32 | crc32
