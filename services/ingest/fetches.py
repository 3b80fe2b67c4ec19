"""Uploads from elsewhere: the list of the files, and the upload that is made of them at the end.

Names are those of an archive's entries, and are judged by the same rules. A file that cannot be had is an issue beside
the upload's index, where the import that reads the upload finds it. The files themselves: `fetch_run`.
"""

import threading
from collections.abc import Iterator
from itertools import islice
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc

from framehouse.runtime import jobs
from framehouse.runtime.config import settings
from framehouse.runtime.errors import FailedPrecondition, InvalidArgument, PermissionDenied, ServiceError
from framehouse.store import issues
from framehouse.store.archive import (
    FOLDER,
    INDEX_SCHEMA,
    LITTER,
    check_count,
    check_size,
    leave_out,
    object_to_names,
    remark,
    tidied,
)
from framehouse.store.bucket import bucket
from framehouse.store.frames import BatchFile, write_batches
from framehouse.store.issues import IssueLog
from framehouse.v1 import ingest_pb2
from services.ingest import s3_sources, uploads
from services.ingest.catalogue import Catalogue
from services.ingest.fetch_requests import urls_key
from services.ingest.fetch_run import ALONE, LIST_ROWS, LIST_SCHEMA, note
from services.ingest.remote import Failed, Refused
from services.ingest.web import Place, parse, shown, url_mode

TIDY_ROWS = 1 << 16
"""Names that are judged at once."""

Row = tuple[str, str, int]
"""As LIST_SCHEMA has them."""


def plan(request: ingest_pb2.FetchFilesRequest) -> ingest_pb2.FetchFilesResponse:
    """Writes the list (LIST_SCHEMA), and an empty index with the issues of what is not on it."""
    log = IssueLog()
    if request.source.WhichOneof("source") == "s3_prefix":
        rows, alone = _objects(request.source.s3_prefix)
    else:
        urls = list(request.source.urls.urls) or _urls_set_aside(urls_key(request.list_key))
        rows, alone = _files_at(urls, log), len(urls) == 1
    count = size = 0

    def listed() -> Iterator[pa.RecordBatch]:
        nonlocal count, size
        for batch in _even(_usable(rows, log)):
            count += batch.num_rows
            size += pc.sum(pc.max_element_wise(batch["size"], 0)).as_py()
            check_count(count, settings())
            check_size(size, settings())
            jobs.report(count)
            yield batch

    schema = LIST_SCHEMA.with_metadata({ALONE: "1"} if alone else {})
    write_batches(bucket(), request.list_key, schema, listed())
    if not count and not len(log):
        raise InvalidArgument(f"there is no object under {request.source.s3_prefix}", reason="SOURCE_EMPTY")
    write_batches(bucket(), request.output_key, INDEX_SCHEMA, ())
    return ingest_pb2.FetchFilesResponse(
        file_count=count, byte_count=size, issues=log.save(bucket(), request.output_key)
    )


def _urls_set_aside(key: str) -> list[str]:
    if bucket().size(key) is None:
        raise FailedPrecondition(
            "the URLs of this job are no longer kept; fetch them by a new call", reason="URLS_NOT_KEPT"
        )
    return list(ingest_pb2.UrlList.FromString(bucket().get(key)).urls)


def _files_at(urls: list[str], log: IssueLog) -> Iterator[Row]:
    """The files at the URLs, each once, under names that differ. Those that are never fetched are issues."""
    mode = url_mode(settings().fetch_urls)
    places: dict[str, Place] = {}
    for url in dict.fromkeys(url.strip() for url in urls):
        try:
            places[url] = parse(url, mode)
        except Refused as error:
            note(log, shown(url), shown(url), error)
    several = len({place.host for place in places.values()}) > 1
    taken: dict[str, int] = {}
    for url, place in places.items():
        name = unquote(place.target.partition("?")[0]).strip("/") or place.host
        if several:
            name = f"{place.host}/{name}"
        taken[name] = number = taken.get(name, 0) + 1
        if number > 1:
            folder, slash, file = name.rpartition("/")
            stem, dot, extension = file.partition(".")
            name = f"{folder}{slash}{stem} ({number}){dot}{extension}"
        yield name, url, -1


