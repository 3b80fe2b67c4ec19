"""Images of a dataset as a viewer wants them: upright, of a size, with their annotations drawn; and their previews.

An image is decoded at no larger a scale than it is shown at, from its normalised form where that is enough. Drawing is
next door in `services.media.drawing`.
"""

import difflib
import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple

import numpy as np
from google.api import httpbody_pb2
from PIL import Image

from framehouse.annotations.labels import labels_of
from framehouse.pillow import UPRIGHT, alone_if_large, one_large, register_heif
from framehouse.runtime.errors import FailedPrecondition, InvalidArgument
from framehouse.store.bucket import Bucket
from framehouse.store.rows import read_bytes, read_row
from framehouse.v1 import annotation_pb2, dataset_pb2, media_pb2
from services.media import drawing
from services.media.pixels import PREVIEW_SIDE, scaled

USUAL_SIZE = 1024
LARGEST_SIZE = 4096

FORMATS: dict[int, tuple[str, str, dict[str, Any]]] = {
    media_pb2.RENDER_FORMAT_UNSPECIFIED: ("image/webp", "WEBP", {"quality": 85, "method": 2}),
    media_pb2.RENDER_FORMAT_WEBP: ("image/webp", "WEBP", {"quality": 85, "method": 2}),
    media_pb2.RENDER_FORMAT_JPEG: ("image/jpeg", "JPEG", {"quality": 90}),
    media_pb2.RENDER_FORMAT_PNG: ("image/png", "PNG", {"compress_level": 4}),
}
"""Media type, Pillow's name and options of each format."""

READABLE = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "JPEG2000", "HEIF", "AVIF")
"""Pillow's names; an MPO is opened as a JPEG."""
TURNED_BY_DECODER = {"TIFF", "HEIF"}

COLUMNS = ("path", "format", "width", "height", "orientation", "original", "normalised", "preview")


class Part(NamedTuple):
    """A part of an upright image, in its pixels."""

    x: int
    y: int
    width: int
    height: int


def render(bucket: Bucket, table: dataset_pb2.Table, request: media_pb2.RenderImageRequest) -> httpbody_pb2.HttpBody:
    """What `MediaService.RenderImage` promises."""
    if not 0 <= request.size <= LARGEST_SIZE:
        raise InvalidArgument(f"size is {request.size}; it must be 0 to {LARGEST_SIZE}", field="size")
    if request.format not in FORMATS:
        raise InvalidArgument(f"format {request.format} is unknown", field="format")
    wanted = () if request.without_annotations else drawing.COLUMNS
    row, schema = read_row(table.key, table.version, request.name, {name: name for name in (*COLUMNS, *wanted)})
    labels = labels_of(schema)
    shown = _chosen(labels, request.labels)
    part = _part(row, request)
    size = scaled(part.width, part.height, request.size or USUAL_SIZE)
    image = picture(bucket, row, part, size)
    if wanted:
        count = range(len(row["kind"]))
        annotations = [
            {name: row[name][i] for name in wanted} for i in count if shown is None or row["label"][i] in shown
        ]
        view = drawing.View(part.x, part.y, size[0] / part.width, size[1] / part.height)
        pixels = np.array(image)
        drawing.draw(pixels, annotations, labels, view, names=not request.without_labels)
        image = Image.fromarray(pixels)
    return _encoded(image, request.format)


def thumbnail(
    bucket: Bucket, table: dataset_pb2.Table, request: media_pb2.GetThumbnailRequest
) -> httpbody_pb2.HttpBody:
    """What `MediaService.GetThumbnail` promises."""
    if request.size < 0:
        raise InvalidArgument(f"size is {request.size}; it must be 0 to {PREVIEW_SIDE}", field="size")
    side = min(request.size or PREVIEW_SIDE, PREVIEW_SIDE)
    row, _ = read_row(table.key, table.version, request.name, {name: name for name in COLUMNS})
    if row["preview"] is None:
        whole = Part(0, 0, row["width"], row["height"])
        size = scaled(whole.width, whole.height, side)
        return _encoded(picture(bucket, row, whole, size), media_pb2.RENDER_FORMAT_WEBP)
    data = read_bytes(bucket, row["preview"], row["path"])
    if side == PREVIEW_SIDE:
        return httpbody_pb2.HttpBody(content_type="image/webp", data=data)
    with Image.open(io.BytesIO(data), formats=("WEBP",)) as image:
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
        return _encoded(image, media_pb2.RENDER_FORMAT_WEBP)


