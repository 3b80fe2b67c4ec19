"""Writing CVAT's files: the text of shapes, made column by column, and what both formats decide alike.

Numbers are written in the shortest form that reads the same. The right and lower edge of a box is rounded where that
gives back its width and height, so that 797.33 and 168.19 do not become 965.5200000000001.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from framehouse.annotations import geometry
from framehouse.annotations.geometry import Floats, Integers, Rings
from framehouse.annotations.schema import Flag, Kind
from framehouse.v1.annotation_pb2 import LabelSchema
from framehouse.v1.conversion_pb2 import Loss
from services.conversion import bridges, columns
from services.conversion.cvat.masks import to_rows
from services.conversion.cvat.meta import escape, specs_of
from services.conversion.cvat.shapes import BY_HAND, CORNERS, KINDS, number
from services.conversion.losses import losses_of

Marks = NDArray[np.bool_]

FILE = "annotations.xml"
HEAD = b'<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n'
END = b"</annotations>\n"

ELEMENTS = {kind: name for name, kind in KINDS.items()} | {Kind.ROTATED_BOX: "box"}
POINTED = (Kind.POLYGON, Kind.POLYLINE, Kind.POINTS)
SHAPE_COLUMNS = (
    "kind",
    "label",
    "bbox",
    "rings",
    "rle",
    "rle_size",
    "rotation",
    "visibility",
    "group",
    "z_order",
    "flags",
    "attributes",
)
"""What is looked at to write shapes."""
SCANNED = ("kind", "rings", "attributes")
SOURCES = ("auto", "semi-auto", "file", "consensus")
"""Values of an attribute `source` that are written as CVAT's own."""
DECIMALS = (2, 4, 6, 9)

FITS = {"text": "sbn", "checkbox": "Bsn", "number": "Nsb"}
"""For each input type the values that come back as they are: B a boolean, N a number, s a text, b a text that says a
boolean, n a text that says a number. Others (o) come back as text."""
TEXTS = ("text", "select", "radio")


def scan(images: pa.Table, annotations: pa.Table) -> dict[str, pa.Array]:
    """Which polygons have several rings, and which attributes with what sort of values annotations have."""
    kinds = annotations["kind"].to_numpy()
    several = (kinds == Kind.POLYGON) & (geometry.lengths(annotations["rings"]) > 1)
    known: dict[str | None, str | None] = {None: None}
    sorts = []
    for text in annotations["attributes"].to_pylist():
        if text not in known:
            values = msgspec.json.decode(text)
            found = sorted((name, _sort(name, value)) for name, value in values.items())
            known[text] = msgspec.json.encode(found).decode()
        sorts.append(known[text])
    return {"is_several": pa.array(several), "sorts": pa.array(sorts, pa.string())}


def _sort(name: str, value: Any) -> str:
    """Of which sort a value is, see FITS; S for a source that CVAT knows."""
    if isinstance(value, bool):
        return "B"
    if isinstance(value, int | float):
        return "N"
    if not isinstance(value, str):
        return "o"
    if name == "source" and value in SOURCES:
        return "S"
    if value.lower() in ("true", "false"):
        return "b"
    return "s" if number(value, None) is None else "n"


class Attributes(NamedTuple):
    """How the attributes of a dataset are declared."""

    types: list[list[list[str]]]
    """For each label names and input types, in order."""
    own_source: list[int]
    """Labels, or -1, for which `source` is an attribute as others are."""
    losses: list[Loss]


def declare(annotations: pa.Table, labels: LabelSchema) -> Attributes:
    """Decides the input types of attributes, of annotations with what `scan` found."""
    pairs = pa.table({"label": annotations["label"], "sorts": annotations["sorts"]})
    found = pairs.filter(pc.is_valid(pairs["sorts"])).group_by(["label", "sorts"]).aggregate([([], "count_all")])
    sorts: list[dict[str, dict[str, int]]] = [{} for _ in range(len(labels.labels) + 1)]
    for row in found.sort_by([("label", "ascending"), ("sorts", "ascending")]).to_pylist():
        for name, sort in msgspec.json.decode(row["sorts"]):
            mine = sorts[row["label"]].setdefault(name, {})
            mine[sort] = mine.get(sort, 0) + row["count_all"]
    specs = [specs_of(labels).get(label.name, {}).get("attributes", []) for label in labels.labels]
    types: list[list[list[str]]] = []
    own, changed = [], 0
    for label, (mine, spec) in enumerate(zip(sorts, [*specs, []], strict=True)):
        said = {one["name"]: one.get("input_type", "text") for one in spec}
        if "source" in said or set(mine.get("source", "S")) != {"S"}:
            own.append(label if label < len(specs) else -1)
        elif "source" in mine:
            del mine["source"]
        declared = []
        for name in [*said, *(name for name in mine if name not in said)]:
            counts = mine.get(name, {})
            # Annotations without a class have no declaration: they are read as if it said checkbox.
            kind, lost = ("checkbox", 0) if label == len(specs) else _input_type(said.get(name), counts)
            fits = FITS.get(kind, FITS["text"]) + "S"
            changed += lost or sum(count for sort, count in counts.items() if sort not in fits)
            declared.append([name, kind])
        types.append(declared)
    losses = []
    if changed:
        text = "written as text, for attributes of CVAT are numbers, booleans or text, and of one type for each class"
        losses.append(Loss(code="ATTRIBUTE_RETYPED", subject="attributes", annotation_count=changed, fallback=text))
    return Attributes(types[:-1], own, losses)


