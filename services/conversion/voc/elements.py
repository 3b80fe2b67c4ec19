"""The elements of many plain XML files at once, in columns.

Plain is a file of elements, texts and hardly an attribute, as tools write them. Whatever could mean more than that
(references, comments, sections, document types, name spaces, other encodings), and whatever is not well formed, makes a
file odd: it is for a real parser to read or to refuse.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from framehouse.annotations.geometry import Integers, starts

Marks = NDArray[np.bool_]
Column = NDArray[np.int32]

DEEPEST = 8
"""Levels of elements in each other."""
OPEN, CLOSE, EMPTY, PROLOG, ODD = range(5)
"""What a tag is: `<a>`, `</a>`, `<a/>`, the `<?xml …?>` that a file may begin with, or none of these."""
STEP = np.array([1, -1, 0, 0, 0], np.int32)
"""How much deeper what follows a tag of each kind is than what is before it."""
TAG = re.compile(r'<(/?)([A-Za-z_][\w.-]*)( (?!xml)[A-Za-z_][\w.-]*="[^"<&]*")? *(/?)>', re.ASCII)
FIRST = re.compile(
    r"""<\?xml version=(["'])1\.0\1( encoding=(["'])(?i:utf-8)\3)?( standalone=(["'])(yes|no)\5)? ?\?>"""
)
LESS, MORE, STRANGE = 1, 2, 3
CLASSES = bytearray(STRANGE * (byte < 32 and byte not in b"\t\n\r") for byte in range(256))
"""What each byte is; 0 for most."""
CLASSES[ord("&")], CLASSES[ord("<")], CLASSES[ord(">")] = STRANGE, LESS, MORE
CONFUSING = re.compile("[\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufffe\uffff]")
"""White space that only some take for it, and what is no character of XML."""


@dataclass(frozen=True)
class Elements:
    """All tags of some files, in the order in which they stand, in columns; a tag goes by its row."""

    odd: Marks
    """Which files are odd."""
    file: Column
    """The file of each tag."""
    kind: NDArray[np.int8]
    name: Column
    """Number of each tag's name."""
    names: list[str]
    """The names by their numbers."""
    level: NDArray[np.int8]
    """How deep each element lies, 1 for roots; the same for the tag that closes it. 0 in odd files."""
    closing: Column
    """The tag that closes each one; that of an empty one is itself."""
    _pieces: pa.Array
    """Each tag, and the text after it."""

    @property
    def files(self) -> int:
        """How many files there are."""
        return len(self.odd)

    def drop(self, files: Column) -> None:
        """Makes these files odd too."""
        self.odd[files] = True
        self.level[self.odd[self.file]] = 0

    def begin(self, level: int) -> Integers:
        """The tags that elements of a level begin with."""
        return np.flatnonzero((self.level == level) & (self.kind != CLOSE))

    def is_leaf(self, tags: Integers) -> Marks:
        """Whether there are no elements in those that begin with `tags`."""
        leaf: Marks = self.closing[tags] <= tags + 1
        return leaf

    def texts(self, tags: Integers) -> pa.Array:
        """What stands in each of these leaves, without the white space around it."""
        found = pc.ascii_trim_whitespace(self._pieces.take(pa.array(2 * tags + 1)))
        is_empty = self.kind[tags] == EMPTY
        return pc.if_else(pa.array(is_empty), "", found) if is_empty.any() else found

    def sources(self, tags: Integers) -> pa.Array:
        """The elements that begin with `tags` as they are written. None of them is in another."""
        offsets = np.frombuffer(self._pieces.buffers()[1], np.int32)
        bounds = np.stack([offsets[2 * tags], offsets[2 * self.closing[tags] + 1]], axis=1).reshape(-1)
        return _strings(self._pieces.buffers()[2], bounds).take(pa.array(np.arange(0, len(bounds), 2)))


