"""The steps of reading: detect, plan, read a part. What they mean is said by the formats; here they meet the store."""

import itertools
import json
from typing import Any

import numpy as np
import pyarrow as pa

from framehouse.annotations.labels import labels_of, with_labels
from framehouse.annotations.orientation import with_stored_sizes
from framehouse.annotations.plan import Head, Part, head_of, with_head
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

ALWAYS = ("kind", "label", "flags", "bbox", "rotation")
"""Columns that are read for any format."""
OF_LAYERS = ("annotation_id",)
"""Columns that tell which annotations of several layers are one object."""
SMALL_KINDS = {Kind.TAG, Kind.BOX, Kind.ROTATED_BOX}
"""Kinds without rings and masks."""

STEPS = 16
"""Steps that are wanted of any dataset, so that all processes have some to do."""
PARTS_A_STEP = 4
"""Parts that one step reads one after the other, at most: it costs as much as reading a quarter of one does."""

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
    parts = read.parts or []
    shard_images, columns = settings.shard_images, _wanted(chosen.id, parts, request)
    if request.HasField("write"):  # a conversion: headers alone are looked at
        shapes = not chosen.holds.kinds <= SMALL_KINDS and (not columns or not {"rings", "rle"}.isdisjoint(columns))
        shard_images = layout.shard_images(read.images.num_rows, shard_images, shapes=shapes)
    starts = layout.shard_starts(read.images, shard_images, settings.shard_bytes)
    aligned = read.parts is None
    head = Head(
        format=chosen.id,
        aligned=aligned,
        parts=parts,
        part_starts=_part_starts(parts),
        shard_starts=starts,
        has_bytes=read.images["object"].null_count < read.images.num_rows,
        options=request.options.SerializeToString(),
        columns=columns,
    )
    schema = with_head(with_labels(read.images.schema, read.labels), head)
    images = read.images.combine_chunks().replace_schema_metadata(schema.metadata)
    batches = (_batch(images, first, end) for first, end in itertools.pairwise(starts))
    write_batches(bucket, request.output_key, schema, batches)
    shards = len(starts) - 1
    return conversion_pb2.PlanReadResponse(
        format=chosen.id,
        shard_count=shards,
        part_count=shards if aligned else len(head.part_starts) - 1,
        aligned=aligned,
        image_count=images.num_rows,
        issues=issues.save(bucket, request.output_key),
    )


def _part_starts(parts: list[Part]) -> list[int]:
    """Part at which each step begins, and their number: a step has parts of one file and layer."""
    most = min(max(len(parts) // STEPS, 1), PARTS_A_STEP)
    files = (sum(1 for _ in same) for _, same in itertools.groupby(parts, lambda part: (part.key, part.layer)))
    sizes = (min(most, count - first) for count in files for first in range(0, count, most))
    return list(itertools.accumulate(sizes, initial=0))


def _wanted(source_format: str, parts: list[Part], request: conversion_pb2.PlanReadRequest) -> list[str]:
    """The annotation columns that are read, where the labels are only to be written again; empty for all."""
    read = request.options
    moves = read.boxes == conversion_pb2.BOX_POLICY_CLAMP or read.coordinates == conversion_pb2.COORDINATE_FRAME_STORED
    if not request.HasField("write") or moves:
        return []
    target = lookup_written(request.write.format)
    own = (*target.columns_of(source_format, request.write), *target.plan_columns, *target.scan_columns)
    layered = OF_LAYERS if len({part.layer for part in parts}) > 1 else ()
    return sorted({*ALWAYS, *layered, *losses.COUNTED, *pairs.COLUMNS, *own})


def read_part(bucket: Bucket, request: conversion_pb2.ReadShardRequest) -> conversion_pb2.ReadShardResponse:
    """What `ConversionService.ReadShard` promises."""
    file = BatchFile(bucket, request.plan_key)
    head, labels = head_of(file.schema), labels_of(file.schema)
    columns, options = frozenset(head.columns), head.asked()
    parts: list[Part] = []
    if head.aligned:
        media = BatchFile(bucket, request.media_key).batch(0)
        if options.coordinates == conversion_pb2.COORDINATE_FRAME_STORED:
            media = with_stored_sizes(media)
        images = file.batch(request.part)
        first_row = head.shard_starts[request.part]
        sources = [LabelSource(bucket, labels, None, images, media, first_row, options, columns)]
    else:
        parts = head.parts[head.part_starts[request.part] : head.part_starts[request.part + 1]]
        opened: dict[str, Any] = {}
        sources = [LabelSource(bucket, labels, part, options=options, columns=columns, opened=opened) for part in parts]
    issues = IssueLog()
    read = lookup(head.format).read
    found = pa.concat_tables(_with_columns(read(source, issues), columns) for source in sources)
    image = found["image"].to_numpy()
    order = np.argsort(image, kind="stable")
    if not np.array_equal(order, np.arange(len(order))):
        found, image = found.take(pa.array(order)), image[order]
    found = found.combine_chunks()
    shard = np.searchsorted(head.shard_starts, image, side="right") - 1
    shards, first = np.unique(shard, return_index=True)
    layer = parts[0].layer if parts else 0
    schema = ANNOTATION_SCHEMA.with_metadata(
        {SHARDS_KEY: json.dumps(shards.tolist()).encode(), LAYER_KEY: str(layer).encode()}
    )
    bounds = [*first.tolist(), len(image)]
    found = found.replace_schema_metadata(schema.metadata)
    batches = (_batch(found, begin, end) for begin, end in itertools.pairwise(bounds))
    write_batches(bucket, request.output_key, schema, batches)
    return conversion_pb2.ReadShardResponse(
        annotation_count=found.num_rows, shards=shards.tolist(), issues=issues.save(bucket, request.output_key)
    )


def _with_columns(found: pa.Table, columns: frozenset[str]) -> pa.Table:
    """The same annotations without the values of other columns than these; none means all."""
    for name in ANNOTATION_COLUMNS if columns else ():
        if name not in columns:
            at = found.schema.get_field_index(name)
            found = found.set_column(at, found.schema.field(at), pa.nulls(found.num_rows, found.schema.field(at).type))
    return found


def _batch(table: pa.Table, first: int, end: int) -> pa.RecordBatch:
    """Rows of a table in one piece, as a record batch."""
    (batch,) = table.slice(first, end - first).to_batches()
    return batch
