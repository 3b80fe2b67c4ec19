"""The JSON files of a Datumaro dataset, one a subset: which there are, where their items lie, and their categories.

A file of any size is unpacked, outlined and cut in one pass (`json_outline`). What labels have no place for (groups of
labels, default positions of points) goes into the source of the label schema, and comes out again.
"""

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from framehouse.annotations.splits import canonical_split
from framehouse.runtime import errors
from framehouse.store.bucket import Bucket
from framehouse.store.issues import WARNING, IssueLog
from framehouse.v1.annotation_pb2 import KeypointEdge, Label, LabelSchema
from services.conversion.archive import Archive
from services.conversion.format import Candidate
from services.conversion.json_files import decoded, outlined
from services.conversion.json_outline import Malformed, Outline
from services.conversion.unpacked import fetch

TOOL = "Datumaro"
"""Whose files these are, as errors say."""
BEGINNING = 64 << 10
"""Bytes of a file that are looked at to tell what it is."""
MAX_FILES = 64
FOLDER = "annotations"
KEPT = ("info", "infos")
"""Members that are about the dataset and come out again."""
KINDS = {"label", "mask", "points"}
"""Members of `categories`."""


@dataclass
class File:
    """One JSON file: a subset."""

    path: str
    split: str
    split_name: str
    key: str
    """Object that its unpacked bytes lie in."""
    offset: int
    outline: Outline
    labels: list[int] = field(default_factory=list)
    """Our label for each of its own."""

    @property
    def top(self) -> str:
        """The folder that holds those of annotations and of images."""
        return posixpath.dirname(posixpath.dirname(self.path))

    def decode(self, bucket: Bucket, name: str, kind: Any) -> Any:
        """A member that is there. InvalidArgument with file and line where it is no valid JSON."""
        span = self.outline.members[name]
        data = fetch(bucket, self.key, self.offset + span.start, span.end - span.start)
        return decoded(data, kind, self.path, span.line, name, TOOL)


def detect(archive: Archive) -> Candidate | None:
    """A JSON file with categories and items."""
    best: Candidate | None = None
    for row, sure, why in _likely(archive):
        if best is None or sure > best.confidence:
            best = Candidate(sure, f"{archive.path(row)} {why}")
    return best


def _likely(archive: Archive) -> list[tuple[int, float, str]]:
    """JSON files that begin as Datumaro's do, in the order of the archive: row, confidence and reason."""
    rows = archive.with_extension("json")
    sizes = archive.entries["size"].to_numpy()[rows]
    found = []
    for row in rows[(-sizes).argsort(kind="stable")][:MAX_FILES].tolist():
        data, outline = archive.beginning(row, BEGINNING), Outline()
        try:
            outline.feed(data)
        except Malformed:
            # Broken, but perhaps ours: then planning says where.
            outline.keys = [key.decode() for key in re.findall(rb'"(\w+)"\s*:\s*[\[{]', data)]
        keys = set(outline.keys)
        inside = posixpath.basename(posixpath.dirname(archive.path(row))) == FOLDER
        if {"categories", "items"} <= keys:
            found.append((row, 0.97 if inside else 0.9, "has categories and items"))
        elif "categories" in keys and "dm_format_version" in keys:
            found.append((row, 0.95, "begins with dm_format_version and categories"))
        elif "categories" in keys and not {"images", FOLDER} & keys and b'"labels"' in data:
            found.append((row, 0.4, "begins with categories"))
    return sorted(found)


def find_files(archive: Archive) -> list[File]:
    """All subsets, outlined. InvalidArgument where there is none or one is no JSON."""
    files = []
    for n, (row, _, _) in enumerate(_likely(archive)):
        path = archive.path(row)
        key, offset, outline = outlined(archive, row, n, TOOL)
        if "items" in outline.members:
            subset = posixpath.splitext(posixpath.basename(path))[0]
            split = canonical_split(subset)
            files.append(File(path, split, subset if split else "", key, offset, outline))
    if not files:
        names = ", ".join(archive.path(row) for row in archive.with_extension("json")[:5].tolist()) or "no JSON file"
        raise errors.InvalidArgument(
            f"no JSON file with categories and items was found (there is {names}); a Datumaro dataset has "
            f"`{FOLDER}/<subset>.json`",
            reason="DATUMARO_FILE_MISSING",
        )
    return files


