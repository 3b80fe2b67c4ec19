"""Points at which a deflate stream can be read from, found while it is unpacked: where its blocks begin.

A block needs nothing of what lies before but the last 32 KiB of what was unpacked (RFC 1951). The inflater does not say
where blocks begin, so it is guessed from what a header of a block with codes of its own looks like, and a guess counts
only where unpacking from there gives, byte by byte, what unpacking from the start gave.
"""

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np
from isal import isal_zlib as zlib  # twice as fast
from numpy.typing import NDArray

from framehouse.annotations.geometry import Integers

WINDOW = 32 << 10
"""Bytes that a block may refer back to."""
SLICE = 16 << 10
"""Packed bytes that are looked through together."""
HEADER = 10
"""Bytes that a header is looked for in."""
TRIED = 2 << 10
"""Packed bytes that a guess is tried on first: most are found wrong in a few."""
MOST_GUESSES = 2000
"""Guesses that are tried so of packed bytes; files have up to 1,000 where one of them is right."""
MOST_TRIED = 8
"""Of them tried on all of the packed bytes: the right one is mostly the first, unless somebody made up others."""
ENOUGH = 1 << 10
"""Bytes that have to come out of a guess, lest they agree by chance."""

Field = tuple[int, int]
"""A number, and the bits that it is written with, the lowest first."""
FIXED: list[Field] = [(0b010, 3), (0, 7)]
"""An empty block with the codes that all know: 10 bits."""
OWN: list[Field] = [
    *((0b100, 3), (0, 5), (0, 5), (14, 4)),  # an empty block with codes of its own: 257 and 1, and 18 lengths
    *((1 if place in (2, 17) else 0, 3) for place in range(18)),  # of which 18, many zeros, and 1 are used
    *((0, 1), (1, 1), (127, 7), (1, 1), (106, 7), (0, 1)),  # 1, 138 zeros and 117, 1: the first code and the last
    *((0, 1), (1, 1)),  # 1: of distances; and the last code, which ends the block
]
"""Another one, of 91 bits."""

HEADS = np.array([byte & 7 == 0b100 and byte >> 3 <= 29 for byte in range(256)])
"""First eight bits of a block that is not the last one, with codes of its own, and how many of its codes are used."""
_LENGTHS = np.arange(1 << 12)[:, None] >> np.array([0, 3, 6, 9]) & 7
SHARES = np.where(_LENGTHS > 0, 128 >> _LENGTHS, 0).sum(axis=1, dtype=np.int16)
"""Which share, in 128ths, of all codes four of three bits each take, which are lengths; a block's take all."""


class Start(NamedTuple):
    """Where a block begins."""

    bit: int
    """Of the packed bytes."""
    left: int
    """Bytes that are unpacked from there on."""


def last_start(packed: bytes, window: bytes, data: bytes) -> Start | None:
    """A block that begins in `packed`, near its end; None where none is found.

    `data` is what was unpacked from `packed`, `window` the WINDOW bytes before.
    """
    known = window + data
    guesses = islice(_guesses(packed), MOST_GUESSES)
    likely = (bit for bit in guesses if _is_likely(packed, bit, window))
    for bit in islice(likely, MOST_TRIED):
        if left := _left(packed, bit, known):
            return Start(bit, left)
    return None


def inflate(packed: bytes, bit: int, window: bytes, length: int) -> bytes:
    """`length` bytes from a bit of the packed ones on, or fewer where those end; `window` is what comes before."""
    first, shift = divmod(bit, 8)
    head, filled = FILLERS[shift]
    inflater = zlib.decompressobj(-zlib.MAX_WBITS, zdict=window)
    joint = bytes(filled | byte >> shift << shift for byte in packed[first : first + 1])
    return inflater.decompress(b"".join([head, joint, memoryview(packed)[first + 1 :]]), length)


