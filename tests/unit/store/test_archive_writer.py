"""The arithmetic and the layout of archives, where they need no store."""

import io
import zipfile
import zlib
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from framehouse.runtime.config import Settings
from framehouse.store.archive import index_file
from framehouse.store.archive_writer import Layout, crc32_combine, end_record


@given(st.binary(), st.binary())
def test_checksums_of_pieces_combine_to_that_of_the_whole(first: bytes, second: bytes) -> None:
    assert crc32_combine(zlib.crc32(first), zlib.crc32(second), len(second)) == zlib.crc32(first + second)


def test_files_beyond_4_gib_are_written_and_read_as_zip64(tmp_path: Path) -> None:
    size = 5 << 30
    block = zlib.crc32(bytes(1 << 20))
    crc = 0
    for _ in range(size >> 20):
        crc = crc32_combine(crc, block, 1 << 20)
    directory = io.BytesIO()
    layout = Layout(directory)
    path = tmp_path / "large.zip"
    with path.open("wb") as file:  # sparse: the zeros take no room
        file.write(layout.header("zeros.bin", size, size, 0, crc))
        file.seek(size, io.SEEK_CUR)
        far = file.tell()
        file.write(layout.header("far.txt", 3, 3, 0, zlib.crc32(b"abc")) + b"abc")
        offset = file.tell()
        file.write(directory.getvalue() + end_record(layout.count, offset, len(directory.getvalue())))
    with zipfile.ZipFile(path) as archive:
        assert archive.read("far.txt") == b"abc"
        assert archive.getinfo("zeros.bin").file_size == size
    with path.open("rb", buffering=0) as file:
        table, issues = index_file(file, "packs/a", Settings())
    assert not issues
    assert table.select(["path", "header_offset", "size"]).to_pylist() == [
        {"path": "far.txt", "header_offset": far, "size": 3},
        {"path": "zeros.bin", "header_offset": 0, "size": size},
    ]