def find(files: Sequence[bytes], known: Sequence[str]) -> Elements:
    """The elements of files that have no white space around them. `known` are the first names of elements."""
    text = b"".join(files)
    if b"\r" in text:
        # As XML has it.
        files = [data.replace(b"\r\n", b"\n").replace(b"\r", b"\n") for data in files]
        text = b"".join(files)
    odd = np.zeros(len(files), bool)
    if not text.isascii():
        odd[:] = [not data.isascii() and _is_confusing(data) for data in files]
    file, bounds = _brackets(text, starts(np.fromiter(map(len, files), np.int64, len(files))), odd)
    pieces = _strings(pa.py_buffer(text), bounds)
    kind, name, names = _meanings(pieces, known)
    prologs = np.flatnonzero(kind == PROLOG)
    if len(prologs):
        after = pc.ascii_trim_whitespace(pieces.take(pa.array(2 * prologs + 1)))
        odd[file[prologs[pc.not_equal(after, "").to_numpy(zero_copy_only=False)]]] = True
    level = _levels(file, kind, odd)
    closing = np.arange(len(file), dtype=np.int32)
    inside = np.flatnonzero((level > 0) & (kind != EMPTY)).astype(np.int32)
    # Those of one level open and close in turn.
    inside = inside[np.argsort(level[inside], kind="stable")]
    opens, closes = inside[::2], inside[1::2]
    closing[opens] = closes
    result = Elements(odd, file, kind, name, names, level, closing, pieces)
    result.drop(file[opens[name[opens] != name[closes]]])
    return result


def _is_confusing(data: bytes) -> bool:
    try:
        return CONFUSING.search(data.decode()) is not None
    except UnicodeDecodeError:
        return True


def _strings(text: pa.Buffer, bounds: Integers | Column) -> pa.Array:
    """What lies between each of `bounds` and the next one; one string at least."""
    offsets = np.append(bounds, bounds[-1:]).astype(np.int32) if len(bounds) < 2 else bounds.astype(np.int32)
    return pa.StringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), text)


def _brackets(text: bytes, begins: Integers, odd: Marks) -> tuple[Column, Integers]:
    """The file of each tag, and where each tag and each text after one begins; the end of the last one at the end.

    Only of files in which every other bracket is a `<`, and nothing stands outside.
    """
    marks = np.frombuffer(text.translate(CLASSES), np.uint8)
    at = np.flatnonzero(marks != 0)  # of truths it is several times as fast as of numbers
    first = np.searchsorted(at, begins)
    counts = np.diff(first)
    file = np.repeat(np.arange(len(odd), dtype=np.int32), counts)
    expected = LESS + ((np.arange(len(at)) - np.repeat(first[:-1], counts)) & 1)
    odd[file[marks[at] != expected]] = True
    odd[counts % 2 == 1] = True
    odd[counts == 0] = True
    rest = np.flatnonzero(~odd)
    odd[rest] = (at[first[rest]] != begins[rest]) | (at[first[rest + 1] - 1] != begins[rest + 1] - 1)
    if odd.any():
        kept = ~odd[file]
        at, file = at[kept], file[kept]
    at[1::2] += 1
    return file[::2], np.append(at, len(text))


def _meanings(pieces: pa.Array, known: Sequence[str]) -> tuple[NDArray[np.int8], Column, list[str]]:
    """Kind and name of each tag, and all names."""
    tags = pieces.take(pa.array(np.arange(0, len(pieces) - 1, 2))).dictionary_encode()
    numbers = {name: i for i, name in enumerate(known)}
    meanings = [_meaning(tag) for tag in tags.dictionary.to_pylist()]
    kinds = np.array([kind for kind, _ in meanings], np.int8)
    names = np.array([numbers.setdefault(name, len(numbers)) for _, name in meanings], np.int32)
    code = tags.indices.to_numpy()
    return kinds[code], names[code], list(numbers)


def _meaning(tag: str) -> tuple[int, str]:
    match = TAG.fullmatch(tag)
    if match is None:
        return PROLOG if FIRST.fullmatch(tag) else ODD, ""
    closes, name, attribute, ends = match.groups()
    if closes:
        return ODD if attribute or ends else CLOSE, name
    return EMPTY if ends else OPEN, name


def _levels(file: Column, kind: NDArray[np.int8], odd: Marks) -> NDArray[np.int8]:
    """The level of each tag, 0 in files that have more than one root, or anything beside it."""
    first = np.flatnonzero(np.diff(file, prepend=-1))
    last = np.append(first, len(file))[1:] - 1
    depth = np.cumsum(STEP[kind], dtype=np.int32)
    depth -= np.repeat(np.append(np.int32(0), depth)[first], last - first + 1)
    ends = np.zeros(len(file), bool)
    ends[last] = True
    is_prolog = kind == PROLOG
    wrong = (depth < 1) != ends
    if is_prolog.any():
        begins = np.zeros(len(file), bool)
        begins[first] = True
        wrong = np.where(is_prolog, ~begins | ends, wrong)
    level = depth + (kind != OPEN)
    odd[file[wrong | (depth < 0) | (kind == ODD) | (level > DEEPEST)]] = True
    return np.where(odd[file] | is_prolog, 0, level).astype(np.int8)
