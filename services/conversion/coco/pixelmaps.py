"""Pixelmaps of stuff: PNG files `stuff_<split>_pixelmaps/<name>.png` whose pixels are ids of categories, 0 for none.

They say what `stuff_<split>.json` says as run lengths. They are read of a file that has images and categories and no
annotations: each category of an image is a mask.
"""

import posixpath
from dataclasses import replace

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from framehouse.annotations import geometry, masks
from framehouse.annotations.geometry import Integers
from framehouse.annotations.masks import Intervals
from framehouse.annotations.plan import Part
from framehouse.annotations.schema import Kind
from framehouse.store.frames import BatchFile, write_batches
from framehouse.store.issues import ERROR, WARNING, IssueLog
from framehouse.store.packs import read_entries
from services.conversion import columns, layout
from services.conversion.archive import Archive
from services.conversion.coco.files import File
from services.conversion.coco.planning import CATEGORIES_KEY, LAYERS, Detail
from services.conversion.format import LabelSource, ReadPlan
from services.conversion.voc.masks import Unreadable, decode

PART_IMAGES = 128
"""Whose pixelmaps one step reads."""


def with_pixelmaps(archive: Archive, files: list[File], found: ReadPlan) -> ReadPlan:
    """The plan of some files of stuff, or of all tasks, with parts for pixelmaps where they alone say what is there."""
    parts = list(found.parts or [])
    spoken = {part.path for part in parts}
    pngs = archive.with_extension("png")
    paths = archive.paths.take(pa.array(pngs))
    for n, file in enumerate(files):
        stem = posixpath.basename(file.path).rsplit(".", 1)[0]
        folder = posixpath.join(posixpath.dirname(file.path), f"{stem}_pixelmaps")
        there = pc.match_substring(pc.binary_join_element_wise("/", paths, ""), f"/{stem}_pixelmaps/")
        mine = np.flatnonzero(there.to_numpy(zero_copy_only=False))
        if file.path in spoken or not len(mine):
            continue
        rows = np.flatnonzero(pc.equal(found.images["split"], file.split).to_numpy())
        names = pc.replace_substring_regex(found.images["path"].combine_chunks().take(pa.array(rows)), r"\.[^./]*$", "")
        names = pc.binary_join_element_wise(names, ".png", "")
        at = layout.find(names, paths.take(pa.array(mine)), [folder])
        rows, at = rows[at >= 0], mine[at[at >= 0]]
        entries = archive.entries.select(["path", *layout.RANGE_COLUMNS]).take(pa.array(pngs[at]))
        entries = entries.append_column("image", pa.array(rows))
        known = msgspec.json.encode([list(file.categories), list(file.categories.values())])
        schema = entries.schema.with_metadata({CATEGORIES_KEY: known})
        entries = entries.combine_chunks().replace_schema_metadata(schema.metadata)
        key = f"{archive.scratch.rstrip('/')}/pixelmaps-{n}"
        write_batches(archive.bucket, key, schema, entries.to_batches(PART_IMAGES))
        detail = msgspec.json.encode(Detail("", 0, key, file.task)).decode()
        layer = LAYERS.index(file.task)
        count = -(-len(rows) // PART_IMAGES)
        parts += [Part(file.path, key, batch, 1, detail, layer) for batch in range(count)]
    return replace(found, parts=parts)


def read_pixelmaps(source: LabelSource, issues: IssueLog) -> pa.Table:
    """Reads the pixelmaps of one part; its offset is the batch that says where they lie."""
    assert source.part is not None
    file = BatchFile(source.bucket, source.part.key)
    batch = file.batch(source.part.offset)
    numbers, labels = msgspec.json.decode(file.schema.metadata[CATEGORIES_KEY])
    label_of = {number: label for number, label in zip(numbers, labels, strict=True) if isinstance(number, int)}
    images, paths = batch["image"].to_numpy(), batch["path"]
    found: list[tuple[int, int, int, int]] = []  # image, category, height, width
    parts = [Intervals(*(np.zeros(0, np.int64) for _ in range(3)))]
    for k, entry in read_entries(source.bucket, batch):
        path = paths[k].as_py()
        try:
            if entry.damage:
                raise Unreadable(entry.damage)
            raster = decode(entry.data)
            if raster.is_colour:
                raise Unreadable("its pixels are colours, not ids of categories")
        except Unreadable as error:
            issues.add("MASK_FILE_UNREADABLE", ERROR, path, f"it cannot be read: {error}", "download it again")
            continue
        runs = regions(raster.codes.astype(np.int64))
        there = np.unique(runs.owner)
        known = np.array([number in label_of for number in there.tolist()], bool)
        if not known.all():
            ids = ", ".join(map(str, there[~known][:5].tolist()))
            text = f"it has pixels of categories {ids}, which the file of its split does not have; they were left out"
            issues.add("SEGMENT_UNKNOWN", WARNING, path, text, "add them to `categories`")
        mine = np.isin(runs.owner, there[known])
        owner = len(found) + np.searchsorted(there[known], runs.owner[mine])
        parts.append(Intervals(owner, runs.begin[mine], runs.end[mine]))
        found += [(int(images[k]), number, *raster.codes.shape) for number in there[known].tolist()]
    image, number, height, width = np.array(found, np.int64).reshape(-1, 4).T
    whole = masks.union(Intervals(*map(np.concatenate, zip(*parts, strict=True))), height * width)
    sizes = np.stack([height, width], axis=1).astype(np.int32)
    return columns.annotations(
        image,
        annotation_id=number,
        kind=np.full(len(image), int(Kind.MASK)),
        label=np.array([label_of[one] for one in number.tolist()], np.int64),
        bbox=geometry.box_column(masks.envelopes(whole, height)),
        rle=masks.encode(whole),
        rle_size=pa.FixedSizeListArray.from_arrays(pa.array(sizes.reshape(-1)), 2),
        area=masks.areas(whole).astype(np.float64),
    )


def regions(ids: NDArray[np.int64]) -> Intervals:
    """Runs of equal pixels down the columns, each with its id as its owner; those of id 0 are none."""
    flat: Integers = ids.T.reshape(-1)
    begin = np.flatnonzero(np.diff(flat, prepend=-1))
    end = np.append(begin[1:], len(flat))
    value = flat[begin]
    return Intervals(value[value > 0], begin[value > 0], end[value > 0])
