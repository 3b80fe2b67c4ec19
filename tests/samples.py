"""Makes sample datasets: drawn pictures with objects of known place, COCO files of any size, archives of photographs.

All of it is seeded: the same arguments give the same bytes. For the demo, the bench and the tests; nothing here
knows the suite.
"""

import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

COLOURS = ((40, 40, 230), (40, 200, 40), (230, 80, 30), (30, 210, 230), (210, 40, 200))
"""Blue, green, red of the objects of each class, in turn; strong, since backgrounds are grey."""

SIZES = ((640, 480), (480, 640), (800, 600), (512, 512), (1024, 576), (360, 500))
"""Width and height of drawn pictures."""

BYTES_PER_PIXEL = 0.36
"""Of a texture at JPEG quality 90: that of a photograph at a good quality."""

CATEGORY_IDS = sorted(set(range(1, 91)) - {12, 26, 29, 30, 45, 66, 68, 69, 71, 83})
"""The 80 ids that COCO uses, with its gaps."""


class Object(NamedTuple):
    """What was drawn: the class and the box of its pixels, in whole pixels."""

    label: str
    x: int
    y: int
    width: int
    height: int


class Picture(NamedTuple):
    """What is known of one picture of a drawn dataset."""

    path: str
    """Below the dataset's folder, for instance `images/train/000000.jpg`."""
    split: str
    width: int
    height: int
    objects: list[Object]


def draw_dataset(
    folder: Path, images: int = 200, seed: int = 0, classes: Sequence[str] = ("circle", "rectangle", "triangle")
) -> list[Picture]:
    """Draws a dataset in the layout of `ultralytics-detect` into `folder`, and says what is in it.

    Every fifth picture is of the split `val`; every twentieth is a PNG, whose pixels are exact; every tenth holds no
    object, and every second of those has no label file either. Objects never overlap.
    """
    truth = []
    for index in range(images):
        rng = np.random.default_rng((seed, index))
        split = "val" if index % 5 == 4 else "train"
        width, height = SIZES[rng.integers(len(SIZES))]
        pixels = texture(rng, width, height)
        count = 0 if index % 10 == 7 else int(rng.integers(1, 7))
        objects = _draw_objects(rng, pixels, count, classes)
        name = f"{index:06d}.{'png' if index % 20 == 10 else 'jpg'}"
        path = folder / "images" / split / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_encoded(pixels, path.suffix))
        if objects or index % 20 == 7:
            labels = folder / "labels" / split / f"{path.stem}.txt"
            labels.parent.mkdir(parents=True, exist_ok=True)
            labels.write_text("".join(_yolo_line(item, classes, width, height) for item in objects))
        truth.append(Picture(f"images/{split}/{name}", split, width, height, objects))
    names = "".join(f"  {number}: {name}\n" for number, name in enumerate(classes))
    (folder / "data.yaml").write_text(f"path: .\ntrain: images/train\nval: images/val\nnames:\n{names}")
    return truth


