"""The servicer of `DatasetService`: what the catalogue says of datasets."""

import asyncio
import base64
import contextlib
import json
from datetime import datetime
from weakref import WeakValueDictionary

from google.protobuf import empty_pb2
from sqlalchemy import delete, select, tuple_
from sqlalchemy.exc import IntegrityError

from framehouse.runtime.errors import Aborted, AlreadyExists, InvalidArgument, NotFound
from framehouse.store.bucket import bucket
from framehouse.v1 import dataset_pb2, ingest_pb2
from services.ingest.catalogue import Catalogue, DatasetRow, ImportRow, now
from services.ingest.heads import enter, measure
from services.ingest.names import dataset_parts, user_of
from services.ingest.references import release

TAKEN = "choose another name, delete it first, or say how to add to it (--add)"


class DatasetService:
    """Reads and removes datasets."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def _turn(self, name: str) -> asyncio.Lock:
        """What those who change a dataset in this process hold one after the other, so that none works in vain."""
        return self._turns.setdefault(name, asyncio.Lock())

    async def GetDataset(self, request: dataset_pb2.GetDatasetRequest) -> dataset_pb2.Dataset:
        row = await asyncio.to_thread(find, self._catalogue, request.name)
        return message(row)

    async def ListDatasets(self, request: dataset_pb2.ListDatasetsRequest) -> dataset_pb2.ListDatasetsResponse:
        return await asyncio.to_thread(_list, self._catalogue, request)

    async def DeleteDataset(self, request: dataset_pb2.DeleteDatasetRequest) -> dataset_pb2.Dataset:
        await asyncio.to_thread(_delete, self._catalogue, request)
        return dataset_pb2.Dataset(name=request.name)

    async def CreateDataset(self, request: dataset_pb2.CreateDatasetRequest) -> dataset_pb2.Dataset:
        raise NotImplementedError("not built yet")

    async def UpdateDataset(self, request: dataset_pb2.UpdateDatasetRequest) -> dataset_pb2.Dataset:
        raise NotImplementedError("not built yet")

    async def CloneDataset(self, request: dataset_pb2.CloneDatasetRequest) -> dataset_pb2.Dataset:
        raise NotImplementedError("not built yet")

    async def StarDataset(self, request: dataset_pb2.StarDatasetRequest) -> dataset_pb2.Dataset:
        raise NotImplementedError("not built yet")

    async def RestoreDataset(self, request: dataset_pb2.RestoreDatasetRequest) -> dataset_pb2.Dataset:
        raise NotImplementedError("not built yet")

    async def PurgeDataset(self, request: dataset_pb2.PurgeDatasetRequest) -> empty_pb2.Empty:
        raise NotImplementedError("not built yet")

    async def UpdateAnnotations(self, request: dataset_pb2.UpdateAnnotationsRequest) -> dataset_pb2.Image:
        raise NotImplementedError("not built yet")

    async def ListRemovals(self, request: dataset_pb2.ListRemovalsRequest) -> dataset_pb2.ListRemovalsResponse:
        raise NotImplementedError("not built yet")

    async def RestoreImages(self, request: dataset_pb2.RestoreImagesRequest) -> dataset_pb2.ChangeImagesResponse:
        raise NotImplementedError("not built yet")

    async def ListClasses(self, request: dataset_pb2.ListClassesRequest) -> dataset_pb2.ListClassesResponse:
        raise NotImplementedError("not built yet")

    async def ChangeClasses(self, request: dataset_pb2.ChangeClassesRequest) -> dataset_pb2.ChangeClassesResponse:
        raise NotImplementedError("not built yet")

    async def CreateVersion(self, request: dataset_pb2.CreateVersionRequest) -> dataset_pb2.Version:
        raise NotImplementedError("not built yet")

    async def GetVersion(self, request: dataset_pb2.GetVersionRequest) -> dataset_pb2.Version:
        raise NotImplementedError("not built yet")

    async def ListVersions(self, request: dataset_pb2.ListVersionsRequest) -> dataset_pb2.ListVersionsResponse:
        raise NotImplementedError("not built yet")

    async def UpdateVersion(self, request: dataset_pb2.UpdateVersionRequest) -> dataset_pb2.Version:
        raise NotImplementedError("not built yet")

    async def CompareVersions(self, request: dataset_pb2.CompareVersionsRequest) -> dataset_pb2.CompareVersionsResponse:
        raise NotImplementedError("not built yet")

    async def RestoreVersion(self, request: dataset_pb2.RestoreVersionRequest) -> dataset_pb2.Dataset:
        raise NotImplementedError("not built yet")

    async def SelectImages(self, request: dataset_pb2.SelectImagesRequest) -> dataset_pb2.SelectImagesResponse:
        raise NotImplementedError("not built yet")

    async def RecordSnapshot(self, request: dataset_pb2.RecordSnapshotRequest) -> dataset_pb2.Version:
        raise NotImplementedError("not built yet")

    async def GetImage(self, request: dataset_pb2.GetImageRequest) -> dataset_pb2.Image:
        from services.ingest.images import get_image

        return await asyncio.to_thread(get_image, self._catalogue, request)

    async def ListImages(self, request: dataset_pb2.ListImagesRequest) -> dataset_pb2.ListImagesResponse:
        from services.ingest.listing import list_images

        return await asyncio.to_thread(list_images, self._catalogue, request)

    async def ChangeImages(self, request: dataset_pb2.ChangeImagesRequest) -> dataset_pb2.ChangeImagesResponse:
        from services.ingest.changes import change_images

        async with self._turn(request.parent):
            return await asyncio.to_thread(change_images, self._catalogue, request)

    async def RedistributeSplits(
        self, request: dataset_pb2.RedistributeSplitsRequest
    ) -> dataset_pb2.RedistributeSplitsResponse:
        from services.ingest.redistributing import redistribute

        async with self._turn(request.name):
            return await asyncio.to_thread(redistribute, self._catalogue, request)

    async def ListDuplicates(self, request: dataset_pb2.ListDuplicatesRequest) -> dataset_pb2.ListDuplicatesResponse:
        from services.ingest.duplicates import list_duplicates

        return await asyncio.to_thread(list_duplicates, self._catalogue, request)

    async def ResolveTable(self, request: dataset_pb2.ResolveTableRequest) -> dataset_pb2.Table:
        return table_of(await asyncio.to_thread(find, self._catalogue, request.dataset, "dataset"))


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
        raise AlreadyExists("dataset", name, TAKEN)


def table_of(row: DatasetRow) -> dataset_pb2.Table:
    """The head of a dataset's table."""
    return dataset_pb2.Table(
        key=row.table_key,
        version=row.table_version,
        image_count=row.image_count,
        annotation_count=row.annotation_count,
        source_format=row.source_format,
    )


