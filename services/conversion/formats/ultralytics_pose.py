"""`ultralytics-pose`: one text file an image, a line an object: `class cx cy w h`, then `x y` or `x y v` a keypoint.

data.yaml says how many keypoints and numbers there are (`kpt_shape`), how they swap when the image is mirrored
(`flip_idx`), and perhaps what they are called (`kpt_names`). Visibility is 0 (not labelled), 1 (hidden) or 2 (seen);
without it a keypoint is seen unless a coordinate is negative, as in Ultralytics. Always written with visibility.
"""

import json
from typing import Any

import numpy as np
import pyarrow as pa

from framehouse.annotations import geometry
from framehouse.annotations.schema import Kind
from framehouse.runtime import errors
from framehouse.store.bundle import BundleWriter
from framehouse.store.issues import IssueLog
from framehouse.v1.annotation_pb2 import LabelSchema
from services.conversion.archive import Archive
from services.conversion.format import Candidate, Format, Holds, LabelSource, Preparation, ReadPlan, Rows, WriteHead
from services.conversion.shapes import upright_boxes
from services.conversion.ultralytics import finding as ultralytics_finding
from services.conversion.ultralytics import rows as ultralytics_rows
from services.conversion.ultralytics import task as ultralytics_task
from services.conversion.ultralytics import writing as ultralytics_writing
from services.conversion.ultralytics.data_yaml import DataYaml, find_data_yaml

MAX_KEYPOINTS = 1000
HIDDEN_BOX = "a box whose keypoints are all not labelled (0 0 0)"


def detect(archive: Archive) -> Candidate | None:
    """A data.yaml with kpt_shape."""
    return ultralytics_task.detect(archive, "pose")


def plan(archive: Archive, issues: IssueLog) -> ReadPlan:
    """Finds images and label files by data.yaml, and the keypoints of its classes."""
    read = ultralytics_task.plan(archive, FORMAT.id, issues)
    data = find_data_yaml(archive)
    assert data is not None  # the plan above would have failed
    count, numbers = _shape(data)
    given = data.content.get("kpt_names")
    for i, label in enumerate(read.labels.labels):
        mine = given.get(i, given.get(label.name)) if isinstance(given, dict) else given
        names = mine if isinstance(mine, list) and len(mine) == count else range(count)
        label.keypoints.extend(map(str, names))
    said = json.loads(read.labels.source or "{}")
    said["ultralytics_pose"] = {"numbers": numbers, "flip_idx": data.content.get("flip_idx")}
    read.labels.source = json.dumps(said)
    return read


def _shape(data: DataYaml) -> tuple[int, int]:
    shape: Any = data.content.get("kpt_shape")
    fits = isinstance(shape, list) and len(shape) == 2 and all(isinstance(one, int) for one in shape)
    if not fits or not 0 < shape[0] <= MAX_KEYPOINTS or shape[1] not in (2, 3):
        raise errors.InvalidArgument(
            f"{data.file}: kpt_shape is {shape!r}; write [number of keypoints, 2 or 3], for instance [17, 3]",
            reason="KEYPOINT_SHAPE_INVALID",
        )
    return int(shape[0]), int(shape[1])


def read(source: LabelSource, issues: IssueLog) -> pa.Table:
    """Rows with keypoints are skeletons, of five numbers boxes."""
    rows = ultralytics_finding.read_rows(source, issues)
    said = json.loads(source.labels.source)["ultralytics_pose"]
    count, numbers = len(source.labels.labels[0].keypoints), said["numbers"]
    full = 5 + count * numbers
    fits = np.isin(np.diff(rows.runs.offsets), [5, full])
    wanted = f"by kpt_shape [{count}, {numbers}] it must have {full} (class cx cy w h and the keypoints)"
    good = ultralytics_rows.usable(rows, len(source.labels.labels), fits, wanted, issues)
    size = ultralytics_rows.sizes(source, rows)
    shapes = ultralytics_rows.skeletons(rows, good, size, (count, numbers), issues)
    return ultralytics_rows.assemble(source, rows, shapes)


def scan(images: pa.Table, annotations: pa.Table) -> dict[str, pa.Array]:
    """What is lost at the borders of images."""
    written = [*FORMAT.holds.kinds, *FORMAT.holds.fallbacks]
    return ultralytics_writing.at_borders(images, annotations, written)


def prepare(images: pa.Table, annotations: pa.Table, labels: LabelSchema, head: WriteHead) -> Preparation:
    """Decides the names of the label files and the number of keypoints, and counts what will be cut or is left out."""
    count = max((len(label.keypoints) for label in labels.labels), default=0)
    if not count:
        raise errors.FailedPrecondition(
            "no class of the dataset has keypoints, which a row of this format cannot do without; choose "
            "ultralytics-detect or ultralytics-segment",
            reason="KEYPOINTS_MISSING",
        )
    found, losses = ultralytics_writing.names(images)
    losses += ultralytics_writing.border_losses(annotations)
    if any(label.edges for label in labels.labels):
        text = "left out; the order of the keypoints says them"
        losses.append(ultralytics_writing.loss("EDGES_UNSUPPORTED", "edges between keypoints", np.zeros(0, bool), text))
    return Preparation(found, losses, json.dumps({"count": count}))


