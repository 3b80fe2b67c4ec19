"""Versions of datasets: numbered, and never changed again but for their descriptions.

A version names a version of the dataset's table, which nothing changes. So it is made at once, however large the
dataset is. Its snapshot is written afterwards, by a job of export.
"""

import asyncio
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from framehouse.runtime import jobs
from framehouse.runtime.access import check_write
from framehouse.runtime.config import settings
from framehouse.runtime.errors import Aborted, FailedPrecondition, InvalidArgument, NotFound, ServiceError
from framehouse.runtime.hourly import hourly
from framehouse.runtime.page_tokens import not_ours, token_of, values_of
from framehouse.runtime.telemetry import logger
from framehouse.store.bucket import bucket
from framehouse.v1 import dataset_pb2, export_pb2, job_pb2
from services.ingest import datasets
from services.ingest.catalogue import Catalogue, DatasetRow, VersionRow, now
from services.ingest.names import version_parts

DESCRIPTION_LETTERS = 10_000
REQUEST_LETTERS = 255
COMMIT = {"framehouse.change": "RestoreVersion"}

FIRST_SECONDS = 120
"""From the start of the process to the first look for snapshots that are missing."""
LATE = timedelta(minutes=5)
"""A snapshot that is not there after so long may have no job."""


# --- what there is


def find_version(catalogue: Catalogue, dataset: DatasetRow, number: int) -> VersionRow:
    """A version of a dataset, or `NOT_FOUND`."""
    with catalogue.session() as session:
        row = session.get(VersionRow, (dataset.uid, number))
    if row is None:
        name = f"users/{dataset.user}/datasets/{dataset.slug}/versions/{number}"
        raise NotFound("version", name, "list the versions there are with ListVersions")
    return row


def resolve(catalogue: Catalogue, dataset: DatasetRow, number: int) -> dataset_pb2.Table:
    """The table of a version of a dataset; 0 is its head."""
    table = datasets.table_of(dataset)
    if number:
        row = find_version(catalogue, dataset, number)
        table.key, table.version = row.table_key, row.table_version
        table.image_count, table.annotation_count = row.image_count, row.annotation_count
    return table


def message(dataset: str, row: VersionRow) -> dataset_pb2.Version:
    """A row as the contract shows it, of the dataset of that name."""
    summary = dataset_pb2.Dataset.FromString(row.summary)
    is_ready = row.snapshot_size is not None
    version = dataset_pb2.Version(
        name=f"{dataset}/versions/{row.number}",
        number=row.number,
        description=row.description,
        image_count=row.image_count,
        annotation_count=row.annotation_count,
        class_count=len(summary.labels.labels),
        image_bytes=row.image_bytes,
        splits=summary.splits,
        snapshot_state=dataset_pb2.SNAPSHOT_STATE_READY if is_ready else dataset_pb2.SNAPSHOT_STATE_PENDING,
        snapshot_size=row.snapshot_size or 0,
        snapshot_job=f"jobs/{jobs.job_of(_request_id(row))}",
        etag=f'"{row.dataset[:8]}-v{row.number}-{row.revision}"',
    )
    version.create_time.FromDatetime(row.create_time)
    return version


def snapshot_key(uid: str, number: int) -> str:
    """Where the snapshot of a version lies."""
    return f"{snapshots_prefix(uid)}v{number}.ndjson"


def snapshots_prefix(uid: str) -> str:
    """What the snapshots of a dataset's versions lie under."""
    return f"versions/{uid}/"


def get(catalogue: Catalogue, name: str) -> dataset_pb2.Version:
    """What `DatasetService.GetVersion` promises."""
    parent, number = version_parts(name)
    dataset = datasets.find(catalogue, parent)
    version = message(parent, find_version(catalogue, dataset, number))
    if version.snapshot_state == dataset_pb2.SNAPSHOT_STATE_READY:
        seconds = settings().download_expiry_seconds
        file_name = f"{dataset.slug}-v{number}.ndjson"
        version.snapshot_url = bucket().presign_get(snapshot_key(dataset.uid, number), seconds, file_name)
        version.snapshot_url_expire_time.FromDatetime(datetime.now(UTC) + timedelta(seconds=seconds))
    return version


def list_versions(catalogue: Catalogue, request: dataset_pb2.ListVersionsRequest) -> dataset_pb2.ListVersionsResponse:
    """What `DatasetService.ListVersions` promises."""
    size = datasets.page_size(request.page_size)
    dataset = datasets.find(catalogue, request.parent, "parent")
    query = select(VersionRow).filter_by(dataset=dataset.uid).order_by(VersionRow.number.desc()).limit(size + 1)
    if request.page_token:
        query = query.where(VersionRow.number < _decode(request.page_token, dataset.uid))
    with catalogue.session() as session:
        rows = list(session.scalars(query))
    response = dataset_pb2.ListVersionsResponse(versions=[message(request.parent, row) for row in rows[:size]])
    if len(rows) > size:
        response.next_page_token = _encode(dataset.uid, rows[size - 1].number)
    return response


