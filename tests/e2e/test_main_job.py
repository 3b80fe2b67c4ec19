"""The main job as a user does it: in, measured, and out in another format."""

import json
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pycocotools.coco import COCO

from framehouse.client import Client
from tests.samples import draw_dataset

Framehouse = Callable[..., subprocess.CompletedProcess[str]]

FIXTURES = Path(__file__).parents[2].parent / "shared" / "fixtures"

needs_fixtures = pytest.mark.skipif(not FIXTURES.is_dir(), reason="the sample datasets are not here")


def run(framehouse: Framehouse, *arguments: str) -> Any:
    result = framehouse(*arguments, "--json")
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def zipped(folder: Path, target: Path) -> Path:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder.parent))
    return target


@pytest.mark.parametrize("source", ["folder", "deflated zip with a root folder"])
def test_a_drawn_dataset_comes_out_as_it_was_drawn(
    framehouse: Framehouse, tmp_path: Path, unique_name: str, source: str
) -> None:
    truth = draw_dataset(tmp_path / "shapes", images=40, seed=3)
    path = tmp_path / "shapes"
    if source != "folder":
        path = zipped(path, tmp_path / "shapes.zip")
    summary = run(framehouse, "import", str(path), "--name", unique_name)
    objects = sum(len(picture.objects) for picture in truth)
    assert int(summary["dataset"]["imageCount"]) == len(truth)
    assert int(summary["dataset"]["annotationCount"]) == objects
    assert summary.get("issues", []) == []

    statistics = run(framehouse, "stats", unique_name)
    assert {one["split"]: int(one["imageCount"]) for one in statistics["splits"]} == {"train": 32, "val": 8}
    drawn = [item.label for picture in truth for item in picture.objects]
    assert {one["label"]: int(one["annotationCount"]) for one in statistics["classes"]} == {
        label: drawn.count(label) for label in ("circle", "rectangle", "triangle")
    }

    target = tmp_path / "coco.zip"
    run(framehouse, "export", unique_name, "--to", "coco-instances", "--out", str(target))
    found = coco_boxes(target, tmp_path / "out")
    for picture in truth:
        name = picture.path.removeprefix("images/")
        expected = sorted((item.label, item.x, item.y, item.width, item.height) for item in picture.objects)
        assert [label for label, *_ in found[name]] == [label for label, *_ in expected]
        for (_, *box), (_, *drawn_box) in zip(found[name], expected, strict=True):
            assert box == pytest.approx(drawn_box, abs=0.01)
        with zipfile.ZipFile(target) as archive:
            assert archive.read(picture.path) == (tmp_path / "shapes" / picture.path).read_bytes()


def coco_boxes(archive: Path, folder: Path) -> dict[str, list[tuple[Any, ...]]]:
    """(label, x, y, width, height) of every image of an exported archive, by `split/name`, read by pycocotools."""
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(folder)
    boxes: dict[str, list[tuple[Any, ...]]] = {}
    for file in sorted(folder.glob("annotations/*.json")):
        split = file.stem.removeprefix("instances_")
        coco = COCO(file)
        for image in coco.loadImgs(coco.getImgIds()):
            annotations = coco.loadAnns(coco.getAnnIds(image["id"]))
            boxes[f"{split}/{image['file_name']}"] = sorted(
                (coco.cats[one["category_id"]]["name"], *one["bbox"]) for one in annotations
            )
    return boxes


@needs_fixtures
@pytest.mark.parametrize(
    ("fixture", "expected"),
    [
        ("ultralytics-detect/yolov8_detection.dir.cvat", "yolov8_detection.dir.cvat"),
        ("ultralytics-detect/yolov8_detection.with_list_of_names.cvat", "yolov8_detection.with_list_of_names.cvat"),
        ("coco-instances/coco_instances.dir", "coco_instances.dir"),
    ],
)
@pytest.mark.parametrize("target", ["coco-instances", "ultralytics-detect"])
def test_a_fixture_keeps_its_counts_through_import_and_export(
    framehouse: Framehouse, tmp_path: Path, unique_name: str, fixture: str, expected: str, target: str
) -> None:
    truth = json.loads((FIXTURES / "expected" / f"{expected}.json").read_text())
    run(framehouse, "import", str(FIXTURES / fixture), "--name", unique_name, "--min-side", "0")
    statistics = run(framehouse, "stats", unique_name)
    assert {one["split"]: int(one["imageCount"]) for one in statistics["splits"]} == truth["subsets"]
    assert [one["label"] for one in statistics["classes"]] == truth["labels"]
    assert int(statistics["annotationCount"]) == objects_in(truth)

    archive = tmp_path / "out.zip"
    run(framehouse, "export", unique_name, "--to", target, "--out", str(archive))
    again = f"{unique_name}-again"
    run(framehouse, "import", str(archive), "--name", again, "--min-side", "0")
    second = run(framehouse, "stats", again)
    for field in ("imageCount", "annotationCount", "splits", "classes"):
        assert second[field] == statistics[field]


