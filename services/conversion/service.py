"""The servicer of `ConversionService`. Formats and Arrow are imported by the first call: an idle process is small."""

import asyncio

from google.longrunning import operations_pb2

from framehouse.runtime import channels, jobs
from framehouse.runtime.errors import InvalidArgument
from framehouse.v1 import conversion_pb2, dataset_pb2, dataset_pb2_grpc, job_pb2


class ConversionService:
    """Knows every format: tells which one an archive is in, reads it, writes it."""

    async def ListFormats(self, request: conversion_pb2.ListFormatsRequest) -> conversion_pb2.ListFormatsResponse:
        return await asyncio.to_thread(_list_formats)

    async def PreviewLoss(self, request: conversion_pb2.PreviewLossRequest) -> conversion_pb2.PreviewLossResponse:
        datasets = dataset_pb2_grpc.DatasetServiceStub(channels.connect("ingest"))
        table = await datasets.ResolveTable(dataset_pb2.ResolveTableRequest(dataset=request.dataset), timeout=30)
        return await asyncio.to_thread(_preview_loss, table, request.write)

    async def ConvertArchive(self, request: conversion_pb2.ConvertArchiveRequest) -> operations_pb2.Operation:
        if not request.write.format:
            raise InvalidArgument("no target format is named; ListFormats has the list", field="write.format")
        job = await jobs.start(
            "ConvertArchive",
            request,
            queue="ingest",
            kind=job_pb2.JOB_KIND_CONVERT,
            target=request.upload,
            request_id=request.request_id,
        )
        return operations_pb2.Operation(name=job)

    async def DetectFormat(self, request: conversion_pb2.DetectFormatRequest) -> conversion_pb2.DetectFormatResponse:
        return await asyncio.to_thread(_detect, request)

    async def PlanRead(self, request: conversion_pb2.PlanReadRequest) -> conversion_pb2.PlanReadResponse:
        return await asyncio.to_thread(_plan_read, request)

    async def ReadShard(self, request: conversion_pb2.ReadShardRequest) -> conversion_pb2.ReadShardResponse:
        return await asyncio.to_thread(_read_shard, request)

    async def PlanWrite(self, request: conversion_pb2.PlanWriteRequest) -> conversion_pb2.PlanWriteResponse:
        return await asyncio.to_thread(_plan_write, request)

    async def WriteShard(self, request: conversion_pb2.WriteShardRequest) -> conversion_pb2.WriteShardResponse:
        return await asyncio.to_thread(_write_shard, request)

    async def FinishWrite(self, request: conversion_pb2.FinishWriteRequest) -> conversion_pb2.WriteShardResponse:
        return await asyncio.to_thread(_finish_write, request)


def _list_formats() -> conversion_pb2.ListFormatsResponse:
    from services.conversion.options import described
    from services.conversion.registry import all_formats

    return conversion_pb2.ListFormatsResponse(
        formats=[
            conversion_pb2.Format(
                id=item.id,
                aliases=item.aliases,
                title=item.title,
                can_read=True,
                can_write=True,
                kinds=sorted(kind.value for kind in item.holds.kinds),  # type: ignore[misc]  # enum numbers
                attributes=item.holds.attributes,
                crowd=item.holds.crowd,
                score=item.holds.score,
                splits=sorted(item.holds.splits),
                options=described(item),
                tracks=item.holds.tracks,
                layout=item.layout,
                notes=item.notes,
            )
            for item in all_formats().values()
        ]
    )


def _preview_loss(
    source: dataset_pb2.Table, options: conversion_pb2.WriteOptions
) -> conversion_pb2.PreviewLossResponse:
    from framehouse.store.tables import open_table
    from services.conversion import writing

    format, losses = writing.preview(open_table(source.key, source.version), source.source_format, options)
    return conversion_pb2.PreviewLossResponse(format=format, losses=losses)


def _detect(request: conversion_pb2.DetectFormatRequest) -> conversion_pb2.DetectFormatResponse:
    from framehouse.store.bucket import bucket
    from services.conversion import reading

    return reading.detect(bucket(), request)


def _plan_read(request: conversion_pb2.PlanReadRequest) -> conversion_pb2.PlanReadResponse:
    from framehouse.runtime.config import settings
    from framehouse.store.bucket import bucket
    from services.conversion import reading

    return reading.plan(bucket(), settings(), request)


def _read_shard(request: conversion_pb2.ReadShardRequest) -> conversion_pb2.ReadShardResponse:
    from framehouse.store.bucket import bucket
    from services.conversion import reading

    return reading.read_part(bucket(), request)


def _plan_write(request: conversion_pb2.PlanWriteRequest) -> conversion_pb2.PlanWriteResponse:
    from framehouse.store.bucket import bucket
    from framehouse.store.tables import open_table
    from services.conversion import writing

    source = request.table
    table = open_table(source.key, source.version)
    head, losses = writing.plan(bucket(), table, source.key, source.source_format, request.options, request.output_key)
    return conversion_pb2.PlanWriteResponse(format=head.format, shard_count=len(head.shard_starts) - 1, losses=losses)


def _write_shard(request: conversion_pb2.WriteShardRequest) -> conversion_pb2.WriteShardResponse:
    from framehouse.store.bucket import bucket
    from framehouse.store.tables import open_table
    from services.conversion import writing

    file, head = writing.open_plan(bucket(), request.plan_key)
    table = open_table(head.table_key, head.table_version)
    pieces, size = writing.write_shard(bucket(), file, head, table, request.shard, request.output_key)
    return conversion_pb2.WriteShardResponse(piece_count=pieces, byte_count=size)


def _finish_write(request: conversion_pb2.FinishWriteRequest) -> conversion_pb2.WriteShardResponse:
    from framehouse.store.bucket import bucket
    from services.conversion import writing

    file, head = writing.open_plan(bucket(), request.plan_key)
    pieces, size = writing.finish(bucket(), file, head, request.output_key)
    return conversion_pb2.WriteShardResponse(piece_count=pieces, byte_count=size)
