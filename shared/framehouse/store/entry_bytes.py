"""The bytes of one entry of an archive: where they begin, and what they unpack to, checked by what its index says.

An entry is a row of an index (INDEX_SCHEMA), as a mapping.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from isal import isal_zlib as zlib  # twice as fast

from framehouse.store.bucket import Bucket
from framehouse.store.packs import LOCAL_HEADER


class DamagedEntry(Exception):
    """What is wrong with an entry, for an issue ENTRY_DAMAGED."""


def data_start(bucket: Bucket, entry: Mapping[str, Any]) -> int:
    """Where the stored bytes of an entry begin in its object. Raises `DamagedEntry`."""
    if entry["data_offset"] >= 0:
        return int(entry["data_offset"])
    header = bucket.get_range(entry["object"], entry["header_offset"], LOCAL_HEADER)
    if len(header) < LOCAL_HEADER or not header.startswith(b"PK\3\4"):
        raise DamagedEntry("there is no entry where the archive's directory says")
    lengths = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    return int(entry["header_offset"]) + LOCAL_HEADER + lengths


def unpacked(entry: Mapping[str, Any], pieces: Iterable[bytes], most: int) -> Iterator[tuple[bytes, bytes]]:
    """The stored bytes of an entry in pieces, each with what it unpacks to, `most` bytes and never more than announced.

    Of a piece that unpacks to more than `most` bytes the rest comes with the next ones. Size and, where there is one,
    checksum are verified at the end. Raises `DamagedEntry`.
    """
    announced, expected = entry["size"], entry["crc32"]
    length = checksum = 0
    try:
        for packed, data in _inflated(pieces, most) if entry["method"] else ((piece, piece) for piece in pieces):
            if (length := length + len(data)) > announced:
                raise DamagedEntry(f"it unpacks to more than the {announced:,} bytes announced")
            checksum = zlib.crc32(data, checksum)
            yield packed, data
    except zlib.error as error:  # type: ignore[misc]  # a class, whatever its stubs say
        raise DamagedEntry(f"its bytes cannot be unpacked ({error})") from error
    if length < announced:
        raise DamagedEntry(f"it unpacks to {length:,} bytes instead of the {announced:,} announced")
    if expected is not None and checksum != expected:
        raise DamagedEntry("its bytes do not match their checksum")


def _inflated(pieces: Iterable[bytes], most: int) -> Iterator[tuple[bytes, bytes]]:
    """Deflated bytes up to the end of their stream, each with what it unpacks to, `most` bytes at most."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    for piece in pieces:
        packed = piece
        while packed:
            data = inflater.decompress(packed, most)
            rest = inflater.unconsumed_tail
            yield packed[: len(packed) - len(rest)], data
            packed = rest
        if inflater.eof:  # the inflater would gather all that comes after it
            return
    if data := inflater.flush():
        yield b"", data
