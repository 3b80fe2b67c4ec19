"""Frames of a video: decoded once and in order from where the video lies; those that are wanted become JPEGs in packs.

The same video and options give the same packs, byte for byte. Whatever comes after the first damage is left out, for
its frames could not be numbered.
"""

import io
import json
import math
import struct
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import ExitStack
from fractions import Fraction
from typing import Any, cast

import av
import cv2
import pyarrow as pa
import xxhash
from av.buffer import Buffer
from av.container import InputContainer
from av.stream import Discard, Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from framehouse.runtime import errors, jobs
from framehouse.runtime.config import Settings, settings
from framehouse.store.archive import INDEX_SCHEMA
from framehouse.store.bucket import Bucket, MultipartWriter
from framehouse.store.entry_bytes import DamagedEntry
from framehouse.store.entry_file import open_entry
from framehouse.store.frames import BatchFile, write_batches
from framehouse.store.issues import ERROR, WARNING, IssueLog
from framehouse.store.repack import PACK_SIZE, known_index
from framehouse.v1 import conversion_pb2, media_pb2
from services.media.shard import decoders

JPEG_QUALITY = 95
IN_FLIGHT = 4
"""Frames of one video that are being made JPEGs at once."""
ROWS = 10_000
"""Rows of the index that are held as Python objects at once."""
DEFAULT_FPS = 1.0
UNKNOWN_RATE = Fraction(25)
"""Frames a second where the video does not say."""

CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,avi,matroska,webm"
"""What FFmpeg may take a file for. Its other readers open further files and addresses that a file names."""

BOXES = frozenset(b"ftyp styp moov moof mdat free skip wide pnot uuid sidx ssix mfra meta pdin udta emsg prft".split())
"""What an MP4 or MOV file is made of, at its top."""
PIECES = 1000
"""Pieces of a file that are looked at to see whether it is whole; a fragmented one may have more."""

Picture = tuple[int, NDArray[Any]]
"""The number of a frame, and its pixels: upright, height × width × 3 bytes, blue first."""


def extract_frames(bucket: Bucket, request: media_pb2.ExtractFramesRequest) -> media_pb2.ExtractFramesResponse:
    """What `MediaService.ExtractFrames` promises."""
    _check_options(request.options)
    video = BatchFile(bucket, request.videos_key).batch(request.video).to_pylist()[0]
    pack_key = f"{request.pack_key}-{request.video:06d}-{_digest(video, request.options, settings())}"
    index_key = f"{pack_key}.index"
    known = known_index(bucket, index_key)
    if known is None:
        known = _extract(bucket, video, request.options, pack_key, f"{request.output_key}.video", settings())
    table, log = known
    write_batches(bucket, request.output_key, INDEX_SCHEMA, table.to_batches())
    return media_pb2.ExtractFramesResponse(frame_count=table.num_rows, issues=log.save(bucket, request.output_key))


def _check_options(options: conversion_pb2.VideoOptions) -> None:
    rate = options.WhichOneof("rate")
    if rate == "every" and options.every < 1:
        raise errors.InvalidArgument(
            f"every is {options.every}; 1 takes every frame of a video, 2 every second", field="read.video.every"
        )
    if rate == "fps" and not 0 < options.fps < math.inf:
        raise errors.InvalidArgument(
            f"fps is {options.fps}; give the frames a second to take, above 0", field="read.video.fps"
        )


def _digest(video: Mapping[str, Any], options: conversion_pb2.VideoOptions, limits: Settings) -> str:
    """Another one wherever the frames or what is said of them would be another."""
    rate = options.WhichOneof("rate")
    said = (video["path"], video["folder"], rate, rate and getattr(options, rate), limits.max_image_pixels)
    return xxhash.xxh3_64_hexdigest(json.dumps(said).encode())


