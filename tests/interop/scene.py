"""The dataset that is shown around: three splits, names that are trouble, images with nothing in them, every kind.

Annotations are dicts as they are compared, whoever read them: a type, a label, numbers, a text.
"""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pycocotools import mask as rles

from framehouse.annotations import geometry
from framehouse.annotations.labels import with_labels
from framehouse.annotations.schema import ANNOTATION_FIELDS, Flag, Kind, State
from framehouse.v1.annotation_pb2 import KeypointEdge, Label, LabelSchema
from tests.unit.formats.whole_way import Imported, image, packed, read

LABELS = ("big dog", "cat", "straße 猫")
"""In the order of their names, for some formats have no other."""
KEYPOINTS = ("nose", "left eye", "right eye")
EDGES = ((0, 1), (0, 2))
HEIGHT = 80
SQUARE, ANGLE = (16.0, 10.0), 30.0
TYPES = {
    "tag": Kind.TAG,
    "box": Kind.BOX,
    "turned": Kind.ROTATED_BOX,
    "polygon": Kind.POLYGON,
    "skeleton": Kind.SKELETON,
    "mask": Kind.MASK,
    "caption": Kind.CAPTION,
}
"""What annotations are called where they are compared, and here."""


@dataclass
class Item:
    """One image."""

    split: str
    name: str
    seen: tuple[int, ...] = ()
    """Labels of which there is something."""
    checked: bool = False
    """Somebody looked and found nothing."""
    frame: int | None = None
    """Number in the video that its split is."""
    annotations: list[dict[str, Any]] = field(default_factory=list)

    @property
    def stem(self) -> str:
        return self.name.rpartition(".")[0]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height; images differ in them, frames do not."""
        return 120 + (len(self.name) if self.frame is None else 0), HEIGHT

    @property
    def picture(self) -> bytes:
        """The file's bytes."""
        return image(*self.size, "PNG" if self.name.endswith("png") else "JPEG")


def scene(
    types: Collection[str],
    splits: Collection[str] = ("train", "val", "test"),
    *,
    folders: bool = True,
    single: bool = False,
    video: bool = False,
    apart: bool = True,
) -> list[Item]:
    """The images of some splits with annotations of some types, `single`: with one at most; `video`: as frames.

    Without `folders` no image lies in a folder below its split, without `apart` none has the name of one in another.
    """
    items = [
        Item("train", "street 1.jpg", (0, 1)),
        Item("train", "größe – 猫 (2).png", (2,)),
        Item("train", "v1.2.final.jpg", (1,)),
        Item("train", "empty.jpg", checked=True),
        Item("train", "unseen.png"),
        Item("val", "street 1.jpg" if apart else "street 2.jpg", (2, 0)),
        Item("val", "second.JPG", (0,)),
        Item("val", "third.jpg", (1,)),
        Item("val", "nothing.jpg", checked=True),
        Item("test", "ночь/below a folder.jpg" if folders else "below.jpg", (1, 0)),
        Item("test", "a.jpg", (0, 1, 2)),
        Item("test", "b.png", (2, 1)),
    ]
    chosen = [item for item in items if item.split in splits]
    for item in chosen:
        if video:
            item.frame = sum(one.split == item.split and one.frame is not None for one in chosen)
        shapes = [one for label in item.seen for one in _shapes(label, item.size)]
        item.annotations = [one for one in shapes if one["type"] in types][: 1 if single else None]
    return chosen


def _shapes(label: int, size: tuple[int, int]) -> list[dict[str, Any]]:
    """One of each type, at places of its own; to a quarter of a pixel, which every tool keeps."""
    x, name = 10.0 + 35 * label, LABELS[label]
    raster = np.zeros((size[1], size[0]), np.uint8, "F")
    raster[50:60, int(x) : int(x) + 12] = 1
    raster[60:66, int(x) : int(x) + 5] = 1
    corners = geometry.corners(np.array([[x, 30, *SQUARE]]), np.array([ANGLE]))[0]
    return [
        {"type": "tag", "label": name, "values": []},
        {"type": "box", "label": name, "values": [x + 0.25, 5.5, 20.75, 12.25]},
        {"type": "polygon", "label": name, "values": [x, 20, x + 14.5, 22.25, x + 9.75, 40.5, x + 2, 33]},
        {"type": "skeleton", "label": name, "values": [x, 45, 2, x + 8.5, 46, 1, x + 3, 55.25, 2]},
        {"type": "mask", "label": name, "values": list(raster.shape), "text": rles.encode(raster)["counts"].decode()},
        {"type": "turned", "label": name, "values": corners.reshape(-1).tolist()},
        {"type": "caption", "label": "", "values": [], "text": f'a "{name}",\nseen at {x}'},
    ]


def dataset(items: Iterable[Item]) -> Imported:
    """The scene as a dataset of ours: the images are imported, the annotations put beside them."""
    by_name = {(item.split, item.name): item for item in items}
    files = {f"images/{split}/{name}": item.picture for (split, name), item in by_name.items()}
    found = read(packed(files), "image-dir")
    assert not found.issues
    rows = [by_name[row["split"], row["path"].removeprefix(row["split"] + "/")] for row in found.table.to_pylist()]
    records = [[_columns(one, n) for n, one in enumerate(row.annotations, 1)] for row in rows]
    table = found.table
    for column in ANNOTATION_FIELDS:
        values = pa.array([[one.get(column.name) for one in row] for row in records], pa.list_(column.type))
        table = table.set_column(table.schema.get_field_index(column.name), column.name, values)
    states = [State.ANNOTATED if row.annotations else State.VERIFIED_EMPTY if row.checked else 0 for row in rows]
    table = table.set_column(table.schema.get_field_index("state"), "state", pa.array(states, pa.int8()))
    frames = pa.array([row.frame for row in rows], pa.int64())
    table = table.set_column(table.schema.get_field_index("frame"), "frame", frames)
    found.table = table.replace_schema_metadata(with_labels(table.schema, _labels(rows)).metadata)
    return found


