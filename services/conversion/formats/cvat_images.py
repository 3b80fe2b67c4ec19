"""`cvat-images`: CVAT for images 1.1, one XML file with an element for each image and the shapes in it, in pixels.

Rotation is in degrees, clockwise around the centre of a box. Attributes are typed by the meta. Objects of a video that
are outside in a frame have no place here.
"""

from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from framehouse.annotations.schema import Flag, Kind
from framehouse.store.bundle import BundleWriter
from framehouse.store.issues import IssueLog
from framehouse.v1.annotation_pb2 import LabelSchema
from services.conversion import columns
from services.conversion.archive import Archive
from services.conversion.cvat import files as cvat_files
from services.conversion.cvat import images as cvat_images
from services.conversion.cvat import meta as cvat_meta
from services.conversion.cvat import writing as cvat_writing
from services.conversion.cvat.shapes import Place, Shapes, open_part
from services.conversion.cvat.writing import FILE, join
from services.conversion.format import Candidate, Format, Holds, LabelSource, Preparation, ReadPlan, Rows, WriteHead

DEFAULT_SPLIT = "default"
IMAGES, END = 2, 3
"""Sections of the file after its head; each shard has a piece of the first."""


class Detail(msgspec.Struct, frozen=True):
    """What a write plan decides."""

    types: list[list[list[str]]]
    own_source: list[int]
    tasks: list[cvat_meta.Written]
    has_splits: bool


def detect(archive: Archive) -> Candidate | None:
    """An XML file with the root `annotations` and images in it."""
    return cvat_files.detect(archive, video=False)


def plan(archive: Archive, issues: IssueLog) -> ReadPlan:
    """Finds files, classes, images and parts."""
    return cvat_images.plan(archive, issues)


def read(source: LabelSource, issues: IssueLog) -> pa.Table:
    """Reads the shapes of a part."""
    part = source.part
    assert part is not None
    _, elements = open_part(source.bucket, part, issues)
    shapes = Shapes(source.labels, part.path, issues)
    places = zip(*(elements.where[name].to_pylist() for name in ("row", "first", "width", "height")), strict=True)
    listed = list(places)
    for i, line, node in elements.nodes:
        row, first, width, height = listed[i]
        for k, shape in enumerate(node):
            shapes.add(shape, Place(row, first + k, width, height), line)
    return shapes.table()


def prepare(images: pa.Table, annotations: pa.Table, labels: LabelSchema, head: WriteHead) -> Preparation:
    """Decides ids and places of images and the types of attributes, and tells what is left out."""
    attributes = cvat_writing.declare(annotations, labels)
    losses = [*attributes.losses, *cvat_writing.shape_losses(annotations, np.ones(annotations.num_rows, bool))]
    has_splits = bool(pc.any(pc.not_equal(images["split"], "")).as_py())
    counts = {row["values"]: row["counts"] for row in pc.value_counts(images["folder"].combine_chunks()).to_pylist()}
    tasks = [cvat_meta.Written(name, counts[name], 0, counts[name] - 1, 1) for name in head.folders]
    if not has_splits:
        tasks = [cvat_meta.Written("", images.num_rows, 0, images.num_rows - 1, 1)]
    detail = Detail(attributes.types, attributes.own_source, tasks, has_splits)
    added = {"number": _numbers(images, head)}
    if not has_splits:
        added["target"] = join("images/", images["name"].combine_chunks())
    return Preparation(added, losses, msgspec.json.encode(detail).decode())


def _numbers(images: pa.Table, head: WriteHead) -> pa.Array:
    """The ids of images: those that they had where no two of a task are the same, else counted from 0."""
    if head.source_format == FORMAT.id and not images["frame"].null_count:
        said = [_said(text) for text in images["source"].to_pylist()]
        folders, frames = images["folder"].to_pylist(), images["frame"].to_pylist()
        known = {(a, b.get("task_id"), c) for a, b, c in zip(folders, said, frames, strict=True)}
        if len(known) == images.num_rows and all("id" in one for one in said):
            return images["frame"].combine_chunks()
    return pa.array(np.arange(images.num_rows))


def _said(source: str | None) -> dict[str, Any]:
    """What CVAT said of an image."""
    said: dict[str, Any] = msgspec.json.decode(source or "{}").get("cvat", {})
    return said


