"""Changes of classes: what becomes of a label schema, and of the annotations of each of its classes.

A change is made after the one before it, on what that left. Nothing is said here of how many annotations there are, nor
are they changed: that is done by whoever has them, with the plan.
"""

import difflib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from framehouse.runtime.errors import InvalidArgument
from framehouse.v1.annotation_pb2 import Label, LabelSchema
from framehouse.v1.dataset_pb2 import (
    ANNOTATION_FATE_KEEP,
    ANNOTATION_FATE_REMOVE,
    ANNOTATION_FATE_UNSPECIFIED,
    ClassChange,
    DeleteClass,
    MergeClasses,
    RenameClass,
    ReorderClasses,
)

Positions = NDArray[np.int32]

CHANGES = 10_000
"""Of one call at most."""
NAME_LETTERS = 255
WITHOUT = -1
"""The position of annotations that are kept without a class."""
REMOVED = -2
"""The position of annotations that are removed."""

COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
RECORDS = (("coco_categories",), ("cvat", "labels"), ("datumaro_categories", "positions"))
"""Where `LabelSchema.source` has objects with a member for each class, by its name."""
GROUPS = ("datumaro_categories", "label_groups")
"""Where it has a list of objects that name classes in their member `labels`."""


class ClassPlan(NamedTuple):
    """What changes do."""

    labels: LabelSchema
    """As it is then."""
    positions: Positions
    """For each class as it was, its position then, `WITHOUT`, or `REMOVED`."""
    touched: list[Positions]
    """For each change, the classes as they were whose annotations it moves, removes, or leaves without a class."""
    refused: dict[int, int]
    """Classes as they were that must have no annotation, which is `FAILED_PRECONDITION` otherwise, each with the number
    of the change that deletes it. Their positions are `REMOVED`."""


def apply(labels: LabelSchema, changes: Sequence[ClassChange], field: str = "changes") -> ClassPlan:
    """Makes the changes, one after the other.

    `InvalidArgument` names what cannot be made, below `field`: `changes[2].merge.labels[0]`.
    """
    if len(changes) > CHANGES:
        raise InvalidArgument(f"{len(changes):,} changes are too many; make {CHANGES:,} at most at once", field=field)
    classes = _Classes(labels)
    touched = []
    for number, change in enumerate(changes):
        kind = change.WhichOneof("change")
        if kind is None:
            text = "it says no change; give add, rename, recolour, merge, delete or reorder"
            raise InvalidArgument(text, field=f"{field}[{number}]")
        touched.append(classes.change(number, change, f"{field}[{number}]", kind))
    return classes.plan(labels, touched)


