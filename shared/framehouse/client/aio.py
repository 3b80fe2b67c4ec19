"""`AsyncClient`: everything a suite does for its users, on asyncio.

Names are short (`cars`) or full (`users/local/datasets/cars`). Whoever cancels the coroutine that imports, exports or
converts cancels the job.
"""

import asyncio
import uuid
from collections.abc import AsyncGenerator, Coroutine, Mapping, Sequence
from contextlib import aclosing, nullcontext, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from google.api import httpbody_pb2
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2
from google.protobuf.message import Message

from framehouse.client import downloading, formats, images, progress, transfer
from framehouse.client.address import find_address, find_api_key
from framehouse.client.connection import DEADLINE_SECONDS, Connection
from framehouse.client.errors import (
    AlreadyExists,
    Cancelled,
    FailedPrecondition,
    FramehouseError,
    InvalidArgument,
    NotFound,
    from_status,
)
from framehouse.client.names import Names, image_name, own_user
from framehouse.client.options import (
    TASKS,
    ConvertChoices,
    ReadChoices,
    WriteChoices,
    read_options,
    write_options,
)
from framehouse.client.packing import Archive, open_source
from framehouse.client.progress import Progress, Report
from framehouse.client.remote import Remote, is_remote, remote
from framehouse.client.resuming import Bookmark, bookmark
from framehouse.client.unpacking import check_target
from framehouse.v1 import (
    annotation_pb2,
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

R = TypeVar("R", bound=Message)
T = TypeVar("T")

ADD: Mapping[str, ingest_pb2.AddPolicy] = {
    "": ingest_pb2.ADD_POLICY_UNSPECIFIED,
    "replace": ingest_pb2.ADD_POLICY_REPLACE,
    "keep": ingest_pb2.ADD_POLICY_KEEP,
    "rename": ingest_pb2.ADD_POLICY_RENAME,
    "merge": ingest_pb2.ADD_POLICY_MERGE,
    "fail": ingest_pb2.ADD_POLICY_FAIL,
}
SEVERITIES: Mapping[str, annotation_pb2.Severity] = {
    "error": annotation_pb2.SEVERITY_ERROR,
    "warning": annotation_pb2.SEVERITY_WARNING,
    "info": annotation_pb2.SEVERITY_INFO,
}
STATES: Mapping[str, dataset_pb2.ImageState] = {
    "unannotated": dataset_pb2.IMAGE_STATE_UNANNOTATED,
    "verified-empty": dataset_pb2.IMAGE_STATE_VERIFIED_EMPTY,
}
GROUPS: Mapping[str, dataset_pb2.SplitGroup] = {
    "": dataset_pb2.SPLIT_GROUP_UNSPECIFIED,
    "folder": dataset_pb2.SPLIT_GROUP_FOLDER,
    "look": dataset_pb2.SPLIT_GROUP_LOOK,
    "attribute": dataset_pb2.SPLIT_GROUP_ATTRIBUTE,
}
"""What keeps images together."""
VISIBILITIES: Mapping[str, dataset_pb2.Visibility] = {
    "": dataset_pb2.VISIBILITY_UNSPECIFIED,
    "private": dataset_pb2.VISIBILITY_PRIVATE,
    "public": dataset_pb2.VISIBILITY_PUBLIC,
}
RENDER_FORMATS: Mapping[str, media_pb2.RenderFormat] = {
    "webp": media_pb2.RENDER_FORMAT_WEBP,
    "jpeg": media_pb2.RENDER_FORMAT_JPEG,
    "png": media_pb2.RENDER_FORMAT_PNG,
}
SCOPES: Mapping[str, key_pb2.Scope] = {
    "read": key_pb2.SCOPE_READ,
    "write": key_pb2.SCOPE_WRITE,
    "admin": key_pb2.SCOPE_ADMIN,
}
REWRITE_SECONDS = 600.0
"""What a change may take that writes all annotations of a large dataset anew, whatever the deadline of calls."""
CANCEL_SECONDS = 10.0
_PIECE = 1 << 20
"""Bytes of one message of a small upload."""

Source = str | Path | Archive | Remote
"""What can be imported: a path, a URL or `s3://` prefix, or what was made of them."""

_LOST = (InvalidArgument, NotFound, FailedPrecondition, transfer.PartDiffers)
"""Errors after which what was sent is of no use."""
_KEPT = "what was sent is kept, and the same command goes on where it stopped"


class AsyncClient:
    """A connection to the suite whose gateway is at host:port; by default the one of this machine.

    `api_key`: what a suite is shown that asks for keys; by default what `FRAMEHOUSE_API_KEY` says, or the file that
    `FRAMEHOUSE_API_KEY_FILE` names. `deadline`: seconds that a call may take in all, repetitions while the suite is
    away included. All methods raise `FramehouseError`. `resumes`: whether uploads that are cut off are remembered, in
    the user's state folder, and continued.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        api_key: str | None = None,
        deadline: float = DEADLINE_SECONDS,
        resumes: bool = True,
    ) -> None:
        self.address = find_address(address)
        self._resumes = resumes
        key = find_api_key(self.address) if api_key is None else api_key
        self._names = Names(own_user(key))
        self._connection = Connection(self.address, deadline, key)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the connection."""
        await self._connection.close()

    # --- archives in

    async def upload(self, path: Source, report: Report = progress.ignore) -> ingest_pb2.Upload:
        """Sends an archive, or a folder packed on its way, and answers with the complete upload.

        Where an upload of the same source to the same suite was cut off, only what is missing is sent. A URL or an
        `s3://` prefix is fetched by the suite instead, as `fetch_upload` says.
        """
        if isinstance(path, str) and is_remote(path):
            path = remote(path)
        if isinstance(path, Remote):
            return await self.fetch_upload(path.urls, s3_prefix=path.s3_prefix, report=report)
        archive = path if isinstance(path, Archive) else await asyncio.to_thread(open_source, path)
        with bookmark(self.address, archive) if self._resumes else nullcontext() as mark:
            while True:
                upload = await self._open_upload(archive, mark)
                try:
                    done = await self._send(archive, upload, report)
                except BaseException as error:
                    if mark is not None and not isinstance(error, _LOST):
                        _say_kept(error)
                    else:
                        await self._give_up(upload.name, mark)
                        if isinstance(error, transfer.PartDiffers):
                            continue  # it was resumed, and the source has other bytes by now
                    raise
                if mark is not None:
                    mark.forget()
                return done

    async def send_upload(self, data: bytes, file_name: str = "") -> ingest_pb2.Upload:
        """Sends a small archive, of 16 MiB at most, in one call, and answers with the complete upload."""
        pieces = [
            ingest_pb2.SendUploadRequest(file_name=file_name, data=data[start : start + _PIECE])
            for start in range(0, max(len(data), 1), _PIECE)
        ]
        return await self._connection.call("/framehouse.v1.IngestService/SendUpload", pieces, ingest_pb2.Upload)

    async def fetch_upload(
        self, urls: Sequence[str] = (), *, s3_prefix: str = "", report: Report = progress.ignore
    ) -> ingest_pb2.Upload:
        """Lets the suite fetch files from where they lie, and answers with the complete upload.

        `urls`: `http://` or `https://`, as far as the suite's settings allow; one alone may be that of an archive.
        `s3_prefix`: `s3://bucket/prefix`, in a bucket that the settings name. A file that cannot be fetched is an issue
        of the import that reads the upload.
        """
        if bool(urls) == bool(s3_prefix):
            raise InvalidArgument("there is nothing to fetch, or too much", remedy="give URLs or one s3:// prefix")
        request = ingest_pb2.FetchUploadRequest(request_id=uuid.uuid4().hex)
        if s3_prefix:
            request.s3_prefix = s3_prefix
        else:
            request.urls.urls.extend(urls)
        job = await self._call("IngestService/FetchUpload", request, operations_pb2.Operation)
        try:
            return await self._result(job, ingest_pb2.Upload, report)
        except FramehouseError as error:
            # It keeps no issues, and what it fetched if it were tried again would go to nobody.
            error.facts.pop("job", None)
            raise

    async def _open_upload(self, archive: Archive, mark: Bookmark | None) -> ingest_pb2.Upload:
        """The upload of the archive that was cut off, or a new one."""
        if mark is not None and mark.upload:
            with suppress(NotFound):
                request = ingest_pb2.GetUploadRequest(name=mark.upload)
                upload = await self._call("IngestService/GetUpload", request, ingest_pb2.Upload)
                if upload.size == archive.size and not mark.is_stale:
                    return upload
            await self._give_up(mark.upload, mark)
        create = ingest_pb2.CreateUploadRequest(file_name=archive.file_name, size=archive.size)
        upload = await self._call("IngestService/CreateUpload", create, ingest_pb2.Upload)
        if mark is not None:
            mark.keep(upload.name)
        return upload

    async def _send(self, archive: Archive, upload: ingest_pb2.Upload, report: Report) -> ingest_pb2.Upload:
        """Sends what is missing, and completes the upload."""
        if upload.state == ingest_pb2.UPLOAD_STATE_OPEN:
            parts = sorted(upload.parts, key=lambda part: part.number)
            last = archive.size - (len(parts) - 1) * upload.part_size
            there = [last if part is parts[-1] else upload.part_size for part in parts if part.etag]
            sent = sum(there)
            note = f"resuming: {len(there)} of {len(parts)} parts are there" if there else ""

            def count(size: int) -> None:
                nonlocal sent
                sent += size
                report(Progress("upload", "bytes", sent, archive.size))

            async def renew() -> list[ingest_pb2.UploadPart]:
                request = ingest_pb2.GetUploadRequest(name=upload.name)
                return list((await self._call("IngestService/GetUpload", request, ingest_pb2.Upload)).parts)

            report(Progress("upload", "bytes", sent, archive.size, note=note))
            tags = await transfer.send_parts(archive.parts(upload.part_size), parts, renew, count)
            complete = ingest_pb2.CompleteUploadRequest(name=upload.name)
            for part, tag in zip(parts, tags, strict=True):
                complete.parts.add(number=part.number, etag=tag)
            upload = await self._call("IngestService/CompleteUpload", complete, ingest_pb2.Upload)
        report(Progress("upload", "bytes", archive.size, archive.size, ended=True))
        return upload

    async def _give_up(self, upload: str, mark: Bookmark | None) -> None:
        """Frees what was sent, as far as the suite can be reached: what it is not told of expires."""
        if mark is not None:
            mark.forget()
        abort = ingest_pb2.AbortUploadRequest(name=upload)
        await _last(self._call("IngestService/AbortUpload", abort, empty_pb2.Empty))

    async def import_dataset(
        self,
        source: Source | ingest_pb2.Upload,
        name: str,
        *,
        add: str = "",
        max_side: int | None = None,
        drop_originals: bool = False,
        display_name: str = "",
        tag: str = "",
        report: Report = progress.ignore,
        **choices: Unpack[ReadChoices],
    ) -> ingest_pb2.ImportDatasetResponse:
        """Makes a dataset of a path, a URL, an `s3://` prefix or a complete upload, and answers when it is there.

        `add`: what happens where the dataset exists to images that it has otherwise: `replace`, `keep`, `rename` or
        `fail`; empty, the name must be free. `max_side`: larger images get a normalised form of so many pixels (unset:
        4096, 0: none do); with `drop_originals` only that is kept of them. `tag`: a word by which the images of this
        import are found again, as in the filter `import = monday`.
        """
        if add not in ADD:
            raise InvalidArgument(f"add is {add!r}", remedy=f"use one of: {', '.join(filter(None, ADD))}")
        parent, _, dataset = self._names.dataset(name).partition("/datasets/")
        read = read_options(**choices)
        if isinstance(source, ingest_pb2.Upload):
            upload = source
        else:
            await self._check_formats(reads=read.format)
            upload = await (self.upload(source, report) if add else self._upload_new(source, name, report))
        request = ingest_pb2.ImportDatasetRequest(
            parent=parent,
            dataset_id=dataset,
            upload=upload.name,
            display_name=display_name,
            read=read,
            request_id=uuid.uuid4().hex,
            add=ADD[add],
            max_side=max_side,
            drop_originals=drop_originals,
            tag=tag,
        )
        job = await self._call("IngestService/ImportDataset", request, operations_pb2.Operation)
        return await self._result(job, ingest_pb2.ImportDatasetResponse, report)

    async def _upload_new(self, source: Source, name: str, report: Report) -> ingest_pb2.Upload:
        """Uploads for a dataset that is not there yet; a name that is taken is known before gigabytes are sent."""
        with suppress(NotFound):
            await self.get_dataset(name)
            raise AlreadyExists(
                f"dataset {self._names.dataset(name)!r} exists already",
                remedy="choose another name, delete it first, or say how to add to it (--add)",
                reason="DATASET_EXISTS",
            )
        return await self.upload(source, report)

    async def _check_formats(self, *, reads: str = "", writes: str = "") -> None:
        """That the formats which are named are there, before anything is sent or kept."""
        is_named = reads not in ("", "auto")
        if is_named or writes:
            known = await self.list_formats()
            if is_named:
                formats.named(reads, [one for one in known if one.can_read])
            if writes:
                formats.named(writes, [one for one in known if one.can_write])

    # --- datasets

    async def list_datasets(
        self, filter: str = "", order_by: str = "", *, user: str = "", trash: bool = False
    ) -> list[dataset_pb2.Dataset]:
        """The datasets of a user, newest first unless another order is said; `user` is `-` for all users.

        `trash`: those in the trash instead. Filters and orders are told of in `docs/catalogue.md`.
        """
        found: list[dataset_pb2.Dataset] = []
        request = dataset_pb2.ListDatasetsRequest(
            parent=self._names.user(user), filter=filter, order_by=order_by, trash=trash, page_size=1000
        )
        async for page in self._pages("DatasetService/ListDatasets", request, dataset_pb2.ListDatasetsResponse):
            found.extend(page.datasets)
        return found

    async def get_dataset(self, name: str) -> dataset_pb2.Dataset:
        """One dataset."""
        request = dataset_pb2.GetDatasetRequest(name=self._names.dataset(name))
        return await self._call("DatasetService/GetDataset", request, dataset_pb2.Dataset)

    async def create_dataset(
        self,
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
        parent, _, dataset_id = self._names.dataset(name).partition("/datasets/")
        dataset = dataset_pb2.Dataset(
            display_name=display_name,
            description=description,
            license=license,
            visibility=_choice("visibility", visibility, VISIBILITIES),
            task=_choice("task", task, TASKS),
            labels=annotation_pb2.LabelSchema(labels=[annotation_pb2.Label(name=label) for label in labels]),
        )
        request = dataset_pb2.CreateDatasetRequest(parent=parent, dataset_id=dataset_id, dataset=dataset)
        return await self._call("DatasetService/CreateDataset", request, dataset_pb2.Dataset)

    async def update_dataset(
        self,
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
            "visibility": None if visibility is None else _choice("visibility", visibility, VISIBILITIES),
            "task": None if task is None else _choice("task", task, TASKS),
        }
        request = dataset_pb2.UpdateDatasetRequest(
            dataset=dataset_pb2.Dataset(name=self._names.dataset(name), etag=etag)
        )
        for field, value in (*texts.items(), *numbers.items()):
            if value is not None:
                setattr(request.dataset, field, value)
                request.update_mask.paths.append(field)
        if not request.update_mask.paths:
            raise InvalidArgument("there is no change", remedy="say what is to be changed")
        return await self._call("DatasetService/UpdateDataset", request, dataset_pb2.Dataset)

    async def clone_dataset(self, source: str, name: str = "") -> dataset_pb2.Dataset:
        """Makes a dataset of another one, or of a version of it (`ann/cars@3`), by reference.

        Its name is that of the source, as one of the local user's, unless another one is given.
        """
        full, version = self._names.versioned(source)
        parent, _, dataset_id = self._names.dataset(name or full.rpartition("/")[2]).partition("/datasets/")
        request = dataset_pb2.CloneDatasetRequest(source=full, version=version, parent=parent, dataset_id=dataset_id)
        return await self._call("DatasetService/CloneDataset", request, dataset_pb2.Dataset)

    async def star_dataset(self, name: str, *, remove: bool = False) -> dataset_pb2.Dataset:
        """Marks a dataset as one that the caller likes, or takes the mark away."""
        request = dataset_pb2.StarDatasetRequest(name=self._names.dataset(name), remove=remove)
        return await self._call("DatasetService/StarDataset", request, dataset_pb2.Dataset)

    async def delete_dataset(self, name: str, etag: str = "") -> dataset_pb2.Dataset:
        """Moves a dataset to the trash; with `etag` only if it is still the one that was read.

        The answer's `uid` is what `restore_dataset` and `purge_dataset` know it by.
        """
        request = dataset_pb2.DeleteDatasetRequest(name=self._names.dataset(name), etag=etag)
        return await self._call("DatasetService/DeleteDataset", request, dataset_pb2.Dataset)

    async def restore_dataset(self, uid: str, name: str = "", *, user: str = "") -> dataset_pb2.Dataset:
        """Takes a dataset of a user out of the trash, under the name that it had or, where that is taken, another."""
        request = dataset_pb2.RestoreDatasetRequest(parent=self._names.user(user), uid=uid, dataset_id=name)
        return await self._call("DatasetService/RestoreDataset", request, dataset_pb2.Dataset)

    async def purge_dataset(self, uid: str, *, user: str = "") -> None:
        """Removes a dataset of a user's trash for ever."""
        request = dataset_pb2.PurgeDatasetRequest(parent=self._names.user(user), uid=uid)
        await self._call("DatasetService/PurgeDataset", request, empty_pb2.Empty)

    async def statistics(self, name: str) -> statistics_pb2.Statistics:
        """The numbers of a dataset."""
        request = statistics_pb2.GetStatisticsRequest(name=self._names.dataset(name))
        return await self._call("StatisticsService/GetStatistics", request, statistics_pb2.Statistics)

    # --- images

    async def probe_image(
        self, image: str | Path | bytes, *, file_name: str = "", min_side: int | None = None
    ) -> media_pb2.ProbeImageResponse:
        """What an import would say of an image: a file, or its bytes. Nothing is kept, and bad images are no errors.

        `file_name` is what its extension is compared with; that of a file is its own.
        """
        if isinstance(image, bytes):
            data = image
        else:
            file_name = file_name or Path(image).name
            try:
                data = await asyncio.to_thread(Path(image).read_bytes)
            except OSError as error:
                why = (error.strerror or str(error)).lower()
                raise InvalidArgument(f"{str(image)!r} cannot be read: {why}", reason="SOURCE_UNREADABLE") from None
        request = media_pb2.ProbeImageRequest(data=data, file_name=file_name, min_side=min_side)
        return await self._call("MediaService/ProbeImage", request, media_pb2.ProbeImageResponse)

    async def get_image(self, name: str, *, annotations: bool = False, all_tasks: bool = False) -> dataset_pb2.Image:
        """One image, with URLs of its bytes and its preview; `names.image_name` makes its name of its path.

        `annotations`: with those of the dataset's task; `all_tasks`: with all of them, whatever the task is.
        """
        request = dataset_pb2.GetImageRequest(name=name, view=_view(annotations, all_tasks))
        return await self._call("DatasetService/GetImage", request, dataset_pb2.Image)

    async def list_images(
        self,
        name: str,
        filter: str = "",
        order_by: str = "",
        *,
        limit: int | None = None,
        annotations: bool = False,
        all_tasks: bool = False,
    ) -> AsyncGenerator[dataset_pb2.Image, None]:
        """The images of a dataset that a filter selects, `limit` at most, all as they were when the first was read.

        `name` may name a version, as `cars@3`. `filter`: for instance `split = val AND label:car`; `order_by`: for
        instance `size desc, path`. Both are told of in `docs/catalogue.md`. `annotations`: with those of the dataset's
        task; `all_tasks`: with all of them. The URLs of an image are those of the time at which it was read.
        """
        wanted = self.image_pages(name, filter, order_by, limit=limit, annotations=annotations, all_tasks=all_tasks)
        async with aclosing(wanted) as pages:
            async for page in pages:
                for image in page.images:
                    yield image

    async def image_pages(
        self,
        name: str,
        filter: str = "",
        order_by: str = "",
        *,
        limit: int | None = None,
        annotations: bool = False,
        all_tasks: bool = False,
    ) -> AsyncGenerator[dataset_pb2.ListImagesResponse, None]:
        """What `list_images` goes through, page by page, each with the number of all images that are selected."""
        parent, version = self._names.versioned(name)
        request = dataset_pb2.ListImagesRequest(
            parent=parent, version=version, filter=filter, order_by=order_by, view=_view(annotations, all_tasks)
        )
        left = limit
        while left is None or left > 0:
            request.page_size = min(1000, left or 1000)
            page = await self._call("DatasetService/ListImages", request, dataset_pb2.ListImagesResponse)
            yield page
            if not page.next_page_token:
                return
            left = None if left is None else left - len(page.images)
            request.page_token = page.next_page_token

    async def update_annotations(
        self,
        name: str,
        annotations: Sequence[dataset_pb2.Annotation],
        *,
        verified_empty: bool = False,
        etag: str = "",
    ) -> dataset_pb2.Image:
        """Replaces all annotations of an image, those of other tasks too; `get_image` with `all_tasks` reads them.

        An id of 0 takes the next free one. `verified_empty`: with no annotations, that somebody looked.
        """
        request = dataset_pb2.UpdateAnnotationsRequest(
            image=name, annotations=annotations, verified_empty=verified_empty, etag=etag
        )
        return await self._call("DatasetService/UpdateAnnotations", request, dataset_pb2.Image)

    async def list_removals(self, name: str) -> AsyncGenerator[dataset_pb2.Removal, None]:
        """The removals of images from a dataset that can be taken back, newest first."""
        request = dataset_pb2.ListRemovalsRequest(parent=self._names.dataset(name), page_size=1000)
        async for page in self._pages("DatasetService/ListRemovals", request, dataset_pb2.ListRemovalsResponse):
            for removal in page.removals:
                yield removal

    async def restore_images(
        self,
        name: str,
        filter: str = "",
        *,
        removal: str = "",
        images: Sequence[str] = (),
        etag: str = "",
        validate_only: bool = False,
    ) -> dataset_pb2.ChangeImagesResponse:
        """Puts removed images back: those that a filter selects, `*` for all, of one removal, or by path or name.

        `removal`: the name of one, or the last part of it.
        """
        if bool(filter) + bool(removal) + bool(images) != 1:
            raise InvalidArgument(
                "no images are selected, or in two ways", remedy="give a filter, * for all, a removal, or paths"
            )
        parent = self._names.dataset(name)
        request = dataset_pb2.RestoreImagesRequest(parent=parent, etag=etag, validate_only=validate_only)
        if removal:
            request.removal = removal if "/" in removal else f"{parent}/removals/{removal}"
        elif filter:
            request.filter = filter
        else:
            request.images.names.extend(
                one if one.startswith(f"{parent}/images/") else image_name(parent, one) for one in images
            )
        return await self._call("DatasetService/RestoreImages", request, dataset_pb2.ChangeImagesResponse)

    async def read_image(self, name: str) -> bytes:
        """The file of an image: as it came in, or its normalised form where only that was kept."""
        image = await self.get_image(name)
        if not image.url:
            raise FailedPrecondition(
                f"{image.path!r} has no bytes", remedy="import it with its images", reason="IMAGE_ABSENT"
            )
        return await asyncio.to_thread(images.read, image.url)

    async def render_image(
        self,
        name: str,
        *,
        size: int = 0,
        crop: tuple[int, int, int, int] | None = None,
        format: str = "webp",
        annotations: bool = True,
        class_names: bool = True,
        labels: Sequence[str] = (),
    ) -> bytes:
        """An image as a file (`webp`, `jpeg` or `png`), upright, with its annotations drawn.

        `size`: pixels of the longest side, at most 4096; 0 means 1024. `crop`: x, y, width and height of a part, in
        pixels of the upright image. `labels`: only annotations of these classes.
        """
        if format not in RENDER_FORMATS:
            raise InvalidArgument(f"format is {format!r}", remedy=f"use one of: {', '.join(RENDER_FORMATS)}")
        request = media_pb2.RenderImageRequest(
            name=name,
            size=size,
            format=RENDER_FORMATS[format],
            without_annotations=not annotations,
            without_labels=not class_names,
            labels=labels,
        )
        if crop is not None:
            request.crop.x, request.crop.y, request.crop.width, request.crop.height = crop
        drawn = await self._call("MediaService/RenderImage", request, httpbody_pb2.HttpBody)
        return bytes(drawn.data)

    async def thumbnail(self, name: str, size: int = 0) -> bytes:
        """The preview of an image, a WebP file, with `size` pixels on its longest side; 0 means 256, the largest."""
        request = media_pb2.GetThumbnailRequest(name=name, size=size)
        found = await self._call("MediaService/GetThumbnail", request, httpbody_pb2.HttpBody)
        return bytes(found.data)

    async def list_duplicates(self, name: str, distance: int = 0) -> AsyncGenerator[dataset_pb2.DuplicateGroup, None]:
        """The images of a dataset that have the same bytes, as groups of two or more, the largest first.

        With a `distance` of 1 to 8 those that look alike: in so many bits of 64 their looks may differ.
        """
        request = dataset_pb2.ListDuplicatesRequest(parent=self._names.dataset(name), page_size=1000, distance=distance)
        async for page in self._pages("DatasetService/ListDuplicates", request, dataset_pb2.ListDuplicatesResponse):
            for group in page.groups:
                yield group

    # --- changes of many images

    async def change_images(
        self,
        name: str,
        filter: str = "",
        *,
        images: Sequence[str] = (),
        move_to_split: str | None = None,
        state: str = "",
        remove: bool = False,
        etag: str = "",
        validate_only: bool = False,
    ) -> dataset_pb2.ChangeImagesResponse:
        """Changes the images that a filter selects, `*` for all, or some of them by path or name; all or nothing.

        One change: `move_to_split` (empty for none), `state` (`unannotated` or `verified-empty`) or `remove`. With
        `etag` only where the dataset is still the one that was read; `validate_only` just says how many would change.
        """
        if state and state not in STATES:
            raise InvalidArgument(f"state is {state!r}", remedy=f"use one of: {', '.join(STATES)}")
        if (move_to_split is not None) + bool(state) + remove != 1:
            raise InvalidArgument("there is no change, or more than one", remedy="give one of split, state and remove")
        if bool(filter) == bool(images):
            raise InvalidArgument("no images are selected, or in two ways", remedy="give a filter, * for all, or paths")
        parent = self._names.dataset(name)
        request = dataset_pb2.ChangeImagesRequest(parent=parent, etag=etag, validate_only=validate_only)
        if filter:
            request.filter = filter
        else:
            request.images.names.extend(
                one if one.startswith(f"{parent}/images/") else image_name(parent, one) for one in images
            )
        if move_to_split is not None:
            request.move_to_split = move_to_split
        elif state:
            request.set_state = STATES[state]
        else:
            request.remove = True
        try:
            return await self._call("DatasetService/ChangeImages", request, dataset_pb2.ChangeImagesResponse)
        except NotFound as error:
            for one, full in zip(images, request.images.names, strict=False):
                if full in error.message:
                    raise NotFound(f"{parent} has no image {one!r}", reason=error.reason, facts=error.facts) from None
            raise

    async def redistribute_splits(
        self,
        name: str,
        shares: Mapping[str, float] | None = None,
        *,
        seed: int = 0,
        stratify: bool = False,
        group: str = "",
        etag: str = "",
        validate_only: bool = False,
    ) -> dataset_pb2.RedistributeSplitsResponse:
        """Deals the images out to splits anew, by their shares; without them train 0.8, val 0.2.

        `stratify`: keeps the shares within each class. `group`: images of one `folder`, as frames of one video are,
        stay together, or those that `look` alike, or have the same value of an attribute: `attribute:NAME`. Those of
        the same bytes always do. `validate_only` just says what the splits would be.
        """
        kind, _, attribute = group.partition(":")
        if kind not in GROUPS or (kind == "attribute") != bool(attribute):
            raise InvalidArgument(f"{group!r} is no group of images", remedy="say folder, look, or attribute:NAME")
        request = dataset_pb2.RedistributeSplitsRequest(
            name=self._names.dataset(name),
            shares=[dataset_pb2.SplitShare(split=split, share=share) for split, share in (shares or {}).items()],
            seed=seed,
            stratify=stratify,
            group=GROUPS[kind],
            group_attribute=attribute,
            etag=etag,
            validate_only=validate_only,
        )
        return await self._call("DatasetService/RedistributeSplits", request, dataset_pb2.RedistributeSplitsResponse)

    # --- classes

    async def list_classes(self, name: str) -> list[dataset_pb2.ClassCount]:
        """The classes of a dataset in their order, with counts; `cars@3` asks for those of its version 3."""
        parent, version = self._names.versioned(name)
        request = dataset_pb2.ListClassesRequest(parent=parent, version=version)
        response = await self._call("DatasetService/ListClasses", request, dataset_pb2.ListClassesResponse)
        return list(response.classes)

    async def change_classes(
        self, name: str, changes: Sequence[dataset_pb2.ClassChange], *, etag: str = "", validate_only: bool = False
    ) -> dataset_pb2.ChangeClassesResponse:
        """Changes classes, one change after the other, all or nothing; answers with what each did to how many
        annotations.

        `changes`: made by the functions of `framehouse.client.classes`. `validate_only` just says what would happen.
        """
        request = dataset_pb2.ChangeClassesRequest(
            parent=self._names.dataset(name), changes=changes, etag=etag, validate_only=validate_only
        )
        response = dataset_pb2.ChangeClassesResponse
        return await self._call("DatasetService/ChangeClasses", request, response, REWRITE_SECONDS)

    # --- versions

    async def create_version(
        self,
        name: str,
        description: str = "",
        *,
        etag: str = "",
        wait: bool = True,
        report: Report = progress.ignore,
    ) -> dataset_pb2.Version:
        """Makes a version of a dataset as it is, and waits until its snapshot is there, unless `wait` is false.

        The version is there at once, and stays where the caller goes. With `etag` only where the dataset is still the
        one that was read.
        """
        request = dataset_pb2.CreateVersionRequest(
            parent=self._names.dataset(name), description=description, etag=etag, request_id=uuid.uuid4().hex
        )
        version = await self._call("DatasetService/CreateVersion", request, dataset_pb2.Version)
        if not wait:
            return version
        # Where the job server is away, the job begins later.
        with suppress(NotFound):
            await self.wait(version.snapshot_job, report)
        return await self._get_version(version.name)

    async def get_version(self, name: str) -> dataset_pb2.Version:
        """A version (`cars@3`), with a URL of its snapshot where that is there."""
        return await self._get_version(self._names.version(name))

    async def _get_version(self, name: str) -> dataset_pb2.Version:
        request = dataset_pb2.GetVersionRequest(name=name)
        return await self._call("DatasetService/GetVersion", request, dataset_pb2.Version)

    async def list_versions(self, name: str) -> AsyncGenerator[dataset_pb2.Version, None]:
        """The versions of a dataset, the newest first, without URLs."""
        request = dataset_pb2.ListVersionsRequest(parent=self._names.dataset(name), page_size=1000)
        async for page in self._pages("DatasetService/ListVersions", request, dataset_pb2.ListVersionsResponse):
            for version in page.versions:
                yield version

    async def update_version(self, name: str, description: str, *, etag: str = "") -> dataset_pb2.Version:
        """Gives a version (`cars@3`) another description; with `etag` only where it has the one that was read."""
        version = dataset_pb2.Version(name=self._names.version(name), description=description, etag=etag)
        request = dataset_pb2.UpdateVersionRequest(version=version)
        return await self._call("DatasetService/UpdateVersion", request, dataset_pb2.Version)

    async def compare_versions(self, base: str, other: str = "") -> dataset_pb2.CompareVersionsResponse:
        """What is different from a version (`cars@1`) to another one of the same dataset, or to what the dataset is."""
        self._names.version(base)
        parent, number = self._names.versioned(base)
        compared, against = self._names.versioned(other) if other else (parent, 0)
        if compared != parent:
            raise InvalidArgument(
                f"{base!r} and {other!r} are of different datasets", remedy="name two versions of one of them"
            )
        request = dataset_pb2.CompareVersionsRequest(parent=parent, base=number, other=against)
        return await self._call("DatasetService/CompareVersions", request, dataset_pb2.CompareVersionsResponse)

    async def restore_version(self, name: str, *, etag: str = "") -> dataset_pb2.Dataset:
        """Makes a dataset what a version of it is (`cars@1`); with `etag` only where it is the one that was read."""
        request = dataset_pb2.RestoreVersionRequest(name=self._names.version(name), etag=etag)
        return await self._call("DatasetService/RestoreVersion", request, dataset_pb2.Dataset)

    async def download_snapshot(self, name: str, out: str | Path, report: Report = progress.ignore) -> Path:
        """Fetches the snapshot of a version (`cars@3`) to a file."""
        version = await self.get_version(name)
        if not version.snapshot_url:
            raise FailedPrecondition(
                f"the snapshot of {name} is not written yet",
                remedy=f"wait for {version.snapshot_job}",
                reason="SNAPSHOT_PENDING",
            )
        target = Path(out)

        def received(count: int) -> None:
            report(Progress("download", "bytes", count, version.snapshot_size))

        received(0)
        written = await downloading.download_file(version.snapshot_url, version.snapshot_size, target, received)
        report(Progress("download", "bytes", version.snapshot_size, version.snapshot_size, ended=True))
        return written

    # --- issues of imports

    async def list_issues(
        self, job_or_dataset: str, code: str = "", severity: str = ""
    ) -> AsyncGenerator[annotation_pb2.Issue, None]:
        """All issues of an import, errors first; of one code or one severity where that is said.

        `job_or_dataset`: a job (`jobs/...`), or the dataset that an import made. `severity`: `error`, `warning` or
        `info`.
        """
        async with aclosing(self.issue_pages(job_or_dataset, code=code, severity=severity)) as pages:
            async for page in pages:
                for issue in page.issues:
                    yield issue

    async def issue_pages(
        self, job_or_dataset: str, code: str = "", severity: str = "", page_size: int = 1000
    ) -> AsyncGenerator[ingest_pb2.ListIssuesResponse, None]:
        """What `list_issues` goes through, page by page, each with the number of all issues that match."""
        if severity and severity not in SEVERITIES:
            raise InvalidArgument(f"severity is {severity!r}", remedy=f"use one of: {', '.join(SEVERITIES)}")
        is_job = job_or_dataset.startswith("jobs/")
        job = job_or_dataset if is_job else f"jobs/{(await self.get_dataset(job_or_dataset)).uid}"
        request = ingest_pb2.ListIssuesRequest(
            parent=job, page_size=page_size, code=code, severity=SEVERITIES[severity] if severity else None
        )
        async for page in self._pages("IngestService/ListIssues", request, ingest_pb2.ListIssuesResponse):
            yield page

    # --- archives out

    async def list_formats(self) -> list[conversion_pb2.Format]:
        """The formats and what each can hold."""
        request = conversion_pb2.ListFormatsRequest()
        answer = await self._call("ConversionService/ListFormats", request, conversion_pb2.ListFormatsResponse)
        return list(answer.formats)

    async def preview_loss(
        self, name: str, format: str = "", *, recipe: str = "", **choices: Unpack[WriteChoices]
    ) -> conversion_pb2.PreviewLossResponse:
        """What a format cannot hold of a dataset or a version of it, and what would be done instead; writes nothing.

        `recipe`: what it is like where nothing else is said, the format too. With `strict`, `refusal` says why there
        would be no export.
        """
        dataset, version = self._names.versioned(name)
        request = conversion_pb2.PreviewLossRequest(
            dataset=dataset,
            version=version,
            write=write_options(format, **choices),
            recipe=recipe and self._names.recipe(recipe),
        )
        return await self._call("ConversionService/PreviewLoss", request, conversion_pb2.PreviewLossResponse)

    async def export_dataset(
        self,
        name: str,
        format: str = "",
        out: str | Path | None = None,
        *,
        recipe: str = "",
        volume_bytes: int = 0,
        keep_seconds: int = 0,
        report: Report = progress.ignore,
        **choices: Unpack[WriteChoices],
    ) -> export_pb2.ExportDatasetResponse:
        """Writes a dataset in a format, or a version of it (`cars@3`); fetches it to `out`, as `download` does.

        `recipe`: what it is like where nothing else is said, the format too. `volume_bytes`: makes several archives of
        so many bytes at most. `keep_seconds`: how long it is kept, 30 days at most. Where the same was exported
        of the same data before and is still there, that is the answer.
        """
        write = write_options(format, **choices)
        target = check_target(out)
        dataset, version = self._names.versioned(name)
        request = export_pb2.ExportDatasetRequest(
            dataset=dataset,
            version=version,
            write=write,
            recipe=recipe and self._names.recipe(recipe),
            volume_bytes=volume_bytes,
            keep_seconds=keep_seconds,
            request_id=uuid.uuid4().hex,
        )
        job = await self._call("ExportService/ExportDataset", request, operations_pb2.Operation)
        result = await self._result(job, export_pb2.ExportDatasetResponse, report)
        if target is not None:
            await self.download(result.export.name, target, report)
        return result

    async def convert(
        self,
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
            await self._check_formats(reads=read.format, writes=write.format)
            upload = await self.upload(source, report)
        request = conversion_pb2.ConvertArchiveRequest(
            upload=upload.name,
            read=read,
            write=write,
            dry_run=dry_run,
            request_id=uuid.uuid4().hex,
        )
        job = await self._call("ConversionService/ConvertArchive", request, operations_pb2.Operation)
        result = await self._result(job, conversion_pb2.ConvertArchiveResponse, report)
        if target is not None:
            await self.download(result.export, target, report)
        return result

    async def get_export(self, name: str, url_seconds: int = 0) -> export_pb2.Export:
        """A finished export, with fresh URLs to fetch it from, which live for `url_seconds`, 7 days at most."""
        request = export_pb2.GetExportRequest(name=name, url_seconds=url_seconds)
        return await self._call("ExportService/GetExport", request, export_pb2.Export)

    async def list_exports(self, dataset: str = "") -> AsyncGenerator[export_pb2.Export, None]:
        """The exports that are there, or those of a dataset, newest first, without URLs."""
        request = export_pb2.ListExportsRequest(dataset=dataset and self._names.dataset(dataset), page_size=1000)
        async for page in self._pages("ExportService/ListExports", request, export_pb2.ListExportsResponse):
            for export in page.exports:
                yield export

    async def delete_export(self, name: str) -> None:
        """Removes an export (`exports/...`) and its files."""
        await self._call("ExportService/DeleteExport", export_pb2.DeleteExportRequest(name=name), empty_pb2.Empty)

    async def download(self, export: str, out: str | Path, report: Report = progress.ignore) -> list[Path]:
        """Fetches an export (`exports/...`) as a file where `out` ends in `.zip`, else unpacked into the folder `out`.

        Volumes become `X-001.zip` … of `X.zip`. Bytes of an attempt that was cut off are kept beside `out` and not
        fetched again. Answers with what was written.
        """
        target = check_target(out) or Path()
        found = await self.get_export(export)

        def received(count: int) -> None:
            report(Progress("download", "bytes", count, found.size))

        received(0)
        try:
            written = await downloading.download(found, lambda: self.get_export(export), target, received)
        except asyncio.CancelledError:
            raise asyncio.CancelledError("what came is kept, and the same command goes on there") from None
        report(Progress("download", "bytes", found.size, found.size, ended=True))
        return written

    # --- recipes

    async def create_recipe(
        self, name: str, format: str = "", *, display_name: str = "", **choices: Unpack[WriteChoices]
    ) -> recipe_pb2.Recipe:
        """Keeps what an export is to be like under a name, such as `training`."""
        parent, _, recipe_id = self._names.recipe(name).partition("/recipes/")
        await self._check_formats(writes=format)
        recipe = recipe_pb2.Recipe(display_name=display_name, write=write_options(format, **choices))
        request = recipe_pb2.CreateRecipeRequest(parent=parent, recipe_id=recipe_id, recipe=recipe)
        return await self._call("RecipeService/CreateRecipe", request, recipe_pb2.Recipe)

    async def update_recipe(
        self, name: str, format: str = "", *, display_name: str = "", etag: str = "", **choices: Unpack[WriteChoices]
    ) -> recipe_pb2.Recipe:
        """Replaces a recipe; with `etag` only if it is still the one that was read."""
        request = recipe_pb2.UpdateRecipeRequest()
        request.recipe.name, request.recipe.display_name, request.recipe.etag = (
            self._names.recipe(name),
            display_name,
            etag,
        )
        request.recipe.write.CopyFrom(write_options(format, **choices))
        await self._check_formats(writes=format)
        return await self._call("RecipeService/UpdateRecipe", request, recipe_pb2.Recipe)

    async def get_recipe(self, name: str) -> recipe_pb2.Recipe:
        """One recipe."""
        request = recipe_pb2.GetRecipeRequest(name=self._names.recipe(name))
        return await self._call("RecipeService/GetRecipe", request, recipe_pb2.Recipe)

    async def list_recipes(self, user: str = "") -> list[recipe_pb2.Recipe]:
        """The recipes of a user, by name."""
        found: list[recipe_pb2.Recipe] = []
        request = recipe_pb2.ListRecipesRequest(parent=self._names.user(user), page_size=1000)
        async for page in self._pages("RecipeService/ListRecipes", request, recipe_pb2.ListRecipesResponse):
            found.extend(page.recipes)
        return found

    async def delete_recipe(self, name: str) -> None:
        """Removes a recipe; what was exported with it stays."""
        request = recipe_pb2.DeleteRecipeRequest(name=self._names.recipe(name))
        await self._call("RecipeService/DeleteRecipe", request, empty_pb2.Empty)

    # --- jobs

    async def list_jobs(self, limit: int = 100) -> list[operations_pb2.Operation]:
        """The newest jobs, at most `limit`."""
        found: list[operations_pb2.Operation] = []
        request = job_pb2.ListJobsRequest(page_size=min(limit, 1000))
        while len(found) < limit:
            page = await self._call("JobService/ListJobs", request, job_pb2.ListJobsResponse)
            found.extend(page.jobs)
            if not page.next_page_token:
                break
            request.page_token = page.next_page_token
        return found[:limit]

    async def watch_job(self, name: str) -> AsyncGenerator[operations_pb2.Operation, None]:
        """The job now, and again each time it changes, up to its end."""
        request = job_pb2.WatchJobRequest(name=name)
        path = "/framehouse.v1.JobService/WatchJob"
        async with aclosing(self._connection.stream(path, request, operations_pb2.Operation)) as operations:
            async for operation in operations:
                yield operation

    async def wait(self, job: str, report: Report = progress.ignore) -> operations_pb2.Operation:
        """The job when it has ended; raises its error where it failed, whose facts name the job."""
        metadata = job_pb2.JobMetadata()
        told = False
        async with aclosing(self.watch_job(job)) as operations:
            async for operation in operations:
                if operation.metadata.Unpack(metadata):
                    stage = progress.Progress("", "", 0, 0)
                    for stage in progress.stages(metadata):
                        report(stage)
                    if metadata.losses and not told:
                        told = True
                        report(replace(stage, losses=tuple(metadata.losses)))
                if operation.done:
                    if operation.HasField("error"):
                        failure = from_status(operation.error)
                        failure.facts["job"] = operation.name
                        raise failure
                    return operation
        raise FramehouseError(f"{job} was no longer told of before its end", remedy="read it again")

    async def cancel_job(self, name: str) -> None:
        """Asks a job to stop; what it wrote is removed."""
        await self._call("JobService/CancelJob", job_pb2.CancelJobRequest(name=name), empty_pb2.Empty)

    async def retry_job(self, name: str, report: Report = progress.ignore) -> operations_pb2.Operation:
        """Starts a job that failed or was cancelled again, as a new one, and answers with that when it has ended.

        The new job is cancelled where the caller is; `response` of the answer is that of the method that had started
        the job.
        """
        request = job_pb2.RetryJobRequest(name=name)
        job = await self._call("JobService/RetryJob", request, operations_pb2.Operation)
        return await self._ended(job.name, report)

    # --- keys

    async def create_key(
        self,
        user: str = "",
        *,
        scopes: Sequence[str] = ("read", "write"),
        display_name: str = "",
        expire_time: datetime | None = None,
        requests_per_second: int = 0,
        concurrent_jobs: int = 0,
        stored_bytes: int = 0,
    ) -> key_pb2.Key:
        """Makes a key of a user (of the one that short names mean, where none is given); `secret` is told this once.

        `scopes`: `read`, `write`, `admin`. A limit of 0 is that of the suite's settings.
        """
        if unknown := [scope for scope in scopes if scope not in SCOPES]:
            raise InvalidArgument(f"{unknown[0]!r} is no scope", remedy=f"use one of: {', '.join(SCOPES)}")
        limits = key_pb2.KeyLimits(
            requests_per_second=requests_per_second, concurrent_jobs=concurrent_jobs, stored_bytes=stored_bytes
        )
        key = key_pb2.Key(display_name=display_name, scopes=[SCOPES[scope] for scope in scopes], limits=limits)
        if expire_time is not None:
            key.expire_time.FromDatetime(expire_time)
        request = key_pb2.CreateKeyRequest(parent=self._names.user(user), key=key)
        return await self._call("KeyService/CreateKey", request, key_pb2.Key)

    async def list_keys(self, user: str = "") -> list[key_pb2.Key]:
        """The keys of a user, or with `-` those of all, newest first, without their secrets."""
        found: list[key_pb2.Key] = []
        request = key_pb2.ListKeysRequest(parent=self._names.user(user), page_size=1000)
        async for page in self._pages("KeyService/ListKeys", request, key_pb2.ListKeysResponse):
            found.extend(page.keys)
        return found

    async def revoke_key(self, name: str) -> None:
        """Takes a key (`users/.../keys/...`) out of use, within seconds."""
        await self._call("KeyService/RevokeKey", key_pb2.RevokeKeyRequest(name=name), empty_pb2.Empty)

    # --- calls

    async def _ended(self, job: str, report: Report) -> operations_pb2.Operation:
        """A job of ours when it has ended; where the caller goes, the job goes."""
        try:
            return await self.wait(job, report)
        except asyncio.CancelledError:
            raise asyncio.CancelledError(await self._stop(job)) from None

    async def _result(self, job: operations_pb2.Operation, response: type[R], report: Report) -> R:
        """The response of a job of ours; where the caller goes, the job goes."""
        operation = await self._ended(job.name, report)
        result = response()
        operation.response.Unpack(result)
        return result

    async def _stop(self, job: str) -> str:
        """Cancels a job whose caller is on the way out, and says what became of it."""

        async def stop() -> None:
            await self.cancel_job(job)
            await self.wait(job)

        match await _last(stop()):
            case Cancelled():
                return f"{job} is stopped, and what it wrote is removed"
            case asyncio.CancelledError():
                return f"{job} was asked to stop"
            case FramehouseError() as error:
                return f"{job} could not be asked to stop and may go on: {error}"
            case _:
                return f"{job} had ended before it could be stopped"

    async def _call(self, method: str, request: Message, response: type[R], work_seconds: float = 0.0) -> R:
        return await self._connection.call(f"/framehouse.v1.{method}", request, response, work_seconds)

    async def _pages(self, method: str, request: Any, response: type[R]) -> AsyncGenerator[R, None]:
        """The answers of a listing, page by page; `request` is moved on."""
        while True:
            page: Any = await self._call(method, request, response)
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token


def _choice(what: str, said: str, choices: Mapping[str, T]) -> T:
    if said not in choices:
        raise InvalidArgument(f"{what} is {said!r}", remedy=f"use one of: {', '.join(filter(None, choices))}")
    return choices[said]


def _view(annotations: bool, all_tasks: bool) -> dataset_pb2.ImageView:
    if all_tasks:
        return dataset_pb2.IMAGE_VIEW_ALL_TASKS
    return dataset_pb2.IMAGE_VIEW_FULL if annotations else dataset_pb2.IMAGE_VIEW_BASIC


async def _last(work: Coroutine[Any, Any, object]) -> object:
    """Work on the way out, which must neither hide the reason nor hold it up: its result or its error."""
    task = asyncio.ensure_future(work)
    await asyncio.wait([task], timeout=CANCEL_SECONDS)
    task.cancel()
    (result,) = await asyncio.gather(task, return_exceptions=True)
    return result


def _say_kept(error: BaseException) -> None:
    """Adds to what ended an upload that it can be resumed."""
    if isinstance(error, FramehouseError):
        error.remedy = f"{error.remedy}; {_KEPT}" if error.remedy else _KEPT
    elif isinstance(error, asyncio.CancelledError):
        error.args = (_KEPT,)
