"""The lines of an Ultralytics NDJSON file: the first one says what the dataset is, every other one is an image.

Planned here: classes, keypoints, and the images, with the place of each one's line; read apart, shard by shard, since
the numbers in a line are relative to an image whose true size media finds out.
"""

import posixpath
import re
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from framehouse.annotations.geometry import Integers
from framehouse.annotations.labels import label_schema
from framehouse.annotations.schema import State
from framehouse.annotations.splits import canonical_split
from framehouse.runtime import errors
from framehouse.store.issues import ERROR, INFO, WARNING, IssueLog
from framehouse.v1.annotation_pb2 import LabelSchema
from services.conversion import layout, listed
from services.conversion.archive import Archive
from services.conversion.format import Candidate, ReadPlan
from services.conversion.json_problems import UNREADABLE, is_text, reason_of
from services.conversion.ultralytics.finding import BOM, MAX_LABEL_BYTES
from services.conversion.unpacked import unpacked

Raw = msgspec.Raw

BEGINNING = 64 << 10
"""Bytes of a file that are looked at to tell what it is."""
MAX_CLASSES = 100_000
MAX_KEYPOINTS = 1000
MAPPED = {"type", "file", "width", "height", "split", "annotations"}
"""Members of an image's line that do not stay text."""
HEAD = {"type", "task", "class_names", "kpt_shape", "flip_idx", "kpt_names", "bytes"}
"""Members of the first line that are made anew; all others come out as they came in."""
LINE = {"object": "line_object", "data_offset": "line_offset", "stored_size": "line_size"}
"""Columns of the plan that say where an image's line lies, by what they are called of a file."""


def detect(archive: Archive) -> Candidate | None:
    """A file whose first line is of the type dataset."""
    found = _files(archive)
    return Candidate(0.98, f"{archive.path(found[0])} begins with a line of the type dataset") if found else None


def _files(archive: Archive) -> list[int]:
    """Rows of the files that begin as they should, the one nearest to the top first."""
    rows = archive.with_extension("ndjson", "jsonl").tolist()
    rows.sort(key=lambda row: (archive.path(row).count("/"), archive.path(row)))
    return [row for row in rows[:20] if _begins(archive.beginning(row, BEGINNING))]


def _begins(data: bytes) -> bool:
    first = data.removeprefix(BOM).lstrip().partition(b"\n")[0]
    return first.startswith(b"{") and re.search(rb'"type"\s*:\s*"dataset"', first) is not None


