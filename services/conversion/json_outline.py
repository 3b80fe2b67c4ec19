"""The outline of a JSON file of any size, found in one pass and constant memory: where its members lie.

Only brackets, quotes and colons are looked at, with NumPy, at some 700 MB a second; what lies between is checked by
whoever decodes it. So a file of gigabytes is cut into parts that can be decoded apart.
"""

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from framehouse.annotations.geometry import Integers

QUOTE, COLON, OPEN, CLOSE = b'":{}'
"""What marks are; square brackets count as curly ones."""

SLICE = 256 << 10
"""Bytes that are looked at together: what is made of them stays in the processor's cache."""

MAX_MEMBERS = 1000
"""Of the outermost object; a file with more is none that we look for."""
MAX_KEY = 1 << 10
"""Bytes of a string in the outermost object that are kept: a key that we look for has a few."""


class Span(NamedTuple):
    """A piece of the file."""

    start: int
    end: int
    line: int
    """Line that it begins in, from 1."""


class Malformed(ValueError):
    """The file is no JSON."""

    def __init__(self, text: str, line: int) -> None:
        super().__init__(text)
        self.line = line


@dataclass
class Outline:
    """Feed it the file in chunks, then ask."""

    members: dict[str, Span] = field(default_factory=dict)
    """Values of the outermost object, by key; only arrays and objects that have ended."""
    keys: list[str] = field(default_factory=list)
    """Keys of the outermost object so far."""
    cuts: list[Span] = field(default_factory=list)
    """Gaps between two objects in an array of the outermost object, at least one in each SLICE that has any."""
    begins: list[int] = field(default_factory=list)
    """Bytes that can be fetched without those before them, ascending: the best places to cut at."""
    position: int = 0
    line: int = 1
    _breaks: int = 0
    """Ends of lines in what is looked at."""
    _depth: int = 0
    _in_string: bool = False
    _held: bytes = b""
    _key: str = ""
    _string: bytearray = field(default_factory=bytearray)
    _open: tuple[int, int] = (0, 0)

    def feed(self, chunk: bytes) -> None:
        """Takes the next bytes of the file. Raises Malformed."""
        for start in range(0, len(chunk), SLICE):
            self._feed(chunk[start : start + SLICE])

    def _feed(self, chunk: bytes) -> None:
        chunk = self._held + chunk
        # A backslash and what it escapes must meet in one chunk. Those before it escape each other.
        self._held = b"\\" * ((len(chunk) - len(chunk.rstrip(b"\\"))) % 2)
        if self._held:
            chunk = chunk[: -len(self._held)]
        self._breaks = chunk.count(b"\n") if b"\n" in chunk else 0  # most files are one line, and looking is quicker
        at, codes, depths = marks(chunk, self._depth, self._in_string)
        lowest = int(depths.min()) if len(depths) else self._depth
        if lowest < 0:
            raise Malformed(
                "a bracket is closed that was never opened", self._line_at(chunk, at[np.argmax(depths < 0)])
            )
        if min(self._depth, lowest) < 2:
            self._find_members(chunk, *marks(chunk, self._depth, self._in_string, colons=True))
        self._find_cut(chunk, at, codes, depths)
        if len(at):
            self._depth = int(depths[-1])
        self._in_string ^= bool(np.count_nonzero(codes == QUOTE) & 1)
        self.position += len(chunk)
        self.line += self._breaks

    def close(self) -> None:
        """Says that the file ended. Raises Malformed where it should not have."""
        if self._in_string or self._depth:
            what = "a string" if self._in_string else f"{self._depth} brackets"
            raise Malformed(f"the file ends with {what} still open; it is cut off", self.line)

    def _find_members(self, chunk: bytes, at: Integers, codes: NDArray[np.uint8], depths: Integers) -> None:
        # Depth is that after the mark, so what happens in the outermost object has 1, or 2 where a value is opened.
        outer = np.flatnonzero((depths == 1) | ((depths == 2) & (codes == OPEN)))
        if len(outer) > 8 * MAX_MEMBERS or len(self.members) > MAX_MEMBERS:
            outer = outer[:0]
        inside, begin = self._in_string and self._depth == 1, 0
        for i in outer.tolist():
            place, mark = int(at[i]), int(codes[i])
            if mark == QUOTE:
                if inside:
                    self._string += chunk[begin : min(place, begin + MAX_KEY)]
                else:
                    self._string.clear()
                    begin = place + 1
                inside = not inside
            elif mark == COLON:
                self._key = _text(bytes(self._string))
                if len(self.keys) <= 2 * MAX_MEMBERS:
                    self.keys.append(self._key)
            elif mark == OPEN and depths[i] == 2:
                self._open = (self.position + place, self._line_at(chunk, place))
            elif mark == CLOSE:
                start, line = self._open
                self.members[self._key] = Span(start, self.position + place + 1, line)
        if inside:
            self._string += chunk[begin : begin + MAX_KEY]
            del self._string[MAX_KEY:]

    def _find_cut(self, chunk: bytes, at: Integers, codes: NDArray[np.uint8], depths: Integers) -> None:
        closed = np.flatnonzero((codes == CLOSE) & (depths == 2))
        if not len(closed):
            return
        first = int(closed[0])
        opened = first + 1
        if opened < len(at) and codes[opened] == OPEN and depths[opened] == 3:
            place = int(at[opened])
            cut = Span(self.position + int(at[first]) + 1, self.position + place, self._line_at(chunk, place))
            self.cuts.append(cut)

    def _line_at(self, chunk: bytes, place: int) -> int:
        return self.line + (chunk.count(b"\n", 0, place) if self._breaks else 0)

    def parts(self, name: str, size: int) -> list[Span]:
        """Cuts the array that is member `name` into pieces of whole elements, some `size` bytes each, no brackets."""
        member = self.members[name]
        result: list[Span] = []
        start, line = member.start + 1, member.line
        wanted = self._wanted(start, size)
        for cut in self.cuts:
            if cut.start >= wanted and cut.end < member.end:
                result.append(Span(start, cut.start, line))
                start, line = cut.end, cut.line
                wanted = self._wanted(start, size)
        return [*result, Span(start, member.end - 1, line)]

    def _wanted(self, start: int, size: int) -> int:
        """Where a piece of some `size` bytes is best cut: where fetching of the next one can begin, if that is near."""
        begin = self.begins[bisect_right(self.begins, start + size + size // 4) - 1] if self.begins else 0
        return begin if begin > start + size // 4 else start + size


def marks(
    chunk: bytes, depth: int = 0, in_string: bool = False, *, colons: bool = False
) -> tuple[Integers, NDArray[np.uint8], Integers]:
    """Quotes, and brackets outside of strings: where they are, what they are, and the depth after each. With `colons`
    those outside of strings too.
    """
    data = np.frombuffer(chunk, np.uint8)
    # One bit more makes curly brackets of square ones: some quick passes instead of a slow one.
    brackets = data | np.uint8(0x20)
    marked = (data == QUOTE) | (brackets == OPEN) | (brackets == CLOSE)
    if colons:
        marked |= data == COLON
    at = np.flatnonzero(marked)
    codes = brackets[at]
    quote = codes == QUOTE
    if b"\\" in chunk:
        quotes = at[quote]
        slashes = np.flatnonzero(data == ord("\\"))
        run_starts = slashes[np.diff(slashes, prepend=-2) > 1]
        before = np.isin(quotes - 1, slashes)
        run = run_starts[np.maximum(np.searchsorted(run_starts, quotes, side="right") - 1, 0)]
        real = np.ones(len(at), bool)
        real[quote] = ~(before & ((quotes - run) % 2 == 1))
        at, codes = at[real], codes[real]
        quote = codes == QUOTE
    # Wraps around, which leaves odd and even as they are.
    outside = (np.cumsum(quote, dtype=np.uint8) + np.uint8(in_string)) & 1 == 0
    kept = quote | outside
    if not kept.all():
        at, codes = at[kept], codes[kept]
    steps = (codes == OPEN).astype(np.int8) - (codes == CLOSE)
    return at, codes, np.cumsum(steps, dtype=np.int64) + depth


def elements(piece: bytes) -> list[tuple[int, int]]:
    """Where each object of a piece of an array lies."""
    at, codes, depths = marks(piece)
    opened = at[(codes == OPEN) & (depths == 1)]
    closed = at[(codes == CLOSE) & (depths == 0)] + 1
    return list(zip(opened.tolist(), closed.tolist(), strict=False))


def error_line(data: bytes, first_line: int, error: Exception) -> int:
    """Line of a file that a msgspec error speaks of, for data that begins in `first_line`."""
    found = re.search(r"\(byte (\d+)\)", str(error))
    return first_line + data.count(b"\n", 0, int(found[1]) if found else len(data))


def _text(key: bytes) -> str:
    try:
        return str(msgspec.json.decode(b'"' + key + b'"'))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return key.decode(errors="replace")
