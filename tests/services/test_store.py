"""The store's modules against a real S3 server."""

import io
import os
import random
import uuid
import zipfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pytest
import urllib3
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from framehouse.runtime import errors
from framehouse.runtime.config import Settings
from framehouse.store import bucket as bucket_module
from framehouse.store import issues, tables
from framehouse.store.archive_writer import write_archive
from framehouse.store.bucket import Bucket
from framehouse.store.bundle import BundleWriter, read_bundle
from framehouse.store.frames import BatchFile, write_batches
from framehouse.store.packs import read_entries
from framehouse.store.sources import index_archive

LIMITS = Settings()


@pytest.fixture
def prefix(bucket: Bucket) -> Iterator[str]:
    """A place in the bucket of the test's own."""
    place = f"test/{uuid.uuid4().hex}/"
    yield place
    bucket.remove_prefix(place)


def test_an_object_is_written_read_by_ranges_and_removed(bucket: Bucket, prefix: str) -> None:
    key = prefix + "ä b+c.txt"
    bucket.put(key, b"hello")
    assert bucket.get(key) == b"hello"
    assert bucket.get_range(key, 1, 3) == b"ell"
    assert bucket.get_range(key, 3, 100) == b"lo"
    assert bucket.get_range(key, 9, 1) == b""
    assert bucket.get_tail(key, 2) == (b"lo", 5)
    assert bucket.get_tail(key, 99) == (b"hello", 5)
    assert (bucket.size(key), bucket.size(prefix + "none")) == (5, None)
    bucket.put(prefix + "empty", b"")
    assert (bucket.get(prefix + "empty"), bucket.size(prefix + "empty")) == (b"", 0)
    assert list(bucket.keys(prefix)) == [prefix + "empty", key]
    bucket.remove([key, prefix + "none"])
    assert list(bucket.keys(prefix)) == [prefix + "empty"]


def test_an_absent_object_is_not_found(bucket: Bucket, prefix: str) -> None:
    for read in (bucket.get, bucket.open, lambda key: bucket.get_range(key, 0, 1), lambda key: BatchFile(bucket, key)):
        with pytest.raises(errors.NotFound, match="does not exist"):
            read(prefix + "none")


def test_a_key_is_taken_once_by_whoever_is_first(bucket: Bucket, prefix: str) -> None:
    with ThreadPoolExecutor(8) as threads:
        won = list(threads.map(lambda i: bucket.put_if_absent(prefix + "lock", b"%d" % i), range(8)))
    assert sum(won) == 1
    assert bucket.get(prefix + "lock") == b"%d" % won.index(True)


@pytest.mark.parametrize("size", [0, 1000, bucket_module.PART_SIZE, 2 * bucket_module.PART_SIZE + 7])
def test_a_writer_makes_one_object_of_many_writes(bucket: Bucket, prefix: str, size: int) -> None:
    data = random.Random(size).randbytes(size)
    with bucket.writer(prefix + "a") as writer:
        for start in range(0, size, 999_999):
            writer.write(memoryview(data)[start : start + 999_999])
        assert bucket.size(prefix + "a") is None
    assert writer.position == size
    assert bucket.get(prefix + "a") == data


def test_a_writer_that_fails_leaves_nothing(bucket: Bucket, prefix: str) -> None:
    with pytest.raises(KeyError), bucket.writer(prefix + "a") as writer:
        writer.write(bytes(bucket_module.PART_SIZE + 1))
        raise KeyError
    assert list(bucket.keys(prefix)) == []


def test_an_open_object_is_a_seekable_file(bucket: Bucket, prefix: str) -> None:
    data = random.Random(1).randbytes(3 << 20)
    bucket.put(prefix + "a", data)
    file, like = bucket.open(prefix + "a"), io.BytesIO(data)
    for place, length in ((0, 10), (5, 100), (2 << 20, 1 << 20), (100, 2 << 20), (3 << 20, 5), (7, -1)):
        file.seek(place)
        like.seek(place)
        assert file.read(length) == like.read(length)
    assert file.seek(-3, io.SEEK_END) == len(data) - 3
    assert io.BufferedReader(file).read() == data[-3:]


def test_signed_urls_need_no_key(bucket: Bucket, prefix: str) -> None:
    key = prefix + "a"
    assert urllib3.request("PUT", bucket.presign_put(key, 60), body=b"abc").status == 200
    answer = urllib3.request("GET", bucket.presign_get(key, 60, "grün.zip"))
    assert answer.data == b"abc"
    assert "gr%C3%BCn.zip" in answer.headers["Content-Disposition"]
    assert urllib3.request("GET", bucket.presign_get(key, 60, "a").replace("Expires=60", "Expires=61")).status == 403


