"""Clones: datasets of other ones, by reference. The table of a clone reads the files of the table it was made of.

What is written to either of them later is its own. The files of the other one stay for as long as a clone needs them,
which `TableBaseRow` says, and `trash` heeds.
"""

import uuid

from sqlalchemy import exists, insert, literal, or_, select, update
from sqlalchemy.orm import Session

from framehouse.runtime.access import check_read, check_user
from framehouse.runtime.errors import Aborted, NotFound
from framehouse.v1 import dataset_pb2
from services.ingest.catalogue import (
    Catalogue,
    DatasetRow,
    ReferenceRow,
    SupersededRow,
    TableBaseRow,
    VersionRow,
    now,
)
from services.ingest.datasets import find, refuse_taken
from services.ingest.describing import enter
from services.ingest.licences import COPYLEFT
from services.ingest.names import check_slug, user_of
from services.ingest.stored_bytes import check_room


def clone(catalogue: Catalogue, request: dataset_pb2.CloneDatasetRequest) -> dataset_pb2.Dataset:
    """What `DatasetService.CloneDataset` promises."""
    from framehouse.store.tables import clone as clone_table

    source = find(catalogue, request.source, "source")
    check_read(source.user, "dataset", request.source, public=source.public)
    user = user_of(request.parent)
    slug = request.dataset_id or source.slug
    check_slug(slug, "dataset_id")
    check_user(user)
    refuse_taken(catalogue, f"{request.parent}/datasets/{slug}")
    of = _version(catalogue, source, request) if request.version else source
    check_room(catalogue, of.image_bytes)
    uid = uuid.uuid4().hex
    key = f"tables/{uid}.lance"
    time = now()
    row = DatasetRow(
        uid=uid,
        user=user,
        slug=slug,
        display_name=source.display_name if slug == source.slug else slug,
        description=source.description,
        license=source.license,
        license_locked=source.license in COPYLEFT,
        task=source.task,
        cloned_from=request.source + (f"@{request.version}" if request.version else ""),
        source_format=source.source_format,
        table_key=key,
        table_version=clone_table(of.table_key, of.table_version, key),
        image_count=of.image_count,
        annotation_count=of.annotation_count,
        image_bytes=of.image_bytes,
        summary=of.summary,
        create_time=time,
        update_time=time,
        revision=1,
    )
    return enter(catalogue, row, lambda session: _bind(session, request.source, source, row))


def _version(catalogue: Catalogue, source: DatasetRow, request: dataset_pb2.CloneDatasetRequest) -> VersionRow:
    with catalogue.session() as session:
        row = session.get(VersionRow, (source.uid, request.version))
    if row is None:
        raise NotFound(
            "version", f"{request.source}/versions/{request.version}", "list the versions there are with ListVersions"
        )
    return row


def _bind(session: Session, name: str, source: DatasetRow, row: DatasetRow) -> None:
    """Notes what the clone needs, in the transaction in which it becomes visible.

    The source is held in it: who purges or cleans it sees what is noted here, or has done so before this.
    """
    hold = update(DatasetRow).filter_by(uid=source.uid).values(revision=DatasetRow.revision)
    head = session.scalar(hold.returning(DatasetRow.table_version))
    if head is None:
        raise NotFound("dataset", name)
    numbered = exists().where(VersionRow.dataset == source.uid, VersionRow.table_version == row.table_version)
    recent = exists().where(
        SupersededRow.table_key == source.table_key, SupersededRow.table_version == row.table_version
    )
    if head != row.table_version and not session.scalar(select(or_(numbered, recent))):
        raise Aborted(f"{name} is no more what it was when this began; try again", reason="DATASET_BUSY")
    bases = select(literal(row.table_key), TableBaseRow.base_key, TableBaseRow.base_version)
    bases = bases.where(TableBaseRow.table_key == source.table_key)
    session.execute(insert(TableBaseRow).from_select(["table_key", "base_key", "base_version"], bases))
    session.add(TableBaseRow(table_key=row.table_key, base_key=source.table_key, base_version=row.table_version))
    # All that any version of it refers to: which of them this one needs is said by the table alone, which is large.
    objects = select(literal(row.table_key), literal(row.table_version), ReferenceRow.object)
    objects = objects.where(ReferenceRow.table_key == source.table_key).group_by(ReferenceRow.object)
    session.execute(insert(ReferenceRow).from_select(["table_key", "table_version", "object"], objects))