class _Classes:
    """Classes while they are changed. Each has a number that stays, which is its position where it was there before."""

    def __init__(self, labels: LabelSchema) -> None:
        self._before = len(labels.labels)
        self._labels = {number: _copy(label) for number, label in enumerate(labels.labels)}
        self._numbers = {label.name: number for number, label in self._labels.items()}
        self._next = self._before
        # The classes as they were that are part of each; those that went to no class.
        self._members = {number: np.array([number], np.int32) for number in self._labels}
        self._lost: list[tuple[Positions, int]] = []
        self._refused: dict[int, int] = {}
        self._children: dict[str, set[int]] = {}
        for number, label in self._labels.items():
            self._children.setdefault(label.parent, set()).add(number)
        self._history: dict[str, str] = {}

    def change(self, number: int, change: ClassChange, which: str, kind: str) -> Positions:
        """Makes one change; answers with the classes as they were whose annotations it is about."""
        field = f"{which}.{kind}"
        match kind:
            case "add":
                self._add(change.add, field)
            case "rename":
                self._rename(change.rename, field, which)
            case "recolour":
                label = self._labels[self._find(change.recolour.label, f"{field}.label")]
                label.color = _colour(change.recolour.color, f"{field}.color")
            case "merge":
                return self._merge(change.merge, field, which)
            case "delete":
                return self._delete(number, change.delete, field, which)
            case _:
                self._reorder(change.reorder, field)
        return np.zeros(0, np.int32)

    def plan(self, before: LabelSchema, touched: list[Positions]) -> ClassPlan:
        positions = np.full(self._before, REMOVED, np.int32)
        for place, number in enumerate(self._labels):
            positions[self._members[number]] = place
        for members, fate in self._lost:
            positions[members] = fate
        names = {
            before.labels[number].name: label.name for number, label in self._labels.items() if number < self._before
        }
        source = _source(before.source, names) if touched else before.source
        return ClassPlan(LabelSchema(labels=self._labels.values(), source=source), positions, touched, self._refused)

    def _add(self, given: Label, field: str) -> None:
        label = _copy(given)
        self._check_new(label.name, f"{field}.name")
        label.color = _colour(label.color, f"{field}.color")
        count = len(label.keypoints)
        for place, edge in enumerate(label.edges):
            if not (0 <= getattr(edge, "from") < count and 0 <= edge.to < count):
                text = f"the edge {getattr(edge, 'from')} to {edge.to} needs more than the {count} keypoints there are"
                raise InvalidArgument(text, field=f"{field}.edges[{place}]")
        number, self._next = self._next, self._next + 1
        self._labels[number], self._numbers[label.name] = label, number
        self._members[number] = np.zeros(0, np.int32)
        self._children.setdefault(label.parent, set()).add(number)

    def _rename(self, rename: RenameClass, field: str, which: str) -> None:
        number = self._find(rename.label, f"{field}.label")
        label, new = self._labels[number], rename.new_name
        if new == label.name:
            return
        self._check_new(new, f"{field}.new_name")
        # What a class is called that names itself as its parent is no class: COCO's person is below `person`.
        self._set_parents(self._children.get(label.name, set()) - {number}, new)
        self._history[label.name] = f"{which} renamed it to {new!r}"
        del self._numbers[label.name]
        label.name = new
        self._numbers[new] = number

    def _merge(self, merge: MergeClasses, field: str, which: str) -> Positions:
        into = self._find(merge.into, f"{field}.into")
        if not merge.labels:
            raise InvalidArgument("it names no class to merge; name one or more", field=f"{field}.labels")
        target, gone = self._labels[into], []
        for place, name in enumerate(merge.labels):
            at = f"{field}.labels[{place}]"
            number = self._find(name, at)
            if number == into:
                raise InvalidArgument(f"{name!r} cannot be merged into itself; leave it out", field=at)
            if number in gone:
                raise InvalidArgument(f"{name!r} is named twice; name it once", field=at)
            if list(self._labels[number].keypoints) != list(target.keypoints):
                text = (
                    f"{name!r} has other keypoints than {merge.into!r}, so that skeletons of one would be wrong as "
                    "those of the other; merge classes of the same keypoints, in the same order"
                )
                raise InvalidArgument(text, field=at, reason="KEYPOINTS_DIFFER")
            gone.append(number)
        touched = np.concatenate([self._members[number] for number in gone])
        for number in gone:
            label = self._remove(number, f"{which} merged it into {merge.into!r}")
            self._set_parents(self._children.get(label.name, set()) - {into}, target.name)
            if target.parent == label.name:
                self._set_parents({into}, "")
            target.attributes.extend(name for name in label.attributes if name not in target.attributes)
        self._members[into] = np.concatenate([self._members[into], touched])
        return touched

    def _delete(self, change: int, delete: DeleteClass, field: str, which: str) -> Positions:
        number = self._find(delete.label, f"{field}.label")
        if delete.annotations not in (ANNOTATION_FATE_UNSPECIFIED, ANNOTATION_FATE_REMOVE, ANNOTATION_FATE_KEEP):
            text = f"{delete.annotations} is nothing that can become of annotations; remove or keep them"
            raise InvalidArgument(text, field=f"{field}.annotations")
        members = self._members[number]
        self._remove(number, f"{which} deletes it")
        self._lost.append((members, WITHOUT if delete.annotations == ANNOTATION_FATE_KEEP else REMOVED))
        if delete.annotations == ANNOTATION_FATE_UNSPECIFIED:
            self._refused |= dict.fromkeys(members.tolist(), change)
        return members

    def _reorder(self, reorder: ReorderClasses, field: str) -> None:
        if not reorder.labels:
            raise InvalidArgument("it names no class; name those that come first", field=f"{field}.labels")
        first: dict[int, Label] = {}
        for place, name in enumerate(reorder.labels):
            at = f"{field}.labels[{place}]"
            number = self._find(name, at)
            if number in first:
                raise InvalidArgument(f"{name!r} is named twice; it can be in one place only", field=at)
            first[number] = self._labels[number]
        self._labels = first | {number: label for number, label in self._labels.items() if number not in first}

    def _remove(self, number: int, how: str) -> Label:
        label = self._labels.pop(number)
        del self._numbers[label.name], self._members[number]
        self._children[label.parent].discard(number)
        self._history[label.name] = how
        return label

    def _set_parents(self, numbers: Iterable[int], parent: str) -> None:
        for number in list(numbers):
            self._children[self._labels[number].parent].discard(number)
            self._labels[number].parent = parent
            self._children.setdefault(parent, set()).add(number)

    def _find(self, name: str, field: str) -> int:
        number = self._numbers.get(name)
        if number is not None:
            return number
        if name in self._history:
            raise InvalidArgument(f"there is no class {name!r} any more: {self._history[name]}", field=field)
        near = difflib.get_close_matches(name, self._numbers, 3)
        hint = f"; near are {', '.join(map(repr, near))}" if near else "; list them with ListClasses"
        raise InvalidArgument(f"there is no class {name!r}{hint}", field=field)

    def _check_new(self, name: str, field: str) -> None:
        if not name.strip():
            raise InvalidArgument("a class needs a name; this one is empty", field=field)
        if not name.isprintable() or name != name.strip() or len(name) > NAME_LETTERS:
            text = (
                f"{name[:NAME_LETTERS]!r} cannot be the name of a class; write one line of {NAME_LETTERS} letters at "
                "most, without spaces around it"
            )
            raise InvalidArgument(text, field=field)
        if name in self._numbers:
            text = f"there is a class {name!r} already; choose another name, or merge the two"
            raise InvalidArgument(text, field=field, reason="CLASS_EXISTS")


def _copy(label: Label) -> Label:
    copy = Label()
    copy.CopyFrom(label)
    return copy


def _colour(text: str, field: str) -> str:
    if text and not COLOUR.fullmatch(text):
        raise InvalidArgument(f"{text!r} is no colour; write #rrggbb, for instance #1e90ff", field=field)
    return text.lower()


def _source(source: str, names: Mapping[str, str]) -> str:
    """What the format said, with the classes named as they are now; without those that there are no more.

    `names`: of the classes that are left, by what they were called.
    """
    said: dict[str, Any] = json.loads(source) if source else {}
    for *path, last in (*RECORDS, GROUPS):
        above: Any = said
        for step in path:
            above = above.get(step) if isinstance(above, dict) else None
        there = above.get(last) if isinstance(above, dict) else None
        if isinstance(there, dict):
            above[last] = {names[name]: record for name, record in there.items() if name in names}
        elif isinstance(there, list):
            for group in there:
                if isinstance(group, dict) and isinstance(group.get("labels"), list):
                    group["labels"] = [names[name] for name in group["labels"] if name in names]
    return json.dumps(said, ensure_ascii=False, separators=(",", ":")) if said else source