def test_an_upload_in_parts_is_listed_and_completed(bucket: Bucket, prefix: str) -> None:
    key = prefix + "a"
    upload = bucket.create_multipart(key)
    sent = []
    for number, data in ((2, b"end"), (1, bytes(5 << 20))):
        answer = urllib3.request("PUT", bucket.presign_part(key, upload, number, 60), body=data)
        sent.append((number, answer.headers["ETag"]))
    listed = bucket.list_parts(key, upload)
    assert [(part.number, part.size) for part in listed] == [(1, 5 << 20), (2, 3)]
    bucket.complete_multipart(key, upload, sorted(sent))
    assert bucket.get_tail(key, 3) == (b"end", (5 << 20) + 3)
    given_up = bucket.create_multipart(key)
    bucket.abort_multipart(key, given_up)
    bucket.abort_multipart(key, given_up)
    with pytest.raises(errors.NotFound):
        bucket.complete_multipart(key, given_up, sorted(sent))


def test_batches_are_read_one_by_one(bucket: Bucket, prefix: str) -> None:
    schema = pa.schema([("i", pa.int64()), ("s", pa.dictionary(pa.int32(), pa.string()))], {"labels": "[]"})
    words = pa.array(["one", "two"])
    batches = [
        pa.record_batch([range(n), pa.DictionaryArray.from_arrays(pa.repeat(1, n).cast("int32"), words)], schema=schema)
        for n in (5000, 0, 40_000, 3)
    ]
    write_batches(bucket, prefix + "a", schema, batches)
    file = BatchFile(bucket, prefix + "a")
    assert (file.schema, file.schema.metadata, file.count) == (schema, {b"labels": b"[]"}, 4)
    assert [file.batch(i).to_pylist() for i in (2, 0)] == [batches[i].to_pylist() for i in (2, 0)]
    assert [batch.num_rows for batch in file.batches()] == [5000, 0, 40_000, 3]
    assert [batch.num_rows for batch in file.batches(1, 2)] == [0, 40_000]


def test_a_file_of_thousands_of_batches_is_read(bucket: Bucket, prefix: str) -> None:
    schema = pa.schema([("i", pa.int64())])
    write_batches(bucket, prefix + "a", schema, (pa.record_batch([[i]], schema=schema) for i in range(4000)))
    file = BatchFile(bucket, prefix + "a")
    assert (file.count, file.batch(2345)["i"].to_pylist()) == (4000, [2345])
    assert [batch["i"][0].as_py() for batch in file.batches(10, 50)] == list(range(10, 60))


def test_an_object_that_is_no_arrow_file_is_refused(bucket: Bucket, prefix: str) -> None:
    bucket.put(prefix + "a", b"no")
    with pytest.raises(errors.FailedPrecondition):
        BatchFile(bucket, prefix + "a")


def test_issues_are_counted_and_the_first_hundred_shown_errors_first(bucket: Bucket, prefix: str) -> None:
    for step in range(3):
        log = issues.IssueLog()
        for line in range(60):
            log.add("LABEL_ODD", issues.WARNING, f"{step}.txt", "odd", "mend it", line=line)
        log.add("LABEL_BAD", issues.ERROR, f"{step}.txt", "bad", "mend it")
        summed = log.save(bucket, f"{prefix}step-{step}")
        assert (summed.count, summed.error_count, summed.first_error.code) == (61, 1, "LABEL_BAD")
    assert not issues.IssueLog().save(bucket, prefix + "none").count
    assert bucket.size(prefix + "none.issues") is None
    counts, shown = issues.collect(bucket, prefix)
    assert [(count.code, count.count) for count in counts] == [("LABEL_BAD", 3), ("LABEL_ODD", 180)]
    assert [issue.code for issue in shown] == ["LABEL_BAD"] * 3 + ["LABEL_ODD"] * 97
    assert issues.load(bucket, f"{prefix}step-0").num_rows == 61


