"""Datasets as a whole: listed, made, described, cloned, starred, put into the trash and taken out of it, measured."""

from collections.abc import Mapping, Sequence

from google.protobuf import empty_pb2

from framehouse.client.errors import InvalidArgument
from framehouse.client.options import TASKS, one_of
from framehouse.client.suite import Suite
from framehouse.v1 import annotation_pb2, dataset_pb2, statistics_pb2

VISIBILITIES: Mapping[str, dataset_pb2.Visibility] = {
    "": dataset_pb2.VISIBILITY_UNSPECIFIED,
    "private": dataset_pb2.VISIBILITY_PRIVATE,
    "public": dataset_pb2.VISIBILITY_PUBLIC,
}


async def list_datasets(
    suite: Suite, filter: str = "", order_by: str = "", *, user: str = "", trash: bool = False
) -> list[dataset_pb2.Dataset]:
    """The datasets of a user, newest first unless another order is said; `user` is `-` for all users.

    `trash`: those in the trash instead. Filters and orders are told of in `docs/catalogue.md`.
    """
    found: list[dataset_pb2.Dataset] = []
    request = dataset_pb2.ListDatasetsRequest(
        parent=suite.names.user(user), filter=filter, order_by=order_by, trash=trash, page_size=1000
    )
    async for page in suite.pages("DatasetService/ListDatasets", request, dataset_pb2.ListDatasetsResponse):
        found.extend(page.datasets)
    return found


async def get_dataset(suite: Suite, name: str) -> dataset_pb2.Dataset:
    """One dataset."""
    request = dataset_pb2.GetDatasetRequest(name=suite.names.dataset(name))
    return await suite.call("DatasetService/GetDataset", request, dataset_pb2.Dataset)


async def create_dataset(
    suite: Suite,
    name: str,
    *,
    display_name: str = "",
    description: str = "",
    license: str = "",
    visibility: str = "",
    task: str = "",
    labels: Sequence[str] = (),
) -> dataset_pb2.Dataset:
    """Makes a dataset without images, which imports add to. The rest is as `update_dataset` says."""
    parent, _, dataset_id = suite.names.dataset(name).partition("/datasets/")
    dataset = dataset_pb2.Dataset(
        display_name=display_name,
        description=description,
        license=license,
        visibility=one_of("visibility", visibility, VISIBILITIES),
        task=one_of("task", task, TASKS),
        labels=annotation_pb2.LabelSchema(labels=[annotation_pb2.Label(name=label) for label in labels]),
    )
    request = dataset_pb2.CreateDatasetRequest(parent=parent, dataset_id=dataset_id, dataset=dataset)
    return await suite.call("DatasetService/CreateDataset", request, dataset_pb2.Dataset)


async def update_dataset(
    suite: Suite,
    name: str,
    *,
    display_name: str | None = None,
    description: str | None = None,
    license: str | None = None,
    visibility: str | None = None,
    task: str | None = None,
    etag: str = "",
) -> dataset_pb2.Dataset:
    """Changes what a dataset says of itself, as far as it is given; with `etag` only if it is still what was read.

    `license`: as in `docs/catalogue.md`, empty for none. `visibility`: `private` or `public`. `task`: `detect`,
    `segment`, `semantic`, `pose`, `obb`, `classify`, or `all`.
    """
    texts = {"display_name": display_name, "description": description, "license": license}
    numbers = {
        "visibility": None if visibility is None else one_of("visibility", visibility, VISIBILITIES),
        "task": None if task is None else one_of("task", task, TASKS),
    }
    request = dataset_pb2.UpdateDatasetRequest(dataset=dataset_pb2.Dataset(name=suite.names.dataset(name), etag=etag))
    for field, value in (*texts.items(), *numbers.items()):
        if value is not None:
            setattr(request.dataset, field, value)
            request.update_mask.paths.append(field)
    if not request.update_mask.paths:
        raise InvalidArgument("there is no change", remedy="say what is to be changed")
    return await suite.call("DatasetService/UpdateDataset", request, dataset_pb2.Dataset)


async def clone_dataset(suite: Suite, source: str, name: str = "") -> dataset_pb2.Dataset:
    """Makes a dataset of another one, or of a version of it (`ann/cars@3`), by reference.

    Its name is that of the source, as one of the local user's, unless another one is given.
    """
    full, version = suite.names.versioned(source)
    parent, _, dataset_id = suite.names.dataset(name or full.rpartition("/")[2]).partition("/datasets/")
    request = dataset_pb2.CloneDatasetRequest(source=full, version=version, parent=parent, dataset_id=dataset_id)
    return await suite.call("DatasetService/CloneDataset", request, dataset_pb2.Dataset)


async def star_dataset(suite: Suite, name: str, *, remove: bool = False) -> dataset_pb2.Dataset:
    """Marks a dataset as one that the caller likes, or takes the mark away."""
    request = dataset_pb2.StarDatasetRequest(name=suite.names.dataset(name), remove=remove)
    return await suite.call("DatasetService/StarDataset", request, dataset_pb2.Dataset)


async def delete_dataset(suite: Suite, name: str, etag: str = "") -> dataset_pb2.Dataset:
    """Moves a dataset to the trash; with `etag` only if it is still the one that was read.

    The answer's `uid` is what `restore_dataset` and `purge_dataset` know it by.
    """
    request = dataset_pb2.DeleteDatasetRequest(name=suite.names.dataset(name), etag=etag)
    return await suite.call("DatasetService/DeleteDataset", request, dataset_pb2.Dataset)


async def restore_dataset(suite: Suite, uid: str, name: str = "", *, user: str = "") -> dataset_pb2.Dataset:
    """Takes a dataset of a user out of the trash, under the name that it had or, where that is taken, another."""
    request = dataset_pb2.RestoreDatasetRequest(parent=suite.names.user(user), uid=uid, dataset_id=name)
    return await suite.call("DatasetService/RestoreDataset", request, dataset_pb2.Dataset)


async def purge_dataset(suite: Suite, uid: str, *, user: str = "") -> None:
    """Removes a dataset of a user's trash for ever."""
    request = dataset_pb2.PurgeDatasetRequest(parent=suite.names.user(user), uid=uid)
    await suite.call("DatasetService/PurgeDataset", request, empty_pb2.Empty)


async def statistics(suite: Suite, name: str) -> statistics_pb2.Statistics:
    """The numbers of a dataset."""
    request = statistics_pb2.GetStatisticsRequest(name=suite.names.dataset(name))
    return await suite.call("StatisticsService/GetStatistics", request, statistics_pb2.Statistics)
