"""What is decided before Pascal VOC is written: classes as they are written, and who is whose part and whose mask."""

from typing import NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from framehouse.annotations.geometry import Integers
from framehouse.annotations.schema import Kind
from framehouse.v1.annotation_pb2 import LabelSchema
from services.conversion.shapes import upright_boxes
from services.conversion.voc.labels import Colour

SHAPES = (
    Kind.BOX,
    Kind.ROTATED_BOX,
    Kind.POLYGON,
    Kind.POLYLINE,
    Kind.POINTS,
    Kind.SKELETON,
    Kind.ELLIPSE,
    Kind.CUBOID,
)
"""Kinds that are written as objects of an XML file."""
Key = tuple[int, ...]
"""Image, group and label."""
Marks = NDArray[np.bool_]
PAINTED = (Kind.POLYGON, Kind.ROTATED_BOX)
"""Kinds that are painted beside, where that is asked for."""


class Detail(msgspec.Struct, frozen=True):
    """What a write plan decides."""

    names: list[str]
    """Each label as it is written."""
    kept: list[bool]
    """Which labels are written."""
    lines: list[int]
    """The line of the label map of each label, -1 for none."""
    entries: list[tuple[str, Colour, tuple[str, ...], tuple[str, ...]]]
    """The label map: name, colour, parts, actions."""
    nothing: int
    """Its line that is black."""
    is_class: bool
    """Whether `background` is one of the dataset's classes."""
    was_voc: bool


class Roles(NamedTuple):
    """Who is what, of flat annotations."""

    objects: Integers
    """Rows that are written as objects or parts, in their order."""
    host: Integers
    """For each of `objects` the row of the object that it is a part of; of itself where it is none."""
    number: Integers
    """Place of each object among those of its image, from 1; of a part that of its object."""
    masks: Integers
    """Rows that are painted."""
    owner: Integers
    """For each of `masks` the row of the object that it is the mask of, -1 for none."""
    instance: Integers
    """For each of `masks` the number of its instance: that of its object, or one that is of no object of its class."""


def solid(annotations: pa.Table) -> Marks:
    """Which annotations are shapes with width and height, and a class."""
    # A box of NaN is none.
    result: Marks = np.asarray((upright_boxes(annotations, SHAPES)[:, 2:] > 0).all(axis=1))
    return result


def find_roles(annotations: pa.Table, is_solid: Marks, labels: LabelSchema, detail: Detail, paint: Marks) -> Roles:
    """Who is what. `is_solid` is what `solid` says of them, `paint` which are painted beside being objects, if they are
    of a kind that can be.
    """
    image, kinds, label = (annotations[name].to_numpy() for name in ("image", "kind", "label"))
    kept = np.append(np.array(detail.kept, bool), False)[label]
    line = np.append(np.array(detail.lines, np.int64), -1)[label]
    objects = np.flatnonzero(kept & is_solid)
    group = pc.fill_null(annotations["group"], -1).to_numpy()
    grouped = annotations["group"].is_valid().to_numpy(zero_copy_only=False)
    keys = np.stack([image, group, label], axis=1)
    first: dict[Key, int] = {}
    for i in objects[grouped[objects]].tolist():
        first.setdefault(tuple(keys[i].tolist()), i)
    boxed = objects[grouped[objects] & (kinds[objects] == Kind.BOX)]
    hosts = _hosts_by_class(keys, boxed, first, labels)
    if detail.was_voc:
        hosts |= _hosts_by_id(keys, boxed, objects, annotations["annotation_id"].to_numpy())
    host = objects.copy()
    for i, of in hosts.items():
        # Parts of parts are not known.
        if of not in hosts:
            host[np.searchsorted(objects, i)] = of
    is_whole = host == objects
    order = np.cumsum(is_whole)
    of_image = image[objects]
    number = order - np.append(0, order)[np.searchsorted(of_image, of_image)]
    number = number[np.searchsorted(objects, host)]

    shown = kept & (line >= 0) & (line != detail.nothing)
    shapes = np.flatnonzero(shown & ((kinds == Kind.MASK) | (paint & np.isin(kinds, PAINTED))))
    concerned = is_whole & np.isin(of_image, image[shapes])
    number_of = dict(zip(objects[concerned].tolist(), number[concerned].tolist(), strict=True))
    owner: list[int] = []
    for i in shapes.tolist():
        of = i if i in number_of else first.get(tuple(keys[i].tolist()), -1) if grouped[i] else -1
        owner.append(of if of in number_of else -1)
    _, once = np.unique(owner, return_index=True)
    owners = np.full(len(owner), -1)
    owners[once] = np.array(owner, np.int64)[once]
    instance = _instances(keys[shapes], owners, {(image[i], k): label[i] for i, k in number_of.items()}, number_of)
    return Roles(objects, host, number, shapes, owners, instance)


def _instances(
    keys: Integers, owner: Integers, label_of: dict[tuple[int, int], int], number_of: dict[int, int]
) -> Integers:
    """The number of each mask's instance: that of its object, or else the next one that is of no mask and of no object
    of the same class, so that masks keep their order. `keys` are image, group and label of masks.
    """
    taken = {(keys[k, 0], number_of[of]) for k, of in enumerate(owner.tolist()) if of >= 0}
    result = np.zeros(len(owner), np.int64)
    last: dict[int, int] = {}
    for k, (image, _, label) in enumerate(keys.tolist()):
        if owner[k] >= 0:
            number = number_of[int(owner[k])]
        else:
            number = last.get(image, 0) + 1
            while (image, number) in taken or label_of.get((image, number)) == label:
                number += 1
            taken.add((image, number))
        result[k] = last[image] = number
    return result


def _hosts_by_class(keys: Integers, boxes: Integers, first: dict[Key, int], labels: LabelSchema) -> dict[int, int]:
    """For boxes the object that each is a part of: of its group, and of the class above its own.

    `keys` are image, group and label of all rows, `first` finds rows by them.
    """
    position = {one.name: i for i, one in enumerate(labels.labels)}
    parent = [position.get(one.parent, -1) if one.parent != one.name else -1 for one in labels.labels]
    found: dict[int, int] = {}
    for i in boxes.tolist():
        image, group, label = keys[i].tolist()
        if (image, group, parent[label]) in first:
            found[i] = first[image, group, parent[label]]
    return found


def _hosts_by_id(keys: Integers, boxes: Integers, objects: Integers, ids: Integers) -> dict[int, int]:
    """The same for what was read from VOC, where a group is called by the id of its object."""
    called = dict(
        zip(zip(keys[objects, 0].tolist(), ids[objects].tolist(), strict=True), objects.tolist(), strict=True)
    )
    of = {i: called.get((keys[i, 0], keys[i, 1]), -1) for i in boxes.tolist()}
    return {i: host for i, host in of.items() if host not in (-1, i)}