@dataclass
class Lines:
    """Feed it the file in chunks; then it knows the first line, and of each other one what it says of an image."""

    path: str
    issues: IssueLog
    head: dict[str, Any] = field(default_factory=dict)
    number: list[int] = field(default_factory=list)
    """Line of each image, from 1."""
    start: list[int] = field(default_factory=list)
    size: list[int] = field(default_factory=list)
    """Bytes of the line."""
    name: list[str] = field(default_factory=list)
    split: list[str] = field(default_factory=list)
    width: list[int | None] = field(default_factory=list)
    height: list[int | None] = field(default_factory=list)
    source: list[str | None] = field(default_factory=list)
    has_url: list[bool] = field(default_factory=list)
    is_empty: list[bool] = field(default_factory=list)
    """Which say of their annotations that there are none."""
    classes: int = 0
    """One more than the highest class of any annotation; only counted where the first line names none."""
    poses: list[list[float]] = field(default_factory=list)
    """Some rows of keypoints; only kept where the first line does not say their shape."""
    _position: int = 0
    _line: int = 0
    _held: bytes = b""

    def feed(self, chunk: bytes) -> None:
        """Takes the next bytes of the file."""
        data = self._held + chunk
        end = data.rfind(b"\n") + 1
        self._take(data[:end])
        self._held = data[end:]
        if len(self._held) > MAX_LABEL_BYTES:
            raise errors.InvalidArgument(
                f"{self.path}, line {self._line + 1}: the line has more than {MAX_LABEL_BYTES:,} bytes",
                reason="JSON_INVALID",
            )

    def close(self) -> None:
        """Says that the file ended."""
        self._take(self._held)
        self._held = b""

    def _take(self, data: bytes) -> None:
        for line in data.removesuffix(b"\n").split(b"\n") if data else []:
            self._line += 1
            if line.strip():
                self._add(line.removeprefix(BOM) if self._line == 1 else line)
            self._position += len(line) + 1

    def _add(self, line: bytes) -> None:
        try:
            if not is_text(line):
                raise msgspec.DecodeError("it is no UTF-8 text")
            record = msgspec.json.decode(line, type=dict[str, Raw])
            kind = msgspec.json.decode(record["type"]) if "type" in record else ""
            if kind == "dataset" and not self.head:
                self.head = msgspec.json.decode(line)
                return
            name, split = (msgspec.json.decode(record[key]) if key in record else "" for key in ("file", "split"))
            if kind not in ("", "image") or not isinstance(name, str) or not name.strip("./\\ "):
                raise msgspec.DecodeError(f"it is of type {kind!r}, or has no file")
        except UNREADABLE as error:
            text = f"the line is no image: {reason_of(error)}"
            remedy = "a line is a JSON object with type, file, width, height, split and annotations"
            self.issues.add("IMAGE_INVALID", ERROR, self.path, text, remedy, self._line)
            return
        annotations = bytes(record.get("annotations", b"null"))
        self.number.append(self._line)
        self.start.append(self._position)
        self.size.append(len(line))
        self.name.append(name)
        self.split.append(split if isinstance(split, str) else "")
        self.width.append(_size(record.get("width")))
        self.height.append(_size(record.get("height")))
        self.has_url.append(len(bytes(record.get("url", b""))) > len('""') and bytes(record["url"]) != b"null")
        rest = [msgspec.json.encode(key) + b":" + bytes(value) for key, value in record.items() if key not in MAPPED]
        self.source.append('{"ultralytics_ndjson":{' + b",".join(rest).decode() + "}}" if rest else None)
        self.is_empty.append(annotations != b"null" and not re.search(rb"\d", annotations))
        if not self.head.get("class_names") or (not self.head.get("kpt_shape") and b'"pose"' in annotations):
            self._infer(annotations)

    def _infer(self, annotations: bytes) -> None:
        try:
            found = msgspec.json.decode(annotations, type=dict[str, list[list[float] | float]] | None) or {}
        except msgspec.DecodeError:
            return  # told when the line is read
        for key, rows in found.items():
            of_rows = [row[0] if isinstance(row, list) else row for row in rows if row != []]
            self.classes = max([self.classes, *(int(number) + 1 for number in of_rows if 0 <= number < MAX_CLASSES)])
            if key == "pose" and len(self.poses) < 50:
                self.poses.extend(row for row in rows if isinstance(row, list) and len(row) > 5)


def _size(raw: Raw | None) -> int | None:
    value = msgspec.json.decode(raw) if raw is not None else None
    return int(value) if isinstance(value, int | float) and 0 < value < 1 << 31 else None


def plan(archive: Archive, issues: IssueLog) -> ReadPlan:
    """Finds the file, its classes, and the images. InvalidArgument where there is no such file."""
    rows = _files(archive)
    if not rows:
        names = ", ".join(archive.path(row) for row in archive.with_extension("ndjson", "jsonl")[:5].tolist())
        raise errors.InvalidArgument(
            f"no NDJSON file begins with a line of the type dataset (there is {names or 'none'}); the first line is "
            '{"type": "dataset", "task": …, "class_names": {…}}, every other one an image',
            reason="NDJSON_MISSING",
        )
    for row in rows[1:]:
        text = f"{archive.path(rows[0])} describes the dataset; this file was not read"
        issues.add("NDJSON_UNUSED", INFO, archive.path(row), text, "import the datasets of one archive one by one")
    lines = Lines(archive.path(rows[0]), issues)
    key, offset, _ = unpacked(archive, rows[0], f"{archive.scratch.rstrip('/')}/labels.ndjson", lines.feed, plain=True)
    lines.close()
    return ReadPlan(_images(archive, lines, key, offset, issues), _labels(lines, issues), None)


