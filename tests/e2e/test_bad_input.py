"""What goes wrong with input ends in one clear message or an issue in the summary, and the suite keeps serving."""

import json
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

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


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_an_empty_source(framehouse: Framehouse, tmp_path: Path, unique_name: str, kind: str) -> None:
    source = tmp_path / "empty"
    if kind == "zip":
        source = archive(tmp_path / "empty.zip", {})
    else:
        source.mkdir()
    message = failure(framehouse("import", str(source), "--name", unique_name))
    assert "empty" in message or "no files" in message


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
