"""Joins what media and conversion made of a run of shards into rows of a dataset's table.

Flat annotations, one row each, become the list columns of their image: turned upright where they were counted on stored
pixels, sorted by image, cut at the images' borders. All of it by columns.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from framehouse.annotations.orientation import SWAPS, stored, turn_upright
from framehouse.annotations.plan import head_of
from framehouse.annotations.schema import ANNOTATION_SCHEMA, DATASET_SCHEMA, IMAGE_FIELDS, State
from framehouse.runtime.jobs import report
from framehouse.store.bucket import Bucket
from framehouse.store.frames import BatchFile
from framehouse.store.issues import WARNING, IssueLog
from framehouse.v1 import conversion_pb2, ingest_pb2
from services.ingest.borders import mind_borders
from services.ingest.layers import as_lists, one_of


def join(bucket: Bucket, request: ingest_pb2.JoinShardsRequest) -> tuple[pa.Table, IssueLog]:
    """Rows of the dataset's table for shards `first_shard` to `first_shard + len(media_keys)`."""
    plan_file = BatchFile(bucket, request.plan_key)
    head = head_of(plan_file.schema)
    count = len(request.media_keys)
    plan = pa.Table.from_batches(plan_file.batches(request.first_shard, count), plan_file.schema)
    media = pa.concat_tables(_whole(bucket, key) for key in request.media_keys)
    first_row = head.shard_starts[request.first_shard]
    report(1)
    layers: dict[int, list[pa.Table]] = {}
    for key in request.label_keys:
        layer, table = _rows_between(bucket, key, request.first_shard, request.first_shard + count)
        if table.num_rows:
            layers.setdefault(layer, []).append(table)
    report(2)
    issues = IssueLog()
    labels = [pa.concat_tables(layers[layer]) for layer in sorted(layers)] or [ANNOTATION_SCHEMA.empty_table()]
    annotations = one_of(labels, first_row, plan["path"], issues)
    usable = media["usable"]
    options = head.asked()
    as_stored = options.coordinates == conversion_pb2.COORDINATE_FRAME_STORED
    if as_stored:
        annotations = _upright(annotations, media, first_row)
    images = _images(plan, media, as_stored, request.job, issues)
    size = np.stack([np.asarray(pc.cast(images[name], pa.float64())) for name in ("width", "height")], axis=1)
    image = annotations["image"].to_numpy() - first_row
    annotations = mind_borders(annotations, image, size, images["path"], options.boxes, issues)
    lists, counts = as_lists(annotations, first_row, plan.num_rows)
    del annotations, labels, layers, image  # of millions of polygons
    empty = pc.fill_null(plan["state"], int(State.UNANNOTATED)).to_numpy()
    state = np.where(counts > 0, int(State.ANNOTATED), empty).astype(np.int8)
    images = images.set_column(images.schema.get_field_index("state"), "state", pa.array(state))
    table = pa.table({**{name: images[name] for name in images.column_names}, **lists})
    table = table.select(DATASET_SCHEMA.names).cast(DATASET_SCHEMA)
    return table if pc.all(usable).as_py() else table.filter(usable), issues


def _whole(bucket: Bucket, key: str) -> pa.Table:
    file = BatchFile(bucket, key)
    return pa.Table.from_batches(file.batches(), file.schema)


def _rows_between(bucket: Bucket, key: str, first: int, end: int) -> tuple[int, pa.Table]:
    """The layer of a label part, and its flat annotations of shards `first` to `end`; batches are named by shard."""
    import json

    file = BatchFile(bucket, key)
    # A part that an earlier release read has no layer.
    layer = int(file.schema.metadata.get(b"framehouse.layer", 0))
    shards = json.loads(file.schema.metadata[b"framehouse.shards"])
    wanted = [i for i, shard in enumerate(shards) if first <= shard < end]
    if not wanted:
        return layer, ANNOTATION_SCHEMA.empty_table()
    batches = file.batches(wanted[0], wanted[-1] - wanted[0] + 1)
    return layer, pa.Table.from_batches(batches, file.schema).replace_schema_metadata(None)


def _upright(annotations: pa.Table, media: pa.Table, first_row: int) -> pa.Table:
    """Annotations whose coordinates are on stored pixels, on upright ones; those of turned images come last."""
    orientation, sizes = stored(media)
    image = annotations["image"].to_numpy() - first_row
    turned = orientation[image] > 1
    if not turned.any():
        return annotations
    mine = image[turned]
    upright = turn_upright(annotations.filter(pa.array(turned)), orientation[mine], sizes[mine])
    return pa.concat_tables([annotations.filter(pa.array(~turned)), upright])


def _images(plan: pa.Table, media: pa.Table, as_stored: bool, job: str, issues: IssueLog) -> pa.Table:
    """The image columns; where labels and pixels disagree on the size, the pixels are right and an issue says so."""
    width = pc.coalesce(media["width"], plan["width"])
    height = pc.coalesce(media["height"], plan["height"])
    _compare_sizes(plan, media, as_stored, issues)
    known = {
        "id": pa.array([xxhash.xxh3_128_hexdigest(path.encode()) for path in plan["path"].to_pylist()]),
        "width": width,
        "height": height,
        "state": pa.nulls(plan.num_rows, pa.int8()),
        "import_job": pa.repeat(pa.scalar(job or None, pa.string()), plan.num_rows),
    }
    for name in ("path", "split", "split_name", "frame", "image_attributes", "source"):
        known[name] = plan[name]
    for name in ("hash", "format", "bytes", "orientation", "look", "original", "normalised", "preview"):
        known[name] = media[name]
    return pa.table([known[field.name] for field in IMAGE_FIELDS], schema=pa.schema(IMAGE_FIELDS))


def _compare_sizes(plan: pa.Table, media: pa.Table, as_stored: bool, issues: IssueLog) -> None:
    """Tells where the labels say another size than the image has in the frame that they count on."""
    said, upright = (
        np.stack([pc.fill_null(table[name], 0).to_numpy() for name in ("width", "height")], axis=1)
        for table in (plan, media)
    )
    orientation, sizes = stored(media)
    has = sizes if as_stored else upright
    differs = ((said != has) & (said > 0) & (has > 0)).any(axis=1) & media["usable"].to_numpy()
    other = (orientation >= SWAPS) & (said == has[:, ::-1]).all(axis=1)
    for row in np.flatnonzero(differs).tolist():
        remedy = "check that the labels belong to this image"
        if other[row]:
            frame = "upright" if as_stored else "stored"
            remedy = f"its EXIF data turns it; if labels count on the pixels as {frame}, use --coordinates {frame}"
        (w, h), (mw, mh) = said[row].tolist(), has[row].tolist()
        text = f"the labels say {w} × {h} pixels, the image has {mw} × {mh}; coordinates were not scaled to it"
        issues.add("IMAGE_SIZE_DIFFERS", WARNING, plan["path"][row].as_py(), text, remedy)


def annotation_count(table: pa.Table) -> int:
    """Annotations in rows of a dataset's table."""
    return int(pc.sum(pc.list_value_length(table["kind"])).as_py() or 0)
