"""Puts small parts of a dataset's table together, which many small imports leave: each costs some 3 ms to read.

What a dataset is does not change by it: images stay in their order, and the revision stays. So who is changing the
dataset meanwhile goes first; an edit that finds the table compacted is made anew.
"""

from sqlalchemy import select, update

from framehouse.runtime.errors import Aborted
from services.ingest.catalogue import Catalogue, DatasetRow
from services.ingest.references import follow
from services.ingest.superseding import supersede

ROWS = 1024
"""Parts with fewer are small."""
SMALL = 64
"""Fewer small ones are left alone."""


def compact(catalogue: Catalogue, table_key: str) -> bool:
    """Compacts the table of a dataset where it has many small parts; says whether it did."""
    from framehouse.store import tables

    with catalogue.session() as session:
        row = session.scalar(select(DatasetRow).filter_by(table_key=table_key))
    if row is None:
        return False
    fragments = tables.open_table(table_key, row.table_version).get_fragments()
    if sum(one.metadata.num_rows < ROWS for one in fragments) < SMALL:
        return False
    try:
        version = tables.compact(table_key, row.table_version, ROWS)
    except Aborted:  # another time
        return False
    if version == row.table_version:
        return False
    same = update(DatasetRow).filter_by(uid=row.uid, revision=row.revision, table_version=row.table_version)
    with catalogue.session() as session:
        moved = session.scalar(same.values(table_version=version).returning(DatasetRow.uid)) is not None
        if moved:
            follow(session, table_key, row.table_version, version)
            supersede(session, table_key, row.table_version, version)
    return moved
