"""Formats: which there are, what they cannot hold, and archives turned from one into another."""

import uuid
from pathlib import Path
from typing import Unpack

from google.longrunning import operations_pb2

from framehouse.client import formats, progress
from framehouse.client.methods import exports, jobs, uploads
from framehouse.client.methods.uploads import Source
from framehouse.client.options import ConvertChoices, ReadChoices, WriteChoices, read_options, write_options
from framehouse.client.progress import Report
from framehouse.client.suite import Suite
from framehouse.client.unpacking import check_target
from framehouse.v1 import conversion_pb2, ingest_pb2


async def list_formats(suite: Suite) -> list[conversion_pb2.Format]:
    """The formats and what each can hold."""
    request = conversion_pb2.ListFormatsRequest()
    answer = await suite.call("ConversionService/ListFormats", request, conversion_pb2.ListFormatsResponse)
    return list(answer.formats)


async def check_formats(suite: Suite, *, reads: str = "", writes: str = "") -> None:
    """That the formats which are named are there, before anything is sent or kept."""
    is_named = reads not in ("", "auto")
    if is_named or writes:
        known = await list_formats(suite)
        if is_named:
            formats.named(reads, [one for one in known if one.can_read])
        if writes:
            formats.named(writes, [one for one in known if one.can_write])


async def preview_loss(
    suite: Suite, name: str, format: str = "", *, recipe: str = "", **choices: Unpack[WriteChoices]
) -> conversion_pb2.PreviewLossResponse:
    """What a format cannot hold of a dataset or a version of it, and what would be done instead; writes nothing.

    `recipe`: what it is like where nothing else is said, the format too. With `strict`, `refusal` says why there
    would be no export.
    """
    dataset, version = suite.names.versioned(name)
    request = conversion_pb2.PreviewLossRequest(
        dataset=dataset,
        version=version,
        write=write_options(format, **choices),
        recipe=recipe and suite.names.recipe(recipe),
    )
    return await suite.call("ConversionService/PreviewLoss", request, conversion_pb2.PreviewLossResponse)


async def convert(
    suite: Suite,
    source: Source | ingest_pb2.Upload,
    to: str,
    out: str | Path | None = None,
    *,
    dry_run: bool = False,
    report: Report = progress.ignore,
    **choices: Unpack[ConvertChoices],
) -> conversion_pb2.ConvertArchiveResponse:
    """Turns a folder, an archive or an upload into an archive of another format, without keeping a dataset.

    `dry_run` stops when it is known what would be lost.
    """
    reading = {name: choices.pop(name) for name in ReadChoices.__annotations__ if name in choices}  # type: ignore[misc]
    read, write = read_options(**reading), write_options(to, **choices)  # type: ignore[misc]
    target = None if dry_run else check_target(out)
    if isinstance(source, ingest_pb2.Upload):
        upload = source
    else:
        await check_formats(suite, reads=read.format, writes=write.format)
        upload = await uploads.upload(suite, source, report)
    request = conversion_pb2.ConvertArchiveRequest(
        upload=upload.name,
        read=read,
        write=write,
        dry_run=dry_run,
        request_id=uuid.uuid4().hex,
    )
    job = await suite.call("ConversionService/ConvertArchive", request, operations_pb2.Operation)
    result = await jobs.result(suite, job, conversion_pb2.ConvertArchiveResponse, report)
    if target is not None:
        await exports.download(suite, result.export, target, report)
    return result
