"""`coco-panoptic`: one JSON file a split, and for each image a PNG file in which every pixel belongs to one segment.

A pixel's colour is the id of its segment: red + 256 green + 65536 blue; 0 is nothing. Read: each segment is a mask.
Written: masks and polygons are painted in the order of their z order, so what others cover is lost.
"""

import posixpath
from functools import partial
from typing import NamedTuple

import cv2
import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from framehouse.annotations import geometry, masks
from framehouse.annotations.geometry import Integers
from framehouse.annotations.masks import Intervals
from framehouse.annotations.schema import Flag, Kind
from framehouse.store.bundle import BundleWriter
from framehouse.store.frames import BatchFile, write_batches
from framehouse.store.issues import ERROR, WARNING, IssueLog
from framehouse.store.packs import read_entries
from framehouse.v1.annotation_pb2 import LabelSchema
from framehouse.v1.conversion_pb2 import SegmentationMode
from services.conversion import columns, layout
from services.conversion.archive import Archive
from services.conversion.coco import files as coco_files
from services.conversion.coco import images as coco_images
from services.conversion.coco import outlines as coco_outlines
from services.conversion.coco import planning as coco_planning
from services.conversion.coco import writing as coco_writing
from services.conversion.coco.files import File
from services.conversion.coco.pixelmaps import regions as regions_of
from services.conversion.coco.records import Record, Records, attributes_text, read_records
from services.conversion.coco.shapes import read_boxes
from services.conversion.format import Format, Holds, LabelSource, Preparation, ReadPlan, Rows, WriteHead

TASK = "panoptic"
READS = frozenset({"id", "image_id", "file_name", "segments_info"})
MAX_ID = 1 << 24
FILLED = "the mask of its pixels"

SEGMENTS = msgspec.json.Decoder(list[Record])


class Segments(NamedTuple):
    """The segments of a part's images."""

    records: list[Record]
    picture: Integers
    """Record of the part (its image) that each belongs to."""


def plan(archive: Archive, issues: IssueLog) -> ReadPlan:
    """Finds files, images, categories, PNG files and parts."""
    files = coco_files.find_files(archive, TASK, issues)
    return coco_planning.plan_files(archive, files, issues, find_rasters(archive, files))


def find_rasters(archive: Archive, files: list[File]) -> coco_planning.Rasters:
    """The PNG files of each JSON file: those below a folder called as it, else below any called panoptic, else all."""
    rows = archive.with_extension("png")
    paths = archive.paths.take(pa.array(rows))
    rooted = pc.binary_join_element_wise("/", paths, "")
    keys, used = {}, []
    for n, file in enumerate(files):
        stem = posixpath.basename(file.path).rsplit(".", 1)[0]
        mine = pc.match_substring(rooted, f"/{stem}/").to_numpy(zero_copy_only=False)
        if not mine.any():
            mine = pc.match_substring_regex(paths, coco_images.LABEL_FOLDERS).to_numpy(zero_copy_only=False)
        used.append(rows[mine])
        mine = mine if mine.any() else np.ones(len(rows), bool)
        entries = archive.entries.select(["path", *layout.RANGE_COLUMNS]).take(pa.array(rows[mine]))
        keys[file.path] = f"{archive.scratch.rstrip('/')}/rasters-{n}"
        (batch,) = entries.combine_chunks().to_batches() or [pa.RecordBatch.from_pylist([], entries.schema)]
        write_batches(archive.bucket, keys[file.path], entries.schema, [batch])
    return coco_planning.Rasters(np.concatenate([*used, np.zeros(0, np.int64)]), keys)


