"""`coco-keypoints`: one JSON file a split, with the keypoints of objects, their boxes and their outlines.

A record becomes a skeleton with the box, id and area of the record; where it has an outline too, that is a second
annotation of the same group, and both are written into one record again. A record whose keypoints are all absent is its
outline or box alone, as COCO means it.
"""

from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from framehouse.annotations import geometry
from framehouse.annotations.geometry import Integers
from framehouse.annotations.schema import Kind
from framehouse.store.bundle import BundleWriter
from framehouse.store.issues import IssueLog
from framehouse.v1.annotation_pb2 import LabelSchema
from services.conversion import columns
from services.conversion.coco import categories as coco_categories
from services.conversion.coco import files as coco_files
from services.conversion.coco import outlines as coco_outlines
from services.conversion.coco import planning as coco_planning
from services.conversion.coco import writing as coco_writing
from services.conversion.coco.records import read_records
from services.conversion.coco.shapes import read_keypoints, read_shapes
from services.conversion.format import Format, Holds, LabelSource, Preparation, Rows, WriteHead
from services.conversion.formats import coco_instances
from services.conversion.losses import losses_of
from services.conversion.pairs import partners

TASK = "person_keypoints"
READS = coco_instances.READS | {"keypoints", "num_keypoints"}
VISIBLE = 2


def read(source: LabelSource, issues: IssueLog) -> pa.Table:
    """Reads one part of the annotations of a file."""
    found = read_records(source, issues, READS)
    points = read_keypoints(found, coco_categories.keypoint_counts(source.labels))
    shapes = read_shapes(found, excused=points.found)
    given = found.columns()
    both = points.found & shapes.has_outline
    ids = given["annotation_id"]
    group = pa.array(ids, mask=~both)
    kind = np.full(len(found), int(Kind.SKELETON))
    skeletons = columns.annotations(
        found.image, **given, **points.columns, kind=kind, bbox=shapes.columns["bbox"], group=group
    )
    # No two annotations of an image may have one id, and no file counts below zero.
    given["annotation_id"] = np.where(both, ~ids, ids)
    objects = columns.annotations(found.image, **given, **shapes.columns, group=group)
    first = np.flatnonzero(points.found)
    second = np.flatnonzero(shapes.usable & (~points.found | both))
    order = np.argsort(np.concatenate([first, second]), kind="stable")
    taken = pa.concat_tables([skeletons.take(pa.array(first)), objects.take(pa.array(second))])
    return taken.take(pa.array(order))


def prepare(images: pa.Table, annotations: pa.Table, labels: LabelSchema, head: WriteHead) -> Preparation:
    """Decides ids and places, and tells which shapes become others and which groups go."""
    prepared = coco_writing.prepare(images, annotations, labels, head, coco_writing.kinds_of(FORMAT))
    prepared.losses.extend(coco_instances.shape_losses(annotations, head))
    lost = annotations["group"].is_valid().to_numpy() & (partners(annotations) < 0)
    subject = "groups other than of a skeleton and its outline"
    prepared.losses.extend(losses_of("GROUP_UNSUPPORTED", subject, annotations, lost, "written without them"))
    return prepared


def write(rows: Rows, bundle: BundleWriter) -> None:
    """Pieces of the lists of images and annotations of each split's file."""
    annotations, detail = coco_writing.opened(rows, coco_writing.kinds_of(FORMAT))
    options = rows.head.asked().coco
    wanted = coco_outlines.Wanted(options.segmentation_mode, options.crop_covered, not coco_writing.is_coco(rows.head))
    other = partners(annotations)
    annotations = coco_outlines.reshape(annotations, coco_writing.sizes(rows.images), wanted)
    kinds = annotations["kind"].to_numpy()
    is_skeleton = kinds == Kind.SKELETON
    mine = np.flatnonzero(is_skeleton | (other < 0))
    # The outline that goes into the record of a skeleton is that of its partner.
    outline = np.where(is_skeleton, other, np.arange(len(kinds)))[mine]
    expected = coco_categories.keypoint_counts(rows.labels)
    points, bounds = _keypoint_texts(annotations, mine, expected)
    records = annotations.take(pa.array(mine))
    for name in ("rings", "rle", "rle_size"):
        column = annotations[name].combine_chunks().take(pa.array(np.maximum(outline, 0), mask=outline < 0))
        records = records.set_column(records.schema.get_field_index(name), name, column)
    as_kind = np.where(outline >= 0, kinds[np.maximum(outline, 0)], int(Kind.BOX)).astype(np.int8)
    records = records.set_column(records.schema.get_field_index("kind"), "kind", pa.array(as_kind))
    boxes = geometry.boxes(records["bbox"])
    boxes = np.where(np.isnan(boxes), bounds, boxes)
    records = records.set_column(records.schema.get_field_index("bbox"), "bbox", geometry.box_column(boxes))
    texts = coco_writing.join(
        coco_writing.head_texts(records, rows.images),
        coco_writing.category_texts(records, detail),
        coco_writing.shape_texts(records),
        points,
        coco_writing.tail_texts(records),
    )
    coco_writing.write_pieces(TASK, rows, texts, records["image"], bundle)


