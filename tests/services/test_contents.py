"""What is known of images by their bytes: recorded, looked up, forgotten, on real databases."""

import json
import os
import uuid
import zlib
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest
import xxhash
from sqlalchemy import func, select, update

from framehouse.runtime.errors import FailedPrecondition, InvalidArgument
from framehouse.v1 import ingest_pb2
from services.ingest import contents
from services.ingest.catalogue import Catalogue, ContentRow, ObjectRow, now
from services.ingest.references import hold, refer

PACK, DERIVED = f"packs/{'a' * 32}", f"derived/{'b' * 32}/000000"
ASKING = f"jobs/{'c' * 32}"


def content(data: bytes, pack: str = PACK, derived: str = DERIVED, **more: Any) -> ingest_pb2.Content:
    place = {"object": pack, "offset": 7, "size": len(data), "crc32": zlib.crc32(data)}
    row = {"original": place, "preview": derived and {**place, "object": derived}, "width": 3, **more}
    digest = xxhash.xxh3_128_digest(data)
    return ingest_pb2.Content(hash=digest, size=len(data), row=json.dumps(row).encode(), remarks=b"[]")


def record(catalogue: Catalogue, *known: ingest_pb2.Content, max_side: int = 4096) -> None:
    contents.record(catalogue, ingest_pb2.RecordContentsRequest(contents=known, max_side=max_side))


def look_up(
    catalogue: Catalogue, images: Iterable[bytes], max_side: int = 4096, checksums: bool = True, job: str = ASKING
) -> list[ingest_pb2.Content]:
    keys = [ingest_pb2.ContentKey(size=len(one), crc32=zlib.crc32(one) if checksums else None) for one in images]
    request = ingest_pb2.LookUpContentsRequest(keys=keys, max_side=max_side, job=job)
    return list(contents.look_up(catalogue, request).contents)


def objects(catalogue: Catalogue) -> dict[str, ObjectRow]:
    with catalogue.session() as session:
        return {row.key: row for row in session.scalars(select(ObjectRow))}


def test_what_was_recorded_is_answered_to_the_same_size_and_checksum(each_catalogue: Catalogue) -> None:
    images = [os.urandom(size) for size in range(100, 1300)]
    known = [content(data) for data in images]
    for first in range(0, 1200, 400):
        record(each_catalogue, *known[first : first + 400])
        record(each_catalogue, *known[first : first + 400])
    answered = look_up(each_catalogue, images[:1000])
    assert {one.hash: one for one in answered} == {one.hash: one for one in known[:1000]}
    assert look_up(each_catalogue, [bytes(size) for size in range(100, 200)]) == []
    assert look_up(each_catalogue, images[:10], max_side=0) == []
    with pytest.raises(InvalidArgument, match="1000 at most"):
        look_up(each_catalogue, images)


def test_a_key_without_a_checksum_is_answered_by_its_size(each_catalogue: Catalogue) -> None:
    images = [os.urandom(100) for _ in range(3)]
    record(each_catalogue, *map(content, images), content(os.urandom(101)))
    assert {one.hash for one in look_up(each_catalogue, [bytes(100)], checksums=False)} == {
        xxhash.xxh3_128_digest(data) for data in images
    }


def test_contents_of_one_size_and_checksum_are_all_answered(each_catalogue: Catalogue) -> None:
    """Whoever asks compares the hash."""
    data = os.urandom(50)
    twin = content(data)
    twin.hash = uuid.uuid4().bytes
    record(each_catalogue, content(data), twin)
    assert {one.hash for one in look_up(each_catalogue, [data])} == {xxhash.xxh3_128_digest(data), twin.hash}


def test_what_is_known_stays_as_it_was_first_found(each_catalogue: Catalogue) -> None:
    data = os.urandom(50)
    record(each_catalogue, content(data))
    record(each_catalogue, content(data, pack=f"packs/{'d' * 32}", width=4))
    assert look_up(each_catalogue, [data]) == [content(data)]


def test_an_answer_is_a_use_of_its_objects(each_catalogue: Catalogue) -> None:
    data = os.urandom(50)
    record(each_catalogue, content(data))
    with each_catalogue.session() as session:
        session.execute(update(ObjectRow).values(last_used=now() - timedelta(days=30)))
    look_up(each_catalogue, [data], job=f"jobs/{'b' * 32}")
    assert {
        key: (row.last_used > now() - timedelta(minutes=1), row.lent) for key, row in objects(each_catalogue).items()
    } == {
        PACK: (True, True),
        DERIVED: (True, False),
    }
    look_up(each_catalogue, [data])
    assert objects(each_catalogue)[DERIVED].lent


@pytest.mark.parametrize("gone", [PACK, DERIVED])
def test_what_is_being_removed_is_neither_answered_nor_recorded_nor_referred_to(
    each_catalogue: Catalogue, gone: str
) -> None:
    data, later = os.urandom(50), os.urandom(60)
    record(each_catalogue, content(data))
    with each_catalogue.session() as session:
        session.execute(update(ObjectRow).filter_by(key=gone).values(removed=True))
    record(each_catalogue, content(later))
    assert look_up(each_catalogue, [data, later]) == []
    with each_catalogue.session() as session:
        assert session.scalar(select(func.count()).select_from(ContentRow)) == 1
    with pytest.raises(FailedPrecondition, match="start the job again"), each_catalogue.session() as session:
        refer(session, "tables/t.lance", 1, {PACK, DERIVED})
    with pytest.raises(FailedPrecondition):
        hold(each_catalogue, [PACK, DERIVED])


def test_a_row_that_does_not_say_where_the_image_lies_is_refused(each_catalogue: Catalogue) -> None:
    with pytest.raises(InvalidArgument, match="row cannot be read"):
        record(each_catalogue, ingest_pb2.Content(hash=bytes(16), size=1, row=b'{"original": null}'))