def _labels(lines: Lines, issues: IssueLog) -> LabelSchema:
    """The classes in the order of their ids, with keypoints where there are any; and what else the first line says."""
    given = lines.head.get("class_names") or lines.head.get("names") or {}
    pairs = enumerate(given) if isinstance(given, list) else given.items() if isinstance(given, dict) else ()
    names: dict[int, str] = {}
    for key, name in pairs:
        if not re.fullmatch("[0-9]{1,9}", str(key)) or int(key) >= MAX_CLASSES or isinstance(name, list | dict):
            text = f"{lines.path}, line 1: {str(key)[:40]!r} under `class_names` is no class id with a name"
            raise errors.InvalidArgument(f'{text}; write "0": "name"', reason="CLASS_NAMES_INVALID")
        if name is not None and str(name).strip():
            names[int(key)] = str(name)
    result: dict[str, None] = {}
    for i in range(max([lines.classes - 1, *names, -1]) + 1):
        name = names.get(i, "")
        if not name:
            name = f"class_{i}"
            text = f"class {i} has no name; it is called {name}"
            issues.add("CLASS_NAME_MISSING", WARNING, lines.path, text, "add it to `class_names`", 1)
        if name in result:
            text = f"class {i} is called {name} as another is; it became {name} ({i})"
            issues.add("CLASS_NAME_REPEATED", WARNING, lines.path, text, "give each class a name of its own", 1)
            name = f"{name} ({i})"
        result[name] = None
    labels: LabelSchema = label_schema(result)
    said: dict[str, Any] = {"ultralytics_ndjson": {k: v for k, v in lines.head.items() if k not in HEAD - {"task"}}}
    if shape := _shape(lines):
        count, numbers = shape
        given = lines.head.get("kpt_names")
        for i, label in enumerate(labels.labels):
            mine = given.get(str(i), given.get(label.name, [])) if isinstance(given, dict) else given
            if mine != []:
                known = isinstance(mine, list) and len(mine) == count
                label.keypoints.extend(map(str, list(mine or []) if known else range(count)))
        said["ultralytics_pose"] = {"count": count, "numbers": numbers, "flip_idx": lines.head.get("flip_idx")}
    labels.source = msgspec.json.encode(said).decode()
    return labels


def _shape(lines: Lines) -> tuple[int, int] | None:
    """Keypoints of an object, and numbers of each; where nothing says them, by the rows, as Ultralytics does."""
    shape: Any = lines.head.get("kpt_shape")
    if shape:
        fits = isinstance(shape, list) and len(shape) == 2 and all(isinstance(one, int) for one in shape)
        if not fits or not 0 < shape[0] <= MAX_KEYPOINTS or shape[1] not in (2, 3):
            raise errors.InvalidArgument(
                f"{lines.path}, line 1: kpt_shape is {shape!r}; write [number of keypoints, 2 or 3], for instance "
                "[17, 3]",
                reason="KEYPOINT_SHAPE_INVALID",
            )
        return shape[0], shape[1]
    widths = {len(row) - 5 for row in lines.poses}
    if not widths:
        return None
    width = min(widths)
    if len(widths) == 1 and width % 3 == 0 and all(seen in (0, 1, 2) for row in lines.poses for seen in row[7::3]):
        return width // 3, 3
    if len(widths) == 1 and width % 2 == 0 and width % 3:
        return width // 2, 2
    raise errors.InvalidArgument(
        f"{lines.path} has keypoints, but its first line no kpt_shape, and the rows do not tell it; add it, for "
        "instance [17, 3]",
        reason="KEYPOINT_SHAPE_INVALID",
    )