def read_categories(archive: Archive, files: list[File], issues: IssueLog) -> LabelSchema:
    """The labels of all files, merged by name, with colours and keypoints. Sets what each file's labels are here."""
    labels: dict[str, Label] = {}
    said: dict[str, Any] = {}
    extras: dict[str, Any] = {}
    for file in files:
        members = sorted(set(KEPT) & set(file.outline.members))
        said[file.split_name] = {name: file.decode(archive.bucket, name, Any) for name in members}
        if "categories" not in file.outline.members:
            continue
        given = file.decode(archive.bucket, "categories", dict[str, Any])
        of_labels, of_masks, of_points = (given.get(kind) or {} for kind in ("label", "mask", "points"))
        names = _names(_records(of_labels, "labels"), file, issues)
        own = [labels.setdefault(name, Label(name=name)) for name in names]
        position = {name: i for i, name in enumerate(labels)}
        file.labels = [position[name] for name in names]
        for label, record in zip(own, _records(of_labels, "labels"), strict=True):
            label.parent = str(record.get("parent") or "")
            if not label.attributes:
                label.attributes.extend(map(str, record.get("attributes") or []))
        for record in _records(of_masks, "colormap"):
            color: list[Any] = [record.get(name) for name in "rgb"]
            if (mine := _label(record, own)) and all(isinstance(one, int) and 0 <= one < 256 for one in color):
                mine.color = "#" + bytes(color).hex()
        for record in _records(of_points, "items"):
            if (mine := _label(record, own)) and not mine.keypoints:
                _read_points(mine, record, extras)
        for name, value in of_labels.items():
            if name != "labels" and value:
                extras.setdefault(name, value)
        for name, value in given.items():
            if name not in KINDS:
                extras.setdefault("categories", {}).setdefault(name, value)
        extras["elements"] = extras.get("elements", False) or _has_elements(own)
    source = {"datumaro": said, "datumaro_categories": {name: value for name, value in extras.items() if value}}
    return LabelSchema(labels=labels.values(), source=msgspec.json.encode(source).decode())


def _records(value: Any, name: str) -> list[dict[str, Any]]:
    found = value.get(name) if isinstance(value, dict) else None
    return [item if isinstance(item, dict) else {} for item in found] if isinstance(found, list) else []


def _names(records: Iterable[dict[str, Any]], file: File, issues: IssueLog) -> list[str]:
    """A name for each label, unique in the file."""
    names: list[str] = []
    for number, record in enumerate(records):
        name = str(record.get("name") or "")
        if not name:
            name = f"label_{number}"
            text = f"label {number} has no name; it is called {name}"
            issues.add("CLASS_NAME_MISSING", WARNING, file.path, text, "give each label a name")
        if name in names:
            text = f"label {number} is called {name} as another is; it became {name} ({number})"
            issues.add("CLASS_NAME_REPEATED", WARNING, file.path, text, "give each label a name of its own")
            name = f"{name} ({number})"
        names.append(name)
    return names


def _label(record: dict[str, Any], own: list[Label]) -> Label | None:
    number = record.get("label_id")
    return own[number] if isinstance(number, int) and 0 <= number < len(own) else None


def _read_points(label: Label, record: dict[str, Any], extras: dict[str, Any]) -> None:
    """Keypoints, their edges, and where they lie by default."""
    names, joints = record.get("labels") or [], record.get("joints") or []
    label.keypoints.extend(map(str, names))
    ends = [joint for joint in joints if isinstance(joint, list) and len(joint) == 2]
    # Points are counted from 1, as COCO does; some tools count from 0, which shows where one is called 0.
    first = 0 if any(0 in joint for joint in ends) else 1
    for begin, end in ends:
        if all(isinstance(at, int) and first <= at < first + len(names) for at in (begin, end)):
            label.edges.append(KeypointEdge(**{"from": begin - first, "to": end - first}))
    if record.get("positions"):
        extras.setdefault("positions", {})[label.name] = record["positions"]


def _has_elements(labels: list[Label]) -> bool:
    """Whether the keypoints of labels are labels themselves, as CVAT has it: then there are skeletons of elements."""
    parents = {label.name: label.parent for label in labels}
    pointed = [label for label in labels if label.keypoints]
    return any(all(parents.get(name) == label.name for name in label.keypoints) for label in pointed)


def categories(labels: LabelSchema) -> dict[str, Any]:
    """The member `categories` of a file."""
    extras = msgspec.json.decode(labels.source or "{}").get("datumaro_categories", {})
    positions = extras.get("positions", {})
    known = {label.name for label in labels.labels}
    of_labels: dict[str, Any] = {
        "labels": [
            {"name": label.name, "parent": label.parent, "attributes": list(label.attributes)}
            for label in labels.labels
        ],
        "attributes": extras.get("attributes", []),
    }
    groups = [group for group in extras.get("label_groups", []) if known >= set(group.get("labels", []))]
    result: dict[str, Any] = {"label": of_labels | {"label_groups": groups}}
    colors = [
        {"label_id": i, **dict(zip("rgb", bytes.fromhex(label.color[1:]), strict=True))}
        for i, label in enumerate(labels.labels)
        if label.color
    ]
    if colors:
        result["mask"] = {"colormap": colors}
    points = [
        {
            "label_id": i,
            "labels": list(label.keypoints),
            "joints": [[getattr(edge, "from") + 1, edge.to + 1] for edge in label.edges],
            **({"positions": positions[label.name]} if label.name in positions else {}),
        }
        for i, label in enumerate(labels.labels)
        if label.keypoints
    ]
    if points:
        result["points"] = {"items": points}
    more: dict[str, Any] = extras.get("categories", {})
    return result | more


def about(labels: LabelSchema, folder: str, unnamed: str) -> dict[str, Any]:
    """`info` or `infos` of the file of a subset; `unnamed` is the folder of images without one."""
    said = msgspec.json.decode(labels.source or "{}").get("datumaro", {})
    mine: dict[str, Any] = said.get("" if folder == unnamed else folder) or {}
    return mine or {"infos": {}}


def wants_elements(labels: LabelSchema) -> bool:
    """Whether skeletons are of elements, as CVAT writes them."""
    extras = msgspec.json.decode(labels.source or "{}").get("datumaro_categories", {})
    return bool(extras.get("elements"))
