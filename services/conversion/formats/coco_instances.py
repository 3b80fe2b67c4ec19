"""`coco-instances`: one JSON file a split, with boxes, polygons and run-length masks in pixels.

Read: a segmentation that is an object is a mask, one with rings is a polygon, else there is a box. Crowd is what
`iscrowd` says. `bbox`, `area` and ids stay as the file has them. Nothing is rounded either way; written are the
shortest numbers that read the same. Masks are written compressed, those of crowds as run lengths, as COCO does. A
rotated box is written as the polygon of its corners, what else has no place as the box around it.

msgspec splits records into fields without looking into the large ones; those go from text to columns at once. Measured
on 85 MB with 8.4 million coordinates: that way 0.6 s, pyarrow.json 0.8 s (and it can hold neither both kinds of
segmentation nor attributes), msgspec with typed lists 2.6 s.
"""

import json
import math
from contextlib import suppress
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from framehouse.annotations import geometry, masks
from framehouse.annotations.geometry import Floats, Integers
from framehouse.annotations.schema import Flag, Kind
from framehouse.store.bundle import BundleWriter
from framehouse.store.issues import ERROR, INFO, WARNING, IssueLog
from framehouse.v1.annotation_pb2 import LabelSchema
from services.conversion import coco, columns, numbers
from services.conversion.archive import Archive
from services.conversion.format import Candidate, Format, Holds, LabelSource, Preparation, ReadPlan, Rows, WriteHead
from services.conversion.json_outline import elements

TASK = "instances"
AROUND = "the upright box around it"
IMAGES, BETWEEN, ANNOTATIONS, END = 2, 3, 4, 5
"""Sections of a file, after its head; each shard has pieces of the second and of the fourth."""

Raw = msgspec.Raw


class Record(msgspec.Struct, gc=False):
    """An annotation, its large fields as text."""

    image_id: int | str | None = None
    category_id: int | str | None = None
    id: int | str | None = None
    segmentation: Raw = Raw()
    bbox: Raw = Raw()
    area: float | None = None
    iscrowd: int | bool | None = None
    score: float | None = None
    attributes: Raw = Raw()


class Mask(msgspec.Struct, gc=False):
    """A run-length mask, its counts as text."""

    counts: Raw
    size: tuple[int, int]


KNOWN = {field.name for field in msgspec.structs.fields(Record)}
RECORDS = msgspec.json.Decoder(list[Record])
RECORD = msgspec.json.Decoder(Record)
MASKS = msgspec.json.Decoder(list[Mask])


class Detail(msgspec.Struct, frozen=True):
    """What a write plan decides."""

    keep_ids: bool
    """Whether annotations keep their ids; else they are counted from 1."""
    categories: list[int]
    """Id of each label."""


class Problems:
    """Issues of one part. The line of an element is looked for only where there is something to say."""

    def __init__(self, path: str, data: bytes, line: int, issues: IssueLog) -> None:
        self._path, self._data, self._line, self._issues = path, data, line, issues
        self._lines: list[int] | None = None

    def add(self, code: str, severity: int, element: int, text: str, remedy: str) -> None:
        """Notes an issue of one element of the part."""
        if self._lines is None:
            self._lines = [span.line for span in coco.spans_of(self._data, elements(self._data), self._line)]
        line = self._lines[element] if element < len(self._lines) else self._line
        self._issues.add(code, severity, self._path, text, remedy, line)  # type: ignore[arg-type]  # an enum's number


def detect(archive: Archive) -> Candidate | None:
    """A JSON file with images, annotations and categories."""
    return coco.detect(archive, TASK)


def plan(archive: Archive, issues: IssueLog) -> ReadPlan:
    """Finds files, images, categories and parts."""
    return coco.plan(archive, TASK, issues)


