"""Writing Datumaro's files: the annotations and items of a run of images as text, in pieces of each subset's file.

Nothing is rounded; written are the shortest numbers that read the same.
"""

from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from framehouse.annotations import geometry
from framehouse.annotations.geometry import Floats, Integers
from framehouse.annotations.schema import Kind
from framehouse.store.bundle import BundleWriter
from framehouse.v1.annotation_pb2 import LabelSchema
from framehouse.v1.conversion_pb2 import Loss
from services.conversion import columns
from services.conversion.coco.outlines import Wanted, reshape, with_holes
from services.conversion.datumaro import attributes as datumaro_attributes
from services.conversion.datumaro.annotations import CORNERS, KINDS, SPACE_KEY
from services.conversion.datumaro.files import FOLDER, about, categories, wants_elements
from services.conversion.datumaro.items import NO_IMAGE
from services.conversion.format import Preparation, Rows, WriteHead
from services.conversion.losses import losses_of

Marks = NDArray[np.bool_]

DEFAULT_SPLIT = "default"
BEGINNING, ITEMS, END = 1, 2, 3
"""Sections of a file; each shard has pieces of the second."""
TYPES = {kind: name for name, kind in KINDS.items()} | {Kind.ROTATED_BOX: "bbox", Kind.SKELETON: "points"}
FACES = np.argsort(CORNERS).tolist()
"""Which of our corners of a cuboid comes where in Datumaro's list."""
LINES = (Kind.POLYGON, Kind.POLYLINE)
"""Kinds that have one ring each."""
IMAGE, MIXED = 2, 1
MEDIA = {"video": 5, "video_frame": 4, "point_cloud": 6}
"""Members of items, and the numbers of the media types that they make."""
SOURCE = r'(?s)^\{"datumaro":\{"id":(?P<id>-?\d+|"(?:[^"\\]|\\.)*")(?P<rest>(?:,.*)?)\}\}$'
"""The id of an item, as JSON, and those of its members that stay text."""


class Detail(msgspec.Struct, frozen=True):
    """What a write plan decides."""

    media: dict[str, int]
    """Number of the media type of each subset."""
    elements: bool
    """Whether skeletons are written as CVAT does, and not as the points that Datumaro knows."""
    holes: bool
    """Whether a ring of a polygon within another is a hole."""


def prepare(images: pa.Table, annotations: pa.Table, labels: LabelSchema, head: WriteHead) -> Preparation:
    """Decides the ids of items, kept where they came from this format, and tells which shapes become others."""
    found = pc.extract_regex(images["source"].combine_chunks(), SOURCE)
    given, rest = pc.struct_field(found, "id"), pc.fill_null(pc.struct_field(found, "rest"), "")
    folder, names = images["folder"].combine_chunks(), images["name"].combine_chunks()
    whole = _strings(names)
    item = pc.coalesce(given, _strings(pc.replace_substring_regex(names, r"\.[^./]*$", "")))
    # Items of one subset are told apart by their ids: `1.jpg` and `1.png` keep their extensions.
    item = pc.if_else(_repeated(folder, item), whole, item)
    item = pc.if_else(_repeated(folder, item), whole, item)
    media = np.zeros(images.num_rows, np.int64)
    for name, number in MEDIA.items():
        media[np.array(pc.match_substring(rest, f',"{name}":'))] = number
    media[(media == 0) & ~np.array(pc.match_substring(rest, NO_IMAGE))] = IMAGE
    of_folder = {}
    for one in pc.unique(folder).to_pylist():
        types = set(media[np.array(pc.equal(folder, one))].tolist()) - {0}
        of_folder[one] = (types or {IMAGE}).pop() if len(types) < 2 else MIXED
    same = head.source_format == "datumaro"
    detail = Detail(
        of_folder,
        same and wants_elements(labels),
        not same and head.source_format.partition("-")[0] != "coco",
    )
    losses = _losses(annotations, detail, same)
    return Preparation({"item": item, "rest": rest}, losses, msgspec.json.encode(detail).decode())