def objects_in(truth: dict[str, Any]) -> int:
    """Objects of an expectation, which has a box with the same id beside each polygon or mask."""
    total = 0
    for item in truth["items"]:
        shapes = {one["id"] for one in item["annotations"] if one["type"] in ("polygon", "mask")}
        total += sum(one["type"] != "bbox" or one["id"] not in shapes for one in item["annotations"])
    return total


def test_convert_keeps_no_dataset(framehouse: Framehouse, tmp_path: Path) -> None:
    draw_dataset(tmp_path / "shapes", images=10, seed=5)
    before = run(framehouse, "datasets")
    run(framehouse, "convert", str(tmp_path / "shapes"), "--to", "coco-instances", "--out", str(tmp_path / "converted"))
    assert run(framehouse, "datasets") == before
    assert len(list((tmp_path / "converted" / "annotations").glob("instances_*.json"))) == 2
    first = tmp_path / "shapes" / "images" / "train" / "000000.jpg"
    assert (tmp_path / "converted" / "images" / "train" / "000000.jpg").read_bytes() == first.read_bytes()


def test_an_export_without_images_still_names_them(framehouse: Framehouse, tmp_path: Path, unique_name: str) -> None:
    draw_dataset(tmp_path / "shapes", images=5)
    run(framehouse, "import", str(tmp_path / "shapes"), "--name", unique_name)
    target = tmp_path / "labels.zip"
    run(framehouse, "export", unique_name, "--to", "coco-instances", "--out", str(target), "--no-images")
    with zipfile.ZipFile(target) as archive:
        assert all(name.endswith(".json") for name in archive.namelist())
        train = json.loads(archive.read("annotations/instances_train.json"))
    assert {image["file_name"] for image in train["images"]} == {f"00000{number}.jpg" for number in range(4)}


def test_the_same_export_twice_is_the_same_bytes(framehouse: Framehouse, tmp_path: Path, unique_name: str) -> None:
    draw_dataset(tmp_path / "shapes", images=10)
    run(framehouse, "import", str(tmp_path / "shapes"), "--name", unique_name)
    archives = [tmp_path / "a.zip", tmp_path / "b.zip"]
    for archive in archives:
        run(framehouse, "export", unique_name, "--to", "ultralytics-detect", "--out", str(archive))
    assert archives[0].read_bytes() == archives[1].read_bytes()


def test_a_deleted_dataset_is_gone_and_its_name_is_free(
    client: Client, framehouse: Framehouse, tmp_path: Path, unique_name: str
) -> None:
    draw_dataset(tmp_path / "shapes", images=5)
    client.import_dataset(tmp_path / "shapes", unique_name)
    assert "purgeTime" in run(framehouse, "delete", unique_name)
    assert framehouse("show", unique_name).returncode == 1
    client.import_dataset(tmp_path / "shapes", unique_name)
    other = run(framehouse, "restore", unique_name, "--as", f"{unique_name}-2")
    assert (other["name"], other["imageCount"]) == (f"users/local/datasets/{unique_name}-2", 5)
    refused = framehouse("delete", unique_name, "--purge")
    assert (refused.returncode, "--yes" in refused.stderr) == (1, True)
    run(framehouse, "delete", unique_name, "--purge", "--yes")
    trash = run(framehouse, "datasets", "--trash", "--filter", f'name = "{unique_name}*"')
    assert trash == {"datasets": []}


def test_a_clone_outlives_its_source_and_is_exported(
    client: Client, framehouse: Framehouse, tmp_path: Path, unique_name: str
) -> None:
    draw_dataset(tmp_path / "shapes", images=6)
    client.import_dataset(tmp_path / "shapes", unique_name)
    edited = run(framehouse, "edit", unique_name, "--license", "cc-by-sa-4.0", "--title", "Shapes", "--public")
    assert (edited["license"], edited["visibility"]) == ("CC-BY-SA-4.0", "VISIBILITY_PUBLIC")
    copy = f"{unique_name}-copy"
    cloned = run(framehouse, "clone", f"fh://local/datasets/{unique_name}", copy)
    assert (cloned["clonedFrom"], cloned["licenseLocked"]) == (f"users/local/datasets/{unique_name}", True)
    assert client.star_dataset(copy).star_count == 1
    before = client.statistics(unique_name)
    left = client.change_images(copy, "split = val", remove=True).dataset.image_count
    assert 0 < left < 6
    assert client.statistics(unique_name) == before
    client.purge_dataset(client.delete_dataset(unique_name).uid)
    assert [image.path for image in client.list_images(copy, "label:*")]
    assert client.statistics(copy).image_count == left
    exported = client.export_dataset(copy, "coco-instances", tmp_path / "out")
    assert exported.export.image_count == left
    assert len(list((tmp_path / "out").rglob("*.jpg"))) == left
    client.purge_dataset(client.delete_dataset(copy).uid)


def test_jobs_and_formats_are_listed(framehouse: Framehouse) -> None:
    assert {one["id"] for one in run(framehouse, "formats")["formats"]} >= {"coco-instances", "ultralytics-detect"}
    assert all(job["name"].startswith("jobs/") for job in run(framehouse, "jobs")["jobs"])
