"""Some rows of a dataset's table, whichever they are, without reading many of the others."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from lance import LanceDataset

from framehouse.annotations.geometry import Integers
from framehouse.store import tables
from framehouse.store.tables import rows_at, take

DENSE = 8
"""Rows that are rather read beside each wanted one than each of those by itself."""


def read(table: LanceDataset, at: Integers, columns: list[str]) -> pa.Table:
    """The rows at some places, ascending."""
    span = int(at[-1] - at[0]) + 1 if len(at) else 0
    if span == len(at) == table.count_rows():
        return table.to_table(columns=columns)
    if span == len(at):
        return table.to_table(columns=columns, offset=int(at[0]) if span else 0, limit=span)
    return rows_at(table, at, columns) if span <= DENSE * len(at) else take(table, at, columns)


def batches(table: LanceDataset, at: Integers, columns: list[str], rows: int) -> Iterator[pa.Table]:
    """The same, at most `rows` of them at a time."""
    if len(at) == table.count_rows():
        for batch in tables.batches(table, columns, rows):
            yield pa.Table.from_batches([batch])
    else:
        for some in np.split(at, range(rows, len(at), rows)):
            yield read(table, some, columns)
