"""The annotations in Datumaro's items as columns: a part of a file is split into fields by msgspec, which leaves the
lists of numbers as text; those of all annotations are parsed as one.

Polygons of one id, group and label in an item are the parts of one object, as Datumaro writes those of COCO.
"""

import json
from contextlib import suppress
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from framehouse.annotations import geometry, masks
from framehouse.annotations.geometry import Floats, Integers, Rings
from framehouse.annotations.schema import Kind
from framehouse.store.issues import ERROR, WARNING, IssueLog
from services.conversion import columns, numbers
from services.conversion.datumaro import attributes as datumaro_attributes
from services.conversion.datumaro.items import Detail, mended, open_lookup
from services.conversion.format import LabelSource
from services.conversion.json_outline import elements
from services.conversion.json_problems import UNREADABLE, Problems, is_text
from services.conversion.mask_columns import Masks, mask_columns
from services.conversion.unpacked import fetch

Raw = msgspec.Raw

KINDS = {
    "label": Kind.TAG,
    "bbox": Kind.BOX,
    "polygon": Kind.POLYGON,
    "polyline": Kind.POLYLINE,
    "points": Kind.POINTS,
    "skeleton": Kind.SKELETON,
    "mask": Kind.MASK,
    "ellipse": Kind.ELLIPSE,
    "cuboid_2d": Kind.CUBOID,
    "cuboid_3d": Kind.CUBOID_3D,
    "caption": Kind.CAPTION,
}
"""What types of annotations are here."""
EXACT = {"rotated_box": Kind.ROTATED_BOX, "points": Kind.POINTS, "skeleton": Kind.SKELETON}
"""Values of a member `kind`, which says what the type leaves open. Only Framehouse writes it; others pass over it."""
CORNERS = [0, 1, 2, 3, 7, 4, 5, 6]
"""Where the corners of a cuboid lie in Datumaro's list: ours has those of the second face in the order of the first."""
SPACE = ("position", "rotation", "scale")
SPACE_KEY = "cuboid_3d"
"""What a cuboid in space has, and the attribute that it is kept in."""


Long = Annotated[int, msgspec.Meta(ge=-(1 << 62), le=1 << 62)]
Short = Annotated[int, msgspec.Meta(ge=-(1 << 30), le=1 << 30)]


class Annotation(msgspec.Struct, gc=False):
    """An annotation, what is large or rare as text."""

    type: str
    id: Long | None = None
    label_id: Short | None = None
    group: Long | None = None
    object_id: Long | None = None
    z_order: Short | None = None
    attributes: Raw = Raw()
    points: Raw = Raw()
    bbox: Raw = Raw()
    visibility: Raw = Raw()
    rle: Raw = Raw()
    caption: Raw = Raw()
    position: Raw = Raw()
    rotation: Raw = Raw()
    scale: Raw = Raw()
    points_attributes: Raw = Raw()
    kind: str = ""


class Item(msgspec.Struct, gc=False):
    """An item, as far as its annotations."""

    annotations: list[Annotation] = []  # a struct copies its defaults


class Mask(msgspec.Struct, gc=False):
    """A run-length mask: compressed counts, or run lengths."""

    counts: str | list[int]
    size: tuple[int, int]


ITEMS = msgspec.json.Decoder(list[Item], strict=False)
ANNOTATION = msgspec.json.Decoder(Annotation, strict=False)


class Found(NamedTuple):
    """The annotations of a part that are of known kinds, labels and images."""

    records: list[Annotation]
    item: Integers
    """Item of the part that each is of."""
    image: Integers
    """Row in the plan."""
    label: Integers
    kinds: Integers
    problems: Problems

    def tell(self, code: str, at: int, what: str, remedy: str = "correct or remove the annotation") -> None:
        """An error about one annotation, which is left out."""
        record = self.records[at]
        text = f"annotation {record.id} of type {record.type} {what}"
        self.problems.add(code, ERROR, int(self.item[at]), text, remedy)