def _input_type(said: str | None, counts: dict[str, int]) -> tuple[str, int]:
    """The input type that suits values of these sorts, and how many come back as another type under it."""
    found = set(counts) - {"S"}
    for kind in (said or "text", "text", "checkbox", "number"):
        if found <= set(FITS["text" if kind in TEXTS else kind] if kind in (*TEXTS, *FITS) else ""):
            return kind, 0
    return "text", sum(count for sort, count in counts.items() if sort not in FITS["text"] + "S")


def shape_losses(annotations: pa.Table, written: Marks) -> list[Loss]:
    """What CVAT's shapes cannot say."""
    several = written & annotations["is_several"].to_numpy()
    text = "joined to one ring by bridges of no width, for a polygon of CVAT is one ring"
    return losses_of("RINGS_JOINED", "polygons of several rings", annotations, several, text)


def writable(annotations: pa.Table) -> Marks:
    """Which annotations have the shape that their kind needs."""
    kinds = annotations["kind"].to_numpy()
    rings = geometry.open_rings(annotations["rings"])
    counts = np.bincount(rings.owner, np.diff(rings.offsets), len(kinds)).astype(np.int64)
    has_box = annotations["bbox"].is_valid().to_numpy()
    has_mask = annotations["rle"].is_valid().to_numpy() & annotations["rle_size"].is_valid().to_numpy()
    result: Marks = (kinds == Kind.TAG) | ((kinds == Kind.MASK) & has_mask)
    result |= np.isin(kinds, [Kind.BOX, Kind.ROTATED_BOX, Kind.ELLIPSE]) & has_box
    result |= np.isin(kinds, [*POINTED, Kind.SKELETON]) & (counts >= 2)
    result |= (kinds == Kind.CUBOID) & (counts == len(CORNERS))
    return result


class Texts(NamedTuple):
    """The parts of the elements of shapes; what comes first differs between images and tracks."""

    names: pa.Array
    """`box`, `polygon` …"""
    geometry: pa.Array
    """The attributes that say where a shape is."""
    order: pa.Array
    """`z_order`, where there is one."""
    group: pa.Array
    """`group_id`, where there is one."""
    children: pa.Array
    """Attributes, and the points of skeletons."""


def texts(annotations: pa.Table, labels: LabelSchema, own_source: Sequence[int], *, video: bool) -> Texts:
    """The text of shapes that are `writable`."""
    kinds = annotations["kind"].to_numpy()
    names = pa.array(["", *(ELEMENTS.get(kind, "") for kind in Kind)]).take(pa.array(kinds))
    z_order, group = (annotations[name].combine_chunks() for name in ("z_order", "group"))
    skeletons = _skeletons(annotations, labels, video=video)
    return Texts(
        names,
        _geometry(annotations),
        pc.if_else(pc.is_valid(z_order), join(' z_order="', pc.fill_null(columns.text(z_order), ""), '"'), ""),
        pc.if_else(pc.is_valid(group), join(' group_id="', pc.fill_null(columns.text(group), ""), '"'), ""),
        join(skeletons, _attributes(annotations, own_source)),
    )


def join(*parts: pa.Array | str) -> pa.Array:
    """Texts put together, row by row."""
    return pc.binary_join_element_wise(*parts, "")


def bit(flags: Integers, flag: Flag) -> pa.Array:
    """`0` or `1`."""
    return pc.if_else(pa.array(flags & flag > 0), "1", "0")


def label_texts(labels: LabelSchema, of: Integers) -> pa.Array:
    """The names of labels, escaped; empty for -1."""
    return pa.array([*(escape(label.name) for label in labels.labels), ""]).take(
        pa.array(of % (len(labels.labels) + 1))
    )


def sources(annotations: pa.Table, own_source: Sequence[int]) -> pa.Array:
    """How each annotation came to be, in CVAT's words."""
    own = pc.is_in(annotations["label"].combine_chunks(), pa.array(own_source, pa.int32()))
    return pc.if_else(own, BY_HAND, pc.fill_null(origins(annotations), BY_HAND))


