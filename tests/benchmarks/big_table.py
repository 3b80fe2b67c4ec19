"""A dataset of any size, made by the table API without images: only what the catalogue and the tables know is real.

Widths, heights and bytes are spread like those of photographs, paths come in the order of their folders, seven boxes an
image on average are of 80 classes, the first of which is the commonest.
"""

import asyncio
import os
import uuid
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import xxhash

from framehouse.annotations.labels import label_schema, with_labels
from framehouse.annotations.schema import ANNOTATION_FIELDS, DATASET_SCHEMA, NORMALISED, RANGE, Kind, State
from framehouse.cli.stack.state import StackInfo
from framehouse.v1 import dataset_pb2, ingest_pb2, ingest_pb2_grpc

FRAGMENT_IMAGES = 8000
"""Images of a fragment, as an import writes them."""
PACK_IMAGES = 100_000
FOLDER_IMAGES = 1000
CLASSES = [f"class {number:02d}" for number in range(80)]
BOXES = 7
EMPTY_SHARE = 0.1
"""Of the images, without boxes."""


def publish(suite: StackInfo, name: str, images: int, seed: int = 0) -> dataset_pb2.Dataset:
    """Makes the dataset `users/local/datasets/{name}` of so many images, in the suite and under a uid of its own."""
    from framehouse.runtime import channels, config
    from framehouse.store.bucket import bucket
    from framehouse.store.tables import commit, write_fragments

    os.environ.update(suite.environment())
    for cached in (config.settings, channels.connect, bucket):
        cached.cache_clear()
    uid = uuid.UUID(bytes=np.random.default_rng((seed, images)).bytes(16)).hex
    key = f"tables/{uid}.lance"
    fragments: list[str] = []
    annotations = 0
    for rows in _pieces(images, seed, uid):
        fragments += write_fragments(key, rows, DATASET_SCHEMA)
        annotations += len(rows["kind"].combine_chunks().values)
    for place in _objects(uid, images):
        bucket().put(place, b"nothing is read of it")
    version = commit(key, with_labels(DATASET_SCHEMA, label_schema(CLASSES)), fragments, {"framehouse.job": uid})
    table = dataset_pb2.Table(
        key=key, version=version, image_count=images, annotation_count=annotations, source_format="ultralytics-detect"
    )
    return asyncio.run(_publish(f"users/local/datasets/{name}", uid, table))


async def _publish(name: str, uid: str, table: dataset_pb2.Table) -> dataset_pb2.Dataset:
    from framehouse.runtime.channels import connect

    request = ingest_pb2.PublishDatasetRequest(name=name, uid=uid, table=table)
    channel = connect("ingest")
    try:
        return await ingest_pb2_grpc.IngestServiceStub(channel).PublishDataset(request)
    finally:
        await channel.close()
        connect.cache_clear()


def _pieces(images: int, seed: int, uid: str) -> Iterator[pa.Table]:
    for number, first in enumerate(range(0, images, FRAGMENT_IMAGES)):
        rng = np.random.default_rng((seed, number))
        yield rows_of(rng, uid, first, min(FRAGMENT_IMAGES, images - first))


def _objects(uid: str, images: int) -> list[str]:
    packs = range(-(-images // PACK_IMAGES))
    return [_pack(uid, pack) for pack in packs] + [_derived(uid, pack) for pack in packs]


def _pack(uid: str, number: int) -> str:
    return f"packs/{uid[:24]}{number:08x}"


def _derived(uid: str, number: int) -> str:
    return f"derived/{uid}/{number}"


def rows_of(rng: np.random.Generator, uid: str, first: int, count: int) -> pa.Table:
    """Images `first` to `first + count`."""
    numbers = np.arange(first, first + count)
    splits = rng.choice(["train", "val", "test"], count, p=[0.8, 0.15, 0.05])
    width = rng.integers(320, 4096, count)
    height = (width * rng.uniform(0.5, 1.6, count)).astype(np.int64)
    size = (width * height * rng.uniform(0.1, 0.4, count)).astype(np.int64)
    boxes = np.where(rng.random(count) < EMPTY_SHARE, 0, 1 + rng.poisson(BOXES / (1 - EMPTY_SHARE) - 1, count))
    state = np.where(
        boxes > 0, State.ANNOTATED, np.where(rng.random(count) < 0.5, State.UNANNOTATED, State.VERIFIED_EMPTY)
    )
    paths = [
        f"{split}/{number // FOLDER_IMAGES:05d}/{number:08d}.jpg"
        for split, number in zip(splits.tolist(), numbers.tolist(), strict=True)
    ]
    images = {
        "id": [xxhash.xxh3_128_hexdigest(path.encode()) for path in paths],
        "path": paths,
        "split": splits,
        "split_name": splits,
        "hash": [f"{high:016x}{low:016x}" for high, low in rng.integers(0, 1 << 63, (count, 2)).tolist()],
        "format": np.full(count, "jpeg"),
        "width": width,
        "height": height,
        "bytes": size,
        "original": _ranges(rng, _pack(uid, first // PACK_IMAGES), first, size),
        "normalised": pa.nulls(count, NORMALISED),
        "preview": _ranges(rng, _derived(uid, first // PACK_IMAGES), first, rng.integers(4_000, 16_000, count)),
        "state": state,
    }
    offsets = pa.array(np.concatenate(([0], np.cumsum(boxes))), pa.int32())
    lists = {name: pa.ListArray.from_arrays(offsets, values) for name, values in _boxes(rng, width, height, boxes)}
    columns = [
        pa.array((images | lists).get(field.name, pa.nulls(count, field.type)), field.type)
        if field.name not in lists
        else lists[field.name]
        for field in DATASET_SCHEMA
    ]
    return pa.table(columns, schema=DATASET_SCHEMA)


def _ranges(rng: np.random.Generator, key: str, first: int, size: np.ndarray) -> pa.StructArray:
    offset = np.cumsum(size) + 64 * np.arange(len(size)) + first % PACK_IMAGES * 300_000
    values = {
        "object": pa.array(np.full(len(size), key)),
        "offset": pa.array(offset, pa.int64()),
        "stored_size": pa.array(size, pa.int64()),
        "size": pa.array(size, pa.int64()),
        "method": pa.array(np.zeros(len(size)), pa.int8()),
        "crc32": pa.array(rng.integers(0, 1 << 32, len(size)), pa.uint32()),
    }
    return pa.StructArray.from_arrays([values[field.name] for field in RANGE], fields=list(RANGE))


def _boxes(
    rng: np.random.Generator, width: np.ndarray, height: np.ndarray, counts: np.ndarray
) -> Iterator[tuple[str, pa.Array]]:
    """The annotation columns of all images, one after the other."""
    total = int(counts.sum())
    place = (
        rng.random((total, 4)) * [0.7, 0.7, 0.3, 0.3] * np.repeat(np.stack([width, height] * 2, axis=1), counts, axis=0)
    )
    starts = np.repeat(np.cumsum(counts) - counts, counts)
    known = {
        "annotation_id": np.arange(total) - starts,
        "kind": np.full(total, Kind.BOX),
        "label": (len(CLASSES) * rng.random(total) ** 2).astype(np.int64),
        "bbox": pa.FixedSizeListArray.from_arrays(place.ravel(), 4),
        "flags": np.zeros(total, np.int64),
    }
    for field in ANNOTATION_FIELDS:
        yield (
            field.name,
            pa.array(known[field.name], field.type) if field.name in known else pa.nulls(total, field.type),
        )
