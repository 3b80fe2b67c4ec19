"""Formats that have nothing beside the images: what has no image to be written is not in the archive at all."""

import pyarrow as pa
import pyarrow.compute as pc

from framehouse.runtime.errors import FailedPrecondition
from framehouse.v1.conversion_pb2 import Loss

COLUMNS = ("bytes",)
"""Image columns that `with_bytes` looks at."""


def with_bytes(images: pa.Table, target: pa.Array) -> tuple[pa.Array, list[Loss]]:
    """Where images go, those of which there are no bytes nowhere; and what is lost by that.

    FailedPrecondition where nothing is left.
    """
    there = pc.is_valid(images["bytes"].combine_chunks())
    kept = pc.if_else(there, target, pa.scalar(None, target.type))
    absent = kept.null_count - target.null_count
    if kept.null_count == len(kept):
        raise FailedPrecondition(
            "nothing would be written: of the images that would be there are names, and no bytes; choose a format with "
            "label files, which name them, or import the images",
            reason="NOTHING_TO_WRITE",
        )
    if not absent:
        return target, []
    text = f"{absent:,} images are left out, for their bytes are not there, and no label file would name them"
    return kept, [Loss(code="IMAGE_MISSING", subject="images without bytes", image_count=absent, fallback=text)]
