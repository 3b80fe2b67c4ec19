"""Annotations of one image as a person sends them: checked, and made into the values of its row.

One that is there already and has not changed stays as it is, whatever an import let through. Of one that keeps its
shape, the area and the envelope stay as the source said them.
"""

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from framehouse.annotations import geometry, masks
from framehouse.annotations.labels import labels_of
from framehouse.annotations.schema import ANNOTATION_COLUMNS, Flag, Kind
from framehouse.runtime.errors import InvalidArgument
from framehouse.v1 import dataset_pb2
from services.ingest.filter_text import near
from services.ingest.images import add_annotations

KINDS = frozenset(map(int, Kind))
BOXES = (Kind.BOX, Kind.ROTATED_BOX, Kind.ELLIPSE)
POINTS = {Kind.POLYGON: 3, Kind.POLYLINE: 2, Kind.POINTS: 1, Kind.SKELETON: 1, Kind.CUBOID: 8}
"""The kinds that are made of rings, and how many points a ring has at least."""
ONE_RING = (Kind.SKELETON, Kind.CUBOID)
ENVELOPED = (Kind.POLYGON, Kind.POLYLINE, Kind.POINTS, Kind.CUBOID, Kind.MASK)
"""Kinds whose bbox is nothing but the envelope of their shape."""
TOLERANCE = 1.0
"""Pixels by which a bbox that is sent may be off the envelope."""
SHAPE = ("kind", "bbox", "rings", "rle", "rle_size", "rotation", "visibility", "area")
"""Columns that say the shape."""
FLAGS = {flag.name.lower(): flag for flag in Flag if flag.name}


