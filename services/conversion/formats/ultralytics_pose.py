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
from framehouse.annotations.geometry import Rings
from framehouse.annotations.schema import Kind
from framehouse.runtime import errors
from framehouse.store.bundle import BundleWriter
from framehouse.store.issues import WARNING, IssueLog
from framehouse.v1.annotation_pb2 import LabelSchema
from services.conversion import columns
from services.conversion.archive import Archive
from services.conversion.format import Candidate, Format, Holds, LabelSource, Preparation, ReadPlan, Rows, WriteHead
from services.conversion.ultralytics import data_yaml, files
from services.conversion.ultralytics import finding as ultralytics_finding
from services.conversion.ultralytics import rows as readers
from services.conversion.ultralytics import task as ultralytics_task
from services.conversion.ultralytics.data_yaml import DataYaml

MAX_KEYPOINTS = 1000
HIDDEN_BOX = "a box whose keypoints are all not labelled (0 0 0)"


def detect(archive: Archive) -> Candidate | None:
    """A data.yaml with kpt_shape."""
    return ultralytics_task.detect(archive, "pose")


def plan(archive: Archive, issues: IssueLog) -> ReadPlan:
    """Finds images and label files by data.yaml, and the keypoints of its classes."""
    read = ultralytics_task.plan(archive, FORMAT.id, issues)
    data = data_yaml.find_data_yaml(archive)
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
    widths = np.diff(rows.runs.offsets)
    wanted = f"by kpt_shape [{count}, {numbers}] it must have {full} (class cx cy w h and the keypoints)"
    good = readers.usable(rows, len(source.labels.labels), np.isin(widths, [5, full]), wanted, issues)
    size = readers.sizes(source)
    at, boxes = readers.boxes(rows, good, issues)
    mine = size[rows.images[rows.runs.item[at]]]
    boxes = boxes * np.tile(mine, 2)
    alone = widths[at] == 5
    plain = readers.Shapes(at[alone], Kind.BOX, boxes[alone])
    at, mine = at[~alone], mine[~alone]
    points = readers.matrix(rows, at, 5, count * numbers).reshape(-1, count, numbers)
    if numbers == 3:
        given = points[:, :, 2]
        odd = (given != np.rint(given)) | (given < 0) | (given > 2)
        visibility = np.where(odd, 2, given).astype(np.int8)
        _tell(rows, at[odd.any(axis=1)], "a visibility is not 0, 1 or 2; it was taken for 2", issues)
    else:
        visibility = np.where((points < 0).any(axis=2), 0, 2).astype(np.int8)
    seen = visibility > 0
    beyond = ((points[:, :, :2] < -readers.ROUNDING) | (points[:, :, :2] > 1 + readers.ROUNDING)).any(axis=2) & seen
    _tell(rows, at[beyond.any(axis=1)], "a keypoint lies outside of the image; it was kept as it is", issues)
    values = (points[:, :, :2] * mine[:, None]).reshape(-1)
    rings = Rings(values, np.arange(len(at) + 1) * 2 * count, np.arange(len(at)))
    found = readers.Shapes(at, Kind.SKELETON, boxes[~alone], rings, visibility=visibility)
    return readers.assemble(source, rows, [plain, found])


def _tell(rows: ultralytics_finding.Rows, at: geometry.Integers, text: str, issues: IssueLog) -> None:
    paths = rows.paths.take(pa.array(rows.runs.item[at]))
    columns.report(issues, "KEYPOINT_INVALID", WARNING, paths, rows.runs.ordinal[at] + 1, text, "correct the row")


def prepare(images: pa.Table, annotations: pa.Table, labels: LabelSchema, head: WriteHead) -> Preparation:
    """Decides the names of the label files and the number of keypoints, and counts what will be cut or is left out."""
    count = max((len(label.keypoints) for label in labels.labels), default=0)
    if not count:
        raise errors.FailedPrecondition(
            "no class of the dataset has keypoints, which a row of this format cannot do without; choose "
            "ultralytics-detect or ultralytics-segment",
            reason="KEYPOINTS_MISSING",
        )
    found, losses = files.names(images)
    losses += files.border_losses(images, annotations, [*FORMAT.holds.kinds, *FORMAT.holds.fallbacks])
    if any(label.edges for label in labels.labels):
        text = "left out; the order of the keypoints says them"
        losses.append(files.loss("EDGES_UNSUPPORTED", "edges between keypoints", np.zeros(0, bool), text))
    return Preparation(found, losses, json.dumps({"count": count}))


def write(rows: Rows, bundle: BundleWriter) -> None:
    """The box, cut at the border of its image, and all keypoints with their visibility."""
    annotations = rows.annotations
    count = json.loads(rows.head.detail)["count"]
    size = files.sizes(rows.images)[annotations["image"].to_numpy()]
    boxes = files.upright_boxes(annotations, [*FORMAT.holds.kinds, *FORMAT.holds.fallbacks])
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
    relative[:, 2:] = np.maximum(relative[:, 2:], files.SMALLEST)
    values = np.concatenate([relative, points.reshape(-1, 3 * count)], axis=1)
    whole = np.zeros(values.shape, bool)
    whole[:, 6::3] = True
    image, classes = annotations["image"].to_numpy(), annotations["label"].to_numpy()
    counts = np.full(len(image), 4 + 3 * count)
    files.write(rows.images, image, classes, values.reshape(-1), counts, bundle, whole.reshape(-1))


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
    files.finish(labels, head, bundle, extra)


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
    default_split=files.DEFAULT_SPLIT,
    columns=("kind", "label", "bbox", "rotation", "rings", "visibility"),
    plan_columns=("bbox", "rotation"),
    prepare=prepare,
    write=write,
    finish=finish,
    layout=files.LAYOUT,
    notes=(
        "data.yaml says `kpt_shape: [number, 2 or 3]`, and may say `flip_idx` and `kpt_names`, which are kept.",
        "Without a visibility a keypoint counts as seen (2), or as not labelled (0) where a coordinate is negative.",
        "Always written with visibility; a keypoint that is not labelled is written `0 0 0`, and classes with fewer "
        "keypoints than others are filled up with such.",
        "Coordinates are relative to the upright image and written with six decimals: 0.004 pixels in 4096.",
    ),
)
