"""The manifest of an archive: what it is of, and each of its files with size and checksums, as one JSON document.

It is packed while it grows and spooled to disk where it is large, so that a million files take no memory.
"""

import json
import tempfile
import zlib
from collections.abc import Mapping
from typing import IO

MANIFEST = "framehouse-manifest.json"
"""Its path in the archive. Imports leave such a file alone."""

SPOOL = 1 << 20
"""Bytes held in memory."""
LINES = 64 << 10
"""Bytes of lines that are packed at once."""
LINE_BYTES = 120
"""Of the line of a file at most, beside its path."""


class Manifest:
    """A manifest that is being written: `facts` stand at its beginning."""

    def __init__(self, facts: Mapping[str, object]) -> None:
        self.crc32 = 0
        self.size = 0
        """Bytes of the document."""
        self._count = 0
        self._packer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
        self._packed: IO[bytes] = tempfile.SpooledTemporaryFile(SPOOL)  # noqa: SIM115  # `close` it
        head = json.dumps(facts, ensure_ascii=False, separators=(",", ":")).removesuffix("}")
        self._lines = [f'{head}{"," if facts else ""}"files":['.encode()]
        self._held = len(self._lines[0])

    def add(self, path: str, size: int, crc32: int, hash: str | None) -> None:
        """One more file; `hash` is its XXH3-128, where it is known."""
        known = f',"xxh3_128":"{hash}"' if hash else ""
        name = json.dumps(path, ensure_ascii=False)
        comma = "," if self._count else ""
        line = f'{comma}\n{{"path":{name},"size":{size},"crc32":"{crc32:08x}"{known}}}'.encode()
        self._count += 1
        self._lines.append(line)
        self._held += len(line)
        if self._held > LINES:
            self._pack()

    def end(self) -> tuple[IO[bytes], int]:
        """The whole document, deflated, as a file at its beginning; and the bytes of that."""
        self._lines.append(f'\n],"file_count":{self._count}}}\n'.encode())
        self._pack()
        self._packed.write(self._packer.flush())
        stored = self._packed.tell()
        self._packed.seek(0)
        return self._packed, stored

    def close(self) -> None:
        """Frees what it is spooled to."""
        self._packed.close()

    def _pack(self) -> None:
        data = b"".join(self._lines)
        self.crc32 = zlib.crc32(data, self.crc32)
        self.size += len(data)
        self._packed.write(self._packer.compress(data))
        self._lines, self._held = [], 0
