"""The canonical Arrow schema: a dataset is a table with one row an image.

Annotations travel in two shapes with the same columns: flat, one row an annotation, while they are read and written;
and as list columns of the image's row in a dataset's table, so that a reader of boxes never touches polygons.
"""

from enum import IntEnum, IntFlag

import pyarrow as pa

BBOX = pa.list_(pa.float64(), 4)
"""x, y, width, height in pixels; the origin is the top-left corner of the top-left pixel."""


class Kind(IntEnum):
    """Kinds of annotations; the numbers are those of `AnnotationKind` in the contracts."""

    TAG = 1
    BOX = 2
    ROTATED_BOX = 3
    POLYGON = 4
    POLYLINE = 5
    POINTS = 6
    SKELETON = 7
    MASK = 8
    ELLIPSE = 9
    CUBOID = 10
    CUBOID_3D = 11
    CAPTION = 12


class Flag(IntFlag):
    """Bits of the `flags` column."""

    OCCLUDED = 1
    TRUNCATED = 2
    CROWD = 4
    DIFFICULT = 8
    OUTSIDE = 16
    KEYFRAME = 32


class State(IntEnum):
    """Values of an image's `state` column."""

    UNANNOTATED = 0
    ANNOTATED = 1
    VERIFIED_EMPTY = 2


ANNOTATION_FIELDS = [
    pa.field("annotation_id", pa.int64()),  # unique in its image; the source's own id where it had one
    pa.field("kind", pa.int8()),
    pa.field("label", pa.int32()),  # position in the label schema; -1 for none
    pa.field("bbox", BBOX),  # envelope of the shape; null where the kind has none
    # Polygon, polyline, points: x0, y0, x1, y1 … a ring. A cuboid: the four corners of its front in turn, then the four
    # behind them in the same order.
    pa.field("rings", pa.list_(pa.list_(pa.float64()))),
    pa.field("rle", pa.binary()),  # COCO's compressed counts of a mask, column-major
    pa.field("rle_size", pa.list_(pa.int32(), 2)),  # height, width of the mask
    pa.field("rotation", pa.float64()),  # degrees, clockwise, around the centre of bbox
    pa.field("visibility", pa.list_(pa.int8())),  # a keypoint each: 0 absent, 1 hidden, 2 visible
    pa.field("group", pa.int64()),
    pa.field("track", pa.int64()),
    pa.field("z_order", pa.int32()),
    pa.field("flags", pa.int32()),  # bits of Flag
    pa.field("score", pa.float64()),
    pa.field("area", pa.float64()),  # as the source said it, square pixels; null: computed from the shape
    pa.field("text", pa.string()),  # caption, or transcription
    pa.field("attributes", pa.string()),  # a JSON object; null for none
]
"""What is known of one annotation. `annotation_id`, `kind`, `label` and `flags` are never null."""

ANNOTATION_COLUMNS = [field.name for field in ANNOTATION_FIELDS]

ANNOTATION_SCHEMA = pa.schema([pa.field("image", pa.int64()), *ANNOTATION_FIELDS])
"""The flat shape: `image` is the row of the image in the read plan, counted over all shards."""

RANGE = pa.struct(
    [
        pa.field("object", pa.string()),  # key in the bucket
        pa.field("offset", pa.int64()),  # of the bytes themselves
        pa.field("stored_size", pa.int64()),  # bytes in the object
        pa.field("size", pa.int64()),  # bytes after inflating
        pa.field("method", pa.int8()),  # 0 stored, 8 deflate
        pa.field("crc32", pa.uint32()),  # of the inflated bytes
    ]
)
"""Where the bytes of an image lie."""

NORMALISED = pa.struct(
    [*RANGE, pa.field("width", pa.int32()), pa.field("height", pa.int32()), pa.field("format", pa.string())]
)
"""Where the bytes of a smaller form of an image lie, its size in pixels, upright, and its format: jpeg or png."""

IMAGE_FIELDS = [
    pa.field("id", pa.string()),  # 32 hexadecimal digits, stable for the life of the dataset
    pa.field("path", pa.string()),  # relative, with extension; the image's identity
    pa.field("split", pa.string()),  # train, val, test, another; empty for none
    pa.field("split_name", pa.string()),  # as the source spelled it
    pa.field("hash", pa.string()),  # XXH3-128 of the bytes, hexadecimal; null where there are no bytes
    pa.field("format", pa.string()),  # jpeg, png, …; null where there are no bytes
    pa.field("width", pa.int32()),  # pixels, upright
    pa.field("height", pa.int32()),
    pa.field("bytes", pa.int64()),
    pa.field("orientation", pa.int8()),  # EXIF orientation found, 1 to 8; null for none
    pa.field("look", pa.uint64()),  # perceptual hash, never 0; null where there is nothing to see, or no bytes
    pa.field("original", RANGE),  # null where there are no bytes, or only the normalised ones were kept
    pa.field("normalised", NORMALISED),  # null where the original is small enough; coordinates are not in its pixels
    pa.field("preview", RANGE),
    pa.field("frame", pa.int64()),
    pa.field("image_attributes", pa.string()),  # a JSON object; null for none
    pa.field("source", pa.string()),  # a JSON object: what the source's format needs to be written again
    pa.field("state", pa.int8()),
    pa.field("import_job", pa.string()),  # id of the job that it came in by; null for none
]
"""What is known of one image."""

DATASET_SCHEMA = pa.schema([*IMAGE_FIELDS, *(field.with_type(pa.list_(field.type)) for field in ANNOTATION_FIELDS)])
"""A dataset's table. The label schema lies in its metadata (`framehouse.annotations.labels`). Lists are never null."""