class Drawn:
    """The row of an image, in whose place another one is made."""

    def __init__(self, row: pa.Table) -> None:
        (self._row,) = row.to_pylist()
        self._labels = list(labels_of(row.schema).labels)
        self._names = {label.name: number for number, label in enumerate(self._labels)}
        image = dataset_pb2.Image()
        add_annotations(image, self._row, [label.name for label in self._labels])
        self._there = {one.id: (number, one) for number, one in enumerate(image.annotations)}

    def columns(self, annotations: Sequence[dataset_pb2.Annotation]) -> dict[str, list[Any]]:
        """The values of each column of annotations. `InvalidArgument` with the path of the field that is wrong."""
        given = [one.id for one in annotations if one.id]
        free = max([*given, *self._there, 0]) + 1
        seen: set[int] = set()
        values: dict[str, list[Any]] = {name: [] for name in ANNOTATION_COLUMNS}
        for place, one in enumerate(annotations):
            at = f"annotations[{place}]"
            if one.id and one.id in seen:
                raise InvalidArgument(
                    f"{at} has the id {one.id} of one before it; 0 takes the next free", field=f"{at}.id"
                )
            seen.add(one.id)
            made = self._made(one, at)
            if not one.id:
                made["annotation_id"], free = free, free + 1
            for name, column in values.items():
                column.append(made[name])
        return values

    def _made(self, one: dataset_pb2.Annotation, at: str) -> dict[str, Any]:
        """The values of one annotation."""
        number, old = self._there.get(one.id, (0, None)) if one.id else (0, None)
        there = {name: self._row[name][number] for name in ANNOTATION_COLUMNS} if old else {}
        if one == old:
            return there
        if one.id < 0:
            raise InvalidArgument(f"{at}.id is {one.id}; ids count from 1, 0 takes the next free", field=f"{at}.id")
        if int(one.kind) not in KINDS:
            raise InvalidArgument(f"{at} says no kind, as ANNOTATION_KIND_BOX is", field=f"{at}.kind")
        kind = Kind(int(one.kind))
        label = self._label(one, kind, at)
        if old and _shape(one) == _shape(old):
            shape = {name: there[name] for name in SHAPE}
        else:
            shape = self._checked_shape(one, kind, label, at)
        _finite([one.score], f"{at}.score")
        if kind == Kind.CAPTION and not one.text:
            raise InvalidArgument(f"{at} is a caption without a text", field=f"{at}.text")
        return {
            "annotation_id": one.id,
            "label": label,
            "group": one.group if one.HasField("group") else None,
            "track": one.track if one.HasField("track") else None,
            "z_order": one.z_order if one.HasField("z_order") else None,
            "flags": _flags(one.flags, at),
            "score": one.score if one.HasField("score") else None,
            "text": one.text or None,
            "attributes": _attributes(one.attributes, at),
            **shape,
        }

    def _label(self, one: dataset_pb2.Annotation, kind: Kind, at: str) -> int:
        if not one.label:
            if kind == Kind.TAG:
                raise InvalidArgument(f"{at} is a tag without a class", field=f"{at}.label")
            return -1
        if one.label not in self._names:
            raise InvalidArgument(
                f"{at}.label: the dataset has no class {one.label!r}; {near(one.label, self._names, 'it has')}",
                field=f"{at}.label",
            )
        return self._names[one.label]

    def _checked_shape(self, one: dataset_pb2.Annotation, kind: Kind, label: int, at: str) -> dict[str, Any]:
        """The values of `SHAPE`. What the source said of the area is no more so."""
        _refuse_others(one, kind, at)
        _finite(one.bbox, f"{at}.bbox")
        _finite([one.rotation], f"{at}.rotation")
        bbox = list(one.bbox)
        if bbox and (len(bbox) != 4 or min(bbox[2:]) < 0):
            raise InvalidArgument(
                f"{at}.bbox is {bbox}; it is x, y, width and height, none of them negative", field=f"{at}.bbox"
            )
        envelope: list[float] | None = None
        if kind in BOXES:
            if not bbox or min(bbox[2:]) == 0:
                raise InvalidArgument(f"{at} needs a bbox with a width and a height", field=f"{at}.bbox")
            envelope = _turned(bbox, one.rotation)
        elif kind in POINTS:
            self._check_rings(one, kind, label, at)
            envelope = _around(one.rings, [number == 0 for number in one.visibility])
        elif kind == Kind.MASK:
            envelope = self._mask_envelope(one, at)
        if kind in ENVELOPED and bbox and envelope and np.abs(np.subtract(bbox, envelope)).max() > TOLERANCE:
            raise InvalidArgument(
                f"{at}.bbox is {bbox}, and its shape spans {envelope}; leave the bbox out, and it is computed",
                field=f"{at}.bbox",
            )
        self._check_place(envelope or bbox, at)
        return {
            "kind": int(kind),
            "bbox": bbox or (envelope if kind not in BOXES else None),
            "rings": [list(ring.points) for ring in one.rings] or None,
            "rle": one.rle or None,
            "rle_size": list(one.rle_size) or None,
            "rotation": one.rotation if one.HasField("rotation") else None,
            "visibility": list(one.visibility) or None,
            "area": None,
        }

    def _check_rings(self, one: dataset_pb2.Annotation, kind: Kind, label: int, at: str) -> None:
        """Refuses rings that the kind cannot have."""
        name = kind.name.lower()
        if not one.rings:
            raise InvalidArgument(f"{at} is a {name} without rings", field=f"{at}.rings")
        if kind in ONE_RING and len(one.rings) != 1:
            raise InvalidArgument(f"{at} is a {name}, which has one ring, not {len(one.rings)}", field=f"{at}.rings")
        for number, ring in enumerate(one.rings):
            where = f"{at}.rings[{number}]"
            _finite(ring.points, where)
            count, odd = divmod(len(ring.points), 2)
            if odd or count < POINTS[kind] or (kind == Kind.CUBOID and count != POINTS[kind]):
                least = "exactly" if kind == Kind.CUBOID else "at least"
                raise InvalidArgument(
                    f"{where} has {len(ring.points)} numbers; a ring of a {name} is x and y of {least} {POINTS[kind]} "
                    "points, one after the other",
                    field=where,
                )
        if kind != Kind.SKELETON:
            return
        count = len(one.rings[0].points) // 2
        names = self._labels[label].keypoints if label >= 0 else ()
        if names and count != len(names):
            raise InvalidArgument(
                f"{at}.rings[0] has {count} keypoints; the class {one.label!r} has {len(names)}", field=f"{at}.rings[0]"
            )
        if one.visibility and (len(one.visibility) != count or not set(one.visibility) <= {0, 1, 2}):
            raise InvalidArgument(
                f"{at}.visibility is {list(one.visibility)}; it is 0, 1 or 2 for each of the {count} keypoints",
                field=f"{at}.visibility",
            )

    def _mask_envelope(self, one: dataset_pb2.Annotation, at: str) -> list[float] | None:
        """The box around a mask, which is refused where it does not fill the image exactly."""
        image = [self._row["height"], self._row["width"]]
        if len(one.rle_size) != 2 or min(one.rle_size) < 1 or (None not in image and list(one.rle_size) != image):
            wanted = "its height and width" if None in image else f"height and width of the image, {image}"
            raise InvalidArgument(f"{at}.rle_size is {list(one.rle_size)}; it is {wanted}", field=f"{at}.rle_size")
        height, width = (np.array([number], np.int64) for number in one.rle_size)
        runs = masks.decode(pa.array([one.rle], pa.binary()))
        if not one.rle or not masks.valid(runs, height, width)[0]:
            raise InvalidArgument(
                f"{at}.rle does not fill {one.rle_size[1]} × {one.rle_size[0]} pixels; it is COCO's compressed counts, "
                "column by column",
                field=f"{at}.rle",
            )
        box = masks.envelopes(runs, height)[0]
        return None if np.isnan(box).any() else [float(number) for number in box]

    def _check_place(self, box: Sequence[float] | None, at: str) -> None:
        """Refuses what lies wholly outside of the image, where its size is known."""
        size = (self._row["width"], self._row["height"])
        if not box or None in size:
            return
        for low, length, end in zip(box[:2], box[2:], size, strict=True):
            if (low + length <= 0 and low < 0) or (low >= end and low + length > end):
                raise InvalidArgument(
                    f"{at} lies wholly outside of the image, which is {size[0]} × {size[1]} pixels", field=at
                )


