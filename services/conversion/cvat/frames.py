"""Planning the reading of CVAT's files for videos: frames, which are the images, and the parts that tracks are read in.

Such a file names no images, only numbers of frames. Images are found by the number in their names; where an archive
holds none, the meta says which frames there are.
"""

import posixpath
import re
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from framehouse.annotations.geometry import Integers
from framehouse.annotations.plan import Part
from framehouse.annotations.splits import canonical_split, known_split
from framehouse.runtime import errors
from framehouse.store.bucket import Bucket
from framehouse.store.frames import BatchFile, write_batches
from framehouse.store.issues import INFO, IssueLog
from services.conversion.archive import Archive
from services.conversion.cvat.files import Element, File, Problem, find_files, parse, parser, scan, tag
from services.conversion.cvat.images import folders, plan_of, tell_missing, unlisted
from services.conversion.cvat.meta import Dataset, Task
from services.conversion.cvat.shapes import Detail
from services.conversion.format import ReadPlan
from services.conversion.unpacked import part_bytes

FRAME = re.compile(rb"\sframe\s*=\s*[\"'](\d{1,9})[\"']")
MAX_FRAMES = 1 << 20
"""Frames without annotations that a meta can add."""


@dataclass
class Video:
    """A task of a file: its frames have numbers of their own."""

    file: File
    task: Task
    subset: str
    frames: set[int] = field(default_factory=set)
    """Those that have annotations."""


@dataclass
class Found:
    """A track, where it lies."""

    file: int
    video: int
    number: int
    begin: int
    end: int
    line: int


def plan(archive: Archive, issues: IssueLog) -> ReadPlan:
    """Finds files, classes, frames and parts. InvalidArgument where there is no such file."""
    files, dataset = find_files(archive), Dataset(issues)
    videos: list[Video] = []
    tracks: list[Found] = []
    for number, file in enumerate(files):
        _read(archive, number, file, dataset, videos, tracks, issues)
    _number(tracks)
    table, keys, rows = _plan_rows(archive, videos, issues)
    scratch = archive.scratch.rstrip("/")
    sizes = [[video.task.width, video.task.height] for video in videos]
    schema = pa.schema([("key", pa.int64()), ("row", pa.int64())], {b"sizes": msgspec.json.encode(sizes)})
    write_batches(archive.bucket, f"{scratch}/frames", schema, [pa.record_batch([keys, rows], schema=schema)])
    batches: list[pa.RecordBatch] = []
    parts: list[Part] = []
    for first, end in _cuts(tracks, part_bytes(sum(file.size for file in files))):
        mine, file = tracks[first:end], files[tracks[first].file]
        begin = mine[0].begin
        columns = {
            "begin": [track.begin - begin for track in mine],
            "end": [track.end - begin for track in mine],
            "line": [track.line for track in mine],
            "video": [track.video for track in mine],
            "track": [track.number for track in mine],
        }
        detail = Detail(f"{scratch}/elements", len(batches), file.encoding, f"{scratch}/frames")
        text = msgspec.json.encode(detail).decode()
        parts.append(Part(file.path, file.key, file.offset + begin, mine[-1].end - begin, text))
        batches.append(pa.RecordBatch.from_pydict({name: pa.array(v, pa.int64()) for name, v in columns.items()}))
    if batches:
        write_batches(archive.bucket, f"{scratch}/elements", batches[0].schema, batches)
    return ReadPlan(table, dataset.schema(), parts)


