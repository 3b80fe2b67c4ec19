"""Planning the reading of a COCO task: files, categories, images, and the parts that the annotations are read in.

Images and categories are decoded while planning, annotations by the steps that read the parts. Ids of images and
categories may be sparse, zero or text: each file gets a lookup, an Arrow file beside it, from ids to rows of the plan
and to labels.
"""

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from framehouse.annotations.geometry import Integers
from framehouse.annotations.plan import Part
from framehouse.store.bucket import Bucket
from framehouse.store.frames import BatchFile, write_batches
from framehouse.store.issues import IssueLog
from services.conversion.archive import Archive
from services.conversion.coco.categories import read_categories
from services.conversion.coco.files import File, find_files
from services.conversion.coco.images import id_array, read_images
from services.conversion.format import LabelSource, ReadPlan
from services.conversion.unpacked import part_bytes

RASTER_PART_BYTES = 512 << 10
"""Of JSON whose images have a PNG file each: some hundred of them."""
LAYERS = ("person_keypoints", "instances", "stuff", "panoptic", "labels", "captions", "image_info")
"""Tasks, those first whose annotations stay where others say the same: a skeleton has the id of its object."""

CATEGORIES_KEY = b"framehouse.categories"


class Detail(msgspec.Struct, frozen=True):
    """What a part says besides where it lies."""

    lookup: str
    """Key of its lookup."""
    line: int
    """Line of the file that it begins in."""
    rasters: str = ""
    """Key of the object that says where the PNG files of the images lie, where a task has some."""
    task: str = ""


@dataclass(frozen=True)
class Rasters:
    """PNG files whose pixels are labels."""

    rows: Integers
    """In the archive."""
    keys: dict[str, str]
    """For each JSON file that has some the object that says where those of its images lie."""


NO_RASTERS = Rasters(np.zeros(0, np.int64), {})


def plan(archive: Archive, issues: IssueLog, task: str) -> ReadPlan:
    """Finds files, images, categories and parts. InvalidArgument where there is no such file or one is no JSON."""
    return plan_files(archive, find_files(archive, task, issues), issues)


def plan_files(archive: Archive, files: list[File], issues: IssueLog, rasters: Rasters = NO_RASTERS) -> ReadPlan:
    """The same for files that are known, of one task or of several.

    Parts of files with PNG files are smaller, for these take far longer.
    """
    labels = read_categories(archive, files, issues)
    images, lookups = read_images(archive, files, rasters.rows, issues)
    spans = [file.outline.members.get("annotations") for file in files]
    total = sum(span.end - span.start for span in spans if span)
    size = part_bytes(total)
    parts = []
    for n, (file, span, (ids, rows)) in enumerate(zip(files, spans, lookups, strict=True)):
        if span is None:
            continue
        key = f"{archive.scratch.rstrip('/')}/lookup-{n}"
        _write_lookup(archive.bucket, key, ids, rows, file.categories)
        shown = rasters.keys.get(file.path, "")
        detail = Detail(key, 0, shown, file.task)
        for piece in file.outline.parts("annotations", min(size, RASTER_PART_BYTES) if shown else size):
            if piece.end - piece.start > 2:
                text = msgspec.json.encode(msgspec.structs.replace(detail, line=piece.line)).decode()
                where = file.offset + piece.start
                layer = LAYERS.index(file.task)
                parts.append(Part(file.path, file.key, where, piece.end - piece.start, text, layer))
    return ReadPlan(images, labels, parts)


def _write_lookup(bucket: Bucket, key: str, ids: pa.Array, rows: Integers, categories: dict[int | str, int]) -> None:
    known = msgspec.json.encode([list(categories), list(categories.values())])
    schema = pa.schema([pa.field("id", ids.type), pa.field("row", pa.int64())], {CATEGORIES_KEY: known})
    write_batches(bucket, key, schema, [pa.record_batch([ids, pa.array(rows)], schema=schema)])


@dataclass(frozen=True)
class Lookup:
    """From ids to rows of the plan, and to labels."""

    ids: pa.Array
    rows: Integers
    categories: pa.Array
    labels: Integers

    def images(self, ids: list[Any]) -> Integers:
        """Row of each image id, -1 for none."""
        return _translate(ids, self.ids, self.rows)

    def classes(self, ids: list[Any]) -> Integers:
        """Label of each category id, -1 for none."""
        return _translate(ids, self.categories, self.labels)


def _translate(ids: list[Any], known: pa.Array, values: Integers) -> Integers:
    wanted = id_array(ids)
    if wanted.type != known.type:
        wanted, known = wanted.cast(pa.string()), known.cast(pa.string())
    at = pc.index_in(wanted, known, skip_nulls=True)
    at = pc.fill_null(at, -1).to_numpy(zero_copy_only=False)
    return np.where(at >= 0, values[np.maximum(at, 0)] if len(values) else -1, -1)


def open_lookup(source: LabelSource, key: str) -> Lookup:
    """The lookup of a part."""
    if key not in source.opened:
        file = BatchFile(source.bucket, key)
        batch = file.batch(0)
        ids, labels = msgspec.json.decode(file.schema.metadata[CATEGORIES_KEY])
        source.opened[key] = Lookup(batch["id"], batch["row"].to_numpy(), id_array(ids), np.array(labels, np.int64))
    found: Lookup = source.opened[key]
    return found
