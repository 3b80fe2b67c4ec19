"""The manifest of an archive: what it is of, and each of its files with size and checksums, as one JSON document.

It is packed while it grows and spooled to disk where it is large, so that a million files take no memory.
"""

import json
import tempfile
from collections.abc import Mapping
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from isal import isal_zlib
from numpy.typing import NDArray

MANIFEST = "framehouse-manifest.json"
"""Its path in the archive. Imports leave such a file alone."""

SPOOL = 1 << 20
"""Bytes held in memory."""
LEVEL = 1
"""Of DEFLATE by ISA-L."""
ESCAPED = r'["\\\x00-\x1f]'
"""Characters that JSON has to write otherwise."""
DIGITS = np.frombuffer(b"0123456789abcdef", np.uint8)
LINE_BYTES = 120
"""Of the line of a file at most, beside its path."""


class Manifest:
    """A manifest that is being written: `facts` stand at its beginning."""

    def __init__(self, facts: Mapping[str, object]) -> None:
        self.crc32 = 0
        self.size = 0
        """Bytes of the document."""
        self._count = 0
        self._packer = isal_zlib.compressobj(LEVEL, isal_zlib.DEFLATED, -isal_zlib.MAX_WBITS)
        self._packed: IO[bytes] = tempfile.SpooledTemporaryFile(SPOOL)  # noqa: SIM115  # `close` it
        head = json.dumps(facts, ensure_ascii=False, separators=(",", ":")).removesuffix("}")
        self._pack(f'{head}{"," if facts else ""}"files":['.encode())

    def add(self, files: pa.Table) -> None:
        """More files: path, size, crc32, and hash, which is the XXH3-128 where it is known and null else."""
        if not files.num_rows:
            return
        paths, hashes = (files[name].combine_chunks() for name in ("path", "hash"))
        known = pc.fill_null(pc.binary_join_element_wise(',"xxh3_128":"', hashes, '"', ""), "")
        lines = pc.binary_join_element_wise(
            *('{"path":', _quoted(paths), ',"size":', pc.cast(files["size"].combine_chunks(), pa.string())),
            *(',"crc32":"', _hexadecimal(files["crc32"].to_numpy()), '"', known, "}"),
            "",
        )
        whole = pa.ListArray.from_arrays(pa.array([0, len(lines)], pa.int32()), lines)
        self._pack(b",\n" if self._count else b"\n")
        self._pack(pc.binary_join(whole, ",\n")[0].as_buffer())
        self._count += files.num_rows

    def end(self) -> tuple[IO[bytes], int]:
        """The whole document, deflated, as a file at its beginning; and the bytes of that."""
        self._pack(f'\n],"file_count":{self._count}}}\n'.encode())
        self._packed.write(self._packer.flush())
        stored = self._packed.tell()
        self._packed.seek(0)
        return self._packed, stored

    def close(self) -> None:
        """Frees what it is spooled to."""
        self._packed.close()

    def _pack(self, data: bytes | pa.Buffer) -> None:
        self.crc32 = isal_zlib.crc32(data, self.crc32)
        self.size += len(data)
        self._packed.write(self._packer.compress(data))


def _quoted(texts: pa.Array) -> pa.Array:
    """Texts as JSON has them."""
    if pc.any(pc.match_substring_regex(texts, ESCAPED)).as_py():
        return pa.array([json.dumps(text, ensure_ascii=False) for text in texts.to_pylist()])
    return pc.binary_join_element_wise('"', texts, '"', "")


def _hexadecimal(numbers: NDArray[np.uint32]) -> pa.Array:
    """Numbers as eight digits each."""
    places = np.arange(28, -4, -4, dtype=np.uint32)
    digits = DIGITS[numbers[:, None] >> places & 15]
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(8), len(numbers), [None, pa.py_buffer(digits)]).cast(
        pa.string()
    )
