"""The steps of writing: plan, write a run of images, finish. What is written is said by the formats.

A write plan is an Arrow file: one row an image, one record batch a shard, with the names that everything gets; so that
shards are written apart and fit together.
"""

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from lance import LanceDataset
from numpy.typing import NDArray

from framehouse.annotations.geometry import Integers, starts
from framehouse.annotations.labels import labels_of, with_labels
from framehouse.annotations.schema import Kind
from framehouse.annotations.splits import canonical_split, split_rank
from framehouse.runtime.errors import FailedPrecondition
from framehouse.store.bucket import Bucket
from framehouse.store.bundle import BundleWriter
from framehouse.store.frames import BatchFile, write_batches
from framehouse.v1.annotation_pb2 import LabelSchema
from framehouse.v1.conversion_pb2 import Loss, WriteOptions
from services.conversion import forms, layout, losses, pairs
from services.conversion.columns import flatten
from services.conversion.format import Format, Rows, WriteHead
from services.conversion.options import check_options
from services.conversion.registry import lookup
from services.conversion.selection import choose_labels, select_images, written_labels

SHARD_IMAGES = 2000
"""Images whose labels are written by one step; their bytes are only referred to."""

HEAD_KEY = b"framehouse.write"


def plan(
    bucket: Bucket, table: LanceDataset, key: str, source_format: str, options: WriteOptions, output_key: str
) -> tuple[WriteHead, list[Loss]]:
    """Plans the writing of a dataset's table and writes the plan; answers with its head and what will be lost.

    FailedPrecondition where something would be lost and the options are strict.
    """
    head, labels, rows, lost = _prepare(table, key, source_format, options)
    if options.strict and lost:
        raise FailedPrecondition(
            f"as {head.format} the dataset would lose {losses.told(lost)}; choose another format, or write without "
            "--strict to take what is done instead",
            reason="LOSS_REFUSED",
        )
    schema = with_labels(rows.schema, labels)
    schema = schema.with_metadata({**schema.metadata, HEAD_KEY: msgspec.json.encode(head)})
    rows = rows.combine_chunks().replace_schema_metadata(schema.metadata)
    batches = [
        rows.slice(first, end - first).to_batches()[0]
        for first, end in zip(head.shard_starts, head.shard_starts[1:], strict=False)
    ]
    write_batches(bucket, output_key, schema, batches)
    return head, lost


def preview(table: LanceDataset, source_format: str, options: WriteOptions) -> tuple[str, list[Loss]]:
    """The canonical id of the format, and what will be lost; nothing is written."""
    head, _, _, lost = _prepare(table, "", source_format, options)
    return head.format, lost


def _prepare(
    table: LanceDataset, key: str, source_format: str, options: WriteOptions
) -> tuple[WriteHead, LabelSchema, pa.Table, list[Loss]]:
    """The head, the labels that are written, the plan's rows, and what will be lost."""
    chosen = lookup(options.format)
    check_options(chosen, options)
    said = ["path", "split", "split_name", "width", "height", "state", *chosen.image_columns]
    images = table.to_table(columns=[*said, *forms.COLUMNS])
    wanted = ("kind", "label", "flags", *chosen.plan_columns)
    found = flatten(table.to_table(columns=list(wanted)), wanted)
    images, normalised = forms.choose(images, options.image_form)
    small = (images["normalised.width"], images["normalised.height"])
    images, found = forms.resized(images.drop_columns(list(forms.COLUMNS)), found, normalised, *small)
    images = _placed(images, chosen, source_format)
    valued, scanned = _scan(table, chosen)
    paired = bool(valued["group"].any() and (found["kind"].to_numpy() == Kind.SKELETON).any())
    if paired and "group" not in found.column_names:
        found = found.append_column("group", flatten(table.to_table(columns=["group"]), ("group",))["group"])
    for column, values in scanned.items():
        found = found.append_column(column, values)
    label_map, labels = choose_labels(options, labels_of(table.schema))
    written = np.append(label_map, -1)[found["label"].to_numpy()]
    kept = (found["label"].to_numpy() < 0) | (written >= 0)
    selected = select_images(options, images, found["image"].to_numpy()[kept])
    if not len(selected):
        raise FailedPrecondition(
            "the options leave no image to write; name other splits, or leave only_annotated out",
            reason="NOTHING_SELECTED",
        )
    if len(selected) < images.num_rows or not kept.all() or options.labels:
        place = np.full(images.num_rows, -1)
        place[selected] = np.arange(len(selected))
        kept &= place[found["image"].to_numpy()] >= 0
        images = images.take(pa.array(selected))
        found = found.set_column(found.schema.get_field_index("label"), "label", pa.array(written, pa.int32()))
        found = found.set_column(found.schema.get_field_index("image"), "image", pa.array(place[found["image"]]))
        found = found.filter(pa.array(kept))
        valued = {name: mask[kept] for name, mask in valued.items()}
    doubled = pairs.doubles(found, chosen.holds) if paired else np.zeros(found.num_rows, bool)
    lost = pairs.report(_reported(found, valued, labels), doubled)
    if doubled.any():
        found, valued = pairs.single(found, doubled), {name: mask[~doubled] for name, mask in valued.items()}
    lost += losses.report(chosen.holds, _reported(found, valued, labels))
    image = found["image"].to_numpy()
    counts = np.bincount(image, minlength=images.num_rows)

    folders = sorted(pc.unique(images["folder"]).to_pylist(), key=lambda item: split_rank(canonical_split(item)))
    head = WriteHead(
        format=chosen.id,
        table_key=key,
        table_version=table.version,
        source_format=source_format,
        shard_starts=[*range(0, images.num_rows, SHARD_IMAGES), images.num_rows],
        folders=folders,
        options=options.SerializeToString(),
        label_map=label_map.tolist(),
        paired=paired,
    )
    prepared = chosen.prepare(images, found, labels, head)
    head = msgspec.structs.replace(head, detail=prepared.detail)
    columns = {
        "row": pa.array(selected),
        **{name: images[name] for name in ("folder", "name", "target")},
        "first": pa.array(starts(counts)[:-1]),
        "normalised": pa.array(normalised[selected]),
    }
    return head, labels, pa.table(columns | prepared.columns), [*lost, *prepared.losses]


