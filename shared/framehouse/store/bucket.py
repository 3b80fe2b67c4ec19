"""The bucket: blocking, thread-safe access to the one place where bytes are kept, over the S3 API.

Every failure leaves here as an error of `framehouse.runtime.errors`: a store that does not answer is `Unavailable`, an
absent key is `NotFound`. What the objects mean is said by the modules beside this one.
"""

import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import cache
from itertools import islice
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import quote

import minio
import urllib3
from minio.credentials import Credentials
from minio.datatypes import Part
from minio.deleteobjects import DeleteObject
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError
from prometheus_client import Counter
from urllib3.exceptions import HTTPError, ResponseError

from framehouse.runtime import errors
from framehouse.runtime.config import Settings, settings
from framehouse.store.seeking import SeekableFile

PART_SIZE = 16 << 20
"""Bytes of the first thousand parts of a multipart upload; each thousand after that is larger by as much."""

READ_AHEAD = 1 << 20
"""Bytes that `Bucket.open` asks for at least, at once."""

PARTS_IN_FLIGHT = 2

READ_PIECE = 256 << 10
"""Bytes that are copied at once to where they are wanted."""

RETRIES = 3

CONTENT_TYPE = "application/x-binary"
"""Of what is written here. SeaweedFS packs what has no type of its own with gzip, where that seems to help: then text
takes twice the time to write and ten times the time to read, all of it in the store."""

Data = bytes | bytearray | memoryview

BYTES = Counter("framehouse_store_bytes", "Bytes exchanged with the object store", ["direction"])
READ = BYTES.labels("read")
WRITTEN = BYTES.labels("written")

