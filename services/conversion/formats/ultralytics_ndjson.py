"""`ultralytics-ndjson`: one file, a line an image, with boxes, polygons, keypoints, turned boxes and tags side by side.

The rows are those of Ultralytics' label files, relative to the upright image. Images are looked for in the archive;
those that a line only names by a URL are kept without bytes.
"""

from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from framehouse.annotations import geometry
from framehouse.annotations.geometry import Floats, Integers, Rings
from framehouse.annotations.schema import Kind
from framehouse.store.issues import ERROR, INFO, WARNING, IssueLog
from framehouse.store.packs import read_entries
from services.conversion import columns, numbers
from services.conversion.format import Format, Holds, LabelSource
from services.conversion.ultralytics import line_writing as writing
from services.conversion.ultralytics import lines as ultralytics_lines
from services.conversion.ultralytics import rows as readers
from services.conversion.ultralytics.finding import MAX_SHARD_BYTES, Rows

Raw = msgspec.Raw
KEYS = writing.KEYS
BOXES, SEGMENTS, POSE, OBB, TAGS = range(5)
REACH = 1.0
"""How far beyond the image, in images, a corner may lie; further out the numbers are no relative ones."""
RECTANGLE_PIXELS = 1.0
"""How far a corner may be from the rectangle's before it is told."""


class Line(msgspec.Struct, gc=False):
    """What is read of a line."""

    annotations: dict[str, Raw] | None = None


LINE = msgspec.json.Decoder(Line)


def read(source: LabelSource, issues: IssueLog) -> pa.Table:
    """Rows are checked and become shapes as those of Ultralytics' label files do."""
    rows = _rows(source, issues)
    runs = rows.runs
    key, widths = runs.item % len(KEYS), np.diff(runs.offsets)
    pose = msgspec.json.decode(source.labels.source).get("ultralytics_pose") or {"count": 0, "numbers": 3}
    count, width = pose["count"], pose["numbers"]
    fits = np.select(
        [key == BOXES, key == SEGMENTS, key == POSE, key == OBB],
        [
            (widths == 5) | (widths == 6),
            (widths >= 7) & (widths % 2 == 1),
            (widths == 5) | ((widths == 5 + count * width) & (count > 0)),
            (widths == 9) | (widths == 10),
        ],
        widths == 1,
    ).astype(bool)
    wanted = (
        "a row of boxes has 5 (class cx cy w h), of segments 7 or more (class x1 y1 x2 y2 …), of obb 9 (class x1 y1 … "
        f"x4 y4), of pose {5 + count * width} (class cx cy w h and {count} keypoints)"
    )
    good = readers.usable(rows, len(source.labels.labels), fits, wanted, issues)
    size = _sizes(source)[rows.images[runs.item]]
    of = {name: good[key[good] == number] for number, name in enumerate(KEYS)}
    tags = of["classification"]
    shapes = [
        *_boxes(rows, of["boxes"], size, issues),
        _polygons(rows, of["segments"], size, issues),
        *_skeletons(rows, of["pose"], size, count, width, issues),
        _turned(rows, of["obb"], size, issues),
        readers.Shapes(tags, Kind.TAG, np.full((len(tags), 4), np.nan)),
    ]
    return readers.assemble(source, rows, shapes)