def _images(archive: Archive, lines: Lines, key: str, offset: int, issues: IssueLog) -> pa.Table:
    image_rows = archive.images()
    entries = archive.paths.take(pa.array(image_rows))
    names, spelled = layout.tidy(pa.array(lines.name, pa.string())), pa.array(lines.split, pa.string())
    at = _find(lines.path, names, spelled, entries)
    _tell_missing(lines, at, entries, issues)
    if not len(names) and not len(entries):
        raise errors.InvalidArgument(f"{lines.path} names no images, and there are none", reason="IMAGES_MISSING")
    empty = np.array(lines.is_empty, bool)
    table = pa.table(
        {
            "name": names,
            "at": at,
            "split": pa.array([canonical_split(name) for name in lines.split], pa.string()),
            "split_name": spelled,
            "width": pa.array(lines.width, pa.int32()),
            "height": pa.array(lines.height, pa.int32()),
            "source": pa.array(lines.source, pa.string()),
            "state": pa.array(np.full(len(empty), int(State.VERIFIED_EMPTY), np.int8), mask=~empty),
            "line_object": pa.repeat(key, len(empty)),
            "line_offset": np.array(lines.start, np.int64) + offset,
            "line_size": np.array(lines.size, np.int64),
            "line_number": np.array(lines.number, np.int64),
            "line_path": pa.repeat(lines.path, len(empty)),
        }
    )
    repeated = _tell_repeated(lines, table, issues)
    return listed.plan(archive, image_rows, table.filter(pa.array(~repeated)), "line", issues).images


def _find(path: str, names: pa.Array, splits: pa.Array, entries: pa.Array) -> Integers:
    """Position in `entries` of each image, -1 for none: where it should be, before anywhere else."""
    found = np.full(len(names), -1)
    if not len(entries):
        return found
    here = posixpath.dirname(path)
    for split in pc.unique(splits).to_pylist():
        mine = np.flatnonzero(np.array(pc.equal(splits, split)))
        apart = [("images", split), (split, "images"), (split,)] if split else [("images", "train"), ("train",)]
        folders = [posixpath.join(here, *parts) for parts in apart]
        at = np.full(len(mine), -1)
        layout.look_up(at, names.take(pa.array(mine)), entries, [*folders, posixpath.join(here, "images"), here])
        found[mine] = at
    missing, free = np.flatnonzero(found < 0), np.setdiff1d(np.arange(len(entries)), found)
    if len(missing) and len(free):
        again = layout.find(names.take(pa.array(missing)), entries.take(pa.array(free)), [])
        found[missing] = np.where(again >= 0, free[np.maximum(again, 0)], -1)
    return found


def _tell_missing(lines: Lines, at: Integers, entries: pa.Array, issues: IssueLog) -> None:
    has_url = np.array(lines.has_url, bool)
    elsewhere = int(((at < 0) & has_url).sum())
    if elsewhere:
        text = f"{elsewhere:,} images are named by URLs, which are not fetched; they are kept without bytes"
        issues.add("IMAGE_NOT_FETCHED", INFO, lines.path, text, "pack the images with the file")
    names = [lines.name[i] for i in np.flatnonzero((at < 0) & ~has_url).tolist()]
    listed.tell_missing([lines.path] * len(names), names, len(entries), issues)


def _tell_repeated(lines: Lines, table: pa.Table, issues: IssueLog) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which lines are of an image that another line was of before."""
    same = pc.binary_join_element_wise(table["split"], table["name"], "\0").combine_chunks()
    again = np.ones(table.num_rows, bool)
    again[np.unique(same.dictionary_encode().indices.to_numpy(), return_index=True)[1]] = False
    for i in np.flatnonzero(again).tolist():
        text = f"{lines.name[i]} has a line before; this one was left out"
        issues.add("IMAGE_REPEATED", ERROR, lines.path, text, "give an image one line", lines.number[i])
    return again
