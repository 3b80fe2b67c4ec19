"""A run of files from elsewhere, fetched several at once and laid into packs in the order in which they come.

A small file is held until it is whole; a larger one is written while it comes, and meanwhile no other is. What is
written of a file that breaks off stays in its pack, and nothing refers to it.
"""

import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from types import TracebackType
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from framehouse.runtime import jobs
from framehouse.runtime.config import Settings, settings
from framehouse.store import issues
from framehouse.store.archive import INDEX_SCHEMA, check_size
from framehouse.store.bucket import Bucket, MultipartWriter, bucket
from framehouse.store.frames import BatchFile, write_batches
from framehouse.store.image_names import IMAGE_EXTENSIONS
from framehouse.store.issues import ERROR, IssueLog
from framehouse.store.repack import PACK_SIZE, codec_of
from framehouse.store.tar import BLOCK, is_tar
from framehouse.v1 import ingest_pb2
from services.ingest import s3_sources
from services.ingest.remote import Body, Broken, Failed, Refused
from services.ingest.web import Web, shown, url_mode

LIST_SCHEMA = pa.schema(
    [
        pa.field("path", pa.string()),  # as the index will name it
        pa.field("source", pa.string()),  # URL, or key in the other bucket
        pa.field("size", pa.int64()),  # -1 where it is not known
    ]
)
LIST_ROWS = 1000
"""Files of one batch of a list."""
ALONE = "framehouse.alone"
"""Name of the metadata of a list whose only file may be an archive."""

CONNECTIONS = 8
TRIES = 3
"""How often a file that breaks off is begun anew."""
HELD = 4 << 20
"""Bytes of a file that are held at most."""
REPORT_SECONDS = 0.5
NOT_WAITED_FOR = "the job ended before it came"

ARCHIVE_EXTENSIONS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.zst", ".tzst")
ZIP_MAGIC = (b"PK\3\4", b"PK\5\6")

Open = Callable[[str], AbstractContextManager[Body]]


class Fetched(NamedTuple):
    """Where a file lies now."""

    path: str
    """Empty for an archive that is the whole upload."""
    object: str
    offset: int
    size: int
    crc32: int


def fetch(request: ingest_pb2.FetchFilesRequest) -> ingest_pb2.FetchFilesResponse:
    """Fetches the files of a run; safe to be run again."""
    listed = BatchFile(bucket(), request.list_key)
    alone = ALONE.encode() in (listed.schema.metadata or {})
    if bucket().size(request.output_key) is not None:
        # An attempt before this one came to its end, and nobody heard of it.
        index = pa.Table.from_batches(BatchFile(bucket(), request.output_key).batches(), INDEX_SCHEMA)
        log = IssueLog()
        log.extend(issues.load(bucket(), request.output_key))
        size = (bucket().size(request.pack_key) if alone else None) or pc.sum(index["size"]).as_py() or 0
        found = log.save(bucket(), request.output_key)
        return ingest_pb2.FetchFilesResponse(file_count=index.num_rows, byte_count=size, issues=found)

    bucket().remove_prefix(f"{request.pack_key}-")
    first, last = request.first // LIST_ROWS, (request.first + request.count - 1) // LIST_ROWS
    table = pa.Table.from_batches(listed.batches(first, last - first + 1), listed.schema)
    table = table.slice(request.first - first * LIST_ROWS, request.count)
    paths, sources = table["path"].to_pylist(), table["source"].to_pylist()

    stop = threading.Event()
    with ExitStack() as ends:
        ends.callback(stop.set)
        open_file = ends.enter_context(_opening(request.source, stop))
        packs = ends.enter_context(Packs(bucket(), request.pack_key, settings()))
        results = _all(list(zip(paths, sources, strict=True)), open_file, packs, stop, may_be_archive=alone)
    log = IssueLog()
    for path, source, result in zip(paths, sources, results, strict=True):
        if isinstance(result, Failed):
            note(
                log, path, f"{request.source.s3_prefix}: {path}" if request.source.s3_prefix else shown(source), result
            )
    fetched = [result for result in results if isinstance(result, Fetched)]
    index = _index([one for one in fetched if one.path])
    found = log.save(bucket(), request.output_key)
    write_batches(bucket(), request.output_key, index.schema, index.to_batches())
    return ingest_pb2.FetchFilesResponse(
        file_count=len(fetched), byte_count=sum(one.size for one in fetched), issues=found
    )


def note(log: IssueLog, path: str, what: str, why: Failed) -> None:
    """Makes an issue of a file that is not there."""
    if isinstance(why, Refused):
        remedy = "fetch it yourself and upload it; what may be fetched is a setting of the suite"
        log.add("FETCH_REFUSED", ERROR, path, f"{what} is not fetched: {why}", remedy)
    else:
        remedy = "look whether the address is right and the file is there, then fetch again"
        log.add("FETCH_FAILED", ERROR, path, f"{what} could not be fetched: {why}", remedy)


@contextmanager
def _opening(source: ingest_pb2.FetchUploadRequest, stop: threading.Event) -> Iterator[Open]:
    """What opens the files of the source."""
    if source.WhichOneof("source") == "s3_prefix":
        place, _ = s3_sources.find(source.s3_prefix)
        yield s3_sources.Objects(place, CONNECTIONS, stop).open
        return
    web = Web(url_mode(settings().fetch_urls), CONNECTIONS, stop)
    try:
        yield web.open
    finally:
        web.close()


