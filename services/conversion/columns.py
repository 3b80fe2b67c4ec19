"""Flat annotations: built from columns, opened from the lists of a table's rows, reported in bulk."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from framehouse.annotations.geometry import Integers, lengths
from framehouse.annotations.schema import ANNOTATION_SCHEMA
from framehouse.store.issues import IssueLog
from framehouse.v1.annotation_pb2 import Severity


def annotations(image: Integers, **columns: Any) -> pa.Table:
    """Flat annotations (ANNOTATION_SCHEMA) of arrays of equal length; what is not given is null, or 0 for flags."""
    count = len(image)
    given = {"image": image, "flags": np.zeros(count, np.int32), **columns}
    arrays = []
    for field in ANNOTATION_SCHEMA:
        values = given.get(field.name)
        if values is None:
            arrays.append(pa.nulls(count, field.type))
        else:
            array = values if isinstance(values, pa.Array) else pa.array(values)
            arrays.append(array.cast(field.type) if array.type != field.type else array)
    return pa.table(arrays, schema=ANNOTATION_SCHEMA)


def flatten(rows: pa.Table, names: tuple[str, ...]) -> pa.Table:
    """The annotations of a dataset's rows, flat: `image` is the row, ascending. Only the named columns."""
    columns = {name: rows[name].combine_chunks() for name in names}
    counts = lengths(next(iter(columns.values())))
    image = np.repeat(np.arange(rows.num_rows), counts)
    return pa.table({"image": image, **{name: column.flatten() for name, column in columns.items()}})


def report(
    issues: IssueLog,
    code: str,
    severity: Severity,
    paths: pa.Array,
    lines: Integers,
    messages: pa.Array | list[str] | str,
    remedy: str,
) -> None:
    """Notes one issue for each path, line and message."""
    count = len(paths)
    if not count:
        return
    issues.extend(
        pa.table(
            {
                "code": pa.repeat(code, count),
                "severity": pa.array(np.full(count, int(severity), np.int8)),
                "path": paths,
                "line": pa.array(lines, pa.int64()),
                "message": pa.repeat(messages, count) if isinstance(messages, str) else pa.array(messages, pa.string()),
                "remedy": pa.repeat(remedy, count),
            }
        )
    )


def text(numbers: Any) -> pa.Array:
    """Numbers as text, floats by the shortest that reads the same."""
    array = numbers if isinstance(numbers, pa.Array) else pa.array(numbers)
    return pc.cast(array, pa.string())
