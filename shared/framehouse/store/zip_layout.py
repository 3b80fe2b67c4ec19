"""How a zip is laid out: the headers of files, their directory, and its end, by APPNOTE.TXT 6.3.10.

Zip64 is used only where a number needs it. Many files are laid out at once, as columns.
"""

import struct
from collections.abc import Sequence
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from framehouse.runtime import errors

LIMIT32 = 0xFFFFFFFF
LIMIT16 = 0xFFFF
DOS_DATE = 1 << 5 | 1
"""1980-01-01, the first day that a zip can name."""
UTF8 = 1 << 11
MADE_BY_UNIX = 3 << 8
REGULAR_FILE = 0o100644 << 16
ZIP64_VERSION = 45
VERSION = 20

COMMON = [
    *(("needed", "<u2"), ("flags", "<u2"), ("method", "<u2"), ("time", "<u2"), ("date", "<u2"), ("crc32", "<u4")),
    *(("stored_size", "<u4"), ("size", "<u4"), ("name", "<u2"), ("extra", "<u2")),
]
LOCAL = np.dtype([("magic", "S4"), *COMMON])
CENTRAL = np.dtype(
    [
        *(("magic", "S4"), ("made_by", "<u2"), *COMMON, ("comment", "<u2"), ("disk", "<u2"), ("internal", "<u2")),
        *(("external", "<u4"), ("offset", "<u4")),
    ]
)
END = struct.Struct("<4sHHHHIIH")
END64 = struct.Struct("<4sQHHIIQQQQ")
LOCATOR64 = struct.Struct("<4sIQI")

Integers = NDArray[np.int64]


class Layout:
    """Lays files out one after the other and writes their directory as it goes."""

    def __init__(self, directory: IO[bytes]) -> None:
        self.count = 0
        self._directory = directory
        self._position = 0

    def header(self, path: str, stored_size: int, size: int, method: int, crc: int) -> bytes:
        """The local header of the next file, with the final checksum and sizes in it."""
        numbers = (np.array([number], np.int64) for number in (stored_size, size, method, crc))
        header: bytes = self.headers(pa.array([path]), *numbers)[0].as_py()
        return header

    def headers(
        self, paths: pa.Array, stored_size: Integers, size: Integers, method: Integers, crc: Integers
    ) -> pa.Array:
        """The local headers of the next files, which follow each other: binary."""
        lengths = pc.binary_length(paths).to_numpy().astype(np.int64)
        if lengths.max(initial=0) > LIMIT16:
            path = paths[int(lengths.argmax())].as_py()
            raise errors.FailedPrecondition(
                f"the path {path[:100]}… is too long for a zip", reason="ARCHIVE_PATH_TOO_LONG"
            )
        large = (size >= LIMIT32) | (stored_size >= LIMIT32)
        wide = [(large, size), (large, stored_size)]
        local = np.zeros(len(paths), LOCAL)
        local["magic"], local["flags"], local["method"], local["date"] = b"PK\3\4", UTF8, method, DOS_DATE
        local["needed"] = np.where(large, ZIP64_VERSION, VERSION)
        local["crc32"], local["name"] = crc, lengths
        local["stored_size"], local["size"] = (np.where(large, LIMIT32, one) for one in (stored_size, size))
        extra = _zip64(wide)
        local["extra"] = pc.binary_length(extra)
        names = paths.cast(pa.binary())
        headers = _joined(local, names, extra)

        taken = pc.binary_length(headers).to_numpy() + stored_size
        position = self._position + np.cumsum(taken) - taken
        far = position >= LIMIT32
        central = np.zeros(len(paths), CENTRAL)
        for name, _ in COMMON:
            central[name] = local[name]
        extra = _zip64([*wide, (far, position)])
        central["magic"], central["extra"], central["external"] = b"PK\1\2", pc.binary_length(extra), REGULAR_FILE
        central["needed"] = np.where(large | far, ZIP64_VERSION, VERSION)
        central["made_by"] = MADE_BY_UNIX | central["needed"]
        central["offset"] = np.where(far, LIMIT32, position)
        self._directory.write(b"".join(_joined(central, names, extra).to_pylist()))
        self._position += int(taken.sum())
        self.count += len(paths)
        return headers


def _joined(records: NDArray[np.void], names: pa.Array, extra: pa.Array) -> pa.Array:
    """Records with the names and extra fields that belong to them."""
    kind = pa.binary(records.dtype.itemsize)
    fixed = pa.FixedSizeBinaryArray.from_buffers(kind, len(records), [None, pa.py_buffer(records)])
    return pc.binary_join_element_wise(fixed.cast(pa.binary()), names, extra, b"")


def _zip64(numbers: Sequence[tuple[NDArray[np.bool_], Integers]]) -> pa.Array:
    """The extra field of each file: those of its numbers that are marked, for they do not fit their own field."""
    fields = [b""] * len(numbers[0][0])
    for i in np.flatnonzero(np.any([marks for marks, _ in numbers], axis=0)).tolist():
        values = [int(of_all[i]) for marks, of_all in numbers if marks[i]]
        fields[i] = struct.pack(f"<HH{len(values)}Q", 1, 8 * len(values), *values)
    return pa.array(fields, pa.binary())


def end_record(count: int, offset: int, size: int) -> bytes:
    """What stands after a directory of `count` files and `size` bytes at `offset`."""
    wide = b""
    if count >= LIMIT16 or offset >= LIMIT32 or size >= LIMIT32:
        made = MADE_BY_UNIX | ZIP64_VERSION
        wide = END64.pack(b"PK\6\6", END64.size - 12, made, ZIP64_VERSION, 0, 0, count, count, size, offset)
        wide += LOCATOR64.pack(b"PK\6\7", 0, offset + size, 1)
    short = min(count, LIMIT16)
    return wide + END.pack(b"PK\5\6", 0, 0, short, short, min(size, LIMIT32), min(offset, LIMIT32), 0)
