"""The step that assembles an archive and enters it among the exports."""

import re
from datetime import UTC, datetime, timedelta

from framehouse.runtime import jobs
from framehouse.runtime.config import settings
from framehouse.runtime.errors import InvalidArgument
from framehouse.runtime.writing import bundle_key
from framehouse.store.archive_writer import write_archive
from framehouse.store.bucket import bucket
from framehouse.v1 import dataset_pb2, export_pb2
from services.export import records

FILE_NAME = re.compile(r"[^/\\\x00-\x1f]{1,255}")


def assemble(request: export_pb2.AssembleArchiveRequest) -> export_pb2.Export:
    """What `ExportService.AssembleArchive` promises."""
    if not records.NAME.fullmatch(request.export) or not FILE_NAME.fullmatch(request.file_name):
        raise InvalidArgument("export and file_name must be a plain name each", field="file_name")
    asked = request.request
    records.remove(bucket(), request.export)
    bundles = [bundle_key(request.bundle_prefix, number) for number in range(request.bundle_count)]
    summary = write_archive(
        bucket(),
        [*bundles, request.last_bundle_key],
        f"{request.export}/{request.file_name}",
        jobs.report,
        volume_bytes=asked.volume_bytes,
        facts=_facts(request),
    )
    export = export_pb2.Export(
        name=request.export,
        format=request.format,
        size=summary.size,
        image_count=request.image_count,
        annotation_count=request.annotation_count,
        dataset=asked.dataset,
        version=asked.version,
        write=asked.write,
        losses=request.losses,
        owner=request.owner,
    )
    for file in summary.files:
        export.files.add(name=file.key.rpartition("/")[2], size=file.size, hash=file.hash)
    export.file_name = export.files[0].name
    now = datetime.now(UTC)
    export.create_time.FromDatetime(now)
    export.expire_time.FromDatetime(now + kept_for(asked))
    mark = records.fingerprint(asked, request.table) if request.HasField("request") else ""
    records.save(bucket(), export, mark)
    return export


def kept_for(request: export_pb2.ExportDatasetRequest) -> timedelta:
    """How long an export is kept."""
    return timedelta(seconds=request.keep_seconds or settings().export_keep_seconds)


def _facts(request: export_pb2.AssembleArchiveRequest) -> dict[str, object]:
    """What the manifest says of the archive, beside what conversion has counted.

    All of it depends on the data and the request alone, so that the same gives the same bytes.
    """
    facts: dict[str, object] = {"manifest": 1, "format": request.format}
    if request.HasField("request"):
        facts["dataset"] = request.request.dataset
        facts["version"] = request.request.version
    if request.HasField("table"):
        facts["data_time"] = _commit_time(request.table)
    return facts | {"image_count": request.image_count, "annotation_count": request.annotation_count}


def _commit_time(table: dataset_pb2.Table) -> str:
    """When the version of the table was committed; empty where that is not known.

    By the manifest of the version, which Lance names so that the newest comes first in a listing. To open the table
    for it would take this process more memory than all else that it does.
    """
    name = f"{table.key.rstrip('/')}/_versions/{(1 << 64) - 1 - table.version:020d}.manifest"
    return next((time.isoformat(timespec="seconds") for _, time in bucket().modified(name)), "")