def _repeated(folder: pa.Array, item: pa.Array) -> pa.Array:
    codes = _join(folder, "/", item).dictionary_encode().indices.to_numpy()
    return pa.array(np.bincount(codes, minlength=1)[codes] > 1)


def scan(images: pa.Table, annotations: pa.Table) -> dict[str, pa.Array]:
    """Which polygons have a hole, which shapes several rings, and which cuboids in space say where they are."""
    space = pc.fill_null(pc.match_substring(annotations["attributes"], f'"{SPACE_KEY}":'), False).combine_chunks()
    return {
        "has_hole": pa.array(with_holes(annotations)),
        "is_several": pa.array(geometry.lengths(annotations["rings"]) > 1),
        "has_space": space,
    }


def _losses(annotations: pa.Table, detail: Detail, same: bool) -> list[Loss]:
    kinds, holed = annotations["kind"].to_numpy(), annotations["has_hole"].to_numpy() & detail.holes
    text = "written as the mask of its pixels, since a polygon of Datumaro has one ring"
    losses = losses_of("SHAPE_RASTERISED", "polygons with a hole", annotations, holed, text)
    several = annotations["is_several"].to_numpy() & np.isin(kinds, LINES) & ~holed & (not same)
    text = "written as one for each ring, all of one id and group, which is read as one again"
    losses += losses_of("RINGS_SPLIT", "polygons and lines of several rings", annotations, several, text)
    bare = (kinds == Kind.CUBOID_3D) & ~annotations["has_space"].to_numpy()
    return losses + losses_of(
        "CUBOID_UNPLACED", "cuboids in space that do not say where they are", annotations, bare, "left out"
    )


def write(rows: Rows, bundle: BundleWriter) -> None:
    """Pieces of the items of each subset's file."""
    detail = msgspec.json.decode(rows.head.detail, type=Detail)
    images = rows.images
    sizes = np.stack([pc.fill_null(images[name], 0).to_numpy() for name in ("height", "width")], axis=1)
    shaped = reshape(rows.annotations, sizes.astype(np.int64), Wanted(holes=detail.holes))
    records = _records(shaped)
    texts = _annotation_texts(records, rows.labels, detail)
    written = texts.is_valid()
    counts = np.bincount(records.table["image"].filter(written).to_numpy(), minlength=images.num_rows)
    lists = pa.ListArray.from_arrays(pa.array(geometry.starts(counts).astype(np.int32)), texts.drop_null())
    items = _item_texts(images, pc.binary_join(lists, ","))
    folders = images["folder"].combine_chunks()
    for folder in pc.unique(folders).to_pylist():
        mine = items.filter(pc.equal(folders, folder))
        whole = pa.ListArray.from_arrays(pa.array([0, len(mine)], pa.int32()), mine)
        bundle.piece(path_of(folder), ITEMS, bytes(pc.binary_join(whole, ",")[0].as_buffer()), b",")


def path_of(folder: str) -> str:
    """The file of a subset."""
    return f"{FOLDER}/{folder}.json"


def finish(labels: LabelSchema, head: WriteHead, bundle: BundleWriter) -> None:
    """The beginning and the end of each subset's file."""
    detail = msgspec.json.decode(head.detail, type=Detail)
    known = categories(labels)
    for folder in head.folders:
        before = {"dm_format_version": "1.0", "media_type": detail.media[folder]}
        before |= about(labels, folder, DEFAULT_SPLIT) | {"categories": known}
        bundle.piece(path_of(folder), BEGINNING, msgspec.json.encode(before)[:-1] + b',"items":[')
        bundle.piece(path_of(folder), END, b"]}")


