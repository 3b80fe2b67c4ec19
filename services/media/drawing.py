"""Annotations drawn on pixels by OpenCV: fills, lines and points with smooth edges, names in the script they have.

Coordinates come in pixels of the whole upright image, whose origin is a corner of a pixel; OpenCV's is the middle of
one. What lies outside the drawn part is not an error.
"""

import colorsys
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from framehouse.annotations import masks
from framehouse.annotations.geometry import Floats, corners
from framehouse.annotations.schema import Flag, Kind
from framehouse.runtime.config import settings
from framehouse.v1 import annotation_pb2

Pixels = NDArray[np.uint8]
Colour = tuple[int, int, int]

FILL = 0.35
"""Opacity of what is inside a polygon, an ellipse or a mask."""
SHIFT = 4
"""Bits below the point of the coordinates that OpenCV is given."""
FAR = 1e6
"""Pixels; farther coordinates are moved here, since they would not fit OpenCV's numbers."""
ELLIPSE_POINTS = 90
HIDDEN = 1
"""Visibility of a keypoint that is there and cannot be seen."""
NAME_LENGTH = 40
"""Characters of a class's name that are shown."""
TEXT_LENGTH = 300
CUBOID_EDGES = [(i, (i + 1) % 4) for i in range(4)] + [(4 + i, 4 + (i + 1) % 4) for i in range(4)]
CUBOID_EDGES += [(i, 4 + i) for i in range(4)]
"""A cuboid's corners: the four of its front, in turn, then those behind them in the same order."""

COLUMNS = (
    *("kind", "label", "bbox", "rings", "rle", "rle_size", "rotation", "visibility"),
    *("z_order", "flags", "score", "text"),
)
"""The annotation columns that are drawn."""


class View(NamedTuple):
    """Which part of the image the pixels show, in pixels of the whole image, and their number for one of those."""

    left: float
    top: float
    scale_x: float
    scale_y: float

    def place(self, points: Floats) -> Floats:
        """Points (n, 2) of the image as points of the pixels, their origin a corner."""
        moved = (points - (self.left, self.top)) * (self.scale_x, self.scale_y)
        return np.clip(moved, -FAR, FAR)


class _Name(NamedTuple):
    """A text at a point of the pixels; without one, it is about the whole image."""

    text: str
    colour: Colour
    at: tuple[float, float] | None


def draw(
    pixels: Pixels,
    annotations: Sequence[Mapping[str, Any]],
    labels: annotation_pb2.LabelSchema,
    view: View,
    *,
    names: bool,
) -> None:
    """Draws annotations, rows of `COLUMNS`, on RGB pixels (height, width, 3).

    In the order of `z_order`; the names of classes, where wanted, over all of it. A track's annotations where its
    object is outside the image are left out; cuboids in space are not drawn.
    """
    texts: list[_Name] = []
    for one in sorted(annotations, key=lambda one: one["z_order"] or 0):
        if one["flags"] & Flag.OUTSIDE:
            continue
        label = labels.labels[one["label"]] if 0 <= one["label"] < len(labels.labels) else None
        colour = colour_of(one["label"], label.color if label else "")
        if one["kind"] == Kind.CAPTION:
            texts.append(_Name(one["text"] or "", colour, None))
            continue
        at = None if one["kind"] == Kind.TAG else _draw(pixels, one, label, colour, view)
        if names and label and (at is not None or one["kind"] == Kind.TAG):
            name = label.name if len(label.name) <= NAME_LENGTH else label.name[: NAME_LENGTH - 1] + "…"
            texts.append(_Name(name if one["score"] is None else f"{name} {one['score']:.2f}", colour, at))
    _write(pixels, texts)