def origins(annotations: pa.Table) -> pa.Array:
    """The attribute `source` of each annotation where it is one of SOURCES, else null."""
    attributes = annotations["attributes"].combine_chunks()
    if not pc.any(pc.match_substring(attributes, '"source"')).as_py():
        return pa.nulls(len(attributes), pa.string())
    known = {text: msgspec.json.decode(text).get("source") for text in pc.unique(attributes.drop_null()).to_pylist()}
    known = {text: value for text, value in known.items() if value in SOURCES}
    return pa.array([known.get(text) for text in attributes.to_pylist()], pa.string())


def _attributes(annotations: pa.Table, own_source: Sequence[int]) -> pa.Array:
    """The elements of attributes."""
    attributes = annotations["attributes"].combine_chunks()
    if attributes.null_count == len(attributes):
        return pa.repeat("", len(attributes))
    known: dict[tuple[str | None, bool], str] = {(None, False): "", (None, True): ""}
    found = []
    for text, label in zip(attributes.to_pylist(), annotations["label"].to_pylist(), strict=True):
        key = text, label in own_source
        if key not in known:
            known[key] = "".join(
                f'<attribute name="{escape(name)}">{escape(_value_text(value))}</attribute>'
                for name, value in msgspec.json.decode(text).items()
                if key[1] or name != "source" or value not in SOURCES
            )
        found.append(known[key])
    return pa.array(found, pa.string())


def _value_text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _geometry(annotations: pa.Table) -> pa.Array:
    """The attributes that say where shapes are; skeletons and tags have none."""
    kinds = annotations["kind"].to_numpy()
    boxes = geometry.boxes(annotations["bbox"])
    rotation = pc.fill_null(annotations["rotation"], 0).to_numpy()
    found: list[tuple[Integers, pa.Array]] = []
    at = np.flatnonzero((kinds == Kind.BOX) | (kinds == Kind.ROTATED_BOX))
    if len(at):
        first = boxes[at, :2]
        last = _edge(first, boxes[at, 2:])
        turn = np.where(kinds[at] == Kind.ROTATED_BOX, rotation[at], 0)
        found.append((at, join(_fields(("xtl", "ytl", "xbr", "ybr"), first, last), _rotation(turn))))
    at = np.flatnonzero(kinds == Kind.ELLIPSE)
    if len(at):
        radius = boxes[at, 2:] / 2
        centre = _edge(boxes[at, :2], radius)
        found.append((at, join(_fields(("cx", "cy", "rx", "ry"), centre, radius), _rotation(rotation[at]))))
    rings = geometry.open_rings(annotations["rings"])
    at = np.flatnonzero(kinds == Kind.CUBOID)
    if len(at):
        begins = rings.offsets[:-1][np.searchsorted(rings.owner, at)]
        found.append((at, _fields(CORNERS, rings.values[begins[:, None] + np.arange(len(CORNERS))])))
    at = np.flatnonzero(np.isin(kinds, POINTED))
    if len(at):
        found.append((at, join(' points="', _points(rings, kinds, at), '"')))
    at = np.flatnonzero(kinds == Kind.MASK)
    if len(at):
        found.append((at, _masks(annotations.take(pa.array(at)))))
    rest = np.flatnonzero((kinds == Kind.SKELETON) | (kinds == Kind.TAG))
    found.append((rest, pa.repeat("", len(rest))))
    order = np.argsort(np.concatenate([at for at, _ in found]))
    return pa.concat_arrays([part for _, part in found]).take(pa.array(order))


def _edge(first: Floats, size: Floats) -> Floats:
    """first + size, in few decimals where taking `first` from that gives `size` back."""
    exact = first + size
    result = exact.copy()
    left = np.ones(exact.shape, bool)
    for decimals in DECIMALS:
        rounded = np.round(exact, decimals)
        good = left & (rounded - first == size)
        result[good] = rounded[good]
        left &= ~good
    return result


def _fields(names: Sequence[str], *values: Floats) -> pa.Array:
    """Columns of numbers as attributes."""
    whole = np.concatenate(values, axis=1)
    parts: list[pa.Array | str] = []
    for i, name in enumerate(names):
        parts += [f'{"" if i == 0 else chr(34)} {name}="', columns.text(np.ascontiguousarray(whole[:, i]))]
    return join(*parts, '"')


def _rotation(degrees: Floats) -> pa.Array:
    return pc.if_else(pa.array(degrees != 0), join(' rotation="', columns.text(degrees), '"'), "")


