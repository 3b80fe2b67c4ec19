"""Videos of an archive: which there are, where their frames go, and the index with the frames in their place."""

from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc

from framehouse.runtime import errors
from framehouse.runtime.config import Settings
from framehouse.store import issues
from framehouse.store.archive import INDEX_SCHEMA, check_count, is_video
from framehouse.store.bucket import Bucket
from framehouse.store.frames import BatchFile, write_batches
from framehouse.v1 import ingest_pb2
from framehouse.v1.annotation_pb2 import SEVERITY_ERROR

VIDEO_SCHEMA = pa.schema([*INDEX_SCHEMA, pa.field("folder", pa.string())])


def write_videos(bucket: Bucket, key: str, index: pa.Table) -> int:
    """Writes the videos that an index (INDEX_SCHEMA, by path) lists, one record batch each; answers with their number.

    Nothing is written where there are none.
    """
    videos = index.filter(is_video(index["path"]))
    if videos.num_rows:
        videos = videos.append_column("folder", pa.array(_folders(index, videos["path"].to_pylist()), pa.string()))
        batches = videos.cast(VIDEO_SCHEMA).combine_chunks().to_batches(max_chunksize=1)
        write_batches(bucket, key, VIDEO_SCHEMA, batches)
    return int(videos.num_rows)


def add_frames(bucket: Bucket, request: ingest_pb2.AddFramesRequest, limits: Settings) -> int:
    """What `IngestService.AddFrames` promises; answers with the number of frames.

    `FailedPrecondition` where the archive holds nothing but videos, and none of them gave a frame.
    """
    index = _table(bucket, request.index_key)
    index = index.filter(pc.invert(is_video(index["path"])))
    keys = [f"{request.frames_prefix}{video:06d}" for video in range(request.video_count)]
    merged = pa.concat_tables([index, *(_table(bucket, key) for key in keys)])
    check_count(merged.num_rows, limits)
    if not merged.num_rows:
        raise errors.FailedPrecondition(
            f"nothing in the archive could be used: {_first_error(bucket, keys)}", reason="NOTHING_USABLE"
        )
    merged = merged.sort_by("path").combine_chunks()
    write_batches(bucket, request.output_key, INDEX_SCHEMA, merged.to_batches())
    return int(merged.num_rows - index.num_rows)


def _folders(index: pa.Table, paths: list[str]) -> list[str]:
    """Where the frames of each video go: a folder named as the video without its extension.

    With its extension where that folder is there already, or two videos would share it.
    """
    taken = _folders_of(index)
    stems = [_stem(path) for path in paths]
    shared = Counter(stems)
    result = []
    for path, stem in zip(paths, stems, strict=True):
        folder = stem if shared[stem] == 1 and stem not in taken else path
        number = 1
        while folder in taken:
            number += 1
            folder = f"{path} ({number})"
        taken.add(folder)
        result.append(folder)
    return result


def _stem(path: str) -> str:
    """The path without its extension; with it where no name would be left."""
    folder, slash, name = path.rpartition("/")
    stem = name.rpartition(".")[0]
    return folder + slash + stem if stem.strip(".") else path


def _folders_of(index: pa.Table) -> set[str]:
    """All folders of an archive."""
    inner = index.filter(pc.match_substring(index["path"], "/"))
    found: set[str] = set()
    for deepest in pc.unique(pc.replace_substring_regex(inner["path"], "/[^/]*$", "")).to_pylist():
        folder = deepest
        while folder and folder not in found:
            found.add(folder)
            folder = folder.rpartition("/")[0]
    return found


def _table(bucket: Bucket, key: str) -> pa.Table:
    file = BatchFile(bucket, key)
    return pa.Table.from_batches(file.batches(), file.schema)


def _first_error(bucket: Bucket, keys: list[str]) -> str:
    for key in keys:
        for issue in issues.messages(issues.load(bucket, key)):
            if issue.severity == SEVERITY_ERROR:
                return f"{issue.path}: {issue.message}; {issue.remedy}"
    return "its videos have no frames"