def _item_texts(images: pa.Table, annotations: pa.Array) -> pa.Array:
    height, width = (columns.text(images[name].combine_chunks()) for name in ("height", "width"))
    size = pc.fill_null(_join(',"size":[', height, ",", width, "]"), "")
    rest = images["rest"].combine_chunks()
    image = _join(',"image":{"path":', _strings(images["name"].combine_chunks()), size, "}")
    image = pc.if_else(pc.match_substring(rest, NO_IMAGE), "", image)
    rest = pc.replace_substring(rest, NO_IMAGE, "")
    attributes = pc.fill_null(images["image_attributes"].combine_chunks(), "{}")
    frame = images["frame"].combine_chunks()
    comma = pc.if_else(pc.equal(attributes, "{}"), "", ",")
    number = pc.fill_null(columns.text(frame), "")
    framed = _join(pc.utf8_slice_codeunits(attributes, 0, stop=-1), comma, '"frame":', number, "}")
    attributes = pc.if_else(frame.is_valid(), framed, attributes)
    attr = pc.if_else(pc.equal(attributes, "{}"), "", _join(',"attr":', attributes))
    return _join(
        '{"id":', images["item"].combine_chunks(), ',"annotations":[', annotations, "]", attr, image, rest, "}"
    )


class Records(NamedTuple):
    """Annotations of which each polygon and line has one ring."""

    table: pa.Table
    values: Floats
    """The numbers of all points."""
    bounds: Integers
    """Where those of each annotation begin in `values`, and the end."""


def _records(annotations: pa.Table) -> Records:
    """A polygon of several rings becomes several annotations of one id and group. No group is 0, which means none."""
    kinds = annotations["kind"].to_numpy()
    rings = geometry.open_rings(annotations["rings"])
    held = np.bincount(rings.owner, minlength=len(kinds))
    repeats = np.where(np.isin(kinds, LINES), np.maximum(held, 1), 1)
    ring = geometry.spread(geometry.starts(held)[:-1], repeats)
    bounds = np.append(rings.offsets[ring], rings.offsets[-1])
    several = repeats > 1
    column = annotations["group"].combine_chunks()
    image, ids, group = annotations["image"].to_numpy(), annotations["annotation_id"].to_numpy(), column.fill_null(0)
    bare = np.array(column.fill_null(-1)) == 0
    given = _filled(image, group.to_numpy(), bare | (several & np.array(column.is_null())))
    ids = _filled(image, ids, several & (ids == 0))
    for name, values in {"group": given, "annotation_id": ids}.items():
        annotations = annotations.set_column(annotations.schema.get_field_index(name), name, pa.array(values))
    if several.any():
        annotations = annotations.take(pa.array(np.repeat(np.arange(len(kinds)), repeats)))
    return Records(annotations, rings.values, bounds)


def _filled(image: Integers, given: Integers, wanted: Marks) -> Integers:
    """The same with numbers above all that its image has for each annotation that is `wanted`."""
    at = np.flatnonzero(wanted)
    if not len(at):
        return given
    highest = np.zeros(int(image.max()) + 1, np.int64)
    np.maximum.at(highest, image, given)
    result = given.copy()
    result[at] = highest[image[at]] + 1 + np.arange(len(at)) - np.searchsorted(image[at], image[at])
    return result


