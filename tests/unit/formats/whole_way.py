"""The whole way from an archive to an archive in one process: the services' real steps, on a bucket in memory."""

import io
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

from framehouse.annotations.geometry import boxes
from framehouse.annotations.labels import labels_of, with_labels
from framehouse.annotations.schema import ANNOTATION_COLUMNS, DATASET_SCHEMA
from framehouse.runtime.config import Settings
from framehouse.store import issues as issue_files
from framehouse.store.archive_writer import write_archive
from framehouse.store.bucket import Bucket
from framehouse.store.frames import BatchFile, write_batches
from framehouse.store.sources import index_archive
from framehouse.store.tables import lance
from framehouse.v1 import conversion_pb2, dataset_pb2, ingest_pb2, media_pb2
from services.conversion import reading, writing
from services.ingest.join import join
from services.media.shard import process_shard


class Shelf(Bucket):
    """A bucket that keeps its objects in memory."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self._parts: dict[str, list[bytes]] = {}

    def put(self, key: str, data: bytes) -> None:
        self.objects[key] = bytes(data)

    def get(self, key: str) -> bytes:
        return self.objects[key]

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        return self.objects[key][offset : offset + length]

    def read_into(self, key: str, offset: int, buffer: memoryview) -> int:
        data = self.get_range(key, offset, len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def get_tail(self, key: str, length: int) -> tuple[bytes, int]:
        return self.objects[key][-length:], len(self.objects[key])

    def size(self, key: str) -> int | None:
        return len(self.objects[key]) if key in self.objects else None

    def keys(self, prefix: str) -> Iterator[str]:
        return iter(sorted(key for key in self.objects if key.startswith(prefix)))

    def create_multipart(self, key: str) -> str:
        self._parts[key] = []
        return key

    def put_part(self, key: str, upload_id: str, number: int, data: bytes) -> str:
        parts = self._parts[key]
        parts.extend([b""] * (number - len(parts)))
        parts[number - 1] = bytes(data)
        return str(number)

    def complete_multipart(self, key: str, upload_id: str, parts: object) -> None:
        self.objects[key] = b"".join(self._parts.pop(key))


@dataclass
class Imported:
    """What came of reading an archive."""

    table: pa.Table
    issues: list
    counts: dict[str, int]
    plan: conversion_pb2.PlanReadResponse
    shelf: Shelf

    @property
    def labels(self) -> list[str]:
        return [label.name for label in labels_of(self.table.schema).labels]

    def rows(self) -> dict[str, dict]:
        """Images by path, each with its annotations as a list of records."""
        result = {}
        for row in self.table.to_pylist():
            columns = [row[name] for name in ANNOTATION_COLUMNS]
            row["annotations"] = [
                dict(zip(ANNOTATION_COLUMNS, values, strict=True)) for values in zip(*columns, strict=True)
            ]
            result[row["path"]] = row
        return result

    def codes(self) -> set[str]:
        return set(self.counts)

    def boxes(self, path: str) -> list[list[float]]:
        """The boxes of one image, to five decimals."""
        row = self.rows()[path]
        column = pa.array([item["bbox"] for item in row["annotations"]], pa.list_(pa.float64(), 4))
        return [[round(value, 5) for value in box] for box in boxes(column).tolist()]


def image(width: int = 100, height: int = 50, kind: str = "JPEG") -> bytes:
    """A picture of one colour."""
    file = io.BytesIO()
    Image.new("RGB", (width, height), (width % 256, height % 256, 9)).save(file, kind)
    return file.getvalue()


def packed(files: Mapping[str, bytes | str], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """The files as a zip."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return file.getvalue()


def index(files: Mapping[str, bytes | str] | bytes, shelf: Shelf) -> None:
    shelf.put("packs/in", files if isinstance(files, bytes) else packed(files))
    table, _ = index_archive(shelf, "packs/in", Settings())
    write_batches(shelf, "index", table.schema, table.combine_chunks().to_batches())


