"""Who needs the objects in the bucket: each version of a table says which ones it refers to, jobs which ones they use.

An object is removed by `collecting` alone, which marks it first. Both sides change the object's row, in one transaction
each, so that either the reference is there in time or the mark is.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from framehouse.runtime.errors import FailedPrecondition
from framehouse.store.bucket import bucket
from services.ingest.catalogue import Catalogue, DatasetRow, ObjectRow, ReferenceRow, TableBaseRow, now, upsert

if TYPE_CHECKING:
    import lance

T = TypeVar("T")

PAGE = 500
"""Keys in one statement; databases have limits."""
ROWS = 65536
"""Rows of a table that are looked at at once."""
COLUMNS = ("original", "normalised", "preview")
"""Columns of a table that say where bytes lie."""


def objects_of(table: "lance.LanceDataset", fragments: "Sequence[lance.LanceFragment] | None" = None) -> set[str]:
    """The objects that a version of a table refers to, or some of its fragments; there are few for many images."""
    from framehouse.store.tables import batches

    found: set[str | None] = set()
    for batch in batches(table, [f"{column}.object" for column in COLUMNS], ROWS, fragments=fragments):
        for objects in batch.columns:
            found.update(objects.unique().to_pylist())
    return {key for key in found if key is not None}


def refer(session: Session, table_key: str, table_version: int, objects: Iterable[str]) -> None:
    """Notes what a version of a table refers to, in the transaction that makes the version visible.

    `FailedPrecondition` with the reason OBJECT_REMOVED where one of the objects is gone or about to go, which takes an
    import that was held up for longer than the grace period. Done anew, its work finds the images elsewhere or decodes
    them again.
    """
    keys = sorted(set(objects))
    missing = sorted(set(keys) - use(session, keys))
    if gone := set(missing) - add(session, missing):
        raise _removed(min(gone))
    # They were never noted, and may be gone since. Their rows keep them from now on.
    for key in missing:
        if bucket().size(key) is None:
            raise _removed(key)
    note(session, table_key, table_version, keys)


def note(session: Session, table_key: str, table_version: int, objects: Iterable[str]) -> None:
    """Notes what a version of a table refers to, whether it is there or not."""
    statement = upsert(session, ReferenceRow).on_conflict_do_nothing()
    for page in pages(objects):
        rows = [{"table_key": table_key, "table_version": table_version, "object": key} for key in page]
        session.execute(statement, rows)


def follow(session: Session, table_key: str, table_version: int, next_version: int) -> None:
    """Notes that a version refers to what the one before did, of which it has no other images, instead of that.

    What a version before them referred to stays noted, until `narrow` finds that none needs it which is kept.
    """
    before = update(ReferenceRow).filter_by(table_key=table_key, table_version=table_version)
    session.execute(before.values(table_version=next_version))


def narrow(catalogue: Catalogue, table_key: str, head: int, kept: Collection[int]) -> None:
    """Drops the references of a dataset's table to objects that no image of these versions lies in, of which one is the
    head. They are kept for the grace period yet.

    Whoever makes a head of something else than what these versions have, refers to that itself.
    """
    with catalogue.session() as session:
        noted = set(session.scalars(select(ReferenceRow.object).filter_by(table_key=table_key).distinct()))
    unneeded = noted - _objects_of(table_key, kept, noted)
    if not unneeded:
        return
    hold = update(DatasetRow).filter_by(table_key=table_key, table_version=head).values(revision=DatasetRow.revision)
    with catalogue.session() as session:
        if session.scalar(hold.returning(DatasetRow.uid)) is None:  # another time
            return
        for page in pages(sorted(unneeded)):
            use(session, page)
            mine = delete(ReferenceRow).where(ReferenceRow.table_key == table_key, ReferenceRow.object.in_(page))
            session.execute(mine)


def _objects_of(table_key: str, versions: Iterable[int], noted: set[str]) -> set[str]:
    """The objects that versions of a table refer to, the newest one first, until these are all that are noted."""
    from framehouse.store.tables import open_table
    from services.ingest.columns import PLACES, Snapshot

    found: set[str] = set()
    seen: set[str] = set()
    for version in sorted(versions, reverse=True):
        if noted <= found:
            break
        table = Snapshot(open_table(table_key, version))
        parts = {" ".join(part.keys[name] for name in PLACES): part.fragment for part in table.parts}
        if fresh := parts.keys() - seen:
            found |= objects_of(table.table, [parts[key] for key in fresh])
            seen |= fresh
    return found


def hold(catalogue: Catalogue, objects: Sequence[str]) -> None:
    """Keeps what a job is about to read for the grace period. `FailedPrecondition` where some of it is about to go."""
    with catalogue.session() as session:
        if gone := set(objects) - add(session, objects):
            raise _removed(min(gone))


def release(session: Session, table_key: str) -> None:
    """Drops the references of all versions of a table. What only they referred to is kept for the grace period yet."""
    referred = select(ReferenceRow.object).where(ReferenceRow.table_key == table_key)
    session.execute(update(ObjectRow).where(ObjectRow.key.in_(referred), ~ObjectRow.removed).values(last_used=now()))
    session.execute(delete(ReferenceRow).where(ReferenceRow.table_key == table_key))


def is_base(session: Session, table_key: str) -> bool:
    """Whether the table of a clone reads files of that one."""
    return session.scalar(select(TableBaseRow.table_key).filter_by(base_key=table_key).limit(1)) is not None


def use(session: Session, keys: Sequence[str], *, lent: bool = False) -> set[str]:
    """Notes that objects are of use at this moment; answers with those that are known and stay."""
    values = {"last_used": now(), **({"lent": True} if lent else {})}
    used: set[str] = set()
    for page in pages(keys):
        change = update(ObjectRow).where(ObjectRow.key.in_(page), ~ObjectRow.removed).values(values)
        used.update(session.scalars(change.returning(ObjectRow.key)))
    return used


def add(session: Session, keys: Sequence[str]) -> set[str]:
    """Notes objects, known or not, as `use` does; answers with those that stay."""
    insert = upsert(session, ObjectRow)
    statement = insert.on_conflict_do_update(
        index_elements=[ObjectRow.key], set_={"last_used": insert.excluded.last_used}, where=~ObjectRow.removed
    ).returning(ObjectRow.key)
    time = now()
    added: set[str] = set()
    # In order, so that two of these never wait for each other.
    for page in pages(sorted(keys)):
        rows = [{"key": key, "last_used": time, "lent": False, "removed": False} for key in page]
        added.update(session.scalars(statement, rows))
    return added


def pages(items: Iterable[T], size: int = PAGE) -> Iterator[list[T]]:
    """The items, so many at a time."""
    rest = iter(items)
    while page := list(islice(rest, size)):
        yield page


def _removed(key: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"{key!r}, which some of the images lie in, was removed while nothing referred to it; start the job again",
        reason="OBJECT_REMOVED",
    )