def _extract(
    bucket: Bucket,
    video: Mapping[str, Any],
    options: conversion_pb2.VideoOptions,
    pack_key: str,
    scratch_key: str,
    limits: Settings,
) -> tuple[pa.Table, IssueLog]:
    """Lays the frames into `<pack_key>-0000`, `<pack_key>-0001` …, and their index at `<pack_key>.index`."""
    index_key = f"{pack_key}.index"
    log = IssueLog()
    written: list[str] = []
    try:
        pictures = _pictures(bucket, video, options, scratch_key, limits, log)
        table = _lay_out(bucket, pack_key, written, video, _encoded(pictures), limits)
    except (errors.InvalidArgument, errors.Cancelled):
        if bucket.size(index_key) is None:  # else another job did it meanwhile
            bucket.remove(written)
        raise
    log.save(bucket, index_key)
    write_batches(bucket, index_key, INDEX_SCHEMA, table.to_batches())
    return table, log


def _lay_out(
    bucket: Bucket,
    pack_key: str,
    written: list[str],
    video: Mapping[str, Any],
    frames: Iterator[tuple[int, bytes]],
    limits: Settings,
) -> pa.Table:
    """Writes the frames one after the other; notes the packs' keys in `written` as they are begun."""
    batches: list[pa.RecordBatch] = []
    rows: list[dict[str, Any]] = []
    writer: MultipartWriter | None = None
    byte_count = 0
    with ExitStack() as pack:
        for count, (number, data) in enumerate(frames, 1):
            byte_count += len(data)
            _check(video["path"], count, byte_count, limits)
            if writer is None or writer.position + len(data) > PACK_SIZE:
                pack.close()
                written.append(f"{pack_key}-{len(written):04d}")
                writer = pack.enter_context(bucket.writer(written[-1]))
            rows.append(
                {
                    "path": f"{video['folder']}/frame_{number:06d}.jpg",
                    "object": written[-1],
                    "header_offset": -1,
                    "data_offset": writer.position,
                    "stored_size": len(data),
                    "size": len(data),
                    "method": 0,
                    "crc32": zlib.crc32(data),
                    "frame": number,
                }
            )
            writer.write(data)
            if len(rows) == ROWS:
                batches.append(pa.RecordBatch.from_pylist(rows, schema=INDEX_SCHEMA))
                rows = []
    batches.append(pa.RecordBatch.from_pylist(rows, schema=INDEX_SCHEMA))
    return pa.Table.from_batches(batches, INDEX_SCHEMA).combine_chunks()


def _check(path: str, count: int, byte_count: int, limits: Settings) -> None:
    """Refuses a video of more frames, or more bytes of frames, than an archive may have."""
    if count > limits.max_archive_entries:
        raise errors.InvalidArgument(
            f"{path} has more than {limits.max_archive_entries:,} frames to take; take fewer of them",
            reason="ARCHIVE_TOO_MANY_ENTRIES",
            facts={"limit": str(limits.max_archive_entries)},
        )
    if byte_count > limits.max_archive_bytes:
        raise errors.InvalidArgument(
            f"the frames of {path} have more than {limits.max_archive_bytes:,} bytes; take fewer of them",
            reason="ARCHIVE_TOO_LARGE",
            facts={"limit": str(limits.max_archive_bytes)},
        )


def _encoded(pictures: Iterator[Picture]) -> Iterator[tuple[int, bytes]]:
    """The frames as JPEGs, in their order; the next ones are decoded meanwhile."""
    under_way: deque[tuple[int, Future[bytes]]] = deque()
    try:
        for number, pixels in pictures:
            under_way.append((number, decoders().submit(_jpeg, pixels)))
            if len(under_way) == IN_FLIGHT:
                first, data = under_way.popleft()
                yield first, data.result()
        while under_way:
            first, data = under_way.popleft()
            yield first, data.result()
    finally:
        for _, data in under_way:
            data.cancel()


def _jpeg(pixels: NDArray[Any]) -> bytes:
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()


