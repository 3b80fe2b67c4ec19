"""COCO's categories and our labels: merged by name when read, with ids of their own when written.

What a label has no place for (`isthing`, fields of other tools) goes into the source of the label schema, with `info`
and `licenses` of each split, and comes out again.
"""

import re
from typing import Any

import msgspec
import numpy as np

from framehouse.annotations.geometry import Integers
from framehouse.store.issues import ERROR, WARNING, IssueLog
from framehouse.v1.annotation_pb2 import KeypointEdge, Label, LabelSchema
from framehouse.v1.conversion_pb2 import CategoryIds
from services.conversion.archive import Archive
from services.conversion.coco.companions import read_companions
from services.conversion.coco.files import File

MAPPED = {"id", "name", "supercategory", "keypoints", "skeleton"}
"""Fields of a category that a label has."""
LARGE = 1 << 63
"""Ids from here on are not kept."""


def read_categories(archive: Archive, files: list[File], issues: IssueLog) -> LabelSchema:
    """Categories of all files, merged by name; those of one name in one file are kept apart.

    Sets the label of each category id in the files.
    """
    labels: dict[str, Label] = {}
    position: dict[str, int] = {}
    extras: dict[str, Any] = {}
    for file in files:
        used: set[str] = set()
        for category in file.decode(archive.bucket, "categories"):
            if not isinstance(category, dict) or not isinstance(category.get("id"), int | str):
                text = f"a category has no id: {msgspec.json.encode(category).decode()[:80]}"
                issues.add("CATEGORY_INVALID", ERROR, file.path, text, "give each category an id and a name")
                continue
            number = category["id"]
            name = str(category.get("name") or f"category_{number}")
            if name in used:
                text = f"category {number} is called {name} as another is; it became {name} ({number})"
                issues.add("CLASS_NAME_REPEATED", WARNING, file.path, text, "give each category a name of its own")
                name = f"{name} ({number})"
            used.add(name)
            position.setdefault(name, len(position))
            label = _label(name, category)
            if labels.setdefault(name, label) is not label:
                _unite(labels[name], label, file, issues)
            if extra := {key: value for key, value in category.items() if key not in MAPPED}:
                extras[name] = extra | extras.get(name, {})  # what the first file says stays
            if number in file.categories:
                text = f"category {name} has the id {number}, as another has; no annotation is taken as of it"
                issues.add("CATEGORY_INVALID", ERROR, file.path, text, "give each category an id of its own")
            file.categories.setdefault(number, position[name])
    source = {"coco": read_companions(archive, files, issues)} | ({"coco_categories": extras} if extras else {})
    return LabelSchema(labels=labels.values(), source=msgspec.json.encode(source).decode())


def _label(name: str, category: dict[str, Any]) -> Label:
    number, parent, color = category["id"], category.get("supercategory"), category.get("color")
    label = Label(name=name, parent=str(parent) if parent else "")
    if isinstance(number, int) and abs(number) < LARGE:
        label.source_id = number
    if isinstance(color, str) and re.fullmatch(r"#[0-9a-fA-F]{6}", color):
        label.color = color.lower()
    elif isinstance(color, list) and len(color) == 3 and all(isinstance(v, int) and 0 <= v < 256 for v in color):
        label.color = "#" + bytes(color).hex()
    keypoints, skeleton = category.get("keypoints"), category.get("skeleton")
    if isinstance(keypoints, list) and isinstance(skeleton, list | None):
        label.keypoints.extend(str(point) for point in keypoints)
        edges = [edge for edge in skeleton or [] if _is_edge(edge)]
        # COCO counts keypoints from 1; some tools from 0, which shows where one is called 0.
        first = 0 if any(0 in edge for edge in edges) else 1
        for begin, end in edges:
            label.edges.append(KeypointEdge(**{"from": begin - first, "to": end - first}))
    return label


def _unite(ours: Label, other: Label, file: File, issues: IssueLog) -> None:
    """What another file says of a category beside what is known."""
    ours.parent, ours.color = ours.parent or other.parent, ours.color or other.color
    if not ours.keypoints:
        ours.keypoints.extend(other.keypoints)
    if not ours.edges:
        ours.edges.extend(other.edges)
    if other.keypoints and list(other.keypoints) != list(ours.keypoints):
        text = f"the keypoints of category {ours.name} are others than in another file; those of the first were kept"
        issues.add("KEYPOINTS_DIFFER", WARNING, file.path, text, "give all files the same categories")


def _is_edge(edge: Any) -> bool:
    return isinstance(edge, list) and len(edge) == 2 and all(isinstance(end, int) and end >= 0 for end in edge)


def number_categories(labels: LabelSchema, asked: CategoryIds) -> list[int]:
    """Id of each label: those that the source had where they are asked for and there, else counted."""
    count = len(labels.labels)
    if asked == CategoryIds.CATEGORY_IDS_FROM_0:
        return list(range(count))
    known = [label.source_id for label in labels.labels if label.HasField("source_id")]
    if asked != CategoryIds.CATEGORY_IDS_FROM_1 and len(known) == count == len(set(known)):
        return known
    return list(range(1, count + 1))


def category_records(labels: LabelSchema, ids: list[int], task: str) -> list[dict[str, Any]]:
    """The member `categories` of a task's file."""
    extras = msgspec.json.decode(labels.source or "{}").get("coco_categories", {})
    records = []
    for number, label in zip(ids, labels.labels, strict=True):
        record: dict[str, Any] = {"id": number, "name": label.name, "supercategory": label.parent}
        if task == "person_keypoints":
            record["keypoints"] = list(label.keypoints)
            record["skeleton"] = [[getattr(edge, "from") + 1, edge.to + 1] for edge in label.edges]
        if task == "panoptic":
            record["isthing"] = 1
            if label.color:
                record["color"] = list(bytes.fromhex(label.color[1:]))
        records.append(record | extras.get(label.name, {}))
    return records


def split_members(labels: LabelSchema, folder: str, unnamed: str) -> dict[str, Any]:
    """`info` and `licenses` of the file of a split; `unnamed` is the folder of images without one."""
    said = msgspec.json.decode(labels.source or "{}").get("coco", {})
    mine = said.get(folder) or said.get("" if folder == unnamed else folder) or {}
    return {"info": mine.get("info", {}), "licenses": mine.get("licenses", [])}


def keypoint_counts(labels: LabelSchema) -> Integers:
    """Keypoints of each label."""
    return np.array([len(label.keypoints) for label in labels.labels], np.int64)
