"""Reading a zip's directory: what is taken, what is left out and why, and that no bytes whatever break it."""

import io
import re
import resource
import struct
import tarfile
import time
import warnings
import zipfile
import zlib
from collections.abc import Callable

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framehouse.runtime import errors
from framehouse.runtime.config import Settings
from framehouse.store import archive as zips
from framehouse.store.archive import INDEX_SCHEMA, index_file, is_image, object_to_names, tidied

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
    litter = ("__MACOSX/dir/._a.jpg", "dir/.DS_Store", "Thumbs.db", "x/desktop.ini", "x/._b.jpg", "x/Icon\r")
    names = ("dir/", *litter, "dir/a.jpg")
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


def with_unicode_name(name: str, unicode: str, of: str | None = None) -> zipfile.ZipInfo:
    """An entry with Info-ZIP's Unicode field, made for the name `of`."""
    entry = zipfile.ZipInfo(name)
    value = struct.pack("<BI", 1, zlib.crc32((of or name).encode())) + unicode.encode()
    entry.extra = struct.pack("<HH4sHH", 0x9999, 4, b"up!!", 0x7075, len(value)) + value
    return entry


def test_the_unicode_field_counts_before_the_name_that_it_was_made_for() -> None:
    plain = ("group.jpg", b""), ("upper.jpg", b"")
    named = with_unicode_name("??.jpg", "日本.jpg"), with_unicode_name("!!.jpg", "名前.jpg")
    table, issues = index(zip_of((named[0], b"1"), *plain, (named[1], b"2")))
    assert (table["path"].to_pylist(), issues) == (["group.jpg", "upper.jpg", "名前.jpg", "日本.jpg"], [])
    table, _ = index(zip_of((with_unicode_name("renamed.jpg", "日本.jpg", of="before.jpg"), b"")))
    assert table["path"].to_pylist() == ["renamed.jpg"]


@pytest.mark.parametrize("letter", ["\n", "\r", "\t", "\x1b", "\x01", "\x7f"])
def test_names_with_control_characters_are_left_out(letter: str) -> None:
    table, issues = index(zip_of((f"a{letter}b.jpg", b""), ("ä\x85.jpg", b""), ("a b.jpg", b"")))
    assert table["path"].to_pylist() == ["a b.jpg", "ä\x85.jpg"]
    assert issues == [("ENTRY_NAME_UNUSABLE", f"a{letter}b.jpg")]


def test_names_longer_than_files_can_have_are_told_and_paths_longer_than_that_left_out() -> None:
    fine, long, wide, endless = "d/" * 200 + "a" * 255, "x" * 300 + ".jpg", "ü" * 128, "d/" * 2048 + "a.jpg"
    table, issues = index(zip_of(*((name, b"") for name in (fine, long, wide, endless))))
    assert table["path"].to_pylist() == sorted([fine, long, wide])
    assert issues == [("ENTRY_NAME_UNUSABLE", endless), ("ENTRY_NAME_LONG", long), ("ENTRY_NAME_LONG", wide)]


def test_links_devices_and_unsupported_methods_are_left_out() -> None:
    special = []
    for name, mode in (
        ("link.jpg", 0o120777),
        ("device.jpg", 0o020666),
        ("disk.jpg", 0o060666),
        ("pipe.jpg", 0o010644),
    ):
        entry = zipfile.ZipInfo(name)
        entry.create_system, entry.external_attr = 3, mode << 16
        special.append((entry, b"/etc/passwd"))
    packed = zipfile.ZipInfo("a.bmp")
    packed.compress_type = zipfile.ZIP_BZIP2
    table, issues = index(zip_of(*special, (packed, b"a" * 100), ("a.jpg", b"")))
    assert table["path"].to_pylist() == ["a.jpg"]
    assert issues == [
        *(("ENTRY_IS_LINK", entry.filename) for entry, _ in special),
        ("ENTRY_METHOD_UNSUPPORTED", "a.bmp"),
    ]


