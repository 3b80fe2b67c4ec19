"""Text that is mostly numbers, to columns: many small texts are parsed as one.

Used for label files (a run of numbers is a line) and for the number lists of JSON (a run ends at `]`). Arrow's CSV
reader parses 30 million numbers a second on one core, three times what a decoder to Python floats does.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv

from framehouse.annotations.geometry import Floats, Integers, starts

BLANKS = bytes.maketrans(b" ,;\t\r[]\x1e", b"\n" * 8)
ITEM_END = b"\x1e"

READ = csv.ReadOptions(column_names=["number"], use_threads=False, block_size=4 << 20)
PARSE = csv.ParseOptions(quote_char=False, ignore_empty_lines=True)
CONVERT = csv.ConvertOptions(column_types={"number": pa.float64()}, null_values=[])


class NotNumbers(ValueError):
    """Something in the texts is no number; which, a careful reader has to find."""


class Runs(NamedTuple):
    """Runs of numbers, in order; empty ones are kept, so that lines can be counted."""

    values: Floats
    offsets: Integers
    """Where each run begins in `values`, and the end."""
    item: Integers
    """Text that each run lies in."""
    ordinal: Integers
    """Position of the run in its text, from 0."""

    def take(self, runs: Integers | NDArray[np.bool_]) -> Floats:
        """The numbers of some runs that have equally many, as a matrix."""
        begins = self.offsets[:-1][runs]
        width = int(self.offsets[1:][runs][0] - begins[0]) if len(begins) else 0
        matrix: Floats = self.values[begins[:, None] + np.arange(width)]
        return matrix


def parse(texts: Sequence[bytes], run_end: bytes) -> Runs:
    """Parses texts of numbers between blanks, commas, semicolons and brackets, in runs that end with `run_end`.

    The end of a text ends a run too. Raises NotNumbers.
    """
    # Runs and texts are told apart by numbers that no text holds: NaN ends a run, infinity a text.
    joined = ITEM_END.join([*texts, b""])
    run_ends, item_ends = joined.count(run_end), joined.count(ITEM_END)
    if item_ends != len(texts):
        raise NotNumbers
    marked = joined.replace(run_end, b"\nnan\n").replace(ITEM_END, b"\ninf\n").translate(BLANKS)
    if not marked:
        return Runs(np.zeros(0), np.zeros(1, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64))
    try:
        table = csv.read_csv(pa.BufferReader(marked), READ, PARSE, CONVERT)
    except pa.ArrowInvalid as error:
        raise NotNumbers from error
    tokens = table["number"].to_numpy()
    marks = np.flatnonzero(~np.isfinite(tokens))
    ends_item = np.isposinf(tokens[marks])
    if len(marks) != run_ends + item_ends or int(ends_item.sum()) != item_ends:
        raise NotNumbers
    item = np.cumsum(ends_item) - ends_item
    runs = np.bincount(item, minlength=len(texts))
    return Runs(
        np.delete(tokens, marks),
        starts(np.diff(marks, prepend=-1) - 1),
        item,
        np.arange(len(marks)) - np.repeat(starts(runs)[:-1], runs),
    )
