"""What of a dataset is written: its images, by split and whether they are annotated; its classes, and their order."""

import difflib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from framehouse.annotations.geometry import Integers
from framehouse.annotations.schema import State
from framehouse.annotations.splits import canonical_split
from framehouse.runtime.errors import InvalidArgument
from framehouse.v1.annotation_pb2 import LabelSchema
from framehouse.v1.conversion_pb2 import WriteOptions


def choose_labels(options: WriteOptions, labels: LabelSchema) -> tuple[Integers, LabelSchema]:
    """The label that is written for each one there is, -1 for none; and those that are written."""
    names = [label.name for label in labels.labels]
    if not options.labels:
        return np.arange(len(names)), labels
    position = {name: i for i, name in enumerate(names)}
    for name in options.labels:
        if name not in position:
            near = difflib.get_close_matches(name, names, 3)
            hint = f"; near are {', '.join(near)}" if near else ""
            raise InvalidArgument(f"the dataset has no class {name!r}{hint}", field="write.labels")
    if len(set(options.labels)) < len(options.labels):
        raise InvalidArgument("a class is named twice", field="write.labels")
    label_map = np.full(len(names), -1)
    label_map[[position[name] for name in options.labels]] = np.arange(len(options.labels))
    chosen = LabelSchema(labels=[labels.labels[position[name]] for name in options.labels], source=labels.source)
    return label_map, chosen


def select_images(options: WriteOptions, images: pa.Table, annotated: Integers) -> Integers:
    """Rows that `options` select, ascending. `images` has split and state; `annotated` are the rows of images that have
    an annotation of a class that is written.
    """
    wanted = np.ones(images.num_rows, bool)
    if options.splits:
        known = set(pc.unique(images["split"]).to_pylist())
        asked = [canonical_split(name) for name in options.splits]
        if missing := [name for name in asked if name not in known]:
            there = ", ".join(sorted(name or "no split" for name in known))
            raise InvalidArgument(f"the dataset has no split {missing[0]!r}; it has {there}", field="write.splits")
        wanted &= pc.is_in(images["split"], pa.array(asked)).to_numpy()
    if options.only_annotated:
        has_any = np.zeros(images.num_rows, bool)
        has_any[annotated] = True
        wanted &= has_any | (images["state"].to_numpy() == State.VERIFIED_EMPTY)
    return np.flatnonzero(wanted)


def written_labels(annotations: pa.Table, label_map: Integers) -> pa.Table:
    """Flat annotations with the labels as they are written; those of classes that are not go."""
    label = annotations["label"].to_numpy()
    mapped = np.append(label_map, -1)[label]
    if np.array_equal(mapped, label):
        return annotations
    at = annotations.schema.get_field_index("label")
    return annotations.set_column(at, "label", pa.array(mapped, pa.int32())).filter(
        pa.array((label < 0) | (mapped >= 0))
    )
