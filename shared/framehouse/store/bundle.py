"""Bundles: the files, and the pieces of files, that one step of an export contributes to the archive.

A bundle is two objects: at its key an Arrow file of one batch (BUNDLE_SCHEMA), and at the key with `.data` appended the
bytes of its pieces, one after the other. Every row is a range of some object, so an image to copy stays where it lies.
Text is packed as it is written, and never unpacked again on its way into the archive.
"""

import json
from itertools import pairwise
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from isal import isal_zlib
from numpy.typing import NDArray

from framehouse.store import deflate
from framehouse.store.bucket import Bucket, Data, MultipartWriter
from framehouse.store.frames import BatchFile, write_batches

BUNDLE_SCHEMA = pa.schema(
    [
        pa.field("path", pa.string()),  # in the archive
        # 0: the row is a whole file. From 1: a piece of a file that spans bundles; the file is all its pieces ordered
        # by section, then bundle, then row.
        pa.field("section", pa.int32()),
        pa.field("separator", pa.binary()),  # goes before the piece unless it is the first of its section in the file
        pa.field("object", pa.string()),  # key of the object that the bytes lie in
        pa.field("offset", pa.int64()),
        pa.field("stored_size", pa.int64()),  # bytes in the object
        pa.field("size", pa.int64()),  # bytes after inflating
        pa.field("method", pa.int8()),  # 0 stored, 8 deflate; pieces are always deflated (`deflate.piece`)
        pa.field("crc32", pa.uint32()),  # of the inflated bytes
        pa.field("hash", pa.string()),  # XXH3-128 of the inflated bytes, hexadecimal; null where it is not known
    ]
)
"""One row a file or a piece of a file."""

DATA_SUFFIX = ".data"
FACTS = b"framehouse.facts"
"""Key of the facts among the metadata of a bundle's schema: JSON."""

Row = tuple[str, int, bytes, str, int, int, int, int, int, str | None]