def _objects(prefix: str) -> tuple[Iterator[Row], bool]:
    """The objects under a prefix, and whether it is itself the only one."""
    source, inside = s3_sources.find(prefix)
    found = s3_sources.Objects(source, 1, threading.Event()).under(inside)
    try:
        first = next(found, None)
    except Failed as error:
        raise FailedPrecondition(f"{prefix} cannot be listed: {error}", reason="SOURCE_UNREADABLE") from error

    def rows() -> Iterator[Row]:
        if first is not None:
            yield first.name, first.key, first.size
        try:
            for one in found:
                yield one.name, one.key, one.size
        except Failed as error:
            raise FailedPrecondition(f"{prefix} cannot be listed: {error}", reason="SOURCE_UNREADABLE") from error

    return rows(), first is not None and first.key == inside


def _usable(rows: Iterator[Row], log: IssueLog) -> Iterator[pa.RecordBatch]:
    """The files that an archive could hold as well; the others are litter, or issues."""
    while some := list(islice(rows, TIDY_ROWS)):
        table = pa.table([list(column) for column in zip(*some, strict=True)], schema=LIST_SCHEMA)
        dropped = pc.or_(
            pc.match_substring_regex(table["path"], FOLDER), pc.match_substring_regex(table["path"], LITTER)
        )
        table = table.filter(pc.invert(dropped))
        if table.num_rows:
            table = table.set_column(0, "path", tidied(table["path"].combine_chunks()))
            yield from leave_out(table, object_to_names(table["path"]), log).combine_chunks().to_batches()


def _even(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same rows, LIST_ROWS in each batch but the last."""
    rest = LIST_SCHEMA.empty_table()
    for batch in batches:
        rest = pa.concat_tables([rest, pa.Table.from_batches([batch], LIST_SCHEMA)])
        full = rest.num_rows - rest.num_rows % LIST_ROWS
        yield from rest.slice(0, full).combine_chunks().to_batches(LIST_ROWS)
        rest = rest.slice(full)
    yield from rest.combine_chunks().to_batches()


# --- the upload


def finish(catalogue: Catalogue, request: ingest_pb2.FinishFetchRequest) -> ingest_pb2.Upload:
    """Makes the upload. Where nothing was fetched, the first issue is the error."""
    key = uploads.pack_key(request.upload_id)
    size = bucket().size(key)  # an archive, fetched as it is
    if size is None:
        indexes, log = [INDEX_SCHEMA.empty_table()], IssueLog()
        for index_key in request.index_keys:
            indexes.append(pa.Table.from_batches(BatchFile(bucket(), index_key).batches(), INDEX_SCHEMA))
            log.extend(issues.load(bucket(), index_key))
        index = leave_out(pa.concat_tables(indexes), [], log).sort_by("path").combine_chunks()
        if not index.num_rows:
            raise _nothing(log)
        remark(index["path"], log)
        size = pc.sum(index["stored_size"]).as_py()
        check_size(size, settings())
        # The order of repack: an index without its issues would hide them, issues without their index harm nobody.
        log.save(bucket(), f"{key}.index")
        write_batches(bucket(), f"{key}.index", index.schema, index.to_batches())
    return uploads.add_fetched(catalogue, request.upload_id, request.file_name, size, request.owner)


def _nothing(log: IssueLog) -> ServiceError:
    found = log.table()
    code, message, remedy = (found[name][0].as_py() for name in ("code", "message", "remedy"))
    more = f" ({found.num_rows:,} files in all could not be fetched)" if found.num_rows > 1 else ""
    kind = PermissionDenied if code == "FETCH_REFUSED" else FailedPrecondition
    return kind(f"nothing could be fetched: {message}{more}; {remedy}", reason=code)