def read(source: LabelSource, issues: IssueLog) -> pa.Table:
    """Reads one part of the annotations of a file."""
    part = source.part
    assert part is not None
    detail = msgspec.json.decode(part.detail, type=coco.Detail)
    lookup = coco.open_lookup(source.bucket, detail.lookup)
    data = source.bucket.get_range(part.key, part.offset, part.length)
    problems = Problems(part.path, data, detail.line, issues)
    try:
        records, element = RECORDS.decode(b"[" + data + b"]"), None
    except msgspec.DecodeError:
        records, element = _decode_each(data, problems)
    position = np.arange(len(records)) if element is None else np.array(element, np.int64)
    _tell_unread(data, part.path, issues)

    image = lookup.images([record.image_id for record in records])
    label = lookup.classes([record.category_id for record in records])
    for i in np.flatnonzero(image < 0).tolist():
        text = f"annotation {records[i].id} is of image {records[i].image_id}, which the file does not have"
        problems.add("ANNOTATION_WITHOUT_IMAGE", ERROR, position[i], text, "add the image to `images`, or remove it")
    for i in np.flatnonzero((image >= 0) & (label < 0)).tolist():
        text = f"annotation {records[i].id} is of category {records[i].category_id}, which the file does not have"
        problems.add("LABEL_CLASS_UNKNOWN", ERROR, position[i], text, "add the category to `categories`, or correct it")
    kept = np.flatnonzero((image >= 0) & (label >= 0))
    if len(kept) < len(records):
        records = [records[i] for i in kept.tolist()]
        position, image, label = position[kept], image[kept], label[kept]
    count = len(records)

    shapes = [bytes(record.segmentation) for record in records]
    opening = np.frombuffer(b"".join([shape[:1] or b"n" for shape in shapes]), np.uint8)
    is_list, is_object = opening == ord("["), opening == ord("{")
    rings = _read_rings(shapes, np.flatnonzero(is_list), records, position, problems)
    ring_counts = np.bincount(rings.owner, minlength=count)
    rle, rle_size, mask_boxes, is_mask = _read_masks(shapes, np.flatnonzero(is_object), records, position, problems)
    is_polygon = ring_counts > 0

    boxes = _read_boxes([bytes(record.bbox) for record in records])
    without = np.isnan(boxes).any(axis=1)
    if without.any():
        computed = geometry.ring_envelopes(rings, count)
        computed = np.where(np.isnan(computed), mask_boxes, computed)
        boxes[without] = computed[without]
    shapeless = ~is_polygon & ~is_mask
    for i in np.flatnonzero(shapeless & np.isnan(boxes).any(axis=1)).tolist():
        text = f"annotation {records[i].id} has neither a bbox of four numbers nor a segmentation"
        problems.add("BOX_MISSING", ERROR, position[i], text, "give it a bbox: [x, y, width, height]")
    with np.errstate(invalid="ignore"):
        flat = shapeless & (boxes[:, 2:] <= 0).any(axis=1)
    for i in np.flatnonzero(flat).tolist():
        text = f"the box of annotation {records[i].id} has no width or no height"
        problems.add("BOX_EMPTY", ERROR, position[i], text, "correct or remove the annotation")

    table = columns.annotations(
        image,
        annotation_id=_numbers(records, part.offset),
        kind=np.select([is_mask, is_polygon], [int(Kind.MASK), int(Kind.POLYGON)], int(Kind.BOX)),
        label=label,
        bbox=geometry.box_column(boxes),
        rings=geometry.ring_column(rings.values, np.diff(rings.offsets), ring_counts, ~is_polygon),
        rle=rle,
        rle_size=rle_size,
        flags=np.array([int(Flag.CROWD) if record.iscrowd else 0 for record in records], np.int32),
        score=pa.array([record.score for record in records], pa.float64()) if b'"score"' in data else None,
        area=pa.array([record.area for record in records], pa.float64()),
        attributes=pa.array([_attributes(record.attributes) for record in records], pa.string())
        if b'"attributes"' in data
        else None,
    )
    usable = ~(shapeless & (np.isnan(boxes).any(axis=1) | flat))
    return table if usable.all() else table.filter(pa.array(usable))


