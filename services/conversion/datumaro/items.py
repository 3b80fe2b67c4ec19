"""The items of Datumaro's files as images: planned in the columns of a read plan, found in the archive; and what the
parts of a file need to know of its items.

The identity of an item is its id, so an image is called by the id and the extension of its file. What an image of ours
has no place for (`point_cloud`, `video_frame`, members of other tools) is kept as JSON text in the column `source`.
"""

import json
import posixpath
import re
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from framehouse.annotations.geometry import Integers
from framehouse.annotations.plan import Part
from framehouse.runtime import errors
from framehouse.store.frames import BatchFile, write_batches
from framehouse.store.issues import ERROR, INFO, IssueLog
from services.conversion import layout, listed
from services.conversion.archive import Archive
from services.conversion.datumaro.files import File, find_files, read_categories
from services.conversion.format import LabelSource, ReadPlan
from services.conversion.json_outline import Span, elements
from services.conversion.json_problems import UNREADABLE, is_text
from services.conversion.unpacked import fetch, part_bytes

Raw = msgspec.Raw
ITEMS = msgspec.json.Decoder(list[dict[str, Raw]])
MAPPED = {"id", "annotations", "attr", "image"}
"""Members of an item that do not stay text."""
NO_IMAGE = ',"image":false'
"""What the source of an image says whose item names none."""
OTHER_MEDIA = re.compile(r',"(point_cloud|video|video_frame)":')
LABELS_KEY = b"framehouse.datumaro.labels"
SCHEMA = pa.schema([pa.field("row", pa.int64())])
"""Of a lookup: the row in the plan of each item, -1 for none; one record batch a part."""


class Detail(msgspec.Struct, frozen=True):
    """What a part says besides where it lies."""

    lookup: str
    """Key of its file's lookup."""
    batch: int
    """Which of its batches is this part's."""
    line: int
    """Line of the file that it begins in."""


@dataclass
class Items:
    """The usable items of the files, a value each."""

    file: list[int]
    place: list[int]
    """Number of each among all elements of its file."""
    name: list[str]
    """What the image is called."""
    path: list[str]
    """Where it is said to lie; empty for nowhere."""
    id: list[str]
    size: list[tuple[int | None, int | None]]
    """Width and height; 0 for what has no pixels at all."""
    attributes: list[str | None]
    frame: list[int | None]
    source: list[str]


def plan(archive: Archive, issues: IssueLog) -> ReadPlan:
    """Finds files, images, categories and parts. InvalidArgument where there is no such file or one is no JSON."""
    files = find_files(archive)
    labels = read_categories(archive, files, issues)
    spans = [file.outline.members["items"] for file in files]
    size = part_bytes(sum(span.end - span.start for span in spans))
    pieces = [file.outline.parts("items", size) for file in files]
    items = Items([], [], [], [], [], [], [], [], [])
    counts = [_read(archive, number, file, pieces[number], items, issues) for number, file in enumerate(files)]
    images, rows = _images(archive, files, items, issues)

    parts = []
    of, place = np.array(items.file, np.int64), np.array(items.place, np.int64)
    for number, (file, mine) in enumerate(zip(files, counts, strict=True)):
        key = f"{archive.scratch.rstrip('/')}/lookup-{number}"
        known = np.full(sum(mine), -1)
        known[place[of == number]] = rows[of == number]
        bounds = np.cumsum([0, *mine]).tolist()
        schema = SCHEMA.with_metadata({LABELS_KEY: json.dumps(file.labels)})
        batches = [pa.record_batch([pa.array(known[first:end])], schema=schema) for first, end in pairwise(bounds)]
        write_batches(archive.bucket, key, schema, batches)
        for batch, piece in enumerate(pieces[number]):
            if mine[batch]:
                detail = msgspec.json.encode(Detail(key, batch, piece.line)).decode()
                parts.append(Part(file.path, file.key, file.offset + piece.start, piece.end - piece.start, detail))
    return ReadPlan(images, labels, parts)


