"""Columns of datasets' tables in memory: what images are listed, ordered and filtered by.

A column is read from the bucket once for each fragment of a table and kept, in bounded memory, under the names of the
files that it lies in, which never change. So a new version reads only what its commit wrote.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property, lru_cache, partial
from typing import Any, NamedTuple, TypeVar

import lance
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from numpy.typing import NDArray

from framehouse.annotations.labels import labels_of
from framehouse.annotations.schema import DATASET_SCHEMA
from framehouse.store.tables import open_table, row_ids, rows_of

Array = NDArray[Any]
Mask = NDArray[np.bool_]
Integers = NDArray[np.int64]
T = TypeVar("T")

BUDGET = 384 << 20
"""Bytes that are kept of all tables; a million images with seven boxes each take about half of it."""
ROWS = 1 << 18
"""Rows that are read at once."""
MISSING = -1
"""A number that an image does not have."""

NARROW = (
    "width",
    "height",
    "size",
    "orientation",
    "frame",
    "state",
    "split",
    "format",
    "import",
    "annotations",
    "kinds",
)
"""Columns that are read together: what a query waits for is the number of files, not of columns."""
PLACES = ("original", "normalised", "preview")
"""Columns that say where bytes lie."""


class Strings(NamedTuple):
    """A column of few different strings."""

    codes: NDArray[np.int32]
    """Positions in `names`."""
    names: list[str]


class Lists(NamedTuple):
    """A column of lists of small numbers, of one fragment."""

    offsets: NDArray[np.int32]
    values: Array


class Part(NamedTuple):
    """One fragment of a version."""

    fragment: lance.LanceFragment
    first: int
    """Its first row, counted over the table from 0."""
    rows: int
    keys: dict[str, str]
    """What each column is kept under."""


class Snapshot:
    """One version of a table. Its rows are counted from 0 in the order of the table."""

    def __init__(self, table: lance.LanceDataset) -> None:
        self.table = table
        self.identity = f"{table.uri} {table.version}"
        self.labels = [label.name for label in labels_of(self.table.schema).labels]
        self.parts: list[Part] = []
        self.rows = 0
        fields = {field.name(): leaves(field) for field in self.table.lance_schema.fields()}
        # A column that came after the table was made is kept under the files of another one, which has as many rows.
        self._fields = {name: fields.get(column, fields["id"]) for name, column in _SOURCES.items()}
        for fragment in self.table.get_fragments():
            self._add(fragment)
        self.starts = np.array([part.first for part in self.parts], np.int64)
        self._reading = threading.Lock()

    def _add(self, fragment: lance.LanceFragment) -> None:
        metadata = fragment.metadata
        paths = [
            (file.path, file.fields) for file in metadata.files
        ]  # Lance makes a class whenever it is asked for one
        files = {field: path for path, fields in paths for field in fields}
        deletions = metadata.deletion_file
        # Whatever makes its rows others, but for the files.
        state = f"{deletions.path(fragment.fragment_id) if deletions else ''} {metadata.overlays or ''}"
        keys = {
            name: f"{name} {state} {' '.join(sorted({files.get(field, '') for field in fields}))}"
            for name, fields in self._fields.items()
        }
        if metadata.num_rows:
            self.parts.append(Part(fragment, self.rows, metadata.num_rows, keys))
            self.rows += metadata.num_rows

    def numbers(self, name: str) -> Array:
        """A number of every row, `MISSING` where it has none: width, height, size, orientation, frame, annotations,
        state; and kinds, of which bit n says that it has one of kind n.
        """
        return _joined(self.pieces(name))

    def strings(self, name: str) -> Strings:
        """split, format or import (the id of a job) of every row; empty where it has none."""
        pieces = self.pieces(name)
        names = sorted({string for piece in pieces for string in piece.names})
        place = {string: number for number, string in enumerate(names)}
        maps = [np.array([place[string] for string in piece.names], np.int32) for piece in pieces]
        codes = [there[piece.codes] for there, piece in zip(maps, pieces, strict=True)]
        return Strings(_joined(codes) if codes else np.zeros(0, np.int32), names)

    def paths(self) -> pa.ChunkedArray:
        """The path of every row."""
        return pa.chunked_array(self.pieces("path"), pa.string())

    @cached_property
    def came(self) -> Integers | None:
        """The rows in the order in which they came in; None where they lie in that order.

        A row that is written anew, with other annotations, lies behind the others from then on, but keeps its id.
        """
        ids = [some for part in self.parts if (some := row_ids(part.fragment)) is not None]
        if len(ids) < len(self.parts) or bool((np.diff(_joined(ids)) > 0).all()):
            return None
        return np.argsort(_joined([self.row_ids(part) for part in self.parts]), kind="stable")

    def row_ids(self, part: Part) -> Integers:
        """The ids of the rows of a part, in a table that has any."""
        ids = None if part.fragment.num_deletions else row_ids(part.fragment)
        return remembered(f"row ids {part.keys['id']}", partial(_live_ids, part.fragment)) if ids is None else ids

    def pieces(self, name: str) -> list[Any]:
        """A column, part by part."""
        return [pieces[name] for pieces in self.read([name], self.parts)]

    def fingerprint(self, names: Iterable[str]) -> str:
        """The same for versions that have the same rows in these columns."""
        keys = "\n".join(part.keys[name] for name in names for part in self.parts)
        return xxhash.xxh3_128_hexdigest(keys.encode())

    def kept(self, names: Sequence[str], part: Part) -> bool:
        """Whether these columns of a part are in memory."""
        return all(_MEMORY.get(part.keys[name]) is not None for name in names)

    def read(self, names: Sequence[str], parts: Sequence[Part]) -> list[dict[str, Any]]:
        """Columns of some parts: what is in memory from there, the rest from the bucket."""
        found = self._found(names, parts)
        if not _incomplete(found):
            return found
        with self._reading:
            found = self._found(names, parts)
            for run in _runs(_incomplete(found), [part.rows for part in parts]):
                wanted = {name for name in names if any(found[place][name] is None for place in run)}
                # A narrow column more costs next to nothing.
                wanted |= set(NARROW) if wanted & set(NARROW) else set()
                for place, rows in zip(run, self._rows(wanted, [parts[place] for place in run]), strict=True):
                    for name in wanted:
                        piece = _MAKERS[name](rows[_SOURCES[name]])
                        _MEMORY.put(parts[place].keys[name], piece)
                        found[place][name] = piece
        return found

    def _found(self, names: Sequence[str], parts: Sequence[Part]) -> list[dict[str, Any]]:
        return [{name: _MEMORY.get(part.keys[name]) for name in names} for part in parts]

    def keep(self, name: str, column: Strings | Array) -> None:
        """Takes strings or numbers of all rows from who wrote them, so that nobody has to read them."""
        for part in self.parts:
            rows = slice(part.first, part.first + part.rows)
            piece = _some(column, rows) if isinstance(column, Strings) else column[rows].copy()
            _MEMORY.put(part.keys[name], piece)

    def _rows(self, names: Iterable[str], parts: Sequence[Part]) -> Iterator[pa.Table]:
        """What the columns are made of, part by part."""
        columns = sorted({_SOURCES[name] for name in names})
        present = [name for name in columns if name in self.table.schema.names] or ["id"]
        rows = completed(rows_of(self.table, [part.fragment for part in parts], present), columns)
        first = 0
        for part in parts:
            yield rows.slice(first, part.rows)
            first += part.rows


@lru_cache(maxsize=8)
def snapshot(key: str, version: int) -> Snapshot:
    """A version of the table at `key`. `NotFound` where there is none."""
    return Snapshot(open_table(key, version))


def completed(rows: pa.Table, columns: Iterable[str]) -> pa.Table:
    """Rows of a table with all of these columns: those that came after it was made are null."""
    for name in columns:
        if name not in rows.schema.names:
            rows = rows.append_column(name, pa.nulls(rows.num_rows, DATASET_SCHEMA.field(name).type))
    return rows


def remembered(key: str, make: Callable[[], T]) -> T:
    """What `make` answers, kept in the same memory as the columns."""
    found: T | None = _MEMORY.get(key)
    if found is None:
        found = make()
        _MEMORY.put(key, found)
    return found


class _Memory:
    """Things by name, those used last; `BUDGET` bytes of them."""

    def __init__(self) -> None:
        self._things: OrderedDict[str, tuple[Any, int]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: str) -> Any:
        with self._lock:
            if key not in self._things:
                return None
            self._things.move_to_end(key)
            return self._things[key][0]

    def put(self, key: str, thing: Any) -> None:
        size = _size(thing) + len(key)
        with self._lock:
            self._bytes += size - self._things.pop(key, (None, 0))[1]
            self._things[key] = thing, size
            while self._bytes > BUDGET and len(self._things) > 1:
                self._bytes -= self._things.popitem(last=False)[1][1]


_MEMORY = _Memory()


def _size(thing: Any) -> int:
    """Bytes, about."""
    if isinstance(thing, tuple | list):
        return sum(map(_size, thing)) + 64
    return int(getattr(thing, "nbytes", 64)) + 64


def _incomplete(found: Sequence[dict[str, Any]]) -> list[int]:
    """The places where something is missing."""
    return [place for place, pieces in enumerate(found) if any(piece is None for piece in pieces.values())]


def _runs(places: list[int], rows: list[int]) -> Iterator[list[int]]:
    """Runs of some `ROWS` rows."""
    run: list[int] = []
    for place in places:
        run.append(place)
        if sum(rows[one] for one in run) >= ROWS:
            yield run
            run = []
    if run:
        yield run


def leaves(field: Any) -> list[int]:
    """The ids of a field and of all below it; the files have those of the lowest."""
    return [field.id(), *(leaf for child in field.children() for leaf in leaves(child))]


def _joined(pieces: list[Array]) -> Array:
    return np.concatenate(pieces) if pieces else np.zeros(0, np.int64)


def _live_ids(fragment: lance.LanceFragment) -> Integers:
    return np.asarray(fragment.to_table(columns=[], with_row_id=True)["_rowid"]).astype(np.int64)


# --- pieces of columns, made of what is read


def _numbers(column: pa.ChunkedArray) -> Array:
    return np.array(pc.fill_null(column, MISSING).to_numpy())


def _strings(column: pa.ChunkedArray) -> Strings:
    coded = pc.fill_null(column, "").combine_chunks().dictionary_encode()
    coded = coded.combine_chunks() if isinstance(coded, pa.ChunkedArray) else coded
    return Strings(coded.indices.to_numpy().astype(np.int32), coded.dictionary.to_pylist())


def _some(column: Strings, rows: slice) -> Strings:
    """A part of a column, with the strings that are in it."""
    codes = column.codes[rows]
    present = np.bincount(codes, minlength=len(column.names)) > 0
    names = [name for name, there in zip(column.names, present.tolist(), strict=True) if there]
    return Strings((np.cumsum(present) - 1).astype(np.int32)[codes], names)


def _text(column: pa.ChunkedArray) -> pa.Array:
    # A slice of what was read would keep all of it.
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _digests(column: pa.ChunkedArray) -> NDArray[np.uint8]:
    """(rows, 16) of 32 hexadecimal digits each; zeros where there are none."""
    text = "".join(pc.fill_null(column, "0" * 32).to_pylist())
    return np.frombuffer(bytes.fromhex(text), np.uint8).reshape(-1, 16)


def _looks(column: pa.ChunkedArray) -> NDArray[np.uint64]:
    """0 where there are none."""
    return np.array(pc.fill_null(column, 0).to_numpy())


def _counts(column: pa.ChunkedArray) -> Array:
    return np.array(pc.list_value_length(column).to_numpy()).astype(np.int32)


def _lists(column: pa.ChunkedArray) -> Lists:
    offsets = np.concatenate(([0], np.cumsum(_counts(column)))).astype(np.int32)
    values = np.concatenate([np.zeros(0, np.int8), *(chunk.flatten().to_numpy() for chunk in column.chunks)])
    fits = int(values.max(initial=0)) <= np.iinfo(np.int16).max
    return Lists(offsets, values.astype(np.int16) if fits else values)


def _kinds(column: pa.ChunkedArray) -> NDArray[np.int16]:
    lists = _lists(column)
    counts = np.diff(lists.offsets)
    kinds = np.zeros(len(counts), np.int16)
    if len(lists.values):
        bits = np.left_shift(np.int16(1), lists.values.astype(np.int16))
        kinds[counts > 0] = np.bitwise_or.reduceat(bits, lists.offsets[:-1][counts > 0])
    return kinds


def _places(column: pa.ChunkedArray) -> pa.Array:
    """Where bytes lie; without a type where no row has any."""
    places = pa.concat_arrays(column.chunks)
    if places.null_count == len(places):
        return pa.nulls(len(places))
    fields = [places.type.field(number) for number in range(places.type.num_fields)]
    children = {field.name: places.field(field.name) for field in fields}
    children["object"] = children["object"].dictionary_encode()
    return pa.StructArray.from_arrays(list(children.values()), names=list(children), mask=places.is_null())


_SOURCES = {
    "width": "width",
    "height": "height",
    "size": "bytes",
    "orientation": "orientation",
    "frame": "frame",
    "state": "state",
    "split": "split",
    "format": "format",
    "import": "import_job",
    "path": "path",
    "id": "id",
    "hash": "hash",
    "look": "look",
    "annotations": "kind",
    "kinds": "kind",
    "label": "label",
    **{place: place for place in PLACES},
}
"""The column of the table that each is made of."""

_MAKERS: dict[str, Callable[[pa.ChunkedArray], Any]] = {
    **dict.fromkeys(("width", "height", "size", "orientation", "frame", "state"), _numbers),
    **dict.fromkeys(("split", "format", "import"), _strings),
    "path": _text,
    **dict.fromkeys(("id", "hash"), _digests),
    "look": _looks,
    "annotations": _counts,
    "kinds": _kinds,
    "label": _lists,
    **dict.fromkeys(PLACES, _places),
}
