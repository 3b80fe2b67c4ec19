"""The servicer of `DatasetService`: what the catalogue says of datasets."""

import asyncio
import contextlib
from datetime import timedelta
from weakref import WeakValueDictionary

from google.protobuf import empty_pb2
from sqlalchemy import exists, select
from sqlalchemy.exc import IntegrityError

from framehouse.runtime.access import may_read
from framehouse.runtime.config import settings
from framehouse.runtime.errors import AlreadyExists, InvalidArgument, NotFound
from framehouse.v1 import dataset_pb2, ingest_pb2
from services.ingest.catalogue import Catalogue, DatasetRow, now
from services.ingest.heads import enter, measure
from services.ingest.names import dataset_parts

TAKEN = "choose another name, or delete it first"
ADDING = "choose another name, delete it first, or say how to add to it (--add)"
"""What else can be done where images are imported."""


class DatasetService:
    """Everything that is asked of datasets."""

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
        from services.ingest.browsing import list_datasets

        return await asyncio.to_thread(list_datasets, self._catalogue, request)

    async def DeleteDataset(self, request: dataset_pb2.DeleteDatasetRequest) -> dataset_pb2.Dataset:
        from services.ingest.trash import discard

        return await asyncio.to_thread(discard, self._catalogue, request)

    async def CreateDataset(self, request: dataset_pb2.CreateDatasetRequest) -> dataset_pb2.Dataset:
        from services.ingest.describing import create

        return await asyncio.to_thread(create, self._catalogue, request)

    async def UpdateDataset(self, request: dataset_pb2.UpdateDatasetRequest) -> dataset_pb2.Dataset:
        from services.ingest.describing import change

        return await asyncio.to_thread(change, self._catalogue, request)

    async def CloneDataset(self, request: dataset_pb2.CloneDatasetRequest) -> dataset_pb2.Dataset:
        from services.ingest.cloning import clone

        return await asyncio.to_thread(clone, self._catalogue, request)

    async def StarDataset(self, request: dataset_pb2.StarDatasetRequest) -> dataset_pb2.Dataset:
        from services.ingest.describing import star

        return await asyncio.to_thread(star, self._catalogue, request)

    async def RestoreDataset(self, request: dataset_pb2.RestoreDatasetRequest) -> dataset_pb2.Dataset:
        from services.ingest.trash import restore

        return await asyncio.to_thread(restore, self._catalogue, request)

    async def PurgeDataset(self, request: dataset_pb2.PurgeDatasetRequest) -> empty_pb2.Empty:
        from services.ingest.trash import purge

        await asyncio.to_thread(purge, self._catalogue, request)
        return empty_pb2.Empty()

    async def UpdateAnnotations(self, request: dataset_pb2.UpdateAnnotationsRequest) -> dataset_pb2.Image:
        from services.ingest.annotating import update_annotations

        async with self._turn(request.image.partition("/images/")[0]):
            return await asyncio.to_thread(update_annotations, self._catalogue, request)

    async def ListRemovals(self, request: dataset_pb2.ListRemovalsRequest) -> dataset_pb2.ListRemovalsResponse:
        from services.ingest.removals import list_removals

        return await asyncio.to_thread(list_removals, self._catalogue, request)

    async def RestoreImages(self, request: dataset_pb2.RestoreImagesRequest) -> dataset_pb2.ChangeImagesResponse:
        from services.ingest.restoring import restore_images

        async with self._turn(request.parent):
            return await asyncio.to_thread(restore_images, self._catalogue, request)

    async def ListClasses(self, request: dataset_pb2.ListClassesRequest) -> dataset_pb2.ListClassesResponse:
        from services.ingest.classes import list_classes

        return await asyncio.to_thread(list_classes, self._catalogue, request)

    async def ChangeClasses(self, request: dataset_pb2.ChangeClassesRequest) -> dataset_pb2.ChangeClassesResponse:
        from services.ingest.classes import change_classes

        async with self._turn(request.parent):
            return await asyncio.to_thread(change_classes, self._catalogue, request)

    async def CreateVersion(self, request: dataset_pb2.CreateVersionRequest) -> dataset_pb2.Version:
        from services.ingest import versions

        version, snapshot = await asyncio.to_thread(versions.create, self._catalogue, request)
        await versions.begin_snapshot(snapshot)
        return versions.message(request.parent, version)

    async def GetVersion(self, request: dataset_pb2.GetVersionRequest) -> dataset_pb2.Version:
        from services.ingest import versions

        return await asyncio.to_thread(versions.get, self._catalogue, request.name)

    async def ListVersions(self, request: dataset_pb2.ListVersionsRequest) -> dataset_pb2.ListVersionsResponse:
        from services.ingest import versions

        return await asyncio.to_thread(versions.list_versions, self._catalogue, request)

    async def UpdateVersion(self, request: dataset_pb2.UpdateVersionRequest) -> dataset_pb2.Version:
        from services.ingest import versions

        return await asyncio.to_thread(versions.describe, self._catalogue, request)

    async def CompareVersions(self, request: dataset_pb2.CompareVersionsRequest) -> dataset_pb2.CompareVersionsResponse:
        from services.ingest.comparing import compare_versions

        return await asyncio.to_thread(compare_versions, self._catalogue, request)

    async def RestoreVersion(self, request: dataset_pb2.RestoreVersionRequest) -> dataset_pb2.Dataset:
        from services.ingest import versions

        async with self._turn(request.name.partition("/versions/")[0]):
            return await asyncio.to_thread(versions.restore, self._catalogue, request)

    async def SelectImages(self, request: dataset_pb2.SelectImagesRequest) -> dataset_pb2.SelectImagesResponse:
        from services.ingest.selecting import select_images

        return await asyncio.to_thread(select_images, self._catalogue, request)

    async def RecordSnapshot(self, request: dataset_pb2.RecordSnapshotRequest) -> dataset_pb2.Version:
        from services.ingest import versions

        return await asyncio.to_thread(versions.record, self._catalogue, request)

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
        from services.ingest import versions

        row = await asyncio.to_thread(find, self._catalogue, request.dataset, "dataset")
        return await asyncio.to_thread(versions.resolve, self._catalogue, row, request.version)