def texture(rng: np.random.Generator, width: int, height: int) -> Pixels:
    """A grey picture whose detail falls off with frequency as a photograph's does: (height, width, 3) of uint8."""
    grey = np.zeros((height, width), np.float32)
    for octave in range(8):
        cell = 2**octave
        noise = rng.standard_normal((height // cell + 2, width // cell + 2), np.float32)
        grey += cv2.resize(noise, (width, height), interpolation=cv2.INTER_LINEAR) * (9 + 3 * octave)
    tint = rng.uniform(-12, 12, 3).astype(np.float32)
    return np.asarray(np.clip(grey[:, :, None] + (120 + tint), 0, 255), np.uint8)


def photo_archive(path: Path, images: int, kilobytes: int, seed: int = 0) -> int:
    """Writes a zip of `images` JPEGs of about `kilobytes` each, no two alike, and says how many bytes they have.

    They are crops of a few large textures, mirrored, brightened and overlaid with noise, in the layout of
    `ultralytics-detect`, with one box each.
    """
    rng = np.random.default_rng(seed)
    side = int((kilobytes * 1024 / BYTES_PER_PIXEL) ** 0.5)
    sheets = [texture(rng, side * 2, side * 2) for _ in range(4)]
    grain = rng.integers(0, 12, (side * 2, side * 2, 3), np.uint8)
    total = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for index in range(images):
            width = int(side * rng.uniform(0.85, 1.3))
            height = side * side // width
            crop = _crop(rng, sheets[index % len(sheets)], width, height)
            crop = cv2.flip(crop, int(rng.integers(-1, 2)))
            pixels = cv2.add(cv2.convertScaleAbs(crop, alpha=rng.uniform(0.8, 1.1)), _crop(rng, grain, width, height))
            data = _encoded(np.asarray(pixels, np.uint8), ".jpg")
            archive.writestr(zipfile.ZipInfo(f"images/train/{index:06d}.jpg"), data)
            archive.writestr(zipfile.ZipInfo(f"labels/train/{index:06d}.txt"), "0 0.5 0.5 0.25 0.25\n")
            total += len(data)
        archive.writestr(zipfile.ZipInfo("data.yaml"), "train: images/train\nnames: [thing]\n")
    return total


def synthetic_coco(path: Path, images: int, annotations_per_image: float, seed: int = 0) -> int:
    """Writes a COCO instances file shaped like train2017's and says how many annotations it has.

    Polygons have some 71 coordinates each, one in ten has two rings, one annotation in a hundred is a crowd with
    RLE; ids of categories have gaps, ids of images and annotations are not in order, and files of different seeds name
    different images. Memory does not grow with `images`.
    """
    rng = np.random.default_rng(seed)
    image_ids = rng.permutation(images * 4)[:images] + 1 + seed * 10_000_000
    widths = rng.choice((640, 480, 500, 427), images)
    heights = rng.choice((480, 640, 375, 333), images)
    counts = np.minimum(rng.geometric(1 / (annotations_per_image + 1), images) - 1, 90)
    annotation_ids = rng.permutation(int(counts.sum()) * 2) + 1
    encoder = msgspec.json.Encoder()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(b'{"info":{"description":"synthetic","year":2017},"licenses":[{"id":1,"name":"none","url":""}],')
        categories = [{"supercategory": "thing", "id": number, "name": f"class {number}"} for number in CATEGORY_IDS]
        file.write(b'"categories":' + encoder.encode(categories) + b',"images":[')
        for first in range(0, images, 10_000):
            rows = slice(first, first + 10_000)
            records = [
                {"license": 1, "file_name": f"{number:012d}.jpg", "height": height, "width": width, "id": number}
                for number, width, height in zip(
                    image_ids[rows].tolist(), widths[rows].tolist(), heights[rows].tolist(), strict=True
                )
            ]
            file.write((b"," if first else b"") + encoder.encode(records)[1:-1])
        file.write(b'],"annotations":[')
        written = 0
        for first in range(0, images, 2_000):
            rows = slice(first, first + 2_000)
            owners = np.repeat(np.arange(images)[rows], counts[rows])
            ids = annotation_ids[written : written + len(owners)]
            batch = list(_annotations(rng, ids, image_ids[owners], widths[owners], heights[owners]))
            file.write((b"," if written and batch else b"") + encoder.encode(batch)[1:-1])
            written += len(batch)
        file.write(b"]}")
    return written


def _draw_objects(rng: np.random.Generator, pixels: Pixels, count: int, classes: Sequence[str]) -> list[Object]:
    """Draws up to `count` objects that do not touch; the box of each is measured on its own mask."""
    height, width = pixels.shape[:2]
    taken = np.zeros((height, width), np.uint8)
    objects = []
    for _ in range(count):
        number = int(rng.integers(len(classes)))
        for _ in range(20):
            size = rng.integers(24, min(width, height) // 3, 2)
            corner = rng.integers(0, np.array((width, height)) - size)
            mask = _shape(number % 3, corner, size, (height, width))
            if not cv2.bitwise_and(mask, taken).any():
                break
        else:
            continue
        pixels[mask > 0] = COLOURS[number % len(COLOURS)]
        taken |= cv2.dilate(mask, np.ones((9, 9), np.uint8)).astype(np.uint8)
        x, y, box_width, box_height = cv2.boundingRect(mask)
        objects.append(Object(classes[number], x, y, box_width, box_height))
    return objects


def _shape(form: int, corner: NDArray[np.int64], size: NDArray[np.int64], shape: tuple[int, int]) -> Pixels:
    """The mask of an ellipse, a rectangle or a triangle in the box at `corner`."""
    mask = np.zeros(shape, np.uint8)
    (x, y), (width, height) = corner.tolist(), size.tolist()
    if form == 0:
        radius = min(width, height) // 2
        cv2.circle(mask, (x + radius, y + radius), radius - 1, 255, cv2.FILLED)
    elif form == 1:
        cv2.rectangle(mask, (x, y), (x + width - 1, y + height - 1), 255, cv2.FILLED)
    else:
        corners = ((x + width // 2, y), (x, y + height - 1), (x + width - 1, y + height - 1))
        cv2.fillPoly(mask, [np.array(corners, np.int32)], 255)
    return mask


def _encoded(pixels: Pixels, suffix: str) -> bytes:
    options = [cv2.IMWRITE_JPEG_QUALITY, 90] if suffix == ".jpg" else [cv2.IMWRITE_PNG_COMPRESSION, 1]
    return cv2.imencode(suffix, pixels, options)[1].tobytes()


def _yolo_line(item: Object, classes: Sequence[str], width: int, height: int) -> str:
    centre_x = (item.x + item.width / 2) / width
    centre_y = (item.y + item.height / 2) / height
    box = f"{centre_x:.6f} {centre_y:.6f} {item.width / width:.6f} {item.height / height:.6f}"
    return f"{classes.index(item.label)} {box}\n"


def _crop(rng: np.random.Generator, sheet: Pixels, width: int, height: int) -> Pixels:
    x = int(rng.integers(sheet.shape[1] - width))
    y = int(rng.integers(sheet.shape[0] - height))
    return sheet[y : y + height, x : x + width]


def _annotations(
    rng: np.random.Generator,
    ids: NDArray[np.int64],
    image_ids: NDArray[np.int64],
    widths: NDArray[np.int64],
    heights: NDArray[np.int64],
) -> Iterator[dict[str, Any]]:
    """One annotation for each id. Polygons are stars around a centre, computed for all at once."""
    count = len(ids)
    if not count:
        return
    points = np.clip(rng.lognormal(3.25, 0.8, count).astype(np.int64), 4, 400)
    starts = np.concatenate(([0], np.cumsum(points)[:-1]))
    owner = np.repeat(np.arange(count), points)
    angle = (np.arange(points.sum()) - starts[owner]) / points[owner] * 2 * np.pi
    radius = rng.uniform(0.6, 1.0, len(owner))
    half_width = widths * np.minimum(rng.lognormal(-2.6, 0.8, count), 0.48)
    half_height = heights * np.minimum(rng.lognormal(-2.6, 0.8, count), 0.48)
    centre_x = half_width + rng.uniform(0, 1, count) * (widths - 2 * half_width)
    centre_y = half_height + rng.uniform(0, 1, count) * (heights - 2 * half_height)
    x = np.round(centre_x[owner] + np.cos(angle) * radius * half_width[owner], 2)
    y = np.round(centre_y[owner] + np.sin(angle) * radius * half_height[owner], 2)
    left, top = np.minimum.reduceat(x, starts), np.minimum.reduceat(y, starts)
    box = np.stack((left, top, np.maximum.reduceat(x, starts) - left, np.maximum.reduceat(y, starts) - top), axis=1)
    following = np.arange(1, len(owner) + 1)
    following[starts + points - 1] = starts
    area = np.round(np.add.reduceat(x * y[following] - x[following] * y, starts) / 2, 4)
    flat = np.stack((x, y), axis=1).ravel().tolist()
    category = rng.choice(CATEGORY_IDS, count).tolist()
    crowd = rng.random(count) < 0.01
    two_rings = rng.random(count) < 0.1
    columns = zip(
        ids.tolist(),
        image_ids.tolist(),
        category,
        np.round(box, 2).tolist(),
        area.tolist(),
        crowd.tolist(),
        strict=True,
    )
    for row, (number, image, label, bbox, size, is_crowd) in enumerate(columns):
        first, last = 2 * int(starts[row]), 2 * int(starts[row] + points[row])
        segmentation: Any
        if is_crowd:
            segmentation = _uncompressed_rle(bbox, int(widths[row]), int(heights[row]))
        elif two_rings[row] and points[row] >= 8:
            middle = first + 2 * int(points[row] // 2)
            segmentation = [flat[first:middle], flat[middle:last]]
        else:
            segmentation = [flat[first:last]]
        yield {
            "segmentation": segmentation,
            "area": size,
            "iscrowd": int(is_crowd),
            "image_id": image,
            "bbox": bbox,
            "category_id": label,
            "id": number,
        }


def _uncompressed_rle(box: list[float], width: int, height: int) -> dict[str, Any]:
    """A filled rectangle as COCO writes crowds: runs down the columns, zeros first."""
    left, top = int(box[0]), int(box[1])
    columns, rows = max(1, min(int(box[2]), width - left - 1)), max(1, min(int(box[3]), height - top - 1))
    counts = [left * height + top]
    for _ in range(columns - 1):
        counts += [rows, height - rows]
    counts += [rows, width * height - sum(counts) - rows]
    return {"counts": counts, "size": [height, width]}