def _read(
    archive: Archive,
    number: int,
    file: File,
    dataset: Dataset,
    videos: list[Video],
    tracks: list[Found],
    issues: IssueLog,
) -> None:
    """Takes the videos and tracks of a file."""
    stem = posixpath.splitext(posixpath.basename(file.path))[0]
    named = stem if known_split(stem) else ""
    mine: dict[str, int] = {}
    images: list[int] = []
    using = parser()

    def video(task: Task, subset: str) -> int:
        if task.id not in mine:
            mine[task.id] = len(videos)
            videos.append(Video(file, task, subset or task.subset or named))
        return mine[task.id]

    def take(element: Element) -> None:
        if element.name == "meta":
            for task in dataset.read(element, file):
                video(task, "")
        elif element.name == "image":
            images.append(element.line)
        else:
            dataset.learn(element, file)
            node = parse(tag(element.data), file.encoding, using)
            said = {} if isinstance(node, Problem) else {str(k): str(v) for k, v in node.attrib.items()}
            name, subset = said.get("task_id", ""), said.get("subset", "")
            if name not in mine and len(mine) == 1:
                # A task's own tracks do not say its id.
                at = next(iter(mine.values()))
            else:
                at = video(Task(name, subset, 0, 0, -1, 1, 0, 0), subset)
            videos[at].subset = videos[at].subset or subset
            videos[at].frames.update(map(int, FRAME.findall(element.data)))
            given = said.get("id", "")
            own = int(given) if given.isdecimal() and len(given) < 10 else -1
            end = element.start + len(element.data)
            tracks.append(Found(number, at, own, element.start, end, element.line))

    scan(archive, file, take, issues)
    if not mine:
        video(Task("", "", 0, 0, -1, 1, 0, 0), "")
    if images:
        text = f"the annotations of {len(images):,} images were not read"
        issues.add("FILE_OF_OTHER_TASK", INFO, file.path, text, "import it as cvat-images", images[0])


def _number(tracks: list[Found]) -> None:
    """Gives a number of their own to tracks that have none, or that of another one."""
    taken: set[int] = set()
    left = []
    for track in tracks:
        if track.number < 0 or track.number in taken:
            left.append(track)
        else:
            taken.add(track.number)
    following = max(taken, default=-1) + 1
    for i, track in enumerate(left):
        track.number = following + i


def _cuts(tracks: list[Found], size: int) -> list[tuple[int, int]]:
    """Runs of tracks of one file, of some `size` bytes each."""
    if not tracks:
        return []
    bounds = [0]
    for i, (before, track) in enumerate(pairwise(tracks), 1):
        if track.file != before.file or track.begin - tracks[bounds[-1]].begin >= size:
            bounds.append(i)
    return list(pairwise([*bounds, len(tracks)]))


def _plan_rows(archive: Archive, videos: list[Video], issues: IssueLog) -> tuple[pa.Table, pa.Array, pa.Array]:
    """The plan's images, and the row of each frame: keys ascending (see `frame_key`), and rows."""
    image_rows = archive.images()
    entries = archive.paths.take(pa.array(image_rows))
    given = archive.entries["frame"].combine_chunks().take(pa.array(image_rows)).to_pylist()
    claimed = _claims(videos, entries.to_pylist(), given, issues)
    shared = _shared(videos)
    columns: dict[str, list[Any]] = {name: [] for name in ("name", "at", "split", "split_name", "width", "height")}
    frames: list[int] = []
    keys: list[int] = []
    for number, (video, mine) in enumerate(zip(videos, claimed, strict=True)):
        split = canonical_split(video.subset)
        wanted = video.frames | mine.keys() | (set() if len(entries) else _said(video.task))
        prefix = f"task_{video.task.id}/" if shared[number] else ""
        for frame in sorted(wanted):
            at, name = mine.get(frame, (-1, f"frame_{frame:06d}.png"))
            # Images that are there have sizes of their own.
            size = (0, 0) if video.task.of_images and at >= 0 else (video.task.width, video.task.height)
            row = (prefix + name, at, split, video.subset if split else "", size[0] or None, size[1] or None)
            for column, value in zip(columns.values(), row, strict=True):
                column.append(value)
            frames.append(frame)
            keys.append(frame_key(number, frame))
    types = {"name": pa.string(), "at": pa.int64(), "split": pa.string(), "split_name": pa.string()}
    arrays = {name: pa.array(values, types.get(name, pa.int32())) for name, values in columns.items()}
    table = pa.table({**arrays, "frame": pa.array(frames, pa.int64()), "source": pa.nulls(len(keys), pa.string())})
    if not keys and not len(entries):
        raise errors.InvalidArgument(
            f"{videos[0].file.path} has no frames, and the archive no images", reason="IMAGES_MISSING"
        )
    tell_missing(table["name"].filter(pc.less(table["at"], 0)), videos[0].file.path, len(entries), issues)
    rest = unlisted(entries, table["at"].to_numpy(), issues)
    table = pa.concat_tables([table, rest.select(table.column_names)])
    plan = plan_of(archive, table, image_rows)
    row_of = np.empty(table.num_rows, np.int64)
    row_of[plan["place"].to_numpy()] = np.arange(table.num_rows)
    key = np.array(keys, np.int64)
    order = np.argsort(key)
    return plan.drop_columns("place"), pa.array(key[order]), pa.array(row_of[: len(key)][order])