def _pictures(
    bucket: Bucket,
    video: Mapping[str, Any],
    options: conversion_pb2.VideoOptions,
    scratch_key: str,
    limits: Settings,
    log: IssueLog,
) -> Iterator[Picture]:
    """The wanted frames of a video, as far as it can be decoded; the log says what it could not."""
    path = video["path"]
    if video["size"] > limits.max_archive_bytes:
        log.add(
            "ENTRY_EXPANDS_TOO_MUCH",
            ERROR,
            path,
            f"the video unpacks to {video['size']:,} bytes; at most {limits.max_archive_bytes:,} are taken",
            "cut it into several",
        )
        return
    try:
        with open_entry(bucket, video, scratch_key, jobs.report) as file:
            yield from _decoded(file, path, options, limits, log)
    except DamagedEntry as damage:
        log.add("ENTRY_DAMAGED", ERROR, path, f"the entry is damaged: {damage}", "make or send the archive again")
    finally:
        if video["method"] != 0:
            bucket.remove([scratch_key])


def _decoded(
    file: io.RawIOBase, path: str, options: conversion_pb2.VideoOptions, limits: Settings, log: IssueLog
) -> Iterator[Picture]:
    """The wanted frames of a file."""
    source = _Source(file)
    cut_off = _is_cut_off(source)
    number = 0
    damage = ""
    announced = 0
    try:
        with av.open(
            source,
            "r",
            metadata_errors="ignore",
            options={
                "format_whitelist": CONTAINERS,
                "protocol_whitelist": "none",
                "max_pixels": str(limits.max_image_pixels),
            },
        ) as container:
            stream = container.streams.best("video")
            if not isinstance(stream, VideoStream) or stream.disposition & Disposition.attached_pic:
                damage = "it holds no video stream"
            elif not stream.codec_context:
                damage = "it is packed by a codec that is not known here"
            elif stream.width * stream.height > limits.max_image_pixels:
                log.add(
                    "IMAGE_TOO_MANY_PIXELS",
                    ERROR,
                    path,
                    f"its frames have {stream.width:,} × {stream.height:,} pixels; "
                    f"at most {limits.max_image_pixels:,} are taken",
                    "scale the video down",
                )
                return
            else:
                announced = stream.frames
                wanted = _chooser(options, stream, by_number=container.format.name == "avi")
                reformatter = VideoReformatter()
                for frame in _whole_frames(container, stream, cut_off):
                    jobs.report(number)
                    if wanted(frame, number):
                        pixels = reformatter.reformat(frame, format="bgr24").to_ndarray()
                        yield number, _upright(pixels, frame)
                    number += 1
    except av.error.FFmpegError as error:
        damage = f"it cannot be decoded ({error.strerror or error})"
    if source.failure is not None:
        raise source.failure
    _tell(log, path, number, damage, cut_off and (bool(damage) or number < announced or not announced))


def _tell(log: IssueLog, path: str, number: int, damage: str, cut_off: bool) -> None:
    """Notes why a video ended before its end, if it did: an error where it gave no frame, else a warning."""
    if cut_off:
        code, what, remedy = "VIDEO_TRUNCATED", "the end of the file is missing", "fetch or record the video again"
    elif damage or not number:
        code, what, remedy = (
            "VIDEO_UNREADABLE",
            damage or "it holds no frame",
            "save it as MP4 with H.264, and try again",
        )
    else:
        return
    if number:
        log.add(code, WARNING, path, f"{what}; the frames before number {number:,} were taken", remedy)
    else:
        log.add(code, ERROR, path, f"{what}; no frame could be taken", remedy)


def _whole_frames(container: InputContainer, stream: VideoStream, cut_off: bool) -> Iterator[VideoFrame]:
    """All frames, in the order in which they are shown, up to the first that is damaged or missing.

    `FFmpegError` after the frames before the damage. What the decoder holds then is left out: frames that are shown
    before it may be among those that never came.
    """
    for other in container.streams:
        if other is not stream:
            other.discard = Discard.all
    # What is parallel here is the videos; a decoder's own threads would hold many more frames.
    stream.codec_context.thread_count = 1
    for count, packet in enumerate(container.demux(stream)):
        if packet.is_corrupt:
            raise av.error.InvalidDataError(0, "a packet is incomplete")
        if not packet.size and cut_off and (count < stream.frames or not stream.frames):
            return  # the last packet is empty, and asks for what is held
        for frame in packet.decode():
            if frame.is_corrupt:
                raise av.error.InvalidDataError(0, "a frame is damaged")
            yield frame


