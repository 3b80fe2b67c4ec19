"""Reading a zip's directory: what is taken, what is left out and why, and that no bytes whatever break it."""

import io
import tarfile
import warnings
import zipfile
from collections.abc import Callable

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framehouse.runtime import errors
from framehouse.runtime.config import Settings
from framehouse.store.archive import INDEX_SCHEMA, index_file, is_image

LIMITS = Settings()


def zip_of(*files: tuple[str | zipfile.ZipInfo, bytes], before: bytes = b"", comment: bytes = b"") -> bytes:
    buffer = io.BytesIO(before)
    buffer.seek(len(before))
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.comment = comment
        for name, data in files:
            archive.writestr(name, data)
    return buffer.getvalue()


def index(data: bytes, limits: Settings = LIMITS) -> tuple[pa.Table, list[tuple[str, str]]]:
    table, issues = index_file(io.BytesIO(data), "packs/a", limits)
    return table, [(row["code"], row["path"]) for row in issues.table().to_pylist()]


def reason(data: bytes, limits: Settings = LIMITS) -> tuple[str, str]:
    with pytest.raises(errors.InvalidArgument) as failure:
        index(data, limits)
    return failure.value.reason, failure.value.text


def test_an_index_is_sorted_by_path_and_says_where_each_entry_lies() -> None:
    data = zip_of(("b.txt", b"bb" * 50), ("a/1.jpg", b"a"))
    table, issues = index(data)
    assert table.schema == INDEX_SCHEMA
    assert table["path"].to_pylist() == ["a/1.jpg", "b.txt"]
    assert not issues
    expected = [zipfile.ZipFile(io.BytesIO(data)).getinfo(path) for path in ("a/1.jpg", "b.txt")]
    for name, field in (("header_offset", "header_offset"), ("stored_size", "compress_size"), ("size", "file_size")):
        assert table[name].to_pylist() == [getattr(entry, field) for entry in expected]
    assert table["crc32"].to_pylist() == [entry.CRC for entry in expected]
    assert set(table["data_offset"].to_pylist()) == {-1}


def test_folders_and_litter_are_dropped_silently() -> None:
    names = ("dir/", "__MACOSX/dir/._a.jpg", "dir/.DS_Store", "Thumbs.db", "x/desktop.ini", "x/._b.jpg", "dir/a.jpg")
    table, issues = index(zip_of(*((name, b"") for name in names)))
    assert (table["path"].to_pylist(), issues) == (["dir/a.jpg"], [])


def test_names_that_leave_the_archive_are_left_out() -> None:
    names = ("../a", "a/../../b", "/etc/passwd", "C:\\a", "..\\a", "fine..jpg")
    table, issues = index(zip_of(*((name, b"") for name in names)))
    assert table["path"].to_pylist() == ["fine..jpg"]
    assert {code for code, _ in issues} == {"ENTRY_NAME_ESCAPES"}
    assert len(issues) == 5


def test_backslashes_separate_and_redundant_parts_vanish() -> None:
    table, _ = index(zip_of(("a\\b.jpg", b""), ("./c//./d.jpg", b"")))
    assert table["path"].to_pylist() == ["a/b.jpg", "c/d.jpg"]


def test_names_are_utf8_where_said_so_and_cp437_otherwise() -> None:
    flagged = zip_of(("grün/日本.jpg", b""))
    assert index(flagged)[0]["path"].to_pylist() == ["grün/日本.jpg"]
    dos = zipfile.ZipInfo("gr?n.jpg")
    dos.create_system = 0
    assert index(zip_of((dos, b"")).replace(b"gr?n", b"gr\x81n"))[0]["path"].to_pylist() == ["grün.jpg"]
    unix = zip_of(("gr??n.jpg", b"")).replace(b"gr??n", "grün".encode())
    assert index(unix)[0]["path"].to_pylist() == ["grün.jpg"]


def test_links_and_unsupported_methods_are_left_out() -> None:
    link = zipfile.ZipInfo("link.jpg")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    packed = zipfile.ZipInfo("a.bz2")
    packed.compress_type = zipfile.ZIP_BZIP2
    _, issues = index(zip_of((link, b"/etc/passwd"), (packed, b"a" * 100), ("a.jpg", b"")))
    assert issues == [("ENTRY_IS_LINK", "link.jpg"), ("ENTRY_METHOD_UNSUPPORTED", "a.bz2")]


def test_a_bomb_is_left_out_and_a_small_black_bitmap_is_not() -> None:
    _, issues = index(zip_of(("bomb", bytes(4 << 20)), ("black.bmp", bytes(1 << 20))))
    assert issues == [("ENTRY_EXPANDS_TOO_MUCH", "bomb")]


