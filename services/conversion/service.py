"""The servicer of `ConversionService`. Formats and Arrow are imported by the first call: an idle process is small."""

import asyncio
import uuid

from google.longrunning import operations_pb2

from framehouse.runtime import channels, jobs, recipes
from framehouse.runtime.errors import FailedPrecondition, InvalidArgument
from framehouse.v1 import conversion_pb2, dataset_pb2, dataset_pb2_grpc, ingest_pb2, ingest_pb2_grpc, job_pb2


class ConversionService:
    """Knows every format: tells which one an archive is in, reads it, writes it."""

    async def ListFormats(self, request: conversion_pb2.ListFormatsRequest) -> conversion_pb2.ListFormatsResponse:
        return await asyncio.to_thread(_list_formats)

    async def PreviewLoss(self, request: conversion_pb2.PreviewLossRequest) -> conversion_pb2.PreviewLossResponse:
        ingest = channels.connect("ingest")
        datasets = dataset_pb2_grpc.DatasetServiceStub(ingest)
        asked = dataset_pb2.ResolveTableRequest(dataset=request.dataset, version=request.version)
        table = await datasets.ResolveTable(asked, timeout=30)
        options = await recipes.completed(ingest, request.recipe, request.write)
        select = dataset_pb2.SelectImagesRequest(table=table, filter=options.filter)
        if request.check_only:
            format = await asyncio.to_thread(_check, table, options)
            if options.filter:
                await datasets.SelectImages(select, timeout=60)
            return conversion_pb2.PreviewLossResponse(format=format)
        if not options.filter:
            return await asyncio.to_thread(_preview_loss, table, options, "")
        select.output_key = f"jobs/preview-{uuid.uuid4().hex}/rows"
        try:
            await datasets.SelectImages(select, timeout=60)
            return await asyncio.to_thread(_preview_loss, table, options, select.output_key)
        finally:
            await asyncio.to_thread(_remove, select.output_key)

    async def ConvertArchive(self, request: conversion_pb2.ConvertArchiveRequest) -> operations_pb2.Operation:
        await asyncio.to_thread(_check_formats, request)
        # Refuses an upload that the caller has not.
        ingest = ingest_pb2_grpc.IngestServiceStub(channels.connect("ingest"))
        upload = await ingest.GetUpload(ingest_pb2.GetUploadRequest(name=request.upload), timeout=30)
        if upload.state != ingest_pb2.UPLOAD_STATE_COMPLETE:
            text = f"{request.upload} is not complete; send its parts and call CompleteUpload"
            raise FailedPrecondition(text, reason="UPLOAD_INCOMPLETE")
        if request.write.filter:
            text = "an archive is converted as a whole; import it, and export what a filter selects"
            raise InvalidArgument(text, field="write.filter")
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
    from services.conversion.registry import all_formats, written_formats

    return conversion_pb2.ListFormatsResponse(
        formats=[
            conversion_pb2.Format(
                id=item.id,
                aliases=item.aliases,
                title=item.title,
                can_read=True,
                can_write=item.id in written_formats(),
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
    source: dataset_pb2.Table, options: conversion_pb2.WriteOptions, selection_key: str
) -> conversion_pb2.PreviewLossResponse:
    from framehouse.store.bucket import bucket
    from framehouse.store.tables import open_table
    from services.conversion import writing
    from services.conversion.selection import selected_rows

    table = open_table(source.key, source.version)
    rows = selected_rows(bucket(), selection_key) if selection_key else None
    head, losses = writing.preview(table, source.source_format, options, task=source.task, rows=rows)
    return conversion_pb2.PreviewLossResponse(
        format=head.format,
        losses=losses,
        image_count=head.image_count,
        refusal=writing.refusal(head.format, losses, options),
    )


def _check(source: dataset_pb2.Table, options: conversion_pb2.WriteOptions) -> str:
    from framehouse.store.tables import open_table
    from services.conversion import writing

    return writing.check(open_table(source.key, source.version), options)


def _check_formats(request: conversion_pb2.ConvertArchiveRequest) -> None:
    from services.conversion.options import format_of
    from services.conversion.registry import lookup

    format_of(request.write)
    if request.read.format not in ("", "auto"):
        lookup(request.read.format, "read.format")


def _remove(key: str) -> None:
    from framehouse.store.bucket import bucket

    bucket().remove([key])


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
    from services.conversion.selection import selected_rows

    source = request.table
    head, losses = writing.plan(
        bucket(),
        open_table(source.key, source.version),
        source.key,
        source.source_format,
        request.options,
        request.output_key,
        task=source.task,
        rows=selected_rows(bucket(), request.selection_key) if request.selection_key else None,
        dataset=request.dataset.SerializeToString(),
    )
    return conversion_pb2.PlanWriteResponse(
        format=head.format,
        shard_count=len(head.shard_starts) - 1,
        losses=losses,
        image_count=head.image_count,
        annotation_count=head.annotation_count,
    )


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
