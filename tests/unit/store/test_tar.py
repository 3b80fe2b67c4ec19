"""Reading the headers of a tar: what is taken, what is left out and why, and that no bytes whatever break it."""

import io
import resource
import tarfile
import time

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framehouse.runtime import errors
from framehouse.runtime.config import Settings
from framehouse.store import archive as names
from framehouse.store.archive import INDEX_SCHEMA
from framehouse.store.tar import Located, index_members, is_tar, members

FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]


def tar_of(*files: tuple[str | tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for name, data in files:
            entry = tarfile.TarInfo(name) if isinstance(name, str) else name
            entry.size = entry.size or len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def special(name: str, kind: bytes, target: str = "") -> tuple[tarfile.TarInfo, bytes]:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry, b""


def changed(data: bytes, place: int, value: bytes) -> bytes:
    """A tar with other bytes in its first header, whose checksum fits again."""
    data = data[:place] + value + data[place + len(value) :]
    return data[:148] + b"%06o\0 " % (sum(data[:148] + data[156:512]) + 8 * 32) + data[156:]


def index(data: bytes, limits: Settings | None = None) -> tuple[pa.Table, list[tuple[str, str]]]:
    found = (Located(member, "packs/a", member.offset, None) for member in members(io.BytesIO(data)))
    table, issues = index_members(found, limits or Settings(), lambda done: None)
    assert table.schema == INDEX_SCHEMA
    return table, [(row["code"], row["path"]) for row in issues.table().to_pylist()]


def contents(data: bytes) -> dict[str, bytes]:
    """The files of a tar, by the ranges of its index."""
    rows = index(data)[0].to_pylist()
    return {row["path"]: data[row["data_offset"] : row["data_offset"] + row["size"]] for row in rows}


def reason(data: bytes, limits: Settings | None = None) -> str:
    with pytest.raises(errors.InvalidArgument) as failure:
        index(data, limits)
    return failure.value.reason


@pytest.mark.parametrize("form", FORMATS)
def test_files_are_found_where_they_lie(form: int) -> None:
    files = {"b.txt": b"b" * 600, "a/1.jpg": b"", "c/" * 60 + "deep.jpg": b"c" * 512}
    data = tar_of(*files.items(), form=form)
    assert is_tar(data)
    assert contents(data) == files
    table, issues = index(data)
    assert table["path"].to_pylist() == sorted(files)
    assert (set(table["method"].to_pylist()), set(table["crc32"].to_pylist()), issues) == ({0}, {None}, [])


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_and_foreign_names_are_read(form: int) -> None:
    files = {"grün/日本.jpg": b"1", "x" * 300 + "/" + "ü" * 200 + ".jpg": b"2"}
    assert contents(tar_of(*files.items(), form=form)) == files


def test_a_name_that_is_not_utf8_is_taken_as_latin1() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT, encoding="latin-1") as archive:
        archive.addfile(tarfile.TarInfo("grün.jpg"))
    assert list(contents(buffer.getvalue())) == ["grün.jpg"]


def test_sizes_beyond_eight_gigabytes_are_read() -> None:
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        entry = tarfile.TarInfo("large.bin")
        entry.size = 9 << 30
        header = entry.tobuf(format=form)

        class Sparse(io.BytesIO):
            """The header, nine gigabytes that nobody reads, and the end."""

            def seek(self, offset: int, whence: int = 0, /) -> int:
                return super().seek(offset - (9 << 30) if offset > 9 << 30 else offset)

        (member,) = members(Sparse(header + bytes(1024)))
        assert (member.path, member.size) == ("large.bin", 9 << 30)


def test_names_that_no_file_should_have_are_left_out_or_told() -> None:
    fine, long, endless = "d/" * 200 + "a" * 255, "x" * 300 + ".jpg", "d/" * 400_000 + "a.jpg"
    table, issues = index(tar_of(*((name, b"") for name in (fine, "a\nb.jpg", long, endless)), form=tarfile.PAX_FORMAT))
    assert table["path"].to_pylist() == sorted([fine, long])
    assert issues == [
        ("ENTRY_NAME_UNUSABLE", "a\nb.jpg"),
        ("ENTRY_NAME_UNUSABLE", endless[: names.LONGEST_PATH + 1]),
        ("ENTRY_NAME_LONG", long),
    ]


def test_paths_of_more_bytes_than_can_be_kept_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "MOST_NAMES", 1000)
    assert reason(tar_of(*((f"{number}" * 60, b"") for number in range(20)))) == "ARCHIVE_TOO_MANY_ENTRIES"


def test_an_archive_in_the_archive_is_told_and_one_of_archives_alone_refused() -> None:
    inner = tar_of(("b.jpg", b"b"))
    assert index(tar_of(("a.jpg", b"a"), ("b.tar", inner)))[1] == [("ARCHIVE_NESTED", "b.tar")]
    assert reason(tar_of(("a.tar", inner), ("b.tar", inner))) == "ARCHIVE_NESTED"


def test_links_devices_and_pipes_are_left_out() -> None:
    kinds = {
        "hard": tarfile.LNKTYPE,
        "soft": tarfile.SYMTYPE,
        "dev": tarfile.CHRTYPE,
        "disk": tarfile.BLKTYPE,
        "pipe": tarfile.FIFOTYPE,
    }
    entries = [special(f"{name}.jpg", kind, "/etc/passwd") for name, kind in kinds.items()]
    table, issues = index(tar_of(("a.jpg", b"1"), *entries, ("z.jpg", b"2")))
    assert table["path"].to_pylist() == ["a.jpg", "z.jpg"]
    assert issues == [("ENTRY_IS_LINK", f"{name}.jpg") for name in kinds]


