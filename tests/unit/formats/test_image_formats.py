"""Images that are written in one format: their names, their pixels, and what is said of them."""

import io
import json

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps
from whole_way import image, packed, read, write

from framehouse.runtime import errors
from framehouse.runtime.config import Settings
from framehouse.store import reencoding
from framehouse.store.reencoding import encode
from framehouse.v1.conversion_pb2 import WriteOptions

rng = np.random.default_rng(0)
COLOURS = rng.integers(0, 256, (6, 9, 3), np.uint8)
DEEP = rng.integers(0, 65536, (6, 9), np.uint16)


def file(pixels: NDArray[np.uint8] | NDArray[np.uint16], kind: str, orientation: int = 0) -> bytes:
    data = io.BytesIO()
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    Image.fromarray(pixels).save(data, kind, exif=exif, **({"quality": 95} if kind == "JPEG" else {}))
    return data.getvalue()


def pixels(data: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(data)) as opened:
        return np.asarray(opened)


def test_all_images_are_written_in_one_format_and_label_files_name_them_so() -> None:
    text = "0 0.5 0.5 0.5 0.5\n"
    turned = file(np.tile(COLOURS, (6, 6, 1)), "JPEG", 6)
    files = {
        "data.yaml": "names: [a]\ntrain: images/train\n",
        "images/train/a.png": image(40, 30, "PNG"),
        "images/train/b.jpg": turned,
        "images/train/c/d.bmp": image(50, 40, "BMP"),
        **{f"labels/train/{name}.txt": text for name in ("a", "b", "c/d")},
    }
    found = read(files, "yolo")
    written, losses = write(found.table, found.shelf, "coco-instances", options=WriteOptions(image_format="png"))
    records = json.loads(written["annotations/instances_train.json"])["images"]
    assert {record["file_name"] for record in records} == {"a.png", "b.png", "c/d.png"}
    names = {f"images/train/{name}" for name in ("a.png", "b.png", "c/d.png")}
    assert {name for name in written if name.startswith("images/")} == names
    assert written["images/train/a.png"] == files["images/train/a.png"]
    assert (pixels(written["images/train/c/d.png"]) == pixels(files["images/train/c/d.bmp"])).all()
    upright = np.rot90(pixels(turned), -1)
    assert (pixels(written["images/train/b.png"]) == upright).all()
    with Image.open(io.BytesIO(written["images/train/b.png"])) as opened:
        assert not opened.getexif()
    assert not losses
    back = read(packed(written), "coco-instances")
    assert back.rows()["b.png"]["width"] == found.rows()["b.jpg"]["width"] == 36
    assert back.boxes("b.png") == found.boxes("b.jpg")


def test_names_that_differ_by_extension_alone_stay_apart_and_it_is_told() -> None:
    files = {"train/1.jpg": image(), "train/1.png": image(60, 60, "PNG"), "train/2.webp": image(70, 70, "WEBP")}
    found = read(files, "image-dir")
    written, losses = write(found.table, found.shelf, "image-dir", options=WriteOptions(image_format="jpeg"))
    assert set(written) == {"images/train/1.jpg", "images/train/1_png.jpg", "images/train/2.jpg"}
    assert written["images/train/1.jpg"] == files["train/1.jpg"]
    assert [(loss.code, loss.image_count) for loss in losses] == [("NAME_CHANGED", 1), ("IMAGE_REENCODED", 2)]


def test_what_cannot_be_written_is_refused_with_its_cause() -> None:
    whole = image(200, 200, "BMP")
    found = read({"a/1.bmp": whole[: len(whole) // 2], "a/2.png": image(300, 30, "PNG")}, "image-dir")
    for options, error, words in (
        (WriteOptions(image_format="png"), errors.FailedPrecondition, "1.png cannot be written as png"),
        (WriteOptions(image_format="gif"), errors.InvalidArgument, "not written as 'gif'"),
        (WriteOptions(image_urls=True), errors.InvalidArgument, "does not name images by URLs"),
    ):
        with pytest.raises(error, match=words):
            write(found.table, found.shelf, "image-dir", options=options)
    with pytest.raises(errors.InvalidArgument, match="as it is kept"):
        options = WriteOptions(image_format="png", image_urls=True)
        write(found.table, found.shelf, "ultralytics-ndjson", options=options)


@pytest.mark.parametrize("target", ["png", "webp", "bmp", "tiff"])
def test_colours_stay_as_they_are_where_the_format_loses_nothing(target: str) -> None:
    assert (pixels(encode(file(COLOURS, "PNG"), "png", None, target)) == COLOURS).all()
    grey = COLOURS[:, :, 0]
    found = pixels(encode(file(grey, "PNG"), "png", None, target))
    assert (found == (grey[:, :, None] if found.ndim == 3 else grey)).all()


def test_sixteen_bits_stay_where_they_can_and_the_upper_eight_elsewhere() -> None:
    data = file(DEEP, "PNG")
    for target in ("png", "tiff"):
        assert (pixels(encode(data, "png", None, target)) == DEEP).all()
    assert (pixels(encode(data, "png", None, "bmp")) == DEEP >> 8).all()
    assert (np.abs(pixels(encode(data, "png", None, "jpeg")) - (DEEP >> 8).astype(float)) < 40).all()
    colours = np.stack([DEEP, DEEP[::-1], DEEP[:, ::-1]], axis=2)
    data = cv2.imencode(".png", colours)[1].tobytes()
    for orientation, wanted in ((1, colours), (6, np.rot90(colours, -1)), (8, np.rot90(colours))):
        written = encode(data, "png", orientation, "tiff")
        assert (cv2.imdecode(np.frombuffer(written, np.uint8), cv2.IMREAD_UNCHANGED) == wanted).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pixels_are_written_upright(orientation: int) -> None:
    data = file(COLOURS, "PNG", orientation)
    with Image.open(io.BytesIO(data)) as opened:
        wanted = np.asarray(ImageOps.exif_transpose(opened))
    written = encode(data, "png", orientation, "webp")
    assert (pixels(written) == wanted).all()


def test_transparency_goes_only_where_the_format_has_none() -> None:
    seen = np.dstack([COLOURS, rng.integers(0, 256, COLOURS.shape[:2], np.uint8)])
    data = file(seen, "PNG")
    for target in ("png", "webp", "tiff"):
        assert (pixels(encode(data, "png", None, target)) == seen).all()
    assert (pixels(encode(data, "png", None, "bmp")) == COLOURS).all()


def test_an_image_of_too_many_pixels_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reencoding, "settings", lambda: Settings(max_image_pixels=50))
    with pytest.raises(ValueError, match="54 pixels, more than the 50 allowed"):
        encode(file(COLOURS, "PNG"), "png", None, "bmp")
