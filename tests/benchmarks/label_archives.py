"""Archives of labels, of any size: what the rows about conversions turn into each other.

Where a format does not say how large images are, or a reader wants to see them, the images are PNG files of one colour:
a hundred bytes each, so that what is measured is the labels.
"""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from tests.samples import synthetic_coco

ANNOTATIONS_PER_IMAGE = 7.3
"""As in COCO's train2017."""
BOXES_PER_IMAGE = 3.0
"""As in Pascal VOC 2012, about."""
CLASSES = [f"class {number}" for number in range(20)]
"""As many as Pascal VOC has."""
SIZES = ((640, 480), (480, 640), (640, 427), (500, 375), (375, 500), (500, 333))
SPLITS = (("train", 0.9), ("val", 0.1))
"""Datumaro's exporter for Ultralytics asks for both."""


def coco(path: Path, images: int) -> int:
    """COCO instances shaped as train2017's, without images. Says how many annotations there are."""
    count = 0
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for seed, (split, share) in enumerate(SPLITS):
            labels = path.with_name(f"instances_{split}.json")
            count += synthetic_coco(labels, round(images * share), ANNOTATIONS_PER_IMAGE, seed)
            archive.write(labels, f"annotations/{labels.name}")
            labels.unlink()
    return count


def ultralytics(path: Path, images: int) -> int:
    """A text file an image, six decimals. Says how many boxes there are."""
    count = 0
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        names = "".join(f"  {number}: {name}\n" for number, name in enumerate(CLASSES))
        archive.writestr("data.yaml", f"path: .\ntrain: images/train\nval: images/val\nnames:\n{names}")
        for split, name, size, classes, boxes in _pictures(images):
            # Centres, and shares of the image.
            values = np.concatenate([boxes[:, :2] + boxes[:, 2:] / 2, boxes[:, 2:]], axis=1) / (*size, *size)
            rows = zip(classes.tolist(), values.tolist(), strict=True)
            text = "".join(f"{label} {x:.6f} {y:.6f} {w:.6f} {h:.6f}\n" for label, (x, y, w, h) in rows)
            archive.writestr(f"images/{split}/{name}.png", PICTURES[size], zipfile.ZIP_STORED)
            archive.writestr(f"labels/{split}/{name}.txt", text)
            count += len(boxes)
    return count


def voc(path: Path, images: int) -> int:
    """An XML file an image, boxes in whole pixels. Says how many there are."""
    count = 0
    lists: dict[str, list[str]] = {split: [] for split, _ in SPLITS}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for split, name, size, classes, boxes in _pictures(images):
            corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1).round().astype(int)
            objects = "".join(
                f"<object><name>{CLASSES[label]}</name><pose>Unspecified</pose><truncated>0</truncated>"
                f"<difficult>0</difficult><bndbox><xmin>{left}</xmin><ymin>{top}</ymin><xmax>{right}</xmax>"
                f"<ymax>{bottom}</ymax></bndbox></object>\n"
                for label, (left, top, right, bottom) in zip(classes.tolist(), corners.tolist(), strict=True)
            )
            text = (
                f"<annotation><folder>VOC</folder><filename>{name}.png</filename><source><database>synthetic</database>"
                f"</source><size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
                f"<segmented>0</segmented>\n{objects}</annotation>\n"
            )
            archive.writestr(f"JPEGImages/{name}.png", PICTURES[size], zipfile.ZIP_STORED)
            archive.writestr(f"Annotations/{name}.xml", text)
            lists[split].append(name)
            count += len(boxes)
        colours = "".join(f"{name}:{number},{number},{number}::\n" for number, name in enumerate(CLASSES, 1))
        archive.writestr("labelmap.txt", f"# label:color_rgb:parts:actions\n{colours}")
        for split, names in lists.items():
            archive.writestr(f"ImageSets/Main/{split}.txt", "\n".join([*names, ""]))
    return count


Picture = tuple[str, str, tuple[int, int], np.ndarray, np.ndarray]


def _pictures(images: int) -> Iterator[Picture]:
    """Split, name, width and height, classes, and boxes in pixels (n, 4) of each; one in some has none."""
    rng = np.random.default_rng(1)
    counts = np.minimum(rng.geometric(1 / (BOXES_PER_IMAGE + 1), images) - 1, 40)
    for number, count in enumerate(counts.tolist()):
        split = SPLITS[number % 10 == 9][0]
        size = SIZES[number % len(SIZES)]
        sides = rng.uniform(0.05, 0.6, (count, 2)) * size
        corners = rng.uniform(0, 1, (count, 2)) * (size - sides)
        yield split, f"{number:08d}", size, rng.integers(0, len(CLASSES), count), np.hstack([corners, sides])


def _picture(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("1", (width, height)).save(file, "PNG", optimize=True)
    return file.getvalue()


PICTURES = {size: _picture(*size) for size in SIZES}