def publish(catalogue: Catalogue, request: ingest_pb2.PublishDatasetRequest) -> dataset_pb2.Dataset:
    """Makes a committed table visible under a name. Called twice with one uid, the second call changes nothing."""
    user, slug = dataset_parts(request.name)
    with catalogue.session() as session:
        if (there := session.get(DatasetRow, request.uid)) is not None:
            return message(there)
    head = measure(request.table.key, request.table.version)
    time = now()
    row = DatasetRow(
        uid=request.uid,
        user=user,
        slug=slug,
        display_name=request.display_name or slug,
        table_key=request.table.key,
        source_format=request.table.source_format,
        create_time=time,
        **head.values(request.issues),
        update_time=time,
        revision=1,
    )
    try:
        with catalogue.session() as session:
            session.add(row)
            enter(session, request.uid, row.uid, ingest_pb2.AddSummary(added_count=row.image_count), head)
    except IntegrityError:
        with catalogue.session() as session:
            if (there := session.get(DatasetRow, request.uid)) is not None:
                return message(there)
        raise AlreadyExists("dataset", request.name, TAKEN) from None
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
        jobs = list(session.scalars(select(ImportRow.job).filter_by(dataset=row.uid)))
        session.execute(delete(ImportRow).filter_by(dataset=row.uid))
        release(session, row.table_key)
    # Packs and previews may be others' too; what nobody needs any more is collected.
    for prefix in (f"{row.table_key}/", f"statistics/{row.uid}/", *(f"imports/{job}/" for job in jobs)):
        bucket().remove_prefix(prefix)
