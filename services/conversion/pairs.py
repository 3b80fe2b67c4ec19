"""Skeletons and outlines that are one object, two annotations of one group, as COCO's keypoint records have them.

A format that holds both gets both. Any other gets the one that it holds, or else the outline, so that no object is
written twice.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from framehouse.annotations.geometry import Integers, starts
from framehouse.annotations.schema import Kind
from services.conversion.format import Holds
from services.conversion.losses import Annotations, Tally

COLUMNS = ("kind", "label", "group")
"""What tells partners."""
OUTLINES = (Kind.POLYGON, Kind.MASK)


def partners(annotations: pa.Table) -> Integers:
    """For each skeleton and outline the row of the other one of the same image, group and label; -1 for none.

    Where a group has several of either, the first belongs to the first.
    """
    result = np.full(annotations.num_rows, -1)
    kinds, grouped = annotations["kind"].to_numpy(), annotations["group"].is_valid().to_numpy()
    skeletons = np.flatnonzero(grouped & (kinds == Kind.SKELETON))
    if not len(skeletons):
        return result
    shapes = np.flatnonzero(grouped & np.isin(kinds, OUTLINES))
    both = np.concatenate([skeletons, shapes])
    group = pc.fill_null(annotations["group"], 0).to_numpy()
    keys = np.stack([annotations["image"].to_numpy(), group, annotations["label"].to_numpy()], axis=1)[both]
    _, key = np.unique(keys, axis=0, return_inverse=True)
    first, second = key[: len(skeletons)], key[len(skeletons) :]
    rank = max(len(both), 1)
    _, one, other = np.intersect1d(first * rank + _ranks(first), second * rank + _ranks(second), return_indices=True)
    result[skeletons[one]] = shapes[other]
    result[shapes[other]] = skeletons[one]
    return result


def _ranks(keys: Integers) -> Integers:
    """How many of the same key come before each."""
    order = np.argsort(keys, kind="stable")
    counts = np.bincount(keys)
    ranks = np.empty(len(keys), np.int64)
    ranks[order] = np.arange(len(keys)) - starts(counts)[keys[order]]
    return ranks


def doubles(annotations: pa.Table, holds: Holds) -> NDArray[np.bool_]:
    """Which annotations a format is not to get, since it gets their partners."""
    kinds, other = annotations["kind"].to_numpy(), partners(annotations)
    held = np.isin(kinds, list(holds.kinds)) & (other >= 0)
    written = np.isin(kinds, [*holds.kinds, *holds.fallbacks]) & (other >= 0)
    skeleton = (kinds == Kind.SKELETON) & (other >= 0) & ~held & written[other]
    outline = (kinds != Kind.SKELETON) & (other >= 0) & ~held & written[other] & ~skeleton[other]
    result: NDArray[np.bool_] = skeleton | outline
    return result


def single(annotations: pa.Table, doubled: NDArray[np.bool_]) -> pa.Table:
    """The annotations without their doubles. An outline whose skeleton goes has the id of it, which is the object's."""
    if not doubled.any():
        return annotations
    if "annotation_id" in annotations.column_names:
        kinds, ids, other = (
            annotations["kind"].to_numpy(),
            annotations["annotation_id"].to_numpy(),
            partners(annotations),
        )
        left = (other >= 0) & (kinds != Kind.SKELETON) & doubled[other]
        at = annotations.schema.get_field_index("annotation_id")
        annotations = annotations.set_column(at, "annotation_id", pa.array(np.where(left, ids[other], ids)))
    return annotations.filter(pa.array(~doubled))


def report(tally: Tally, found: Annotations, doubled: NDArray[np.bool_]) -> None:
    """Adds what goes with the doubles."""
    for touched, subject, text in (
        (doubled & (found.kinds == Kind.SKELETON), "skeleton beside an outline", "left out; the outline is written"),
        (doubled & (found.kinds != Kind.SKELETON), "outline beside a skeleton", "left out; the skeleton is written"),
    ):
        tally.loss(found, "KIND_UNSUPPORTED", subject, touched, text)
