"""The sample datasets: the same seed gives the same bytes, and the truth is what was drawn."""

import hashlib
import zipfile
from pathlib import Path

import cv2
import numpy as np
from pycocotools.coco import COCO

from tests.samples import CATEGORY_IDS, COLOURS, draw_dataset, photo_archive, synthetic_coco

CLASSES = ("circle", "rectangle", "triangle")


def files(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_same_seed_draws_the_same_bytes(tmp_path: Path) -> None:
    truth = draw_dataset(tmp_path / "one", images=12, seed=3)
    assert draw_dataset(tmp_path / "two", images=12, seed=3) == truth
    assert files(tmp_path / "one") == files(tmp_path / "two")
    assert draw_dataset(tmp_path / "other", images=12, seed=4) != truth


def test_the_truth_is_where_the_pixels_are(tmp_path: Path) -> None:
    truth = draw_dataset(tmp_path, images=31)
    exact = [picture for picture in truth if picture.path.endswith(".png")]
    assert exact
    for picture in exact:
        pixels = cv2.imread(str(tmp_path / picture.path))
        assert pixels is not None
        assert pixels.shape == (picture.height, picture.width, 3)
        for item in picture.objects:
            drawn = (pixels == COLOURS[CLASSES.index(item.label)]).all(axis=2).astype(np.uint8)
            box = drawn[item.y : item.y + item.height, item.x : item.x + item.width]
            assert cv2.boundingRect(box) == (0, 0, item.width, item.height)
            drawn[item.y : item.y + item.height, item.x : item.x + item.width] = 0
            ring = drawn[max(item.y - 1, 0) : item.y + item.height + 1, max(item.x - 1, 0) : item.x + item.width + 1]
            assert not ring.any()


def test_the_labels_say_the_truth(tmp_path: Path) -> None:
    for picture in draw_dataset(tmp_path, images=20):
        labels = tmp_path / picture.path.replace("images", "labels", 1).rpartition(".")[0]
        lines = labels.with_suffix(".txt").read_text().splitlines() if labels.with_suffix(".txt").exists() else []
        assert len(lines) == len(picture.objects)
        for line, item in zip(lines, picture.objects, strict=True):
            number, x, y, width, height = (float(word) for word in line.split())
            assert CLASSES[int(number)] == item.label
            size = (picture.width, picture.height) * 2
            read = np.array((x - width / 2, y - height / 2, width, height)) * size
            assert np.abs(read - item[1:]).max() < 1e-6 * max(size)


def test_an_archive_of_photographs_has_the_size_asked_for_and_no_image_twice(tmp_path: Path) -> None:
    total = photo_archive(tmp_path / "photos.zip", images=40, kilobytes=60)
    assert 45 < total / 40 / 1024 < 80
    with zipfile.ZipFile(tmp_path / "photos.zip") as archive:
        images = [archive.read(name) for name in archive.namelist() if name.endswith(".jpg")]
    assert len(set(images)) == 40
    assert all(cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR) is not None for image in images)


def test_a_synthetic_coco_file_is_shaped_like_train2017(tmp_path: Path) -> None:
    count = synthetic_coco(tmp_path / "instances.json", images=2_500, annotations_per_image=7.3)
    coco = COCO(tmp_path / "instances.json")
    annotations = coco.loadAnns(coco.getAnnIds())
    assert len(coco.getImgIds()) == 2_500
    assert len(annotations) == count
    assert 6 < count / 2_500 < 9
    assert coco.getCatIds() == CATEGORY_IDS
    polygons = [annotation for annotation in annotations if not annotation["iscrowd"]]
    assert 60 < np.mean([sum(map(len, annotation["segmentation"])) for annotation in polygons]) < 80
    crowd = next(annotation for annotation in annotations if annotation["iscrowd"])
    for annotation in (polygons[0], crowd):
        mask = coco.annToMask(annotation)
        x, y, width, height = annotation["bbox"]
        rows, columns = np.nonzero(mask)
        assert abs(columns.min() - x) < 3
        assert abs(rows.min() - y) < 3
        assert abs(columns.max() - x - width) < 3
        assert abs(rows.max() - y - height) < 3