def _shape(one: dataset_pb2.Annotation) -> dataset_pb2.Annotation:
    """What a message says of the shape, alone."""
    return dataset_pb2.Annotation(
        kind=one.kind,
        bbox=one.bbox,
        rings=one.rings,
        rle=one.rle,
        rle_size=one.rle_size,
        rotation=one.rotation if one.HasField("rotation") else None,
        visibility=one.visibility,
    )


def _refuse_others(one: dataset_pb2.Annotation, kind: Kind, at: str) -> None:
    """Refuses what belongs to other kinds. Of a cuboid in space nothing is drawn, and anything is kept."""
    if kind == Kind.CUBOID_3D:
        return
    given = {
        "bbox": bool(one.bbox) and kind in (Kind.TAG, Kind.CAPTION),
        "rings": bool(one.rings) and kind not in POINTS,
        "rle": bool(one.rle) and kind != Kind.MASK,
        "rle_size": bool(one.rle_size) and kind != Kind.MASK,
        "visibility": bool(one.visibility) and kind != Kind.SKELETON,
    }
    for name, wrong in given.items():
        if wrong:
            raise InvalidArgument(f"{at} is a {kind.name.lower()}, which has no {name}", field=f"{at}.{name}")


def _finite(numbers: Iterable[float], field: str) -> None:
    for number in numbers:
        if not math.isfinite(number):
            raise InvalidArgument(f"{field} has {number}, which is no finite number", field=field)


def _turned(bbox: list[float], degrees: float) -> list[float]:
    """The envelope of a box turned by an angle."""
    corners = geometry.corners(np.array([bbox]), np.array([degrees]))
    return [float(number) for number in geometry.corner_envelopes(corners)[0]]


def _around(rings: Iterable[dataset_pb2.Ring], absent: Sequence[bool]) -> list[float] | None:
    """The envelope of points, without those that are absent; none where all are."""
    points = np.concatenate([np.array(ring.points, np.float64).reshape(-1, 2) for ring in rings])
    if absent:
        points = points[~np.array(absent)]
    if not len(points):
        return None
    low, high = points.min(axis=0), points.max(axis=0)
    return [*low.tolist(), *(high - low).tolist()]


def _flags(names: Iterable[str], at: str) -> int:
    flags = 0
    for name in names:
        if name not in FLAGS:
            raise InvalidArgument(
                f"{at}.flags: there is no flag {name!r}; {near(name, FLAGS, 'there are')}", field=f"{at}.flags"
            )
        flags |= int(FLAGS[name])
    return flags


def _attributes(text: str, at: str) -> str | None:
    if not text:
        return None
    try:
        if isinstance(json.loads(text, parse_constant=_no_number), dict):
            return text
    except (ValueError, RecursionError):
        pass
    raise InvalidArgument(f'{at}.attributes is no JSON object, as {{"colour": "red"}} is', field=f"{at}.attributes")


def _no_number(name: str) -> None:
    raise ValueError(name)