def open_lookup(source: LabelSource, detail: Detail) -> tuple[Integers, Integers]:
    """The row of each item of a part, and the label of each of its file's labels."""
    file = BatchFile(source.bucket, detail.lookup)
    rows = file.batch(detail.batch)["row"].to_numpy()
    return rows, np.array(json.loads(file.schema.metadata[LABELS_KEY]), np.int64)


def _read(archive: Archive, number: int, file: File, pieces: list[Span], items: Items, issues: IssueLog) -> list[int]:
    """Adds the items of a file; answers with the number of elements of each piece."""
    counts: list[int] = []
    first = len(items.id)
    for piece in pieces:
        data = fetch(archive.bucket, file.key, file.offset + piece.start, piece.end - piece.start)
        found: list[dict[str, Raw] | None] = []
        with suppress(*UNREADABLE):
            found = list(ITEMS.decode(b"[" + data + b"]")) if is_text(data) else []
        if not found:
            found = [_decoded(data[first:end]) for first, end in elements(data)]
        for place, item in enumerate(found, sum(counts)):
            if item is None or not _add(items, number, place, item):
                what = f"item {place + 1} has no id, or is no JSON object that can be read"
                issues.add("IMAGE_INVALID", ERROR, file.path, what, "correct or remove the item", piece.line)
        counts.append(len(found))
    others = sum(bool(OTHER_MEDIA.search(text)) for text in items.source[first:])
    if others:
        text = f"{others:,} items have point clouds or videos; those are kept as names, without their bytes"
        issues.add("MEDIA_NOT_KEPT", INFO, file.path, text, "keep the archive, if you need them")
    return counts


def _decoded(text: bytes) -> dict[str, Raw] | None:
    """One item; what Python writes beyond JSON (NaN) is mended."""
    if not is_text(text):
        return None
    try:
        return msgspec.json.decode(text, type=dict[str, Raw])
    except UNREADABLE:
        try:
            return msgspec.json.decode(mended(text), type=dict[str, Raw])
        except (ValueError, OverflowError, RecursionError):
            return None


def mended(text: bytes) -> bytes:
    """JSON as Python reads it, with null for what is no finite number. ValueError where it cannot be read at all."""
    return msgspec.json.encode(json.loads(text, parse_constant=lambda constant: None))


def _add(items: Items, number: int, place: int, item: dict[str, Raw]) -> bool:
    identity = _value(item, "id")
    if isinstance(identity, bool) or not isinstance(identity, str | int) or not str(identity).strip("./\\ "):
        return False
    image, media = _value(item, "image"), _value(item, "media")
    has_image = isinstance(image, dict)
    said = image if isinstance(image, dict) else media if isinstance(media, dict) else {}
    path = said.get("path")
    path = path if isinstance(path, str) else ""
    attributes = _value(item, "attr")
    attributes = attributes if isinstance(attributes, dict) else {}
    frame = attributes.get("frame")
    if isinstance(frame, int) and not isinstance(frame, bool) and 0 <= frame < 1 << 62:
        attributes = {key: value for key, value in attributes.items() if key != "frame"}
    else:
        frame = None
    size = said.get("size")
    fits = isinstance(size, list) and len(size) == 2 and all(isinstance(one, int | float) and one > 0 for one in size)
    rest = b"".join(b"," + msgspec.json.encode(key) + b":" + _tight(item[key]) for key in item if key not in MAPPED)
    if not has_image and not path:
        rest += NO_IMAGE.encode()
    name = str(identity)
    items.file.append(number)
    items.place.append(place)
    items.id.append(name)
    items.path.append(path)
    items.name.append(_name(name, path))
    none = (0, 0) if "point_cloud" in item else (None, None)
    items.size.append((int(size[1]), int(size[0])) if fits and isinstance(size, list) else none)
    items.attributes.append(msgspec.json.encode(attributes).decode() if attributes else None)
    items.frame.append(frame)
    items.source.append('{"datumaro":{"id":' + bytes(item["id"]).decode() + rest.decode() + "}}")
    return True