def _all(
    files: Sequence[tuple[str, str]], open_file: Open, packs: "Packs", stop: threading.Event, *, may_be_archive: bool
) -> list[Fetched | Failed]:
    """Fetches (path, source) each; the results in order. Bytes so far are reported meanwhile."""

    def one(path: str, source: str) -> Fetched | Failed:
        for attempt in range(TRIES):
            if stop.is_set():
                break
            try:
                with open_file(source) as body:
                    return packs.take(path, body, may_be_archive=may_be_archive)
            except Broken as error:
                if attempt == TRIES - 1:
                    return error
            except Failed as error:
                return error
        return Failed(NOT_WAITED_FOR)

    results: list[Fetched | Failed] = [Failed(NOT_WAITED_FOR)] * len(files)
    failures: list[Exception] = []
    waiting = iter(enumerate(files))
    turn = threading.Lock()

    def work() -> None:
        while not stop.is_set():
            with turn:
                number, file = next(waiting, (0, None))
            if file is None:
                return
            try:
                results[number] = one(*file)
            except Exception as error:
                failures.append(error)
                stop.set()

    # Daemons: nobody waits for a thread that waits for a server. Whenever it comes back, it finds the packs closed.
    threads = [threading.Thread(target=work, name="fetch", daemon=True) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            while thread.is_alive() and not failures:
                thread.join(REPORT_SECONDS)
                jobs.report(packs.position)
    except BaseException:
        stop.set()
        raise
    if failures:
        raise failures[0]
    return results


class Packs:
    """The packs of a run, `<key>-0000`, `<key>-0001` …; or `<key>` itself, which is an archive as it came."""

    def __init__(self, bucket: Bucket, key: str, limits: Settings) -> None:
        self._bucket = bucket
        self._key = key
        self._limits = limits
        self._turn = threading.Lock()
        """Held while a file is written."""
        self._writing = threading.Lock()
        """Held for moments, so that the end of the run does not wait for a server."""
        self._open = ExitStack()
        self._object = ""
        self._writer: MultipartWriter | None = None
        self._count = 0
        self._ended = False
        self.position = 0
        """Bytes taken so far."""

    def __enter__(self) -> "Packs":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._writing:
            self._ended = True
            self._open.__exit__(kind, error, trace)

    def take(self, path: str, body: Body, *, may_be_archive: bool) -> Fetched:
        """Writes a file, and says where. Raises `Failed` where it breaks off or is too large."""
        held = bytearray()
        if may_be_archive:
            for chunk in body.chunks:
                held += chunk
                if len(held) >= BLOCK:
                    break
            if _is_archive(path, bytes(held[:BLOCK])):
                return self._archive(held, body)
        if body.encoded:
            raise Failed("its server sends it compressed, although it was asked not to")
        path = _named(path, body.content_type)
        limit = self._limits.max_image_bytes if _is_image(path) else self._limits.max_archive_bytes
        _within(body.size or 0, limit)
        for chunk in body.chunks:
            held += chunk
            _within(len(held), limit)
            if len(held) > HELD:
                break
        with self._turn:
            place, offset = self._begin(max(body.size or 0, len(held)))
            size = crc32 = 0
            for piece in _then(held, body.chunks):
                size += len(piece)
                _within(size, limit)
                crc32 = zlib.crc32(piece, crc32)
                self._write(piece)
        return Fetched(path, place, offset, size, crc32)

    def _archive(self, head: bytearray, body: Body) -> Fetched:
        """Writes an archive as it comes."""
        check_size(body.size or 0, self._limits)
        with self._writing:
            self._next(self._key)
        try:
            for piece in _then(head, body.chunks):
                self._write(piece)
        except Failed as error:
            with self._writing:
                self._open.__exit__(type(error), error, None)
            self.position = 0
            raise
        return Fetched("", self._key, 0, self.position, 0)

    def _begin(self, size: int) -> tuple[str, int]:
        """Where a file of about that size is to go."""
        with self._writing:
            if self._writer is None or (self._writer.position and self._writer.position + size > PACK_SIZE):
                self._next(f"{self._key}-{self._count:04d}")
                self._count += 1
            assert self._writer is not None
            return self._object, self._writer.position

    def _next(self, key: str) -> None:
        if self._ended:
            raise Failed(NOT_WAITED_FOR)
        self._open.close()
        self._object, self._writer = key, self._open.enter_context(self._bucket.writer(key))

    def _write(self, data: bytes | bytearray) -> None:
        with self._writing:
            if self._ended or self._writer is None:
                raise Failed(NOT_WAITED_FOR)
            self._writer.write(data)
            self.position += len(data)
        check_size(self.position, self._limits)


def _then(first: bytearray, rest: Iterator[bytes]) -> Iterator[bytes | bytearray]:
    yield first
    yield from rest


def _is_archive(path: str, head: bytes) -> bool:
    return (
        bool(codec_of(head)) or is_tar(head) or head.startswith(ZIP_MAGIC) or path.lower().endswith(ARCHIVE_EXTENSIONS)
    )


def _is_image(path: str) -> bool:
    return path.rpartition(".")[2].lower() in IMAGE_EXTENSIONS


def _named(path: str, content_type: str) -> str:
    """The name of a file; where only its type says that it is an image, with the extension of that."""
    kind, _, extension = content_type.partition("/")
    image = kind == "image" and extension in IMAGE_EXTENSIONS and not _is_image(path)
    return f"{path}.{extension}" if image else path


def _within(size: int, limit: int) -> None:
    if size > limit:
        raise Failed(f"it has {size:,} bytes or more; at most {limit:,} are taken")


def _index(fetched: list[Fetched]) -> pa.Table:
    """The files as rows of INDEX_SCHEMA, in the order of the list."""
    rows = [
        {
            "path": one.path,
            "object": one.object,
            "header_offset": -1,
            "data_offset": one.offset,
            "stored_size": one.size,
            "size": one.size,
            "method": 0,
            "crc32": one.crc32,
        }
        for one in fetched
    ]
    return pa.Table.from_pylist(rows, schema=INDEX_SCHEMA)
