"""Requests to fetch an upload from elsewhere, before a job is started for them: what may be fetched, and its name."""

import asyncio

from temporalio.service import RPCError, RPCStatusCode

from framehouse.runtime import jobs
from framehouse.runtime.config import settings
from framehouse.runtime.errors import InvalidArgument
from framehouse.store.bucket import bucket
from framehouse.v1 import ingest_pb2
from services.ingest import s3_sources
from services.ingest.web import shown, url_mode

MAX_URLS = 100_000
INLINE_BYTES = 1 << 20
"""URLs of more bytes are kept in the bucket instead of with the job."""


def check(request: ingest_pb2.FetchUploadRequest) -> None:
    """Refuses what the settings do not allow, before a job is started for it."""
    match request.WhichOneof("source"):
        case "urls":
            url_mode(settings().fetch_urls)
            count = len(request.urls.urls)
            if not 0 < count <= MAX_URLS:
                raise InvalidArgument(
                    f"there are {count:,} URLs; send from 1 to {MAX_URLS:,}", field="urls", reason="URL_COUNT"
                )
        case "s3_prefix":
            s3_sources.find(request.s3_prefix)
        case _:
            raise InvalidArgument("nothing says what to fetch; send urls or s3_prefix", field="source")


def title(request: ingest_pb2.FetchUploadRequest) -> str:
    """What is fetched, in words."""
    if request.WhichOneof("source") == "s3_prefix":
        return request.s3_prefix
    urls = request.urls.urls
    return shown(urls[0]) if len(urls) == 1 else f"{len(urls):,} URLs, the first of them {shown(urls[0])}"


async def set_aside(request: ingest_pb2.FetchUploadRequest, job: str) -> ingest_pb2.FetchUploadRequest:
    """The request as the job gets it: without URLs where they are too many to be kept with it."""
    if request.urls.ByteSize() <= INLINE_BYTES:
        return request
    connection = await jobs.client()
    async with jobs.reaching_job_server():
        try:
            await connection.get_workflow_handle(job).describe()
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise
            await asyncio.to_thread(bucket().put, urls_key(f"jobs/{job}/list"), request.urls.SerializeToString())
    return ingest_pb2.FetchUploadRequest(urls=ingest_pb2.UrlList(), request_id=request.request_id)


def urls_key(list_key: str) -> str:
    """Where the URLs of a job are kept that are too many to go along with it."""
    return f"{list_key}.urls"