def _encode(uid: str, number: int) -> str:
    return token_of([uid, number])


def _decode(token: str, uid: str) -> int:
    try:
        theirs, number = values_of(token)
        if theirs != uid or not isinstance(number, int):
            raise ValueError
    except (ValueError, TypeError):
        raise not_ours("dataset") from None
    return number


# --- changes


def create(
    catalogue: Catalogue, request: dataset_pb2.CreateVersionRequest
) -> tuple[VersionRow, export_pb2.SnapshotVersionRequest]:
    """The version of `DatasetService.CreateVersion`, without its snapshot, and what the job of that is to do."""
    _check_description(request.description, "description")
    if len(request.request_id) > REQUEST_LETTERS:
        raise InvalidArgument(f"request_id has more than {REQUEST_LETTERS} letters", field="request_id")
    dataset = datasets.find(catalogue, request.parent, "parent")
    check_write(dataset.user, "dataset", request.parent, public=dataset.public)
    # Holds the row first: versions are made one after the other, and the head does not move meanwhile.
    hold = update(DatasetRow).filter_by(uid=dataset.uid, delete_time=None).values(revision=DatasetRow.revision)
    with catalogue.session() as session:
        row = session.scalar(hold.returning(DatasetRow))
        if row is None:
            raise NotFound("dataset", request.parent, "it was deleted at this moment")
        made = select(VersionRow).filter_by(dataset=row.uid, request_id=request.request_id)
        version = session.scalar(made) if request.request_id else None
        if version is None:
            version = _next(session, row, request)
    return version, _snapshot_request(row, version)


def _next(session: Session, row: DatasetRow, request: dataset_pb2.CreateVersionRequest) -> VersionRow:
    if request.etag and request.etag != datasets.message(row).etag:
        raise Aborted(f"{request.parent} has changed; read it again", reason="ETAG_STALE")
    if not row.image_count:
        raise FailedPrecondition(
            f"{request.parent} has no images, of which a version could be made; import some first",
            reason="DATASET_EMPTY",
        )
    newest = session.scalar(select(func.max(VersionRow.number)).filter_by(dataset=row.uid))
    version = VersionRow(
        dataset=row.uid,
        number=(newest or 0) + 1,
        table_key=row.table_key,
        table_version=row.table_version,
        description=request.description,
        image_count=row.image_count,
        annotation_count=row.annotation_count,
        image_bytes=row.image_bytes,
        summary=row.summary,
        request_id=request.request_id,
        create_time=now(),
        revision=1,
    )
    session.add(version)
    return version


def describe(catalogue: Catalogue, request: dataset_pb2.UpdateVersionRequest) -> dataset_pb2.Version:
    """What `DatasetService.UpdateVersion` promises."""
    parent, number = version_parts(request.version.name, "version.name")
    if others := sorted(set(request.update_mask.paths) - {"description"}):
        raise InvalidArgument(f"{others[0]!r} of a version cannot be changed; description can", field="update_mask")
    _check_description(request.version.description, "version.description")
    dataset = datasets.find(catalogue, parent, "version.name")
    check_write(dataset.user, "dataset", parent, public=dataset.public)
    known = find_version(catalogue, dataset, number)
    same = update(VersionRow).filter_by(dataset=known.dataset, number=known.number)
    if request.version.etag:
        if request.version.etag != message(parent, known).etag:
            raise Aborted(f"{request.version.name} has changed; read it again", reason="ETAG_STALE")
        same = same.filter_by(revision=known.revision)
    values = {"description": request.version.description, "revision": VersionRow.revision + 1}
    with catalogue.session() as session:
        row = session.scalar(same.values(values).returning(VersionRow))
    if row is None:
        raise Aborted(f"{request.version.name} has changed; read it again", reason="ETAG_STALE")
    return message(parent, row)


def restore(catalogue: Catalogue, request: dataset_pb2.RestoreVersionRequest) -> dataset_pb2.Dataset:
    """What `DatasetService.RestoreVersion` promises."""
    from framehouse.store import tables
    from services.ingest.edits import Edit, edit, head_of

    parent, number = version_parts(request.name)

    def plan(row: DatasetRow) -> Edit:
        version = find_version(catalogue, row, number)
        is_other = version.table_version != row.table_version
        return Edit(
            int(is_other), head_of(row, version), lambda: tables.restore(row.table_key, version.table_version, COMMIT)
        )

    _, row = edit(catalogue, parent, request.etag, plan, validate_only=False, field="name")
    return datasets.message(row)


