"""Removes from `packs/` and `derived/` what no version of a dataset refers to and nobody has used for a grace period.

Replicas of ingest may do so at once, and while imports publish: an object is marked in the catalogue first, unless it
is of use at that moment, and only who marked it removes it. What a crash leaves marked is removed an hour later.
"""

import asyncio
import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby

from sqlalchemy import ColumnElement, delete, exists, select, update

from framehouse.runtime.config import settings
from framehouse.runtime.errors import NotFound
from framehouse.runtime.hourly import hourly
from framehouse.runtime.telemetry import logger
from framehouse.store.bucket import Bucket, bucket
from services.ingest.catalogue import Catalogue, ContentRow, DatasetRow, ObjectRow, ReferenceRow, UploadRow, now, upsert
from services.ingest.leftovers import abort_unfinished, sweep
from services.ingest.references import PAGE, add, note, objects_of, pages

FIRST_SECONDS = 120
"""From the start of the process to the first look."""
ABANDONED = timedelta(hours=1)
"""A removal that was begun so long ago is ended by whoever sees it."""
LONGEST_WRITE = timedelta(days=1)
"""How long an object may take that is written in parts, however short the grace period is."""
REMEMBERED = timedelta(days=7)
"""How long a removed derived object stays marked. A process that was taken for dead may yet tell of it."""

UPLOAD = len("packs/") + 32
"""Letters of a key that name the upload it belongs to."""
NUMBER = re.compile(r"(-\d{4})+$")
"""How the packs of an index are told apart: `<key>-0000` … beside `<key>.index`."""
INDEX = re.compile(r"(.*)\.index(\.issues)?")

Objects = Sequence[tuple[str, datetime]]
"""(key, time at which it was written)"""


async def keep_collecting(catalogue: Catalogue, stop: asyncio.Event) -> None:
    """Collects every hour."""
    await hourly(FIRST_SECONDS, "objects without references stay", partial(_collect_old, catalogue), stop)


async def _collect_old(catalogue: Catalogue) -> None:
    before = now() - timedelta(seconds=settings().pack_grace_seconds)
    if removed := await asyncio.to_thread(collect, bucket(), catalogue, before):
        logger().info("objects without references removed", count=removed)
    if swept := await sweep(bucket(), catalogue, before):
        logger().info("what jobs had left removed", prefixes=swept)
    begun = min(before, now() - LONGEST_WRITE)
    if aborted := await asyncio.to_thread(abort_unfinished, bucket(), catalogue, begun):
        logger().info("parts without an object removed", count=aborted)


def collect(bucket: Bucket, catalogue: Catalogue, before: datetime, upload: str = "", job: str = "") -> int:
    """Removes what was last written and last used before that time; answers with the number of objects.

    All of it, or of one upload and one job alone.
    """
    complete_references(catalogue)
    removed = 0
    if upload or not job:
        families = groupby(bucket.modified(f"packs/{upload}"), key=lambda item: item[0][:UPLOAD])
        for family, objects in families:
            removed += _collect_upload(bucket, catalogue, family.removeprefix("packs/"), list(objects), before)
    if job or not upload:
        prefix = f"derived/{job}/" if job else "derived/"
        for page in pages(item for item in bucket.modified(prefix) if item[1] < before):
            removed += _remove(bucket, catalogue, _claim(catalogue, page, before))
    with catalogue.session() as session:
        session.execute(delete(ObjectRow).where(ObjectRow.removed, ObjectRow.last_used < now() - REMEMBERED))
    return removed


def free(bucket: Bucket, catalogue: Catalogue, prefix: str) -> None:
    """Removes what a job that was cancelled derived, but for what another job was answered in the meantime.

    That is left to `collect`. The job itself must have ended its steps.
    """
    for page in pages(bucket.modified(prefix)):
        _remove(bucket, catalogue, _mark(catalogue, page, ~ObjectRow.lent))


def complete_references(catalogue: Catalogue) -> None:
    """Notes what datasets refer to that were made before references were kept."""
    from framehouse.store.tables import open_table

    referred = exists().where(
        ReferenceRow.table_key == DatasetRow.table_key, ReferenceRow.table_version == DatasetRow.table_version
    )
    with catalogue.session() as session:
        rows = list(session.scalars(select(DatasetRow).where(~referred)))
    for row in rows:
        try:
            objects = sorted(objects_of(open_table(row.table_key, row.table_version)))
        except NotFound as error:
            logger().warning("dataset without its table", dataset=row.uid, error=str(error))
            continue
        with catalogue.session() as session:
            add(session, objects)
            # Not where it is deleted meanwhile.
            if session.scalar(select(DatasetRow.uid).filter_by(uid=row.uid).with_for_update()):
                note(session, row.table_key, row.table_version, objects)


