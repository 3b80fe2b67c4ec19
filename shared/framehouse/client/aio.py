"""`AsyncClient`: everything a suite does for its users, on asyncio.

Names are short (`cars`) or full (`users/local/datasets/cars`). Whoever cancels the coroutine that imports, exports or
converts cancels the job.
"""

import asyncio
import os
import threading
import uuid
from collections.abc import AsyncGenerator, Coroutine, Mapping, Sequence
from contextlib import aclosing, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from google.api import httpbody_pb2
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2
from google.protobuf.message import Message

from framehouse.client import images, progress, transfer
from framehouse.client.address import find_address
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
from framehouse.client.names import USER, dataset_name, image_name
from framehouse.client.options import ConvertChoices, ReadChoices, WriteChoices, read_options, write_options
from framehouse.client.packing import Archive, open_source
from framehouse.client.progress import Progress, Report
from framehouse.client.remote import Remote, is_remote, remote
from framehouse.client.resuming import Bookmark, bookmark
from framehouse.client.unpacking import check_target, unpack
from framehouse.v1 import (
    annotation_pb2,
    conversion_pb2,
    dataset_pb2,
    export_pb2,
    ingest_pb2,
    job_pb2,
    media_pb2,
    statistics_pb2,
)

R = TypeVar("R", bound=Message)

