"""The trash: datasets that lie there for a time, are taken out again, or are removed for ever.

With a dataset goes its table, unless that of a clone reads its files: then it goes with the last of these. Packs and
previews may be others', too; what nobody needs any more is collected.
"""

import asyncio
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from framehouse.runtime.access import check_user, check_write
from framehouse.runtime.config import settings
from framehouse.runtime.errors import Aborted, AlreadyExists, NotFound
from framehouse.runtime.hourly import hourly
from framehouse.runtime.telemetry import logger
from framehouse.store.bucket import bucket
from framehouse.v1 import dataset_pb2
from services.ingest.catalogue import (
    Catalogue,
    DatasetRow,
    ImportRow,
    RemovalRow,
    StarRow,
    SupersededRow,
    TableBaseRow,
    VersionRow,
    now,
)
from services.ingest.datasets import find, message
from services.ingest.names import check_slug, user_of
from services.ingest.references import is_base, release
from services.ingest.versions import snapshots_prefix

FIRST_SECONDS = 180
"""From the start of the process to the first look for what has lain there long enough."""


def discard(catalogue: Catalogue, request: dataset_pb2.DeleteDatasetRequest) -> dataset_pb2.Dataset:
    """What `DatasetService.DeleteDataset` promises."""
    row = find(catalogue, request.name)
    check_write(row.user, "dataset", request.name, public=row.public)
    stale = Aborted(f"{request.name} has changed; read it again", reason="ETAG_STALE")
    if request.etag and request.etag != message(row).etag:
        raise stale
    same = update(DatasetRow).filter_by(uid=row.uid, delete_time=None)
    if request.etag:
        same = same.filter_by(revision=row.revision)
    with catalogue.session() as session:
        # The number of the revision says to who is changing it just now that it is not what it was.
        moved = same.values(delete_time=now(), revision=DatasetRow.revision + 1).returning(DatasetRow.uid)
        if session.scalar(moved) is None:
            raise stale if request.etag else NotFound("dataset", request.name)
        return message(_read(session, row.uid))


def restore(catalogue: Catalogue, request: dataset_pb2.RestoreDatasetRequest) -> dataset_pb2.Dataset:
    """What `DatasetService.RestoreDataset` promises."""
    row = _trashed(catalogue, request.parent, request.uid)
    slug = request.dataset_id or row.slug
    check_slug(slug, "dataset_id")
    values = {"slug": slug, "delete_time": None, "revision": DatasetRow.revision + 1}
    try:
        with catalogue.session() as session:
            same = update(DatasetRow).where(DatasetRow.uid == row.uid, DatasetRow.delete_time.is_not(None))
            if session.scalar(same.values(values).returning(DatasetRow.uid)) is None:
                raise _not_there(request.uid)
            return message(_read(session, row.uid))
    except IntegrityError:
        name = f"{request.parent}/datasets/{slug}"
        raise AlreadyExists("dataset", name, "restore it under another name (dataset_id)") from None


def purge(catalogue: Catalogue, request: dataset_pb2.PurgeDatasetRequest) -> None:
    """What `DatasetService.PurgeDataset` promises."""
    if not _remove(catalogue, _trashed(catalogue, request.parent, request.uid)):
        raise _not_there(request.uid)


async def keep_purging(catalogue: Catalogue, stop: asyncio.Event) -> None:
    """Purges every hour what has lain in the trash long enough."""
    await hourly(FIRST_SECONDS, "the trash is not purged", partial(_purge_old, catalogue), stop)


async def _purge_old(catalogue: Catalogue) -> None:
    before = now() - timedelta(seconds=settings().trash_seconds)
    if purged := await asyncio.to_thread(purge_before, catalogue, before):
        logger().info("datasets of the trash purged", count=purged)


def purge_before(catalogue: Catalogue, before: datetime) -> int:
    """Purges what was moved to the trash before that time; answers with the number of datasets."""
    with catalogue.session() as session:
        rows = list(session.scalars(select(DatasetRow).where(DatasetRow.delete_time < before)))
    return sum(_remove(catalogue, row) for row in rows)


def _trashed(catalogue: Catalogue, parent: str, uid: str) -> DatasetRow:
    user = user_of(parent)
    check_user(user)
    with catalogue.session() as session:
        row = session.scalar(select(DatasetRow).filter_by(uid=uid, user=user))
    if row is None or row.delete_time is None:
        raise _not_there(uid)
    return row


def _not_there(uid: str) -> NotFound:
    return NotFound("dataset", uid, "no dataset of that uid is in the trash; ListDatasets with trash shows what is")


def _read(session: Session, uid: str) -> DatasetRow:
    return session.scalars(select(DatasetRow).filter_by(uid=uid).execution_options(populate_existing=True)).one()


def _remove(catalogue: Catalogue, row: DatasetRow) -> bool:
    """Removes a dataset of the trash for ever; False where it was gone, or taken out, before."""
    with catalogue.session() as session:
        # First, so that who clones it comes before this or does not find it.
        gone = delete(DatasetRow).where(DatasetRow.uid == row.uid, DatasetRow.delete_time.is_not(None))
        if session.scalar(gone.returning(DatasetRow.uid)) is None:
            return False
        for table in (VersionRow, RemovalRow, StarRow):
            session.execute(delete(table).filter_by(dataset=row.uid))
        release(session, row.table_key)
        tables = _free(session, row.table_key)
        session.execute(delete(SupersededRow).where(SupersededRow.table_key.in_(tables)))
        # What imports had to say is asked for by the images that came in by them, of clones too.
        uids = [key.removeprefix("tables/").removesuffix(".lance") for key in tables]
        told = delete(ImportRow).where(ImportRow.dataset.in_(uids)).returning(ImportRow.job)
        jobs = list(session.scalars(told))
    prefixes = [f"{key}/" for key in tables] + [f"imports/{job}/" for job in jobs]
    for prefix in (*prefixes, f"statistics/{row.uid}/", snapshots_prefix(row.uid)):
        bucket().remove_prefix(prefix)
    return True


def _free(session: Session, table_key: str) -> list[str]:
    """The tables that nobody needs without this one, which is no dataset's any more."""
    mine = list(session.scalars(select(TableBaseRow.base_key).filter_by(table_key=table_key)))
    # Of two clones that go at once the second is to see that it is the last.
    theirs = select(TableBaseRow.table_key).where(TableBaseRow.base_key.in_([table_key, *mine]))
    session.execute(theirs.order_by(TableBaseRow.table_key, TableBaseRow.base_key).with_for_update())
    session.execute(delete(TableBaseRow).filter_by(table_key=table_key))
    owned = set(session.scalars(select(DatasetRow.table_key).where(DatasetRow.table_key.in_(mine))))
    return [key for key in (table_key, *mine) if key not in owned and not is_base(session, key)]