def _is_likely(packed: bytes, bit: int, window: bytes) -> bool:
    """Whether something can be unpacked from a bit on."""
    try:
        inflate(packed[: bit // 8 + TRIED], bit, window, WINDOW)
    except zlib.error:  # type: ignore[misc]  # a class, whatever its stubs say
        return False
    return True


def _left(packed: bytes, bit: int, known: bytes) -> int:
    """How many bytes at the end of `known` are unpacked from a bit on; 0 where that is no start of a block."""
    most = len(known) - WINDOW
    if most < ENOUGH:
        return 0
    try:
        # How much there is left, and hence what lies before, is only known when all is unpacked.
        left = len(inflate(packed, bit, known[:WINDOW], most))
        begin = len(known) - left
        if not ENOUGH <= left < most or inflate(packed, bit, known[begin - WINDOW : begin], left) != known[begin:]:
            return 0
    except zlib.error:  # type: ignore[misc]
        return 0
    # What repeats itself would agree wherever it begins.
    head = known[begin : begin + ENOUGH]
    return left if known.find(head, known.find(head) + 1) < 0 else 0


def _guesses(packed: bytes) -> Iterator[int]:
    """Bits at which there may be the header of a block, of the last SLICE bytes first."""
    for end in range(len(packed), 0, -SLICE):
        first = max(end - SLICE, 0)
        yield from (first * 8 + _headers(packed[first : end + HEADER])).tolist()


def _headers(packed: bytes) -> Integers:
    """Bits, ascending, at which there may be the header of a block: RFC 1951, section 3.2.7.

    Its fields from the lowest bit on: last block 1, kind 2, codes 5 and 5, lengths 4, and 3 for each of these and four
    more.
    """
    count = len(packed) - HEADER
    if count <= 0:
        return np.zeros(0, np.int64)

    def from_byte(offset: int, kind: str) -> NDArray[np.uint64]:
        return np.ndarray((count,), kind, packed, offset, strides=(1,))

    heads = from_byte(0, "<u2")
    found = [np.flatnonzero(HEADS[(heads >> shift).astype(np.uint8)]) for shift in range(8)]
    shift = np.repeat(np.arange(8, dtype=np.uint64), [len(at) for at in found])
    at = np.concatenate(found)
    fields = from_byte(1, "<u8")[at] >> shift
    kept = fields & 31 <= 29
    at, shift, fields = at[kept], shift[kept], fields[kept]
    lengths = (fields >> 5 & 15).astype(np.int64) + 4
    # Of 19 lengths at most 16 lie in this word; the last one, of codes of 15 bits, is never used in practice.
    triples = fields >> 9 & _ones(np.minimum(lengths, 16))
    share = sum(SHARES[triples >> place & 4095] for place in (0, 12, 24, 36))
    kept = (share <= 128) & (lengths < 19)
    at, shift, share, lengths = at[kept], shift[kept], share[kept], lengths[kept]
    rest = from_byte(2, "<u8")[at] >> shift >> 49 & _ones(np.maximum(lengths - 16, 0))
    whole = share + SHARES[rest] == 128
    return np.sort(at[whole] * 8 + shift[whole].astype(np.int64))


def _ones(triples: Integers) -> NDArray[np.uint64]:
    return (np.uint64(1) << (3 * triples).astype(np.uint64)) - np.uint64(1)


def _filler(bits: int) -> tuple[bytes, int]:
    """Blocks without content that end so many bits into a byte: whole bytes, and the last bits."""
    odd = bits % 2
    fields = OWN * odd + FIXED * ((bits - 3 * odd) % 8 // 2)
    value = length = 0
    for number, size in fields:
        value |= number << length
        length += size
    return (value & ((1 << length // 8 * 8) - 1)).to_bytes(length // 8, "little"), value >> length // 8 * 8


FILLERS = [_filler(bits) for bits in range(8)]
"""What makes a stream that begins at a bit of a byte begin at its first one."""
