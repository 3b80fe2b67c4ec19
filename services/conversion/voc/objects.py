"""The objects of XML files, in columns. Plain files are read all at once, others one by one."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from framehouse.annotations import geometry
from framehouse.annotations.geometry import Floats, Integers, starts
from framehouse.annotations.schema import Kind
from services.conversion.voc import plain, xml
from services.conversion.voc.elements import Elements

KNOWN = (*xml.KNOWN, "bndbox", "polygon")
"""Children of an object that have columns of their own; others are attributes, or shapes."""
RARE = ("part", "actions", "robndbox")
"""Children of an object that make its file odd."""
NUMBER = r"^-?[0-9]{1,50}(\.[0-9]{1,50})?$"
LARGEST = 1e100
"""Numbers from here on are left to the reader of single files."""
RINGS = pa.list_(pa.list_(pa.float64()))


class Objects(NamedTuple):
    """Objects, and parts of some, in the order of their files."""

    image: Integers
    """The place of its file."""
    number: Integers
    """Place among the objects of a file, from 1; that of its object, negative, for a part."""
    label: Integers
    kind: Integers
    corners: Floats
    """x, y, and the far corner, in pixels (n, 4)."""
    flags: Integers
    attributes: pa.Array
    """As JSON."""
    rings: pa.Array
    rotation: pa.Array


def read(
    files: Sequence[bytes], position: Mapping[str, int], tell: Callable[[int, xml.Refused | xml.Problem], None]
) -> Objects:
    """The objects of files. `position` is the label of each class, `tell` gets to know what could not be read, with the
    place of its file.
    """
    found = plain.find(files)
    plains = _plain(found, position)
    odd = np.flatnonzero(found.odd).tolist()
    if not odd:
        return plains
    others: list[xml.Object] = []
    for i in odd:
        try:
            problems = xml.read(xml.parse(files[i]), i, position, others)
        except xml.Refused as refusal:
            tell(i, refusal)
            continue
        for one in problems:
            tell(i, one)
    both = concat([plains, _columns(others)])
    return take(both, np.argsort(both.image, kind="stable"))


def none() -> Objects:
    """No objects."""
    return _columns([])


def concat(several: Sequence[Objects]) -> Objects:
    """One after the other."""
    columns: list[Any] = [
        pa.concat_arrays(values) if isinstance(values[0], pa.Array) else np.concatenate(values)
        for values in zip(*several, strict=True)
    ]
    return Objects(*columns)


def take(objects: Objects, rows: Integers) -> Objects:
    """Some of them."""
    at = pa.array(rows)
    columns: list[Any] = [values.take(at) if isinstance(values, pa.Array) else values[rows] for values in objects]
    return Objects(*columns)


def _columns(objects: Sequence[xml.Object]) -> Objects:
    columns = zip(*objects, strict=True) if objects else ([] for _ in xml.Object._fields)
    image, number, label, kind, corners, flags, attributes, rings, rotation = (list(values) for values in columns)
    return Objects(
        np.array(image, np.int64),
        np.array(number, np.int64),
        np.array(label, np.int64),
        np.array(kind, np.int64),
        np.array(corners, np.float64).reshape(-1, 4),
        np.array(flags, np.int64),
        pa.array(attributes, pa.string()),
        pa.array(rings, RINGS),
        pa.array(rotation, pa.float64()),
    )


def _plain(found: Elements, position: Mapping[str, int]) -> Objects:
    """The objects of plain files. What only the reader of single files can read, or tell, makes a file odd."""
    top, inner, deep = (found.begin(level) for level in (2, 3, 4))
    tags = top[plain.called(found, top, "object")]
    shift = _shifts(found, top, inner)
    found.odd[found.file[inner[plain.called(found, inner, "object")]]] = True
    owner = plain.owners(found, inner, tags)
    inner, owner = inner[owner >= 0], owner[owner >= 0]

    def child(name: str) -> Integers:
        own = plain.called(found, inner, name)
        return plain.single(found, inner[own], owner[own], len(tags))

    name, pose = child("name"), child("pose")
    flags = {flag: child(key) for key, flag in xml.FLAGS}
    corners = _corners(found, inner, owner, deep, len(tags))
    rings = _rings(found, inner, owner, deep, len(tags))
    found.odd[found.file[tags[(name < 0) | (corners < 0).any(axis=1)]]] = True
    found.odd[found.file[inner[plain.called(found, inner, *RARE)]]] = True
    unknown = inner[~plain.called(found, inner, *KNOWN, *xml.NESTED)]
    found.odd[found.file[unknown[~found.is_leaf(unknown)]]] = True

    rows = np.flatnonzero(~found.odd[found.file[tags]])
    file = found.file[tags]
    boxes = _numbers(found.texts(corners[rows].reshape(-1))).reshape(-1, 4)
    boxes[:, :2] -= shift[file[rows], None]
    names = found.texts(name[rows]).dictionary_encode()
    label = np.array([position.get(one, -1) for one in names.dictionary.to_pylist()], np.int64)[
        names.indices.to_numpy()
    ]
    good = (label >= 0) & (boxes[:, :2] < boxes[:, 2:]).all(axis=1) & (np.abs(boxes) < LARGEST).all(axis=1)
    found.odd[file[rows[~good]]] = True
    kept = ~found.odd[file[rows]]
    rows, boxes, label = rows[kept], boxes[kept], label[kept]
    others = ~plain.called(found, inner, *KNOWN) & ~found.odd[found.file[inner]]
    return Objects(
        file[rows].astype(np.int64),
        rows - np.searchsorted(file, file[rows]) + 1,
        label,
        np.where(rings.is_valid().to_numpy(zero_copy_only=False), int(Kind.POLYGON), int(Kind.BOX))[rows],
        boxes,
        sum((_are_set(found, at[rows]) * flag for flag, at in flags.items()), np.zeros(len(rows), np.int64)),
        _attributes(found, pose, inner[others], owner[others]).take(pa.array(rows)),
        rings.take(pa.array(rows)),
        pa.nulls(len(rows), pa.float64()),
    )


def _shifts(found: Elements, top: Integers, inner: Integers) -> Floats:
    """How far the left and the upper edges of each file are from where they are said to be."""
    sources = top[plain.called(found, top, "source")]
    plain.refuse_repeated(found, sources)
    inside = inner[plain.owners(found, inner, sources) >= 0]
    databases = inside[plain.called(found, inside, "database")]
    at = plain.single(found, databases, found.file[databases], found.files)
    coded = plain.texts(found, at).dictionary_encode()
    shifts = [xml.shift(text) for text in coded.dictionary.to_pylist()]
    result: Floats = pc.fill_null(pa.array(shifts, pa.float64()).take(coded.indices), 0.0).to_numpy()
    return result


def _corners(found: Elements, inner: Integers, owner: Integers, deep: Integers, count: int) -> Integers:
    """The tags of the numbers of the box of each of `count` objects (n, 4), -1 for none."""
    is_box = plain.called(found, inner, "bndbox")
    boxes = inner[is_box]
    found.odd[found.file[boxes[found.is_leaf(boxes)]]] = True
    of = owner[is_box]
    found.odd[found.file[boxes[1:][of[1:] == of[:-1]]]] = True
    place = plain.owners(found, deep, boxes)
    deep, of = deep[place >= 0], of[place[place >= 0]]
    sides = []
    for name in xml.CORNERS:
        own = plain.called(found, deep, name)
        sides.append(plain.single(found, deep[own], of[own], count))
    return np.stack(sides, axis=1)


def _rings(found: Elements, inner: Integers, owner: Integers, deep: Integers, count: int) -> pa.Array:
    """The polygons of each of `count` objects, null for none."""
    is_polygon = plain.called(found, inner, "polygon")
    polygons = inner[is_polygon]
    if not len(polygons):
        return pa.nulls(count, RINGS)
    place = plain.owners(found, deep, polygons)
    points, place = deep[place >= 0], place[place >= 0]
    values = _numbers(found.texts(points))
    found.odd[found.file[points[~_in_turn(found, points, place)]]] = True
    found.odd[found.file[points[~found.is_leaf(points) | ~(np.abs(values) < LARGEST)]]] = True
    sizes = np.bincount(place, minlength=len(polygons))
    found.odd[found.file[polygons[(sizes < 6) | (sizes % 2 == 1)]]] = True
    counts = np.bincount(owner[is_polygon], minlength=count)
    return geometry.ring_column(values, sizes, counts, counts == 0)


def _in_turn(found: Elements, points: Integers, place: Integers) -> NDArray[np.bool_]:
    """Whether coordinates of polygons stand in their order: x1, y1, x2, y2 … from any number on."""
    sides = [xml.SIDE.fullmatch(name) for name in found.names]
    axis = np.array([-1 if side is None else "xy".index(side[1]) for side in sides])[found.name[points]]
    number = np.array([int(side[2]) if side and side[2] else -1 for side in sides])[found.name[points]]
    first = np.searchsorted(place, place)
    ordinal = np.arange(len(place)) - first
    result: NDArray[np.bool_] = (axis == ordinal & 1) & (number == number[first] + ordinal // 2) & (number >= 0)
    return result


def _numbers(texts: pa.Array) -> Floats:
    """Numbers; NaN for what may be none."""
    try:
        numbers = texts.cast(pa.float64())
    except pa.ArrowInvalid:
        numbers = pc.if_else(pc.match_substring_regex(texts, NUMBER), texts, None).cast(pa.float64())
    result: Floats = numbers.to_numpy(zero_copy_only=False).copy()
    return result


def _are_set(found: Elements, tags: Integers) -> Integers:
    """1 where a flag is set."""
    coded = plain.texts(found, tags).dictionary_encode()
    are_set = pa.array([int(xml.is_set(text)) for text in coded.dictionary.to_pylist()], pa.int64())
    result: Integers = pc.fill_null(are_set.take(coded.indices), 0).to_numpy()
    return result


def _attributes(found: Elements, pose: Integers, others: Integers, owner: Integers) -> pa.Array:
    """The attributes of each object: of a pose alone, or of all `others` of its elements too."""
    coded = plain.texts(found, pose).dictionary_encode()
    poses = [xml.posed(text) for text in coded.dictionary.to_pylist()]
    code = pc.fill_null(coded.indices, len(poses)).to_numpy()
    poses.append(None)
    if not len(others):
        return pa.array(poses, pa.string()).take(pa.array(code))
    has_pose = np.zeros(len(pose), bool)
    has_pose[owner] = True
    has_pose &= pose >= 0
    tags = np.concatenate([pose[has_pose], others])
    owner = np.concatenate([np.flatnonzero(has_pose), owner])
    order = np.argsort(tags)
    whole, counts = np.unique(owner, return_counts=True)
    pieces = pa.ListArray.from_arrays(pa.array(starts(counts).astype(np.int32)), found.sources(tags[order]))
    inside = pc.binary_join(pieces, "").dictionary_encode()
    code = code.copy()
    code[whole] = len(poses) + inside.indices.to_numpy()
    said = [*poses, *(xml.attributes(text) for text in inside.dictionary.to_pylist())]
    return pa.array(said, pa.string()).take(pa.array(code))