def _chooser(
    options: conversion_pb2.VideoOptions, stream: VideoStream, *, by_number: bool
) -> Callable[[VideoFrame, int], bool]:
    """Says of each frame in turn, with its number, whether it is wanted.

    By rate, it is the frame nearest to each multiple of 1/fps seconds after the first. `by_number`: frames have no
    times of their own, as in AVI, whose times are those of packets.
    """
    rate = options.WhichOneof("rate")
    if rate == "every":
        every = options.every
        return lambda frame, number: number % every == 0
    fps = Fraction(options.fps if rate else DEFAULT_FPS)
    interval = 1 / (stream.average_rate or UNKNOWN_RATE)
    begin: Fraction | None = None
    tick = 0

    def wanted(frame: VideoFrame, number: int) -> bool:
        nonlocal begin, tick
        time = number * interval
        if frame.pts is not None and frame.time_base and not by_number:
            time = frame.pts * frame.time_base
        if begin is None:
            begin = time
        due = math.floor((time - begin + interval / 2) * fps)
        if due < tick:
            return False
        tick = due + 1
        return True

    return wanted


def _upright(pixels: NDArray[Any], frame: VideoFrame) -> NDArray[Any]:
    """Turned and mirrored as the display matrix says, whose angles other than quarters are taken for the nearest.

    A point (x, y) is shown at (a x + c y, b x + d y); the matrix is a b u c d v x y w (FFmpeg's display.h).
    """
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return pixels
    a, b, _, c, d = struct.unpack_from("<5i", cast(Buffer, matrix))
    if abs(b) + abs(c) > abs(a) + abs(d):
        pixels = pixels.transpose(1, 0, 2)
        a, d = c, b
    return pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]


class _Source(io.RawIOBase):
    """A file for FFmpeg, which drops some of the errors that reading raises: they are kept here."""

    def __init__(self, file: io.RawIOBase) -> None:
        super().__init__()
        self._file = file
        self.failure: Exception | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._file.seek(offset, whence)

    def read(self, size: int | None = -1, /) -> bytes:
        try:
            return self._file.read(-1 if size is None else size) or b""
        except errors.ServiceError as error:
            self.failure = error
            return b""


def _is_cut_off(source: io.RawIOBase) -> bool:
    """Whether a piece of the file says that it is longer than the file, which is read from its beginning again after.

    Pieces are the boxes of ISO 14496-12 (MP4, MOV), the RIFF chunks of AVI, and the segment of Matroska (RFC 8794).
    """
    end = source.seek(0, io.SEEK_END)
    at = 0
    for _ in range(PIECES):
        if not 0 <= at < end:
            break
        source.seek(at)
        at = _piece_end(source.read(16), at)
    source.seek(0)
    return at > end


def _piece_end(head: bytes, at: int) -> int:
    """Where the piece ends that begins with `head` at byte `at`; -1 where that is not said."""
    if len(head) < 8:
        return -1
    if head.startswith(b"RIFF"):
        return at + 8 + int(struct.unpack_from("<I", head, 4)[0])
    if head[:4] in (b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"):
        width = 9 - head[4].bit_length()
        size = int.from_bytes(head[4 : 4 + width]) & ~(1 << 7 * width)
        unknown = width > 8 or size == (1 << 7 * width) - 1
        return -1 if unknown else at + 4 + width + size
    size = int.from_bytes(head[:4])
    if size == 1 and len(head) == 16:
        size = int.from_bytes(head[8:])
    return at + size if size >= 8 and head[4:8] in BOXES else -1
