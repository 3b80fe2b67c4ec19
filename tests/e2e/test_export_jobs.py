"""Exports from beginning to end: filtered, by a recipe, in volumes, cut off, and with a service that dies."""

import json
import os
import signal
import threading
import zipfile
from pathlib import Path
from typing import Any

import pytest

from framehouse.client import Client, classes
from framehouse.client.errors import FailedPrecondition
from framehouse.store.bucket import Bucket
from tests.conftest import Framehouse
from tests.e2e.test_faults import process_of, wait_until
from tests.samples import draw_dataset, photo_archive

FORMAT = "ultralytics-detect"
FILTER = "split = train AND annotations > 0 AND label:circle"


def test_a_filtered_export_by_a_recipe_in_volumes_has_what_was_asked_for(
    client: Client, tmp_path: Path, unique_name: str, framehouse: Framehouse
) -> None:
    source = tmp_path / "source"
    truth = draw_dataset(source, 60)
    client.import_dataset(source, unique_name)
    saved = ["--to", FORMAT, "--filter", "split = val", "--rename", "circle=disc", "--merge", "triangle=disc"]
    assert framehouse("recipes", "save", unique_name, *saved).returncode == 0
    command = ["export", unique_name, "--recipe", unique_name, "--filter", FILTER, "--volume-size", "1MiB", "--json"]
    done = framehouse(*command, "--out", str(tmp_path / "out.zip"))
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    volumes = [Path(path) for path in answer["written"]]
    assert [path.name for path in volumes] == [f"out-{i:03d}.zip" for i in range(1, len(volumes) + 1)]
    assert len(volumes) > 1
    assert all(path.stat().st_size <= 1 << 20 for path in volumes)

    wanted: dict[str, bytes] = {}
    for picture in truth:
        if picture.split == "train" and any(item.label == "circle" for item in picture.objects):
            image = source / picture.path
            label = source / picture.path.replace("images", "labels")
            lines = label.with_suffix(".txt").read_text().splitlines()
            # circle and triangle are disc, number 0; rectangle stays 1.
            numbers = {"0": "0", "1": "1", "2": "0"}
            lines = [f"{numbers[line.split()[0]]} {line.partition(' ')[2]}" for line in lines]
            wanted[picture.path] = image.read_bytes()
            wanted[str(Path(picture.path.replace("images", "labels")).with_suffix(".txt"))] = "\n".join(lines).encode()
    found: dict[str, bytes] = {}
    for path in volumes:
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
            said = json.loads(archive.read("framehouse-manifest.json"))
            found |= {
                name: archive.read(name).rstrip() if name.endswith(".txt") else archive.read(name)
                for name in archive.namelist()
            }
    del found["framehouse-manifest.json"]
    yaml = found.pop("data.yaml").decode()
    assert ("disc" in yaml, "rectangle" in yaml, "circle" in yaml, "triangle" in yaml) == (True, True, False, False)
    assert found.keys() == wanted.keys()
    assert [name for name in wanted if name.endswith(".txt") and not same_lines(found[name], wanted[name])] == []
    assert all(found[name] == data for name, data in wanted.items() if not name.endswith(".txt"))
    images = len(wanted) // 2
    export = answer["export"]
    assert (export["imageCount"], said["image_count"], said["splits"]) == (images, images, {"train": images})
    assert sum(said["classes"].values()) == export["annotationCount"] == said["annotation_count"]

    # All volumes unpacked into one folder are the dataset again, and the manifest is no part of it.
    client.download(export["name"], tmp_path / "unpacked")
    again = client.import_dataset(tmp_path / "unpacked", f"{unique_name}-b")
    assert (again.dataset.image_count, len(again.issue_counts)) == (images, 0)


def same_lines(one: bytes, other: bytes) -> bool:
    """Whether two label files have the same lines, to six decimals."""
    numbers = [
        [[round(float(word), 5) for word in line.split()] for line in text.splitlines()] for text in (one, other)
    ]
    return numbers[0] == numbers[1]


def test_class_changes_are_those_of_the_sdk(client: Client, tmp_path: Path, unique_name: str) -> None:
    draw_dataset(tmp_path / "source", 10)
    client.import_dataset(tmp_path / "source", unique_name)
    dropped = [classes.delete("circle", annotations="remove")]
    export = client.export_dataset(unique_name, FORMAT, tmp_path / "out", class_changes=dropped).export
    assert "circle" not in (tmp_path / "out/data.yaml").read_text()
    assert [label.name for label in client.get_dataset(unique_name).labels.labels] == [
        "circle",
        "rectangle",
        "triangle",
    ]
    assert export.write.class_changes == dropped


def test_what_arrives_damaged_is_thrown_away(client: Client, tmp_path: Path, unique_name: str) -> None:
    draw_dataset(tmp_path / "source", 10)
    client.import_dataset(tmp_path / "source", unique_name)
    export = client.export_dataset(unique_name, FORMAT).export
    part = tmp_path / f".out.zip.{export.name.removeprefix('exports/')[:12]}.part"
    part.write_bytes(b"PK\3\4 of another")
    with pytest.raises(FailedPrecondition) as failure:
        client.download(export.name, tmp_path / "out.zip")
    assert failure.value.reason == "DOWNLOAD_DAMAGED"
    assert not part.exists()
    assert client.download(export.name, tmp_path / "out.zip") == [tmp_path / "out.zip"]


def test_export_killed_in_the_middle_of_an_archive_ends_it_after_its_restart(
    stack: Any, client: Client, bucket: Bucket, tmp_path: Path, unique_name: str
) -> None:
    photo_archive(tmp_path / "photos.zip", images=300, kilobytes=80)
    client.import_dataset(tmp_path / "photos.zip", unique_name)
    result: list[Any] = []
    known = set(bucket.keys("exports/"))
    exporting = threading.Thread(
        target=lambda: result.append(client.export_dataset(unique_name, FORMAT, tmp_path / "out", volume_bytes=1 << 20))
    )
    before = process_of(stack, "export")
    exporting.start()
    wait_until(lambda: any(key.endswith("-001.zip") for key in set(bucket.keys("exports/")) - known), seconds=60)
    os.kill(before, signal.SIGKILL)
    written = set(bucket.keys("exports/")) - known
    exporting.join(60)
    assert process_of(stack, "export") != before
    assert not any(key.endswith(".pb") for key in written)
    export = result[0].export
    assert len(export.files) > len(written)
    with zipfile.ZipFile(tmp_path / "photos.zip") as archive:
        for name in archive.namelist():
            if name.endswith(".jpg"):
                assert (tmp_path / "out" / name).read_bytes() == archive.read(name)
    left = set(bucket.keys(f"{export.name}/")) - {f"{export.name}/{file.name}" for file in export.files}
    assert left == {f"{export.name}/export.pb"}