def _keypoint_texts(annotations: pa.Table, rows: Integers, expected: Integers) -> tuple[pa.Array, geometry.Floats]:
    """`keypoints` and `num_keypoints` of some annotations, and the boxes around the points that are there.

    What is no skeleton has as many absent keypoints as its label.
    """
    part = annotations.take(pa.array(rows))
    count = part.num_rows
    is_skeleton = part["kind"].to_numpy() == Kind.SKELETON
    rings = geometry.open_rings(pc.if_else(pa.array(is_skeleton), part["rings"].combine_chunks(), None))
    points = np.zeros(count, np.int64)
    points[rings.owner] = np.diff(rings.offsets) // 2
    labels = part["label"].to_numpy()
    slots = np.where(is_skeleton, points, expected[labels] if count else 0)
    owner = np.repeat(np.arange(count), slots)
    drawn = is_skeleton[owner]
    table = np.zeros((len(owner), 3))
    table[drawn, :2] = rings.values.reshape(-1, 2)
    visibility = part["visibility"].combine_chunks()
    said = geometry.lengths(visibility) == slots
    table[drawn & ~said[owner], 2] = VISIBLE
    flat = visibility.filter(pa.array(said & is_skeleton)).flatten()
    table[drawn & said[owner], 2] = flat.to_numpy(zero_copy_only=False)
    there = table[:, 2] > 0
    lists = pa.ListArray.from_arrays(
        pa.array(geometry.starts(3 * slots).astype(np.int32)), columns.text(table.reshape(-1))
    )
    number = columns.text(np.bincount(owner[there], minlength=count))
    text = coco_writing.join(',"keypoints":[', pc.binary_join(lists, ","), '],"num_keypoints":', number)
    seen = geometry.Rings(table[there, :2].reshape(-1), np.arange(there.sum() + 1) * 2, owner[there].astype(np.int64))
    return text, geometry.ring_envelopes(seen, count)


FORMAT = Format(
    id="coco-keypoints",
    title="COCO keypoints",
    aliases=("coco-person-keypoints",),
    holds=Holds(
        kinds=frozenset({Kind.SKELETON, Kind.BOX, Kind.POLYGON, Kind.MASK}),
        fallbacks={
            Kind.ROTATED_BOX: "a polygon of its four corners",
            **dict.fromkeys((Kind.POLYLINE, Kind.POINTS, Kind.ELLIPSE, Kind.CUBOID), coco_instances.AROUND),
        },
        attributes=True,
        crowd=True,
        score=True,
        groups=True,
    ),
    detect=partial(coco_files.detect, task=TASK),
    plan=partial(coco_planning.plan, task=TASK),
    read=read,
    default_split=coco_writing.DEFAULT_SPLIT,
    spelled_by=("coco",),
    columns=(*coco_writing.OBJECT_COLUMNS, "visibility"),
    plan_columns=("annotation_id", "z_order", "group"),
    scan_columns=("kind", "rings"),
    scan=coco_instances.scan,
    image_columns=("source",),
    prepare=prepare,
    write=write,
    finish=partial(coco_writing.finish, TASK),
    layout="""images/<split>/<name>
annotations/person_keypoints_<split>.json""",
    notes=(
        "A record with keypoints and a segmentation is read as two annotations of one group, a skeleton and its "
        "outline, and written as one record again.",
        "Keypoints that are all absent (`num_keypoints` 0) are not read: the record is its outline or box.",
        "Edges are counted from 1 in the file; those of files that call a keypoint 0 are read as counted from 0.",
        "Keypoints without visibility (two numbers each) are read as such and written as visible.",
        "Datumaro flattens skeletons to points and has a box beside them; here an object has its box.",
    ),
    options=coco_writing.options("segmentation_mode", "reindex", "crop_covered"),
)