def read(source: LabelSource, issues: IssueLog) -> pa.Table:
    """Reads the segments of one part of the images of a file."""
    assert source.part is not None
    detail = msgspec.json.decode(source.part.detail, type=coco_planning.Detail)
    found = read_records(source, issues, READS)
    segments = _segments(found)
    lookup = coco_planning.open_lookup(source, detail.lookup)
    labels = lookup.classes([item.category_id for item in segments.records])
    for i in np.flatnonzero(labels < 0).tolist():
        item, at = segments.records[i], int(segments.picture[i])
        text = f"segment {item.id} is of category {item.category_id}, which the file does not have"
        found.add("LABEL_CLASS_UNKNOWN", ERROR, at, text, "add the category to `categories`, or correct it")
    runs, size = _read_rasters(source, detail.rasters, found, segments)
    count = len(segments.records)
    boxes = read_boxes([bytes(item.bbox) for item in segments.records])
    without = np.isnan(boxes).any(axis=1)
    boxes[without] = masks.envelopes(runs, np.maximum(size[:, 0], 1))[without]
    sizes = pa.FixedSizeListArray.from_arrays(pa.array(size.astype(np.int32).reshape(-1)), 2)
    table = columns.annotations(
        found.image[segments.picture],
        annotation_id=np.array([int(item.id or 0) for item in segments.records], np.int64),
        kind=np.full(count, int(Kind.MASK)),
        label=labels,
        bbox=geometry.box_column(boxes),
        rle=masks.encode(runs),
        rle_size=sizes,
        flags=np.array([int(Flag.CROWD) if item.iscrowd else 0 for item in segments.records], np.int32),
        score=pa.array([item.score for item in segments.records], pa.float64()),
        area=pa.array([item.area for item in segments.records], pa.float64()),
        attributes=pa.array([attributes_text(item.attributes) for item in segments.records], pa.string()),
    )
    return table.filter(pa.array((labels >= 0) & (masks.areas(runs) > 0)))


def _segments(found: Records) -> Segments:
    """The segments of each image; what is none is told."""
    records: list[Record] = []
    picture: list[int] = []
    for i, record in enumerate(found.records):
        try:
            items = SEGMENTS.decode(record.segments_info)
            if any(not isinstance(item.id, int) or not 0 < item.id < MAX_ID for item in items):
                raise msgspec.ValidationError("a segment has no id from 1 to 16777215")
        except msgspec.DecodeError as error:
            text = f"the segments of image {record.image_id} cannot be read: {error}"
            found.add("ANNOTATION_INVALID", ERROR, i, text, "correct or remove the annotation")
            continue
        records += items
        picture += [i] * len(items)
    return Segments(records, np.array(picture, np.int64))


def _read_rasters(source: LabelSource, key: str, found: Records, segments: Segments) -> tuple[masks.Runs, Integers]:
    """The pixels of each segment, none where there are none, and the height and width of its image."""
    file = BatchFile(source.bucket, key)
    entries = pa.Table.from_batches(file.batches(), file.schema)
    paths = entries["path"].combine_chunks()
    names = [_name(record) for record in found.records]
    folder = posixpath.dirname(paths[0].as_py()) if len(paths) else ""
    at = layout.find(pa.array(names, pa.string()), paths, [folder])
    first = np.searchsorted(segments.picture, np.arange(len(names) + 1))
    size = np.zeros((len(segments.records), 2), np.int64)
    owner, begin, end = [], [], []
    for i in np.flatnonzero(at < 0).tolist():
        text = f"the archive does not hold {names[i] or 'a PNG file for the image'}; its segments were left out"
        found.add("MASK_FILE_MISSING", ERROR, i, text, "add the PNG file, in a folder called as the JSON file")
    there = np.flatnonzero(at >= 0)
    for k, entry in read_entries(source.bucket, entries.take(pa.array(at[there]))):
        i = int(there[k])
        mine = range(first[i], first[i + 1])
        ids = None if entry.damage else _ids(entry.data)
        if ids is None:
            what = entry.damage or "it is no PNG file"
            text = f"{names[i]} cannot be read: {what}; its segments were left out"
            found.add("MASK_FILE_UNREADABLE", ERROR, i, text, "export or download it again")
            continue
        size[mine.start : mine.stop] = ids.shape
        regions = regions_of(ids)
        wanted = np.array([segments.records[n].id for n in mine], np.int64)
        _tell_regions(found, i, wanted, regions.owner)
        order = np.argsort(wanted, kind="stable")
        place = np.searchsorted(wanted[order], regions.owner)
        place = np.minimum(place, max(len(wanted) - 1, 0))
        known = wanted[order][place] == regions.owner if len(wanted) else np.zeros(len(place), bool)
        owner.append(mine.start + order[place[known]] if len(wanted) else place[known])
        begin.append(regions.begin[known])
        end.append(regions.end[known])
    none = np.zeros(0, np.int64)
    parts = Intervals(*(np.concatenate([none, *arrays]) for arrays in (owner, begin, end)))
    return masks.union(parts, size.prod(axis=1)), size


def _name(record: Record) -> str:
    try:
        return str(msgspec.json.decode(record.file_name, type=str))
    except msgspec.DecodeError:
        return ""


