"""`ultralytics-ndjson`: one file, a line an image, with boxes, polygons, keypoints, turned boxes and tags side by side.

The rows are those of Ultralytics' label files, relative to the upright image. Images are looked for in the archive;
those that a line only names by a URL are kept without bytes.
"""

from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from framehouse.annotations.geometry import Floats, Integers
from framehouse.annotations.schema import Kind
from framehouse.store.issues import ERROR, INFO, IssueLog
from framehouse.store.packs import read_entries
from services.conversion import numbers
from services.conversion.format import Format, Holds, LabelSource
from services.conversion.json_problems import UNREADABLE
from services.conversion.ultralytics import line_writing as ultralytics_line_writing
from services.conversion.ultralytics import lines as ultralytics_lines
from services.conversion.ultralytics import rows as ultralytics_rows
from services.conversion.ultralytics.finding import MAX_SHARD_BYTES, Rows

Raw = msgspec.Raw
KEYS = ultralytics_line_writing.KEYS
BOXES, SEGMENTS, POSE, OBB, TAGS = range(5)


class Line(msgspec.Struct, gc=False):
    """What is read of a line."""

    annotations: dict[str, Raw] | None = None


LINE = msgspec.json.Decoder(Line)
LARGEST = 1e300
"""Numbers from here on are none."""


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
    good = ultralytics_rows.usable(rows, len(source.labels.labels), fits, wanted, issues)
    size = _sizes(source)[rows.images[runs.item]]
    of = {name: good[key[good] == number] for number, name in enumerate(KEYS)}
    tags = of["classification"]
    shapes = [
        ultralytics_rows.upright_boxes(rows, of["boxes"], size, issues),
        ultralytics_rows.polygons(rows, of["segments"], size, issues),
        *ultralytics_rows.skeletons(rows, of["pose"], size, (count, width), issues),
        ultralytics_rows.turned_boxes(rows, of["obb"], size, issues),
        ultralytics_rows.Shapes(tags, Kind.TAG, np.full((len(tags), 4), np.nan)),
    ]
    return ultralytics_rows.assemble(source, rows, shapes)


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
                at, key = divmod(i, len(KEYS))
                good: list[Any] = []
                for row in _listed(text, key):
                    if isinstance(row, list) and all(map(_is_number, row)):
                        good.append(row)
                        continue
                    shown = row if isinstance(row, Unread) else msgspec.json.encode(row).decode()[:40]
                    what = f"{KEYS[key]} has {shown}, which is no row of numbers"
                    remedy = "a row is a class id and numbers from 0 to 1"
                    issues.add("LABEL_NOT_A_NUMBER", ERROR, paths[at].as_py(), what, remedy, int(lines[at]))
                texts[i] = msgspec.json.encode(good)
        return numbers.parse(texts, b"]")


class Unread(str):
    """What a list has that cannot be read at all."""


def _listed(text: bytes, key: int) -> list[Any]:
    """What should be rows of numbers; each tag is one."""
    try:
        given = msgspec.json.decode(text.replace(b"],[", b",") if key == TAGS else text)
    except UNREADABLE as error:
        return [Unread(f"what cannot be read ({error})")]
    rows = given if isinstance(given, list) else [] if given is None else [given]
    return [row if isinstance(row, list) else [row] for row in rows] if key == TAGS else rows


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST


def _sizes(source: LabelSource) -> Floats:
    """(width, height) of the images of a shard: their own, or where there are no bytes, as their lines say it."""
    assert source.images is not None and source.media is not None
    own, said = source.media, source.images
    sizes = [pc.cast(pc.coalesce(own[name], said[name]), pa.float64()) for name in ("width", "height")]
    return np.stack([np.array(pc.fill_null(size, np.nan)) for size in sizes], axis=1)


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
    default_split=ultralytics_line_writing.DEFAULT_SPLIT,
    columns=("kind", "label", "bbox", "rings", "rle", "rle_size", "rotation", "visibility"),
    plan_columns=(),
    image_columns=("source", "bytes", "hash"),
    scan_columns=ultralytics_line_writing.SCANNED,
    scan=ultralytics_line_writing.scan,
    prepare=ultralytics_line_writing.prepare,
    write=ultralytics_line_writing.write,
    finish=ultralytics_line_writing.finish,
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
