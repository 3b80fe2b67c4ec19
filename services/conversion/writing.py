"""The steps of writing: plan, write a run of images, finish. What is written is said by the formats.

A write plan is an Arrow file: one row an image, one record batch a shard, with the names that everything gets; so that
shards are written apart and fit together.
"""

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from lance import LanceDataset

from framehouse.annotations.geometry import lengths, starts
from framehouse.annotations.labels import labels_of, with_labels
from framehouse.annotations.splits import canonical_split, split_rank
from framehouse.store.bucket import Bucket
from framehouse.store.bundle import BundleWriter
from framehouse.store.frames import BatchFile, write_batches
from framehouse.v1.conversion_pb2 import Loss, WriteOptions
from services.conversion import layout, losses
from services.conversion.columns import flatten
from services.conversion.format import Rows, WriteHead
from services.conversion.registry import lookup

SHARD_IMAGES = 2000
"""Images whose labels are written by one step; their bytes are only referred to."""

HEAD_KEY = b"framehouse.write"


def plan(
    bucket: Bucket, table: LanceDataset, key: str, source_format: str, options: WriteOptions, output_key: str
) -> tuple[WriteHead, list[Loss]]:
    """Plans the writing of a dataset's table and writes the plan; answers with its head and what will be lost."""
    chosen = lookup(options.format)
    labels = labels_of(table.schema)
    images = table.to_table(columns=["path", "split", "split_name", "width", "height", *chosen.image_columns])
    found = table.to_table(columns=["kind", "label", "flags", *chosen.plan_columns])
    counts = lengths(found["kind"].combine_chunks())
    annotations = flatten(found, ("kind", "label", "flags", *chosen.plan_columns))
    del found
    kinds, flags, labelled = (annotations[name].to_numpy() for name in ("kind", "flags", "label"))
    lost = losses.report(chosen.holds, kinds, labelled, flags, _count_values(table))

    split = images["split"].combine_chunks()
    same = source_format == chosen.id
    spelled = pc.if_else(pc.equal(images["split_name"], ""), split, images["split_name"]) if same else split
    folder = pc.if_else(pc.equal(split, ""), chosen.default_split, pc.fill_null(spelled, split))
    # A split is one folder, whatever it is called.
    folder = pc.replace_substring_regex(folder, r'^\.+|[/\\:*?"<>|\x00-\x1f]', "_")
    folder = folder.combine_chunks() if isinstance(folder, pa.ChunkedArray) else folder
    name = layout.targets(images["path"].combine_chunks(), split, folder)
    target = pc.binary_join_element_wise("images", folder, name, "/")
    folders = sorted(pc.unique(folder).to_pylist(), key=lambda item: split_rank(canonical_split(item)))
    head = WriteHead(
        format=chosen.id,
        table_key=key,
        table_version=table.version,
        source_format=source_format,
        without_images=options.without_images,
        shard_starts=[*range(0, images.num_rows, SHARD_IMAGES), images.num_rows],
        folders=folders,
    )
    images = images.append_column("folder", folder).append_column("name", name).append_column("target", target)
    prepared = chosen.prepare(images, annotations, labels, head)
    head = msgspec.structs.replace(head, detail=prepared.detail)
    columns = {"folder": folder, "name": name, "target": target, "first": pa.array(starts(counts)[:-1])}
    rows = pa.table(columns | prepared.columns)
    schema = with_labels(rows.schema, labels)
    schema = schema.with_metadata({**schema.metadata, HEAD_KEY: msgspec.json.encode(head)})
    rows = rows.combine_chunks().replace_schema_metadata(schema.metadata)
    batches = [
        rows.slice(first, end - first).to_batches()[0]
        for first, end in zip(head.shard_starts, head.shard_starts[1:], strict=False)
    ]
    write_batches(bucket, output_key, schema, batches)
    return head, [*lost, *prepared.losses]


def _count_values(table: LanceDataset) -> dict[str, int]:
    """How many annotations have a value in each column of `losses.COUNTED`."""
    result = dict.fromkeys(losses.COUNTED, 0)
    for batch in table.to_batches(columns=list(losses.COUNTED)):
        for name in losses.COUNTED:
            result[name] += int(pc.count(batch[name].flatten(), mode="only_valid").as_py())
    return result


def open_plan(bucket: Bucket, plan_key: str) -> tuple[BatchFile, WriteHead]:
    """A write plan and its head."""
    file = BatchFile(bucket, plan_key)
    return file, msgspec.json.decode(file.schema.metadata[HEAD_KEY], type=WriteHead)


def write_shard(
    bucket: Bucket, file: BatchFile, head: WriteHead, table: LanceDataset, shard: int, output_key: str
) -> tuple[int, int]:
    """Writes the labels of a run of images, and refers to their bytes; answers with pieces and bytes."""
    chosen = lookup(head.format)
    names = pa.Table.from_batches([file.batch(shard)])
    wanted = ["width", "height", "state", *chosen.image_columns]
    first, end = head.shard_starts[shard], head.shard_starts[shard + 1]
    rows = table.to_table(columns=[*wanted, "original", *chosen.columns], offset=first, limit=end - first)
    images = names
    for name in wanted:
        images = images.append_column(name, rows[name])
    with BundleWriter(bucket, output_key) as bundle:
        chosen.write(Rows(images, flatten(rows, chosen.columns), labels_of(file.schema), head), bundle)
        if not head.without_images:
            has_bytes = pc.is_valid(rows["original"])
            bundle.copies(images["target"].filter(has_bytes), rows["original"].filter(has_bytes))
        return bundle.close()


def finish(bucket: Bucket, file: BatchFile, head: WriteHead, output_key: str) -> tuple[int, int]:
    """Writes what speaks of the whole dataset; answers with pieces and bytes."""
    with BundleWriter(bucket, output_key) as bundle:
        lookup(head.format).finish(labels_of(file.schema), head, bundle)
        return bundle.close()
