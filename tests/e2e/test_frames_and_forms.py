"""Labels on stored pixels come in upright; the normalised form of an image goes out with labels that fit."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw, ImageOps
from pycocotools import mask as peer

from framehouse.client import Client
from framehouse.store.manifest import MANIFEST

BOX = (20, 10, 40, 30)


def picture(orientation: int) -> bytes:
    """80 × 60 stored pixels, black but for BOX, to be turned before they are shown."""
    image = Image.new("RGB", (80, 60))
    x, y, width, height = BOX
    ImageDraw.Draw(image).rectangle((x, y, x + width - 1, y + height - 1), "white")
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    image.save(file, "JPEG", exif=exif, quality=95)
    return file.getvalue()


def coco(folder: Path, images: dict[str, bytes], size: tuple[int, int], shapes: list[dict[str, Any]]) -> Path:
    """Each image with the same shapes, in `size` pixels."""
    target = folder / "in.zip"
    names = enumerate(images, 1)
    body = {
        "images": [{"id": i, "file_name": name, "width": size[0], "height": size[1]} for i, name in names],
        "annotations": [
            {"id": 10 * i + k, "image_id": i, "category_id": 1, "iscrowd": 0, **shape}
            for i in range(1, len(images) + 1)
            for k, shape in enumerate(shapes)
        ],
        "categories": [{"id": 1, "name": "thing"}],
    }
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("annotations/instances_train.json", json.dumps(body))
        for name, data in images.items():
            archive.writestr(f"images/train/{name}", data)
    return target


def exported(client: Client, name: str, folder: Path, image_form: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The COCO file, and the images, of an export."""
    target = folder / f"{image_form}.zip"
    client.export_dataset(name, "coco-instances", target, image_form=image_form)
    with zipfile.ZipFile(target) as archive:
        files = {file.rpartition("/")[2]: archive.read(file) for file in archive.namelist() if file != MANIFEST}
    return json.loads(files.pop("instances_train.json")), files


def lit(data: bytes) -> list[int]:
    """The box of what is white in an image as it is shown."""
    with Image.open(io.BytesIO(data)) as image:
        left, top, right, bottom = (
            ImageOps.exif_transpose(image).convert("L").point(lambda v: 255 * (v > 127)).getbbox()
        )
    return [left, top, right - left, bottom - top]


def test_labels_on_stored_pixels_are_turned_upright(client: Client, tmp_path: Path, unique_name: str) -> None:
    images = {f"{orientation}.jpg": picture(orientation) for orientation in (1, 3, 6, 7)}
    x, y, width, height = BOX
    ring = [x, y, x + width, y, x + width, y + height, x, y + height]
    shapes: list[dict[str, Any]] = [{"bbox": list(BOX)}, {"segmentation": [ring]}]
    archive = coco(tmp_path, images, (80, 60), shapes)
    found = client.import_dataset(archive, unique_name, coordinates="stored")
    assert not found.issue_counts
    written, files = exported(client, unique_name, tmp_path, "original")
    name_of = {image["id"]: image["file_name"] for image in written["images"]}
    assert {image["file_name"]: (image["width"], image["height"]) for image in written["images"]} == {
        "1.jpg": (80, 60),
        "3.jpg": (80, 60),
        "6.jpg": (60, 80),
        "7.jpg": (60, 80),
    }
    assert len(written["annotations"]) == 8
    for annotation in written["annotations"]:
        name = name_of[annotation["image_id"]]
        assert files[name] == images[name]
        assert annotation["bbox"] == lit(images[name])
        if annotation["segmentation"]:
            (points,) = annotation["segmentation"]
            assert [min(points[::2]), min(points[1::2])] == annotation["bbox"][:2]


def test_relative_labels_may_be_relative_to_stored_pixels(client: Client, tmp_path: Path) -> None:
    archive, target = tmp_path / "in.zip", tmp_path / "out.zip"
    x, y, width, height = BOX
    with zipfile.ZipFile(archive, "w") as yolo:
        yolo.writestr("data.yaml", "train: images/train\nnames: [thing]\n")
        yolo.writestr("images/train/a.jpg", picture(6))
        yolo.writestr(
            "labels/train/a.txt", f"0 {(x + width / 2) / 80} {(y + height / 2) / 60} {width / 80} {height / 60}"
        )
    client.convert(archive, "coco-instances", target, coordinates="stored")
    with zipfile.ZipFile(target) as written:
        (annotation,) = json.loads(written.read("annotations/instances_train.json"))["annotations"]
    assert annotation["bbox"] == pytest.approx(lit(picture(6)))


def test_labels_of_the_other_frame_are_told_how_to_come_in(client: Client, tmp_path: Path, unique_name: str) -> None:
    archive = coco(tmp_path, {"a.jpg": picture(6)}, (80, 60), [{"bbox": list(BOX)}])
    (issue,) = client.import_dataset(archive, unique_name).issues
    assert issue.code == "IMAGE_SIZE_DIFFERS"
    assert "--coordinates stored" in issue.remedy


@pytest.mark.parametrize("drop", [False, True])
def test_normalised_images_go_out_with_labels_that_fit(
    client: Client, tmp_path: Path, unique_name: str, drop: bool
) -> None:
    # Lossless WebP is normalised to PNG, and takes another name with it.
    lossless = io.BytesIO()
    with Image.open(io.BytesIO(picture(1))) as image:
        image.resize((160, 120), Image.Resampling.NEAREST).save(lossless, "WEBP", lossless=True)
    large = lossless.getvalue()
    box = [2 * side for side in BOX]
    white = peer.frPyObjects([[40.0, 20, 80, 20, 80, 60, 40, 60]], 120, 160)[0]
    shapes: list[dict[str, Any]] = [
        {"bbox": box, "area": 4800.0},
        {"segmentation": {"size": [120, 160], "counts": white["counts"].decode()}, "bbox": [40, 20, 40, 40]},
    ]
    archive = coco(tmp_path, {"a.webp": large}, (160, 120), shapes)
    client.import_dataset(archive, unique_name, max_side=64, drop_originals=drop)

    labels, files = exported(client, unique_name, tmp_path, "original")
    if not drop:
        assert files == {"a.webp": large}
        assert [one["bbox"] for one in labels["annotations"]] == [box, [40, 20, 40, 40]]
        labels, files = exported(client, unique_name, tmp_path, "normalised")
    (image,), (first, second) = labels["images"], labels["annotations"]
    assert (image["file_name"], image["width"], image["height"]) == ("a.png", 64, 48)
    with Image.open(io.BytesIO(files["a.png"])) as small:
        assert (small.format, small.size) == ("PNG", (64, 48))
    assert (first["bbox"], first["area"]) == ([16, 8, 32, 24], pytest.approx(4800 * 0.16))
    assert lit(files["a.png"]) == [16, 8, 32, 24]
    assert second["segmentation"]["size"] == [48, 64]
    assert peer.toBbox(second["segmentation"]).tolist() == [16, 8, 16, 16]