def colour_of(label: int, given: str = "") -> Colour:
    """The colour `#rrggbb` that a label was given, or one that belongs to its id: neighbouring ids differ much."""
    if re.fullmatch(r"#[0-9a-fA-F]{6}", given):
        return int(given[1:3], 16), int(given[3:5], 16), int(given[5:7], 16)
    if label < 0:
        return 200, 200, 200
    # Steps of the golden ratio around the circle of hues never come near an earlier one for long.
    red, green, blue = colorsys.hls_to_rgb(label * 0.6180339887 % 1, (0.55, 0.42, 0.68)[label // 12 % 3], 0.95)
    return round(red * 255), round(green * 255), round(blue * 255)


def _draw(
    pixels: Pixels, one: Mapping[str, Any], label: annotation_pb2.Label | None, colour: Colour, view: View
) -> tuple[float, float] | None:
    """Draws one annotation that has a shape; answers with the top left of what can be seen of it, if anything can."""
    if one["kind"] == Kind.MASK:
        return _draw_mask(pixels, one, colour, view)
    lines = [view.place(line) for line in _lines(one)]
    points = np.concatenate(lines) if lines else np.zeros((0, 2))
    height, width = pixels.shape[:2]
    if (
        not len(points)
        or not np.isfinite(points).all()
        or (points.max(axis=0) < 0).any()
        or (points.min(axis=0) > (width, height)).any()
    ):
        return None
    thickness = _thickness(pixels)
    match one["kind"]:
        case Kind.POLYGON | Kind.ELLIPSE:
            _fill(pixels, lines, colour)
            _outline(pixels, lines, colour, thickness, closed=True)
        case Kind.BOX | Kind.ROTATED_BOX:
            _outline(pixels, lines, colour, thickness, closed=True)
        case Kind.POLYLINE:
            _outline(pixels, lines, colour, thickness, closed=False)
        case Kind.CUBOID if len(points) == 8:
            _outline(pixels, [points[[a, b]] for a, b in CUBOID_EDGES], colour, thickness, closed=False)
        case Kind.POINTS:
            _dots(pixels, points, np.full(len(points), 2), colour, thickness)
        case Kind.SKELETON:
            visibility = np.array((one["visibility"] or [])[: len(points)])
            visibility = np.concatenate([visibility, np.full(len(points) - len(visibility), 2)])
            edges = [(getattr(edge, "from"), edge.to) for edge in (label.edges if label else ())]
            shown = [
                points[[a, b]]
                for a, b in edges
                if min(a, b) >= 0 and max(a, b) < len(points) and visibility[a] and visibility[b]
            ]
            _outline(pixels, shown, colour, thickness, closed=False)
            _dots(pixels, points, visibility, colour, thickness)
            points = points[visibility > 0]
            if not len(points):
                return None
        case _:
            return None
    left, top = points.min(axis=0)
    return max(0.0, float(left)), max(0.0, float(top))


def _lines(one: Mapping[str, Any]) -> list[Floats]:
    """The points of a shape, each line (n, 2), in pixels of the whole image."""
    match one["kind"]:
        case Kind.BOX | Kind.ROTATED_BOX | Kind.ELLIPSE if one["bbox"] is None:
            return []
        case Kind.BOX:
            return [corners(np.array([one["bbox"]]), np.zeros(1))[0]]
        case Kind.ROTATED_BOX:
            return [corners(np.array([one["bbox"]]), np.array([one["rotation"] or 0.0]))[0]]
        case Kind.ELLIPSE:
            return [_ellipse(np.array(one["bbox"]), one["rotation"] or 0.0)]
        case _:
            rings = (np.array(ring[: len(ring) // 2 * 2], np.float64).reshape(-1, 2) for ring in one["rings"] or ())
            return [ring for ring in rings if len(ring)]


def _ellipse(box: Floats, degrees: float) -> Floats:
    """Points (n, 2) of the ellipse in a box, turned clockwise around its centre."""
    along = np.linspace(0, 2 * np.pi, ELLIPSE_POINTS, endpoint=False)
    x, y = np.cos(along) * box[2] / 2, np.sin(along) * box[3] / 2
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.stack([x * cos - y * sin, x * sin + y * cos], axis=1) + box[:2] + box[2:] / 2


def _fixed(points: Floats) -> NDArray[np.int32]:
    """Points as OpenCV takes them: in parts of a pixel, from the middle of the first one."""
    return np.rint((points - 0.5) * (1 << SHIFT)).astype(np.int32)


def _fill(pixels: Pixels, lines: Iterable[Floats], colour: Colour) -> None:
    """Tints what the lines enclose, by the even-odd rule, so that a ring in a ring is a hole."""
    lines = list(lines)
    points = np.concatenate(lines)
    height, width = pixels.shape[:2]
    left, top = np.clip(np.floor(points.min(axis=0)).astype(int) - 1, 0, (width, height))
    right, bottom = np.clip(np.ceil(points.max(axis=0)).astype(int) + 1, 0, (width, height))
    if right <= left or bottom <= top:
        return
    cover = np.zeros((bottom - top, right - left), np.uint8)
    cv2.fillPoly(cover, [_fixed(line - (left, top)) for line in lines], 255, cv2.LINE_AA, SHIFT)
    _tint(pixels[top:bottom, left:right], cover, colour)


def _tint(pixels: Pixels, cover: Pixels, colour: Colour) -> None:
    """Mixes a colour into pixels (h, w, 3) where `cover` (h, w) is above 0, up to the opacity FILL."""
    share = cover[:, :, None].astype(np.float32) * (FILL / 255)
    pixels[:] = np.rint(pixels * (1 - share) + np.array(colour, np.float32) * share)


def _outline(pixels: Pixels, lines: Iterable[Floats], colour: Colour, thickness: int, *, closed: bool) -> None:
    fixed = [_fixed(line) for line in lines]
    if fixed:
        cv2.polylines(pixels, fixed, closed, colour, thickness, cv2.LINE_AA, SHIFT)


def _dots(pixels: Pixels, points: Floats, visibility: NDArray[Any], colour: Colour, thickness: int) -> None:
    """A disc at each visible point, a white one with a rim at each hidden one."""
    radius = 2 * thickness << SHIFT
    for (x, y), seen in zip(_fixed(points).tolist(), visibility.tolist(), strict=True):
        if seen == HIDDEN:
            cv2.circle(pixels, (x, y), radius, (255, 255, 255), cv2.FILLED, cv2.LINE_AA, SHIFT)
        if seen:
            cv2.circle(pixels, (x, y), radius, colour, thickness if seen == HIDDEN else cv2.FILLED, cv2.LINE_AA, SHIFT)


def _draw_mask(pixels: Pixels, one: Mapping[str, Any], colour: Colour, view: View) -> tuple[float, float] | None:
    """Tints the pixels of a mask; one whose runs do not fill its size is left out."""
    size = one["rle_size"]
    if one["rle"] is None or size is None or min(size) < 1 or size[0] * size[1] > settings().max_image_pixels:
        return None
    runs = masks.decode(pa.array([one["rle"]], pa.binary()))
    if not masks.valid(runs, np.array([size[0]]), np.array([size[1]]))[0]:
        return None
    (box,) = masks.envelopes(runs, np.array([size[0]]))
    height, width = pixels.shape[:2]
    (left, top), (right, bottom) = view.place(np.array([box[:2], box[:2] + box[2:]]))
    if not one["rle"] or np.isnan(box).any() or right <= 0 or bottom <= 0 or left >= width or top >= height:
        return None
    ones = np.repeat((np.arange(len(runs.values)) % 2 * 255).astype(np.uint8), runs.values)
    whole = ones.reshape(size[1], size[0]).T
    x0, y0 = round(view.left), round(view.top)
    part = np.ascontiguousarray(whole[y0 : y0 + round(height / view.scale_y), x0 : x0 + round(width / view.scale_x)])
    # A mask may be of another size than its image; then its pixels are those of the image all the same.
    covered = round(part.shape[1] * view.scale_x), round(part.shape[0] * view.scale_y)
    if min(covered) < 1:
        return None
    cover = np.zeros((height, width), np.uint8)
    cover[: covered[1], : covered[0]] = cv2.resize(part, covered, interpolation=cv2.INTER_AREA)[:height, :width]
    x, y = max(0, int(left)), max(0, int(top))
    here = np.s_[y : int(bottom) + 2, x : int(right) + 2]
    _tint(pixels[here], cover[here], colour)
    return max(0.0, float(left)), max(0.0, float(top))


def _thickness(pixels: Pixels) -> int:
    height, width = pixels.shape[:2]
    longest = max(int(height), int(width))
    return max(1 if longest < 320 else 2, round(longest / 512))


def _write(pixels: Pixels, texts: Sequence[_Name]) -> None:
    """Writes each text on a ground of its colour: above its point where there is room, else below it; those about the
    whole image into the lower left corner."""
    height, width = pixels.shape[:2]
    size = min(28, max(12, round(max(height, width) / 64)))
    font, line, pad = cv2.FontFace("sans"), round(size * 1.4), max(2, size // 5)
    floor = height
    for text, colour, at in texts:
        shown = _fitted(" ".join(text.split()), font, size, width - 2 * pad)
        if not shown:
            continue
        wide = _width(shown, font, size) + 2 * pad
        if at is None:
            floor -= line
            left, top = 0, floor
        else:
            left = min(round(at[0]), max(0, width - wide))
            top = round(at[1] - line if at[1] >= line else at[1])
        cv2.rectangle(pixels, (left, top), (left + wide - 1, top + line - 1), colour, cv2.FILLED)
        ink = (0, 0, 0) if _is_light(colour) else (255, 255, 255)
        cv2.putText(pixels, shown, (left + pad, top + round(size * 1.05)), ink, font, size, 500)


def _is_light(colour: Colour) -> bool:
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 140


def _width(text: str, font: cv2.FontFace, size: int) -> int:
    return int(cv2.getTextSize((0, 0), text, (0, 0), font, size, 500)[2])


def _fitted(text: str, font: cv2.FontFace, size: int, width: int) -> str:
    """The text, cut to a width in pixels."""
    text = text[:TEXT_LENGTH]
    if _width(text, font, size) <= width:
        return text
    while text and _width(text + "…", font, size) > width:
        text = text[:-1]
    return text and text + "…"
