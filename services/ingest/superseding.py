"""Which versions of a table were heads of its dataset, and until when. `cleaning` keeps them for a time."""

from sqlalchemy.orm import Session

from services.ingest.catalogue import SupersededRow, now


def supersede(session: Session, table_key: str, table_version: int, next_version: int) -> None:
    """Notes that a version is no more the head, in the transaction in which the next one becomes it."""
    if next_version != table_version:
        session.merge(SupersededRow(table_key=table_key, table_version=table_version, time=now()))