def test_an_archive_in_the_archive_is_told_and_one_of_archives_alone_refused() -> None:
    inner = zip_of(("b.jpg", b"b"))
    table, issues = index(zip_of(("a.jpg", b""), ("more/inner.ZIP", inner), ("old.tar.gz", b"x")))
    assert table["path"].to_pylist() == ["a.jpg", "more/inner.ZIP", "old.tar.gz"]
    assert issues == [("ARCHIVE_NESTED", "more/inner.ZIP"), ("ARCHIVE_NESTED", "old.tar.gz")]
    code, text = reason(zip_of(("part1.zip", inner), ("part2.zip", inner)))
    assert code == "ARCHIVE_NESTED"
    assert "'part1.zip' and 1 more" in text


def test_a_bomb_is_left_out_and_a_small_black_bitmap_is_not() -> None:
    _, issues = index(zip_of(("bomb", bytes(4 << 20)), ("black.bmp", bytes(1 << 20))))
    assert issues == [("ENTRY_EXPANDS_TOO_MUCH", "bomb")]


def test_many_small_bombs_are_one() -> None:
    data = zip_of(*((f"{number}.bmp", bytes(1 << 20)) for number in range(4)))
    assert reason(data, Settings(max_archive_bytes=(4 << 20) - 1))[0] == "ARCHIVE_TOO_LARGE"
    assert index(data, Settings(max_archive_bytes=4 << 20))[0].num_rows == 4


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


def lying(data: bytes, name: str, **fields: int) -> bytes:
    """A zip whose directory says other things of an entry: fields of `archive.CENTRAL`."""
    changed = bytearray(data)
    at = data.rindex(name.encode()) - zips.CENTRAL.itemsize
    for field, value in fields.items():
        kind, offset = zips.CENTRAL.fields[field][:2]
        changed[at + offset : at + offset + kind.itemsize] = value.to_bytes(kind.itemsize, "little")
    return bytes(changed)


@pytest.mark.parametrize(
    "lie",
    [
        {"stored_size": 1 << 20},
        {"stored_size": 0xFFFFFFFE, "size": 0xFFFFFFFE},
        {"stored_size": 0xFFFFFFFF},
        {"size": 499},
        {"size": 0xFFFFFFFF},
        {"offset": 1 << 20},
        {"offset": 0xFFFFFFFE},
        {"offset": 0xFFFFFFFF},
        {"offset": 0},
        {"offset": 100},
    ],
)
def test_an_entry_that_cannot_be_where_the_directory_says_is_left_out(lie: dict[str, int]) -> None:
    stored = zipfile.ZipInfo("b.jpg")
    data = zip_of(("a.jpg", bytes(range(250)) * 4), (stored, b"b" * 500))
    table, issues = index(lying(data, "b.jpg", **lie))
    assert (table["path"].to_pylist(), issues) == (["a.jpg"], [("ENTRY_DAMAGED", "b.jpg")])


@pytest.mark.parametrize("place", [-1, -(1 << 40), 1 << 40, (1 << 63) - 1])
@pytest.mark.parametrize("field", ["size", "stored_size", "offset"])
def test_a_lie_of_64_bits_is_left_out(field: str, place: int) -> None:
    wide = zipfile.ZipInfo("b.jpg")
    wide.extra = struct.pack("<HHq", 0x0001, 8, place)
    data = zip_of(("a.jpg", b"a"), (wide, b"b" * 500))
    table, issues = index(lying(data, "b.jpg", **{field: 0xFFFFFFFF}))
    assert (table["path"].to_pylist(), issues) == (["a.jpg"], [("ENTRY_DAMAGED", "b.jpg")])


@pytest.mark.parametrize("said", [0, 1, 3, 60_000])
def test_a_directory_of_another_number_of_entries_is_told_and_read(said: int) -> None:
    data = bytearray(zip_of(("a.jpg", b"a"), ("b.jpg", b"b")))
    data[-12:-10] = said.to_bytes(2, "little")
    table, issues = index(bytes(data))
    assert (table["path"].to_pylist(), issues) == (["a.jpg", "b.jpg"], [("ARCHIVE_COUNT_DIFFERS", "")])


