"""The step `AddToDataset`: the rows of an import's table become the next version of a dataset's.

The version is made beside the head, and becomes visible by one transaction, which holds only as long as the head is the
one that the rows were merged with.
"""

from collections.abc import Iterable

from sqlalchemy import update
from sqlalchemy.exc import IntegrityError

from framehouse.runtime.errors import Aborted
from framehouse.v1 import annotation_pb2, dataset_pb2, ingest_pb2
from services.ingest.catalogue import Catalogue, DatasetRow, ImportRow, now
from services.ingest.datasets import find, message, table_of
from services.ingest.edits import pause
from services.ingest.heads import Head, enter, measure
from services.ingest.superseding import supersede

ATTEMPTS = 8
"""How often the rows are merged where others change the dataset meanwhile."""


def add(catalogue: Catalogue, request: ingest_pb2.AddToDatasetRequest) -> ingest_pb2.AddToDatasetResponse:
    """What `IngestService.AddToDataset` promises. `Aborted` where others keep changing the dataset."""
    for attempt in range(ATTEMPTS):
        if attempt:
            pause(attempt)
        row = find(catalogue, request.name)
        with catalogue.session() as session:
            done = session.get(ImportRow, request.job)
        if done is not None:
            summary = ingest_pb2.AddSummary.FromString(done.summary)
            return ingest_pb2.AddToDatasetResponse(dataset=message(row), table=table_of(row), summary=summary)
        made = _next_version(catalogue, request, row)
        if made is None:
            continue
        version, summary = made
        if _move(catalogue, request, row, measure(row.table_key, version), summary):
            row = find(catalogue, request.name)
            return ingest_pb2.AddToDatasetResponse(dataset=message(row), table=table_of(row), summary=summary)
    raise Aborted(f"{request.name} was changed by others {ATTEMPTS} times meanwhile; try again", reason="DATASET_BUSY")


def _next_version(
    catalogue: Catalogue, request: ingest_pb2.AddToDatasetRequest, row: DatasetRow
) -> tuple[int, ingest_pb2.AddSummary] | None:
    """A version of the dataset's table with the rows in it, not yet visible; None where others were faster."""
    import pyarrow as pa

    from framehouse.annotations.labels import with_labels
    from framehouse.store.tables import change, discard, open_table
    from services.ingest.merging import merge

    base = open_table(row.table_key, row.table_version)
    merged = merge(base, row.table_key, open_table(request.table.key, request.table.version), request.policy)
    labels = with_labels(pa.schema([]), merged.labels).metadata
    try:
        if find(catalogue, request.name).table_version != row.table_version:
            discard(row.table_key, merged.fragments)
            return None
        version = change(
            row.table_key,
            row.table_version,
            merged.deleted,
            merged.fragments,
            {name.decode(): text.decode() for name, text in labels.items()},
            {"framehouse.job": f"jobs/{request.job}/"},
        )
    except Aborted:
        discard(row.table_key, merged.fragments)
        return None
    except BaseException:
        discard(row.table_key, merged.fragments)
        raise
    return version, merged.summary


def _move(
    catalogue: Catalogue,
    request: ingest_pb2.AddToDatasetRequest,
    row: DatasetRow,
    head: Head,
    summary: ingest_pb2.AddSummary,
) -> bool:
    """Makes the version the head, and enters the import, unless the dataset has changed or this import was entered."""
    found = dataset_pb2.Dataset.FromString(row.summary).issues
    values = head.values(_sum((*found, *request.issues)))
    values["source_format"] = row.source_format or request.table.source_format
    if any(getattr(row, name) != value for name, value in values.items()):
        values |= {"revision": row.revision + 1, "update_time": now()}
    same = update(DatasetRow).filter_by(uid=row.uid, revision=row.revision, table_version=row.table_version)
    try:
        with catalogue.session() as session:
            moved = session.scalar(same.values(**values).returning(DatasetRow.uid)) is not None
            if moved:
                enter(session, request.job, row.uid, request.tag, summary, head)
                supersede(session, row.table_key, row.table_version, head.table_version)
    except IntegrityError:
        return False
    return moved


def _sum(counts: Iterable[annotation_pb2.IssueCount]) -> list[annotation_pb2.IssueCount]:
    """One count for each code and severity, errors first and frequent ones before rare ones."""
    sums: dict[tuple[str, annotation_pb2.Severity], int] = {}
    for one in counts:
        kind = (one.code, one.severity)
        sums[kind] = sums.get(kind, 0) + one.count
    order = sorted(sums.items(), key=lambda item: (-item[0][1], -item[1], item[0][0]))
    return [annotation_pb2.IssueCount(code=code, severity=severity, count=count) for (code, severity), count in order]
