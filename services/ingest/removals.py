"""Removals: which images were removed from a dataset, when, and what puts them back.

An image that was removed is a row of the version of the table before, which nobody has to look for: a removal names the
versions before and after it. It is remembered for as long as the trash keeps datasets.
"""

import asyncio
import re
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import delete, select, tuple_
from sqlalchemy.orm import Session

from framehouse.runtime.config import settings
from framehouse.runtime.errors import InvalidArgument, NotFound
from framehouse.runtime.hourly import hourly
from framehouse.runtime.page_tokens import not_ours, token_of, values_of
from framehouse.runtime.telemetry import logger
from framehouse.v1 import dataset_pb2
from services.ingest.catalogue import Catalogue, DatasetRow, RemovalRow, now
from services.ingest.datasets import find, page_size

PATHS = 10
"""Paths that a removal shows."""
FIRST_SECONDS = 240
"""From the start of the process to the first look for what is too old."""


def enter(session: Session, next_version: int, row: DatasetRow, image_count: int, paths: Sequence[str]) -> None:
    """Notes that images were removed from a head, in the transaction in which the version without them becomes it."""
    shown = dataset_pb2.Removal(paths=paths)
    session.add(
        RemovalRow(
            id=uuid.uuid4().hex,
            dataset=row.uid,
            table_version=row.table_version,
            next_version=next_version,
            image_count=image_count,
            paths=shown.SerializeToString(),
            create_time=now(),
        )
    )


def list_removals(catalogue: Catalogue, request: dataset_pb2.ListRemovalsRequest) -> dataset_pb2.ListRemovalsResponse:
    """What `DatasetService.ListRemovals` promises."""
    size = page_size(request.page_size)
    row = find(catalogue, request.parent, "parent")
    query = select(RemovalRow).where(RemovalRow.dataset == row.uid, RemovalRow.create_time >= _oldest())
    if request.page_token:
        query = query.where(tuple_(RemovalRow.create_time, RemovalRow.id) < _decode(request.page_token, row.uid))
    query = query.order_by(RemovalRow.create_time.desc(), RemovalRow.id.desc()).limit(size + 1)
    with catalogue.session() as session:
        rows = list(session.scalars(query))
    response = dataset_pb2.ListRemovalsResponse(removals=[_message(request.parent, one) for one in rows[:size]])
    if len(rows) > size:
        response.next_page_token = _encode(row.uid, rows[size - 1])
    return response


def remembered_of(catalogue: Catalogue, uid: str) -> list[RemovalRow]:
    """The removals of a dataset that can be taken back, the newest first."""
    query = select(RemovalRow).where(RemovalRow.dataset == uid, RemovalRow.create_time >= _oldest())
    with catalogue.session() as session:
        return list(session.scalars(query.order_by(RemovalRow.next_version.desc())))


def removal_named(catalogue: Catalogue, dataset: str, uid: str, name: str) -> RemovalRow:
    """The removal of that name, where it can be taken back."""
    match = re.fullmatch(rf"{re.escape(dataset)}/removals/([0-9a-f]{{32}})", name)
    if not match:
        raise InvalidArgument(
            f"{name!r} is no removal of {dataset}; write {dataset}/removals/ID, as ListRemovals answers it",
            field="removal",
        )
    with catalogue.session() as session:
        row = session.get(RemovalRow, match[1])
    if row is None or row.dataset != uid or row.create_time < _oldest():
        raise NotFound("removal", name, "ListRemovals lists those that can be taken back")
    return row


def _message(dataset: str, row: RemovalRow) -> dataset_pb2.Removal:
    removal = dataset_pb2.Removal.FromString(row.paths)
    removal.name = f"{dataset}/removals/{row.id}"
    removal.image_count = row.image_count
    removal.create_time.FromDatetime(row.create_time)
    removal.expire_time.FromDatetime(row.create_time + timedelta(seconds=settings().trash_seconds))
    return removal


async def keep_forgetting(catalogue: Catalogue, stop: asyncio.Event) -> None:
    """Forgets every hour what can no more be taken back."""
    await hourly(FIRST_SECONDS, "old removals of images stay", partial(_forget, catalogue), stop)


async def _forget(catalogue: Catalogue) -> None:
    if count := await asyncio.to_thread(forget, catalogue, _oldest()):
        logger().info("old removals of images forgotten", count=count)


def forget(catalogue: Catalogue, before: datetime) -> int:
    """Forgets the removals before that time; answers with their number. The images stay in the earlier versions."""
    with catalogue.session() as session:
        gone = delete(RemovalRow).where(RemovalRow.create_time < before).returning(RemovalRow.id)
        return len(list(session.scalars(gone)))


def _oldest() -> datetime:
    return now() - timedelta(seconds=settings().trash_seconds)


def _encode(uid: str, last: RemovalRow) -> str:
    return token_of([uid, last.create_time.isoformat(), last.id])


def _decode(token: str, uid: str) -> tuple[datetime, str]:
    try:
        theirs, time, id = values_of(token)
        if theirs == uid:
            return datetime.fromisoformat(time), str(id)
    except (ValueError, TypeError):
        pass
    raise not_ours("dataset")
