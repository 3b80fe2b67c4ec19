"""The files that pass between the steps of an import: the read plan, and what media adds to it.

A read plan is made by conversion: one row an image, one record batch a shard, in the order of the archive. Media
answers for each shard with as many rows, and ingest joins the two with the labels.
"""

import msgspec
import pyarrow as pa

from framehouse.annotations.schema import NORMALISED, RANGE
from framehouse.v1.conversion_pb2 import ReadOptions

PLAN_FIELDS = [
    pa.field("path", pa.string()),
    pa.field("split", pa.string()),  # canonical; empty for none
    pa.field("split_name", pa.string()),  # as the source spelled it
    # Where the image lies, as the archive's index says it; all null where the archive has labels for it but no bytes.
    pa.field("entry_path", pa.string()),  # in the archive, for messages
    pa.field("object", pa.string()),
    pa.field("header_offset", pa.int64()),
    pa.field("data_offset", pa.int64()),
    pa.field("stored_size", pa.int64()),
    pa.field("size", pa.int64()),
    pa.field("method", pa.int8()),
    pa.field("crc32", pa.uint32()),  # null in a tar, which has none; media says it
    # As the labels say it; null where they do not.
    pa.field("width", pa.int32()),
    pa.field("height", pa.int32()),
    pa.field("frame", pa.int64()),
    pa.field("image_attributes", pa.string()),
    pa.field("source", pa.string()),
    pa.field("state", pa.int8()),  # State, where the labels say that an image without annotations was looked at
]
"""Columns of a read plan; a format may append its own."""

MEDIA_SCHEMA = pa.schema(
    [
        pa.field("usable", pa.bool_()),  # false: an issue says why, and the image is left out
        pa.field("hash", pa.string()),
        pa.field("format", pa.string()),
        pa.field("width", pa.int32()),  # upright; null where there are no bytes
        pa.field("height", pa.int32()),
        pa.field("bytes", pa.int64()),
        pa.field("orientation", pa.int8()),
        pa.field("look", pa.uint64()),
        pa.field("original", RANGE),
        pa.field("normalised", NORMALISED),
        pa.field("preview", RANGE),
    ]
)
"""What media says of the images of a shard, row by row of the plan."""

HEAD_KEY = b"framehouse.plan"


class Part(msgspec.Struct, frozen=True):
    """A piece of the label files that is read at once. Aligned formats have none: theirs is the shard itself."""

    path: str
    """File in the archive, for messages."""
    key: str
    """Object in the bucket that the bytes lie in."""
    offset: int
    length: int
    detail: str = ""
    """What the format needs besides, in its own words (JSON)."""
    layer: int = 0
    """Parts of several layers may speak of the same objects: what an earlier layer says of an image is kept once."""


class Head(msgspec.Struct, frozen=True):
    """What a read plan says as a whole. It lies in the metadata of the plan's schema, beside the labels."""

    format: str
    aligned: bool
    parts: list[Part]
    part_starts: list[int]
    """Part at which each step of reading begins, and their number at the end."""
    shard_starts: list[int]
    """Row at which each shard begins, and the number of rows at the end: one more than there are shards."""
    has_bytes: bool
    """Whether the archive holds any images at all."""
    options: bytes = b""
    """A serialised ReadOptions."""
    columns: list[str] = []
    """Annotation columns that are wanted; none means all."""

    def asked(self) -> ReadOptions:
        """The options that the plan was made with."""
        return ReadOptions.FromString(self.options)


def with_head(schema: pa.Schema, head: Head) -> pa.Schema:
    """The same Arrow schema, carrying `head`."""
    return schema.with_metadata({**(schema.metadata or {}), HEAD_KEY: msgspec.json.encode(head)})


def head_of(schema: pa.Schema) -> Head:
    """The head that a plan's schema carries."""
    return msgspec.json.decode(schema.metadata[HEAD_KEY], type=Head)