def write(rows: Rows, bundle: BundleWriter) -> None:
    """The box, cut at the border of its image, and all keypoints with their visibility."""
    annotations = rows.annotations
    count = json.loads(rows.head.detail)["count"]
    size = ultralytics_writing.sizes(rows.images)[annotations["image"].to_numpy()]
    boxes = upright_boxes(annotations, [*FORMAT.holds.kinds, *FORMAT.holds.fallbacks])
    rings = geometry.open_rings(annotations["rings"])
    is_skeleton = annotations["kind"].to_numpy() == Kind.SKELETON
    bare = is_skeleton & np.isnan(boxes).any(axis=1) & (annotations["label"].to_numpy() >= 0)
    if bare.any():
        boxes[bare] = geometry.ring_envelopes(rings, annotations.num_rows)[bare]
    boxes = geometry.clip(boxes, size)
    written = (boxes[:, 2:] > 0).all(axis=1)
    points = np.zeros((annotations.num_rows, count, 3))
    mine = is_skeleton[rings.owner]
    lengths = np.diff(rings.offsets)[mine] // 2
    owner, begin = rings.owner[mine], rings.offsets[:-1][mine]
    place = np.arange(lengths.sum()) - np.repeat(geometry.starts(lengths)[:-1], lengths)
    row, at = np.repeat(owner, lengths), np.repeat(begin, lengths) + 2 * place
    points[row, place, 0], points[row, place, 1] = rings.values[at], rings.values[at + 1]
    points[row, place, 2] = _visibility(annotations, owner, lengths)
    points[:, :, :2] = np.clip(points[:, :, :2] / size[:, None], 0, 1)
    points[points[:, :, 2] == 0] = 0
    annotations, boxes, points, size = (
        annotations.filter(pa.array(written)),
        boxes[written],
        points[written],
        size[written],
    )
    centre = boxes[:, :2] + boxes[:, 2:] / 2
    relative = np.concatenate([centre, boxes[:, 2:]], axis=1) / np.tile(size, 2)
    relative[:, 2:] = np.maximum(relative[:, 2:], ultralytics_writing.SMALLEST)
    values = np.concatenate([relative, points.reshape(-1, 3 * count)], axis=1)
    whole = np.zeros(values.shape, bool)
    whole[:, 6::3] = True
    image, classes = annotations["image"].to_numpy(), annotations["label"].to_numpy()
    counts = np.full(len(image), 4 + 3 * count)
    ultralytics_writing.write(rows.images, image, classes, values.reshape(-1), counts, bundle, whole.reshape(-1))


def _visibility(annotations: pa.Table, owner: geometry.Integers, lengths: geometry.Integers) -> geometry.Integers:
    """Visibility of each point of the skeletons; 2 where an annotation does not say."""
    column = annotations["visibility"].combine_chunks().take(pa.array(owner))
    said = geometry.lengths(column)
    values = np.asarray(column.flatten())
    result = np.full(lengths.sum(), 2)
    known = said == lengths
    result[np.repeat(known, lengths)] = values[np.repeat(known, said)]
    return result


def finish(labels: LabelSchema, head: WriteHead, bundle: BundleWriter) -> None:
    """Writes data.yaml with the keypoints."""
    count = json.loads(head.detail)["count"]
    said = json.loads(labels.source or "{}").get("ultralytics_pose", {})
    extra: dict[str, Any] = {"kpt_shape": [count, 3]}
    flips = said.get("flip_idx")
    if isinstance(flips, list) and sorted(flips) == list(range(count)):
        extra["flip_idx"] = flips
    names = {i: list(label.keypoints) for i, label in enumerate(labels.labels) if len(label.keypoints) == count}
    if any(given != [str(i) for i in range(count)] for given in names.values()):
        extra["kpt_names"] = names
    ultralytics_writing.finish(labels, head, bundle, extra)


FORMAT = Format(
    id="ultralytics-pose",
    title="Ultralytics YOLO keypoints",
    aliases=("yolo-pose", "yolov8-pose"),
    holds=Holds(
        kinds=frozenset({Kind.SKELETON}),
        fallbacks={
            Kind.BOX: HIDDEN_BOX,
            **dict.fromkeys(
                (Kind.ROTATED_BOX, Kind.POLYGON, Kind.MASK, Kind.POLYLINE, Kind.POINTS, Kind.ELLIPSE, Kind.CUBOID),
                f"the upright box around it, as {HIDDEN_BOX}",
            ),
        },
    ),
    detect=detect,
    plan=plan,
    read=read,
    default_split=ultralytics_writing.DEFAULT_SPLIT,
    columns=("kind", "label", "bbox", "rotation", "rings", "visibility"),
    plan_columns=(),
    scan_columns=ultralytics_writing.AT_BORDER,
    scan=scan,
    prepare=prepare,
    write=write,
    finish=finish,
    layout=ultralytics_writing.LAYOUT,
    notes=(
        "data.yaml says `kpt_shape: [number, 2 or 3]`, and may say `flip_idx` and `kpt_names`, which are kept.",
        "Without a visibility a keypoint counts as seen (2), or as not labelled (0) where a coordinate is negative.",
        "Always written with visibility; a keypoint that is not labelled is written `0 0 0`, and classes with fewer "
        "keypoints than others are filled up with such.",
        "Coordinates are relative to the upright image and written with six decimals: 0.004 pixels in 4096.",
    ),
)