def test_entries_of_a_pack_are_read_in_the_order_they_lie_in(bucket: Bucket, prefix: str) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for i, size in enumerate((10, 9 << 20, 300_000, 5)):
            method = zipfile.ZIP_DEFLATED if i % 2 else zipfile.ZIP_STORED
            archive.writestr(f"{9 - i}.bin", random.Random(i).randbytes(size), method)
    bucket.put(prefix + "a", buffer.getvalue())
    table, _ = index_archive(bucket, prefix + "a", LIMITS)
    read = list(read_entries(bucket, table))
    assert [i for i, _ in read] == [3, 2, 1, 0]
    assert [zlib.crc32(entry.data) for _, entry in read] == table["crc32"].to_pylist()[::-1]
    offsets = {i: entry.data_offset for i, entry in read}
    known = table.drop_columns("data_offset").append_column("data_offset", pa.array([offsets[i] for i in range(4)]))
    batch = known.combine_chunks().to_batches()[0]
    assert [entry.data for _, entry in read_entries(bucket, batch)] == [entry.data for _, entry in read]


def test_a_damaged_entry_says_so_and_the_others_are_read(bucket: Bucket, prefix: str) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in "abcd":
            archive.writestr(name, name.encode() * 1000)
        places = {entry.filename: entry.header_offset for entry in archive.infolist()}
    data = bytearray(buffer.getvalue())
    data[places["b"]] = 0  # no header there
    data[places["c"] + 35] ^= 255  # the packed bytes
    bucket.put(prefix + "a", data)
    table, _ = index_archive(bucket, prefix + "a", LIMITS)
    damage = [entry.damage for _, entry in read_entries(bucket, table)]
    assert [bool(text) for text in damage] == [False, True, True, False]


def test_an_entry_never_unpacks_beyond_its_announced_size(bucket: Bucket, prefix: str) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb", bytes(64 << 20))
    bucket.put(prefix + "a", buffer.getvalue())
    table, _ = index_archive(bucket, prefix + "a", Settings(max_expansion_ratio=2000))
    lying = table.set_column(table.column_names.index("size"), "size", pa.array([1000]))
    ((_, entry),) = read_entries(bucket, lying)
    assert (entry.data, entry.damage) == (b"", "it unpacks to more bytes instead of the 1,000 announced")


