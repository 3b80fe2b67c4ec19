"""What goes wrong with input ends in one clear message or an issue in the summary, and the suite keeps serving."""

import io
import json
import shutil
import struct
import subprocess
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from framehouse.cli.stack.state import StackInfo
from framehouse.client import Client
from framehouse.store.tables import open_table

Framehouse = Callable[..., subprocess.CompletedProcess[str]]

JPEG = bytes(cv2.imencode(".jpg", np.full((48, 64, 3), 128, np.uint8))[1])
DATA_YAML = b"train: images/train\nnames: [car, truck]\n"


def archive(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as target:
        for name, data in files.items():
            target.writestr(name, data)
    return path


def dataset(label: bytes = b"0 0.5 0.5 0.5 0.5\n", **more: bytes) -> dict[str, bytes]:
    """A dataset of two images, one labelled well and one labelled as said; `__` in names stands for `/`."""
    return {
        "data.yaml": DATA_YAML,
        "images/train/good.jpg": JPEG,
        "labels/train/good.txt": b"1 0.5 0.5 0.25 0.25\n",
        "images/train/other.jpg": JPEG,
        "labels/train/other.txt": label,
        **more,
    }


def failure(result: subprocess.CompletedProcess[str]) -> str:
    """The one message of a command that failed; a stack trace is a failure of its own."""
    assert result.returncode == 1, result.stdout + result.stderr
    assert "Traceback" not in result.stderr + result.stdout
    return result.stderr


def imported(framehouse: Framehouse, path: Path, name: str, *options: str) -> dict[str, Any]:
    """The summary of an import that must succeed."""
    result = framehouse("import", str(path), "--name", name, "--json", *options)
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    summary: dict[str, Any] = json.loads(result.stdout)
    return summary


def issue(summary: dict[str, Any], code: str) -> dict[str, Any]:
    """The first issue of a code, which there must be."""
    return next(one for one in summary["issues"] if one["code"] == code)


@pytest.fixture(autouse=True)
def the_suite_keeps_serving(framehouse: Framehouse) -> Any:
    yield
    assert framehouse("datasets").returncode == 0


def test_a_missing_path(framehouse: Framehouse, tmp_path: Path, unique_name: str) -> None:
    message = failure(framehouse("import", str(tmp_path / "nothing"), "--name", unique_name))
    assert "nothing" in message
    assert "no such file" in message


@pytest.mark.parametrize("kind", ["folder", "zip", "zero bytes"])
def test_an_empty_source(framehouse: Framehouse, tmp_path: Path, unique_name: str, kind: str) -> None:
    source = tmp_path / "empty"
    if kind == "zip":
        source = archive(tmp_path / "empty.zip", {})
    elif kind == "folder":
        source.mkdir()
    else:
        source = tmp_path / "empty.zip"
        source.touch()
    message = failure(framehouse("import", str(source), "--name", unique_name))
    assert "empty" in message or "no files" in message or "no bytes" in message


def test_a_zip_that_is_no_zip(framehouse: Framehouse, tmp_path: Path, unique_name: str) -> None:
    (tmp_path / "cars.zip").write_text("this is a letter\n" * 100)
    message = failure(framehouse("import", str(tmp_path / "cars.zip"), "--name", unique_name))
    assert "no zip or tar archive" in message


def test_a_truncated_zip(framehouse: Framehouse, tmp_path: Path, unique_name: str) -> None:
    whole = archive(tmp_path / "whole.zip", dataset()).read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[: len(whole) * 2 // 3])
    message = failure(framehouse("import", str(tmp_path / "cut.zip"), "--name", unique_name))
    assert "cut off" in message or "truncated" in message
    assert "again" in message


def test_an_archive_of_no_known_format(framehouse: Framehouse, tmp_path: Path, unique_name: str) -> None:
    source = archive(tmp_path / "letters.zip", {"a/letter.txt": b"dear reader"})
    message = failure(framehouse("import", str(source), "--name", unique_name))
    assert "--format" in message


def test_a_format_that_does_not_exist(framehouse: Framehouse, tmp_path: Path, unique_name: str) -> None:
    source = archive(tmp_path / "cars.zip", dataset())
    message = failure(framehouse("import", str(source), "--name", unique_name, "--format", "ultralytics-detct"))
    assert "ultralytics-detect" in message


def test_a_class_that_does_not_exist(framehouse: Framehouse, tmp_path: Path, unique_name: str) -> None:
    source = archive(tmp_path / "cars.zip", dataset(b"0 0.5 0.5 0.5 0.5\n7 0.5 0.5 0.5 0.5\n"))
    summary = imported(framehouse, source, unique_name)
    found = issue(summary, "LABEL_CLASS_UNKNOWN")
    assert (found["path"], int(found["line"])) == ("labels/train/other.txt", 2)
    assert found["remedy"]
    assert int(summary["dataset"]["annotationCount"]) == 2


def test_letters_where_a_number_should_be(framehouse: Framehouse, tmp_path: Path, unique_name: str) -> None:
    source = archive(tmp_path / "cars.zip", dataset(b"0 0.5 half 0.5 0.5\n0 0.5 0.5 0.5 0.5\n"))
    summary = imported(framehouse, source, unique_name)
    found = issue(summary, "LABEL_NOT_A_NUMBER")
    assert (found["path"], int(found["line"])) == ("labels/train/other.txt", 1)
    assert "half" in found["message"]
    assert int(summary["dataset"]["annotationCount"]) == 2


def test_the_policy_fail_stops_at_the_first_error(framehouse: Framehouse, tmp_path: Path, unique_name: str) -> None:
    source = archive(tmp_path / "cars.zip", dataset(b"0 0.5 half 0.5 0.5\n"))
    message = failure(framehouse("import", str(source), "--name", unique_name, "--on-error", "fail"))
    assert "labels/train/other.txt:1" in message
    assert framehouse("show", unique_name).returncode == 1


def test_a_label_without_its_image(framehouse: Framehouse, tmp_path: Path, unique_name: str) -> None:
    files = dataset() | {"labels/train/gone.txt": b"0 0.5 0.5 0.5 0.5\n"}
    summary = imported(framehouse, archive(tmp_path / "cars.zip", files), unique_name)
    assert issue(summary, "LABEL_WITHOUT_IMAGE")["path"] == "labels/train/gone.txt"
    assert int(summary["dataset"]["imageCount"]) == 2


def test_an_image_that_does_not_decode(framehouse: Framehouse, tmp_path: Path, unique_name: str) -> None:
    files = dataset() | {"images/train/cut.jpg": JPEG[: len(JPEG) // 2], "images/train/text.jpg": b"no image at all"}
    summary = imported(framehouse, archive(tmp_path / "cars.zip", files), unique_name)
    assert issue(summary, "IMAGE_TRUNCATED")["path"] == "images/train/cut.jpg"
    assert {one["path"] for one in summary["issues"] if one["severity"] == "SEVERITY_ERROR"} == {
        "images/train/cut.jpg",
        "images/train/text.jpg",
    }
    assert int(summary["dataset"]["imageCount"]) == 2


def test_a_name_that_leaves_its_folder(framehouse: Framehouse, tmp_path: Path, unique_name: str) -> None:
    files = dataset() | {"../../etc/passwd": b"x", "/absolute.jpg": JPEG}
    summary = imported(framehouse, archive(tmp_path / "cars.zip", files), unique_name)
    assert {one["path"] for one in summary["issues"] if one["code"] == "ENTRY_NAME_ESCAPES"} == {
        "../../etc/passwd",
        "/absolute.jpg",
    }
    assert int(summary["dataset"]["imageCount"]) == 2


def test_nothing_usable_fails_the_job_and_leaves_no_dataset(
    framehouse: Framehouse, tmp_path: Path, unique_name: str
) -> None:
    files = {"data.yaml": DATA_YAML, "images/train/a.jpg": b"no image", "labels/train/a.txt": b"0 0.5 0.5 0.5 0.5\n"}
    message = failure(framehouse("import", str(archive(tmp_path / "cars.zip", files)), "--name", unique_name))
    assert "images/train/a.jpg" in message
    assert framehouse("show", unique_name).returncode == 1


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(width).integers(0, 255, (height, width, 3), np.uint8))


def encoded(image: Image.Image, plugin: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, plugin, **options)
    return file.getvalue()


def png_of(side: int) -> bytes:
    """A PNG that says so many pixels, and has few."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    parts = (b"IHDR", header), (b"IDAT", zlib.compress(bytes(1 << 20))), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def entry(name: str, mode: int = 0, host: int = 3, **fields: Any) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo(name)
    made.create_system, made.external_attr = host, mode << 16
    for field, value in fields.items():
        setattr(made, field, value)
    return made


def test_an_archive_of_everything_that_can_be_wrong(
    stack: StackInfo, client: Client, tmp_path: Path, unique_name: str
) -> None:
    """Each has its code, what is well is used, and no process takes more memory than an ordinary import does."""
    jpeg = encoded(noise(64, 48), "JPEG")
    endless = b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x12\x01\x03\0\xff\xff\xff\xff\x08\0\0\0" * 3
    moving = encoded(noise(64, 48), "WEBP", save_all=True, append_images=[noise(64, 48).rotate(180)])
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as nested:
        nested.writestr("inside.jpg", jpeg)
    field = struct.pack("<BI", 1, zlib.crc32(b"__.jpg")) + "名前.jpg".encode()
    long = "l" * 300 + ".jpg"
    files: list[tuple[str | zipfile.ZipInfo, bytes, set[str]]] = [
        ("good.jpg", jpeg, set()),
        ("empty.jpg", b"", {"IMAGE_UNREADABLE"}),
        ("cut.jpg", jpeg[: len(jpeg) // 2], {"IMAGE_TRUNCATED"}),
        ("letter.jpg", b"dear reader", {"IMAGE_UNSUPPORTED"}),
        ("really-a-png.jpg", encoded(noise(64, 48), "PNG"), {"IMAGE_EXTENSION_DIFFERS"}),
        ("png-bomb.png", png_of(60_000), {"IMAGE_TOO_MANY_PIXELS"}),
        ("zip-bomb.bmp", bytes(4 << 20), {"ENTRY_EXPANDS_TOO_MUCH"}),
        ("large.bmp", np.random.default_rng(0).bytes(1 << 20) + bytes(50 << 20), {"IMAGE_TOO_LARGE"}),
        ("exif-loop.jpg", encoded(noise(64, 48), "JPEG", exif=endless), {"IMAGE_METADATA_DAMAGED"}),
        ("moving.webp", moving, {"IMAGE_ANIMATED"}),
        ("column.png", encoded(Image.new("L", (1, 20_000)), "PNG"), {"IMAGE_TOO_SMALL"}),
        ("nested.zip", inner.getvalue(), {"ARCHIVE_NESTED"}),
        ("../up.jpg", jpeg, {"ENTRY_NAME_ESCAPES"}),
        ("/top.jpg", jpeg, {"ENTRY_NAME_ESCAPES"}),
        ("C:\\drive.jpg", jpeg, {"ENTRY_NAME_ESCAPES"}),
        ("two\nlines.jpg", jpeg, {"ENTRY_NAME_UNUSABLE"}),
        (long, jpeg, {"ENTRY_NAME_LONG"}),
        ("日本.jpg", jpeg, set()),
        (entry("gr@n.jpg", host=0), jpeg, set()),
        (entry("__.jpg", extra=struct.pack("<HH", 0x7075, len(field)) + field), jpeg, set()),
        (entry("link.jpg", 0o120777), b"/etc/passwd", {"ENTRY_IS_LINK"}),
        (entry("device.jpg", 0o020666), b"", {"ENTRY_IS_LINK"}),
        ("twice.jpg", b"first", {"ENTRY_DUPLICATE"}),
        ("twice.jpg", jpeg, {"ENTRY_DUPLICATE"}),
    ]
    renamed = {"gr@n.jpg": "grün.jpg", "__.jpg": "名前.jpg", "C:\\drive.jpg": "C:/drive.jpg"}
    expected = {renamed.get(name, name): codes for one, _, codes in files for name in [getattr(one, "filename", one)]}
    path = tmp_path / "everything.zip"
    with (
        warnings.catch_warnings(action="ignore"),
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
    ):
        for name, data, _ in files:
            archive.writestr(name, data, zipfile.ZIP_DEFLATED)
    path.write_bytes(path.read_bytes().replace(b"gr@n", b"gr\x81n"))  # as cp437 has it

    before = {process.name: peak_memory(process.pid) for process in stack.processes}
    dataset = client.import_dataset(path, unique_name, format="image-dir").dataset
    grown = {process.name: peak_memory(process.pid) - before[process.name] for process in stack.processes}
    found: dict[str, set[str]] = {name: set() for name in expected}
    for issue in client.list_issues(unique_name):
        assert issue.message
        assert issue.remedy
        found[issue.path].add(issue.code)
    assert found == expected
    assert set(open_table(f"tables/{dataset.uid}.lance").to_table(columns=["path"])["path"].to_pylist()) == {
        *("good.jpg", "really-a-png.jpg", "exif-loop.jpg", "moving.webp", "twice.jpg"),
        *(long, "日本.jpg", "grün.jpg", "名前.jpg"),
    }
    assert max(grown.values()) < 300 << 20, grown


def peak_memory(pid: int) -> int:
    """Resident bytes of a process at most, so far."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmHWM"))


def test_an_archive_of_archives_alone(framehouse: Framehouse, tmp_path: Path, unique_name: str) -> None:
    inner = archive(tmp_path / "inner.zip", dataset()).read_bytes()
    message = failure(framehouse("import", str(archive(tmp_path / "a.zip", {"b.zip": inner})), "--name", unique_name))
    assert "b.zip" in message
    assert "unpack" in message


def test_a_tar_of_links_and_devices(framehouse: Framehouse, tmp_path: Path, unique_name: str) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as source:
        for name, kind in (("l.jpg", tarfile.SYMTYPE), ("h.jpg", tarfile.LNKTYPE), ("d.jpg", tarfile.CHRTYPE)):
            special = tarfile.TarInfo(name)
            special.type, special.linkname = kind, "/etc/passwd"
            source.addfile(special)
        good = tarfile.TarInfo("good.jpg")
        good.size = len(JPEG)
        source.addfile(good, io.BytesIO(JPEG))
    summary = imported(framehouse, tmp_path / "a.tar", unique_name)
    told = {(one["code"], one["path"]) for one in summary["issues"]}
    assert told == {("ENTRY_IS_LINK", name) for name in ("l.jpg", "h.jpg", "d.jpg")}
    assert int(summary["dataset"]["imageCount"]) == 1


def test_a_name_that_is_taken(framehouse: Framehouse, tmp_path: Path, unique_name: str) -> None:
    source = archive(tmp_path / "cars.zip", dataset())
    imported(framehouse, source, unique_name)
    message = failure(framehouse("import", str(source), "--name", unique_name))
    assert "exists already" in message


def test_an_unknown_dataset_and_an_unknown_target(framehouse: Framehouse, tmp_path: Path, unique_name: str) -> None:
    assert "does not exist" in failure(framehouse("stats", "no-such-dataset"))
    imported(framehouse, archive(tmp_path / "cars.zip", dataset()), unique_name)
    target = tmp_path / "out.zip"
    message = failure(framehouse("export", unique_name, "--to", "coco-instance", "--out", str(target)))
    assert "coco-instances" in message
    assert not target.exists()


def test_an_export_never_spoils_what_was_there(framehouse: Framehouse, tmp_path: Path) -> None:
    target = tmp_path / "out.zip"
    target.write_text("precious")
    failure(framehouse("export", "no-such-dataset", "--to", "coco-instances", "--out", str(target)))
    assert target.read_text() == "precious"
    shutil.rmtree(tmp_path)
