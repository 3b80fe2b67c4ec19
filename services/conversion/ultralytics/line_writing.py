"""Writing Ultralytics NDJSON: an image's annotations as rows of numbers, a list for each task, and the images as lines.

Numbers have up to six decimals, as those of Ultralytics' label files.
"""

import json
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from framehouse.annotations import geometry
from framehouse.annotations.geometry import Floats, Integers, Rings
from framehouse.annotations.schema import Kind, State
from framehouse.store.bundle import BundleWriter
from framehouse.v1 import dataset_pb2
from framehouse.v1.annotation_pb2 import LabelSchema
from framehouse.v1.conversion_pb2 import Loss
from services.conversion import columns
from services.conversion.bridges import joined
from services.conversion.format import Preparation, Rows, WriteHead
from services.conversion.shapes import mask_rings, upright_boxes
from services.conversion.ultralytics import writing

KEYS = ("boxes", "segments", "pose", "obb", "classification")
TASKS = ("detect", "segment", "pose", "obb", "classify")
SAID: dict[int, str] = {
    dataset_pb2.TASK_DETECT: "detect",
    dataset_pb2.TASK_SEGMENT: "segment",
    dataset_pb2.TASK_SEMANTIC: "segment",
    dataset_pb2.TASK_POSE: "pose",
    dataset_pb2.TASK_OBB: "obb",
    dataset_pb2.TASK_CLASSIFY: "classify",
}
"""Which of TASKS a task of ours is."""
KEY_OF = {
    **dict.fromkeys((Kind.BOX, Kind.POLYLINE, Kind.POINTS, Kind.CUBOID), 0),
    **dict.fromkeys((Kind.POLYGON, Kind.MASK), 1),
    Kind.SKELETON: 2,
    **dict.fromkeys((Kind.ROTATED_BOX, Kind.ELLIPSE), 3),
    Kind.TAG: 4,
}
"""Which of KEYS a kind is written under."""
KEY = np.array([KEY_OF.get(Kind(kind), -1) if kind else -1 for kind in [0, *Kind]])
PREFERRED = [2, 3, 1, 0, 4]
"""Which task it is where several have as many annotations."""
DEFAULT_SPLIT = "train"
PATH = "dataset.ndjson"
FIRST, LINES, END = 1, 2, 3
"""Sections of the file; each shard has a piece of the second."""
DECIMALS = writing.DECIMALS
SOURCE = r'(?s)^\{"ultralytics_ndjson":\{(?P<rest>.*)\}\}$'


SCANNED = (*writing.AT_BORDER, "rings")
"""Annotation columns that `scan` looks at."""


class Detail(msgspec.Struct, frozen=True):
    """What a write plan decides."""

    task: int
    """Position in TASKS."""
    points: int
    """Keypoints of an object."""
    bytes: int
    """Of all images."""


