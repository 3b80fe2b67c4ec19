"""Reads an exported COCO dataset back with pycocotools, and says where it differs from what it should be."""

import contextlib
import hashlib
import io
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from pycocotools.coco import COCO

from tests.samples import Picture

LABEL_DECIMALS = 6
"""Of the relative numbers in the label files that were imported: a box is known no better than that."""


class Image(NamedTuple):
    """An image as the exported dataset has it."""

    split: str
    file: Path
    width: int
    height: int
    boxes: list[tuple[str, float, float, float, float]]
    """Class, and x, y, width, height in pixels."""


class Dataset(NamedTuple):
    """An exported dataset."""

    images: list[Image]
    classes: list[str]

    @property
    def annotations(self) -> list[tuple[str, float, float, float, float]]:
        return [box for image in self.images for box in image.boxes]


def read_back(folder: Path) -> Dataset:
    """What pycocotools finds in `annotations/instances_*.json`; a split is named by its file."""
    images, classes = [], []
    for path in sorted(folder.glob("annotations/instances_*.json")):
        split = path.stem.removeprefix("instances_")
        with contextlib.redirect_stdout(io.StringIO()):
            coco = COCO(path)
        labels = {category["id"]: category["name"] for category in coco.loadCats(coco.getCatIds())}
        classes = list(labels.values())
        for record in coco.loadImgs(coco.getImgIds()):
            annotations: list[dict[str, Any]] = coco.loadAnns(coco.getAnnIds(record["id"]))
            boxes = [(labels[one["category_id"]], *map(float, one["bbox"])) for one in annotations]
            file = folder / "images" / split / record["file_name"]
            images.append(Image(split, file, record["width"], record["height"], boxes))
    return Dataset(images, classes)


def differences_in_counts(statistics: dict[str, Any], back: Dataset) -> list[str]:
    """Where the suite's statistics count something else than pycocotools does."""
    annotations = Counter(box[0] for box in back.annotations)
    images = Counter(label for image in back.images for label in {box[0] for box in image.boxes})
    said: dict[str, Any] = {
        "images": int(statistics["imageCount"]),
        "images with annotations": int(statistics["annotatedImageCount"]),
        "annotations": int(statistics["annotationCount"]),
        "images by split": {one.get("split", ""): int(one["imageCount"]) for one in statistics["splits"]},
        "annotations by class": {one["label"]: int(one["annotationCount"]) for one in statistics["classes"]},
        "images by class": {one["label"]: int(one["imageCount"]) for one in statistics["classes"]},
    }
    counted: dict[str, Any] = {
        "images": len(back.images),
        "images with annotations": sum(bool(image.boxes) for image in back.images),
        "annotations": len(back.annotations),
        "images by split": dict(Counter(image.split for image in back.images)),
        "annotations by class": {label: annotations[label] for label in back.classes},
        "images by class": {label: images[label] for label in back.classes},
    }
    return [
        f"{what}: the statistics say {said[what]}, pycocotools counts {counted[what]}"
        for what in said
        if said[what] != counted[what]
    ]


def differences_from_truth(truth: list[Picture], source: Path, back: Dataset) -> list[str]:
    """Where the exported dataset is not the one that was drawn into `source`."""
    found = []
    exported = {image.file.name: image for image in back.images}
    for name in exported.keys() - {Path(picture.path).name for picture in truth}:
        found.append(f"{name} was not drawn")
    for picture in truth:
        image = exported.get(Path(picture.path).name)
        if image is None:
            found.append(f"{picture.path} is not in the export")
            continue
        if (image.split, image.width, image.height) != (picture.split, picture.width, picture.height):
            found.append(
                f"{picture.path}: drawn {picture.width} × {picture.height} for {picture.split}, "
                f"exported {image.width} × {image.height} for {image.split}"
            )
        if not image.file.is_file() or digest(image.file) != digest(source / picture.path):
            found.append(f"{picture.path}: the exported image {image.file} is not the same file")
        found += differences_in_boxes(picture, image)
    return found


def differences_in_boxes(picture: Picture, image: Image) -> list[str]:
    """Boxes in their order: a box may be off by what its label file rounds, and by no more."""
    if len(picture.objects) != len(image.boxes):
        return [f"{picture.path}: {len(picture.objects)} objects drawn, {len(image.boxes)} exported"]
    tolerance = 10**-LABEL_DECIMALS * max(picture.width, picture.height)
    return [
        f"{picture.path}: drawn {tuple(drawn)}, exported {box}"
        for drawn, box in zip(picture.objects, image.boxes, strict=True)
        if drawn.label != box[0] or max(abs(a - b) for a, b in zip(drawn[1:], box[1:], strict=True)) > tolerance
    ]


def digest(file: Path) -> str:
    """SHA-256 of its bytes."""
    return hashlib.sha256(file.read_bytes()).hexdigest()
