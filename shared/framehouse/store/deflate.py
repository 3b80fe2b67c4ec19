"""Raw DEFLATE (RFC 1951) of what is written: of whole files, and of pieces that are packed apart and read as one.

A piece ends on a whole byte and with a block that is not the last, so that pieces follow each other as they are;
separators go between them as stored blocks, and an empty last block ends the whole.
"""

import struct

from isal import isal_zlib

from framehouse.store.bucket import Data

LEVEL = 1
"""Of ISA-L: 2 ms a megabyte for a third to two fifths of the bytes of JSON and XML. Level 0 makes small ones larger."""
SMALL = 512
"""Bytes below which to pack a file takes longer than the store takes for what is saved."""

METHOD = 8
"""Its number in a zip."""
END = b"\x03\x00"
"""What ends pieces: an empty block with fixed codes, the last one."""
MOST_BETWEEN = 0xFFFF
"""Bytes of a separator at most, as a stored block has."""


def whole(data: Data) -> Data:
    """A file packed by itself; `data` where that would not be smaller."""
    if len(data) < SMALL:
        return data
    packed = isal_zlib.compress(data, LEVEL, -isal_zlib.MAX_WBITS)
    return packed if len(packed) < len(data) else data


def piece(data: Data) -> bytes:
    """A piece of a file; nothing for nothing."""
    if not len(data):
        return b""
    packer = isal_zlib.compressobj(LEVEL, isal_zlib.DEFLATED, -isal_zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush(isal_zlib.Z_FULL_FLUSH)


def between(separator: bytes) -> bytes:
    """A separator as it goes between two pieces; nothing for nothing."""
    if not separator:
        return b""
    return struct.pack("<BHH", 0, len(separator), len(separator) ^ 0xFFFF) + separator
