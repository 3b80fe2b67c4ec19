"""What of a dataset is written: its images, by a filter, by split and whether they are annotated; its classes, changed
and in their order; the kinds of its task.
"""

import difflib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from framehouse.annotations import class_changes
from framehouse.annotations.class_changes import REMOVED, WITHOUT
from framehouse.annotations.geometry import Integers
from framehouse.annotations.schema import Flag, State
from framehouse.annotations.splits import canonical_split
from framehouse.annotations.tasks import kinds_of
from framehouse.runtime.errors import FailedPrecondition, InvalidArgument
from framehouse.store.bucket import Bucket
from framehouse.store.frames import BatchFile
from framehouse.v1.annotation_pb2 import LabelSchema
from framehouse.v1.conversion_pb2 import WriteOptions
from framehouse.v1.dataset_pb2 import Task
from services.conversion.format import Holds


class Classes(NamedTuple):
    """The classes that are written."""

    label_map: Integers
    """For each class of the table the one that is written, WITHOUT for annotations that are written without one, or
    REMOVED."""
    labels: LabelSchema
    refused: Mapping[int, int]
    """Classes of the table that must have no annotation, each with the number of the change that deletes it."""


def choose_labels(options: WriteOptions, there: LabelSchema) -> Classes:
    """What the changes, and the classes that are named, make of those of the table."""
    plan = class_changes.apply(there, options.class_changes, "write.class_changes")
    label_map, labels = plan.positions.astype(np.int64), plan.labels
    if not options.labels:
        return Classes(label_map, labels, plan.refused)
    names = [label.name for label in labels.labels]
    position = {name: i for i, name in enumerate(names)}
    for name in options.labels:
        if name not in position:
            near = difflib.get_close_matches(name, names, 3)
            hint = f"; near are {', '.join(near)}" if near else ""
            text, facts = f"the dataset has no class {name!r}{hint}", {"class": name, "near": ", ".join(near)}
            raise InvalidArgument(text, reason="CLASS_UNKNOWN", field="write.labels", facts=facts)
    if len(set(options.labels)) < len(options.labels):
        raise InvalidArgument("a class is named twice", field="write.labels")
    # The last two are found by WITHOUT and REMOVED.
    place = np.append(np.full(len(names), REMOVED), [REMOVED, WITHOUT])
    place[[position[name] for name in options.labels]] = np.arange(len(options.labels))
    chosen = LabelSchema(labels=[labels.labels[position[name]] for name in options.labels], source=labels.source)
    return Classes(place[label_map], chosen, plan.refused)


def refuse_deletions(classes: Classes, there: LabelSchema, counts: Integers) -> None:
    """FailedPrecondition where a class is deleted that has annotations, and nothing is said of those; `counts` are
    those of each class.
    """
    for label, change in classes.refused.items():
        if count := int(counts[label]):
            name = there.labels[label].name
            raise FailedPrecondition(
                f"{count:,} annotations to be written are of the class {name!r}; say what becomes of them: "
                f"ANNOTATION_FATE_REMOVE or ANNOTATION_FATE_KEEP in class_changes[{change}].delete.annotations",
                reason="CLASS_USED",
                facts={"label": name, "annotations": str(count)},
            )


def selected_rows(bucket: Bucket, selection_key: str) -> Integers:
    """The rows that a filter selected, ascending."""
    batches = [batch["row"].to_numpy() for batch in BatchFile(bucket, selection_key).batches()]
    rows: Integers = np.concatenate([np.zeros(0, np.int64), *batches])
    return rows


def in_splits(options: WriteOptions, splits: pa.ChunkedArray) -> NDArray[np.bool_]:
    """Which images are of the splits that are written. `splits` are those of all images of the dataset."""
    if not options.splits:
        return np.ones(len(splits), bool)
    known = set(pc.unique(splits).to_pylist())
    asked = [canonical_split(name) for name in options.splits]
    if missing := [name for name in asked if name not in known]:
        there = ", ".join(sorted(name or "no split" for name in known))
        raise InvalidArgument(f"the dataset has no split {missing[0]!r}; it has {there}", field="write.splits")
    wanted: NDArray[np.bool_] = pc.is_in(splits, pa.array(asked)).to_numpy()
    return wanted


def annotated(
    options: WriteOptions, states: pa.ChunkedArray, images: pa.ChunkedArray, written: NDArray[np.bool_]
) -> Integers:
    """Places of the images that are written, as `only_annotated` has it. `images` are those of the annotations, of
    which some are `written`.
    """
    wanted = np.ones(len(states), bool)
    if options.only_annotated:
        wanted = states.to_numpy() == State.VERIFIED_EMPTY
        wanted[images.to_numpy()[written]] = True
    return np.flatnonzero(wanted)


def task_of(options: WriteOptions, task: Task) -> Task:
    """The task whose annotations are written: the one that is asked for, or that of the dataset."""
    return options.task if options.HasField("task") else task


def of_task(kinds: Integers, task: int) -> NDArray[np.bool_]:
    """Which annotations are of a kind of the task."""
    mine: NDArray[np.bool_] = np.isin(kinds, list(kinds_of(task)))
    return mine


def hidden(flags: Integers, holds: Holds) -> NDArray[np.bool_]:
    """Which annotations are not in their image, where the format cannot say so: written, they would seem to be."""
    marks: NDArray[np.bool_] = flags & (Flag(0) if Flag.OUTSIDE in holds.flags else Flag.OUTSIDE) > 0
    return marks


def written(annotations: pa.Table, label_map: Integers, task: int) -> pa.Table:
    """Flat annotations with the labels as they are written; those that are not, by class or by task, go."""
    label = annotations["label"].to_numpy()
    mapped = np.append(label_map, WITHOUT)[label]
    kept = (mapped > REMOVED) & of_task(annotations["kind"].to_numpy(), task)
    if not np.array_equal(mapped, label):
        at = annotations.schema.get_field_index("label")
        annotations = annotations.set_column(at, "label", pa.array(mapped, pa.int32()))
    return annotations if kept.all() else annotations.filter(pa.array(kept))
