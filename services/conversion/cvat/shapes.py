"""The shapes of CVAT's images and tracks as columns of annotations.

Elements are walked one by one, as lxml gives them; their numbers are parsed as one text at the end. Attributes get the
type that the meta declares: numbers, booleans for checkboxes, text for the rest.
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
from lxml import etree
from numpy.typing import NDArray

from framehouse.annotations import geometry, masks
from framehouse.annotations.geometry import Floats, Integers
from framehouse.annotations.schema import Flag, Kind
from framehouse.store.bucket import Bucket
from framehouse.store.frames import BatchFile
from framehouse.store.issues import ERROR, INFO, WARNING, IssueLog
from framehouse.v1.annotation_pb2 import LabelSchema
from services.conversion import columns, numbers
from services.conversion.cvat.files import Problem, parse, parser
from services.conversion.cvat.masks import Crops, from_rows
from services.conversion.cvat.meta import specs_of
from services.conversion.unpacked import fetch

Marks = NDArray[np.bool_]

KINDS = {
    "box": Kind.BOX,
    "polygon": Kind.POLYGON,
    "polyline": Kind.POLYLINE,
    "points": Kind.POINTS,
    "ellipse": Kind.ELLIPSE,
    "skeleton": Kind.SKELETON,
    "mask": Kind.MASK,
    "cuboid": Kind.CUBOID,
    "tag": Kind.TAG,
}
CORNERS = tuple(f"{axis}{side}{face}" for face in "12" for side in ("tl", "tr", "br", "bl") for axis in "xy")
"""The corners of a cuboid in our order: those of the front in turn, then those behind them."""
FIELDS = {
    Kind.BOX: ("xtl", "ytl", "xbr", "ybr"),
    Kind.ELLIPSE: ("cx", "cy", "rx", "ry"),
    Kind.CUBOID: CORNERS,
    Kind.MASK: ("left", "top", "width", "height", "rle"),
}
LEAST = {Kind.POLYGON: 6, Kind.POLYLINE: 4, Kind.POINTS: 2, Kind.SKELETON: 2}
"""Numbers that a shape of points has at least."""

MAX_PIXELS = 1 << 27
"""Of a mask; more are taken for an error."""

BY_HAND = "manual"
"""The source of an annotation that is not worth keeping."""
REMEDY = "correct or remove the annotation"


class Detail(msgspec.Struct, frozen=True):
    """What a part says besides where it lies."""

    elements: str
    """Key of the Arrow file that says where its elements begin, and of what they are."""
    batch: int
    encoding: str
    frames: str = ""
    """Key of the Arrow file with the rows of the frames of videos."""


class Place(NamedTuple):
    """Where annotations of an element go."""

    row: int
    """Of the image in the plan."""
    id: int
    """That an annotation gets."""
    width: int
    height: int
    """Of the image; 0 where it is not known."""


@dataclass
class Track:
    """What the shapes of a track share."""

    number: int
    label: str | None
    group: str | None
    source: str | None


class Elements(NamedTuple):
    """The elements of a part."""

    nodes: list[tuple[int, int, etree._Element]]
    """For each that can be parsed: its position in the part, its line, itself."""
    where: pa.RecordBatch


def open_part(bucket: Bucket, part: Any, issues: IssueLog) -> tuple[Detail, Elements]:
    """Parses the elements of a part; one that cannot be parsed is told."""
    detail = msgspec.json.decode(part.detail, type=Detail)
    where = BatchFile(bucket, detail.elements).batch(detail.batch)
    data = fetch(bucket, part.key, part.offset, part.length)
    lines = where["line"].to_pylist()
    using = parser()
    nodes = []
    for i, (begin, end) in enumerate(zip(where["begin"].to_pylist(), where["end"].to_pylist(), strict=True)):
        node = parse(data[begin:end], detail.encoding, using)
        if isinstance(node, Problem):
            text = f"this cannot be parsed, and its annotations were left out: {node.text}"
            issues.add("XML_INVALID", ERROR, part.path, text, "correct the file", lines[i] + node.line - 1)
        else:
            nodes.append((i, lines[i], node))
    return detail, Elements(nodes, where)


class Shapes:
    """Collects shapes; `table` makes columns of them."""

    def __init__(self, labels: LabelSchema, path: str, issues: IssueLog) -> None:
        self._path, self._issues = path, issues
        self._index = {label.name: i for i, label in enumerate(labels.labels)}
        self._points = [{name: i for i, name in enumerate(label.keypoints)} for label in labels.labels]
        specs = [specs_of(labels).get(label.name, {}).get("attributes", []) for label in labels.labels]
        self._types: list[dict[str, str]] = [
            {one["name"]: one.get("input_type", "text") for one in known} for known in specs
        ]
        self._types.append({})  # of annotations without a class
        self._rows: list[tuple[int, int, int, int, int, int | None, int | None, int | None, str | None]] = []
        self._numbers: list[bytes] = []
        self._visibility: list[list[int] | None] = []
        self._sizes: list[tuple[int, int]] = []
        self._lines: list[int] = []

    def add(self, shape: etree._Element, place: Place, line: int, track: Track | None = None) -> None:
        """Takes a shape of an image, or of a track; one that is none is told."""
        get, kind = shape.get, KINDS.get(shape.tag)
        if kind is None or (kind is Kind.TAG and track is not None):
            text = f"there is no shape {shape.tag!r}; it was left out"
            self._tell("SHAPE_UNKNOWN", ERROR, shape, line, text, f"shapes are {', '.join(KINDS)}")
            return
        name = get("label") if track is None else track.label
        label = self._index.get(name, -1) if name else -1
        if name and label < 0:
            self._tell("LABEL_CLASS_UNKNOWN", ERROR, shape, line, f"the dataset has no class {name!r}", REMEDY)
            return
        flags = int(Flag.OCCLUDED) if get("occluded") == "1" else 0
        seen: list[int] | None = None
        if kind is Kind.SKELETON:
            text, seen = self._skeleton(shape, label, line)
            if seen and not any(seen) and get("outside") is None and track is not None:
                flags |= Flag.OUTSIDE
        elif (names := FIELDS.get(kind)) is not None:
            text = ",".join([get(name) or "none" for name in names])
        else:
            text = get("points", "") if kind is not Kind.TAG else ""
        if kind is Kind.BOX or kind is Kind.ELLIPSE:
            text = f"{text},{get('rotation') or 0}"
        if get("outside") == "1":
            flags |= Flag.OUTSIDE
        if get("keyframe") == "1":
            flags |= Flag.KEYFRAME
        source = get("source") if track is None else track.source
        group = get("group_id") if track is None else track.group
        self._rows.append(
            (
                place.row,
                place.id,
                int(kind),
                label,
                flags,
                _whole(get("z_order"), 31),
                # 0 means none.
                _whole(group, 63) or None,
                track.number if track else None,
                self._attributes(shape, label, source) if len(shape) or (source and source != BY_HAND) else None,
            )
        )
        self._numbers.append(text.encode())
        self._visibility.append(seen)
        self._sizes.append((place.height, place.width))
        self._lines.append(line + _line(shape) - 1)

    def _tell(self, code: str, severity: int, shape: etree._Element, line: int, text: str, remedy: str) -> None:
        self._issues.add(code, severity, self._path, text, remedy, line + _line(shape) - 1)  # type: ignore[arg-type]  # an enum's number

    def _attributes(self, shape: etree._Element, label: int, source: str | None) -> str | None:
        types = self._types[label]
        found: dict[str, Any] = {}
        for child in shape:
            if child.tag == "attribute":
                name = child.get("name", "")
                found[name] = _typed(child.text or "", types.get(name, "checkbox"))
        if source and source != BY_HAND and "source" not in types:
            found.setdefault("source", source)
        return msgspec.json.encode(found).decode() if found else None

    def _skeleton(self, shape: etree._Element, label: int, line: int) -> tuple[str, list[int]]:
        """The coordinates of a skeleton's points in the order of its keypoints, and how they are seen."""
        known = self._points[label] if label >= 0 else {}
        found: dict[int, tuple[str, int]] = {}
        for child in shape:
            if child.tag == "attribute":
                continue
            name = child.get("label", "")
            at = known.get(name, len(found) if not known else -1)
            if child.tag != "points" or at < 0 or at in found:
                text = f"a skeleton has no point for {child.tag} {name!r}; it was left out"
                self._tell("SHAPE_UNKNOWN", ERROR, child, line, text, "a skeleton has one `points` for each keypoint")
                continue
            seen = 0 if child.get("outside") == "1" else 1 if child.get("occluded") == "1" else 2
            found[at] = child.get("points", ""), seen
            if child.find("attribute") is not None:
                text = "attributes of keypoints were not read"
                self._tell("FIELDS_NOT_READ", INFO, child, line, text, "give them to the skeleton")
        ordered = [found.get(i, ("0,0", 0)) for i in range(max(len(known), len(found)))]
        return ";".join([point for point, _ in ordered]), [seen for _, seen in ordered]

    def table(self) -> pa.Table:
        """Flat annotations of all that can be read; what cannot is told."""
        image, ids, kinds, labels, flags, z_order, group, track, attributes = (
            [list(column) for column in zip(*self._rows, strict=True)] if self._rows else [[] for _ in range(9)]
        )
        runs = self._parse()
        counts = np.diff(runs.offsets)
        kind = np.array(kinds, np.int64)
        usable = self._check(kind, counts)
        boxes, rotation = np.full((len(kind), 4), np.nan), np.zeros(len(kind))
        for shaped in (Kind.BOX, Kind.ELLIPSE):
            at = np.flatnonzero(usable & (kind == shaped))
            if len(at):
                values = runs.take(at)
                first, second = values[:, :2], values[:, 2:4]
                if shaped is Kind.BOX:
                    boxes[at] = np.concatenate([first, second - first], axis=1)
                else:
                    boxes[at] = np.concatenate([first - second, 2 * second], axis=1)
                rotation[at] = values[:, 4]
        with np.errstate(invalid="ignore"):
            flat: Marks = np.asarray((boxes[:, 2:] <= 0).any(axis=1))
        for i in np.flatnonzero(flat).tolist():
            self._add("BOX_EMPTY", ERROR, i, "the shape has no width or no height", REMEDY)
        usable &= ~flat
        kind[(kind == Kind.BOX) & (rotation != 0)] = int(Kind.ROTATED_BOX)
        rle, rle_size = self._masks(runs, kind, usable, boxes)
        ringed = usable & np.isin(kind, [*LEAST, Kind.CUBOID])
        rings = self._rings(runs, counts, ringed)
        seen = pa.array(self._visibility, pa.list_(pa.int8()))
        envelopes = self._envelopes(rings, seen, len(kind))
        boxes[ringed] = envelopes[ringed]
        is_turned = rotation != 0
        table = columns.annotations(
            np.array(image, np.int64),
            annotation_id=np.array(ids, np.int64),
            kind=kind,
            label=np.array(labels, np.int32),
            bbox=geometry.box_column(boxes),
            rings=geometry.ring_column(rings.values, np.diff(rings.offsets), ringed.astype(np.int64), ~ringed),
            rle=rle,
            rle_size=rle_size,
            rotation=pa.array(rotation, mask=~is_turned),
            visibility=seen,
            group=pa.array(group, pa.int64()),
            track=pa.array(track, pa.int64()),
            z_order=pa.array(z_order, pa.int32()),
            flags=np.array(flags, np.int32),
            attributes=pa.array(attributes, pa.string()),
        )
        return table if usable.all() else table.filter(pa.array(usable))

    def _add(self, code: str, severity: int, at: int, text: str, remedy: str) -> None:
        self._issues.add(code, severity, self._path, text, remedy, self._lines[at])  # type: ignore[arg-type]  # an enum's number

    def _parse(self) -> numbers.Runs:
        """The numbers of each shape; a shape with anything else has none."""
        end = b"\x1d"
        try:
            return numbers.parse(self._numbers, end)
        except numbers.NotNumbers:
            for i, text in enumerate(self._numbers):
                try:
                    numbers.parse([text], end)
                except numbers.NotNumbers:
                    self._numbers[i] = b""
            return numbers.parse(self._numbers, end)

    def _check(self, kind: Integers, counts: Integers) -> Any:
        """Which shapes have as many numbers as their kind has."""
        usable = kind == Kind.TAG
        for fixed, wanted in ((Kind.BOX, 5), (Kind.ELLIPSE, 5), (Kind.CUBOID, len(CORNERS))):
            usable |= (kind == fixed) & (counts == wanted)
        usable |= (kind == Kind.MASK) & (counts >= 5)
        for pointed, least in LEAST.items():
            usable |= (kind == pointed) & (counts >= least) & (counts % 2 == 0)
        seen = np.array([len(one) if one is not None else 0 for one in self._visibility], np.int64)
        usable &= (kind != Kind.SKELETON) | (counts == 2 * seen)
        for i in np.flatnonzero(~usable).tolist():
            name = next(name for name, one in KINDS.items() if one == kind[i])
            text = f"a {name} has not the numbers that it should have; it was left out"
            self._add("ANNOTATION_INVALID", ERROR, i, text, REMEDY)
        return usable

    def _rings(self, runs: numbers.Runs, counts: Integers, ringed: Any) -> geometry.Rings:
        values = runs.values if ringed.all() else runs.values[np.repeat(ringed, counts)]
        return geometry.Rings(values, geometry.starts(counts[ringed]), np.flatnonzero(ringed))

    def _envelopes(self, rings: geometry.Rings, seen: pa.Array, count: int) -> Floats:
        """The boxes around points, of skeletons around those that are there."""
        points = np.diff(rings.offsets) // 2
        there = np.ones(int(points.sum()), bool)
        listed = np.flatnonzero(geometry.lengths(seen)[rings.owner])
        if len(listed):
            begins = geometry.starts(points)[:-1][listed]
            flat = seen.take(pa.array(rings.owner[listed])).flatten().to_numpy() > 0
            owner = np.repeat(np.arange(len(listed)), points[listed])
            # Where none is there, all of them say where it was.
            flat |= np.bincount(owner, flat, len(listed))[owner] == 0
            there[geometry.spread(begins, points[listed])] = flat
        if there.all():
            return geometry.ring_envelopes(rings, count)
        left = np.add.reduceat(there.astype(np.int64), geometry.starts(points)[:-1])
        values = rings.values[np.repeat(there, 2)]
        return geometry.ring_envelopes(geometry.Rings(values, geometry.starts(2 * left), rings.owner), count)

    def _masks(self, runs: numbers.Runs, kind: Integers, usable: Any, boxes: Floats) -> tuple[pa.Array, pa.Array]:
        """Counts and sizes of the masks. One whose runs do not fit becomes a box; sets boxes and kinds."""
        at = np.flatnonzero(usable & (kind == Kind.MASK))
        rle, size = pa.nulls(len(kind), pa.binary()), pa.nulls(len(kind), pa.list_(pa.int32(), 2))
        if not len(at):
            return rle, size
        begins, ends = runs.offsets[:-1][at], runs.offsets[1:][at]
        places = runs.values[begins[:, None] + np.arange(4)].astype(np.int64)
        values = runs.values[geometry.spread(begins + 4, ends - begins - 4)].astype(np.int64)
        found = masks.Runs(values, geometry.starts(ends - begins - 4))
        sizes = np.array(self._sizes, np.int64)[at]
        known: Marks = np.asarray((sizes > 0).all(axis=1))
        small = np.clip(places[:, 2], 0, MAX_PIXELS) * np.clip(places[:, 3], 0, MAX_PIXELS) <= MAX_PIXELS
        good = masks.valid(found, places[:, 3], places[:, 2]) & known & small
        boxes[at] = places
        for i, fits in zip(at[~good].tolist(), known[~good].tolist(), strict=True):
            what = "its runs do not fill it, or it is too large" if fits else "the size of its image is not known"
            text = f"a mask cannot be read, for {what}; its box was kept"
            self._add("MASK_INVALID", WARNING, i, text, REMEDY)
        kind[at[~good]] = int(Kind.BOX)
        empty: Marks = np.asarray((places[~good, 2:] <= 0).any(axis=1))
        usable[at[~good][empty]] = False
        at = at[good]
        if not len(at):
            return rle, size
        kept = np.repeat(good, np.diff(found.offsets))
        found = masks.Runs(found.values[kept], geometry.starts(np.diff(found.offsets)[good]))
        counts = from_rows(Crops(places[good], found), sizes[good])
        inside = masks.decode(counts)
        for i in at[masks.areas(inside) < masks.areas(found)].tolist():
            text = "pixels of a mask that lie outside of its image were cut off"
            self._add("MASK_INVALID", WARNING, i, text, REMEDY)
        envelopes = masks.envelopes(inside, sizes[good][:, 0])
        boxes[at] = np.where(np.isnan(envelopes), boxes[at], envelopes)
        place = np.full(len(kind), -1)
        place[at] = np.arange(len(at))
        order = pa.array(np.maximum(place, 0), mask=place < 0)
        listed = pa.FixedSizeListArray.from_arrays(pa.array(sizes[good].astype(np.int32).reshape(-1)), 2)
        return counts.take(order), listed.take(order)


def _line(shape: etree._Element) -> int:
    return shape.sourceline if isinstance(shape.sourceline, int) else 1


def _whole(text: str | None, bits: int) -> int | None:
    """A whole number, None where there is none."""
    if not text:
        return None
    try:
        value = int(text)
    except ValueError:
        return None
    return value if abs(value) < 1 << bits else None


def _typed(text: str, kind: str) -> Any:
    """The value of an attribute as its input type means it; text where it is no such value."""
    if kind == "checkbox":
        return {"true": True, "false": False}.get(text.lower(), text)
    if kind == "number":
        return number(text, text)
    return text


def number(text: str, otherwise: Any) -> Any:
    """The number that a text is."""
    try:
        value: float = int(text) if text.strip().lstrip("+-").isdigit() else float(text)
    except ValueError:
        return otherwise
    small = abs(value) < 1 << 63 if isinstance(value, int) else math.isfinite(value)
    return value if small and "_" not in text else otherwise
