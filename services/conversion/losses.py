"""The loss report: what a format cannot hold of a table, from the format's declaration, before anything is written."""

from collections.abc import Mapping

import numpy as np

from framehouse.annotations.geometry import Integers
from framehouse.annotations.schema import Flag, Kind
from framehouse.v1.conversion_pb2 import Loss
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


def report(holds: Holds, kinds: Integers, labels: Integers, flags: Integers, values: Mapping[str, int]) -> list[Loss]:
    """What `holds` leaves out of annotations; `values` counts those of the columns in COUNTED that are not null."""
    losses: list[Loss] = []

    def add(code: str, subject: str, count: int, fallback: str) -> None:
        if count:
            losses.append(Loss(code=code, subject=subject, annotation_count=count, fallback=fallback))

    for kind in Kind:
        if kind not in holds.kinds:
            name = kind.name.lower().replace("_", " ")
            fallback = holds.fallbacks.get(kind)
            text = f"written as {fallback}" if fallback else LEFT_OUT
            add("KIND_UNSUPPORTED", name, int((kinds == kind).sum()), text)
    written = np.isin(kinds, [*holds.kinds, *holds.fallbacks])
    add("LABEL_MISSING", "annotations without a class", int((written & (labels < 0)).sum()), LEFT_OUT)
    for flag in Flag:
        if not (flag is Flag.CROWD and holds.crowd):
            count = int((written & (flags & flag > 0)).sum())
            add("FLAG_UNSUPPORTED", (flag.name or "").lower(), count, "written without the flag")
    kept = {"score": holds.score, "attributes": holds.attributes}
    for column, subject in COUNTED.items():
        if not kept.get(column, False):
            add(f"{column.upper()}_UNSUPPORTED", subject, values.get(column, 0), "written without them")
    return losses