def scan(images: pa.Table, annotations: pa.Table) -> dict[str, pa.Array]:
    """What is lost at the borders of images, which polygons have several rings, and the number of points of skeletons;
    null for others.
    """
    kinds = annotations["kind"].to_numpy()
    shapes = [kind for kind in KEY_OF if kind != Kind.TAG]
    lost = writing.at_borders(images, annotations, shapes, flat=[kind for kind in shapes if KEY_OF[kind] in (1, 3)])
    rings = annotations["rings"].combine_chunks()
    counts = geometry.lengths(rings)
    sizes = geometry.starts(geometry.lengths(rings.flatten()))
    bounds = sizes[geometry.starts(counts)]
    return lost | {
        "is_several": pa.array((kinds == Kind.POLYGON) & (counts > 1)),
        "point_count": pa.array(np.diff(bounds) // 2, pa.int32(), mask=kinds != Kind.SKELETON),
    }


def prepare(images: pa.Table, annotations: pa.Table, labels: LabelSchema, head: WriteHead) -> Preparation:
    """Decides the task and the number of keypoints, and counts what will be cut or cannot be written."""
    kinds, label = annotations["kind"].to_numpy(), annotations["label"].to_numpy()
    found = writing.border_losses(annotations)
    several = annotations["is_several"].to_numpy()
    if several.any():
        text = "joined into one by bridges of no width"
        found.append(writing.loss("RINGS_JOINED", "polygons of several rings", several, text))
    unsplit = int(pc.sum(pc.equal(images["split"], "")).as_py() or 0)
    if unsplit:
        text = f"{unsplit} images without a split are written under {DEFAULT_SPLIT}"
        found.append(Loss(code="SPLIT_UNSET", subject="images without a split", image_count=unsplit, fallback=text))
    pointed = [len(one.keypoints) for one in labels.labels if one.keypoints]
    skeletons = annotations["point_count"].drop_null().to_numpy()
    points = max([*pointed, int(skeletons.max(initial=0))], default=0)
    padded = skeletons < points
    if padded.any():
        text = f"written with {points} keypoints, the missing ones as 0 0 0"
        found.append(writing.loss("KEYPOINTS_PADDED", "skeletons of fewer keypoints than others", padded, text))
    if any(one.edges for one in labels.labels):
        text = "left out; the order of the keypoints says them"
        found.append(writing.loss("EDGES_UNSUPPORTED", "edges between keypoints", np.zeros(0, bool), text))
    counts = np.bincount(KEY[kinds[label >= 0]] + 1, minlength=len(KEYS) + 1)[1:]
    said = json.loads(labels.source or "{}").get("ultralytics_ndjson", {}).get("task")
    if ours := head.task or dataset_pb2.Dataset.FromString(head.dataset).task:
        said = SAID[ours]
    task = TASKS.index(said) if said in TASKS else max(PREFERRED, key=lambda key: int(counts[key]))
    if not counts.any() and said not in TASKS:
        task = 0
    total = int(pc.sum(images["bytes"]).as_py() or 0)
    return Preparation({}, found, msgspec.json.encode(Detail(task, points, total)).decode())


def write(rows: Rows, bundle: BundleWriter) -> None:
    """A line an image."""
    detail = msgspec.json.decode(rows.head.detail, type=Detail)
    images = rows.images
    if rows.head.dataset:
        rest = pc.fill_null(_join('"hash":"', images["hash"].combine_chunks(), '"'), "")
    else:
        rest = pc.struct_field(pc.extract_regex(images["source"].combine_chunks(), SOURCE), "rest")
        rest = pc.fill_null(rest, '"url":""')
    if "url" in images.column_names:
        rest = _with_urls(rest, images["url"].combine_chunks())
    names, folders = (_strings(images[name].combine_chunks()) for name in ("name", "folder"))
    width, height = (columns.text(images[name].combine_chunks()) for name in ("width", "height"))
    size = pc.fill_null(_join(',"width":', width, ',"height":', height), "")
    lines = _join(
        '{"type":"image","file":',
        names,
        pc.if_else(pc.equal(rest, ""), "", _join(",", rest)),
        size,
        ',"split":',
        folders,
        _annotation_texts(rows, detail),
        "}",
    )
    whole = pa.ListArray.from_arrays(pa.array([0, len(lines)], pa.int32()), lines)
    bundle.piece(PATH, LINES, bytes(pc.binary_join(whole, "\n")[0].as_buffer()), b"\n")


def _with_urls(rest: pa.Array, urls: pa.Array) -> pa.Array:
    """Members of lines with the URL of each, which stands first; as they are where it is null."""
    texts = []
    for text, url in zip(rest.to_pylist(), urls.to_pylist(), strict=True):
        if url is None:
            texts.append(text)
            continue
        others = msgspec.json.decode(f"{{{text}}}", type=dict[str, msgspec.Raw])
        texts.append(
            msgspec.json.encode({"url": url, **{k: v for k, v in others.items() if k != "url"}})[1:-1].decode()
        )
    return pa.array(texts, pa.string())


def _annotation_texts(rows: Rows, detail: Detail) -> pa.Array:
    """The member `annotations` of each image, the rows of the task first; empty for an image that nobody annotated."""
    found = _rows(rows, detail)
    at = np.concatenate([mine for mine, _, _ in found])
    key = np.repeat([number for _, number, _ in found], [len(mine) for mine, _, _ in found])
    texts = pa.concat_arrays([text for _, _, text in found])
    image = rows.annotations["image"].to_numpy()[at]
    rank = np.arange(1, len(KEYS) + 1)
    rank[detail.task] = 0
    # An empty list of the task stands first where an image has rows of others alone.
    lacking = np.setdiff1d(image, image[key == detail.task])
    at, key = np.append(at, np.zeros(len(lacking), np.int64)), np.append(key, np.full(len(lacking), detail.task))
    image = np.append(image, lacking)
    texts = pa.concat_arrays([texts, pa.nulls(len(lacking), pa.string())])
    order = np.lexsort([at, rank[key], image])
    image, key, texts = image[order], key[order], texts.take(pa.array(order))
    lists = image * (len(KEYS) + 1) + rank[key]
    _, first = np.unique(lists, return_index=True)
    offsets = pa.array(np.append(first, len(lists)).astype(np.int32))
    inside = pc.fill_null(pc.binary_join(pa.ListArray.from_arrays(offsets, texts), ","), "")
    members = _join('"', pa.array(KEYS).take(pa.array(key[first])), '":[', inside, "]")
    counts = np.bincount(image[first], minlength=rows.images.num_rows)
    joined_members = pc.binary_join(
        pa.ListArray.from_arrays(pa.array(geometry.starts(counts).astype(np.int32)), members), ","
    )
    said = (counts > 0) | (rows.images["state"].to_numpy() == State.VERIFIED_EMPTY)
    return pc.if_else(pa.array(said), _join(',"annotations":{', joined_members, "}"), "")


def _rows(rows: Rows, detail: Detail) -> list[tuple[Integers, int, pa.Array]]:
    """Rows of each of KEYS: the annotation that each is of, and its text."""
    table = rows.annotations
    kinds, label = table["kind"].to_numpy(), table["label"].to_numpy()
    size = writing.sizes(rows.images)[table["image"].to_numpy()]
    key = np.where(label >= 0, KEY[kinds], -1)
    sized = ~np.isnan(size).any(axis=1)
    boxes = upright_boxes(table, list(KEY_OF))
    rings = geometry.open_rings(table["rings"])
    around = geometry.ring_envelopes(rings, len(kinds))
    bare = np.isin(kinds, (Kind.SKELETON, Kind.POINTS, Kind.POLYLINE, Kind.CUBOID)) & np.isnan(boxes).any(axis=1)
    boxes[bare] = around[bare]
    boxes = geometry.clip(boxes, size)
    with np.errstate(invalid="ignore"):
        solid = (boxes[:, 2:] > 0).all(axis=1)
    relative = np.concatenate([boxes[:, :2] + boxes[:, 2:] / 2, boxes[:, 2:]], axis=1) / np.tile(size, 2)
    relative[:, 2:] = np.maximum(relative[:, 2:], writing.SMALLEST)

    upright = np.flatnonzero((key == 0) & solid)
    posed = np.flatnonzero((key == 2) & solid)
    points = _points(table, rings, size, detail.points)[posed].reshape(len(posed), 3 * detail.points)
    tags = np.flatnonzero(key == 4)
    turned = np.flatnonzero((key == 3) & sized)
    given = geometry.boxes(table["bbox"])[turned]
    corners = geometry.corners(given, pc.fill_null(table["rotation"], 0).to_numpy()[turned])
    inside = ~geometry.outside(geometry.corner_envelopes(corners), size[turned]) & ~np.isnan(given).any(axis=1)
    turned, corners = turned[inside], np.clip(corners[inside] / size[turned[inside]][:, None], 0, 1)
    shaped = [
        _segments(table, rings, np.flatnonzero((kinds == Kind.POLYGON) & (key == 1) & sized), size),
        _segments(table, mask_rings(table), np.flatnonzero((kinds == Kind.MASK) & (key == 1) & sized), size),
    ]
    return [
        (upright, 0, _matrix_texts(label[upright], relative[upright])),
        *((at, 1, texts) for at, texts in shaped),
        (posed, 2, _matrix_texts(label[posed], np.concatenate([relative[posed], points], axis=1))),
        (turned, 3, _matrix_texts(label[turned], corners.reshape(-1, 8))),
        (tags, 4, columns.text(label[tags])),
    ]


def _segments(table: pa.Table, rings: Rings, at: Integers, size: Floats) -> tuple[Integers, pa.Array]:
    """One ring for each of some annotations, cut at the border of its image; those of which nothing is left go."""
    mine = np.isin(rings.owner, at)
    lengths = np.diff(rings.offsets)
    taken = Rings(rings.values[np.repeat(mine, lengths)], geometry.starts(lengths[mine]), rings.owner[mine])
    one = joined(geometry.clip_rings(taken, size)) if len(taken.owner) else taken
    counts = np.diff(one.offsets)
    values = one.values / np.repeat(size[one.owner], counts // 2, axis=0).reshape(-1)
    label = table["label"].to_numpy()[one.owner]
    return one.owner, _texts(label, values, one.offsets)


def _points(table: pa.Table, rings: Rings, size: Floats, count: int) -> Floats:
    """Relative x, y and visibility (n, count, 3) of the keypoints of skeletons; 0 0 0 for those that are absent."""
    points = np.zeros((table.num_rows, count, 3))
    mine = table["kind"].to_numpy()[rings.owner] == Kind.SKELETON
    lengths, owner = np.diff(rings.offsets)[mine] // 2, rings.owner[mine]
    place = geometry.spread(np.zeros(len(lengths), np.int64), lengths)
    row, at = np.repeat(owner, lengths), np.repeat(rings.offsets[:-1][mine], lengths) + 2 * place
    seen = table["visibility"].combine_chunks().take(pa.array(owner))
    said = geometry.lengths(seen)
    visibility = np.full(len(row), 2)
    visibility[np.repeat(said == lengths, lengths)] = np.asarray(seen.flatten())[np.repeat(said == lengths, said)]
    points[row, place] = np.stack([rings.values[at], rings.values[at + 1], visibility], axis=1)
    with np.errstate(invalid="ignore"):
        points[:, :, :2] = np.clip(points[:, :, :2] / size[:, None], 0, 1)
    points[points[:, :, 2] == 0] = 0
    return points


def _matrix_texts(label: Integers, values: Floats) -> pa.Array:
    count, width = values.shape
    return _texts(label, values.reshape(-1), np.arange(count + 1) * width)


def _texts(label: Integers, values: Floats, offsets: Integers) -> pa.Array:
    """`[class,x,y,…]` for each row."""
    # Adding 0 makes -0 and 0 the same text.
    numbers = columns.text(np.round(values, DECIMALS) + 0.0)
    lists = pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), numbers)
    return _join("[", columns.text(label), ",", pc.binary_join(lists, ","), "]")