def bundles(bucket: Bucket, prefix: str) -> list[str]:
    """Three bundles of files, pieces and copies of a deflated pack."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(6):
            archive.writestr(f"{i}.jpg", b"%d" % i * 1000)
    bucket.put(prefix + "pack", buffer.getvalue())
    index, _ = index_archive(bucket, prefix + "pack", LIMITS)
    offsets = {i: entry.data_offset for i, entry in read_entries(bucket, index)}
    index = index.append_column("offset", pa.array([offsets[i] for i in range(6)], pa.int64()))
    names = ["object", "offset", "stored_size", "size", "method", "crc32"]
    ranges = pa.StructArray.from_arrays([index[name].combine_chunks() for name in names], names)
    keys = [f"{prefix}bundle-{i}" for i in range(4)]
    for i, key in enumerate(keys[:3]):
        with BundleWriter(bucket, key) as bundle:
            bundle.copies(pa.array([f"images/{2 * i}.jpg", f"images/{2 * i + 1}.jpg"]), ranges.slice(2 * i, 2))
            bundle.files(pa.array([f"labels/{i}-{k}.txt" for k in range(3)]), b"onetwothree", np.array([0, 3, 6, 11]))
            bundle.piece("all.json", 2, b"%d" % i, b",")
            bundle.piece("all.json", 4, b"<%d>" % i, b";")
            bundle.file(f"größe/{i}", b"")
    with BundleWriter(bucket, keys[3]) as last:
        for section, data in ((1, b"["), (3, b"]["), (5, b"]")):
            last.piece("all.json", section, data)
    assert last.close()[0] == 3
    assert read_bundle(bucket, keys[0]).num_rows == 8
    return keys


def test_an_archive_is_assembled_from_bundles(bucket: Bucket, prefix: str) -> None:
    keys = bundles(bucket, prefix)
    progress: list[int] = []
    summary = write_archive(bucket, keys, prefix + "out.zip", progress.append)
    data = bucket.get(prefix + "out.zip")
    assert (summary.size, summary.file_count, progress[-1]) == (len(data), 19, 19)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert archive.read("all.json") == b"[0,1,2][<0>;<1>;<2>]"
        assert archive.read("images/3.jpg") == b"3" * 1000
        assert archive.getinfo("images/3.jpg").compress_type == zipfile.ZIP_DEFLATED
        assert archive.read("labels/1-2.txt") == b"three"
        assert archive.read("größe/0") == b""
    write_archive(bucket, keys, prefix + "again.zip", progress.append)
    assert bucket.get(prefix + "again.zip") == data


def test_a_path_that_occurs_twice_is_refused_by_name(bucket: Bucket, prefix: str) -> None:
    keys = bundles(bucket, prefix)
    for path in ("labels/0-0.txt", "all.json"):
        with BundleWriter(bucket, prefix + "more") as bundle:
            bundle.file(path, b"again")
        with pytest.raises(errors.FailedPrecondition, match=path) as failure:
            write_archive(bucket, [*keys, prefix + "more"], prefix + "out.zip", lambda _: None)
        assert failure.value.reason == "ARCHIVE_PATH_TWICE"
        assert bucket.size(prefix + "out.zip") is None


def test_an_archive_of_more_files_than_16_bits_count_is_zip64(bucket: Bucket, prefix: str) -> None:
    count = 70_000
    with BundleWriter(bucket, prefix + "b") as bundle:
        bundle.files(pa.array([f"{i:06d}.txt" for i in range(count)]), b"ab" * count, np.arange(count + 1) * 2)
    write_archive(bucket, [prefix + "b"], prefix + "out.zip", lambda _: None)
    table, found = index_archive(bucket, prefix + "out.zip", LIMITS)
    assert (table.num_rows, len(found)) == (count, 0)
    with zipfile.ZipFile(io.BytesIO(bucket.get(prefix + "out.zip"))) as archive:
        assert archive.read("069999.txt") == b"ab"


def test_a_bundle_that_fails_leaves_nothing(bucket: Bucket, prefix: str) -> None:
    with pytest.raises(KeyError), BundleWriter(bucket, prefix + "b") as bundle:
        bundle.file("a", b"a")
        raise KeyError
    assert list(bucket.keys(prefix)) == []


names = st.text(st.characters(exclude_characters="/\\:\0.", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)


@examples(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.lists(names, min_size=1, max_size=3).map("/".join), st.binary(max_size=2000), min_size=1))
def test_what_is_written_is_read_again(bucket: Bucket, prefix: str, files: dict[str, bytes]) -> None:
    with BundleWriter(bucket, prefix + "b") as bundle:
        for path, data in files.items():
            bundle.file(path, data)
    write_archive(bucket, [prefix + "b"], prefix + "out.zip", lambda _: None)
    table, _ = index_archive(bucket, prefix + "out.zip", LIMITS)
    paths = table["path"].to_pylist()
    assert {paths[i]: entry.data for i, entry in read_entries(bucket, table) if not entry.damage} == {
        path: data for path, data in files.items() if path in paths
    }
    assert set(files) - set(paths) == {path for path in files if path.lower() in ("thumbs", "desktop")}


def test_a_table_is_committed_once_and_opened_at_its_version(bucket: Bucket, prefix: str) -> None:
    key = f"{prefix}cars.lance"
    rows = pa.table({"id": ["a", "b", "c"], "n": [1, 2, 3]}).replace_schema_metadata({"labels": "[]"})
    fragments = [
        fragment for start in range(3) for fragment in tables.write_fragments(key, rows.slice(start, 1), rows.schema)
    ]
    assert tables.write_fragments(key, rows.slice(0, 0), rows.schema) == []
    with pytest.raises(errors.NotFound):
        tables.open_table(key, 1)
    version = tables.commit(key, rows.schema, fragments, {"job": "1"})
    table = tables.open_table(key, version)
    assert table.to_table() == rows
    assert table.schema.metadata == {b"labels": b"[]"}
    assert table.has_stable_row_ids
    table.update({"n": "n + 1"})
    assert tables.commit(key, rows.schema, fragments, {"job": "1"}) == version
    assert tables.open_table(key, version).to_table() == rows
    assert tables.open_table(key).count_rows("n = 4") == 1
    with pytest.raises(errors.AlreadyExists):
        tables.commit(key, rows.schema, fragments, {"job": "2"})


def test_of_commits_at_the_same_time_all_answer_with_one_version(bucket: Bucket, prefix: str) -> None:
    key = f"{prefix}race.lance"
    rows = pa.table({"id": list(range(10))})
    fragments = tables.write_fragments(key, rows, rows.schema)
    with ThreadPoolExecutor(4) as threads:
        versions = list(threads.map(lambda _: tables.commit(key, rows.schema, fragments, {"job": "1"}), range(4)))
    assert versions == [1] * 4
    assert tables.open_table(key).count_rows() == 10


def test_lance_says_little_on_stderr(capfd: pytest.CaptureFixture[str], bucket: Bucket, prefix: str) -> None:
    assert os.environ["LANCE_LOG"] == "error"
    rows = pa.table({"id": [1]})
    fragments = tables.write_fragments(prefix + "t.lance", rows, rows.schema)
    tables.commit(prefix + "t.lance", rows.schema, fragments, {})
    assert capfd.readouterr().err == ""