ADD: Mapping[str, ingest_pb2.AddPolicy] = {
    "": ingest_pb2.ADD_POLICY_UNSPECIFIED,
    "replace": ingest_pb2.ADD_POLICY_REPLACE,
    "keep": ingest_pb2.ADD_POLICY_KEEP,
    "rename": ingest_pb2.ADD_POLICY_RENAME,
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
RENDER_FORMATS: Mapping[str, media_pb2.RenderFormat] = {
    "webp": media_pb2.RENDER_FORMAT_WEBP,
    "jpeg": media_pb2.RENDER_FORMAT_JPEG,
    "png": media_pb2.RENDER_FORMAT_PNG,
}
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

    `deadline`: seconds that a call may take in all, repetitions while the suite is away included. All methods raise
    `FramehouseError`. `resumes`: whether uploads that are cut off are remembered, in the user's state folder, and
    continued.
    """

    def __init__(self, address: str | None = None, *, deadline: float = DEADLINE_SECONDS, resumes: bool = True) -> None:
        self.address = find_address(address)
        self._resumes = resumes
        self._connection = Connection(self.address, deadline)

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
        report: Report = progress.ignore,
        **choices: Unpack[ReadChoices],
    ) -> ingest_pb2.ImportDatasetResponse:
        """Makes a dataset of a path, a URL, an `s3://` prefix or a complete upload, and answers when it is there.

        `add`: what happens where the dataset exists to images that it has otherwise: `replace`, `keep`, `rename` or
        `fail`; empty, the name must be free. `max_side`: larger images get a normalised form of so many pixels (unset:
        4096, 0: none do); with `drop_originals` only that is kept of them.
        """
        if add not in ADD:
            raise InvalidArgument(f"add is {add!r}", remedy=f"use one of: {', '.join(filter(None, ADD))}")
        parent, _, dataset = dataset_name(name).partition("/datasets/")
        read = read_options(**choices)
        if isinstance(source, ingest_pb2.Upload):
            upload = source
        else:
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
        )
        job = await self._call("IngestService/ImportDataset", request, operations_pb2.Operation)
        return await self._result(job, ingest_pb2.ImportDatasetResponse, report)

    async def _upload_new(self, source: Source, name: str, report: Report) -> ingest_pb2.Upload:
        """Uploads for a dataset that is not there yet; a name that is taken is known before gigabytes are sent."""
        with suppress(NotFound):
            await self.get_dataset(name)
            raise AlreadyExists(
                f"dataset {dataset_name(name)!r} exists already",
                remedy="choose another name, delete it first, or say how to add to it (--add)",
                reason="DATASET_EXISTS",
            )
        return await self.upload(source, report)

    # --- datasets

    async def list_datasets(self) -> list[dataset_pb2.Dataset]:
        """All datasets, newest first."""
        found: list[dataset_pb2.Dataset] = []
        request = dataset_pb2.ListDatasetsRequest(parent=USER, page_size=1000)
        while True:
            page = await self._call("DatasetService/ListDatasets", request, dataset_pb2.ListDatasetsResponse)
            found.extend(page.datasets)
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token

    async def get_dataset(self, name: str) -> dataset_pb2.Dataset:
        """One dataset."""
        request = dataset_pb2.GetDatasetRequest(name=dataset_name(name))
        return await self._call("DatasetService/GetDataset", request, dataset_pb2.Dataset)

    async def delete_dataset(self, name: str, etag: str = "") -> None:
        """Removes a dataset; with `etag` only if it is still the one that was read."""
        request = dataset_pb2.DeleteDatasetRequest(name=dataset_name(name), etag=etag)
        await self._call("DatasetService/DeleteDataset", request, empty_pb2.Empty)

    async def statistics(self, name: str) -> statistics_pb2.Statistics:
        """The numbers of a dataset."""
        request = statistics_pb2.GetStatisticsRequest(name=dataset_name(name))
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

    async def get_image(self, name: str, *, annotations: bool = False) -> dataset_pb2.Image:
        """One image, with URLs of its bytes and its preview; `names.image_name` makes its name of its path."""
        request = dataset_pb2.GetImageRequest(name=name, view=_view(annotations))
        return await self._call("DatasetService/GetImage", request, dataset_pb2.Image)

    async def list_images(
        self, name: str, filter: str = "", order_by: str = "", *, limit: int | None = None, annotations: bool = False
    ) -> AsyncGenerator[dataset_pb2.Image, None]:
        """The images of a dataset that a filter selects, `limit` at most, all as they were when the first was read.

        `filter`: for instance `split = val AND label:car`; `order_by`: for instance `size desc, path`. Both are
        told of in `docs/catalogue.md`. The URLs of an image are those of the time at which it was read.
        """
        async with aclosing(self.image_pages(name, filter, order_by, limit=limit, annotations=annotations)) as pages:
            async for page in pages:
                for image in page.images:
                    yield image

    async def image_pages(
        self, name: str, filter: str = "", order_by: str = "", *, limit: int | None = None, annotations: bool = False
    ) -> AsyncGenerator[dataset_pb2.ListImagesResponse, None]:
        """What `list_images` goes through, page by page, each with the number of all images that are selected."""
        request = dataset_pb2.ListImagesRequest(
            parent=dataset_name(name), filter=filter, order_by=order_by, view=_view(annotations)
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

    async def list_duplicates(self, name: str) -> AsyncGenerator[dataset_pb2.DuplicateGroup, None]:
        """The images of a dataset that have the same bytes, as groups of two or more, the largest first."""
        request = dataset_pb2.ListDuplicatesRequest(parent=dataset_name(name), page_size=1000)
        while True:
            page = await self._call("DatasetService/ListDuplicates", request, dataset_pb2.ListDuplicatesResponse)
            for group in page.groups:
                yield group
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

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
        parent = dataset_name(name)
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
        by_folder: bool = False,
        etag: str = "",
        validate_only: bool = False,
    ) -> dataset_pb2.RedistributeSplitsResponse:
        """Deals the images out to splits anew, by their shares; without them train 0.8, val 0.2.

        `stratify`: keeps the shares within each class. `by_folder`: images of one folder, as frames of one video are,
        stay together; those of the same bytes always do. `validate_only` just says what the splits would be.
        """
        request = dataset_pb2.RedistributeSplitsRequest(
            name=dataset_name(name),
            shares=[dataset_pb2.SplitShare(split=split, share=share) for split, share in (shares or {}).items()],
            seed=seed,
            stratify=stratify,
            group=dataset_pb2.SPLIT_GROUP_FOLDER if by_folder else dataset_pb2.SPLIT_GROUP_UNSPECIFIED,
            etag=etag,
            validate_only=validate_only,
        )
        return await self._call("DatasetService/RedistributeSplits", request, dataset_pb2.RedistributeSplitsResponse)

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
        while True:
            page = await self._call("IngestService/ListIssues", request, ingest_pb2.ListIssuesResponse)
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    # --- archives out

    async def list_formats(self) -> list[conversion_pb2.Format]:
        """The formats and what each can hold."""
        request = conversion_pb2.ListFormatsRequest()
        answer = await self._call("ConversionService/ListFormats", request, conversion_pb2.ListFormatsResponse)
        return list(answer.formats)

    async def preview_loss(
        self, name: str, format: str, **choices: Unpack[WriteChoices]
    ) -> conversion_pb2.PreviewLossResponse:
        """What a format cannot hold of a dataset, and what would be done instead; nothing is written."""
        request = conversion_pb2.PreviewLossRequest(dataset=dataset_name(name), write=write_options(format, **choices))
        return await self._call("ConversionService/PreviewLoss", request, conversion_pb2.PreviewLossResponse)

    async def export_dataset(
        self,
        name: str,
        format: str,
        out: str | Path | None = None,
        *,
        report: Report = progress.ignore,
        **choices: Unpack[WriteChoices],
    ) -> export_pb2.ExportDatasetResponse:
        """Writes a dataset in a format, and fetches the archive where `out` is given, as `download` does."""
        write = write_options(format, **choices)
        target = check_target(out)
        request = export_pb2.ExportDatasetRequest(dataset=dataset_name(name), write=write, request_id=uuid.uuid4().hex)
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
        upload = source if isinstance(source, ingest_pb2.Upload) else await self.upload(source, report)
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

    async def get_export(self, name: str) -> export_pb2.Export:
        """A finished archive, with a fresh URL to fetch it from."""
        request = export_pb2.GetExportRequest(name=name)
        return await self._call("ExportService/GetExport", request, export_pb2.Export)

    async def download(self, export: str, out: str | Path, report: Report = progress.ignore) -> Path:
        """Fetches an export (`exports/...`) as a file where `out` ends in `.zip`, else unpacked into the folder `out`.

        Bytes of an attempt that was cut off are kept in `OUT.part` and not fetched again.
        """
        target = check_target(out) or Path()
        found = await self.get_export(export)
        is_file = target.suffix.lower() == ".zip"
        # Named by the export, so that no other export's bytes are ever continued.
        partial = target.parent / f".{target.name}.{export.rpartition('/')[2][:12]}.part"
        report(Progress("download", "bytes", 0, found.size))
        stop = threading.Event()

        def received(count: int) -> None:
            loop.call_soon_threadsafe(report, Progress("download", "bytes", count, found.size))

        loop = asyncio.get_running_loop()
        try:
            await asyncio.to_thread(transfer.fetch, found.url, found.size, partial, received, stop)
            if is_file:
                await asyncio.to_thread(os.replace, partial, target)
            else:
                await asyncio.to_thread(unpack, partial, target)
                await asyncio.to_thread(partial.unlink)
        except OSError as error:
            raise InvalidArgument(
                f"{str(target)!r} cannot be written: {(error.strerror or str(error)).lower()}",
                remedy="name another place, or make room there",
                reason="TARGET_UNWRITABLE",
            ) from error
        finally:
            stop.set()
        report(Progress("download", "bytes", found.size, found.size, ended=True))
        return target

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

    async def _call(self, method: str, request: Message, response: type[R]) -> R:
        return await self._connection.call(f"/framehouse.v1.{method}", request, response)


def _view(annotations: bool) -> dataset_pb2.ImageView:
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
