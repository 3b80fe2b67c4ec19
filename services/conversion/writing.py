"""The steps of writing: plan, write a run of images, finish. What is written is said by the formats.

A write plan is an Arrow file: one row an image, one record batch a shard, with the names that everything gets; so that
shards are written apart and fit together.
"""

import itertools
from collections.abc import Iterator

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from lance import LanceDataset
from numpy.typing import NDArray

from framehouse.annotations.geometry import Integers, starts
from framehouse.annotations.labels import labels_of, with_labels
from framehouse.annotations.splits import canonical_split, split_rank
from framehouse.runtime import jobs
from framehouse.runtime.errors import FailedPrecondition
from framehouse.store.bucket import Bucket
from framehouse.store.bundle import BundleWriter
from framehouse.store.frames import BatchFile, write_batches
from framehouse.v1.annotation_pb2 import LabelSchema
from framehouse.v1.conversion_pb2 import Loss, WriteOptions
from framehouse.v1.dataset_pb2 import TASK_UNSPECIFIED, Task
from services.conversion import encoding, forms, image_urls, layout, losses, pairs, scanning, selection, table_rows
from services.conversion.columns import flatten
from services.conversion.format import Format, Rows, WriteHead
from services.conversion.options import format_of
from services.conversion.registry import lookup_written

SHARD_IMAGES = 2000
"""Images whose labels are written by one step; their bytes are only referred to."""
LARGER = 8
"""How many times as many one step writes of a large dataset: a step costs as much as some hundred."""
SHARD_ANNOTATIONS = 96_000
"""Annotations that one step writes, but for those of a single image."""
OUTLINE = 6
"""As how many one counts whose outline or pixels are written, for these take more memory."""

HEAD_KEY = b"framehouse.write"

Marks = NDArray[np.bool_]


def plan(
    bucket: Bucket,
    table: LanceDataset,
    key: str,
    source_format: str,
    options: WriteOptions,
    output_key: str,
    *,
    task: Task = TASK_UNSPECIFIED,
    rows: Integers | None = None,
    dataset: bytes = b"",
) -> tuple[WriteHead, list[Loss]]:
    """Plans the writing of a dataset's table and writes the plan; answers with its head and what will be lost.

    `task` is the dataset's; `rows` are those that a filter selected, ascending, None for all; `dataset` is a serialised
    Dataset, where the format is to say what it is. FailedPrecondition where something would be lost and the options are
    strict.
    """
    head, labels, written, lost = _prepare(table, key, source_format, options, task, rows, dataset)
    if text := refusal(head.format, lost, options):
        raise FailedPrecondition(text, reason="LOSS_REFUSED")
    schema = with_labels(written.schema, labels)
    schema = schema.with_metadata({**schema.metadata, HEAD_KEY: msgspec.json.encode(head)})
    write_batches(bucket, output_key, schema, _shards(written.replace_schema_metadata(schema.metadata), head))
    return head, lost


def refusal(format: str, lost: list[Loss], options: WriteOptions) -> str:
    """Why a strict export with these losses is not made; empty where it is."""
    refused = [loss for loss in lost if losses.refuses(loss, options)] if options.strict else []
    if not refused:
        return ""
    return (
        f"as {format} the dataset would lose {losses.told(refused)}; choose another format, or write without "
        "--strict to take what is done instead"
    )


def _shards(written: pa.Table, head: WriteHead) -> Iterator[pa.RecordBatch]:
    for first, end in itertools.pairwise(head.shard_starts):
        jobs.report(end)
        yield written.slice(first, end - first).combine_chunks().to_batches()[0]


def preview(
    table: LanceDataset,
    source_format: str,
    options: WriteOptions,
    *,
    task: Task = TASK_UNSPECIFIED,
    rows: Integers | None = None,
) -> tuple[WriteHead, list[Loss]]:
    """The head of the plan there would be, and what will be lost; nothing is written."""
    head, _, _, lost = _prepare(table, "", source_format, options, task, rows)
    return head, lost


def check(table: LanceDataset, options: WriteOptions) -> str:
    """The format's id. InvalidArgument where the options do not fit it, or the table's classes and splits."""
    chosen = format_of(options)
    selection.choose_labels(options, labels_of(table.schema))
    if options.splits:
        selection.in_splits(options, table.to_table(columns=["split"])["split"])
    return chosen.id


