"""Folders and files become the bytes that are sent; archives that came back become folders."""

import io
import os
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from framehouse.client.errors import InvalidArgument
from framehouse.client.packing import _zip_size, open_source
from framehouse.client.unpacking import unpack


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "cars"
    (root / "images").mkdir(parents=True)
    (root / "images" / "b.jpg").write_bytes(os.urandom(3_000_000))
    (root / "images" / "ä.jpg").write_bytes(b"")
    (root / "a.txt").write_bytes(b"0 0.5 0.5 1 1\n")
    return root


def test_a_folder_is_a_stored_zip_of_the_size_announced(folder: Path) -> None:
    archive = open_source(folder)
    sent = b"".join(archive.chunks())
    assert (archive.file_name, archive.size) == ("cars.zip", len(sent))
    with zipfile.ZipFile(io.BytesIO(sent)) as read:
        assert read.testzip() is None
        assert read.namelist() == ["a.txt", "images/b.jpg", "images/ä.jpg"]
        assert {entry.compress_type for entry in read.infolist()} == {zipfile.ZIP_STORED}
        assert read.read("images/b.jpg") == (folder / "images" / "b.jpg").read_bytes()


def test_the_same_files_make_the_same_archive(folder: Path) -> None:
    first = b"".join(open_source(folder).chunks())
    os.utime(folder / "a.txt", (1, 1))
    assert b"".join(open_source(folder).chunks()) == first


def test_parts_are_of_the_size_asked_for(folder: Path) -> None:
    archive = open_source(folder)
    parts = list(archive.parts(1 << 20))
    assert [len(part) for part in parts[:-1]] == [1 << 20] * 2
    assert b"".join(parts) == b"".join(archive.chunks())


def test_more_files_than_a_plain_zip_can_hold(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    (tmp_path / "b.txt").touch()
    whole = open_source(tmp_path)
    # One file under many names: making as many takes ten seconds.
    files = tuple(replace(whole.files[0], name=b"%d.txt" % number) for number in range(65_598)) + whole.files
    archive = replace(whole, files=files, size=_zip_size(files))
    sent = b"".join(archive.chunks())
    assert len(sent) == archive.size
    with zipfile.ZipFile(io.BytesIO(sent)) as read:
        assert len(read.namelist()) == 65_600


def test_litter_stays_out(folder: Path) -> None:
    for name in (".DS_Store", "images/Thumbs.db", "__MACOSX/x.jpg", "._a.txt", ".git/config"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"litter")
    assert [file.name for file in open_source(folder).files] == [b"a.txt", b"images/b.jpg", "images/ä.jpg".encode()]


def test_links_out_of_the_folder_are_left_out_and_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "out.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "up").symlink_to(tmp_path)
    (folder / "loop").symlink_to(folder)
    (folder / "inside.txt").symlink_to(folder / "a.txt")
    archive = open_source(folder)
    assert archive.left_out == ("out.txt", "up")
    assert [file.name for file in archive.files][:2] == [b"a.txt", b"images/b.jpg"]
    assert b"inside.txt" in [file.name for file in archive.files]
    assert b"secret" not in b"".join(archive.chunks())


@pytest.mark.parametrize("change", [b"", b"longer than it was before"])
def test_a_file_that_changes_while_it_is_sent_is_an_error(folder: Path, change: bytes) -> None:
    archive = open_source(folder)
    (folder / "a.txt").write_bytes(change)
    with pytest.raises(InvalidArgument, match="changed while it was read"):
        list(archive.parts(1 << 20))


def test_a_zip_file_is_sent_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "cars.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.txt", "a" * 1000)
    assert b"".join(open_source(path).chunks()) == path.read_bytes()


@pytest.mark.parametrize("kind", ["", "gz"])
def test_a_tar_is_sent_as_it_is(folder: Path, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "anything"
    with tarfile.open(path, f"w:{kind}") as file:  # type: ignore[call-overload]  # either of two modes
        file.add(folder, "cars")
    assert b"".join(open_source(path).chunks()) == path.read_bytes()


def test_images_are_packed_side_by_side(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    paths = [tmp_path / "b" / "2.JPG", tmp_path / "1.png"]
    for path in paths:
        path.write_bytes(path.name.encode())
    archive = open_source(*paths, paths[0])
    sent = b"".join(archive.chunks())
    assert (archive.file_name, archive.size) == ("1.zip", len(sent))
    with zipfile.ZipFile(io.BytesIO(sent)) as read:
        assert {name: read.read(name) for name in read.namelist()} == {"1.png": b"1.png", "2.JPG": b"2.JPG"}
    with zipfile.ZipFile(io.BytesIO(b"".join(open_source(paths[0]).chunks()))) as read:
        assert read.namelist() == ["2.JPG"]


def test_what_cannot_be_sent_together_is_refused(tmp_path: Path, folder: Path) -> None:
    image, text = folder / "images" / "b.jpg", folder / "a.txt"
    (tmp_path / "b.jpg").touch()
    for paths, message in (
        ((image, text), "only images and videos can be sent together"),
        ((folder, image), "only images and videos can be sent together"),
        ((image, tmp_path / "b.jpg"), "have the same name"),
        ((image, tmp_path / "none.jpg"), "no such file"),
    ):
        with pytest.raises(InvalidArgument, match=message) as refused:
            open_source(*paths)
        assert refused.value.remedy


def test_what_cannot_be_an_archive_is_refused_before_anything_is_sent(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "hollow" / "folder").mkdir(parents=True)
    (tmp_path / "empty.zip").touch()
    (tmp_path / "text.zip").write_text("no zip at all")
    whole = b"".join(open_source(folder).chunks())
    (tmp_path / "cut.zip").write_bytes(whole[: len(whole) // 2])
    for name, message in (
        ("missing", "no such file"),
        ("hollow", "has no files"),
        ("empty.zip", "is empty"),
        ("text.zip", "is no zip or tar archive"),
        ("cut.zip", "was cut off"),
    ):
        with pytest.raises(InvalidArgument, match=message) as refused:
            open_source(tmp_path / name)
        assert refused.value.remedy


def test_an_archive_is_unpacked_as_it_was(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "cars.zip").write_bytes(b"".join(open_source(folder).chunks()))
    assert unpack(tmp_path / "cars.zip", tmp_path / "out") == 3
    assert (tmp_path / "out" / "images" / "b.jpg").read_bytes() == (folder / "images" / "b.jpg").read_bytes()


@pytest.mark.parametrize("name", ["../escaped.txt", "/escaped.txt", "a/../../escaped.txt"])
def test_an_entry_that_leaves_the_folder_unpacks_nothing(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as file:
        file.writestr("good.txt", "good")
        file.writestr(name, "bad")
    with pytest.raises(InvalidArgument, match="nothing was unpacked"):
        unpack(tmp_path / "bad.zip", tmp_path / "out")
    assert not (tmp_path / "out").exists()
