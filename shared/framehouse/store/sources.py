"""Whatever was uploaded, as an index: tells a zip, a tar and a compressed tar apart by their bytes, not their names."""

from collections.abc import Callable

import pyarrow as pa

from framehouse.runtime.config import Settings
from framehouse.store.archive import check_size, index_file
from framehouse.store.bucket import Bucket
from framehouse.store.issues import IssueLog
from framehouse.store.repack import codec_of, repack
from framehouse.store.tar import BLOCK, index_tar, is_tar


def index_archive(
    bucket: Bucket, key: str, limits: Settings, report: Callable[[int], None] = lambda done: None
) -> tuple[pa.Table, IssueLog]:
    """The index (INDEX_SCHEMA) of the archive at `key`, and what was left out of it.

    A zip and a plain tar stay where they are; a compressed tar is unpacked into objects beside it. `report` is told the
    entries so far. `InvalidArgument` with a reason that begins with ARCHIVE_; `NotFound` where there is no object.
    """
    with bucket.open(key) as file:
        check_size(file.size, limits)
        head = file.read(BLOCK)
        if codec := codec_of(head):
            return repack(bucket, key, codec, limits, report)
        if is_tar(head):
            return index_tar(bucket, key, limits, report)
        return index_file(file, key, limits)
