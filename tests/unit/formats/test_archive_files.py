"""Files of an archive as formats read them: whole where small, in chunks, and never more than they announced."""

import json
import random
import re

import pyarrow as pa
import pytest
from whole_way import Shelf, packed

from framehouse.runtime import errors
from framehouse.runtime.config import Settings
from framehouse.store.sources import index_archive
from services.conversion.archive import CHUNK, Archive


def archive(files: dict[str, bytes], **sizes: int) -> Archive:
    """The files, deflated; `sizes` are what the directory says of them instead of the truth, by name."""
    shelf = Shelf()
    shelf.put("packs/a", packed(files))
    table, _ = index_archive(shelf, "packs/a", Settings(max_expansion_ratio=2000))
    size = [sizes.get(row["path"], row["size"]) for row in table.to_pylist()]
    return Archive(table.set_column(table.column_names.index("size"), "size", pa.array(size)), shelf, "")


def test_a_file_of_any_size_comes_in_chunks() -> None:
    data = json.dumps(list(range(2_000_000))).encode()
    chunks = list(archive({"a": data}).stream(0))
    assert b"".join(chunks) == data
    assert max(map(len, chunks)) <= CHUNK < len(data)


def test_a_bomb_is_unpacked_no_further_than_it_announced() -> None:
    seen = 0
    with pytest.raises(errors.InvalidArgument, match="more than the 10,000,000 bytes announced") as failure:
        for chunk in archive({"a": bytes(64 << 20)}, a=10_000_000).stream(0):
            seen += len(chunk)
    assert failure.value.reason == "ENTRY_DAMAGED"
    assert seen <= 10_000_000


def test_a_file_that_is_larger_than_its_kind_can_be_is_not_read() -> None:
    with pytest.raises(errors.InvalidArgument) as failure:
        archive({"data.yaml": bytes(5000)}).read(0, limit=4000)
    assert failure.value.reason == "FILE_TOO_LARGE"


def test_extensions_are_told_as_a_pattern_tells_them() -> None:
    letters, chance = "aAtTxXjJpPgGsSoOnNdD./@[Nz0é_{", random.Random(1)
    names = ["".join(chance.choices(letters, k=chance.randrange(1, 14))) for _ in range(3000)]
    names += [".txt", "txt", "a.TXT", "x.ndjson", "é.Txt", "a.jpeg", "."]
    found = Archive(pa.table({"path": names}).slice(5), Shelf(), "")
    for extensions in (("txt",), ("ndjson", "jsonl"), ("a",), ("t", "x"), ("jpeg", "png")):
        pattern = re.compile(rf"(?s).*\.({'|'.join(extensions)})", re.IGNORECASE | re.ASCII)
        expected = [row for row, name in enumerate(names[5:]) if pattern.fullmatch(name)]
        assert expected
        assert found.with_extension(*extensions).tolist() == expected
