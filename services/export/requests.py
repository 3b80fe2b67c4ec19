"""Requests for exports: completed by their recipe, checked, and made a job."""

from google.longrunning import operations_pb2

from framehouse.runtime import channels, jobs
from framehouse.runtime.errors import InvalidArgument
from framehouse.v1 import (
    conversion_pb2,
    dataset_pb2,
    dataset_pb2_grpc,
    export_pb2,
    job_pb2,
    recipe_pb2,
    recipe_pb2_grpc,
)
from services.export.records import KEPT_LONGEST

LEAST_VOLUME = 1 << 20


async def begin(request: export_pb2.ExportDatasetRequest) -> operations_pb2.Operation:
    """Starts the job. What cannot be is refused now and not in the job, as far as it is known."""
    if request.volume_bytes and request.volume_bytes < LEAST_VOLUME:
        raise InvalidArgument(
            f"volume_bytes is {request.volume_bytes:,}; a volume has {LEAST_VOLUME:,} bytes or more, and 0 is for one "
            "archive",
            field="volume_bytes",
        )
    longest = int(KEPT_LONGEST.total_seconds())
    if not 0 <= request.keep_seconds <= longest:
        raise InvalidArgument(
            f"keep_seconds is {request.keep_seconds:,}; an export is kept for {longest:,} seconds at most",
            field="keep_seconds",
        )
    ingest = channels.connect("ingest")
    asked = export_pb2.ExportDatasetRequest()
    asked.CopyFrom(request)
    if request.recipe:
        recipes = recipe_pb2_grpc.RecipeServiceStub(ingest)
        recipe = await recipes.GetRecipe(recipe_pb2.GetRecipeRequest(name=request.recipe), timeout=30)
        asked.write.CopyFrom(laid_over(recipe.write, request.write))
    if not asked.write.format:
        raise InvalidArgument("no format is named; ListFormats has the list", field="write.format")
    datasets = dataset_pb2_grpc.DatasetServiceStub(ingest)
    resolve = dataset_pb2.ResolveTableRequest(dataset=request.dataset, version=request.version)
    await datasets.ResolveTable(resolve, timeout=30)
    job = await jobs.start(
        "ExportDataset",
        asked,
        queue="export",
        kind=job_pb2.JOB_KIND_EXPORT,
        target=request.dataset,
        request_id=request.request_id,
    )
    return operations_pb2.Operation(name=job)


def laid_over(below: conversion_pb2.WriteOptions, above: conversion_pb2.WriteOptions) -> conversion_pb2.WriteOptions:
    """Options with what others say in their place, field by field: what these leave unset or empty stays."""
    options = conversion_pb2.WriteOptions()
    options.CopyFrom(below)
    for field, _ in above.ListFields():
        options.ClearField(field.name)
    options.MergeFrom(above)
    return options
