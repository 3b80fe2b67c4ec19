"""The servicer of `IngestService`: uploads, and the steps of the import job that need the catalogue or the tables."""

import asyncio
import json
import re
import uuid
from collections.abc import AsyncIterator

from google.longrunning import operations_pb2
from google.protobuf import empty_pb2

from framehouse.runtime import access, jobs
from framehouse.runtime.config import settings
from framehouse.runtime.errors import FailedPrecondition, InvalidArgument, NotFound
from framehouse.store.bucket import bucket
from framehouse.v1 import dataset_pb2, ingest_pb2, job_pb2
from services.ingest import adding, collecting, contents, datasets, fetch_requests, issues, references, uploads
from services.ingest.catalogue import Catalogue
from services.ingest.heads import in_use
from services.ingest.jobs import check_readable
from services.ingest.names import check_slug, check_tag, user_of
from services.ingest.stored_bytes import check_room

DISPOSABLE = re.compile(r"(jobs|derived|statistics)/[0-9a-f]{32}/|tables/[0-9a-f]{32}\.lance/|packs/[0-9a-f]{32}")


class IngestService:
    """Takes archives in and makes datasets of them."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    async def CreateUpload(self, request: ingest_pb2.CreateUploadRequest) -> ingest_pb2.Upload:
        return await asyncio.to_thread(uploads.create, self._catalogue, request)

    async def GetUpload(self, request: ingest_pb2.GetUploadRequest) -> ingest_pb2.Upload:
        return await asyncio.to_thread(uploads.get, self._catalogue, request.name)

    async def CompleteUpload(self, request: ingest_pb2.CompleteUploadRequest) -> ingest_pb2.Upload:
        return await asyncio.to_thread(uploads.complete, self._catalogue, request)

    async def AbortUpload(self, request: ingest_pb2.AbortUploadRequest) -> empty_pb2.Empty:
        await asyncio.to_thread(uploads.abort, self._catalogue, request.name)
        return empty_pb2.Empty()

    async def ImportDataset(self, request: ingest_pb2.ImportDatasetRequest) -> operations_pb2.Operation:
        access.check_user(user_of(request.parent))
        check_slug(request.dataset_id, "dataset_id")
        name = f"{request.parent}/datasets/{request.dataset_id}"
        await asyncio.to_thread(uploads.complete_key, self._catalogue, request.upload)
        if request.max_side < 0:
            raise InvalidArgument("max_side is negative; 0 normalises nothing", field="max_side")
        check_tag(request.tag)
        if request.add == ingest_pb2.ADD_POLICY_UNSPECIFIED:
            await asyncio.to_thread(datasets.refuse_taken, self._catalogue, name, datasets.ADDING)
        job = await jobs.start(
            "ImportDataset",
            request,
            queue="ingest",
            kind=job_pb2.JOB_KIND_IMPORT,
            target=name,
            request_id=request.request_id,
        )
        return operations_pb2.Operation(name=job)

    async def ListIssues(self, request: ingest_pb2.ListIssuesRequest) -> ingest_pb2.ListIssuesResponse:
        if await asyncio.to_thread(issues.is_hidden, self._catalogue, request.parent):
            # A failed import, which is known to the job server alone.
            await check_readable(request.parent)
        return await asyncio.to_thread(issues.list_issues, bucket(), request)

    async def SendUpload(self, requests: AsyncIterator[ingest_pb2.SendUploadRequest]) -> ingest_pb2.Upload:
        file_name, data = await uploads.received(requests)
        return await asyncio.to_thread(uploads.send, self._catalogue, file_name, data)

    async def FetchUpload(self, request: ingest_pb2.FetchUploadRequest) -> operations_pb2.Operation:
        await asyncio.to_thread(fetch_requests.check, request)
        # How much it will be is not known yet.
        await asyncio.to_thread(check_room, self._catalogue, 1)
        request_id = request.request_id or uuid.uuid4().hex
        job = await jobs.start(
            "FetchUpload",
            await fetch_requests.set_aside(request, jobs.job_of(request_id, access.owner())),
            queue="ingest",
            kind=job_pb2.JOB_KIND_FETCH,
            target=fetch_requests.title(request),
            request_id=request_id,
        )
        return operations_pb2.Operation(name=job)

    async def FetchFiles(self, request: ingest_pb2.FetchFilesRequest) -> ingest_pb2.FetchFilesResponse:
        return await asyncio.to_thread(_fetch, request)

    async def FinishFetch(self, request: ingest_pb2.FinishFetchRequest) -> ingest_pb2.Upload:
        return await asyncio.to_thread(_finish_fetch, self._catalogue, request)

    async def AddFrames(self, request: ingest_pb2.AddFramesRequest) -> ingest_pb2.AddFramesResponse:
        return await asyncio.to_thread(_add_frames, self._catalogue, request)

    async def AddToDataset(self, request: ingest_pb2.AddToDatasetRequest) -> ingest_pb2.AddToDatasetResponse:
        return await asyncio.to_thread(adding.add, self._catalogue, request)

    async def LookUpContents(self, request: ingest_pb2.LookUpContentsRequest) -> ingest_pb2.LookUpContentsResponse:
        return await asyncio.to_thread(contents.look_up, self._catalogue, request)

    async def RecordContents(self, request: ingest_pb2.RecordContentsRequest) -> empty_pb2.Empty:
        await asyncio.to_thread(contents.record, self._catalogue, request)
        return empty_pb2.Empty()

    async def IndexUpload(self, request: ingest_pb2.IndexUploadRequest) -> ingest_pb2.IndexUploadResponse:
        return await asyncio.to_thread(_index, self._catalogue, request)

    async def JoinShards(self, request: ingest_pb2.JoinShardsRequest) -> ingest_pb2.JoinShardsResponse:
        return await asyncio.to_thread(_join, request)

    async def CommitTable(self, request: ingest_pb2.CommitTableRequest) -> ingest_pb2.CommitTableResponse:
        return await asyncio.to_thread(_commit, request)

    async def PublishDataset(self, request: ingest_pb2.PublishDatasetRequest) -> dataset_pb2.Dataset:
        return await asyncio.to_thread(datasets.publish, self._catalogue, request)

    async def KeepIssues(self, request: ingest_pb2.KeepIssuesRequest) -> empty_pb2.Empty:
        await asyncio.to_thread(_keep_issues, request)
        return empty_pb2.Empty()

    async def CleanUpJob(self, request: ingest_pb2.CleanUpJobRequest) -> empty_pb2.Empty:
        for prefix in request.prefixes:
            if not DISPOSABLE.fullmatch(prefix):
                raise InvalidArgument(f"{prefix!r} is not a job's to remove", field="prefixes")
            await asyncio.to_thread(_clean_up, self._catalogue, prefix)
        return empty_pb2.Empty()


def _clean_up(catalogue: Catalogue, prefix: str) -> None:
    if prefix.startswith("packs/"):  # of a job that fetched; the upload is named by the job
        uploads.remove_fetched(catalogue, prefix.removeprefix("packs/"))
        return
    # A job may be cancelled just after it became visible what it made.
    with catalogue.session() as session:
        needed = in_use(session, prefix)
    if needed:
        return
    if prefix.startswith("derived/"):
        collecting.free(bucket(), catalogue, prefix)
    else:
        bucket().remove_prefix(prefix)


def _fetch(request: ingest_pb2.FetchFilesRequest) -> ingest_pb2.FetchFilesResponse:
    from services.ingest import fetch_run, fetches

    return fetch_run.fetch(request) if request.count else fetches.plan(request)


def _finish_fetch(catalogue: Catalogue, request: ingest_pb2.FinishFetchRequest) -> ingest_pb2.Upload:
    from services.ingest import fetches

    return fetches.finish(catalogue, request)


def _index(catalogue: Catalogue, request: ingest_pb2.IndexUploadRequest) -> ingest_pb2.IndexUploadResponse:
    import pyarrow.compute as pc

    from framehouse.store.archive import is_image
    from framehouse.store.frames import write_batches
    from framehouse.store.sources import index_archive
    from services.ingest.videos import write_videos

    key = uploads.complete_key(catalogue, request.upload)
    name = uploads.find(catalogue, request.upload).file_name
    try:
        # Unpacking may take longer than the grace period is.
        references.hold(catalogue, [key] if bucket().size(key) is not None else [])
        index, found = index_archive(bucket(), key, settings(), jobs.report, name)
    except NotFound:
        raise NotFound("upload", request.upload, "it was removed, since no dataset needed it; send it again") from None
    references.hold(catalogue, index["object"].unique().to_pylist())
    write_batches(bucket(), request.output_key, index.schema, index.combine_chunks().to_batches())
    return ingest_pb2.IndexUploadResponse(
        entry_count=index.num_rows,
        image_count=pc.sum(is_image(index["path"])).as_py() or 0,
        byte_count=pc.sum(index["size"]).as_py() or 0,
        issues=found.save(bucket(), request.output_key),
        video_count=write_videos(bucket(), f"{request.output_key}-videos", index),
    )


def _add_frames(catalogue: Catalogue, request: ingest_pb2.AddFramesRequest) -> ingest_pb2.AddFramesResponse:
    from framehouse.store.frames import BatchFile
    from services.ingest.videos import add_frames

    count = add_frames(bucket(), request, settings())
    # Frames of an earlier import are used again, and their packs may be old.
    index = BatchFile(bucket(), request.output_key)
    references.hold(catalogue, list({key for batch in index.batches() for key in batch["object"].unique().to_pylist()}))
    return ingest_pb2.AddFramesResponse(frame_count=count)


def _join(request: ingest_pb2.JoinShardsRequest) -> ingest_pb2.JoinShardsResponse:
    from framehouse.annotations.schema import DATASET_SCHEMA
    from framehouse.store.tables import write_fragments
    from services.ingest.join import annotation_count, join

    rows, found = join(bucket(), request)
    fragments = write_fragments(request.table_key, rows, DATASET_SCHEMA) if rows.num_rows else []
    images, annotations = rows.num_rows, annotation_count(rows)
    written = {"fragments": fragments, "images": images, "annotations": annotations}
    bucket().put(request.output_key, json.dumps(written).encode())
    return ingest_pb2.JoinShardsResponse(
        image_count=images, annotation_count=annotations, issues=found.save(bucket(), request.output_key)
    )


def _commit(request: ingest_pb2.CommitTableRequest) -> ingest_pb2.CommitTableResponse:
    from framehouse.annotations.labels import labels_of, with_labels
    from framehouse.annotations.plan import head_of
    from framehouse.annotations.schema import DATASET_SCHEMA
    from framehouse.store.frames import BatchFile
    from framehouse.store.issues import collect
    from framehouse.store.tables import commit

    counts, shown = collect(bucket(), request.job_prefix, request.issues_key)
    joins = [json.loads(bucket().get(key)) for key in request.fragments_keys]
    images = sum(written["images"] for written in joins)
    if images == 0:
        first = f": {shown[0].path}: {shown[0].message}; {shown[0].remedy}" if shown else ""
        raise FailedPrecondition(f"nothing in the archive could be used{first}", reason="NOTHING_USABLE")
    plan = BatchFile(bucket(), request.plan_key)
    version = commit(
        request.table_key,
        with_labels(DATASET_SCHEMA, labels_of(plan.schema)),
        [fragment for written in joins for fragment in written["fragments"]],
        {"framehouse.job": request.job_prefix},
    )
    table = dataset_pb2.Table(
        key=request.table_key,
        version=version,
        image_count=images,
        annotation_count=sum(written["annotations"] for written in joins),
        source_format=head_of(plan.schema).format,
    )
    return ingest_pb2.CommitTableResponse(table=table, issue_counts=counts, issues=shown)


def _keep_issues(request: ingest_pb2.KeepIssuesRequest) -> None:
    from framehouse.store.issues import collect

    collect(bucket(), request.job_prefix, request.issues_key)