def _decode_each(data: bytes, problems: Problems) -> tuple[list[Record], list[int]]:
    """Decodes the elements of a part one by one, where not all are as they should be."""
    records, element = [], []
    for i, (start, end) in enumerate(elements(data)):
        text = data[start:end]
        try:
            records.append(RECORD.decode(text))
            element.append(i)
        except msgspec.DecodeError as error:
            try:
                # Python writes NaN, and whole numbers with a point; both can be mended.
                loose = json.loads(text)
                records.append(msgspec.json.decode(msgspec.json.encode(_mended(loose)), type=Record))
                element.append(i)
            except (ValueError, RecursionError):
                what = f"the annotation cannot be read: {error}"
                problems.add("ANNOTATION_INVALID", ERROR, i, what, "correct or remove the annotation")
    return records, element


def _mended(value: Any) -> Any:
    """A decoded annotation with null for what is no number, and whole ids."""
    if isinstance(value, dict):
        ids = {key: int(item) for key, item in value.items() if key.endswith("id") and _is_whole(item)}
        return {key: _mended(item) for key, item in value.items()} | ids
    if isinstance(value, list):
        return [_mended(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _is_whole(value: Any) -> bool:
    return isinstance(value, float) and value.is_integer()


def _tell_unread(data: bytes, path: str, issues: IssueLog) -> None:
    """Says which fields this format does not read, going by the first element of a part."""
    first = next(iter(elements(data[: 1 << 20])), None)
    try:
        fields = msgspec.json.decode(data[slice(*first)], type=dict[str, Raw]) if first else {}
    except msgspec.DecodeError:
        return
    if unread := sorted(set(fields) - KNOWN):
        text = f"fields of annotations that this format does not hold were not read: {', '.join(unread)[:200]}"
        issues.add("FIELDS_NOT_READ", INFO, path, text, "import the file as the format of its task")


def _numbers(records: list[Record], offset: int) -> Integers:
    """Ids of the annotations; those that have no number get one that no other of the file gets."""
    ids = [record.id for record in records]
    with suppress(pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        known = pa.array(ids, pa.int64())
        if not known.null_count:
            return np.asarray(known)
    return np.array([number if isinstance(number, int) else offset + i for i, number in enumerate(ids)], np.int64)


def _attributes(raw: Raw) -> str | None:
    text = bytes(raw)
    if not text.startswith(b"{"):
        return None
    text = msgspec.json.format(text, indent=-1) if b"\n" in text or b" " in text else text
    return text.decode() if text != b"{}" else None


def _read_rings(
    shapes: list[bytes], at: Integers, records: list[Record], position: Integers, problems: Problems
) -> geometry.Rings:
    """The rings of the shapes that are lists; one that is no ring is told and left out."""
    texts = [shapes[i] for i in at.tolist()]
    try:
        runs = numbers.parse(texts, b"]")
    except numbers.NotNumbers:
        for k, text in enumerate(texts):
            try:
                numbers.parse([text], b"]")
            except numbers.NotNumbers:
                i = int(at[k])
                what = f"the segmentation of annotation {records[i].id} holds something that is no number"
                problems.add("SEGMENTATION_INVALID", WARNING, position[i], what, "a ring is a list of x and y")
                texts[k] = b"[]"
        runs = numbers.parse(texts, b"]")
    sizes = np.diff(runs.offsets)
    bad = (sizes > 0) & ((sizes < 6) | (sizes % 2 == 1))
    for k in np.flatnonzero(bad).tolist():
        i = int(at[runs.item[k]])
        what = f"a ring of annotation {records[i].id} has {sizes[k]} numbers; three points have six. It was left out"
        problems.add("RING_TOO_SHORT", WARNING, position[i], what, "correct or remove the ring")
    good = (sizes > 0) & ~bad
    values = runs.values if not bad.any() else runs.values[np.repeat(good, sizes)]
    return geometry.Rings(values, geometry.starts(sizes[good]), at[runs.item[good]])


def _read_masks(
    shapes: list[bytes], at: Integers, records: list[Record], position: Integers, problems: Problems
) -> tuple[pa.Array, pa.Array, Floats, NDArray[np.bool_]]:
    """Compressed counts, sizes and envelopes of the shapes that are masks, and which are."""
    count = len(shapes)
    found: list[Mask | None] = []
    try:
        found = list(MASKS.decode(b"[" + b",".join([shapes[i] for i in at.tolist()]) + b"]"))
    except msgspec.DecodeError:
        for i in at.tolist():
            try:
                found.append(msgspec.json.decode(shapes[i], type=Mask))
            except msgspec.DecodeError:
                found.append(None)
    counts = [bytes(mask.counts) if mask else b"" for mask in found]
    lists = np.array([text.startswith(b"[") for text in counts], bool)
    packed: list[bytes | None] = [None] * len(found)
    for k in np.flatnonzero([text.startswith(b'"') for text in counts]).tolist():
        packed[k] = msgspec.json.decode(counts[k], type=str).encode()
    encoded = _encode_lists([counts[k] for k in np.flatnonzero(lists).tolist()])
    for k, text in zip(np.flatnonzero(lists).tolist(), encoded, strict=True):
        packed[k] = text
    runs = masks.decode(pa.array(packed, pa.binary()))
    size = np.array([mask.size if mask else (0, 0) for mask in found], np.int64).reshape(-1, 2)
    good = masks.valid(runs, size[:, 0], size[:, 1])
    for k in np.flatnonzero(~good).tolist():
        i = int(at[k])
        what = f"the mask of annotation {records[i].id} does not fill its size, or cannot be read"
        problems.add("MASK_INVALID", WARNING, position[i], what, "encode the mask again; its box was kept")
    boxes = np.full((count, 4), np.nan)
    boxes[at] = masks.envelopes(runs, np.maximum(size[:, 0], 1))
    is_mask = np.zeros(count, bool)
    is_mask[at[good]] = True
    place = np.full(count, -1)
    place[at[good]] = np.flatnonzero(good)
    take = pa.array(np.maximum(place, 0), mask=place < 0)
    sizes = pa.FixedSizeListArray.from_arrays(pa.array(size.astype(np.int32).reshape(-1)), 2)
    return pa.array(packed, pa.binary()).take(take), sizes.take(take), boxes, is_mask


def _encode_lists(texts: list[bytes]) -> list[bytes | None]:
    """Run lengths as JSON lists, to compressed counts; None for what is no list of numbers."""
    if not texts:
        return []
    try:
        runs = numbers.parse(texts, b"]")
    except numbers.NotNumbers:
        return [None] * len(texts) if len(texts) == 1 else [_encode_lists([text])[0] for text in texts]
    sizes = np.bincount(runs.item, np.diff(runs.offsets), len(texts)).astype(np.int64)
    values = np.clip(runs.values, -(2.0**31), 2.0**31).astype(np.int64)
    encoded: list[bytes | None] = masks.encode(masks.Runs(values, geometry.starts(sizes))).to_pylist()
    return encoded


def _read_boxes(texts: list[bytes]) -> Floats:
    """Boxes (n, 4) of JSON lists of four numbers; NaN for anything else."""
    try:
        runs = numbers.parse(texts, b"]")
    except numbers.NotNumbers:
        single = [_read_boxes([text]) for text in texts] if len(texts) > 1 else []
        return np.concatenate(single) if single else np.full((len(texts), 4), np.nan)
    result = np.full((len(texts), 4), np.nan)
    fits = (np.diff(runs.offsets) == 4) & (runs.ordinal == 0)
    result[runs.item[fits]] = runs.take(fits) if fits.any() else np.zeros((0, 4))
    return result


def prepare(images: pa.Table, annotations: pa.Table, labels: LabelSchema, head: WriteHead) -> Preparation:
    """Decides whether ids can be kept: those of images, annotations and categories."""
    folder = images["folder"].combine_chunks().dictionary_encode().indices.to_numpy()
    given, _ = coco.image_ids(images["source"].combine_chunks())
    known = given.is_valid().to_numpy(zero_copy_only=False)
    ids = np.arange(1, images.num_rows + 1)
    if known.any() and _unique(given.drop_null().to_numpy(), folder[known]):
        # Images that had none are counted on from the highest.
        ids = pc.fill_null(given, 0).to_numpy()
        ids = np.where(known, ids, max(int(ids.max()), 0) + np.cumsum(~known))
    keep = head.source_format.startswith("coco-") and _unique(
        annotations["annotation_id"].to_numpy(), folder[annotations["image"].to_numpy()]
    )
    source_ids = [label.source_id for label in labels.labels if label.HasField("source_id")]
    fits = len(source_ids) == len(labels.labels) == len(set(source_ids))
    categories = source_ids if fits else list(range(1, len(labels.labels) + 1))
    detail = msgspec.json.encode(Detail(bool(keep), categories)).decode()
    return Preparation({"number": pa.array(ids)}, detail=detail)


def _unique(ids: Integers, folder: Integers) -> bool:
    """Whether ids are unique in each folder."""
    return all(len(np.unique(mine)) == len(mine) for mine in (ids[folder == i] for i in np.unique(folder).tolist()))


def write(rows: Rows, bundle: BundleWriter) -> None:
    """Pieces of the lists of images and annotations of each split's file."""
    images, annotations = rows.images, rows.annotations
    detail = msgspec.json.decode(rows.head.detail, type=Detail)
    first, counts = images["first"].to_numpy(), np.bincount(annotations["image"].to_numpy(), minlength=images.num_rows)
    numbered = geometry.spread(first, counts) + 1
    written = (annotations["label"].to_numpy() >= 0) & np.isin(
        annotations["kind"].to_numpy(), [*FORMAT.holds.kinds, *FORMAT.holds.fallbacks]
    )
    if not written.all():
        annotations, numbered = annotations.filter(pa.array(written)), numbered[written]
    ids = annotations["annotation_id"].to_numpy() if detail.keep_ids else numbered
    image_texts = _image_texts(images)
    texts = _annotation_texts(annotations, ids, images["number"].to_numpy(), np.array(detail.categories, np.int64))
    folders = images["folder"].combine_chunks()
    of = folders.take(annotations["image"].combine_chunks())
    for folder in pc.unique(folders).to_pylist():
        path = _path(folder)
        bundle.piece(path, IMAGES, _joined(image_texts.filter(pc.equal(folders, folder))), b",")
        mine = texts.filter(pc.equal(of, folder))
        if len(mine):
            bundle.piece(path, ANNOTATIONS, _joined(mine), b",")


def _path(folder: str) -> str:
    return f"annotations/{TASK}_{folder}.json"


def _joined(texts: pa.Array) -> bytes:
    whole = pa.ListArray.from_arrays(pa.array([0, len(texts)], pa.int32()), texts)
    return bytes(pc.binary_join(whole, ",")[0].as_buffer())


def _join(*parts: pa.Array | str) -> pa.Array:
    return pc.binary_join_element_wise(*parts, "")


def _image_texts(images: pa.Table) -> pa.Array:
    _, rest = coco.image_ids(images["source"].combine_chunks())
    names = pa.array([msgspec.json.encode(name).decode() for name in images["name"].to_pylist()], pa.string())
    size = [pc.fill_null(images[name].combine_chunks(), 0) for name in ("width", "height")]
    width, height = map(columns.text, size)
    extra = pc.if_else(pc.equal(rest, ""), "", _join(",", rest))
    number = columns.text(images["number"].combine_chunks())
    return _join('{"id":', number, ',"width":', width, ',"height":', height, ',"file_name":', names, extra, "}")


def _annotation_texts(annotations: pa.Table, ids: Integers, image_ids: Integers, categories: Integers) -> pa.Array:
    count = annotations.num_rows
    kinds, flags = annotations["kind"].to_numpy(), annotations["flags"].to_numpy()
    crowd = (flags & Flag.CROWD) != 0
    boxes = geometry.boxes(annotations["bbox"])
    rings, is_polygon = _rings(annotations, kinds, boxes)
    is_mask = (kinds == Kind.MASK) & annotations["rle"].is_valid().to_numpy()
    runs = masks.decode(annotations["rle"].combine_chunks().filter(pa.array(is_mask)))
    size = annotations["rle_size"].combine_chunks().filter(pa.array(is_mask)).flatten().to_numpy().reshape(-1, 2)

    turned = np.flatnonzero(kinds == Kind.ROTATED_BOX)
    envelopes = geometry.ring_envelopes(rings, count)
    envelopes[is_mask] = masks.envelopes(runs, size[:, 0].astype(np.int64))
    boxes[turned] = envelopes[turned]
    boxes = np.where(np.isnan(boxes), np.nan_to_num(envelopes), boxes)

    area = boxes[:, 2] * boxes[:, 3]
    area[is_polygon] = geometry.ring_areas(rings, count)[is_polygon]
    area[is_mask] = masks.areas(runs)
    said = annotations["area"].combine_chunks()

    shapes = pa.concat_arrays(
        [
            pa.array(["[]"]),
            _ring_texts(rings, is_polygon),
            _mask_texts(runs, size, annotations["rle"].combine_chunks().filter(pa.array(is_mask)), crowd[is_mask]),
        ]
    )
    place = np.zeros(count, np.int64)
    place[is_polygon] = 1 + np.arange(is_polygon.sum())
    place[is_mask] = 1 + is_polygon.sum() + np.arange(is_mask.sum())

    x, y, width, height = (columns.text(boxes[:, axis]) for axis in range(4))
    score, attributes = annotations["score"].combine_chunks(), annotations["attributes"].combine_chunks()
    return _join(
        '{"id":',
        columns.text(ids),
        ',"image_id":',
        columns.text(image_ids[annotations["image"].to_numpy()]),
        ',"category_id":',
        columns.text(categories[annotations["label"].to_numpy()] if count else np.zeros(0, np.int64)),
        ',"segmentation":',
        shapes.take(pa.array(place)),
        ',"area":',
        columns.text(pc.coalesce(said, pa.array(area))),
        ',"bbox":[',
        *(x, ",", y, ",", width, ",", height),
        '],"iscrowd":',
        columns.text(crowd.astype(np.int8)),
        pc.if_else(pc.is_valid(score), _join(',"score":', pc.fill_null(columns.text(score), "")), ""),
        pc.if_else(pc.is_valid(attributes), _join(',"attributes":', pc.fill_null(attributes, "")), ""),
        "}",
    )


def _rings(annotations: pa.Table, kinds: Integers, boxes: Floats) -> tuple[geometry.Rings, NDArray[np.bool_]]:
    """The rings of polygons, and the corners of rotated boxes as rings; and which annotations have any."""
    count = len(kinds)
    rings = geometry.open_rings(annotations["rings"])
    mine = kinds[rings.owner] == Kind.POLYGON
    turned = np.flatnonzero(kinds == Kind.ROTATED_BOX)
    if not mine.all() or len(turned):
        sizes = np.diff(rings.offsets)
        values, owner, sizes = rings.values[np.repeat(mine, sizes)], rings.owner[mine], sizes[mine]
        angles = pc.fill_null(annotations["rotation"], 0).to_numpy()[turned]
        corners = geometry.corners(boxes[turned], angles)
        at = np.searchsorted(owner, turned)
        begins = geometry.starts(sizes)
        values = np.insert(values, np.repeat(begins[at], 8), corners.reshape(-1))
        sizes, owner = np.insert(sizes, at, 8), np.insert(owner, at, turned)
        rings = geometry.Rings(values, geometry.starts(sizes), owner)
    return rings, np.bincount(rings.owner, minlength=count) > 0


def _ring_texts(rings: geometry.Rings, has_rings: NDArray[np.bool_]) -> pa.Array:
    """`[[x,y,…],[…]]` of each annotation that has rings."""
    listed = pa.ListArray.from_arrays(pa.array(rings.offsets.astype(np.int32)), columns.text(rings.values))
    single = pc.binary_join(listed, ",")
    counts = np.bincount(rings.owner, minlength=len(has_rings))[has_rings]
    grouped = pa.ListArray.from_arrays(pa.array(geometry.starts(counts).astype(np.int32)), single)
    return _join("[[", pc.binary_join(grouped, "],["), "]]")


def _mask_texts(runs: masks.Runs, size: Integers, rle: pa.Array, crowd: NDArray[np.bool_]) -> pa.Array:
    """`{"counts":…,"size":[h,w]}`: run lengths for crowds, the compressed text for others."""
    listed = pa.ListArray.from_arrays(pa.array(runs.offsets.astype(np.int32)), columns.text(runs.values))
    lengths = _join("[", pc.binary_join(listed, ","), "]")
    packed = _join('"', pc.replace_substring(rle.cast(pa.string()), "\\", "\\\\"), '"')
    counts = pc.if_else(pa.array(crowd), lengths, packed)
    height, width = columns.text(size[:, 0]), columns.text(size[:, 1])
    return _join('{"counts":', counts, ',"size":[', height, ",", width, "]}")


def finish(labels: LabelSchema, head: WriteHead, bundle: BundleWriter) -> None:
    """The beginning and the end of each split's file."""
    detail = msgspec.json.decode(head.detail, type=Detail)
    categories = [
        {"id": number, "name": label.name, "supercategory": label.parent}
        for number, label in zip(detail.categories, labels.labels, strict=True)
    ]
    said = msgspec.json.decode(labels.source or "{}").get("coco", {})
    for folder in head.folders:
        mine = said.get(folder) or said.get("" if folder == FORMAT.default_split else folder) or {}
        before = {"info": mine.get("info", {}), "licenses": mine.get("licenses", []), "categories": categories}
        text = msgspec.json.encode(before)
        bundle.piece(_path(folder), 1, text[:-1] + b',"images":[')
        bundle.piece(_path(folder), BETWEEN, b'],"annotations":[')
        bundle.piece(_path(folder), END, b"]}")


FORMAT = Format(
    id="coco-instances",
    title="COCO instances",
    aliases=("coco",),
    holds=Holds(
        kinds=frozenset({Kind.BOX, Kind.POLYGON, Kind.MASK}),
        fallbacks={
            Kind.ROTATED_BOX: "a polygon of its four corners",
            **dict.fromkeys((Kind.POLYLINE, Kind.POINTS, Kind.SKELETON, Kind.ELLIPSE, Kind.CUBOID), AROUND),
        },
        attributes=True,
        crowd=True,
        score=True,
    ),
    detect=detect,
    plan=plan,
    read=read,
    default_split="default",
    columns=(
        "annotation_id",
        "kind",
        "label",
        "bbox",
        "rings",
        "rle",
        "rle_size",
        "rotation",
        "flags",
        "score",
        "area",
        "attributes",
    ),
    plan_columns=("annotation_id",),
    image_columns=("source",),
    prepare=prepare,
    write=write,
    finish=finish,
)