def _check_description(text: str, field: str) -> None:
    if len(text) > DESCRIPTION_LETTERS or "\0" in text:
        raise InvalidArgument(
            f"a description has {DESCRIPTION_LETTERS:,} letters at most, none of them with the number 0; this one has "
            f"{len(text):,}",
            field=field,
        )


# --- snapshots


def record(catalogue: Catalogue, request: dataset_pb2.RecordSnapshotRequest) -> dataset_pb2.Version:
    """What `DatasetService.RecordSnapshot` promises."""
    entered = update(VersionRow).filter_by(dataset=request.uid, number=request.number)
    with catalogue.session() as session:
        row = session.scalar(entered.values(snapshot_size=request.size).returning(VersionRow))
        dataset = session.get(DatasetRow, request.uid)
    if row is None or dataset is None:
        bucket().remove([snapshot_key(request.uid, request.number)])
        raise NotFound("version", f"{request.uid}/v{request.number}", "its dataset was removed meanwhile")
    return message(f"users/{dataset.user}/datasets/{dataset.slug}", row)


async def start_snapshot(request: export_pb2.SnapshotVersionRequest, *, after_failure: bool) -> str:
    """Starts the job that writes a snapshot, unless it was started, and answers with its name."""
    await asyncio.to_thread(_tag, request)
    return await jobs.start(
        "SnapshotVersion",
        request,
        queue="export",
        kind=job_pb2.JOB_KIND_SNAPSHOT,
        target=f"{request.dataset.name}/versions/{request.number}",
        request_id=_job_request_id(request.uid, request.number),
        after_failure=after_failure,
        owner=request.dataset.name.split("/")[1],
    )


async def begin_snapshot(request: export_pb2.SnapshotVersionRequest, *, after_failure: bool = False) -> None:
    """The same. Where it cannot be, the version is there all the same, and `keep_snapshots` does it later."""
    try:
        await start_snapshot(request, after_failure=after_failure)
    except ServiceError as error:
        logger().warning("snapshot not begun", dataset=request.uid, version=request.number, error=str(error))


async def keep_snapshots(catalogue: Catalogue, stop: asyncio.Event) -> None:
    """Begins every hour the snapshots that should be there and are not."""

    async def begin() -> None:
        for request in await asyncio.to_thread(missing_snapshots, catalogue, now() - LATE):
            await begin_snapshot(request, after_failure=True)

    await hourly(FIRST_SECONDS, "snapshots are not looked after", begin, stop)


def missing_snapshots(catalogue: Catalogue, before: datetime) -> list[export_pb2.SnapshotVersionRequest]:
    """What the jobs are to do whose snapshots are not there, of versions made before that time."""
    query = select(DatasetRow, VersionRow).where(VersionRow.dataset == DatasetRow.uid)
    late = query.where(VersionRow.snapshot_size.is_(None), VersionRow.create_time < before)
    with catalogue.session() as session:
        return [_snapshot_request(dataset, version) for dataset, version in session.execute(late)]


def _snapshot_request(dataset: DatasetRow, version: VersionRow) -> export_pb2.SnapshotVersionRequest:
    request = export_pb2.SnapshotVersionRequest(uid=dataset.uid, number=version.number)
    request.dataset.name = f"users/{dataset.user}/datasets/{dataset.slug}"
    request.dataset.uid = dataset.uid
    request.dataset.display_name = dataset.display_name
    request.dataset.description = version.description or dataset.description
    request.dataset.license = dataset.license
    request.dataset.task = dataset.task  # type: ignore[assignment]  # a number of the enum
    request.dataset.image_bytes = version.image_bytes
    request.dataset.version = version.number
    request.dataset.create_time.FromDatetime(dataset.create_time)
    request.dataset.update_time.FromDatetime(version.create_time)
    request.table.CopyFrom(datasets.table_of(dataset))
    request.table.key, request.table.version = version.table_key, version.table_version
    request.table.image_count, request.table.annotation_count = version.image_count, version.annotation_count
    return request


def _tag(request: export_pb2.SnapshotVersionRequest) -> None:
    from framehouse.store.tables import tag

    tag(request.table.key, request.table.version, f"v{request.number}")


def _request_id(row: VersionRow) -> str:
    return _job_request_id(row.dataset, row.number)


def _job_request_id(uid: str, number: int) -> str:
    return f"snapshot-{uid}-{number}"