def _collect_upload(bucket: Bucket, catalogue: Catalogue, upload: str, objects: Objects, before: datetime) -> int:
    """Looks at all there is of one upload: the archive, what was unpacked of it, the indexes of that."""
    with catalogue.session() as session:
        row = session.get(UploadRow, upload)
    if row is not None and not row.complete:
        return 0
    packs = {key: time for key, time in objects if not INDEX.fullmatch(key)}
    gone: set[str] = set()
    for page in pages(sorted((key, time) for key, time in packs.items() if time < before)):
        gone |= _claim(catalogue, page, before)
    described: dict[str, set[str]] = {}
    for key in packs:
        described.setdefault(NUMBER.sub("", key), set()).add(key)
    indexes = []
    for key, time in objects:
        if index := INDEX.fullmatch(key):
            # A compressed archive lies beside its packs, and is not what its index speaks of.
            whole = described.get(index[1], set())
            of_index = whole - {index[1]} or whole
            if of_index & gone or (not of_index and time < before):
                indexes.append(key)
    bucket.remove(indexes)
    removed = len(indexes) + _remove(bucket, catalogue, gone)
    if removed == len(objects):
        with catalogue.session() as session:
            session.execute(delete(UploadRow).where(UploadRow.id == upload, UploadRow.complete))
    return removed


def _claim(catalogue: Catalogue, objects: Objects, before: datetime) -> set[str]:
    """Marks those of a page of old objects that are of no use; answers with what is to be removed by the caller."""
    keys = [key for key, _ in objects]
    with catalogue.session() as session:
        referred = set(session.scalars(select(ReferenceRow.object).where(ReferenceRow.object.in_(keys)).distinct()))
        rows = {row.key: row for row in session.scalars(select(ObjectRow).where(ObjectRow.key.in_(keys)))}
    abandoned = {key for key, row in rows.items() if row.removed and row.last_used < now() - ABANDONED}
    unused = [
        (key, time)
        for key, time in objects
        if key not in referred and (key not in rows or (not rows[key].removed and rows[key].last_used < before))
    ]
    return abandoned | _mark(catalogue, unused, ObjectRow.last_used < before)


def _mark(catalogue: Catalogue, objects: Objects, condition: ColumnElement[bool]) -> set[str]:
    """Marks those of a page of objects that nothing refers to and that meet the condition; answers with them."""
    if not objects:
        return set()
    keys = sorted(key for key, _ in objects)
    with catalogue.session() as session:
        # Holds the rows, known or not: who refers to one of them now waits, and who did before is seen below.
        hold = upsert(session, ObjectRow).on_conflict_do_update(
            index_elements=[ObjectRow.key], set_={"last_used": ObjectRow.__table__.c.last_used}
        )
        rows = [{"key": key, "last_used": time, "lent": False, "removed": False} for key, time in sorted(objects)]
        session.execute(hold, rows)
        referred = exists().where(ReferenceRow.object == ObjectRow.key)
        change = update(ObjectRow).where(ObjectRow.key.in_(keys), ~ObjectRow.removed, ~referred, condition)
        marked = change.values(removed=True, last_used=now()).returning(ObjectRow.key)
        return set(session.scalars(marked))


def _remove(bucket: Bucket, catalogue: Catalogue, keys: Iterable[str]) -> int:
    """Removes marked objects, and first what is known of the images in them; answers with their number."""
    removed = 0
    for page in pages(sorted(keys)):
        for column in (ContentRow.original_object, ContentRow.derived_object):
            _forget(catalogue, column.in_(page))
        bucket.remove(page)
        # The key of a pack may be used again, by the same archive; that of a derived object never is.
        with catalogue.session() as session:
            session.execute(
                delete(ObjectRow).where(ObjectRow.key.in_([key for key in page if key.startswith("packs/")]))
            )
        removed += len(page)
    return removed


def _forget(catalogue: Catalogue, condition: ColumnElement[bool]) -> None:
    """Removes contents, a few at a time: others want to write, too."""
    while True:
        with catalogue.session() as session:
            hashes = list(session.scalars(select(ContentRow.hash).where(condition).limit(PAGE)))
            if not hashes:
                return
            session.execute(delete(ContentRow).where(ContentRow.hash.in_(hashes), condition))