def _ids(data: bytes) -> NDArray[np.int64] | None:
    """The id of each pixel of a PNG file; None where it is none."""
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if pixels is None:
        return None
    blue, green, red = (pixels[:, :, channel].astype(np.int64) for channel in range(3))
    ids: NDArray[np.int64] = red | green << 8 | blue << 16
    return ids


def _tell_regions(found: Records, i: int, wanted: Integers, there: Integers) -> None:
    """Says which segments have no pixels, and which pixels belong to no segment."""
    name = _name(found.records[i])
    absent, unknown = np.setdiff1d(wanted, there), np.setdiff1d(there, wanted)
    if len(absent):
        text = f"{name} has no pixel of segments {_listed(absent)}, which `segments_info` has; they were left out"
        found.add("SEGMENT_WITHOUT_PIXELS", ERROR, i, text, "remove them from `segments_info`, or correct the PNG file")
    if len(unknown):
        text = f"{name} has pixels of segments {_listed(unknown)}, which `segments_info` has not; they were left out"
        found.add("SEGMENT_UNKNOWN", WARNING, i, text, "add them to `segments_info`, or paint them black")


def _listed(ids: Integers) -> str:
    return ", ".join(map(str, ids[:5].tolist())) + (f" and {len(ids) - 5} more" if len(ids) > 5 else "")


def prepare(images: pa.Table, annotations: pa.Table, labels: LabelSchema, head: WriteHead) -> Preparation:
    """Decides ids, and the names of the PNG files."""
    kinds, image = annotations["kind"].to_numpy(), annotations["image"].to_numpy()
    mine = np.isin(kinds, coco_writing.kinds_of(FORMAT))
    ids = annotations["annotation_id"].to_numpy()[mine]
    fits = bool(((ids > 0) & (ids < MAX_ID)).all())
    each = np.stack([image[mine], ids], axis=1)
    keep = (
        fits
        and coco_writing.is_coco(head)
        and not head.asked().coco.reindex
        and len(np.unique(each, axis=0)) == len(each)
    )
    # Ids need only be unique in their image.
    prepared = coco_writing.prepare(images, annotations.slice(0, 0), labels, head, [])
    detail = msgspec.json.decode(prepared.detail, type=coco_writing.Detail)
    detail = msgspec.structs.replace(detail, keep_ids=keep)
    names = prepared.columns.get("name", images["name"].combine_chunks())
    stems = pc.replace_substring_regex(names, r"\.[^./]*$", "")
    whole = pc.binary_join_element_wise(images["folder"].combine_chunks(), stems, "/").dictionary_encode().indices
    several = np.bincount(whole.to_numpy())[whole.to_numpy()] > 1
    rasters = pc.binary_join_element_wise(pc.if_else(pa.array(several), names, stems), ".png", "")
    return Preparation(prepared.columns | {"raster": rasters}, detail=msgspec.json.encode(detail).decode())


def write(rows: Rows, bundle: BundleWriter) -> None:
    """The PNG files, and pieces of the lists of images and annotations of each split's file."""
    annotations, detail = coco_writing.opened(rows, coco_writing.kinds_of(FORMAT))
    sizes = coco_writing.sizes(rows.images)
    wanted = coco_outlines.Wanted(SegmentationMode.SEGMENTATION_MODE_MASK, holes=not coco_writing.is_coco(rows.head))
    annotations = coco_outlines.reshape(annotations, sizes, wanted)
    is_mask = (annotations["kind"].to_numpy() == Kind.MASK) & annotations["rle"].is_valid().to_numpy()
    annotations = annotations.filter(pa.array(is_mask))
    order = pc.fill_null(annotations["z_order"], 0).to_numpy()
    image = annotations["image"].to_numpy()
    annotations = annotations.take(pa.array(np.lexsort([order, image])))
    bounds = geometry.starts(np.bincount(image, minlength=rows.images.num_rows))
    rasters, folders = rows.images["raster"].to_pylist(), rows.images["folder"].to_pylist()
    numbers = rows.images["number"].to_pylist()
    texts, of = [], []
    for i in np.flatnonzero(np.diff(bounds)).tolist():
        mine = annotations.slice(bounds[i], bounds[i + 1] - bounds[i])
        painted, records = _paint(mine, sizes[i], detail)
        pixels = np.stack([painted >> 16, painted >> 8 & 255, painted & 255], axis=2).astype(np.uint8)
        bundle.file(f"annotations/{TASK}_{folders[i]}/{rasters[i]}", cv2.imencode(".png", pixels)[1].tobytes())
        name = msgspec.json.encode(rasters[i]).decode()
        texts.append(f'{{"image_id":{numbers[i]},"file_name":{name},"segments_info":[{",".join(records)}]}}')
        of.append(i)
    image_of = pa.chunked_array([pa.array(of, pa.int64())])
    coco_writing.write_pieces(TASK, rows, pa.array(texts, pa.string()), image_of, bundle)