def test_of_a_path_twice_the_last_counts() -> None:
    table, issues = index(zip_of(("a", b"first"), ("b", b""), ("a", b"the last")))
    assert dict(zip(table["path"].to_pylist(), table["size"].to_pylist(), strict=True)) == {"a": 8, "b": 0}
    assert issues == [("ENTRY_DUPLICATE", "a")]


def test_entries_that_share_bytes_are_left_out() -> None:
    data = bytearray(zip_of(("a.jpg", b"a" * 500), ("b.jpg", b"b" * 500)))
    second = zipfile.ZipFile(io.BytesIO(data)).getinfo("b.jpg").header_offset
    at = data.rindex(b"b.jpg") - 4
    assert int.from_bytes(data[at : at + 4], "little") == second
    data[at : at + 4] = bytes(4)
    table, issues = index(bytes(data))
    assert (table.num_rows, issues) == (1, [("ENTRY_DAMAGED", "b.jpg")])


def test_bytes_before_and_a_comment_after_the_archive_are_no_trouble() -> None:
    table, _ = index(zip_of(("a", b"12345"), before=b"#!/bin/sh\n", comment=b"packed on a Monday"))
    assert table["header_offset"].to_pylist() == [10]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda data: data[: len(data) // 2], "ARCHIVE_TRUNCATED"),
        (lambda data: data[:-30], "ARCHIVE_TRUNCATED"),
        (lambda data: b"", "ARCHIVE_EMPTY"),
        (lambda data: zip_of(("folder/", b"")), "ARCHIVE_EMPTY"),
        (lambda data: zip_of(), "ARCHIVE_EMPTY"),
        (lambda data: data.replace(b"PK\1\2", b"PK\1\3"), "ARCHIVE_DAMAGED"),
        (lambda data: zip_of(("inner.zip", data))[:-60], "ARCHIVE_TRUNCATED"),
    ],
)
def test_a_broken_archive_is_refused_with_a_reason(change: Callable[[bytes], bytes], code: str) -> None:
    assert reason(change(zip_of(("a.jpg", b"a" * 99), ("b.jpg", b"b" * 99))))[0] == code


def test_another_kind_of_file_is_named() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz"):
        pass
    code, text = reason(buffer.getvalue())
    assert code == "ARCHIVE_UNKNOWN"
    assert "a gzip file" in text
    assert "sign-in page" in reason(b"<!DOCTYPE html><title>Sign in</title>")[1]


def test_an_encrypted_archive_is_refused_and_an_encrypted_entry_left_out() -> None:
    def encrypt(data: bytes, count: int) -> bytes:
        return data.replace(b"PK\1\2\x14\x03\x14\0\0\0", b"PK\1\2\x14\x03\x14\0\1\0", count)

    data = zip_of(("a.jpg", b""), ("b.jpg", b""))
    assert index(encrypt(data, 1))[1] == [("ENTRY_ENCRYPTED", "a.jpg")]
    assert reason(encrypt(data, 2))[0] == "ARCHIVE_ENCRYPTED"


def test_limits_are_checked_before_work_is_done() -> None:
    data = zip_of(("a", b""), ("b", b""))
    assert reason(data, Settings(max_archive_entries=1))[0] == "ARCHIVE_TOO_MANY_ENTRIES"
    assert reason(data, Settings(max_archive_bytes=10))[0] == "ARCHIVE_TOO_LARGE"


def test_images_are_known_by_their_extension_in_any_case() -> None:
    paths = pa.array(["a.jpg", "b.JPEG", "c.txt", "jpg", "d.png.json", "e.HeIc"])
    assert is_image(paths).to_pylist() == [True, True, False, False, False, True]


SAMPLE = zip_of(("dir/a.jpg", b"a" * 300), ("b.txt", b"b"), ("grün.png", b""), comment=b"c" * 9)


def only_refuses(data: bytes) -> None:
    try:
        table, _ = index(data)
    except errors.InvalidArgument:
        return
    assert all(0 <= row["header_offset"] < len(data) for row in table.to_pylist())


@given(st.binary(max_size=400))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    only_refuses(data)
    only_refuses(b"PK\3\4" + data + SAMPLE[-31:])


@given(st.lists(st.tuples(st.integers(0, len(SAMPLE) - 1), st.integers(0, 255)), max_size=8), st.integers(0, 400))
def test_no_damage_breaks_the_reader(changes: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(SAMPLE)
    for place, value in changes:
        data[place] = value
    only_refuses(bytes(data))
    only_refuses(bytes(data[cut:]))
    only_refuses(bytes(data[: len(data) - cut]))
