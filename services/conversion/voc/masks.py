"""The masks of Pascal VOC: PNG files of classes (SegmentationClass) and of instances (SegmentationObject).

A pixel is an index with a palette, a plain index, or a colour. Read: each instance is a mask of the class that most of
its pixels have; without a file of instances, each class is one mask. Black is nothing. Written: a palette, painted in
the order of z order, so what others cover is lost.
"""

import io
import struct
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import cv2
import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray
from PIL import Image

from framehouse.annotations import geometry, masks
from framehouse.annotations.geometry import Integers
from framehouse.annotations.masks import Intervals, Runs
from framehouse.v1.annotation_pb2 import LabelSchema
from services.conversion.voc import labels as voc_labels
from services.conversion.voc.labels import BACKGROUND, BLACK, Colours

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_PIXELS = 1 << 27
"""Of one PNG file."""
NOTHING, UNKNOWN = -1, -2
LEVEL = 1
"""Of ISA-L, without filters: a twentieth of the time that Pillow takes, for fewer bytes."""
GREY, COLOUR, INDEX = 0, 2, 3
"""Colour types of a PNG file."""
SHOWN = 5
SMALL = 256
"""Numbers that a palette has room for."""


class Unreadable(ValueError):
    """Why a PNG file cannot be read, in words."""


class Raster(NamedTuple):
    """A PNG file: a code for each pixel."""

    codes: NDArray[Any]
    """(height, width): indices, or colours as red, green, blue, eight bits each."""
    palette: Colours | None
    """The colours of indices."""
    is_colour: bool


@dataclass
class Found:
    """The masks of many images."""

    image: list[int] = field(default_factory=list)
    number: list[int] = field(default_factory=list)
    """Of the instance; 0 where there is none."""
    label: list[int] = field(default_factory=list)
    """-1 for none."""
    size: list[tuple[int, int]] = field(default_factory=list)
    """Height and width."""
    parts: list[Intervals] = field(default_factory=list)

    def runs(self) -> Runs:
        """The pixels of all masks."""
        none = np.zeros(0, np.int64)
        parts = zip(Intervals(none, none, none), *self.parts, strict=True)
        pixels = np.array(self.size, np.int64).reshape(-1, 2).prod(axis=1)
        return masks.union(Intervals(*map(np.concatenate, parts)), pixels)


