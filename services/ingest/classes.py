"""Classes of a dataset: counts of each, and changes of them with what that makes of their annotations.

What is changed is decided on labels in memory. Where classes only get other names, colours or places that no annotation
sees, no row is written; where annotations move to another class, their labels alone are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from framehouse.annotations.class_changes import REMOVED, ClassPlan, Positions, apply
from framehouse.annotations.labels import labels_of, with_labels
from framehouse.annotations.schema import ANNOTATION_COLUMNS, State
from framehouse.runtime.errors import FailedPrecondition, InvalidArgument
from framehouse.store.tables import REWRITES_AT_ONCE, rewrite, rows_of
from framehouse.v1 import annotation_pb2, dataset_pb2
from services.ingest.catalogue import Catalogue, DatasetRow
from services.ingest.columns import Integers, Lists, Mask, Snapshot, remembered, snapshot
from services.ingest.datasets import find, message
from services.ingest.dealing import presence
from services.ingest.edits import Edit, addresses, edit, head_of
from services.ingest.versions import resolve

COMMIT = {"framehouse.change": "ChangeClasses"}
REMOVALS_AT_ONCE = 3
"""Fragments of which all annotation columns are in memory at once."""
NAMED = 3
"""Classes that are named in a sentence."""


class Counts(NamedTuple):
    """What there is of each class."""

    annotations: Integers
    images: Integers


@dataclass
class ClassEdit(Edit):
    """An edit of classes, with what each change does."""

    effects: list[dataset_pb2.ClassEffect] = field(default_factory=list)


# --- what there is


def list_classes(catalogue: Catalogue, request: dataset_pb2.ListClassesRequest) -> dataset_pb2.ListClassesResponse:
    """What `DatasetService.ListClasses` promises."""
    if request.version < 0:
        raise InvalidArgument("versions are numbered from 1; 0 is the head", field="version")
    where = resolve(catalogue, find(catalogue, request.parent, "parent"), request.version)
    table = snapshot(where.key, where.version)
    counts = _counts(table)
    response = dataset_pb2.ListClassesResponse()
    for place, label in enumerate(labels_of(table.table.schema).labels):
        response.classes.add(
            label=label,
            position=place,
            annotation_count=int(counts.annotations[place]),
            image_count=int(counts.images[place]),
        )
    return response


def _counts(table: Snapshot) -> Counts:
    count = len(table.labels)

    def make() -> Counts:
        counts = Counts(np.zeros(count, np.int64), np.zeros(count, np.int64))
        for lists in table.pieces("label"):
            counts.annotations[:] += np.bincount(lists.values[lists.values >= 0], minlength=count)
            counts.images[:] += np.bincount(_presence(lists, count)[1], minlength=count)
        return counts

    return remembered(f"classes {count} {table.fingerprint(['label'])}", make)


def _presence(lists: Lists, count: int) -> tuple[Positions, Positions]:
    """The classes of each image, each once, as (image, class) in order."""
    return presence(lists.offsets.astype(np.int64), lists.values.astype(np.int64), count)


# --- changes of it


def change_classes(
    catalogue: Catalogue, request: dataset_pb2.ChangeClassesRequest
) -> dataset_pb2.ChangeClassesResponse:
    """What `DatasetService.ChangeClasses` promises."""
    if not request.changes:
        raise InvalidArgument("it names no change; give one or more", field="changes")
    planned, row = edit(
        catalogue,
        request.parent,
        request.etag,
        partial(_plan, request),
        validate_only=request.validate_only,
        field="parent",
    )
    return dataset_pb2.ChangeClassesResponse(dataset=message(row), effects=planned.effects)


def _plan(request: dataset_pb2.ChangeClassesRequest, row: DatasetRow) -> ClassEdit:
    table = snapshot(row.table_key, row.table_version)
    before = labels_of(table.table.schema)
    plan = apply(before, request.changes)
    counts = _counts(table)
    _check_used(request, before, plan, counts)
    images = _images(table, plan, counts)
    effects = [
        dataset_pb2.ClassEffect(
            description=_describe(change, int(counts.annotations[touched].sum()), image_count),
            annotation_count=int(counts.annotations[touched].sum()),
            image_count=image_count,
        )
        for change, touched, image_count in zip(request.changes, plan.touched, images, strict=True)
    ]
    rows = np.flatnonzero(_changed(table, plan.positions, counts))
    head = head_of(row)
    head.labels = plan.labels
    head.annotation_count -= int(counts.annotations[plan.positions == REMOVED].sum())
    text = {key.decode(): value.decode() for key, value in with_labels(pa.schema([]), plan.labels).metadata.items()}

    def write() -> int:
        removes = bool(counts.annotations[plan.positions == REMOVED].any())
        return rewrite(
            row.table_key,
            row.table_version,
            addresses(table, rows),
            _Values(table, rows, plan.positions),
            COMMIT,
            text,
            REMOVALS_AT_ONCE if removes else REWRITES_AT_ONCE,
        )

    # What only changes the classes themselves is a change, too.
    changed = len(rows) or int(plan.labels != before)
    return ClassEdit(changed, head, write, effects=effects)


def _check_used(
    request: dataset_pb2.ChangeClassesRequest, before: annotation_pb2.LabelSchema, plan: ClassPlan, counts: Counts
) -> None:
    """Refuses to delete a class that has annotations where nothing is said of them."""
    for position, number in plan.refused.items():
        if count := int(counts.annotations[position]):
            label, images = before.labels[position].name, int(counts.images[position])
            deleted = request.changes[number].delete.label
            now = f", which {deleted!r} is made of by then" if deleted != label else ""
            raise FailedPrecondition(
                f"{_counted(count, images)} are of the class {label!r}{now}, and nothing was changed; say what becomes "
                f"of them, remove or keep, in changes[{number}].delete.annotations",
                reason="CLASS_USED",
                facts={"label": label, "annotations": str(count), "images": str(images)},
            )


def _images(table: Snapshot, plan: ClassPlan, counts: Counts) -> list[int]:
    """Images that each change is about."""
    several = np.unique(np.concatenate([np.zeros(0, np.int32), *(some for some in plan.touched if len(some) > 1)]))
    if not len(several):
        return [int(counts.images[touched].sum()) for touched in plan.touched]
    wanted = np.zeros(len(table.labels), np.bool_)
    wanted[several] = True
    found_images, found_classes = [], []
    for part, lists in zip(table.parts, table.pieces("label"), strict=True):
        image, label = _presence(lists, len(table.labels))
        mine = wanted[label]
        found_images.append(image[mine] + np.int32(part.first))
        found_classes.append(label[mine])
    images, classes = _joined(found_images), _joined(found_classes)
    order = np.argsort(classes, kind="stable")
    bounds = np.searchsorted(classes[order], np.arange(len(table.labels) + 1))
    images = images[order]
    answers = []
    for touched in plan.touched:
        if len(touched) == 1 or not wanted[touched].any():
            answers.append(int(counts.images[touched].sum()))
        else:
            some = [images[bounds[one] : bounds[one + 1]] for one in touched.tolist()]
            answers.append(len(np.unique(np.concatenate(some))))
    return answers


def _joined(pieces: Sequence[Positions]) -> Positions:
    return np.concatenate([np.zeros(0, np.int32), *pieces])


def _changed(table: Snapshot, positions: Positions, counts: Counts) -> Mask:
    """The images of which an annotation gets another position, or goes."""
    mask = np.zeros(table.rows, np.bool_)
    other = positions != np.arange(len(positions))
    if counts.annotations[other].any():
        differs = np.append(other, False)  # no label is -1, which finds the last
        for part, lists in zip(table.parts, table.pieces("label"), strict=True):
            image = np.repeat(np.arange(part.rows), np.diff(lists.offsets))
            mask[part.first + image[differs[lists.values]]] = True
    return mask


class _Values:
    """What the rows have then, fragment by fragment: a list of labels, or all of their annotations where some go."""

    def __init__(self, table: Snapshot, rows: Integers, positions: Positions) -> None:
        self._table = table
        self._rows = rows
        self._lookup = np.append(positions, np.int32(-1))  # no label is -1, which finds the last
        pieces = zip(table.parts, table.pieces("label"), strict=True)
        self._parts = {part.fragment.fragment_id: (part, lists) for part, lists in pieces}

    def __call__(self, fragment: int, first: int, end: int) -> Mapping[str, pa.Array]:
        part, lists = self._parts[fragment]
        chosen = np.zeros(part.rows, np.bool_)
        chosen[self._rows[first:end] - part.first] = True
        counts = np.diff(lists.offsets)
        new = self._lookup[lists.values]
        mine = np.repeat(chosen, counts)
        kept = mine & (new != REMOVED)
        if np.array_equal(kept, mine):
            return {"label": _lists(counts[chosen], pa.array(new[mine]))}
        left = np.bincount(np.repeat(np.arange(part.rows), counts)[kept], minlength=part.rows)[chosen]
        rows = rows_of(self._table.table, [part.fragment], [*ANNOTATION_COLUMNS, "state"])
        mask = pa.array(kept)
        columns = {
            name: _lists(left, pa.concat_arrays([chunk.flatten() for chunk in rows[name].chunks]).filter(mask))
            for name in ANNOTATION_COLUMNS
            if name != "label"
        }
        state = np.where(left == 0, np.int8(State.UNANNOTATED), rows["state"].to_numpy()[chosen])
        return columns | {"label": _lists(left, pa.array(new[kept])), "state": pa.array(state, pa.int8())}


def _lists(counts: Integers, values: pa.Array) -> pa.ListArray:
    offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values)


# --- in words


def _describe(change: dataset_pb2.ClassChange, annotations: int, images: int) -> str:
    what = _counted(annotations, images)
    one = annotations == 1
    match change.WhichOneof("change"):
        case "add":
            return f"{_quoted(change.add.name)} is a new class"
        case "rename":
            return f"{_quoted(change.rename.label)} is called {_quoted(change.rename.new_name)}"
        case "recolour":
            colour = change.recolour.color.lower()
            return f"{_quoted(change.recolour.label)} " + (f"gets the colour {colour}" if colour else "has no colour")
        case "merge":
            return f"{what} {'becomes' if one else 'become'} {_quoted(change.merge.into)}"
        case "delete" if change.delete.annotations == dataset_pb2.ANNOTATION_FATE_KEEP:
            return f"{_quoted(change.delete.label)} goes; {what} {'stays' if one else 'stay'}, without a class"
        case "delete":
            return f"{_quoted(change.delete.label)} goes; {what} {'is' if one else 'are'} removed"
        case _:
            names = change.reorder.labels
            more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
            comes = "comes" if len(names) == 1 else "come"
            return f"{', '.join(map(_quoted, names[:NAMED]))}{more} {comes} first"


def _counted(annotations: int, images: int) -> str:
    if not annotations:
        return "no annotations"
    annotation = "annotation" if annotations == 1 else "annotations"
    return f"{annotations:,} {annotation} in {images:,} {'image' if images == 1 else 'images'}"


def _quoted(name: str) -> str:
    return f'"{name}"'