def _annotation_texts(records: Records, labels: LabelSchema, detail: Detail) -> pa.Array:
    """A JSON object for each annotation; null for what cannot be written."""
    table = records.table
    kinds, label = table["kind"].to_numpy(), table["label"].to_numpy()
    types = [TYPES.get(Kind(kind), "") if kind else "" for kind in [0, *Kind]]
    if detail.elements:
        types[Kind.SKELETON] = "skeleton"
    attributes = datumaro_attributes.texts(table)
    attributes, moved = _moved(kinds, attributes, np.diff(records.bounds) // 2, detail)
    track, order = table["track"].combine_chunks(), table["z_order"].combine_chunks()
    number = pc.if_else(pa.array(label >= 0), columns.text(label), "null")
    return _join(
        '{"id":',
        columns.text(table["annotation_id"].combine_chunks()),
        ',"type":"',
        pa.array(types, pa.string()).take(pa.array(kinds)),
        '","attributes":',
        attributes,
        ',"group":',
        columns.text(table["group"].combine_chunks()),
        pc.fill_null(_join(',"object_id":', columns.text(track)), ""),
        pc.if_else(pa.array(kinds == Kind.CAPTION), "", _join(',"label_id":', number)),
        _shape_texts(records, labels, detail),
        moved,
        pc.fill_null(_join(',"z_order":', columns.text(order)), ""),
        "}",
    )


def _moved(kinds: Integers, attributes: pa.Array, points: Integers, detail: Detail) -> tuple[pa.Array, pa.Array]:
    """Attributes without those that are members of the annotation, and these members; null where they are missing."""
    touched = (kinds == Kind.CUBOID_3D) | ((kinds == Kind.SKELETON) & detail.elements)
    if not touched.any():
        return attributes, pa.array([""] * len(kinds), pa.string())
    texts, moved = attributes.to_pylist(), [""] * len(kinds)
    members: list[str | None] = list(moved)
    for at in np.flatnonzero(touched).tolist():
        given = msgspec.json.decode(texts[at])
        if kinds[at] == Kind.SKELETON:
            mine = given.pop("points_attributes", None) or [{}] * int(points[at])
            members[at] = ',"points_attributes":' + msgspec.json.encode(mine).decode()
        else:
            space = given.pop(SPACE_KEY, None)
            members[at] = "," + msgspec.json.encode(space)[1:-1].decode() if isinstance(space, dict) and space else None
        texts[at] = msgspec.json.encode(given).decode()
    return pa.array(texts, pa.string()), pa.array(members, pa.string())


def _shape_texts(records: Records, labels: LabelSchema, detail: Detail) -> pa.Array:
    """What is drawn, as members of each annotation."""
    table, bounds = records.table, records.bounds
    kinds = table["kind"].to_numpy()
    pieces: list[tuple[Integers, pa.Array]] = []
    boxes = geometry.boxes(table["bbox"])

    def rows(*wanted: Kind) -> Integers:
        return np.flatnonzero(np.isin(kinds, wanted))

    if len(at := rows(Kind.BOX, Kind.ROTATED_BOX)):
        turned = kinds[at] == Kind.ROTATED_BOX
        plain = turned & (pc.fill_null(table["rotation"], 0).to_numpy()[at] == 0)
        pieces.append((at, _join(_box_texts(boxes[at]), _kind_texts(plain, "rotated_box"))))
    if len(at := rows(Kind.ELLIPSE)):
        ends = np.concatenate([boxes[at, :2], boxes[at, :2] + boxes[at, 2:]], axis=1)
        pieces.append((at, _join(',"points":[', _numbers(ends), "]")))
    if len(at := rows(*LINES, Kind.POINTS, Kind.SKELETON)):
        lists = pa.ListArray.from_arrays(pa.array(bounds.astype(np.int32)), columns.text(records.values))
        drawn = _join(',"points":[', pc.binary_join(lists, ","), "]").take(pa.array(at))
        pieces.append((at, _join(drawn, _point_texts(records, at, labels, detail))))
    if detail.elements and len(at := rows(Kind.SKELETON)):
        pieces.append((at, _element_texts(records, at, boxes)))
    if len(at := rows(Kind.CUBOID)):
        corners = records.values[bounds[at, None] + np.arange(16)].reshape(-1, 8, 2)[:, FACES]
        pairs = _join("[", _numbers(corners.reshape(-1, 2)), "]")
        listed = pa.ListArray.from_arrays(pa.array(np.arange(len(at) + 1, dtype=np.int32) * 8), pairs)
        pieces.append((at, _join(',"points":[', pc.binary_join(listed, ","), "]")))
    if len(at := rows(Kind.MASK)):
        part = table.take(pa.array(at))
        counts = pc.replace_substring(part["rle"].combine_chunks().cast(pa.string()), "\\", "\\\\")
        size = _numbers(part["rle_size"].combine_chunks().flatten().to_numpy().reshape(-1, 2))
        pieces.append((at, _join(',"rle":{"counts":"', counts, '","size":[', size, "]}")))
    if len(at := rows(Kind.CAPTION)):
        pieces.append((at, _join(',"caption":', _strings(table["text"].combine_chunks().take(pa.array(at))))))
    place = np.zeros(len(kinds), np.int64)
    begin = 1
    for at, _ in pieces:
        place[at] = begin + np.arange(len(at))
        begin += len(at)
    return pa.concat_arrays([pa.array([""]), *(texts for _, texts in pieces)]).take(pa.array(place))


def _point_texts(records: Records, at: Integers, labels: LabelSchema, detail: Detail) -> pa.Array:
    """What points and skeletons have beside their points: visibility, and what Datumaro has no place for."""
    table = records.table.take(pa.array(at))
    kinds = table["kind"].to_numpy()
    seen = table["visibility"].combine_chunks()
    listed = pa.ListArray.from_arrays(seen.offsets, columns.text(seen.values))
    visibility = pc.if_else(seen.is_valid(), _join(',"visibility":[', pc.binary_join(listed, ","), "]"), "")
    keypoints = np.array([*(len(label.keypoints) for label in labels.labels), 0])[table["label"].to_numpy()]
    points = np.diff(records.bounds)[at] // 2
    whole = (points == keypoints) & (points > 0)
    names = pc.if_else(
        pa.array((kinds == Kind.POINTS) & whole),
        ',"kind":"points"',
        _kind_texts((kinds == Kind.SKELETON) & ~whole, "skeleton"),
    )
    boxes = _own_boxes(table, geometry.boxes(table["bbox"]))
    return _join(visibility, names, pc.if_else(pa.array(kinds == Kind.SKELETON), boxes, ""))


def _own_boxes(table: pa.Table, boxes: Floats) -> pa.Array:
    """The boxes of skeletons that are others than those around their points."""
    around = geometry.ring_envelopes(geometry.open_rings(table["rings"]), len(boxes))
    own = ~np.isnan(boxes).any(axis=1) & (boxes != around).any(axis=1)
    return pc.if_else(pa.array(own), _box_texts(np.nan_to_num(boxes)), "")


def _element_texts(records: Records, at: Integers, boxes: Floats) -> pa.Array:
    """The points of skeletons as x, y and visibility each."""
    table = records.table.take(pa.array(at))
    points = np.diff(records.bounds)[at] // 2
    xy = records.values[geometry.spread(records.bounds[:-1][at], 2 * points)].reshape(-1, 2)
    seen = table["visibility"].combine_chunks()
    known = geometry.lengths(seen) == points
    visibility = np.full(len(xy), 2)
    visibility[np.repeat(known, points)] = seen.filter(pa.array(known)).flatten().to_numpy()
    triples = _numbers(np.concatenate([xy, visibility[:, None]], axis=1))
    listed = pa.ListArray.from_arrays(pa.array(geometry.starts(points).astype(np.int32)), triples)
    return _join(',"points":[', pc.binary_join(listed, ","), "]", _own_boxes(table, boxes[at]))


def _kind_texts(marked: Marks, name: str) -> pa.Array:
    return pc.if_else(pa.array(marked), f',"kind":"{name}"', "")


def _box_texts(boxes: Floats) -> pa.Array:
    return _join(',"bbox":[', _numbers(boxes), "]")


def _numbers(matrix: Any) -> pa.Array:
    """The numbers of each row of a matrix, with commas between."""
    count, width = matrix.shape
    offsets = pa.array(np.arange(count + 1, dtype=np.int32) * width)
    return pc.binary_join(pa.ListArray.from_arrays(offsets, columns.text(matrix.reshape(-1))), ",")


def _strings(column: pa.Array) -> pa.Array:
    return pa.array([msgspec.json.encode(text or "").decode() for text in column.to_pylist()], pa.string())


def _join(*parts: pa.Array | str) -> pa.Array:
    return pc.binary_join_element_wise(*parts, "")