def _prepare(
    table: LanceDataset,
    key: str,
    source_format: str,
    options: WriteOptions,
    task: Task,
    rows: Integers | None,
    dataset: bytes = b"",
) -> tuple[WriteHead, LabelSchema, pa.Table, list[Loss]]:
    """The head, the labels that are written, the plan's rows, and what will be lost."""
    chosen = format_of(options)
    classes = selection.choose_labels(options, labels_of(table.schema))
    task = selection.task_of(options, task)
    images, marks, formats = _chosen_forms(table, options)
    jobs.report(0)
    images = _placed(images, chosen, source_format)
    wanted = selection.in_splits(options, images["split"])
    at = np.flatnonzero(wanted) if rows is None else rows[wanted[rows]]
    if not len(at):
        raise _nothing_selected()
    normalised, encoded, renamed = (of_all[at] for of_all in marks)
    if len(at) < images.num_rows:
        images = images.take(pa.array(at))
    jobs.report(0)
    of_format = [name for name in chosen.image_columns if name not in images.column_names]
    said = table_rows.read(table, at, ["width", "height", "state", *of_format])
    for name in said.column_names:
        images = images.append_column(name, said[name])
    del said
    small = (images["normalised.width"], images["normalised.height"])
    images, factors = forms.with_sizes(images.drop_columns(list(forms.COLUMNS)), normalised, *small)
    found = scanning.scan(table, at, images, factors, chosen, options, classes, task)
    if not len(found.selected):
        raise _nothing_selected()
    selection.refuse_deletions(classes, labels_of(table.schema), found.used)
    if len(found.selected) < len(at):
        images = images.take(pa.array(found.selected))
        at = at[found.selected]
        normalised, encoded, renamed = (marks[found.selected] for marks in (normalised, encoded, renamed))
    labels = classes.labels
    lost = [*found.lost, *encoding.report(options, images, formats.take(pa.array(at)), encoded, renamed)]

    folders = sorted(pc.unique(images["folder"]).to_pylist(), key=lambda item: split_rank(canonical_split(item)))
    step = max(SHARD_IMAGES, min(images.num_rows // layout.SHARDS, LARGER * SHARD_IMAGES))
    if encoded.any() and not options.without_images:
        step = encoding.SHARD_IMAGES
    written_shapes = {"rings", "rle"}.intersection(chosen.columns_of(source_format, options))
    weights = found.counts + (OUTLINE - 1) * found.outlined if written_shapes else found.counts
    head = WriteHead(
        format=chosen.id,
        table_key=key,
        table_version=table.version,
        source_format=source_format,
        shard_starts=layout.write_starts(weights, step, SHARD_ANNOTATIONS),
        folders=folders,
        options=options.SerializeToString(),
        label_map=classes.label_map.tolist(),
        paired=found.paired,
        hides=found.hides,
        task=task,
        url_end=image_urls.end_of_life() if options.image_urls else 0,
        annotation_count=found.written,
        class_counts=found.of_classes,
        dataset=dataset,
    )
    prepared = chosen.prepare(images, found.annotations, labels, head)
    counts = found.counts
    del found
    jobs.report(images.num_rows)
    columns = {
        "row": pa.array(at),
        **{name: images[name] for name in ("folder", "name", "target")},
        "first": pa.array(starts(counts)[:-1]),
        "normalised": pa.array(normalised),
        "encoded": pa.array(encoded),
    }
    written = pa.table(columns | prepared.columns)
    image_count = written.num_rows - written["target"].null_count
    of_splits = images["split"].filter(pc.is_valid(written["target"])).value_counts().to_pylist()
    splits = {pair["values"]: pair["counts"] for pair in sorted(of_splits, key=lambda pair: split_rank(pair["values"]))}
    head = msgspec.structs.replace(head, detail=prepared.detail, image_count=image_count, split_counts=splits)
    return head, labels, written, [*lost, *prepared.losses]


def _chosen_forms(table: LanceDataset, options: WriteOptions) -> tuple[pa.Table, tuple[Marks, Marks, Marks], pa.Array]:
    """All images; which of them are normalised, encoded anew and renamed; and the format of each."""
    everything = table.to_table(columns=["path", "split", "split_name", *forms.COLUMNS])
    choice = forms.choose(everything, options.image_form, options.image_format)
    return choice.images, (choice.normalised, choice.encoded, choice.renamed), choice.formats


def _nothing_selected() -> FailedPrecondition:
    return FailedPrecondition(
        "the options leave no image to write; name other splits, ask for less in the filter, or leave only_annotated "
        "out",
        reason="NOTHING_SELECTED",
    )


def _placed(images: pa.Table, chosen: Format, source_format: str) -> pa.Table:
    """All images of a dataset with the folder of each one's split, its name below that, and where it is written.

    Of all, so that an image is called the same whichever others are written.
    """
    split = images["split"].combine_chunks()
    same = source_format in (chosen.id, *chosen.spelled_by)
    spelled = pc.if_else(pc.equal(images["split_name"], ""), split, images["split_name"]) if same else split
    folder = pc.if_else(pc.equal(split, ""), chosen.default_split, pc.fill_null(spelled, split))
    # A split is one folder, whatever it is called.
    folder = pc.replace_substring_regex(folder, r'^\.+|[/\\:*?"<>|\x00-\x1f]', "_")
    folder = folder.combine_chunks() if isinstance(folder, pa.ChunkedArray) else folder
    name = layout.targets(images["path"].combine_chunks(), split, folder)
    target = pc.binary_join_element_wise("images", folder, name, "/")
    return images.append_column("folder", folder).append_column("name", name).append_column("target", target)


def open_plan(bucket: Bucket, plan_key: str) -> tuple[BatchFile, WriteHead]:
    """A write plan and its head."""
    file = BatchFile(bucket, plan_key)
    return file, msgspec.json.decode(file.schema.metadata[HEAD_KEY], type=WriteHead)


def write_shard(
    bucket: Bucket, file: BatchFile, head: WriteHead, table: LanceDataset, shard: int, output_key: str
) -> tuple[int, int]:
    """Writes the labels of a run of images, and refers to their bytes; answers with pieces and bytes."""
    chosen = lookup_written(head.format)
    asked = head.asked()
    names = pa.Table.from_batches([file.batch(shard)])
    wanted = ["width", "height", "state", *chosen.image_columns]
    own = chosen.columns_of(head.source_format, asked)
    more = (*(pairs.COLUMNS if head.paired else ()), *(("flags",) if head.hides else ()))
    columns = list(dict.fromkeys(("kind", "label", *own, *more)))
    of_bytes = () if asked.without_images and not asked.image_urls else ("format", "orientation", "hash", "original")
    normalised, encoded = (names[name].to_numpy(zero_copy_only=False) for name in ("normalised", "encoded"))
    needed = dict.fromkeys([*wanted, *of_bytes, "normalised", *columns])
    rows = table_rows.read(table, names["row"].to_numpy(), list(needed))
    images = names
    for name in wanted:
        images = images.append_column(name, rows[name])
    if asked.image_urls:
        images = images.append_column("url", image_urls.urls(rows, normalised, names["name"], head.url_end))
    with BundleWriter(bucket, output_key) as bundle:
        annotations = flatten(rows, tuple(columns))
        annotations = selection.written(annotations, np.array(head.label_map, np.int64), head.task)
        if head.hides:
            gone = selection.hidden(annotations["flags"].to_numpy(), chosen.holds)
            annotations = annotations.filter(pa.array(~gone))
        small = (pc.struct_field(rows["normalised"], name) for name in ("width", "height"))
        images, annotations = forms.resized(images, annotations, normalised, *small)
        if head.paired:
            annotations = pairs.single(annotations, pairs.doubles(annotations, chosen.holds))
        chosen.write(Rows(images, annotations, labels_of(file.schema), head), bundle)
        if not (asked.without_images or asked.image_urls):
            target, ranges = images["target"], forms.ranges(rows, normalised)
            there = np.array(pc.and_(pc.is_valid(ranges["object"]), pc.is_valid(target)))
            hashes = forms.of_original(rows["hash"], normalised)
            copied = pa.array(there & ~encoded)
            bundle.copies(target.filter(copied), ranges.filter(copied), hashes.filter(copied))
            encoding.write(bucket, rows, ranges, normalised, there & encoded, target, asked.image_format, bundle)
        return bundle.close()


def finish(bucket: Bucket, file: BatchFile, head: WriteHead, output_key: str) -> tuple[int, int]:
    """Writes what speaks of the whole dataset; answers with pieces and bytes."""
    labels = labels_of(file.schema)
    with BundleWriter(bucket, output_key) as bundle:
        names = [label.name for label in labels.labels]
        bundle.facts = {"splits": head.split_counts, "classes": dict(zip(names, head.class_counts, strict=True))}
        lookup_written(head.format).finish(labels, head, bundle)
        return bundle.close()