def _paint(annotations: pa.Table, size: Integers, detail: coco_writing.Detail) -> tuple[NDArray[np.int64], list[str]]:
    """The id of each pixel of an image, and the records of the segments that can be seen."""
    runs = masks.decode(annotations["rle"].combine_chunks())
    count = annotations.num_rows
    drawn = annotations["rle_size"].combine_chunks().flatten().to_numpy().reshape(-1, 2).astype(np.int64)
    # Masks say what they were drawn on; only where they differ, the image decides.
    if (drawn == drawn[0]).all() or not size.all():
        size = drawn[0]
    target = np.tile(size, (count, 1))
    if (drawn != target).any():
        runs = masks.resize(runs, drawn, target)
    ids = annotations["annotation_id"].to_numpy() if detail.keep_ids else np.arange(1, count + 1)
    parts = masks.intervals(runs)
    lengths = parts.end - parts.begin
    flat = np.full(size.prod(), -1)
    # Of several values for one pixel the last one stays.
    flat[geometry.spread(parts.begin, lengths)] = np.repeat(parts.owner, lengths)
    visible = np.bincount(flat[flat >= 0], minlength=count)
    covered = visible < masks.areas(runs)
    regions = regions_of(flat.reshape(size[::-1]).T + 1)
    seen = masks.union(regions._replace(owner=regions.owner - 1), np.full(count, size.prod()))
    boxes = geometry.boxes(annotations["bbox"])
    again = covered | np.isnan(boxes).any(axis=1)
    boxes[again] = masks.envelopes(seen, np.full(count, size[0]))[again]
    records = []
    for i, item in enumerate(annotations.select(["label", "flags", "area", "score", "attributes"]).to_pylist()):
        if not visible[i]:
            continue
        area = float(visible[i]) if covered[i] or item["area"] is None else item["area"]
        record = {
            "id": int(ids[i]),
            "category_id": detail.categories[item["label"]],
            "area": int(area) if area.is_integer() else area,
            "bbox": boxes[i].tolist(),
            "iscrowd": int(bool(item["flags"] & Flag.CROWD)),
        }
        if item["score"] is not None:
            record["score"] = item["score"]
        if item["attributes"] is not None:
            record["attributes"] = msgspec.Raw(item["attributes"].encode())
        records.append(msgspec.json.encode(record).decode())
    return np.append(ids, 0)[flat.reshape(size[::-1]).T], records


def finish(labels: LabelSchema, head: WriteHead, bundle: BundleWriter) -> None:
    """The beginning and the end of each split's file."""
    coco_writing.finish(TASK, labels, head, bundle)


FORMAT = Format(
    id="coco-panoptic",
    title="COCO panoptic",
    holds=Holds(
        kinds=frozenset({Kind.MASK}),
        fallbacks={Kind.POLYGON: FILLED, Kind.ROTATED_BOX: FILLED},
        attributes=True,
        crowd=True,
        score=True,
    ),
    detect=partial(coco_files.detect, task=TASK),
    plan=plan,
    read=read,
    default_split=coco_writing.DEFAULT_SPLIT,
    spelled_by=("coco",),
    columns=coco_writing.OBJECT_COLUMNS,
    plan_columns=("annotation_id",),
    image_columns=("source",),
    prepare=prepare,
    write=write,
    finish=finish,
    layout="""images/<split>/<name>
annotations/panoptic_<split>.json
annotations/panoptic_<split>/<name>.png""",
    notes=(
        "A pixel belongs to one segment: shapes are painted in the order of their z order, what others cover is cut "
        "off, and a shape that is wholly covered is left out. Area and box are computed again where something was cut.",
        "`isthing` comes out as it came in, 1 where nobody said.",
        "Boxes and areas are read as the file has them; Datumaro computes boxes from the pixels.",
    ),
    options=coco_writing.options("reindex"),
)