def find(catalogue: Catalogue, name: str, field: str = "name") -> DatasetRow:
    """The dataset of that name, or `NOT_FOUND`, as the private ones of others are."""
    user, slug = dataset_parts(name, field)
    with catalogue.session() as session:
        row = session.scalar(select(DatasetRow).filter_by(user=user, slug=slug, delete_time=None))
        if row is not None and not may_read(user, public=row.public):
            row = None
        if row is None:
            lies = exists().where(DatasetRow.user == user, DatasetRow.slug == slug)
            in_trash = may_read(user) and session.scalar(select(lies))
    if row is None:
        remedy = (
            "it is in the trash, and RestoreDataset takes it out" if in_trash else "ListDatasets lists what there is"
        )
        raise NotFound("dataset", name, remedy)
    return row


def refuse_taken(catalogue: Catalogue, name: str, remedy: str = TAKEN) -> None:
    """`ALREADY_EXISTS` where a dataset has that name."""
    with contextlib.suppress(NotFound):
        find(catalogue, name)
        raise AlreadyExists("dataset", name, remedy)


def table_of(row: DatasetRow) -> dataset_pb2.Table:
    """The head of a dataset's table."""
    return dataset_pb2.Table(
        key=row.table_key,
        version=row.table_version,
        image_count=row.image_count,
        annotation_count=row.annotation_count,
        source_format=row.source_format,
        task=row.task,  # type: ignore[arg-type]  # a number of the enum
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
            summary = ingest_pb2.AddSummary(added_count=row.image_count)
            enter(session, request.uid, row.uid, request.tag, summary, head)
            session.refresh(row)
    except IntegrityError:
        with catalogue.session() as session:
            if (there := session.get(DatasetRow, request.uid)) is not None:
                return message(there)
        raise AlreadyExists("dataset", request.name, ADDING) from None
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
        description=row.description,
        license=row.license,
        license_locked=row.license_locked,
        visibility=dataset_pb2.VISIBILITY_PUBLIC if row.public else dataset_pb2.VISIBILITY_PRIVATE,
        task=row.task,  # type: ignore[arg-type]  # a number of the enum
        star_count=row.star_count,
        starred=row.starred,
        cloned_from=row.cloned_from,
        version=row.newest_version,
    )
    if row.delete_time is not None:
        dataset.delete_time.FromDatetime(row.delete_time)
        dataset.purge_time.FromDatetime(row.delete_time + timedelta(seconds=settings().trash_seconds))
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


def page_size(asked: int) -> int:
    """The page size for one asked: 100 for 0, at most 1000."""
    if asked < 0:
        raise InvalidArgument("page_size is negative", field="page_size")
    return min(asked or 100, 1000)
