"""Archives of every kind against a real S3 server: told apart, indexed, and where they are compressed laid out anew."""

import gzip
import io
import random
import tarfile
import uuid
import zipfile
from collections.abc import Iterator

import pyarrow as pa
import pytest

from framehouse.runtime import errors
from framehouse.runtime.config import Settings
from framehouse.store import repack
from framehouse.store.bucket import Bucket
from framehouse.store.packs import read_entries
from framehouse.store.sources import index_archive

FILES = {f"images/{i}.jpg": random.Random(i).randbytes(size) for i, size in enumerate((10, 400_000, 0, 300_000))}
FILES["labels/1.txt"] = b"0 0.5 0.5 1 1\n"


@pytest.fixture
def key(bucket: Bucket) -> Iterator[str]:
    """Where a test uploads to."""
    place = f"test/{uuid.uuid4().hex}/upload"
    yield place
    bucket.remove_prefix(place)


def tar_of(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def packed(data: bytes, codec: str) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, codec) as stream:
        stream.write(data)
    return bytes(sink.getvalue())


def contents(bucket: Bucket, table: pa.Table) -> dict[str, bytes]:
    paths = table["path"].to_pylist()
    found = {paths[i]: entry for i, entry in read_entries(bucket, table)}
    assert not any(entry.damage for entry in found.values())
    return {path: entry.data for path, entry in found.items()}


def reason(bucket: Bucket, key: str, data: bytes, limits: Settings | None = None) -> str:
    bucket.put(key, data)
    with pytest.raises(errors.InvalidArgument) as failure:
        index_archive(bucket, key, limits or Settings())
    assert list(bucket.keys(key)) == [key]
    return failure.value.reason


def test_a_plain_tar_stays_where_it_is(bucket: Bucket, key: str) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("a.txt", "a")
    files = {"large.bin": bytes(2 << 20), **FILES, "z/inner.zip": inner.getvalue()}
    bucket.put(key, tar_of(files))
    table, _ = index_archive(bucket, key, Settings())
    assert contents(bucket, table) == files
    assert list(bucket.keys(key)) == [key]


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_a_compressed_tar_is_laid_out_the_same_each_time(
    bucket: Bucket, key: str, codec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repack, "PACK_SIZE", 500_000)
    bucket.put(key, packed(tar_of({"../escapes": b"", **FILES}), codec))
    progress: list[int] = []
    table, issues = index_archive(bucket, key, Settings(), progress.append)
    assert contents(bucket, table) == FILES
    assert (progress, len(issues)) == ([1, 2, 3, 4, 5, 6], 1)
    packs = [f"{key}-0000", f"{key}-0001"]
    assert table["object"].unique().to_pylist() == packs
    first = [bucket.get(pack) for pack in packs]

    again, issues = index_archive(bucket, key, Settings(), progress.append)
    assert (again.equals(table), len(issues), len(progress)) == (True, 1, 6)
    bucket.remove(packs[1:])
    again, _ = index_archive(bucket, key, Settings())
    assert (again.equals(table), [bucket.get(pack) for pack in packs]) == (True, first)


def test_two_compressed_pieces_are_one_tar(bucket: Bucket, key: str) -> None:
    data = tar_of(FILES)
    bucket.put(key, gzip.compress(data[:1000]) + gzip.compress(data[1000:]))
    assert contents(bucket, index_archive(bucket, key, Settings())[0]) == FILES
    frame = b"\x50\x2a\x4d\x18\3\0\0\0abc"  # one to be skipped
    bucket.put(f"{key}2", frame + packed(data, "zstd"))
    assert contents(bucket, index_archive(bucket, f"{key}2", Settings())[0]) == FILES


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_what_fails_leaves_nothing(bucket: Bucket, key: str, codec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repack, "PACK_SIZE", 1000)
    tar = tar_of(FILES)
    whole = packed(tar, codec)
    assert reason(bucket, key, whole[: len(whole) // 2]) == "ARCHIVE_TRUNCATED"
    assert reason(bucket, key, whole[:-1]) == "ARCHIVE_TRUNCATED"
    assert reason(bucket, key, packed(tar[:-10240], codec)) == "ARCHIVE_TRUNCATED"
    assert reason(bucket, key, whole[:20] + b"damage" + whole[26:]) in ("ARCHIVE_DAMAGED", "ARCHIVE_UNKNOWN")
    assert (
        reason(bucket, key, packed(tar_of({"a": b"a", "bomb": bytes(64 << 20)}), codec)) == "ARCHIVE_EXPANDS_TOO_MUCH"
    )
    assert reason(bucket, key, whole, Settings(max_archive_bytes=len(tar) - 1)) == "ARCHIVE_TOO_LARGE"
    assert reason(bucket, key, whole, Settings(max_archive_entries=3)) == "ARCHIVE_TOO_MANY_ENTRIES"
    assert reason(bucket, key, packed(b"a,b\n1,2\n", codec)) == "ARCHIVE_UNKNOWN"
    assert reason(bucket, key, packed(b"", codec)) == "ARCHIVE_EMPTY"


def test_a_cancelled_job_leaves_nothing(bucket: Bucket, key: str) -> None:
    bucket.put(key, packed(tar_of(FILES), "gzip"))

    def cancel(done: int) -> None:
        if done == 3:
            raise errors.Cancelled("the job was cancelled")

    with pytest.raises(errors.Cancelled):
        index_archive(bucket, key, Settings(), cancel)
    assert list(bucket.keys(key)) == [key]
