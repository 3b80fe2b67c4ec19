"""Versions as a user makes them: what was in one comes out, whatever is done to the dataset, or to the suite."""

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from framehouse.client import Client
from framehouse.client.errors import FailedPrecondition
from framehouse.store.bucket import Bucket
from framehouse.store.packs import content_hash
from framehouse.v1 import dataset_pb2
from tests.benchmarks import big_table
from tests.e2e.test_faults import process_of
from tests.samples import Picture, draw_dataset

Framehouse = Callable[..., subprocess.CompletedProcess[str]]


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def as_drawn(picture: Picture, classes: list[str]) -> list[list[float]]:
    """The rows of a picture: class, centre and size, relative."""
    size = (picture.width, picture.height) * 2
    rows = []
    for item in picture.objects:
        box = (item.x + item.width / 2, item.y + item.height / 2, item.width, item.height)
        rows.append([classes.index(item.label), *(value / side for value, side in zip(box, size, strict=True))])
    return sorted(rows)


def test_a_snapshot_holds_what_was_drawn_whatever_comes_later(
    client: Client, framehouse: Framehouse, tmp_path: Path, unique_name: str
) -> None:
    truth = {picture.path: picture for picture in draw_dataset(tmp_path / "shapes", images=20, seed=8)}
    client.import_dataset(tmp_path / "shapes", unique_name)
    made = framehouse("versions", "create", unique_name, "-m", "as drawn", "--json")
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["snapshotState"] == "SNAPSHOT_STATE_READY"
    first = client.download_snapshot(f"{unique_name}@1", tmp_path / "first.ndjson")
    head, *images = lines(first)
    assert head["class_names"] == {"0": "circle", "1": "rectangle", "2": "triangle"}
    told = {name: head[name] for name in ("type", "task", "name", "description", "version")}
    assert told == {
        "type": "dataset",
        "task": "detect",
        "name": unique_name,
        "description": "as drawn",
        "version": 1,
    }
    assert head["created_at"] <= head["updated_at"]
    found = {f"images/{one['split']}/{one['file']}": one for one in images}
    assert found.keys() == truth.keys()
    files = {path: (tmp_path / "shapes" / path).read_bytes() for path in truth}
    assert head["bytes"] == sum(map(len, files.values()))
    for path, picture in truth.items():
        line = found[path]
        assert (line["width"], line["height"], line["hash"]) == (
            picture.width,
            picture.height,
            content_hash(files[path]),
        )
        assert "url" not in line
        rows = line.get("annotations", {}).get("boxes", [])
        assert len(rows) == len(picture.objects)
        for row, drawn in zip(sorted(rows), as_drawn(picture, ["circle", "rectangle", "triangle"]), strict=True):
            assert row == pytest.approx(drawn, abs=1e-5)

    client.change_images(unique_name, "split = val", move_to_split="test")
    client.change_images(unique_name, "label:circle", remove=True)
    assert client.create_version(unique_name, wait=False).number == 2
    again = client.download_snapshot(f"{unique_name}@1", tmp_path / "again.ndjson")
    assert again.read_bytes() == first.read_bytes()
    exported = [
        client.export_dataset(name, "ultralytics-ndjson", tmp_path / f"{place}", without_images=True).export
        for place, name in enumerate((f"{unique_name}@1", unique_name))
    ]
    left = sum(all(item.label != "circle" for item in picture.objects) for picture in truth.values())
    assert [one.image_count for one in exported] == [len(truth), left]
    differs = client.compare_versions(f"{unique_name}@1", f"{unique_name}@2")
    assert (differs.images.added_count, differs.images.removed_count) == (0, len(truth) - left)
    kept = [one for one in truth.values() if all(item.label != "circle" for item in one.objects)]
    assert differs.images.changed_count == differs.images.moved_count == sum(one.split == "val" for one in kept)
    assert client.restore_version(f"{unique_name}@1").image_count == len(truth)
    same = framehouse("versions", "compare", f"{unique_name}@1", "--json")
    assert json.loads(same.stdout)["images"]["changedCount"] == 0
    with pytest.raises(FailedPrecondition, match="no images"):
        client.change_images(unique_name, "*", remove=True)
        client.create_version(unique_name)


def test_a_snapshot_is_whole_although_export_is_killed(
    stack: Any, client: Client, bucket: Bucket, tmp_path: Path, unique_name: str
) -> None:
    count = 8_000
    big_table.publish(stack, unique_name, count)
    version = client.create_version(unique_name, wait=False)
    os.kill(process_of(stack, "export"), signal.SIGKILL)
    assert client.get_version(f"{unique_name}@1").snapshot_state == dataset_pb2.SNAPSHOT_STATE_PENDING
    with pytest.raises(FailedPrecondition, match="not written yet"):
        client.download_snapshot(f"{unique_name}@1", tmp_path / "early.ndjson")
    client.wait(version.snapshot_job)
    path = client.download_snapshot(f"{unique_name}@1", tmp_path / "snapshot.ndjson")
    head, *images = lines(path)
    assert len({f"{one['split']}/{one['file']}" for one in images}) == len(images) == count
    assert sum(len(one.get("annotations", {}).get("boxes", [])) for one in images) == version.annotation_count
    assert (head["version"], path.stat().st_size) == (1, client.get_version(f"{unique_name}@1").snapshot_size)
    assert list(bucket.keys(f"{version.snapshot_job}/")) == []
    assert list(bucket.unfinished("versions/")) == []