DENIED = {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"}
BUSY = {"InternalError", "ServiceUnavailable", "SlowDown", "RequestTimeout"}


class UploadedPart(NamedTuple):
    """A part of a multipart upload as the store holds it."""

    number: int
    """From 1."""
    etag: str
    """Without quotes."""
    size: int


class _Client(minio.Minio):  # type: ignore[misc]  # which says no types
    """A client that signs its requests, but not the bytes in them, over http too: to hash them takes two thirds of the
    time of sending them, and what is read is compared with checksums of its own.
    """

    def _build_headers(
        self, host: str, headers: dict[str, Any] | None, body: Data | None, creds: Credentials | None
    ) -> tuple[dict[str, Any], datetime]:
        if not body or self._base_url.is_https:
            built, date = super()._build_headers(host, headers, body, creds)
        else:
            built, date = super()._build_headers(host, headers, None, creds)
            built |= {"Content-Length": str(len(body)), "x-amz-content-sha256": "UNSIGNED-PAYLOAD"}
        return built, date


class Bucket:
    """The bucket that the settings name."""

    def __init__(self, settings: Settings) -> None:
        self.name = settings.store_bucket
        self.endpoint = settings.store_endpoint
        if not settings.store_secret_key.get_secret_value():
            raise errors.FailedPrecondition(
                "there is no secret key for the object store; set FRAMEHOUSE_STORE_SECRET_KEY",
                reason="STORE_NOT_CONFIGURED",
            )
        pool = urllib3.PoolManager(
            maxsize=32,
            timeout=urllib3.Timeout(connect=5, read=60),
            retries=urllib3.Retry(total=RETRIES, backoff_factor=0.1, status_forcelist=[500, 502, 503, 504]),
        )

        def client(endpoint: str) -> minio.Minio:
            return _Client(
                endpoint,
                access_key=settings.store_access_key,
                secret_key=settings.store_secret_key.get_secret_value(),
                secure=settings.store_secure,
                region=settings.store_region,
                http_client=pool,
            )

        self._client = client(self.endpoint)
        public = settings.store_public_endpoint or self.endpoint
        # A URL's signature covers its host; signing itself needs no connection.
        self._signer = self._client if public == self.endpoint else client(public)

    def ensure_bucket(self) -> None:
        """Creates the bucket unless it exists."""
        with self._errors(""):
            if not self._client.bucket_exists(self.name):
                try:
                    self._client.make_bucket(self.name)
                except S3Error as error:
                    if error.code not in ("BucketAlreadyExists", "BucketAlreadyOwnedByYou"):
                        raise

    def put(self, key: str, data: Data) -> None:
        """Writes an object whole, replacing what was there."""
        if len(data) > 4 * PART_SIZE:
            with self.writer(key) as writer:
                writer.write(data)
            return
        with self._errors(key):
            self._client._put_object(self.name, key, data, {"Content-Type": CONTENT_TYPE})
        WRITTEN.inc(len(data))

    def put_if_absent(self, key: str, data: Data) -> bool:
        """Writes an object unless the key is taken; says whether it was written. Atomic."""
        with self._errors(key):
            try:
                self._client._put_object(self.name, key, data, {"If-None-Match": "*", "Content-Type": CONTENT_TYPE})
            except S3Error as error:
                if error.code == "PreconditionFailed":
                    return False
                raise
        WRITTEN.inc(len(data))
        return True

    def get(self, key: str) -> bytes:
        """The object's bytes. `NotFound` where there is none."""
        return self._read(key, {})[0]

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        """`length` bytes from `offset` (not negative); fewer where the object ends before."""
        if length <= 0:
            return b""
        return self._read(key, {"Range": f"bytes={offset}-{offset + length - 1}"})[0]

    def read_into(self, key: str, offset: int, buffer: memoryview) -> int:
        """Fills a buffer with the bytes from `offset` on; answers with how many there are before the object ends."""
        filled = failures = 0
        with self._errors(key):
            while filled < len(buffer):
                headers = {"Range": f"bytes={offset + filled}-{offset + len(buffer) - 1}"}
                try:
                    response = self._client._execute("GET", self.name, key, headers=headers, preload_content=False)
                except S3Error as error:
                    if error.code == "InvalidRange":  # beyond the end
                        break
                    raise
                try:
                    for piece in response.stream(READ_PIECE):
                        buffer[filled : filled + len(piece)] = piece
                        filled += len(piece)
                        READ.inc(len(piece))
                    break
                except HTTPError:  # where urllib3 reads a body itself, it tries again itself
                    failures += 1
                    if failures > RETRIES:
                        raise
        return filled

    def get_tail(self, key: str, length: int) -> tuple[bytes, int]:
        """The last `length` bytes, or all where there are fewer, and the size of the whole object."""
        return self._read(key, {"Range": f"bytes=-{length}"})

    def size(self, key: str) -> int | None:
        """Bytes of the object; None where there is none."""
        part = self.as_part(key)
        return part and part.size

    def as_part(self, key: str) -> UploadedPart | None:
        """The object as the one part that it was sent in; None where there is none."""
        with self._errors(key):
            try:
                found = self._client.stat_object(self.name, key)
            except S3Error as error:
                if error.code == "NoSuchKey":
                    return None
                raise
        return UploadedPart(1, (found.etag or "").strip('"'), found.size or 0)

    def keys(self, prefix: str, after: str = "") -> Iterator[str]:
        """All keys that begin with `prefix`, in order; only those after `after` where that is given."""
        with self._errors(prefix):
            for item in self._client.list_objects(self.name, prefix, recursive=True, start_after=after or None):
                if item.object_name:
                    yield item.object_name

    def modified(self, prefix: str) -> Iterator[tuple[str, datetime]]:
        """All keys that begin with `prefix`, in order, with the time at which each object was written."""
        with self._errors(prefix):
            for item in self._client.list_objects(self.name, prefix, recursive=True):
                if item.object_name and item.last_modified:
                    yield item.object_name, item.last_modified

    def remove(self, keys: Iterable[str]) -> None:
        """Removes objects; absent ones are no error."""
        with self._errors(""):
            for failure in self._client.remove_objects(self.name, (DeleteObject(key) for key in keys)):
                if failure.code != "NoSuchKey":
                    raise errors.Unavailable(
                        "object store", self.endpoint, f"{failure.name} was not removed: {failure.message}"
                    )

    def remove_prefix(self, prefix: str) -> None:
        """Removes every object whose key begins with `prefix`. An empty prefix is refused."""
        if not prefix:
            raise ValueError("an empty prefix would remove everything")
        # A page is removed before the next is listed: what is gone cannot be listed twice, and memory stays small.
        while page := list(islice(self.keys(prefix), 1000)):
            self.remove(page)

    def writer(self, key: str) -> "MultipartWriter":
        """An object written piece by piece; see `MultipartWriter`."""
        return MultipartWriter(self, key)

    def open(self, key: str) -> "ObjectFile":
        """An object as a seekable file, read by ranges. `NotFound` where there is none."""
        size = self.size(key)
        if size is None:
            raise errors.NotFound("object", key)
        return ObjectFile(self, key, size)

    def presign_get(self, key: str, seconds: int, file_name: str) -> str:
        """A URL to fetch an object from without any key, saved by browsers as `file_name`. At most seven days."""
        plain = file_name.encode("ascii", "replace").decode().replace('"', "_").replace("\\", "_").replace("?", "_")
        disposition = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(file_name, safe='')}"
        return str(
            self._signer.presigned_get_object(
                self.name,
                key,
                expires=timedelta(seconds=seconds),
                response_headers={"response-content-disposition": disposition},
            )
        )

    def presign_put(self, key: str, seconds: int) -> str:
        """A URL to `PUT` an object to without any key. At most seven days."""
        return str(self._signer.presigned_put_object(self.name, key, expires=timedelta(seconds=seconds)))

    def create_multipart(self, key: str) -> str:
        """Begins an upload in parts; answers with its id."""
        with self._errors(key):
            return str(self._client._create_multipart_upload(self.name, key, {}))

    def presign_part(self, key: str, upload_id: str, number: int, seconds: int) -> str:
        """A URL to `PUT` part `number` (from 1) to without any key. At most seven days."""
        return str(
            self._signer.get_presigned_url(
                "PUT",
                self.name,
                key,
                expires=timedelta(seconds=seconds),
                extra_query_params={"partNumber": str(number), "uploadId": upload_id},
            )
        )

    def put_part(self, key: str, upload_id: str, number: int, data: Data) -> str:
        """Sends part `number` (from 1); answers with its etag."""
        with self._errors(key):
            headers = {"Content-Type": CONTENT_TYPE}
            etag = str(self._client._upload_part(self.name, key, data, headers, upload_id, number))
        WRITTEN.inc(len(data))
        return etag

    def complete_multipart(self, key: str, upload_id: str, parts: Sequence[tuple[int, str]]) -> None:
        """Makes the object of its parts, each (number, etag), in order. `NotFound` where the upload is unknown."""
        listed = [Part(number, etag.strip('"')) for number, etag in parts]
        with self._errors(key):
            self._client._complete_multipart_upload(self.name, key, upload_id, listed)

    def abort_multipart(self, key: str, upload_id: str) -> None:
        """Gives an upload up and frees its parts; an unknown upload is no error."""
        with self._errors(key):
            try:
                self._client._abort_multipart_upload(self.name, key, upload_id)
            except S3Error as error:
                if error.code != "NoSuchUpload":
                    raise

    def unfinished(self, prefix: str) -> list[tuple[str, str, datetime]]:
        """Up to 1,000 uploads in parts below a prefix that have not ended: key, upload id, time of beginning."""
        with self._errors(prefix):
            page = self._client._list_multipart_uploads(self.name, prefix=prefix)
        return [(one.object_name, one.upload_id, one.initiated_time) for one in page.uploads if one.initiated_time]

    def list_parts(self, key: str, upload_id: str) -> list[UploadedPart]:
        """The parts that have arrived, by number. `NotFound` where the upload is unknown."""
        parts: list[UploadedPart] = []
        marker: str | None = None
        while True:
            with self._errors(key):
                page = self._client._list_parts(self.name, key, upload_id, part_number_marker=marker)
            parts += [UploadedPart(part.part_number, part.etag.strip('"'), part.size or 0) for part in page.parts]
            if not page.is_truncated:
                return parts
            marker = str(page.next_part_number_marker)

    def _read(self, key: str, headers: dict[str, str]) -> tuple[bytes, int]:
        """The bytes that a GET answers with, and the size of the whole object."""
        with self._errors(key):
            try:
                # The body is read inside urllib3's retries, which `Minio.get_object` would leave out.
                response = self._client._execute("GET", self.name, key, headers=headers, preload_content=True)
            except S3Error as error:
                if error.code == "InvalidRange":  # beyond the end
                    return b"", 0
                raise
        data: bytes = response.data
        READ.inc(len(data))
        content_range = response.headers.get("Content-Range", "")
        return data, int(content_range.rpartition("/")[2]) if content_range else len(data)

    @contextmanager
    def _errors(self, key: str) -> Iterator[None]:
        """Turns what the client library raises into our errors."""
        try:
            yield
        except S3Error as error:
            if error.code == "NoSuchKey":
                raise errors.NotFound("object", key) from error
            if error.code == "NoSuchBucket":
                raise errors.NotFound("bucket", self.name) from error
            if error.code == "NoSuchUpload":
                raise errors.NotFound("multipart upload", key) from error
            if error.code == "ConditionalRequestConflict":
                raise errors.Aborted(f"somebody else writes {key!r} now", reason="OBJECT_CONTENDED") from error
            if error.code in DENIED:
                raise errors.FailedPrecondition(
                    f"the object store at {self.endpoint} refuses our access key: {error.message}",
                    reason="STORE_ACCESS_DENIED",
                ) from error
            if error.code in BUSY:
                raise errors.Unavailable("object store", self.endpoint, str(error.message)) from error
            raise errors.FailedPrecondition(
                f"the object store answers {error.code} for {key!r}: {error.message}", reason="STORE_REFUSED"
            ) from error
        except (ServerError, InvalidResponseError, HTTPError) as error:
            raise errors.Unavailable("object store", self.endpoint, _cause(error)) from error