def read(source: LabelSource, issues: IssueLog) -> pa.Table:
    """Reads one part of the items of a file."""
    found = _records(source, issues)
    shapes, usable = _shapes(found, np.array([len(label.keypoints) for label in source.labels.labels], np.int64))
    table = columns.annotations(found.image, **_common(found), **shapes)
    turned = (found.kinds == Kind.BOX) & table["rotation"].is_valid().to_numpy()
    kinds = pa.array(np.where(turned, int(Kind.ROTATED_BOX), table["kind"].to_numpy()).astype(np.int8))
    table = table.set_column(table.schema.get_field_index("kind"), table.schema.field("kind"), kinds)
    return _with_own_ids(_joined(table.filter(pa.array(usable))))


def _records(source: LabelSource, issues: IssueLog) -> Found:
    part = source.part
    assert part is not None
    detail = msgspec.json.decode(part.detail, type=Detail)
    rows, labels = open_lookup(source, detail)
    data = fetch(source.bucket, part.key, part.offset, part.length)
    problems = Problems(part.path, data, detail.line, issues)
    items: list[list[Annotation]] = []
    with suppress(*UNREADABLE):
        items = [item.annotations for item in ITEMS.decode(b"[" + data + b"]")] if is_text(data) else []
    if not items:
        items = [_each(data[first:end], n, problems) for n, (first, end) in enumerate(elements(data))]
    records = [record for annotations in items for record in annotations]
    item = np.repeat(np.arange(len(items)), [len(annotations) for annotations in items])
    kinds = np.array([EXACT.get(record.kind, KINDS.get(record.type, 0)) for record in records], np.int64)
    given = np.array([-1 if record.label_id is None else record.label_id for record in records], np.int64)
    label = np.append(labels, -1)[np.clip(given, -1, len(labels) - 1)] if len(labels) else np.full(len(given), -1)
    found = Found(records, item, rows[item], label, kinds, problems)
    for at in np.flatnonzero(kinds == 0).tolist():
        found.tell("ANNOTATION_KIND_UNKNOWN", at, "is of none that is known here", "export it as another type")
    unknown = (kinds > 0) & ((given < -1) | (given >= len(labels)))
    for at in np.flatnonzero(unknown).tolist():
        found.tell("LABEL_CLASS_UNKNOWN", at, f"has label {given[at]}, and there are {len(labels)}")
    kept = np.flatnonzero((kinds > 0) & ~unknown & (found.image >= 0))
    if len(kept) == len(records):
        return found
    records = [records[at] for at in kept.tolist()]
    return Found(records, item[kept], found.image[kept], label[kept], kinds[kept], problems)


def _each(text: bytes, number: int, problems: Problems) -> list[Annotation]:
    """The annotations of an item one by one, where not all are as they should be."""
    try:
        item = json.loads(mended(text))
    except (ValueError, OverflowError, RecursionError):
        return []  # told while planning
    given = item.get("annotations") if isinstance(item, dict) else None
    result = []
    for place, one in enumerate(given if isinstance(given, list) else []):
        try:
            result.append(ANNOTATION.decode(msgspec.json.encode(one)))
        except UNREADABLE as error:
            what = f"annotation {place + 1} of the item cannot be read: {error}"
            problems.add("ANNOTATION_INVALID", ERROR, number, what, "correct or remove the annotation")
    return result


def _common(found: Found) -> dict[str, Any]:
    """The columns that annotations of all kinds have."""
    records = found.records
    said = [
        datumaro_attributes.read(bytes(record.attributes), kind)
        for record, kind in zip(records, found.kinds.tolist(), strict=True)
    ]
    rest = [one.rest for one in said]
    for at, record in enumerate(records):
        if record.type == "cuboid_3d":
            space = b",".join(b'"%s":%s' % (name.encode(), bytes(getattr(record, name)) or b"null") for name in SPACE)
            rest[at] = _with(rest[at], SPACE_KEY, b"{" + space + b"}")
        elif bytes(record.points_attributes).strip(b"[]{}, \n"):
            rest[at] = _with(rest[at], "points_attributes", bytes(record.points_attributes))
    tracks = [
        one.track if record.object_id is None or record.object_id < 0 else record.object_id
        for record, one in zip(records, said, strict=True)
    ]
    return {
        "annotation_id": pa.array([record.id for record in records], pa.int64()),
        "label": found.label,
        "group": pa.array([record.group or None for record in records], pa.int64()),
        "track": pa.array(tracks, pa.int64()),
        "z_order": pa.array([record.z_order for record in records], pa.int32()),
        "flags": np.array([one.flags for one in said], np.int32),
        "score": pa.array([one.score for one in said], pa.float64()),
        "attributes": pa.array(rest, pa.string()),
        "rotation": pa.array([one.rotation for one in said], pa.float64()),
    }