def _reported(annotations: pa.Table, valued: dict[str, NDArray[np.bool_]], labels: LabelSchema) -> losses.Annotations:
    """Annotations as the loss report looks at them."""
    image, kinds, labelled, flags = (annotations[name].to_numpy() for name in ("image", "kind", "label", "flags"))
    return losses.Annotations(image, kinds, labelled, flags, valued, labels)


def _placed(images: pa.Table, chosen: Format, source_format: str) -> pa.Table:
    """All images of a dataset with the folder of each one's split, its name below that, and where it is written.

    Of all, so that an image is called the same whichever others are written.
    """
    split = images["split"].combine_chunks()
    same = source_format == chosen.id
    spelled = pc.if_else(pc.equal(images["split_name"], ""), split, images["split_name"]) if same else split
    folder = pc.if_else(pc.equal(split, ""), chosen.default_split, pc.fill_null(spelled, split))
    # A split is one folder, whatever it is called.
    folder = pc.replace_substring_regex(folder, r'^\.+|[/\\:*?"<>|\x00-\x1f]', "_")
    folder = folder.combine_chunks() if isinstance(folder, pa.ChunkedArray) else folder
    name = layout.targets(images["path"].combine_chunks(), split, folder)
    target = pc.binary_join_element_wise("images", folder, name, "/")
    return images.append_column("folder", folder).append_column("name", name).append_column("target", target)


def _scan(table: LanceDataset, chosen: Format) -> tuple[dict[str, NDArray[np.bool_]], dict[str, pa.ChunkedArray]]:
    """Which annotations have a value in each column of `losses.COUNTED`; and what the format's own scan finds."""
    valued: dict[str, list[NDArray[np.bool_]]] = {name: [np.zeros(0, bool)] for name in losses.COUNTED}
    scanned: dict[str, list[pa.Array]] = {}
    names = tuple(dict.fromkeys((*losses.COUNTED, *chosen.scan_columns)))
    for batch in table.to_batches(columns=list(names), batch_size=SHARD_IMAGES):
        flat = flatten(pa.Table.from_batches([batch]), names)
        for name, masks in valued.items():
            masks.append(flat[name].is_valid().to_numpy())
        for name, values in (chosen.scan(flat) if chosen.scan else {}).items():
            scanned.setdefault(name, []).append(values)
    columns = {name: pa.chunked_array(chunks) for name, chunks in scanned.items()}
    return {name: np.concatenate(masks) for name, masks in valued.items()}, columns


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
    columns = list(dict.fromkeys(("label", *chosen.columns, *(pairs.COLUMNS if head.paired else ()))))
    normalised = names["normalised"].to_numpy()
    rows = _rows(table, names["row"].to_numpy(), [*wanted, "original", "normalised", *columns])
    images = names
    for name in wanted:
        images = images.append_column(name, rows[name])
    with BundleWriter(bucket, output_key) as bundle:
        annotations = written_labels(flatten(rows, tuple(columns)), np.array(head.label_map, np.int64))
        small = (pc.struct_field(rows["normalised"], name) for name in ("width", "height"))
        images, annotations = forms.resized(images, annotations, normalised, *small)
        if head.paired:
            annotations = pairs.single(annotations, pairs.doubles(annotations, chosen.holds))
        chosen.write(Rows(images, annotations, labels_of(file.schema), head), bundle)
        if not head.asked().without_images:
            ranges = forms.ranges(rows, normalised)
            target = images["target"]
            copied = pc.and_(pc.is_valid(ranges["object"]), pc.is_valid(target))
            bundle.copies(target.filter(copied), ranges.filter(copied))
        return bundle.close()


def _rows(table: LanceDataset, at: Integers, columns: list[str]) -> pa.Table:
    """Some rows of a table, ascending; a run of neighbours is read as one."""
    if len(at) and at[-1] - at[0] == len(at) - 1:
        return table.to_table(columns=columns, offset=int(at[0]), limit=len(at))
    return table.take(at.tolist(), columns=columns)


def finish(bucket: Bucket, file: BatchFile, head: WriteHead, output_key: str) -> tuple[int, int]:
    """Writes what speaks of the whole dataset; answers with pieces and bytes."""
    with BundleWriter(bucket, output_key) as bundle:
        lookup(head.format).finish(labels_of(file.schema), head, bundle)
        return bundle.close()
