"""Which process serves which gRPC service, on which port, and which methods a client may call."""

from collections.abc import Iterator
from functools import cache
from typing import Any

from google.api import annotations_pb2
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

PORTS = {"gateway": 50050, "ingest": 50051, "media": 50052, "conversion": 50053, "statistics": 50054, "export": 50055}
"""Usual gRPC port of each process; its name is also its Temporal task queue."""

OWNERS = {
    "framehouse.v1.DatasetService": "ingest",
    "framehouse.v1.IngestService": "ingest",
    "framehouse.v1.JobService": "ingest",
    "framehouse.v1.KeyService": "ingest",
    "framehouse.v1.RecipeService": "ingest",
    "framehouse.v1.MediaService": "media",
    "framehouse.v1.ConversionService": "conversion",
    "framehouse.v1.StatisticsService": "statistics",
    "framehouse.v1.ExportService": "export",
}
"""The process that serves each gRPC service."""

JOB_OWNER = "FramehouseOwner"
"""The job server's search attribute, a keyword, that holds the user to whom a job belongs."""


@cache
def services() -> dict[str, ServiceDescriptor]:
    """Descriptors of all our gRPC services by full name."""
    from framehouse.v1 import (
        conversion_pb2,
        dataset_pb2,
        export_pb2,
        ingest_pb2,
        job_pb2,
        key_pb2,
        media_pb2,
        recipe_pb2,
        statistics_pb2,
    )

    files = (
        dataset_pb2,
        ingest_pb2,
        job_pb2,
        key_pb2,
        recipe_pb2,
        media_pb2,
        conversion_pb2,
        statistics_pb2,
        export_pb2,
    )
    return {service.full_name: service for file in files for service in file.DESCRIPTOR.services_by_name.values()}


def is_client_facing(method: MethodDescriptor) -> bool:
    """Whether clients may call it through the gateway: exactly the methods with a `google.api.http` rule."""
    return bool(method.GetOptions().HasExtension(annotations_pb2.http))


def scope_of(method: MethodDescriptor) -> int:
    """The `Scope` that clients need to call it: the one that its contract names; else to read for GET, to write for all
    other verbs."""
    from framehouse.v1 import key_pb2

    options = method.GetOptions()
    scope: Any = key_pb2.scope
    if options.HasExtension(scope):
        return int(options.Extensions[scope])
    return key_pb2.SCOPE_READ if options.Extensions[annotations_pb2.http].get else key_pb2.SCOPE_WRITE


def methods() -> Iterator[tuple[str, MethodDescriptor]]:
    """Every method with its path, `/framehouse.v1.DatasetService/GetDataset`."""
    for service in services().values():
        for method in service.methods:
            yield f"/{service.full_name}/{method.name}", method