def decode(data: bytes) -> Raster:
    """The pixels of a PNG file. Raises Unreadable."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=["PNG"])
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise Unreadable(f"it has {width:,} × {height:,} pixels, which are too many")
            if image.mode == "P":
                given = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)[:SMALL]
                palette = np.zeros((SMALL, 3), np.uint8)
                palette[: len(given)] = given
                return Raster(np.asarray(image), palette, False)
            if image.mode in ("1", "L", "I", "I;16"):
                return Raster(np.asarray(image).astype(np.int32), None, False)
            pixels = np.asarray(image.convert("RGB"), np.int32)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise Unreadable(str(error) or "it is no PNG file") from error
    return Raster(pixels[..., 0] << 16 | pixels[..., 1] << 8 | pixels[..., 2], None, True)


def size_of(data: bytes) -> tuple[int, int] | None:
    """Width and height of a PNG file, from its header; None where it is none."""
    if not data.startswith(SIGNATURE) or len(data) < 24:
        return None
    width, height = struct.unpack(">II", data[16:24])
    return (width, height) if 0 < width * height <= MAX_PIXELS else None


def named(raster: Raster, codes: Integers) -> str:
    """Some codes in words."""
    shown = [f"colour #{code:06x}" if raster.is_colour else f"index {code}" for code in codes[:SHOWN].tolist()]
    return ", ".join(shown) + (f" and {len(codes) - SHOWN} more" if len(codes) > SHOWN else "")


def lookup(labels: LabelSchema) -> Callable[[Raster, Integers], Integers]:
    """What finds the labels of codes of a file of classes: NOTHING for none, UNKNOWN where nobody said."""
    shades = dict(voc_labels.shades(labels))
    by_index = {label.source_id: i for i, label in enumerate(labels.labels) if label.HasField("source_id")}
    background = [i for i, label in enumerate(labels.labels) if label.name == BACKGROUND]

    def find(raster: Raster, codes: Integers) -> Integers:
        colours = _colours(raster, codes)
        result = np.full(len(codes), UNKNOWN)
        for i, code in enumerate(codes.tolist()):
            colour = tuple(colours[i].tolist()) if colours is not None else None
            label = shades.get(colour, UNKNOWN) if colour is not None else UNKNOWN
            if colour == BLACK:
                label = NOTHING
            elif label == UNKNOWN and not raster.is_colour:
                label = by_index.get(code, NOTHING if code == 0 else UNKNOWN)
            result[i] = NOTHING if label in background else label
        return result

    return find


def _colours(raster: Raster, codes: Integers) -> Colours | None:
    """The colours (n, 3) of codes, where they have any."""
    if raster.is_colour:
        return np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=1).astype(np.uint8)
    return None if raster.palette is None else raster.palette[codes]


def _numbers(raster: Raster, codes: Integers) -> Integers:
    """The numbers of the instances that codes stand for; 0 for none."""
    colours = _colours(raster, codes)
    if colours is None or len(np.unique(colours, axis=0)) < len(codes):
        return codes
    return voc_labels.numbers(colours)


def read(
    image: int,
    classes: Raster | None,
    instances: Raster | None,
    find: Callable[[Raster, Integers], Integers],
    into: Found,
) -> Integers:
    """Appends the masks of an image, of one of the files at least; answers with the codes of classes nobody knows."""
    rasters = [one for one in (classes, instances) if one is not None]
    begin, end, codes = _runs(rasters)
    unknown = np.zeros(0, np.int64)
    label = np.full(len(begin), NOTHING)
    if classes is not None:
        found, place = np.unique(codes[0], return_inverse=True)
        labels = find(classes, found)
        unknown, label = found[labels == UNKNOWN], np.maximum(labels, NOTHING)[place]
    if instances is None:
        _append(image, label, begin, end, lambda key: (0, key), rasters[0], into)
        return unknown
    found, place = np.unique(codes[-1], return_inverse=True)
    number = _numbers(instances, found)[place]
    # Of each instance the class with the most pixels.
    pairs, at = np.unique(np.stack([number, label], axis=1), axis=0, return_inverse=True)
    pixels = np.bincount(at.reshape(-1), end - begin, len(pairs))
    order = np.lexsort([pixels, pairs[:, 1] >= 0])
    of = dict(pairs[order].tolist())
    _append(image, np.where(number > 0, number, NOTHING), begin, end, lambda key: (key, of[key]), rasters[0], into)
    return unknown


def _runs(rasters: Sequence[Raster]) -> tuple[Integers, Integers, list[Integers]]:
    """Runs of pixels down the columns that have the same code in all rasters: where each begins and ends, and codes."""
    flat = [np.ascontiguousarray(raster.codes.T).reshape(-1) for raster in rasters]
    changes = np.zeros(len(flat[0]) - 1, bool)
    for values in flat:
        changes |= values[1:] != values[:-1]
    begin = np.concatenate([[0], np.flatnonzero(changes) + 1])
    return begin, np.append(begin[1:], len(flat[0])), [values[begin].astype(np.int64) for values in flat]


def _append(
    image: int,
    key: Integers,
    begin: Integers,
    end: Integers,
    said: Callable[[int], tuple[int, int]],
    raster: Raster,
    into: Found,
) -> None:
    """Appends a mask for each key of runs, in their order; runs of NOTHING are of none."""
    kept = key != NOTHING
    keys, owner = np.unique(key[kept], return_inverse=True)
    into.parts.append(Intervals(owner + len(into.image), begin[kept], end[kept]))
    for value in keys.tolist():
        number, label = said(value)
        into.image.append(image)
        into.number.append(number)
        into.label.append(label)
        into.size.append((raster.codes.shape[0], raster.codes.shape[1]))


def paint(
    runs: Runs, drawn: Integers, size: Integers, layers: Sequence[tuple[Integers, int]]
) -> Iterator[NDArray[Any]]:
    """Masks of one image, the first one undermost, as rasters of numbers; of bytes where those fit.

    There is a raster for each of `layers`: the number of each mask, and that of nothing.

    `drawn` (n, 2) are the sizes of the masks, height and width, `size` that of the image. Masks say what they were
    drawn on; only where they differ, the image decides.
    """
    if (drawn == drawn[0]).all() or not size.all():
        size = drawn[0]
    target = np.tile(size, (len(drawn), 1))
    if (drawn != target).any():
        runs = masks.resize(runs, drawn, target)
    parts = masks.intervals(runs)
    begins, ends = parts.begin.tolist(), parts.end.tolist()
    for numbers, nothing in layers:
        fits = max(int(numbers.max()), nothing) < SMALL
        flat = np.full(size.prod(), nothing, np.uint8 if fits else np.int32)
        for number, begin, end in zip(numbers[parts.owner].tolist(), begins, ends, strict=True):
            flat[begin:end] = number
        yield cv2.transpose(flat.reshape(size[::-1]))  # six times as fast as NumPy's


def encode(raster: NDArray[Any], colours: Colours | None) -> bytes:
    """A raster of numbers as a PNG file; `colours` are those of all numbers.

    Numbers that a palette has no room for are written as colours; without colours as 16 bits.
    """
    kind, depth, pixels = GREY, 8, raster
    if raster.dtype == np.uint8:
        kind = GREY if colours is None else INDEX
    elif colours is not None:
        kind, pixels = COLOUR, colours[raster]
    else:
        depth, pixels = 16, np.ascontiguousarray(raster, ">u2").view(np.uint8)
    height, width = raster.shape
    # A row begins with its filter: none.
    rows = np.zeros((height, 1 + pixels.size // height), np.uint8)
    rows[:, 1:] = pixels.reshape(height, -1)
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0))]
    if kind == INDEX and colours is not None:
        chunks.append((b"PLTE", colours[:SMALL].tobytes()))
    chunks += [(b"IDAT", isal_zlib.compress(rows, LEVEL)), (b"IEND", b"")]
    return SIGNATURE + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", isal_zlib.crc32(name + data))
        for name, data in chunks
    )


def overlapping(image: Integers, rle: Runs, sizes: Integers) -> NDArray[np.bool_]:
    """Which masks share a pixel with another one of their image; `image` is the row of each one's, ascending."""
    same = np.zeros(len(image), bool)
    parts = masks.intervals(rle)
    owner_image = image[parts.owner]
    order = np.lexsort([parts.begin, owner_image])
    owner, of, begin, end = parts.owner[order], owner_image[order], parts.begin[order], parts.end[order]
    if not len(order):
        return same
    # The furthest end so far in the image, and whose it is: positions of the images lie one after the other.
    base = geometry.starts(np.bincount(image, sizes.prod(axis=1)).astype(np.int64))[of]
    reach = np.maximum.accumulate(base + end)
    holder = np.maximum.accumulate(np.where(base + end == reach, np.arange(len(order)), 0))
    covers = np.flatnonzero((base + begin)[1:] < reach[:-1]) + 1
    same[owner[covers]] = True
    same[owner[holder[covers - 1]]] = True
    return same
