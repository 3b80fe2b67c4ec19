"""Edits: a new version of a dataset's table, made of its head, which becomes visible by one transaction.

The version is made beside the head. The transaction holds only as long as the head is the one that the version was made
of; where others were faster, the edit is made anew.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from sqlalchemy import update
from sqlalchemy.orm import Session

from framehouse.runtime.access import check_write
from framehouse.runtime.errors import Aborted, InvalidArgument
from framehouse.v1 import dataset_pb2
from services.ingest.catalogue import Catalogue, DatasetRow, VersionRow, now
from services.ingest.columns import Integers, Snapshot
from services.ingest.datasets import find, message
from services.ingest.heads import Head
from services.ingest.references import follow, refer
from services.ingest.superseding import supersede

ATTEMPTS = 12
"""How often an edit is made where others change the dataset meanwhile."""
PAUSE_SECONDS = 0.02
"""Between the first two at most; twice as long each time."""
LONGEST_PAUSE_SECONDS = 0.5
SPLIT_LETTERS = 64


@dataclass
class Edit:
    """What is to be done to the head of a dataset."""

    changed: int
    """Images that are changed; 0 makes no version."""
    head: Head
    """As it is then, but for its version; its objects are those of images that the head before does not have."""
    write: Callable[[], int]
    """Makes the version, of the head's table. `Aborted` where somebody else changes the table at the same time."""
    also: Callable[[Session, int], None] | None = None
    """What else is entered, given the version, in the transaction in which it becomes visible."""


E = TypeVar("E", bound=Edit)


def edit(
    catalogue: Catalogue, name: str, etag: str, plan: Callable[[DatasetRow], E], *, validate_only: bool, field: str
) -> tuple[E, DatasetRow]:
    """Edits a dataset, unless it only asks; answers with the edit and the dataset as it is then.

    `plan` says what is to be done to a head, and may be asked again. `Aborted` where the etag is given and stale, and
    where others keep changing the dataset.
    """
    for attempt in range(ATTEMPTS):
        row = find(catalogue, name, field)
        check_write(row.user, "dataset", name, public=row.public)
        if etag and etag != message(row).etag:
            raise Aborted(f"{name} has changed; read it again", reason="ETAG_STALE")
        planned = plan(row)
        if validate_only or not planned.changed:
            return planned, row
        if _made_visible(catalogue, row, planned):
            return planned, find(catalogue, name, field)
        pause(attempt)
    raise Aborted(f"{name} was changed by others {ATTEMPTS} times meanwhile; try again", reason="DATASET_BUSY")


def pause(attempt: int) -> None:
    """Lets others be ahead for a moment that nobody foresees: all at once, none would ever be first."""
    time.sleep(random.uniform(0, min(PAUSE_SECONDS * 2**attempt, LONGEST_PAUSE_SECONDS)))  # noqa: S311


def _made_visible(catalogue: Catalogue, row: DatasetRow, planned: Edit) -> bool:
    """Makes the version and then the head of it; False where others were faster."""
    with catalogue.session() as session:
        there = session.get(DatasetRow, row.uid)
    if there is None or there.revision != row.revision:
        return False
    try:
        planned.head.table_version = planned.write()
    except Aborted:
        return False
    issues = dataset_pb2.Dataset.FromString(row.summary).issues
    values = {**planned.head.values(issues), "revision": row.revision + 1, "update_time": now()}
    same = update(DatasetRow).filter_by(uid=row.uid, revision=row.revision, table_version=row.table_version)
    with catalogue.session() as session:
        moved = session.scalar(same.values(**values).returning(DatasetRow.uid)) is not None
        if moved:
            follow(session, row.table_key, row.table_version, planned.head.table_version)
            refer(session, row.table_key, planned.head.table_version, planned.head.objects)
            supersede(session, row.table_key, row.table_version, planned.head.table_version)
            if planned.also:
                planned.also(session, planned.head.table_version)
    return moved


def head_of(row: DatasetRow, version: VersionRow | None = None) -> Head:
    """The head as the catalogue has it, to be changed; holding what a version holds where that is given."""
    held = version or row
    summary = dataset_pb2.Dataset.FromString(held.summary)
    return Head(
        table_key=row.table_key,
        table_version=row.table_version,
        image_count=held.image_count,
        annotation_count=held.annotation_count,
        image_bytes=held.image_bytes,
        labels=summary.labels,
        splits={one.split: one.image_count for one in summary.splits},
        objects=set(),
    )


def addresses(table: Snapshot, rows: Integers) -> Integers:
    """Where rows of a table, ascending, lie: the number of their fragment and their place in it, 32 bits each."""
    found = [np.zeros(0, np.int64)]
    bounds = np.searchsorted(rows, [*table.starts.tolist(), table.rows]).tolist()
    for part, first, end in zip(table.parts, bounds[:-1], bounds[1:], strict=True):
        places = rows[first:end] - part.first
        if len(places) and part.fragment.num_deletions:
            live = part.fragment.to_table(columns=[], with_row_address=True)["_rowaddr"].to_numpy()
            found.append(live.astype(np.int64)[places])
        else:
            found.append(places + (part.fragment.fragment_id << 32))
    return np.concatenate(found)


def check_split(name: str, field: str) -> None:
    """Refuses what cannot be the name of a split. Exports make folders of them."""
    if len(name) > SPLIT_LETTERS or not name.isprintable() or set(name) & set('/\\<>:"|?*') or name != name.strip(" ."):
        raise InvalidArgument(
            f"{name!r} cannot be the name of a split; use letters, digits, '-', '_' and spaces, "
            f"{SPLIT_LETTERS} at most",
            field=field,
        )
