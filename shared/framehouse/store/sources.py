"""Whatever was uploaded, as an index: tells a zip, a tar and a compressed tar apart by their bytes, not their names.

A file that is none of them is an image, a video or an NDJSON dataset alone, where its name says so.
"""

import re
from collections.abc import Callable

import pyarrow as pa

from framehouse.runtime.config import Settings
from framehouse.store.archive import CONTROL, INDEX_SCHEMA, check_size, index_file
from framehouse.store.bucket import Bucket
from framehouse.store.image_names import IMAGE_EXTENSIONS, VIDEO_EXTENSIONS
from framehouse.store.issues import IssueLog
from framehouse.store.repack import codec_of, known_index, repack
from framehouse.store.tar import BLOCK, index_tar, is_tar

ZIP_MAGIC = b"PK"


def index_archive(
    bucket: Bucket,
    key: str,
    limits: Settings,
    report: Callable[[int], None] = lambda done: None,
    file_name: str = "",
) -> tuple[pa.Table, IssueLog]:
    """The index (INDEX_SCHEMA) of the archive at `key`, and what was left out of it.

    A zip and a plain tar stay where they are; a compressed tar is unpacked into objects beside it, once. What was
    fetched file by file lies in such objects from the beginning, and there is nothing at `key` itself. `report` is
    told the entries so far. `file_name` is what the upload is called. `InvalidArgument` with a reason that begins with
    ARCHIVE_; `NotFound` where there is no object.
    """
    if (known := known_index(bucket, f"{key}.index")) is not None:
        return known
    with bucket.open(key) as file:
        check_size(file.size, limits)
        head = file.read(BLOCK)
        if codec := codec_of(head):
            return repack(bucket, key, codec, limits, report)
        if is_tar(head):
            return index_tar(bucket, key, limits, report)
        name = re.sub(CONTROL, "", file_name.replace("\\", "/").rpartition("/")[2])
        if file.size and not head.startswith(ZIP_MAGIC) and _is_usable(name):
            return _alone(key, name, file.size), IssueLog()
        return index_file(file, key, limits)


def _is_usable(name: str) -> bool:
    """Whether a file of that name may be an image, a video or an NDJSON dataset."""
    return name.rpartition(".")[2].lower() in IMAGE_EXTENSIONS | VIDEO_EXTENSIONS | {"ndjson"}


def _alone(key: str, name: str, size: int) -> pa.Table:
    """The index of an upload that is one file, and no archive of it."""
    row = {
        "path": name,
        "object": key,
        "header_offset": -1,
        "data_offset": 0,
        "stored_size": size,
        "size": size,
        "method": 0,
    }
    return pa.Table.from_pylist([row], schema=INDEX_SCHEMA)