def finish(labels: LabelSchema, head: WriteHead, bundle: BundleWriter) -> None:
    """The first line, and the end."""
    detail = msgspec.json.decode(head.detail, type=Detail)
    source = json.loads(labels.source or "{}")
    said = source.get("ultralytics_ndjson", {})
    first: dict[str, Any] = {"type": "dataset", "task": TASKS[detail.task], "name": said.get("name", "dataset")}
    if head.dataset:
        first |= _told(dataset_pb2.Dataset.FromString(head.dataset))
    else:
        first |= {name: value for name, value in said.items() if name not in first}
    first |= {"bytes": detail.bytes, "class_names": {str(i): one.name for i, one in enumerate(labels.labels)}}
    if detail.points:
        first["kpt_shape"] = [detail.points, 3]
        flips = source.get("ultralytics_pose", {}).get("flip_idx")
        if isinstance(flips, list) and sorted(flips) == list(range(detail.points)):
            first["flip_idx"] = flips
        names = {str(i): list(one.keypoints) for i, one in enumerate(labels.labels) if one.keypoints}
        plain = [str(i) for i in range(detail.points)]
        if len(names) < len(labels.labels) or any(given != plain for given in names.values()):
            first["kpt_names"] = names
    bundle.piece(PATH, FIRST, msgspec.json.encode(first) + b"\n")
    bundle.piece(PATH, END, b"\n")


def _told(dataset: dataset_pb2.Dataset) -> dict[str, Any]:
    """What the first line says of a dataset beside its classes."""
    told: dict[str, Any] = {
        "name": dataset.name.rpartition("/")[2],
        "description": dataset.description,
        "license": dataset.license,
        "version": dataset.version,
        "created_at": dataset.create_time.ToJsonString(),
        "updated_at": dataset.update_time.ToJsonString(),
    }
    return {name: value for name, value in told.items() if value or name == "description"}


def _strings(column: pa.Array) -> pa.Array:
    return pa.array([msgspec.json.encode(text).decode() for text in column.to_pylist()], pa.string())


def _join(*parts: Any) -> pa.Array:
    return pc.binary_join_element_wise(*parts, "")
