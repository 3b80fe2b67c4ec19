"""The classes of a dataset, and their changes, which `framehouse.client.classes` makes."""

from collections.abc import Sequence

from framehouse.client.suite import Suite
from framehouse.v1 import dataset_pb2

REWRITE_SECONDS = 600.0
"""What a change may take that writes all annotations of a large dataset anew, whatever the deadline of calls."""


async def list_classes(suite: Suite, name: str) -> list[dataset_pb2.ClassCount]:
    """The classes of a dataset in their order, with counts; `cars@3` asks for those of its version 3."""
    parent, version = suite.names.versioned(name)
    request = dataset_pb2.ListClassesRequest(parent=parent, version=version)
    response = await suite.call("DatasetService/ListClasses", request, dataset_pb2.ListClassesResponse)
    return list(response.classes)


async def change_classes(
    suite: Suite, name: str, changes: Sequence[dataset_pb2.ClassChange], *, etag: str = "", validate_only: bool = False
) -> dataset_pb2.ChangeClassesResponse:
    """Changes classes, one change after the other, all or nothing; answers with what each did to how many
    annotations.

    `changes`: made by the functions of `framehouse.client.classes`. `validate_only` just says what would happen.
    """
    request = dataset_pb2.ChangeClassesRequest(
        parent=suite.names.dataset(name), changes=changes, etag=etag, validate_only=validate_only
    )
    response = dataset_pb2.ChangeClassesResponse
    return await suite.call("DatasetService/ChangeClasses", request, response, REWRITE_SECONDS)
