"""Single images and previews under signed URLs: a range of an object, streamed from the store.

What is served, and until when, is said by the URL alone (`framehouse.store.signed_urls`); nothing is looked up. Bytes
pass through in pieces; an image is checked against its checksum before its last piece is sent.
"""

import json
import re
import time
import zlib
from collections.abc import Generator, Iterator
from http import HTTPStatus
from itertools import chain
from typing import TYPE_CHECKING
from urllib.parse import quote

import grpc
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from framehouse.runtime.errors import NotFound, ServiceError
from framehouse.store.signed_urls import Target, signing_key, verify
from services.gateway.transcoding import error_body

if TYPE_CHECKING:
    from framehouse.store.bucket import Bucket

PIECE = 1 << 20
"""Bytes that are asked of the store and sent at once; most images are one piece."""

GONE = "it was removed after the URL was made; ask GetImage again"

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.IGNORECASE)


class _Unsatisfiable(ServiceError):
    """A range that begins after the end of the image."""

    code = grpc.StatusCode.OUT_OF_RANGE


class _Damaged(ServiceError):
    """The store does not hold what the URL says."""

    code = grpc.StatusCode.DATA_LOSS


async def answer(request: Request) -> Response:
    """The answer to a GET or HEAD of `/images/{token}`; raises the errors of `framehouse.runtime.errors`."""
    from framehouse.store.bucket import bucket

    what = verify(request.path_params["token"], signing_key())
    headers = headers_of(what, time.time())
    if is_known(request.headers.get("if-none-match"), what.etag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=_caching(headers))
    begin, end, status = 0, what.size, HTTPStatus.OK
    if request.method == "GET" and request.headers.get("if-range", f'"{what.etag}"') == f'"{what.etag}"':
        try:
            span = byte_range(request.headers.get("range", ""), what.size)
        except _Unsatisfiable as error:
            body = json.dumps(error_body(error.status(), HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE))
            refusal = {"content-range": f"bytes */{what.size}", "cache-control": "no-store"}
            return Response(body, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, refusal, "application/json")
        if span is not None:
            begin, end = span
            status = HTTPStatus.PARTIAL_CONTENT
            headers["content-range"] = f"bytes {begin}-{end - 1}/{what.size}"
    headers["content-length"] = str(end - begin)
    if request.method == "HEAD":
        if await run_in_threadpool(bucket().size, what.object) is None:
            raise NotFound("image", what.file_name, GONE)
        return Response(status_code=status, headers=headers)
    pieces = read(bucket(), what, begin, end)
    # Fetched before the status is sent, so that what is wrong with most images is said by it.
    first = await run_in_threadpool(next, pieces, b"")
    return StreamingResponse(chain((first,), pieces), status, headers)


def headers_of(what: Target, now: float) -> dict[str, str]:
    """The headers of every answer with this image. The bytes under a URL never change while it lives."""
    shown = "".join(letter if letter.isprintable() else "_" for letter in what.file_name)
    plain = re.sub(r'[^ -~]|["\\]', "_", shown)
    return {
        "content-type": what.media_type,
        "etag": f'"{what.etag}"',
        "cache-control": f"private, max-age={max(0, what.end - int(now))}, immutable",
        "accept-ranges": "bytes",
        "content-disposition": f"inline; filename=\"{plain}\"; filename*=UTF-8''{quote(shown, safe='')}",
        "x-content-type-options": "nosniff",
        # An uploaded file that a browser takes for a document can run nothing and load nothing.
        "content-security-policy": "default-src 'none'; sandbox",
    }


def _caching(headers: dict[str, str]) -> dict[str, str]:
    return {name: headers[name] for name in ("etag", "cache-control")}


def is_known(if_none_match: str | None, etag: str) -> bool:
    """Whether the caller has these bytes already (RFC 9110, 13.1.2)."""
    if if_none_match is None:
        return False
    known = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return "*" in known or f'"{etag}"' in known


def byte_range(header: str, size: int) -> tuple[int, int] | None:
    """Begin and end, exclusive, of the one range that is asked for (RFC 9110, 14.1.2); none for the whole.

    What is no range of bytes is ignored, and so are several at once, as the RFC allows. Raises an error for a range
    that holds nothing of the image.
    """
    found = _RANGE.fullmatch(header.strip())
    if found is None or not any(found.groups()):
        return None
    first, last = found.groups()
    if not first:
        begin, end = max(0, size - int(last)), size
    elif last and int(last) < int(first):
        return None
    else:
        begin, end = int(first), min(size, int(last) + 1 if last else size)
    if begin >= end:
        raise _Unsatisfiable(f"the image has {size} bytes, and none of them is in {header}", reason="RANGE_EMPTY")
    return begin, end


def read(bucket: "Bucket", what: Target, begin: int, end: int) -> Generator[bytes, None, None]:
    """Bytes `begin` to `end` of the image, in pieces. Blocks.

    Raises `NotFound` where the object is gone and `DATA_LOSS` where it holds something else; of a whole image the last
    piece is held back until the checksum is right, so that nobody takes damaged bytes for an image.
    """
    try:
        pieces = _stored(bucket, what, begin, end) if what.method == 0 else _inflated(bucket, what, begin, end)
        if end - begin < what.size or what.crc32 is None:
            yield from pieces
            return
        held, checksum = b"", 0
        for piece in pieces:
            if held:
                yield held
            held, checksum = piece, zlib.crc32(piece, checksum)
        if checksum != what.crc32:
            raise _damaged(what, "its bytes do not match their checksum")
        yield held
    except NotFound:
        raise NotFound("image", what.file_name, GONE) from None


def _stored(bucket: "Bucket", what: Target, begin: int, end: int) -> Iterator[bytes]:
    """Bytes of the range as they lie in the object."""
    for at in range(begin, end, PIECE):
        length = min(PIECE, end - at)
        piece = bucket.get_range(what.object, what.offset + at, length)
        if len(piece) < length:
            raise _damaged(what, "its object ends too early")
        yield piece


def _inflated(bucket: "Bucket", what: Target, begin: int, end: int) -> Iterator[bytes]:
    """Bytes of a deflated range, unpacked from its beginning and dropped up to `begin`."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    done = 0
    for packed in _stored(bucket, what, 0, what.stored_size):
        rest, more = packed, True
        while more:
            try:
                piece = inflater.decompress(rest, PIECE)
            except zlib.error as error:
                raise _damaged(what, f"its bytes cannot be unpacked ({error})") from None
            rest, more = inflater.unconsumed_tail, len(piece) == PIECE or bool(inflater.unconsumed_tail)
            start, done = done, done + len(piece)
            if done > what.size:
                raise _damaged(what, "it unpacks to more bytes than announced")
            if wanted := piece[max(0, begin - start) : max(0, end - start)]:
                yield wanted
            if done >= end < what.size:
                return
    if done < end:
        raise _damaged(what, "it unpacks to fewer bytes than announced")


def _damaged(what: Target, why: str) -> _Damaged:
    text = f"image {what.file_name!r} is damaged in the store: {why}; upload it again"
    return _Damaged(text, reason="IMAGE_DAMAGED", facts={"object": what.object})