def _shared(videos: list[Video]) -> list[bool]:
    """Which videos share their split with one before."""
    splits = [canonical_split(video.subset) for video in videos]
    return [split in splits[:i] for i, split in enumerate(splits)]


def _said(task: Task) -> set[int]:
    """The frames that a meta says a task has."""
    last = task.stop if task.stop >= 0 else task.start + (task.size - 1) * task.step
    count = min(max((last - task.start) // task.step + 1, 0), task.size or MAX_FRAMES, MAX_FRAMES)
    return set(range(task.start, task.start + count * task.step, task.step))


Claim = dict[int, tuple[int, str]]
"""For the number of a frame the position of its image, and its name."""


def _claims(videos: list[Video], entries: list[str], given: list[int | None], issues: IssueLog) -> list[Claim]:
    """Which images of the archive are the frames of each video."""
    free = dict(enumerate(entries))
    claims: list[Claim] = []
    for video in videos:
        places = [f"{folder}/" if folder else "" for folder in folders(video.file, video.subset)]
        mine, prefix = next(
            (
                (here, place)
                for place in places
                if (here := [at for at, path in free.items() if path.startswith(place)])
            ),
            (list(free), "") if len(videos) == 1 else ([], ""),
        )
        numbers = _numbers(video, [entries[at] for at in mine], [given[at] for at in mine], issues)
        claim: Claim = {}
        for at, number in zip(mine, numbers, strict=True):
            if number is not None and number not in claim:
                claim[number] = at, entries[at].removeprefix(prefix)
                free.pop(at)
        claims.append(claim)
    return claims


def _numbers(video: Video, paths: list[str], given: list[int | None], issues: IssueLog) -> list[int | None]:
    """The number of the frame that each image is: that in its video, that in a name like frame_000012, or by order."""
    named = [re.search(r"(?i)frame[-_. ]?(\d{1,9})(?:\.[^./]*)?$", path) for path in paths]
    numbers = [
        known if known is not None else int(match[1]) if match else None
        for known, match in zip(given, named, strict=True)
    ]
    if any(number is not None for number in numbers) or not paths:
        return numbers
    task = video.task
    if len(paths) == (task.size or len(paths)) and not video.frames - _said(task._replace(size=len(paths), stop=-1)):
        text = "the file names no images; they were taken for its frames in the order of their names"
        issues.add("FRAMES_BY_ORDER", INFO, video.file.path, text, "call images frame_000000 and so on")
        place = {path: i for i, path in enumerate(sorted(paths))}
        return [task.start + task.step * place[path] for path in paths]
    ends = [re.search(r"(\d{1,9})(?:\.[^./]*)?$", path) for path in paths]
    return [int(match[1]) if match else None for match in ends]


def frame_key(video: int, frame: int) -> int:
    """What a frame is looked up by."""
    return video << 40 | frame


@dataclass(frozen=True)
class Frames:
    """Where the frames of videos are in a plan."""

    keys: Integers
    rows: Integers
    sizes: list[list[int]]
    """Width and height of each video."""

    def row(self, video: int, frame: str) -> int:
        """The row of a frame, -1 for none."""
        if not frame.isdecimal() or len(frame) > 9:
            return -1
        key = frame_key(video, int(frame))
        at = int(np.searchsorted(self.keys, key))
        return int(self.rows[at]) if at < len(self.keys) and self.keys[at] == key else -1


def open_frames(bucket: Bucket, key: str) -> Frames:
    """The frames that a plan wrote."""
    file = BatchFile(bucket, key)
    batch = file.batch(0)
    return Frames(batch["key"].to_numpy(), batch["row"].to_numpy(), msgspec.json.decode(file.schema.metadata[b"sizes"]))
