"""Removes old versions of datasets' tables, of which every change makes one, and the files that no other version has.

What stays: the head; the versions that users made; what puts removed images back; the versions that the tables of
clones were made of, whose files they read; and whatever was the head a short time ago, or when the oldest of the jobs
that run began, which a page of a listing or the job may be reading. The rest is listed by nobody.
"""

import asyncio
import time
from datetime import datetime, timedelta
from functools import partial
from zlib import crc32

from sqlalchemy import delete, select, update

from framehouse.runtime import jobs
from framehouse.runtime.config import settings
from framehouse.runtime.errors import NotFound, ServiceError
from framehouse.runtime.hourly import hourly
from framehouse.runtime.telemetry import logger
from framehouse.store.bucket import bucket
from services.ingest.catalogue import Catalogue, DatasetRow, RemovalRow, SupersededRow, TableBaseRow, VersionRow, now
from services.ingest.compacting import compact
from services.ingest.references import narrow

FIRST_SECONDS = 300
"""From the start of the process to the first look."""
HOURS = 7 * 24 - 1
"""Every table is looked at once in so many hours, whether it was changed or not, for what writers left that died. A
week would be the same hour for ever, in which a machine may always be off."""
CLOCKS = timedelta(minutes=5)
"""By which the job server's clock and ours may differ."""


async def keep_cleaning(catalogue: Catalogue, stop: asyncio.Event) -> None:
    """Cleans every hour."""
    await hourly(FIRST_SECONDS, "old versions of tables stay", partial(_clean_old, catalogue), stop)


async def _clean_old(catalogue: Catalogue) -> None:
    before = now() - timedelta(seconds=settings().table_grace_seconds)
    if began := await jobs.oldest_start():
        before = min(before, began - CLOCKS)
    hour = int(time.time()) // 3600
    versions, size = await asyncio.to_thread(clean, catalogue, before, hour)
    if size:
        logger().info("old versions of tables removed", versions=versions, bytes=size)


def clean(catalogue: Catalogue, before: datetime, hour: int | None = None) -> tuple[int, int]:
    """Removes what was no head any more at that time, of tables that were changed before; answers with the number of
    versions and of bytes.

    And of those tables whose turn it is in that hour, counted from 1970; None takes all.
    """
    versions = size = 0
    for key in _tables(catalogue, before, hour):
        try:
            removed, of_table = clean_table(catalogue, key, before)
        except NotFound:  # it was purged meanwhile
            continue
        except ServiceError as error:
            logger().warning("old versions of a table stay", table=key, error=str(error))
            continue
        except Exception as error:  # the other tables are cleaned all the same
            logger().error("old versions of a table stay", table=key, exc_info=error)
            continue
        versions += removed
        size += of_table
    return versions, size


def _tables(catalogue: Catalogue, before: datetime, hour: int | None) -> list[str]:
    with catalogue.session() as session:
        changed = set(session.scalars(select(SupersededRow.table_key).where(SupersededRow.time < before).distinct()))
        known = set(session.scalars(select(DatasetRow.table_key)))
        known |= set(session.scalars(select(TableBaseRow.base_key).distinct()))
    turn = {key for key in known if hour is None or (crc32(key.encode()) - hour) % HOURS == 0}
    return sorted(known & changed | turn)


def clean_table(catalogue: Catalogue, key: str, before: datetime) -> tuple[int, int]:
    """The same of one table."""
    from framehouse.store.tables import open_table, remove_versions, versions_before

    kept = _kept(catalogue, key, before)
    if kept is None:
        return 0, 0
    head, needed = kept
    if head is not None:
        open_table(key, head)  # without it, the catalogue speaks of another table, as one that came from a backup may
    # What comes after the head may be about to become it.
    made = versions_before(key, before)
    removed = [version for version in made if version not in needed and (head is None or version < head)]
    uid = key.removeprefix("tables/").removesuffix(".lance")
    bucket().remove([f"statistics/{uid}/{version}.pb" for version in removed])
    size = remove_versions(key, removed)
    if head is not None:
        narrow(catalogue, key, head, needed)
        compact(catalogue, key)
    return len(removed), size


def _kept(catalogue: Catalogue, key: str, before: datetime) -> tuple[int | None, set[int]] | None:
    """The head of a table's dataset, if it has one, and the versions that stay, whatever their age; None where that is
    not known. Of older ones, no version and no clone is made from then on.
    """
    hold = update(DatasetRow).filter_by(table_key=key).values(revision=DatasetRow.revision).returning(DatasetRow)
    with catalogue.session() as session:
        # Holds the row first: the head does not move meanwhile, and who clones the dataset is seen below or sees this.
        row = session.scalar(hold)
        bases = set(session.scalars(select(TableBaseRow.base_version).filter_by(base_key=key)))
        if None in bases or (row is None and not bases):
            return None
        needed = {version for version in bases if version is not None}
        session.execute(delete(SupersededRow).where(SupersededRow.table_key == key, SupersededRow.time < before))
        needed.update(session.scalars(select(SupersededRow.table_version).filter_by(table_key=key)))
        if row is None:
            return None, needed
        needed.add(row.table_version)
        needed.update(session.scalars(select(VersionRow.table_version).filter_by(dataset=row.uid)))
        removals = select(RemovalRow.table_version, RemovalRow.next_version).filter_by(dataset=row.uid)
        for pair in session.execute(removals):
            needed.update(pair)
    return row.table_version, needed