def _rows(source: LabelSource, issues: IssueLog) -> Rows:
    """The rows of the lines of a shard's usable images: an item for each image and key, with the line as ordinal."""
    assert source.images is not None and source.media is not None
    images = source.images
    wanted = pc.and_(source.media["usable"], pc.is_valid(images["line_object"]))
    at = np.flatnonzero(wanted.to_numpy(zero_copy_only=False))
    at = at[np.cumsum(images["line_size"].fill_null(0).to_numpy()[at]) <= MAX_SHARD_BYTES]
    for i in np.setdiff1d(np.flatnonzero(np.array(wanted)), at).tolist():
        text = f"the lines of {len(wanted)} images have more than {MAX_SHARD_BYTES:,} bytes; this one was not read"
        path, line = images["line_path"][i].as_py(), images["line_number"][i].as_py()
        issues.add("LABEL_FILE_TOO_LARGE", ERROR, path, text, "look at what is in it", line)
    mine = images.take(pa.array(at))
    place = {name: mine[column] for name, column in ultralytics_lines.LINE.items()}
    count = len(at)
    ranges = pa.table(
        place
        | {"size": mine["line_size"], "header_offset": np.full(count, -1), "method": np.zeros(count, np.int8)}
        | {"crc32": pa.nulls(count, pa.uint32())}
    )
    lines, paths = mine["line_number"].to_numpy(zero_copy_only=False).astype(np.int64), mine["line_path"]
    texts = [b""] * (count * len(KEYS))
    unread: set[str] = set()
    for i, entry in read_entries(source.bucket, ranges):
        try:
            found = LINE.decode(entry.data).annotations or {}
        except msgspec.DecodeError as error:
            what = f"the annotations are no object: {error}"
            issues.add("ANNOTATION_INVALID", ERROR, paths[i].as_py(), what, "correct the line", int(lines[i]))
            continue
        unread |= found.keys() - set(KEYS)
        for number, name in enumerate(KEYS):
            rows = bytes(found.get(name, b""))
            # One row for each tag.
            texts[i * len(KEYS) + number] = rows.replace(b",", b"],[") if number == TAGS else rows
    if unread:
        text = f"annotations that this format does not hold were not read: {', '.join(sorted(unread))[:200]}"
        issues.add("FIELDS_NOT_READ", INFO, paths[0].as_py(), text, f"known are {', '.join(KEYS)}")
    runs = _parse(texts, lines, paths, issues)
    ordinal = lines[runs.item // len(KEYS)] - 1
    each = pa.array(np.repeat(np.arange(count), len(KEYS)))
    return Rows(runs._replace(ordinal=ordinal), np.repeat(at, len(KEYS)), paths.take(each))


def _parse(texts: list[bytes], lines: Integers, paths: pa.Array, issues: IssueLog) -> numbers.Runs:
    """Lists of lists of numbers; rows that hold anything else are told, and left out."""
    try:
        return numbers.parse(texts, b"]")
    except numbers.NotNumbers:
        for i, text in enumerate(texts):
            try:
                numbers.parse([text], b"]")
            except numbers.NotNumbers:
                given = msgspec.json.decode(text)
                rows = given if isinstance(given, list) else [] if given is None else [given]
                good = [row for row in rows if isinstance(row, list) and all(map(_is_number, row))]
                at = i // len(KEYS)
                for row in [row for row in rows if row not in good]:
                    shown = msgspec.json.encode(row).decode()[:40]
                    what = f"{KEYS[i % len(KEYS)]} has {shown}, which is no row of numbers"
                    remedy = "a row is a class id and numbers from 0 to 1"
                    issues.add("LABEL_NOT_A_NUMBER", ERROR, paths[at].as_py(), what, remedy, int(lines[at]))
                texts[i] = msgspec.json.encode(good)
        return numbers.parse(texts, b"]")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _sizes(source: LabelSource) -> Floats:
    """(width, height) of the images of a shard: their own, or where there are no bytes, as their lines say it."""
    assert source.images is not None and source.media is not None
    own, said = source.media, source.images
    sizes = [pc.cast(pc.coalesce(own[name], said[name]), pa.float64()) for name in ("width", "height")]
    return np.stack([np.array(pc.fill_null(size, np.nan)) for size in sizes], axis=1)


def _boxes(rows: Rows, at: Integers, size: Floats, issues: IssueLog) -> list[readers.Shapes]:
    at, relative = readers.boxes(rows, at, issues)
    scored = np.diff(rows.runs.offsets)[at] == 6
    score = np.full(len(at), np.nan)
    score[scored] = rows.runs.values[rows.runs.offsets[:-1][at[scored]] + 5]
    return [readers.Shapes(at, Kind.BOX, relative * np.tile(size[at], 2), score=score)]


def _polygons(rows: Rows, at: Integers, size: Floats, issues: IssueLog) -> readers.Shapes:
    counts = np.diff(rows.runs.offsets)[at] - 1
    values = rows.runs.values[geometry.spread(rows.runs.offsets[:-1][at] + 1, counts)]
    wrong = (values < -readers.ROUNDING) | (values > 1 + readers.ROUNDING)
    leaves = np.bincount(np.repeat(np.arange(len(counts)), counts), wrong, len(counts)) > 0
    rows.report(issues, "BOX_OUTSIDE", at[leaves], "the polygon leaves the image", "correct the row")
    values, at, counts = values[np.repeat(~leaves, counts)], at[~leaves], counts[~leaves]
    scales = np.repeat(size[at], counts // 2, axis=0).reshape(-1)
    rings = Rings(values * scales, geometry.starts(counts), np.arange(len(counts)))
    return readers.Shapes(at, Kind.POLYGON, geometry.ring_envelopes(rings, len(counts)), rings)


def _skeletons(
    rows: Rows, at: Integers, size: Floats, count: int, width: int, issues: IssueLog
) -> list[readers.Shapes]:
    """Rows of five numbers are boxes whose keypoints nobody marked."""
    at, relative = readers.boxes(rows, at, issues)
    boxes = relative * np.tile(size[at], 2)
    alone = np.diff(rows.runs.offsets)[at] == 5
    plain = readers.Shapes(at[alone], Kind.BOX, boxes[alone])
    at, boxes = at[~alone], boxes[~alone]
    points = readers.matrix(rows, at, 5, count * width).reshape(len(at), count, width)
    if width == 3:
        given = points[:, :, 2]
        odd = ~np.isin(given, (0, 1, 2))
        visibility = np.where(odd, 2, given).astype(np.int8)
        _tell(rows, at[odd.any(axis=1)], "a visibility is not 0, 1 or 2; it was taken for 2", issues)
    else:
        visibility = np.where((points < 0).any(axis=2), 0, 2).astype(np.int8)
    beyond = ((points[:, :, :2] < -readers.ROUNDING) | (points[:, :, :2] > 1 + readers.ROUNDING)).any(axis=2)
    _tell(
        rows, at[(beyond & (visibility > 0)).any(axis=1)], "a keypoint lies outside of the image; it was kept", issues
    )
    values = (points[:, :, :2] * size[at][:, None]).reshape(-1)
    rings = Rings(values, np.arange(len(at) + 1) * 2 * count, np.arange(len(at)))
    return [plain, readers.Shapes(at, Kind.SKELETON, boxes, rings, visibility=visibility)]


def _tell(rows: Rows, at: Integers, text: str, issues: IssueLog) -> None:
    paths = rows.paths.take(pa.array(rows.runs.item[at]))
    columns.report(issues, "KEYPOINT_INVALID", WARNING, paths, rows.runs.ordinal[at] + 1, text, "correct the row")


def _turned(rows: Rows, at: Integers, size: Floats, issues: IssueLog) -> readers.Shapes:
    """Four corners in any order around."""
    relative = readers.matrix(rows, at, 1, 8)
    far = ((relative < -REACH) | (relative > 1 + REACH)).any(axis=1)
    text = "the box lies far outside of the image; the numbers are relative to it, from 0 to 1"
    rows.report(issues, "BOX_OUTSIDE", at[far], text, "divide by the image's width and height, or correct the row")
    at, relative = at[~far], relative[~far]
    points = relative.reshape(-1, 4, 2) * size[at][:, None]
    boxes, degrees = geometry.rotated_boxes(points)
    empty = ~(boxes[:, 2:] > 0).all(axis=1)
    rows.report(issues, "BOX_EMPTY", at[empty], "the box has no width or no height", "correct or remove the row")
    at, points, boxes, degrees = at[~empty], points[~empty], boxes[~empty], degrees[~empty]
    # Each given corner against the nearest one of the rectangle that was read.
    away = np.sqrt(((points[:, :, None] - geometry.corners(boxes, degrees)[:, None]) ** 2).sum(axis=3))
    skewed = at[away.min(axis=2).max(axis=1, initial=0) > RECTANGLE_PIXELS]
    text = "the four corners are no rectangle; the smallest one around them was taken"
    paths, lines = rows.paths.take(pa.array(rows.runs.item[skewed])), rows.runs.ordinal[skewed] + 1
    columns.report(issues, "BOX_NOT_RECTANGULAR", INFO, paths, lines, text, "nothing, unless the corners were meant")
    score = np.full(len(at), np.nan)
    scored: NDArray[np.bool_] = np.diff(rows.runs.offsets)[at] == 10
    score[scored] = rows.runs.values[rows.runs.offsets[:-1][at[scored]] + 9]
    return readers.Shapes(at, Kind.ROTATED_BOX, boxes, rotation=degrees, score=score)


FORMAT = Format(
    id="ultralytics-ndjson",
    title="Ultralytics NDJSON",
    aliases=("ndjson", "yolo-ndjson"),
    holds=Holds(
        kinds=frozenset({Kind.BOX, Kind.POLYGON, Kind.SKELETON, Kind.ROTATED_BOX, Kind.TAG}),
        fallbacks={
            Kind.MASK: "a polygon along the edges of its pixels, its parts and holes joined by bridges of no width",
            Kind.ELLIPSE: "the turned box around it",
            **dict.fromkeys((Kind.POLYLINE, Kind.POINTS, Kind.CUBOID), "the upright box around it"),
        },
    ),
    detect=ultralytics_lines.detect,
    plan=ultralytics_lines.plan,
    read=read,
    default_split=writing.DEFAULT_SPLIT,
    columns=("kind", "label", "bbox", "rings", "rle", "rle_size", "rotation", "visibility"),
    plan_columns=("bbox", "rotation"),
    image_columns=("source", "bytes", "hash"),
    scan_columns=("rings",),
    scan=writing.scan,
    prepare=writing.prepare,
    write=writing.write,
    finish=writing.finish,
    options=("write.image_urls",),
    layout="""
dataset.ndjson
images/<split>/<name>
""",
    notes=(
        "The first line is the dataset, every other one an image; `file` is its name below the folder of its split.",
        "Coordinates are relative to the upright image and written with up to six decimals: 0.004 pixels in 4096.",
        "An image that is not in the archive is kept without bytes, with the size that its line says; its URL is not "
        "fetched, and comes out again.",
        "All annotations are written side by side; `task` is that of the most of them, unless the source was of this "
        "format, and its rows come first, since Ultralytics trains on the first list of an image.",
        "A segment has one ring; several rings, and holes, are joined by bridges of no width and told.",
        "Four corners that are no rectangle are read as the smallest rectangle around them, as Ultralytics does; told.",
        "All classes have as many keypoints as `kpt_shape` says; missing ones are written as 0 0 0.",
        "An empty list of annotations says that somebody looked and found nothing; no list says nothing.",
    ),
)
