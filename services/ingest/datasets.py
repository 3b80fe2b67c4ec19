"""The servicer of `DatasetService`: what the catalogue says of datasets."""

import asyncio
import base64
import contextlib
import json
from datetime import datetime

from google.protobuf import empty_pb2
from sqlalchemy import select, tuple_
from sqlalchemy.exc import IntegrityError

from framehouse.annotations.splits import split_rank
from framehouse.runtime.errors import Aborted, AlreadyExists, InvalidArgument, NotFound
from framehouse.store.bucket import bucket
from framehouse.v1 import dataset_pb2, ingest_pb2
from services.ingest.catalogue import Catalogue, DatasetRow, now
from services.ingest.names import dataset_parts, user_of


class DatasetService:
    """Reads and removes datasets."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    async def GetDataset(self, request: dataset_pb2.GetDatasetRequest) -> dataset_pb2.Dataset:
        row = await asyncio.to_thread(find, self._catalogue, request.name)
        return message(row)

    async def ListDatasets(self, request: dataset_pb2.ListDatasetsRequest) -> dataset_pb2.ListDatasetsResponse:
        return await asyncio.to_thread(_list, self._catalogue, request)

    async def DeleteDataset(self, request: dataset_pb2.DeleteDatasetRequest) -> empty_pb2.Empty:
        await asyncio.to_thread(_delete, self._catalogue, request)
        return empty_pb2.Empty()

    async def ResolveTable(self, request: dataset_pb2.ResolveTableRequest) -> dataset_pb2.Table:
        row = await asyncio.to_thread(find, self._catalogue, request.dataset, "dataset")
        return dataset_pb2.Table(
            key=row.table_key,
            version=row.table_version,
            image_count=row.image_count,
            annotation_count=row.annotation_count,
            source_format=row.source_format,
        )


def find(catalogue: Catalogue, name: str, field: str = "name") -> DatasetRow:
    """The dataset of that name, or `NOT_FOUND`."""
    user, slug = dataset_parts(name, field)
    with catalogue.session() as session:
        row = session.scalar(select(DatasetRow).filter_by(user=user, slug=slug))
    if row is None:
        raise NotFound("dataset", name, "list the datasets there are with ListDatasets")
    return row


def refuse_taken(catalogue: Catalogue, name: str) -> None:
    """`ALREADY_EXISTS` where a dataset has that name."""
    with contextlib.suppress(NotFound):
        find(catalogue, name)
        raise AlreadyExists("dataset", name, "choose another name, or delete it first")


def publish(catalogue: Catalogue, request: ingest_pb2.PublishDatasetRequest) -> dataset_pb2.Dataset:
    """Makes a committed table visible under a name. Called twice with one uid, the second call changes nothing."""
    import pyarrow.compute as pc

    from framehouse.annotations.labels import labels_of
    from framehouse.store.tables import open_table

    user, slug = dataset_parts(request.name)
    table = open_table(request.table.key, request.table.version)
    columns = table.to_table(columns=["split", "bytes"])
    counts = {pair["values"]: pair["counts"] for pair in columns["split"].value_counts().to_pylist()}
    summary = dataset_pb2.Dataset(labels=labels_of(table.schema), issues=request.issues)
    for split in sorted(counts, key=split_rank):
        summary.splits.add(split=split, image_count=counts[split])
    time = now()
    row = DatasetRow(
        uid=request.uid,
        user=user,
        slug=slug,
        display_name=request.display_name or slug,
        table_key=request.table.key,
        table_version=request.table.version,
        image_count=request.table.image_count,
        annotation_count=request.table.annotation_count,
        image_bytes=pc.sum(columns["bytes"]).as_py() or 0,
        source_format=request.table.source_format,
        summary=summary.SerializeToString(),
        create_time=time,
        update_time=time,
        revision=1,
    )
    try:
        with catalogue.session() as session:
            if (there := session.get(DatasetRow, request.uid)) is not None:
                return message(there)
            session.add(row)
    except IntegrityError:
        raise AlreadyExists("dataset", request.name, "choose another name, or delete it first") from None
    return message(row)


def message(row: DatasetRow) -> dataset_pb2.Dataset:
    """A row as the contract shows it."""
    dataset = dataset_pb2.Dataset(
        name=f"users/{row.user}/datasets/{row.slug}",
        uid=row.uid,
        display_name=row.display_name,
        image_count=row.image_count,
        annotation_count=row.annotation_count,
        image_bytes=row.image_bytes,
        source_format=row.source_format,
        etag=f'"{row.uid[:8]}-{row.revision}"',
    )
    dataset.MergeFromString(row.summary)
    dataset.create_time.FromDatetime(row.create_time)
    dataset.update_time.FromDatetime(row.update_time)
    dataset.missing.extend(_missing(dataset))
    dataset.state = dataset_pb2.DATASET_STATE_INCOMPLETE if dataset.missing else dataset_pb2.DATASET_STATE_READY
    return dataset


def _missing(dataset: dataset_pb2.Dataset) -> list[str]:
    """What a dataset needs before a model can be trained on it."""
    splits = {split.split for split in dataset.splits if split.image_count}
    needs = {
        "an image in the split train": "train" in splits,
        "an image in the split val or test": bool(splits & {"val", "test"}),
        "an annotated image": dataset.annotation_count > 0,
        "a second image": dataset.image_count > 1,
    }
    return [need for need, met in needs.items() if not met]


def _list(catalogue: Catalogue, request: dataset_pb2.ListDatasetsRequest) -> dataset_pb2.ListDatasetsResponse:
    size = page_size(request.page_size)
    query = select(DatasetRow).filter_by(user=user_of(request.parent))
    if request.page_token:
        query = query.where(tuple_(DatasetRow.create_time, DatasetRow.uid) < _decode(request.page_token))
    query = query.order_by(DatasetRow.create_time.desc(), DatasetRow.uid.desc()).limit(size + 1)
    with catalogue.session() as session:
        rows = list(session.scalars(query))
    response = dataset_pb2.ListDatasetsResponse(datasets=[message(row) for row in rows[:size]])
    if len(rows) > size:
        last = rows[size - 1]
        response.next_page_token = _encode(last.create_time, last.uid)
    return response


def page_size(asked: int) -> int:
    """The page size for one asked: 100 for 0, at most 1000."""
    if asked < 0:
        raise InvalidArgument("page_size is negative", field="page_size")
    return min(asked or 100, 1000)


def _encode(time: datetime, uid: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([time.isoformat(), uid]).encode()).decode()


def _decode(token: str) -> tuple[datetime, str]:
    try:
        time, uid = json.loads(base64.urlsafe_b64decode(token))
        return datetime.fromisoformat(time), str(uid)
    except (ValueError, TypeError):
        raise InvalidArgument("page_token is not one of ours; start again without it", field="page_token") from None


def _delete(catalogue: Catalogue, request: dataset_pb2.DeleteDatasetRequest) -> None:
    row = find(catalogue, request.name)
    with catalogue.session() as session:
        if request.etag and request.etag != message(row).etag:
            raise Aborted(f"{request.name} has changed; read it again", reason="ETAG_STALE")
        session.delete(row)
    for prefix in (f"{row.table_key}/", f"derived/{row.uid}/", f"statistics/{row.uid}/", f"imports/{row.uid}/"):
        bucket().remove_prefix(prefix)
