"""Packed label files, fetched by ranges: from points in them, or from frames beside them where there are none."""

import zlib

import numpy as np
import pyarrow as pa
import pytest
from whole_way import Shelf

from framehouse.runtime.errors import FailedPrecondition, InvalidArgument
from framehouse.store.archive import INDEX_SCHEMA
from services.conversion import deflate_points, unpacked
from services.conversion.archive import Archive

TEXT = ",".join(map(str, np.random.default_rng(1).random(150_000).round(9).tolist())).encode()


def deflated(level: int = 6, strategy: int = zlib.Z_DEFAULT_STRATEGY, text: bytes = TEXT) -> bytes:
    """A text as zip files have it."""
    packer = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, strategy)
    return packer.compress(text) + packer.flush()


def archive(stored: bytes, text: bytes = TEXT) -> Archive:
    shelf = Shelf()
    shelf.put("packs/a", b"before" + stored + b"after")
    row = {"path": "a.json", "object": "packs/a", "header_offset": 0, "data_offset": 6, "stored_size": len(stored)}
    row |= {"size": len(text), "method": 8, "crc32": zlib.crc32(text)}
    return Archive(pa.Table.from_pylist([row], INDEX_SCHEMA), shelf, "")


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacked, "part_bytes", lambda total: 100_000)
    monkeypatch.setattr(unpacked, "NEXT", 100)
    monkeypatch.setattr("services.conversion.archive.PIECE", 50_000)


def check(files: Archive, key: str, offset: int) -> None:
    """That the file can be fetched by ranges, wherever these begin and end."""
    rng = np.random.default_rng(2)
    ends = np.sort(rng.integers(0, len(TEXT), (20, 2))).tolist()
    for begin, end in [(0, len(TEXT)), (0, 1), (len(TEXT) - 1, len(TEXT)), (5, 5), *ends]:
        assert unpacked.fetch(files.bucket, key, offset + begin, end - begin) == TEXT[begin:end]


@pytest.mark.parametrize("level", [1, 6])
def test_a_packed_file_is_read_where_it_lies(level: int) -> None:
    files, seen = archive(deflated(level)), []
    key, offset, begins = unpacked.unpacked(files, 0, "labels", seen.append)
    assert b"".join(seen) == TEXT
    assert key == "labels.points"
    assert len(files.bucket.objects[key]) > 5 * deflate_points.WINDOW  # it has several points
    assert len(begins) > 5
    assert max(np.diff(begins)) < 300_000
    check(files, key, offset)


def test_a_file_without_points_is_unpacked_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacked, "IN_VAIN", 2)
    monkeypatch.setattr(unpacked, "FRAME", 200_000)
    files, seen = archive(deflated(strategy=zlib.Z_FIXED)), []
    key, offset, _ = unpacked.unpacked(files, 0, "labels", seen.append)
    assert b"".join(seen) == TEXT
    assert key == "labels.frames"
    check(files, key, offset)


def test_what_repeats_itself_is_read_where_it_was() -> None:
    text = (
        b'{"a": 1, "b": [0,0,0,0]},\n' * 400_000 + b"the end"
    )  # so short when packed that a piece unpacks to more than is held
    files = archive(deflated(text=text), text)
    key, offset, _ = unpacked.unpacked(files, 0, "labels", lambda _: None)
    for begin in range(len(text) % 500_000, len(text), 500_000):
        assert unpacked.fetch(files.bucket, key, offset + begin, 500_000) == text[begin:][:500_000]


@pytest.mark.parametrize(("size", "said"), [(1, "instead of"), (-1, "more than")])
def test_a_file_of_another_size_than_announced_is_damaged(size: int, said: str) -> None:
    files = archive(deflated() + b"what comes after the end is not looked at", TEXT)
    assert b"".join(files.stream(0)) == TEXT
    sizes = pa.array([len(TEXT) + size])
    files = Archive(files.entries.set_column(5, "size", sizes), files.bucket, "")
    with pytest.raises(InvalidArgument, match=f"a.json is damaged: it unpacks to .*{said}"):
        list(files.stream(0))


def test_an_archive_that_is_not_what_it_was_is_told() -> None:
    files = archive(deflated())
    key, offset, _ = unpacked.unpacked(files, 0, "labels", lambda _: None)
    files.bucket.put("packs/a", b"before")
    with pytest.raises(FailedPrecondition, match="is not what it was"):
        unpacked.fetch(files.bucket, key, offset + 500_000, 1000)
    files.bucket.put("packs/a", b"\xff" * 1_000_000)
    with pytest.raises(FailedPrecondition, match="is not what it was"):
        unpacked.fetch(files.bucket, key, offset + 500_000, 1000)


def test_what_only_looks_like_a_block_is_none() -> None:
    noise = np.random.default_rng(3).bytes(100_000)
    assert deflate_points.last_start(noise, TEXT[:32768], TEXT[32768:]) is None