class BundleWriter:
    """Writes one bundle, in memory that grows with its rows but not with its bytes.

    Used as a context manager it closes itself at the end, and leaves nothing after an exception.
    """

    def __init__(self, bucket: Bucket, output_key: str) -> None:
        self._bucket = bucket
        self._key = output_key
        self._data_key = output_key + DATA_SUFFIX
        self._writer: MultipartWriter | None = None
        self._rows: list[Row] = []
        self._chunks: list[pa.Table] = []
        self._closed: tuple[int, int] | None = None
        self.facts: dict[str, object] = {}
        """What the manifest of the archive is to say of the dataset, as JSON has it; `bundle_facts` reads it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        elif self._writer is not None and self._closed is None:
            self._writer.__exit__(kind, error, trace)

    def file(self, path: str, data: Data) -> None:
        """Adds a whole file as it is: an image, or what is small."""
        view = memoryview(data).cast("B")
        self._add(path, 0, b"", view, view, 0)

    def files(self, paths: pa.Array | pa.ChunkedArray, data: Data, offsets: NDArray[Any]) -> None:
        """Adds n whole files of text at once, packed where that makes them smaller.

        File i is `data[offsets[i]:offsets[i + 1]]`; `offsets` has n + 1 integers.
        """
        view = memoryview(data).cast("B")
        bounds = np.asarray(offsets, np.int64)
        sizes = np.diff(bounds)
        if len(sizes) != len(paths) or (len(bounds) and (bounds[0] < 0 or bounds[-1] > len(view))) or (sizes < 0).any():
            raise ValueError(f"{len(paths)} paths and offsets {bounds!r} do not describe {len(view)} bytes")
        if not len(paths):
            return
        files = [view[first:last] for first, last in pairwise(bounds.tolist())]
        stored = [deflate.whole(file) for file in files]
        stored_sizes = np.array([len(file) for file in stored], np.int64)
        start = self._write(memoryview(b"".join(stored)))
        self._extend(
            path=paths,
            section=pa.repeat(0, len(paths)),
            separator=pa.repeat(b"", len(paths)),
            object=pa.repeat(self._data_key, len(paths)),
            offset=pa.array(start + np.cumsum(stored_sizes) - stored_sizes),
            stored_size=pa.array(stored_sizes),
            size=pa.array(sizes),
            method=pa.array(np.where(stored_sizes < sizes, deflate.METHOD, 0)),
            crc32=pa.array([isal_zlib.crc32(file) for file in files], pa.uint32()),
        )

    def piece(self, path: str, section: int, data: Data, separator: bytes = b"") -> None:
        """Adds a piece of a text file that spans bundles; `section` is 1 or more and orders the pieces."""
        if section < 1 or len(separator) > deflate.MOST_BETWEEN:
            raise ValueError("sections of a spanning file are counted from 1, and its separators are short")
        view = memoryview(data).cast("B")
        self._add(path, section, separator, view, deflate.piece(view), deflate.METHOD)

    def copies(
        self,
        paths: pa.Array | pa.ChunkedArray,
        ranges: pa.Table | pa.StructArray | pa.ChunkedArray,
        hashes: pa.Array | pa.ChunkedArray | None = None,
    ) -> None:
        """Adds n files that lie in other objects: n paths, n ranges with the fields of `schema.RANGE`, and n hashes.

        A hash is the XXH3-128 of a file, null where it is not known.
        """
        if not isinstance(ranges, pa.Table):
            chunks = ranges.chunks if isinstance(ranges, pa.ChunkedArray) else [ranges]
            # Flattened, for the fields of a sliced array begin elsewhere than the array.
            ranges = pa.Table.from_batches(
                [pa.RecordBatch.from_arrays(chunk.flatten(), names=ranges.type.names) for chunk in chunks],
                pa.schema(list(ranges.type)),
            )
        names = ("object", "offset", "stored_size", "size", "method", "crc32")
        self._extend(
            path=paths,
            section=pa.repeat(0, len(paths)),
            separator=pa.repeat(b"", len(paths)),
            **{name: ranges[name] for name in names},
            **({} if hashes is None else {"hash": hashes}),
        )

    def close(self) -> tuple[int, int]:
        """Writes what is left; answers with the rows, and the bytes they add to the archive. Safe to call twice."""
        if self._closed is None:
            if self._writer is not None:
                self._writer.__exit__(None, None, None)
            self._flush()
            table = pa.concat_tables(self._chunks) if self._chunks else BUNDLE_SCHEMA.empty_table()
            batches = table.combine_chunks().to_batches() or [pa.RecordBatch.from_pylist([], BUNDLE_SCHEMA)]
            schema = BUNDLE_SCHEMA.with_metadata({FACTS: json.dumps(self.facts)}) if self.facts else BUNDLE_SCHEMA
            write_batches(self._bucket, self._key, schema, batches)
            self._closed = (table.num_rows, pc.sum(table["stored_size"], min_count=0).as_py())
        return self._closed

    def _add(self, path: str, section: int, separator: bytes, data: memoryview, stored: Data, method: int) -> None:
        """Adds a row of `data`, which is written as `stored`."""
        start = self._write(stored)
        crc32 = isal_zlib.crc32(data)
        self._rows.append(
            (path, section, separator, self._data_key, start, len(stored), len(data), method, crc32, None)
        )

    def _write(self, data: Data) -> int:
        """Appends bytes to the data object; answers with where they begin in it."""
        if self._writer is None:
            self._writer = self._bucket.writer(self._data_key)
        start = self._writer.position
        self._writer.write(data)
        return start

    def _flush(self) -> None:
        if self._rows:
            columns = [list(column) for column in zip(*self._rows, strict=True)]
            self._chunks.append(pa.table(columns, schema=BUNDLE_SCHEMA))
            self._rows = []

    def _extend(self, **columns: pa.Array | pa.ChunkedArray) -> None:
        self._flush()
        columns.setdefault("hash", pa.nulls(len(columns["path"]), pa.string()))
        table = pa.table(columns).select(BUNDLE_SCHEMA.names).cast(BUNDLE_SCHEMA)
        for name in BUNDLE_SCHEMA.names:
            if name != "hash" and table[name].null_count:
                raise ValueError(f"a file of a bundle has no {name}")
        self._chunks.append(table)


def bundle_facts(bucket: Bucket, key: str) -> dict[str, object]:
    """The facts of a bundle; empty where it has none. `NotFound` where there is no bundle."""
    facts: dict[str, object] = json.loads((BatchFile(bucket, key).schema.metadata or {}).get(FACTS, b"{}"))
    return facts


def read_bundle(bucket: Bucket, key: str) -> pa.Table:
    """The rows of a bundle (BUNDLE_SCHEMA). `NotFound` where there is none."""
    return pa.Table.from_batches(BatchFile(bucket, key).batches(), BUNDLE_SCHEMA)