def test_a_hard_link_has_no_data_whatever_its_size_says() -> None:
    data = changed(tar_of(special("hard.jpg", tarfile.LNKTYPE, "a.jpg"), ("z.jpg", b"2")), 124, b"00000001274\0")
    assert contents(data) == {"z.jpg": b"2"}


def test_sparse_files_and_unknown_kinds_are_left_out() -> None:
    pax = tarfile.TarInfo("GNUSparseFile.0/pax.bin")
    pax.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "pax.bin"}
    old = changed(tar_of(special("old.bin", b"S"), ("a.jpg", b"1")), 482, b"\1")  # more of its header follows
    table, issues = index(old[:512] + bytes(512) + old[512:])
    assert (table["path"].to_pylist(), issues) == (["a.jpg"], [("ENTRY_METHOD_UNSUPPORTED", "old.bin")])
    table, issues = index(tar_of((pax, b"1" * 600), special("odd", b"Z"), ("a.jpg", b"1")))
    assert table["path"].to_pylist() == ["a.jpg"]
    assert issues == [("ENTRY_METHOD_UNSUPPORTED", "pax.bin"), ("ENTRY_METHOD_UNSUPPORTED", "odd")]


def test_names_that_leave_the_archive_are_left_out() -> None:
    names = ("../a", "a/../../b", "/etc/passwd", "C:\\a", "..\\a", "fine..jpg", "./b//c.jpg")
    table, issues = index(tar_of(*((name, b"") for name in names)))
    assert table["path"].to_pylist() == ["b/c.jpg", "fine..jpg"]
    assert {code for code, _ in issues} == {"ENTRY_NAME_ESCAPES"}
    assert len(issues) == 5


def test_folders_and_litter_are_dropped_silently() -> None:
    entries = [(name, b"") for name in ("._a.jpg", "x/.DS_Store", "__MACOSX/a", "a.jpg", "slash/")]
    table, issues = index(tar_of(special("x", tarfile.DIRTYPE), *entries))
    assert (table["path"].to_pylist(), issues) == (["a.jpg"], [])


def test_of_a_path_twice_the_last_counts() -> None:
    data = tar_of(("a", b"first"), ("b", b""), ("./a", b"the last"))
    assert contents(data) == {"a": b"the last", "b": b""}
    assert index(data)[1] == [("ENTRY_DUPLICATE", "a")]


def test_a_tar_that_is_cut_anywhere_before_its_end_is_truncated() -> None:
    data = tar_of(("a" * 120, b"1" * 700), ("ü", b"2"), special("l", tarfile.SYMTYPE, "a"), ("b", b"3" * 512))
    starts = [member.offset for member in members(io.BytesIO(data))]
    end = starts[-1] + 512
    for cut in sorted({*range(512, end + 1, 512), *starts, *range(512, end, 97), end + 511}):
        assert reason(data[:cut]) == "ARCHIVE_TRUNCATED", cut
    assert len(contents(data[: end + 512])) == 3


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "ARCHIVE_EMPTY"),
        (bytes(10240), "ARCHIVE_EMPTY"),
        (tar_of(special("x", tarfile.DIRTYPE)), "ARCHIVE_EMPTY"),
        (b"a letter", "ARCHIVE_UNKNOWN"),
        (bytes(range(256)) * 4, "ARCHIVE_UNKNOWN"),
        (tar_of(("a", b"1"))[:1024] + b"x" * 512, "ARCHIVE_DAMAGED"),
        (tar_of(special("b", b"M"), ("a", b"1")), "ARCHIVE_SPLIT"),
    ],
)
def test_a_broken_tar_is_refused_with_a_reason(data: bytes, code: str) -> None:
    assert reason(data) == code


def test_too_many_entries_are_refused() -> None:
    data = tar_of(("a", b""), ("b", b""), special("c", tarfile.DIRTYPE))
    assert len(contents(data)) == 2
    assert reason(data, Settings(max_archive_entries=2)) == "ARCHIVE_TOO_MANY_ENTRIES"


SAMPLE = tar_of(("dir/" * 30 + "a.jpg", b"a" * 700), ("b.txt", b"b"), special("l", b"2", "b.txt"), ("grün.png", b""))


def mended(data: bytes) -> bytes:
    """The bytes with right checksums wherever a header may stand, so that damage gets past them."""
    blocks = bytearray(data)
    for at in range(0, len(data) - 511, 512):
        if blocks[at + 257 : at + 262] == b"ustar":
            total = sum(blocks[at : at + 148]) + sum(blocks[at + 156 : at + 512]) + 8 * 32
            blocks[at + 148 : at + 156] = b"%06o\0 " % total
    return bytes(blocks)


SECONDS = 2.0
BYTES = 64 << 20
"""Of memory, for archives of a few kilobytes, whatever they announce."""


def only_refuses(data: bytes) -> None:
    began = time.perf_counter()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        table, _ = index(data)
    except errors.InvalidArgument as refusal:
        assert refusal.reason.startswith("ARCHIVE_")
    else:
        assert all(0 < row["data_offset"] <= len(data) - row["size"] for row in table.to_pylist())
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10 < BYTES
    assert time.perf_counter() - began < SECONDS


@given(st.binary(max_size=1200))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    only_refuses(data)
    only_refuses(SAMPLE[:512] + data + SAMPLE[512:])


@given(st.lists(st.tuples(st.integers(0, len(SAMPLE) - 1), st.integers(0, 255)), max_size=8), st.integers(0, 4000))
def test_no_damage_breaks_the_reader(changes: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(SAMPLE)
    for place, value in changes:
        data[place] = value
    only_refuses(bytes(data))
    only_refuses(mended(bytes(data)))
    only_refuses(mended(bytes(data))[:cut])
