"""The loss report: what a format cannot hold of a table, from the format's declaration, before anything is written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from framehouse.annotations.geometry import Integers
from framehouse.annotations.schema import Flag, Kind
from framehouse.v1.annotation_pb2 import LabelSchema
from framehouse.v1.conversion_pb2 import Loss, WriteOptions
from framehouse.v1.dataset_pb2 import Task
from services.conversion.format import Holds

LEFT_OUT = "left out"
COUNTED = {
    "score": "scores",
    "attributes": "attributes of annotations",
    "group": "groups",
    "track": "tracks",
    "z_order": "drawing orders",
}
"""Columns whose values are counted for the report, and what they are called."""
LABELS_NAMED = 10


@dataclass(frozen=True)
class Annotations:
    """Annotations that are to be written, by what the report looks at."""

    images: Integers
    """Number of the image of each."""
    kinds: Integers
    labels: Integers
    """-1 for none."""
    flags: Integers
    valued: Mapping[str, NDArray[np.bool_]]
    """Which have a value in each column of COUNTED."""


@dataclass
class _Count:
    annotations: int
    images: int
    labels: NDArray[np.bool_]
    """Which classes, and in the last place whether none, it was of."""


class Tally:
    """Losses of the annotations of batches of images, added up; in the order in which they were asked for first."""

    def __init__(self, schema: LabelSchema) -> None:
        self._names = [label.name for label in schema.labels]
        self._found: dict[tuple[str, str, str], _Count] = {}

    def loss(self, found: Annotations, code: str, subject: str, touched: NDArray[np.bool_], fallback: str) -> None:
        """Adds the annotations of a batch that `touched` marks. An image is in one batch alone."""
        count = self._found.get((code, subject, fallback))
        if count is None:
            count = self._found[code, subject, fallback] = _Count(0, 0, np.zeros(len(self._names) + 1, bool))
        if touched.any():
            count.annotations += int(np.count_nonzero(touched))
            count.images += int(np.count_nonzero(np.bincount(found.images[touched])))
            count.labels[found.labels[touched]] = True

    def losses(self) -> list[Loss]:
        """What was found, without that of which there was nothing."""
        return [
            Loss(
                code=code,
                subject=subject,
                annotation_count=count.annotations,
                fallback=fallback,
                image_count=count.images,
                labels=[self._names[label] for label in np.flatnonzero(count.labels[:-1])[:LABELS_NAMED].tolist()],
            )
            for (code, subject, fallback), count in self._found.items()
            if count.annotations
        ]


def losses_of(code: str, subject: str, annotations: pa.Table, touched: NDArray[np.bool_], fallback: str) -> list[Loss]:
    """A format's own loss: of the annotations that `touched` marks; none where it marks none."""
    if not touched.any():
        return []
    images = len(np.unique(annotations["image"].to_numpy()[touched]))
    count = int(touched.sum())
    return [Loss(code=code, subject=subject, annotation_count=count, fallback=fallback, image_count=images)]


def report(tally: Tally, holds: Holds, found: Annotations) -> None:
    """Adds what `holds` leaves out of annotations."""

    def add(code: str, subject: str, touched: NDArray[np.bool_], fallback: str) -> None:
        tally.loss(found, code, subject, touched, fallback)

    for kind in Kind:
        if kind not in holds.kinds:
            name = kind.name.lower().replace("_", " ")
            fallback = holds.fallbacks.get(kind)
            text = f"written as {fallback}" if fallback else LEFT_OUT
            add("KIND_UNSUPPORTED", name, found.kinds == kind, text)
    written = np.isin(found.kinds, [*holds.kinds, *holds.fallbacks])
    if not holds.unlabelled:
        without = written & (found.kinds != Kind.CAPTION) & (found.labels < 0)
        add("LABEL_MISSING", "annotations without a class", without, LEFT_OUT)
    for flag in Flag:
        if not (flag is Flag.CROWD and holds.crowd) and flag not in holds.flags:
            touched = written & (found.flags & flag > 0)
            add("FLAG_UNSUPPORTED", (flag.name or "").lower(), touched, "written without the flag")
    kept = {
        "score": holds.score,
        "attributes": holds.attributes,
        "group": holds.groups,
        "track": holds.tracks,
        "z_order": holds.z_order,
    }
    for column, subject in COUNTED.items():
        if not kept[column]:
            add(f"{column.upper()}_UNSUPPORTED", subject, written & found.valued[column], "written without them")


def hold_back(tally: Tally, found: Annotations, task: Task) -> None:
    """Adds what is said of annotations that are of another task: the dataset keeps them."""
    name = Task.Name(task).removeprefix("TASK_").lower()
    text = f"held back, for the task is {name}; the dataset keeps them"
    for kind in Kind:
        tally.loss(found, "OTHER_TASK", kind.name.lower().replace("_", " "), found.kinds == kind, text)


def hide(tally: Tally, found: Annotations) -> None:
    """Adds annotations that are not in their image."""
    text = "left out, for the format cannot say that they are not in the image"
    tally.loss(found, "OUTSIDE_LEFT_OUT", "objects outside", np.ones(len(found.images), bool), text)


def refuses(loss: Loss, options: WriteOptions) -> bool:
    """Whether a strict export stops at it: not where it is what was asked for in so many words."""
    if loss.code == "OTHER_TASK":
        return not options.HasField("task")
    return loss.code != "IMAGE_REENCODED"


def written_count(holds: Holds, found: Annotations) -> int:
    """How many of the annotations are written, as one kind or another."""
    return int(np.count_nonzero(_written(holds, found)))


def class_counts(holds: Holds, found: Annotations, labels: LabelSchema) -> Integers:
    """How many of the annotations of each class are written, in the order of the classes."""
    mine = found.labels[_written(holds, found) & (found.labels >= 0)]
    return np.bincount(mine, minlength=len(labels.labels))


def _written(holds: Holds, found: Annotations) -> NDArray[np.bool_]:
    written: NDArray[np.bool_] = np.isin(found.kinds, [*holds.kinds, *holds.fallbacks])
    if not holds.unlabelled:
        written &= (found.labels >= 0) | (found.kinds == Kind.CAPTION)
    return written


def told(losses: Sequence[Loss]) -> str:
    """The losses in one line."""
    shown = [f"{loss.subject} ({loss.annotation_count:,} annotations {loss.fallback})" for loss in losses[:5]]
    more = f" and {len(losses) - 5} more" if len(losses) > 5 else ""
    return "; ".join(shown) + more