def picture(bucket: Bucket, row: Mapping[str, Any], part: Part, size: tuple[int, int]) -> Image.Image:
    """A part of the image of a row of `COLUMNS`, as `shown` says."""
    original, normalised = row["original"], row["normalised"]
    if original is None and normalised is None:
        raise FailedPrecondition(
            f"{row['path']!r} has no bytes: only its labels were imported, so it cannot be drawn", reason="IMAGE_ABSENT"
        )
    scale = max(size[0] / part.width, size[1] / part.height)
    smaller = normalised and (original is None or row["format"] == "dng" or normalised["width"] >= row["width"] * scale)
    data = read_bytes(bucket, normalised if smaller else original, row["path"])
    raw = row["format"] == "dng" and not smaller
    orientation = 1 if smaller else row["orientation"] or 1
    try:
        return shown(data, (row["width"], row["height"]), part, size, orientation=orientation, raw=raw)
    except Exception as error:  # whatever a decoder of hostile bytes may raise
        raise FailedPrecondition(
            f"{row['path']!r} cannot be decoded ({error}); replace it with a sound file", reason="IMAGE_UNREADABLE"
        ) from error


def shown(
    data: bytes, whole: tuple[int, int], part: Part, size: tuple[int, int], *, orientation: int = 1, raw: bool = False
) -> Image.Image:
    """A part of an image file, upright, as RGB of `size`; transparent pixels are shown on white.

    `whole` is the size of the upright image that `part` is of; the file may hold it smaller. `raw`: it is a DNG.
    """
    scale = max(size[0] / part.width, size[1] / part.height)
    goal = round(whole[0] * scale), round(whole[1] * scale)
    with nullcontext(_developed(data, goal)) if raw else _upright(data, orientation, goal) as image:
        x, y = image.width / whole[0], image.height / whole[1]
        box = part.x * x, part.y * y, (part.x + part.width) * x, (part.y + part.height) * y
        return _rgb(image.resize(size, Image.Resampling.BICUBIC, box, reducing_gap=2.0))


def _developed(data: bytes, goal: tuple[int, int]) -> Image.Image:
    from services.media import raw

    with raw.opened(data) as photograph, one_large:
        return raw.develop(photograph, max(goal))


@contextmanager
def _upright(data: bytes, orientation: int, goal: tuple[int, int]) -> Iterator[Image.Image]:
    """The image, upright, at least of the size `goal`, in a mode that can be scaled; large ones one after the other."""
    register_heif()
    with Image.open(io.BytesIO(data), formats=READABLE) as image:
        if image.format in ("JPEG", "MPO"):
            image.draft("RGB", goal if orientation < 5 else goal[::-1])
        with alone_if_large(image.width * image.height):
            image.load()
            turn = None if image.format in TURNED_BY_DECODER else UPRIGHT.get(orientation)
            turned = image if turn is None else image.transpose(turn)
            if turned.mode.startswith("I"):
                turned = turned.convert("I").convert("F")
            elif turned.mode not in ("RGB", "RGBA", "L", "F") or "transparency" in turned.info:
                turned = turned.convert("RGBA" if turned.has_transparency_data else "RGB")
            yield turned


def _rgb(image: Image.Image) -> Image.Image:
    """The image as RGB: values beyond eight bits from the darkest to the brightest, transparency on white."""
    if image.mode == "F":
        values = np.asarray(image)
        low, high = float(values.min()), float(values.max())
        image = Image.fromarray(np.rint((values - low) * (255 / (high - low or 1.0))).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def _part(row: Mapping[str, Any], request: media_pb2.RenderImageRequest) -> Part:
    """The part that is asked for, which must lie in the image."""
    width, height = row["width"], row["height"]
    if not request.HasField("crop"):
        return Part(0, 0, width, height)
    crop = request.crop
    inside = 0 <= crop.x < crop.x + crop.width <= width and 0 <= crop.y < crop.y + crop.height <= height
    if not inside:
        raise InvalidArgument(
            f"crop is {crop.width} × {crop.height} at ({crop.x}, {crop.y}), which does not lie in the image of "
            f"{width} × {height} pixels",
            field="crop",
        )
    return Part(crop.x, crop.y, crop.width, crop.height)


def _chosen(labels: annotation_pb2.LabelSchema, names: Any) -> set[int] | None:
    """The ids of classes by their names; none for all."""
    if not names:
        return None
    ids = {label.name: number for number, label in enumerate(labels.labels)}
    for name in names:
        if name not in ids:
            near = difflib.get_close_matches(name, ids, 3, 0.5)
            some = list(ids)[:10]
            hint = (
                f"did you mean {' or '.join(map(repr, near))}?" if near else f"there are: {', '.join(some) or 'none'}"
            )
            raise InvalidArgument(f"the dataset has no class {name!r}; {hint}", field="labels")
    return {ids[name] for name in names}


def _encoded(image: Image.Image, format: int) -> httpbody_pb2.HttpBody:
    media_type, plugin, options = FORMATS[format]
    file = io.BytesIO()
    image.save(file, plugin, **options)
    return httpbody_pb2.HttpBody(content_type=media_type, data=file.getvalue())