def write(rows: Rows, bundle: BundleWriter) -> None:
    """The elements of a run of images."""
    detail = msgspec.json.decode(rows.head.detail, type=Detail)
    annotations = rows.annotations
    kept = np.isin(annotations["kind"].to_numpy(), list(FORMAT.holds.kinds))
    annotations = annotations.filter(pa.array(kept & cvat_writing.writable(annotations)))
    count = np.bincount(annotations["image"].to_numpy(), minlength=rows.images.num_rows)
    shapes = pc.binary_join(
        pa.ListArray.from_arrays(
            pa.array(np.concatenate([[0], np.cumsum(count)]), pa.int32()),
            _shape_texts(annotations, rows.labels, detail),
        ),
        "",
    )
    same = rows.head.source_format == FORMAT.id
    said = [_said(text) if same else {} for text in rows.images["source"].to_pylist()]
    names = [one.get("name", name) for one, name in zip(said, rows.images["name"].to_pylist(), strict=True)]
    splits = rows.images["folder"].to_pylist() if detail.has_splits else [None] * len(names)
    more = [
        "".join(
            f' {key}="{cvat_meta.escape(str(value))}"'
            for key, value in ({"subset": split} | one).items()
            if value is not None and key not in ("id", "name")
        )
        for one, split in zip(said, splits, strict=True)
    ]
    size = [
        pc.if_else(pc.is_valid(column), join(f' {name}="', pc.fill_null(columns.text(column), ""), '"'), "")
        for name in ("width", "height")
        if (column := rows.images[name].combine_chunks()) is not None
    ]
    texts = join(
        *('  <image id="', columns.text(rows.images["number"].combine_chunks()), '" name="'),
        *(pa.array([cvat_meta.escape(name) for name in names], pa.string()), '"', pa.array(more, pa.string()), *size),
        *(">\n", shapes, "  </image>\n"),
    )
    bundle.piece(FILE, IMAGES, "".join(texts.to_pylist()).encode())


def _shape_texts(annotations: pa.Table, labels: LabelSchema, detail: Detail) -> pa.Array:
    parts = cvat_writing.texts(annotations, labels, detail.own_source, video=False)
    tags = annotations["kind"].to_numpy() == Kind.TAG
    flags = annotations["flags"].to_numpy()
    occluded = join(' occluded="', cvat_writing.bit(flags, Flag.OCCLUDED), '"')
    return join(
        *("    <", parts.names, ' label="', cvat_writing.label_texts(labels, annotations["label"].to_numpy())),
        *('" source="', cvat_writing.sources(annotations, detail.own_source), '"'),
        pc.if_else(pa.array(tags & (flags & Flag.OCCLUDED == 0)), "", occluded),
        *(parts.geometry, parts.order, parts.group, ">", parts.children, "</", parts.names, ">\n"),
    )


def finish(labels: LabelSchema, head: WriteHead, bundle: BundleWriter) -> None:
    """The head and the end of the file."""
    detail = msgspec.json.decode(head.detail, type=Detail)
    same = head.source_format == FORMAT.id
    meta = cvat_meta.meta_text(labels, detail.types, detail.tasks, kept=same)
    bundle.piece(FILE, 1, cvat_writing.HEAD + meta.encode())
    bundle.piece(FILE, END, cvat_writing.END)


FORMAT = Format(
    id="cvat-images",
    title="CVAT for images 1.1",
    aliases=("cvat", "cvat-1.1"),
    holds=Holds(
        kinds=frozenset(Kind) - {Kind.CUBOID_3D, Kind.CAPTION},
        attributes=True,
        flags=frozenset({Flag.OCCLUDED}),
        groups=True,
        unlabelled=True,
        z_order=True,
    ),
    detect=detect,
    plan=plan,
    read=read,
    default_split=DEFAULT_SPLIT,
    columns=cvat_writing.SHAPE_COLUMNS,
    plan_columns=(),
    scan_columns=cvat_writing.SCANNED,
    scan=cvat_writing.scan,
    image_columns=("source", "frame"),
    prepare=prepare,
    write=write,
    finish=finish,
    layout="""
annotations.xml
images/1.jpg              without splits
images/<subset>/1.jpg     with splits, as a project
""",
    notes=(
        "Coordinates are pixels and are neither rounded nor shifted; CVAT itself writes two decimals.",
        "`rotation` is in degrees, clockwise around the centre of the box; a box that is not turned is a box.",
        "Attributes are numbers, booleans (checkbox) or text as the meta declares them for their class; Datumaro makes "
        "numbers of any that look so, and booleans of any text that says true or false.",
        "`source` is kept as an attribute where it is another than manual.",
        "A point of a skeleton that is outside is absent (0), one that is occluded is hidden (1); points keep their "
        "coordinates. Attributes of single points are not read.",
        "A label that the meta does not declare is added to the classes, and told as CLASS_UNDECLARED.",
        "`group_id` 0 and no group are the same.",
        "The split is the image's `subset`, or that of its task, or the name of the file where that is the name of a "
        "split. Datasets with splits are written as a project.",
        "An object of a track is left out where it is outside, as CVAT does, and that is told.",
        "A polygon of several rings is joined to one by bridges of no width, which leaves its area as it is.",
        "Control characters, which XML has no place for, are written as U+FFFD.",
    ),
)