def _tight(value: Raw) -> bytes:
    return msgspec.json.format(bytes(value), indent=-1)


def _value(item: dict[str, Raw], name: str) -> Any:
    return msgspec.json.decode(item[name]) if name in item else None


def _name(identity: str, path: str) -> str:
    """What an image is called: its id, with the extension of its file unless the id has it already."""
    extension = posixpath.splitext(path)[1]
    has_it = identity.lower().endswith(extension.lower()) and posixpath.basename(identity) == posixpath.basename(path)
    return identity if not extension or has_it else identity + extension


def _images(archive: Archive, files: list[File], items: Items, issues: IssueLog) -> listed.Listed:
    """The plan's images in order, and the row of each item."""
    image_rows = archive.images()
    entries = archive.paths.take(pa.array(image_rows))
    of = np.array(items.file, np.int64)
    at = _find(files, items, of, entries)
    if not len(of) and not len(entries):
        raise errors.InvalidArgument(
            f"{files[0].path} has no items, and the archive no images", reason="IMAGES_MISSING"
        )
    _tell_missing(files, items, of, at, entries, issues)
    table = pa.table(
        {
            "name": layout.tidy(pa.array(items.name, pa.string())),
            "at": at,
            "split": pa.array([file.split for file in files], pa.string()).take(pa.array(of)),
            "split_name": pa.array([file.split_name for file in files], pa.string()).take(pa.array(of)),
            "width": pa.array([width for width, _ in items.size], pa.int32()),
            "height": pa.array([height for _, height in items.size], pa.int32()),
            "image_attributes": pa.array(items.attributes, pa.string()),
            "frame": pa.array(items.frame, pa.int64()),
            "source": pa.array(items.source, pa.string()),
        }
    )
    return listed.plan(archive, image_rows, table, "item", issues)


def _find(files: list[File], items: Items, of: Integers, entries: pa.Array) -> Integers:
    """Position in `entries` of each item's image, -1 for none: where it should be, before anywhere else."""
    found = np.full(len(of), -1)
    if not len(entries):
        return found
    stems = pc.replace_substring_regex(entries, r"\.[^./]*$", "")
    paths = layout.tidy(pa.array(items.path, pa.string()))
    ids = layout.tidy(pa.array(items.id, pa.string()))
    for number, file in enumerate(files):
        mine = np.flatnonzero(of == number)
        subset = posixpath.splitext(posixpath.basename(file.path))[0]
        folders = [posixpath.join(file.top, "images", subset), posixpath.join(file.top, "images"), file.top]
        here = np.full(len(mine), -1)
        layout.look_up(here, paths.take(pa.array(mine)), entries, folders)
        layout.look_up(here, ids.take(pa.array(mine)), stems, folders[:2])
        found[mine] = here
    missing = np.flatnonzero((found < 0) & np.array(pc.not_equal(paths, "")))
    free = np.setdiff1d(np.arange(len(entries)), found)
    if len(missing) and len(free):
        again = layout.find(paths.take(pa.array(missing)), entries.take(pa.array(free)), [])
        found[missing] = np.where(again >= 0, free[np.maximum(again, 0)], -1)
    return found


def _tell_missing(
    files: list[File], items: Items, of: Integers, at: Integers, entries: pa.Array, issues: IssueLog
) -> None:
    absent = np.flatnonzero((at < 0) & np.array([bool(path) for path in items.path], bool)).tolist()
    names = [items.path[i] for i in absent]
    paths = [files[of[i]].path for i in absent]
    if names and len(entries) and len(names) == len(of):
        raise errors.InvalidArgument(
            f"none of {len(names):,} images that {paths[0]} names is in the archive: it names {names[0]}, and the "
            f"archive has {entries[0].as_py()}; pack the images as images/<subset>/<path>",
            reason="IMAGES_UNMATCHED",
        )
    listed.tell_missing(paths, names, len(entries), issues)
