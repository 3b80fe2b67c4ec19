"""The loss report and what is chosen of a dataset, as a user sees them."""

import json
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from framehouse.client import Client
from framehouse.client.errors import FailedPrecondition, InvalidArgument

Framehouse = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """COCO: a train image with a crowd's polygon and a box, a val image without anything."""
    jpeg = bytes(cv2.imencode(".jpg", np.full((48, 64, 3), 90, np.uint8))[1])
    path = tmp_path_factory.mktemp("losses") / "cars.zip"
    image = {"id": 1, "width": 64, "height": 48, "file_name": "1.jpg"}
    box = {"id": 2, "image_id": 1, "category_id": 2, "bbox": [1, 2, 10, 12]}
    ring = [5, 5, 20, 5, 20, 20]
    polygon = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [5, 5, 15, 15], "segmentation": [ring], "iscrowd": 1}
    categories = [{"id": 1, "name": "car"}, {"id": 2, "name": "bus"}]
    with zipfile.ZipFile(path, "w") as target:
        for split, annotations in (("train", [polygon, box]), ("val", [])):
            body = {"images": [image], "annotations": annotations, "categories": categories}
            target.writestr(f"annotations/instances_{split}.json", json.dumps(body))
            target.writestr(f"{split}/1.jpg", jpeg)
    return path


@pytest.fixture(scope="module")
def dataset(client: Client, archive: Path) -> str:
    client.import_dataset(archive, "test-losses")
    return "test-losses"


def test_a_dry_run_says_what_would_be_lost(framehouse: Framehouse, archive: Path, dataset: str) -> None:
    for command in (("export", dataset), ("convert", str(archive))):
        done = framehouse(*command, "--to", "yolo", "--dry-run", "--json")
        assert done.returncode == 0, done.stderr
        losses = json.loads(done.stdout)["losses"]
        assert {(loss["code"], loss["subject"], loss["annotationCount"], loss["imageCount"]) for loss in losses} == {
            ("KIND_UNSUPPORTED", "polygon", 1, 1),
            ("FLAG_UNSUPPORTED", "crowd", 1, 1),
        }
        assert all(loss["labels"] == ["car"] for loss in losses)
    table = framehouse("export", dataset, "--to", "yolo", "--dry-run").stdout
    assert "the upright box around it" in table
    assert framehouse("export", dataset, "--to", "coco", "--dry-run").stdout == "nothing would be lost\n"


def test_losses_are_told_while_it_is_written_and_strict_refuses_them(
    framehouse: Framehouse, client: Client, dataset: str, tmp_path: Path
) -> None:
    done = framehouse("export", dataset, "--to", "yolo", "--out", str(tmp_path / "a.zip"))
    assert "the upright box around it" in done.stderr
    with pytest.raises(FailedPrecondition, match="would lose"):
        client.export_dataset(dataset, "yolo", tmp_path / "b.zip", strict=True)
    assert not (tmp_path / "b.zip").exists()


def test_splits_classes_and_annotated_images_are_chosen(client: Client, dataset: str, tmp_path: Path) -> None:
    def written(name: str, **choices: object) -> dict[str, bytes]:
        target = tmp_path / f"{name}.zip"
        client.export_dataset(dataset, "coco", target, **choices)  # type: ignore[arg-type]
        with zipfile.ZipFile(target) as found:
            return {file: found.read(file) for file in found.namelist()}

    assert {name for name in written("val", splits=["valid"]) if name.endswith(".jpg")} == {"images/val/1.jpg"}
    assert {name for name in written("annotated", only_annotated=True) if name.endswith(".jpg")} == {
        "images/train/1.jpg"
    }
    body = json.loads(written("bus", labels=["bus"])["annotations/instances_train.json"])
    assert [category["name"] for category in body["categories"]] == ["bus"]
    assert [annotation["bbox"] for annotation in body["annotations"]] == [[1, 2, 10, 12]]
    turned = json.loads(
        written("both", labels=["bus", "car"], options={"coco.category-ids": "from_0"})[
            "annotations/instances_train.json"
        ]
    )
    assert [(one["id"], one["name"]) for one in turned["categories"]] == [(0, "bus"), (1, "car")]
    for choices, what in (
        ({"splits": ["test"]}, "no split 'test'"),
        ({"labels": ["cart"]}, "near are car"),
        ({"options": {"voc.keep_empty": "yes"}}, "has no option"),
    ):
        with pytest.raises(InvalidArgument, match=what):
            written("wrong", **choices)