def _points(rings: Rings, kinds: Integers, at: Integers) -> pa.Array:
    """`x,y;x,y` of each of some annotations; the rings of a polygon are joined, others follow one another."""
    sizes = np.diff(rings.offsets)
    is_polygon = kinds[rings.owner] == Kind.POLYGON
    several = np.bincount(rings.owner[is_polygon], minlength=len(kinds)) > 1
    if several.any():
        mine = is_polygon & (sizes > 0)
        joined = bridges.joined(
            Rings(rings.values[np.repeat(mine, sizes)], geometry.starts(sizes[mine]), rings.owner[mine])
        )
        other = ~is_polygon
        values = [joined.values, rings.values[np.repeat(other, sizes)]]
        lengths = np.concatenate([np.diff(joined.offsets), sizes[other]])
        owner = np.concatenate([joined.owner, rings.owner[other]])
        order = np.argsort(owner, kind="stable")
        begins = geometry.starts(lengths)[:-1]
        place = geometry.spread(begins[order], lengths[order])
        rings = Rings(np.concatenate(values)[place], geometry.starts(lengths[order]), owner[order])
        sizes = np.diff(rings.offsets)
    wanted = np.zeros(len(kinds), bool)
    wanted[at] = True
    kept = wanted[rings.owner]
    points = rings.values[np.repeat(kept, sizes)]
    counts = np.bincount(rings.owner[kept], sizes[kept], len(kinds)).astype(np.int64)[at] // 2
    pairs = join(columns.text(points[0::2]), ",", columns.text(points[1::2]))
    return _listed(pairs, counts, ";")


def _listed(values: pa.Array, counts: Integers, separator: str) -> pa.Array:
    """Runs of texts, each joined."""
    offsets = pa.array(geometry.starts(counts).astype(np.int32))
    return pc.binary_join(pa.ListArray.from_arrays(offsets, values), separator)


def _masks(annotations: pa.Table) -> pa.Array:
    sizes = annotations["rle_size"].combine_chunks().flatten().to_numpy().reshape(-1, 2).astype(np.int64)
    crops = to_rows(annotations["rle"].combine_chunks(), sizes, geometry.boxes(annotations["bbox"]))
    rle = _listed(columns.text(crops.runs.values), np.diff(crops.runs.offsets), ", ")
    left, top, width, height = (columns.text(np.ascontiguousarray(crops.places[:, i])) for i in range(4))
    return join(' rle="', rle, '" left="', left, '" top="', top, '" width="', width, '" height="', height, '"')


def _skeletons(annotations: pa.Table, labels: LabelSchema, *, video: bool) -> pa.Array:
    """The points of skeletons as elements; empty for other shapes."""
    kinds, of = annotations["kind"].to_numpy(), annotations["label"].to_numpy()
    at = np.flatnonzero(kinds == Kind.SKELETON)
    if not len(at):
        return pa.repeat("", len(kinds))
    rings = geometry.open_rings(annotations["rings"])
    mine = (kinds == Kind.SKELETON)[rings.owner]
    values = rings.values[np.repeat(mine, np.diff(rings.offsets))]
    counts = np.bincount(rings.owner[mine], np.diff(rings.offsets)[mine], len(kinds)).astype(np.int64)[at] // 2
    owner = np.repeat(at, counts)
    position = geometry.spread(np.zeros(len(at), np.int64), counts)
    known = [list(label.keypoints) for label in labels.labels] + [[]]
    most = max([1, *counts.tolist(), *(len(points) for points in known)])
    # A point that has no name is called by its number.
    listed = pa.array(
        [escape(name) for points in known for name in [*points, *map(str, range(len(points) + 1, most + 1))]]
    )
    names = listed.take(pa.array((of[owner] % len(known)) * most + position))
    said = annotations["visibility"].combine_chunks().take(pa.array(at))
    seen = np.full(len(owner), 2)
    lengths = geometry.lengths(said)
    fits = np.repeat(lengths == counts, counts)
    seen[fits] = said.filter(pa.array(lengths == counts)).flatten().to_numpy()
    flags = annotations["flags"].to_numpy()[owner]
    keyframe = join(' keyframe="', bit(flags, Flag.KEYFRAME), '"') if video else ' source="manual"'
    outside, occluded = (pc.if_else(pa.array(seen == value), "1", "0") for value in (0, 1))
    elements = join(
        *('<points label="', names, '"', keyframe, ' outside="', outside, '" occluded="', occluded),
        *('" points="', columns.text(values[0::2]), ",", columns.text(values[1::2]), '"></points>'),
    )
    result = _listed(elements, counts, "")
    place = np.zeros(len(kinds), np.int64)
    place[at] = 1 + np.arange(len(at))
    return pa.concat_arrays([pa.array([""]), result]).take(pa.array(place))


def frame_step(frames: Sequence[int]) -> int:
    """The largest step that leads from the first of some frames, ascending, to all of them."""
    return math.gcd(*(frame - frames[0] for frame in frames[1:])) or 1 if frames else 1