def _skeletal(items: Iterable[Item]) -> bool:
    return any(one["type"] == "skeleton" for item in items for one in item.annotations)


def _labels(items: Iterable[Item]) -> LabelSchema:
    if not _skeletal(items):
        return LabelSchema(labels=[Label(name=name) for name in LABELS])
    edges = [KeypointEdge(**{"from": first, "to": second}) for first, second in EDGES]
    return LabelSchema(labels=[Label(name=name, keypoints=KEYPOINTS, edges=edges) for name in LABELS])


def _columns(one: dict[str, Any], number: int) -> dict[str, Any]:
    """An annotation in our columns."""
    kind, values = TYPES[one["type"]], one["values"]
    label = LABELS.index(one["label"]) if one["label"] else -1
    columns: dict[str, Any] = {"annotation_id": number, "kind": int(kind), "label": label, "flags": 0}
    if kind == Kind.CAPTION:
        columns["text"] = one["text"]
    elif kind == Kind.BOX:
        columns["bbox"] = values
    elif kind == Kind.ROTATED_BOX:
        centre = np.array(values).reshape(-1, 2).mean(axis=0)
        columns |= {"bbox": [*(centre - np.array(SQUARE) / 2), *SQUARE], "rotation": ANGLE}
    elif kind == Kind.POLYGON:
        columns |= {"rings": [values], "bbox": _around(np.array(values).reshape(-1, 2))}
    elif kind == Kind.SKELETON:
        points = np.array(values).reshape(-1, 3)
        columns |= {"rings": [points[:, :2].reshape(-1)], "visibility": points[:, 2].astype(int)}
        columns["bbox"] = _around(points[:, :2])
    elif kind == Kind.MASK:
        rle = {"size": values, "counts": one["text"].encode()}
        columns |= {"rle": rle["counts"], "rle_size": values, "bbox": rles.toBbox(rle)}
        columns["flags"] = int(Flag.CROWD) if label == 1 else 0
    return columns


def _around(points: np.ndarray) -> list[float]:
    low, high = points.min(axis=0), points.max(axis=0)
    return [*low.tolist(), *(high - low).tolist()]


def compared(row: dict[str, Any], labels: Sequence[str]) -> list[dict[str, Any]]:
    """The annotations of a row of a dataset of ours, as they are compared."""
    result = []
    for one in row["annotations"]:
        kind = Kind(one["kind"])
        (name,) = [name for name, known in TYPES.items() if known == kind]
        found = {"type": name, "label": labels[one["label"]] if one["label"] >= 0 else "", "values": []}
        if kind == Kind.CAPTION:
            found["text"] = one["text"]
        elif kind == Kind.BOX:
            found["values"] = one["bbox"]
        elif kind == Kind.ROTATED_BOX:
            corners = geometry.corners(np.array([one["bbox"]]), np.array([one["rotation"]]))[0]
            found["values"] = corners.reshape(-1).tolist()
        elif kind == Kind.POLYGON:
            (found["values"],) = one["rings"]
        elif kind == Kind.SKELETON:
            points = np.array(one["rings"][0]).reshape(-1, 2)
            found["values"] = np.column_stack([points, one["visibility"]]).reshape(-1).tolist()
        elif kind == Kind.MASK:
            found |= {"values": list(one["rle_size"]), "text": one["rle"].decode()}
        result.append(found)
    return result


def for_peer(items: Sequence[Item], folder: Path) -> dict[str, Any]:
    """The scene as `tests/peers/datumaro_exchange.py` takes it; the images are put into `folder`."""
    told = []
    for item in items:
        file = folder / item.split / item.name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(item.picture)
        told.append({"subset": item.split, "id": item.stem, "file": str(file), "annotations": item.annotations})
    points = {"keypoints": KEYPOINTS, "edges": EDGES} if _skeletal(items) else {"keypoints": [], "edges": []}
    return {"labels": [{"name": name, **points} for name in LABELS], "items": json.loads(json.dumps(told))}


def assert_same(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> None:
    """Whether annotations are the same, in whatever order: geometry to a hundredth of a pixel."""

    def key(one: dict[str, Any]) -> tuple[Any, ...]:
        return (one["type"], one["label"], one.get("text", ""))

    assert sorted(map(key, ours)) == sorted(map(key, theirs))
    for mine, other in zip(sorted(ours, key=key), sorted(theirs, key=key), strict=True):
        assert np.allclose(_points(mine), _points(other), atol=0.01), (mine, other)


def _points(one: dict[str, Any]) -> np.ndarray:
    """Its numbers; corners of a turned box may begin anywhere, and so are sorted."""
    if one["type"] != "turned":
        return np.array(one["values"])
    return np.array(sorted(np.round(np.array(one["values"]).reshape(-1, 2), 2).tolist()))