SIZE, OFFSET = -10, -6
"""Of the directory, in the end record."""


@pytest.mark.parametrize(
    ("field", "change", "code"),
    [
        (SIZE, 1, ""),  # no entry is lost by that
        (SIZE, 1 << 20, ""),
        (SIZE, -1, "ARCHIVE_DAMAGED"),
        (OFFSET, 1, "ARCHIVE_DAMAGED"),
        (OFFSET, -1, "ARCHIVE_TRUNCATED"),
        (OFFSET, 1 << 30, "ARCHIVE_DAMAGED"),
    ],
)
def test_a_directory_that_is_elsewhere_than_said_is_refused(field: int, change: int, code: str) -> None:
    data = bytearray(zip_of(("a.jpg", b"a"), ("b.jpg", b"b")))
    value = int.from_bytes(data[field : field + 4], "little") + change
    data[field : field + 4] = value.to_bytes(4, "little")
    if code:
        assert reason(bytes(data))[0] == code
    else:
        assert index(bytes(data))[0].num_rows == 2


def test_paths_of_more_bytes_than_can_be_kept_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zips, "MOST_NAMES", 1000)
    assert reason(zip_of(*((f"{number}" * 60, b"") for number in range(20))))[0] == "ARCHIVE_TOO_MANY_ENTRIES"


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


@pytest.mark.parametrize("chunk", [47, 60, 100, 1000, zips.CHUNK])
@pytest.mark.parametrize("comment", [b"", b"PK\1\2", b"PK\1\2" + bytes(60)])
def test_a_directory_is_read_in_pieces_whatever_lies_between_its_headers(
    monkeypatch: pytest.MonkeyPatch, chunk: int, comment: bytes
) -> None:
    monkeypatch.setattr(zips, "CHUNK", chunk)
    files = [zipfile.ZipInfo(f"{number}.txt") for number in range(9)]
    for number in (0, 3, 8):
        files[number].comment = comment
    table, issues = index(zip_of(*((file, b"") for file in files)))
    assert (table["path"].to_pylist(), issues) == ([file.filename for file in files], [])


@given(st.lists(st.text("ab./:\\\t\x7f ", max_size=6) | st.sampled_from(["a" * 255, "a" * 256]), max_size=4))
def test_names_are_judged_alike_alone_and_among_others(names: list[str]) -> None:
    tidy = tidied(pa.array(names, pa.string())).to_pylist()
    assert tidy == [one for name in names for one in tidied(pa.array([name])).to_pylist()]
    assert not any("\\" in name or "//" in name or "/./" in name for name in tidy)
    paths = pa.chunked_array([pa.array(["usual.jpg", *tidy], pa.string())]).slice(1)
    refused = [one.rows.tolist() for one in object_to_names(paths)] or [[False] * len(tidy)] * 3
    control = [not name or not name.isprintable() or "\x7f" in name for name in tidy]
    escapes = [bool(re.search(zips.ESCAPE, name)) for name in tidy]
    assert (refused[0], refused[2]) == (control, escapes)


def test_images_are_known_by_their_extension_in_any_case() -> None:
    paths = pa.array(["a.jpg", "b.JPEG", "c.txt", "jpg", "d.png.json", "e.HeIc"])
    assert is_image(paths).to_pylist() == [True, True, False, False, False, True]


SAMPLE = zip_of(("dir/a.jpg", b"a" * 300), ("b.txt", b"b"), ("grün.png", b""), comment=b"c" * 9)


SECONDS = 2.0
BYTES = 64 << 20
"""Of memory, for archives of a kilobyte, whatever they announce."""


def only_refuses(data: bytes) -> None:
    began = time.perf_counter()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        table, _ = index(data)
    except errors.InvalidArgument as refusal:
        assert refusal.reason.startswith("ARCHIVE_")
    else:
        assert all(0 <= row["header_offset"] < len(data) for row in table.to_pylist())
        assert pa.compute.all(pa.compute.less_equal(table["size"], max(1 << 20, 200 * len(data)))).as_py()
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10 < BYTES
    assert time.perf_counter() - began < SECONDS


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