def _with(attributes: str | None, name: str, value: bytes) -> str:
    """Attributes with one more."""
    start = attributes[:-1] + "," if attributes else "{"
    return f'{start}"{name}":{msgspec.json.format(value, indent=-1).decode()}}}'


def _shapes(found: Found, keypoints: Integers) -> tuple[dict[str, Any], NDArray[np.bool_]]:
    """Boxes, rings, masks and texts; and which annotations are usable. Those that are not are told."""
    records, kinds = found.records, found.kinds.copy()
    count = len(records)
    values, sizes = _numbers([bytes(record.points) for record in records])
    types = np.array([record.type for record in records], object)
    is_triples = types == "skeleton"
    is_points = (kinds == Kind.POINTS) | ((kinds == Kind.SKELETON) & ~is_triples)
    wanted = np.select(
        [kinds == Kind.POLYGON, kinds == Kind.POLYLINE, is_points, kinds == Kind.ELLIPSE, kinds == Kind.CUBOID],
        [6, 4, 2, 4, 16],
        3,
    )
    has_points = is_points | is_triples | np.isin(kinds, (Kind.POLYGON, Kind.POLYLINE, Kind.ELLIPSE, Kind.CUBOID))
    is_exact = np.isin(kinds, (Kind.ELLIPSE, Kind.CUBOID))
    bad = (sizes < wanted) | (is_exact & (sizes != wanted)) | (sizes % np.where(is_triples, 3, 2) > 0)
    usable = ~(has_points & bad)
    for at in np.flatnonzero(~usable).tolist():
        what = f"has {sizes[at]} numbers as points" if sizes[at] >= 0 else "has something else than numbers as points"
        found.tell("POINTS_INVALID", at, what)

    begins = geometry.starts(np.maximum(sizes, 0))[:-1]
    boxes = np.full((count, 4), np.nan)
    round_ones = np.flatnonzero(usable & (kinds == Kind.ELLIPSE))
    ends = values[begins[round_ones, None] + np.arange(4)]
    boxes[round_ones] = np.concatenate([ends[:, :2], ends[:, 2:] - ends[:, :2]], axis=1)
    given, given_sizes = _numbers([bytes(record.bbox) for record in records])
    four = np.flatnonzero(given_sizes == 4)
    boxes[four] = given[geometry.starts(np.maximum(given_sizes, 0))[:-1][four, None] + np.arange(4)]
    is_box = np.isin(kinds, (Kind.BOX, Kind.ROTATED_BOX, Kind.ELLIPSE))
    with np.errstate(invalid="ignore"):
        flat = is_box & usable & (boxes[:, 2:] <= 0).any(axis=1)
    missing = is_box & usable & np.isnan(boxes).any(axis=1)
    for at in np.flatnonzero(flat).tolist():
        found.tell("BOX_EMPTY", at, "has no width or no height")
    for at in np.flatnonzero(missing).tolist():
        found.tell("BOX_MISSING", at, "has no bbox of four numbers")
    usable &= ~flat & ~missing

    drawn = usable & has_points & (kinds != Kind.ELLIPSE)
    points = np.where(drawn, sizes // np.where(is_triples, 3, 2), 0)
    owner = np.repeat(np.arange(count), points)
    step = np.where(is_triples, 3, 2)
    place = begins[owner] + (np.arange(len(owner)) - geometry.starts(points)[owner]) * step[owner]
    xy = np.stack([values[place], values[place + 1]], axis=1)
    cuboids = np.flatnonzero(drawn & (kinds == Kind.CUBOID))
    first = geometry.starts(points)[cuboids, None]
    xy[first + np.arange(8)] = xy[first + np.array(CORNERS)]
    mine = np.append(keypoints, 0)[found.label]
    named = np.array([record.kind in EXACT for record in records], bool)
    kinds[drawn & (types == "points") & ~named & (points > 0) & (points == mine)] = Kind.SKELETON
    rings = Rings(xy.reshape(-1), 2 * geometry.starts(points[drawn]), np.flatnonzero(drawn))
    around = geometry.ring_envelopes(rings, count)
    rle, rle_size, mask_boxes, is_mask = _masks(found)
    usable &= is_mask | (kinds != Kind.MASK)
    boxes = np.where(np.isnan(boxes), np.where(np.isnan(around), mask_boxes, around), boxes)
    captions, is_caption = _captions(found)
    usable &= is_caption | (kinds != Kind.CAPTION)
    shapes = {
        "kind": kinds,
        "bbox": geometry.box_column(boxes),
        "rings": geometry.ring_column(rings.values, np.diff(rings.offsets), drawn.astype(np.int64), ~drawn),
        "visibility": _visibility(found, drawn, points, values[place[is_triples[owner]] + 2], is_triples),
        "rle": rle,
        "rle_size": rle_size,
        "text": captions,
    }
    return shapes, usable


def _numbers(texts: list[bytes]) -> tuple[Floats, Integers]:
    """The numbers of lists, nested or not, one after the other, and how many each has; -1 for what is no such list."""
    try:
        runs = numbers.parse(texts, b"]")
        return runs.values, np.bincount(runs.item, np.diff(runs.offsets), len(texts)).astype(np.int64)
    except numbers.NotNumbers:
        if len(texts) == 1:
            return np.zeros(0), np.array([0 if texts[0] == b"null" else -1])
        half = len(texts) // 2
        first, second = _numbers(texts[:half]), _numbers(texts[half:])
        return np.concatenate([first[0], second[0]]), np.concatenate([first[1], second[1]])


def _visibility(
    found: Found, drawn: NDArray[np.bool_], points: Integers, triples: Floats, is_triples: NDArray[np.bool_]
) -> pa.Array:
    """The visibility of points: a list of its own, or the third number of each."""
    count = len(points)
    values, sizes = _numbers([bytes(record.visibility) for record in found.records])
    said = drawn & ((sizes > 0) & (sizes == points) | is_triples)
    for at in np.flatnonzero(drawn & (sizes != 0) & ~said).tolist():
        _tell_visibility(found, at, "does not say of each point whether it is visible; all were taken for it")
    own = said & ~is_triples
    counts = np.where(said, points, 0)
    merged = np.full(counts.sum(), 2.0)
    owner = np.repeat(np.arange(count), counts)
    merged[is_triples[owner]] = triples
    merged[own[owner]] = values[own[np.repeat(np.arange(count), np.maximum(sizes, 0))]]
    odd = ~np.isin(merged, (0, 1, 2))
    for at in np.unique(owner[odd]).tolist():
        _tell_visibility(found, at, "has a point of another visibility than 0, 1, 2; it was taken for 2")
    offsets = pa.array(geometry.starts(counts).astype(np.int32))
    return pa.ListArray.from_arrays(offsets, pa.array(np.where(odd, 2, merged).astype(np.int8)), mask=pa.array(~said))


def _tell_visibility(found: Found, at: int, what: str) -> None:
    text = f"annotation {found.records[at].id} {what}"
    found.problems.add("VISIBILITY_INVALID", WARNING, int(found.item[at]), text, "0 is absent, 1 hidden, 2 visible")


def _masks(found: Found) -> Masks:
    """The annotations that are masks."""
    at = np.flatnonzero(found.kinds == Kind.MASK)
    packed: list[bytes | None] = []
    size = np.zeros((len(at), 2), np.int64)
    for k, i in enumerate(at.tolist()):
        try:
            mask = msgspec.json.decode(found.records[i].rle, type=Mask)
        except msgspec.DecodeError:
            packed.append(None)
            continue
        size[k] = mask.size
        if isinstance(mask.counts, str):
            packed.append(mask.counts.encode())
        else:
            counts = np.clip(np.array(mask.counts, np.float64), -(2.0**31), 2.0**31).astype(np.int64)
            packed.extend(masks.encode(masks.Runs(counts, np.array([0, len(counts)]))).to_pylist())
    read, bad = mask_columns(len(found.records), at, pa.array(packed, pa.binary()), size)
    for i in bad.tolist():
        found.tell("ANNOTATION_INVALID", i, "has an rle that does not fill its size, or cannot be read")
    return read


def _captions(found: Found) -> tuple[pa.Array, NDArray[np.bool_]]:
    """Texts of captions, and which annotations have one."""
    texts: list[str | None] = [None] * len(found.records)
    for at in np.flatnonzero(found.kinds == Kind.CAPTION).tolist():
        try:
            texts[at] = msgspec.json.decode(found.records[at].caption, type=str)
        except msgspec.DecodeError:
            found.tell("CAPTION_MISSING", at, "has no caption that is a text")
    column = pa.array(texts, pa.string())
    return column, column.is_valid().to_numpy(zero_copy_only=False)


def _joined(table: pa.Table) -> pa.Table:
    """The same with the polygons and lines that are parts of one object as one annotation of several rings.

    They have one id, group and label in an image, and are alike otherwise. A group that is then of one alone goes.
    """
    kinds = table["kind"].to_numpy()
    ids, groups = (table[name].fill_null(0).to_numpy() for name in ("annotation_id", "group"))
    at = np.flatnonzero(np.isin(kinds, (Kind.POLYGON, Kind.POLYLINE)) & (ids != 0) & (groups != 0))
    if not len(at):
        return table
    text = table["attributes"].combine_chunks().fill_null("").dictionary_encode().indices.to_numpy()
    image, label, flags = (table[name].to_numpy() for name in ("image", "label", "flags"))
    keys = np.stack([image, ids, groups, kinds, label, flags, text], axis=1)[at]
    _, first, member, counts = np.unique(keys, axis=0, return_index=True, return_inverse=True, return_counts=True)
    if counts.max() < 2:
        return table
    whole = at[first][member.reshape(-1)]
    target = np.arange(len(kinds))
    target[at] = whole
    order = np.argsort(target, kind="stable")
    rings = table["rings"].combine_chunks().take(pa.array(order))
    sizes = geometry.lengths(rings.flatten())
    values = rings.flatten().flatten().to_numpy(zero_copy_only=False)
    kept = np.unique(target)
    counts = np.bincount(target[order], geometry.lengths(rings), len(kinds)).astype(np.int64)[kept]
    missing = rings.is_null().to_numpy(zero_copy_only=False)[np.searchsorted(target[order], kept)]
    column = geometry.ring_column(values, sizes, counts, missing)
    several = counts > 1
    table = table.take(pa.array(kept))
    around = geometry.ring_envelopes(geometry.open_rings(column), len(kept))
    boxes = geometry.boxes(table["bbox"])
    boxes[several] = around[several]
    pairs = np.stack([table["image"].to_numpy(), table["group"].fill_null(0).to_numpy()], axis=1)
    _, same, sharing = np.unique(pairs, axis=0, return_inverse=True, return_counts=True)
    alone = several & (sharing[same.reshape(-1)] == 1)
    group = table["group"].combine_chunks().take(pa.array(np.arange(len(kept)), mask=alone))
    for name, values in {"rings": column, "bbox": geometry.box_column(boxes), "group": group}.items():
        table = table.set_column(table.schema.get_field_index(name), table.schema.field(name), values)
    return table


def _with_own_ids(table: pa.Table) -> pa.Table:
    """The same with ids that are unique in each image: those that occur again, or are not there, get the next ones."""
    image = table["image"].to_numpy()
    column = table["annotation_id"].combine_chunks()
    ids = column.fill_null(0).to_numpy()
    _, first = np.unique(np.stack([image, ids], axis=1), axis=0, return_index=True)
    again = np.ones(len(ids), bool)
    again[first] = False
    again |= column.is_null().to_numpy(zero_copy_only=False)
    if not again.any():
        return table
    images, of = np.unique(image, return_inverse=True)
    highest = np.full(len(images), -1)
    np.maximum.at(highest, of[~again], ids[~again])
    at = np.flatnonzero(again)
    at = at[np.argsort(of[at], kind="stable")]
    mine = of[at]
    ranks = np.arange(len(at)) - np.searchsorted(mine, mine)
    ids = ids.copy()
    ids[at] = highest[mine] + 1 + ranks
    return table.set_column(table.schema.get_field_index("annotation_id"), "annotation_id", pa.array(ids))
