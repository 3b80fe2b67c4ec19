"""The steps of reading: detect, plan, read a part. What they mean is said by the formats; here they meet the store."""

import json
from itertools import pairwise

import numpy as np
import pyarrow as pa

from framehouse.annotations.labels import labels_of, with_labels
from framehouse.annotations.orientation import with_stored_sizes
from framehouse.annotations.plan import Head, head_of, with_head
from framehouse.annotations.schema import ANNOTATION_COLUMNS, ANNOTATION_SCHEMA, Kind
from framehouse.runtime.config import Settings
from framehouse.store.bucket import Bucket
from framehouse.store.frames import BatchFile, write_batches
from framehouse.store.issues import IssueLog
from framehouse.v1 import conversion_pb2
from services.conversion import layout, losses, pairs
from services.conversion.archive import Archive
from services.conversion.format import LabelSource
from services.conversion.registry import all_formats, lookup, lookup_written

ALWAYS = ("annotation_id", "kind", "label", "flags", "bbox", "rotation")
"""Columns that are read for any format."""
SMALL_KINDS = {Kind.TAG, Kind.BOX, Kind.ROTATED_BOX}
"""Kinds without rings and masks."""

SHARDS_KEY = b"framehouse.shards"
"""In the metadata of a label part: the shard of each of its record batches, as a JSON list."""
LAYER_KEY = b"framehouse.layer"
"""Likewise: the layer of the part."""


def open_archive(bucket: Bucket, index_key: str, scratch: str = "") -> Archive:
    """The archive that an index describes."""
    file = BatchFile(bucket, index_key)
    return Archive(pa.Table.from_batches(file.batches(), file.schema), bucket, scratch)


def detect(bucket: Bucket, request: conversion_pb2.DetectFormatRequest) -> conversion_pb2.DetectFormatResponse:
    """What `ConversionService.DetectFormat` promises."""
    archive = open_archive(bucket, request.index_key)
    found = [(item.id, candidate) for item in all_formats().values() if (candidate := item.detect(archive))]
    found.sort(key=lambda pair: (-pair[1].confidence, pair[0]))
    return conversion_pb2.DetectFormatResponse(
        candidates=[
            conversion_pb2.FormatCandidate(format=name, confidence=candidate.confidence, reason=candidate.reason)
            for name, candidate in found
        ]
    )


def plan(
    bucket: Bucket, settings: Settings, request: conversion_pb2.PlanReadRequest
) -> conversion_pb2.PlanReadResponse:
    """What `ConversionService.PlanRead` promises."""
    chosen = lookup(request.format)
    issues = IssueLog()
    read = chosen.plan(open_archive(bucket, request.index_key, request.scratch_prefix), issues)
    shard_images, columns = settings.shard_images, _wanted(chosen.id, request)
    if request.HasField("write"):  # a conversion: headers alone are looked at
        shapes = not chosen.holds.kinds <= SMALL_KINDS and (not columns or not {"rings", "rle"}.isdisjoint(columns))
        shard_images = layout.shard_images(read.images.num_rows, shard_images, shapes=shapes)
    starts = layout.shard_starts(read.images, shard_images, settings.shard_bytes)
    aligned = read.parts is None
    head = Head(
        format=chosen.id,
        aligned=aligned,
        parts=read.parts or [],
        shard_starts=starts,
        has_bytes=read.images["object"].null_count < read.images.num_rows,
        options=request.options.SerializeToString(),
        columns=columns,
    )
    schema = with_head(with_labels(read.images.schema, read.labels), head)
    images = read.images.combine_chunks().replace_schema_metadata(schema.metadata)
    batches = (_batch(images, first, end) for first, end in pairwise(starts))
    write_batches(bucket, request.output_key, schema, batches)
    shards = len(starts) - 1
    return conversion_pb2.PlanReadResponse(
        format=chosen.id,
        shard_count=shards,
        part_count=shards if aligned else len(head.parts),
        aligned=aligned,
        image_count=images.num_rows,
        issues=issues.save(bucket, request.output_key),
    )


def _wanted(source_format: str, request: conversion_pb2.PlanReadRequest) -> list[str]:
    """The annotation columns that are read, where the labels are only to be written again; empty for all."""
    read = request.options
    moves = read.boxes == conversion_pb2.BOX_POLICY_CLAMP or read.coordinates == conversion_pb2.COORDINATE_FRAME_STORED
    if not request.HasField("write") or moves:
        return []
    target = lookup_written(request.write.format)
    own = (*target.columns_of(source_format, request.write), *target.plan_columns, *target.scan_columns)
    return sorted({*ALWAYS, *losses.COUNTED, *pairs.COLUMNS, *own})


def read_part(bucket: Bucket, request: conversion_pb2.ReadShardRequest) -> conversion_pb2.ReadShardResponse:
    """What `ConversionService.ReadShard` promises."""
    file = BatchFile(bucket, request.plan_key)
    head, labels = head_of(file.schema), labels_of(file.schema)
    columns = frozenset(head.columns)
    if head.aligned:
        media = BatchFile(bucket, request.media_key).batch(0)
        if head.asked().coordinates == conversion_pb2.COORDINATE_FRAME_STORED:
            media = with_stored_sizes(media)
        images = file.batch(request.part)
        first_row = head.shard_starts[request.part]
        source = LabelSource(bucket, labels, None, images, media, first_row, head.asked(), columns)
    else:
        source = LabelSource(bucket, labels, head.parts[request.part], options=head.asked(), columns=columns)
    issues = IssueLog()
    found = lookup(head.format).read(source, issues)
    for name in ANNOTATION_COLUMNS if columns else ():
        if name not in columns:
            at = found.schema.get_field_index(name)
            found = found.set_column(at, found.schema.field(at), pa.nulls(found.num_rows, found.schema.field(at).type))
    image = found["image"].to_numpy()
    order = np.argsort(image, kind="stable")
    if not np.array_equal(order, np.arange(len(order))):
        found, image = found.take(pa.array(order)), image[order]
    found = found.combine_chunks()
    shard = np.searchsorted(head.shard_starts, image, side="right") - 1
    shards, first = np.unique(shard, return_index=True)
    layer = source.part.layer if source.part else 0
    schema = ANNOTATION_SCHEMA.with_metadata(
        {SHARDS_KEY: json.dumps(shards.tolist()).encode(), LAYER_KEY: str(layer).encode()}
    )
    bounds = [*first.tolist(), len(image)]
    found = found.replace_schema_metadata(schema.metadata)
    batches = (_batch(found, begin, end) for begin, end in pairwise(bounds))
    write_batches(bucket, request.output_key, schema, batches)
    return conversion_pb2.ReadShardResponse(
        annotation_count=found.num_rows, shards=shards.tolist(), issues=issues.save(bucket, request.output_key)
    )


def _batch(table: pa.Table, first: int, end: int) -> pa.RecordBatch:
    """Rows of a table in one piece, as a record batch."""
    (batch,) = table.slice(first, end - first).to_batches()
    return batch