@cache
def bucket() -> Bucket:
    """The bucket of this process."""
    return Bucket(settings())


class MultipartWriter:
    """A context manager that writes one object in order, in bounded memory.

    Small objects go by one PUT. Nothing is visible before it closes; after an exception nothing ever is.
    The buffer of a part that was sent takes a later one: buffers that come and go leave holes that no other fits.
    """

    def __init__(self, bucket: Bucket, key: str) -> None:
        self._bucket = bucket
        self._key = key
        self._buffer = bytearray()
        self._filled = 0
        """Bytes of the buffer that are to be sent: it may have held an earlier part, of which there were more."""
        self._spare: list[bytearray] = []
        self._part_size = PART_SIZE
        self._upload_id = ""
        self._sent: list[Future[str]] = []
        self._threads: ThreadPoolExecutor | None = None
        self._free = threading.Semaphore(PARTS_IN_FLIGHT)
        self.position = 0
        """Bytes written so far: the offset of the next write."""

    def __enter__(self) -> Self:
        return self

    def write(self, data: Data) -> int:
        """Appends bytes; blocks while enough parts are on their way. Answers with their number."""
        view = memoryview(data).cast("B")
        length = len(view)
        self.position += length
        while view:
            piece = view[: self._part_size - self._filled]
            if over := len(self._buffer) - self._filled:  # an earlier part is written over
                piece = piece[:over]
                memoryview(self._buffer)[self._filled : self._filled + len(piece)] = piece
            else:
                self._buffer += piece
            self._filled += len(piece)
            view = view[len(piece) :]
            if self._filled == self._part_size:
                self._send()
        return length

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        except BaseException:
            self._abort()
            raise
        if kind is not None:
            self._abort()

    def _send(self) -> None:
        if self._threads is None:
            self._upload_id = self._bucket.create_multipart(self._key)
            self._threads = ThreadPoolExecutor(PARTS_IN_FLIGHT, thread_name_prefix="multipart")
        self._free.acquire()
        for sent in self._sent[-PARTS_IN_FLIGHT - 1 :]:
            if sent.done():
                sent.result()  # a part that failed ends the whole now, not after the last part
        number = len(self._sent) + 1
        self._sent.append(self._threads.submit(self._put, number, self._buffer, self._filled))
        self._part_size = PART_SIZE * (1 + number // 1000)
        self._buffer = self._spare.pop() if self._spare else bytearray()
        self._filled = 0

    def _put(self, number: int, buffer: bytearray, filled: int) -> str:
        """Sends a part, the first bytes of a buffer, which is free for another one then."""
        try:
            return self._bucket.put_part(self._key, self._upload_id, number, memoryview(buffer)[:filled])
        finally:
            self._spare.append(buffer)
            self._free.release()

    def _finish(self) -> None:
        if self._threads is None:
            self._bucket.put(self._key, self._buffer)
            return
        if self._filled:
            self._send()
        parts = [(number, sent.result()) for number, sent in enumerate(self._sent, 1)]
        self._threads.shutdown()
        self._bucket.complete_multipart(self._key, self._upload_id, parts)

    def _abort(self) -> None:
        if self._threads is None:
            return
        self._threads.shutdown(cancel_futures=True)
        try:
            self._bucket.abort_multipart(self._key, self._upload_id)
        except errors.ServiceError:
            return  # the store is away, which is why we are here; its own lifecycle rule frees the parts


class ObjectFile(SeekableFile):
    """One object as a seekable, read-only file with read-ahead. Not thread-safe."""

    def __init__(self, bucket: Bucket, key: str, size: int) -> None:
        super().__init__(size)
        self.key = key
        self._bucket = bucket
        self._window = b""
        self._window_offset = 0

    def read(self, size: int | None = -1, /) -> bytes:
        rest = max(self.size - self._position, 0)
        length = rest if size is None or size < 0 else min(size, rest)
        start = self._position - self._window_offset
        if start < 0 or start + length > len(self._window):
            held = self._window[start:] if 0 <= start < len(self._window) else b""
            missing = length - len(held)
            self._window = held + self._bucket.get_range(
                self.key, self._position + len(held), min(max(missing, READ_AHEAD), rest - len(held))
            )
            self._window_offset = self._position
            start = 0
        data = self._window[start : start + length]
        self._position += len(data)
        return data

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        return self.read()


def _cause(error: Exception) -> str:
    """What went wrong, without the address and the object that urllib3 puts into its texts."""
    if isinstance(error, MinioException):
        return str(error)
    if isinstance(getattr(error, "reason", None), ResponseError):
        return "its answers are errors of its own; most often its disk is full, so make room there"
    return type(getattr(error, "reason", None) or error).__name__
