"""One dataset, sent in every way there is: the same numbers, and the same images out again."""

import json
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.samples import draw_dataset

Framehouse = Callable[..., subprocess.CompletedProcess[str]]


def run(framehouse: Framehouse, *arguments: str) -> Any:
    result = framehouse(*arguments, "--json")
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def tar(folder: Path, target: Path) -> Path:
    with tarfile.open(target, "w") as archive:
        archive.add(folder, ".")
    return target


def compressed(source: Path, codec: str, target: Path) -> Path:
    with pa.CompressedOutputStream(target, codec) as stream:
        stream.write(source.read_bytes())
    return target


def sent_as(kind: str, folder: Path) -> Path:
    """The folder as what it is to be sent as."""
    if kind == "zip":
        with zipfile.ZipFile(folder.with_suffix(".zip"), "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(folder.rglob("*")):
                archive.write(file, file.relative_to(folder))
        return folder.with_suffix(".zip")
    plain = tar(folder, folder.with_suffix(".tar"))
    return {
        "folder": folder,
        "tar": plain,
        "tar.gz": compressed(plain, "gzip", folder.with_suffix(".tar.gz")),
        "tar.zst": compressed(plain, "zstd", folder.with_suffix(".tar.zst")),
    }[kind]


@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "tar.gz", "tar.zst"])
def test_every_source_gives_the_same_dataset(
    framehouse: Framehouse, tmp_path: Path, unique_name: str, kind: str
) -> None:
    folder = tmp_path / "shapes"
    truth = draw_dataset(folder, images=12, seed=11)
    summary = run(framehouse, "import", str(sent_as(kind, folder)), "--name", unique_name)
    assert summary.get("issues", []) == []
    statistics = run(framehouse, "stats", unique_name)
    drawn = [item.label for picture in truth for item in picture.objects]
    assert int(statistics["imageCount"]) == len(truth)
    assert {one["split"]: int(one["imageCount"]) for one in statistics["splits"]} == {"train": 10, "val": 2}
    assert {one["label"]: int(one["annotationCount"]) for one in statistics["classes"]} == {
        label: drawn.count(label) for label in ("circle", "rectangle", "triangle")
    }
    assert int(summary["dataset"]["imageBytes"]) == sum((folder / one.path).stat().st_size for one in truth)

    target = tmp_path / "out.zip"
    run(framehouse, "export", unique_name, "--to", "coco-instances", "--out", str(target))
    with zipfile.ZipFile(target) as archive:
        assert archive.testzip() is None
        for picture in truth:
            assert archive.read(picture.path) == (folder / picture.path).read_bytes()


def test_labels_of_coco_are_read_from_a_tar(framehouse: Framehouse, tmp_path: Path, unique_name: str) -> None:
    draw_dataset(tmp_path / "shapes", images=5, seed=12)
    coco = tmp_path / "coco"
    run(framehouse, "convert", str(tmp_path / "shapes"), "--to", "coco-instances", "--out", str(coco))
    archive = tar(coco, tmp_path / "coco.tar")
    assert "coco-instances" in run(framehouse, "import", str(archive), "--name", unique_name)["dataset"]["sourceFormat"]


def test_images_alone_are_a_dataset(framehouse: Framehouse, tmp_path: Path, unique_name: str) -> None:
    draw_dataset(tmp_path / "shapes", images=4, seed=13)
    images = sorted((tmp_path / "shapes" / "images" / "train").iterdir())
    summary = run(framehouse, "import", *map(str, images), "--name", unique_name)
    assert (int(summary["dataset"]["imageCount"]), summary["dataset"]["sourceFormat"]) == (4, "image-dir")
    target = tmp_path / "out"
    run(framehouse, "export", unique_name, "--to", "image-dir", "--out", str(target))
    for image in images:
        assert (target / "images" / "default" / image.name).read_bytes() == image.read_bytes()


def test_a_compressed_file_that_is_no_tar(framehouse: Framehouse, tmp_path: Path, unique_name: str) -> None:
    letter = tmp_path / "letter"
    letter.write_text("dear reader\n" * 100)
    result = framehouse("import", str(compressed(letter, "gzip", tmp_path / "letter.gz")), "--name", unique_name)
    assert result.returncode == 1
    assert "no tar archive, but looks like a text file" in result.stderr