def detect(files: Mapping[str, bytes | str] | bytes) -> dict[str, float]:
    """Confidence by format."""
    shelf = Shelf()
    index(files, shelf)
    answer = reading.detect(shelf, conversion_pb2.DetectFormatRequest(index_key="index"))
    return {candidate.format: candidate.confidence for candidate in answer.candidates}


def read(
    files: Mapping[str, bytes | str] | bytes, name: str, settings: Settings | None = None, to: str = ""
) -> Imported:
    """Imports an archive as far as its table; with only what the format `to` needs, where it is given."""
    shelf = Shelf()
    index(files, shelf)
    request = conversion_pb2.PlanReadRequest(
        index_key="index",
        format=name,
        output_key="job/plan",
        scratch_prefix="job/scratch/",
        write=conversion_pb2.WriteOptions(format=to) if to else None,
    )
    plan = reading.plan(shelf, settings or Settings(), request)
    media_keys = [f"job/media/{i}" for i in range(plan.shard_count)]
    for i, key in enumerate(media_keys):
        process_shard(
            shelf,
            media_pb2.ProcessShardRequest(
                plan_key="job/plan", shard=i, depth=media_pb2.MEDIA_DEPTH_HEADER, output_key=key, derived_key=key + "d"
            ),
        )
    label_keys = []
    for i in range(plan.part_count):
        part = conversion_pb2.ReadShardRequest(
            plan_key="job/plan",
            part=i,
            media_key=media_keys[i] if plan.aligned else "",
            output_key=f"job/labels/{i}",
        )
        done = reading.read_part(shelf, part)
        assert len(done.shards) == BatchFile(shelf, part.output_key).count
        if done.shards:
            label_keys.append(part.output_key)
    rows = ingest_pb2.JoinShardsRequest(plan_key="job/plan", media_keys=media_keys, label_keys=label_keys)
    table, log = join(shelf, rows)
    log.save(shelf, "job/join")
    counts, found = issue_files.collect(shelf, "job/")
    labels = labels_of(BatchFile(shelf, "job/plan").schema)
    table = table.replace_schema_metadata(with_labels(DATASET_SCHEMA, labels).metadata)
    return Imported(table, found, {count.code: count.count for count in counts}, plan, shelf)


def write(
    table: pa.Table,
    shelf: Shelf,
    name: str,
    source: str = "",
    without_images: bool = False,
    options: conversion_pb2.WriteOptions | None = None,
    task: dataset_pb2.Task = dataset_pb2.TASK_UNSPECIFIED,
    rows: list[int] | None = None,
) -> tuple[dict[str, bytes], list]:
    """Exports a table; answers with the files of the archive and what was lost."""
    with tempfile.TemporaryDirectory() as folder:
        dataset = lance.write_dataset(table, folder)
        asked = conversion_pb2.WriteOptions(format=name, without_images=without_images)
        if options is not None:
            asked.MergeFrom(options)
        selected = None if rows is None else np.array(rows, np.int64)
        head, losses = writing.plan(shelf, dataset, "t", source, asked, "out/plan", task=task, rows=selected)
        shards = len(head.shard_starts) - 1
        for i in range(shards):
            file, head = writing.open_plan(shelf, "out/plan")
            writing.write_shard(shelf, file, head, dataset, i, f"out/{i}")
        file, head = writing.open_plan(shelf, "out/plan")
        writing.finish(shelf, file, head, "out/end")
        write_archive(shelf, [*(f"out/{i}" for i in range(shards)), "out/end"], "out/zip", lambda done: None)
    with zipfile.ZipFile(io.BytesIO(shelf.get("out/zip"))) as archive:
        return {name: archive.read(name) for name in archive.namelist()}, losses


def folder(path: Path) -> dict[str, bytes]:
    """The files of a folder, as an archive would hold them."""
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}
