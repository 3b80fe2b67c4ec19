"""The servicer of `MediaService`. Decoders are imported by the first call, so that an idle process is small."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

from google.api import httpbody_pb2
from google.protobuf import empty_pb2
from google.protobuf.message import Message

from framehouse.runtime import channels
from framehouse.runtime.config import settings
from framehouse.store.rows import image_parts
from framehouse.v1 import dataset_pb2, dataset_pb2_grpc, ingest_pb2, ingest_pb2_grpc, media_pb2

R = TypeVar("R")
A = TypeVar("A")

INGEST_SECONDS = 60.0
"""How long a shard waits for what ingest knows of it."""


class MediaService:
    """Probes, validates and measures images. Keeps no state."""

    async def ProcessShard(self, request: media_pb2.ProcessShardRequest) -> media_pb2.ProcessShardResponse:
        ingest = ingest_pb2_grpc.IngestServiceStub(channels.connect("ingest"))
        calls = _from_threads(ingest.LookUpContents), _from_threads(ingest.RecordContents)
        return await asyncio.to_thread(_process_shard, request, *calls)

    async def ExtractFrames(self, request: media_pb2.ExtractFramesRequest) -> media_pb2.ExtractFramesResponse:
        return await asyncio.to_thread(_extract_frames, request)

    async def ProbeImage(self, request: media_pb2.ProbeImageRequest) -> media_pb2.ProbeImageResponse:
        return await asyncio.get_running_loop().run_in_executor(_render_threads(), _probe, request)

    async def RenderImage(self, request: media_pb2.RenderImageRequest) -> httpbody_pb2.HttpBody:
        return await _in_render_thread(_render, await _table_of(request.name), request)

    async def GetThumbnail(self, request: media_pb2.GetThumbnailRequest) -> httpbody_pb2.HttpBody:
        return await _in_render_thread(_thumbnail, await _table_of(request.name), request)


def _from_threads(call: Callable[..., Awaitable[A]]) -> Callable[[Message], A]:
    """A call of another service for threads, which wait for its answer; the channel is the event loop's."""
    loop = asyncio.get_running_loop()

    async def answer(request: Message) -> A:
        return await call(request, timeout=INGEST_SECONDS)

    return lambda request: asyncio.run_coroutine_threadsafe(answer(request), loop).result()


def _process_shard(
    request: media_pb2.ProcessShardRequest,
    look_up: Callable[[Message], ingest_pb2.LookUpContentsResponse],
    record: Callable[[Message], empty_pb2.Empty],
) -> media_pb2.ProcessShardResponse:
    from framehouse.store.bucket import bucket
    from services.media.shard import process_shard

    return process_shard(bucket(), request, look_up, record)


def _probe(request: media_pb2.ProbeImageRequest) -> media_pb2.ProbeImageResponse:
    from services.media.probe import probe

    return probe(request)


def _extract_frames(request: media_pb2.ExtractFramesRequest) -> media_pb2.ExtractFramesResponse:
    from framehouse.store.bucket import bucket
    from services.media.video import extract_frames

    return extract_frames(bucket(), request)


@cache
def _render_threads() -> ThreadPoolExecutor:
    """Few, and not those of jobs: a decoded image is large, and who looks at one does not wait for an import."""
    return ThreadPoolExecutor(settings().concurrent_activities, thread_name_prefix="render")


async def _in_render_thread(
    function: Callable[[dataset_pb2.Table, R], httpbody_pb2.HttpBody], table: dataset_pb2.Table, request: R
) -> httpbody_pb2.HttpBody:
    return await asyncio.get_running_loop().run_in_executor(_render_threads(), function, table, request)


async def _table_of(image: str) -> dataset_pb2.Table:
    """The table of the dataset that an image belongs to."""
    datasets = dataset_pb2_grpc.DatasetServiceStub(channels.connect("ingest"))
    dataset, _ = image_parts(image)
    found: dataset_pb2.Table = await datasets.ResolveTable(dataset_pb2.ResolveTableRequest(dataset=dataset), timeout=30)
    return found


def _render(table: dataset_pb2.Table, request: media_pb2.RenderImageRequest) -> httpbody_pb2.HttpBody:
    from framehouse.store.bucket import bucket
    from services.media.render import render

    return render(bucket(), table, request)


def _thumbnail(table: dataset_pb2.Table, request: media_pb2.GetThumbnailRequest) -> httpbody_pb2.HttpBody:
    from framehouse.store.bucket import bucket
    from services.media.render import thumbnail

    return thumbnail(bucket(), table, request)
