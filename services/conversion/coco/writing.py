"""Writing COCO's tasks: which ids are used, the records of objects as text, and the files that the records make up.

A file is written in pieces, those of images and of annotations by each shard. Ids of images, annotations, categories,
`info`, `licenses` and what else records had come out as they came in. Nothing is rounded; written are the shortest
numbers that read the same. Masks are written compressed, those of crowds as run lengths, as COCO does.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from framehouse.annotations import geometry, masks
from framehouse.annotations.geometry import Floats, Integers
from framehouse.annotations.schema import Flag, Kind
from framehouse.store.bundle import BundleWriter
from framehouse.v1.annotation_pb2 import LabelSchema
from services.conversion import columns
from services.conversion.coco.categories import category_records, number_categories, split_members
from services.conversion.coco.images import image_ids, image_texts
from services.conversion.format import Format, Preparation, Rows, WriteHead
from services.conversion.shapes import polygon_rings

DEFAULT_SPLIT = "default"
IMAGES, BETWEEN, ANNOTATIONS, END = 2, 3, 4, 5
"""Sections of a file, after its head; each shard has pieces of the second and of the fourth."""

OBJECT_COLUMNS = (
    "annotation_id",
    "kind",
    "label",
    "bbox",
    "rings",
    "rle",
    "rle_size",
    "rotation",
    "group",
    "z_order",
    "flags",
    "score",
    "area",
    "attributes",
)
"""What is looked at to write objects."""


class Detail(msgspec.Struct, frozen=True):
    """What a write plan decides."""

    keep_ids: bool
    """Whether annotations keep their ids; else they are counted from 1."""
    categories: list[int]
    """Id of each label."""


def options(*names: str) -> tuple[str, ...]:
    """Options of a task, beside those that all have."""
    return tuple(f"write.coco.{name}" for name in (*names, "merge_images", "category_ids"))


def prepare(
    images: pa.Table, annotations: pa.Table, labels: LabelSchema, head: WriteHead, kinds: Sequence[Kind]
) -> Preparation:
    """Decides whether ids can be kept: those of images, of annotations of some kinds, and of categories; and where
    images lie.
    """
    asked = head.asked().coco
    mine = np.isin(annotations["kind"].to_numpy(), kinds)
    annotations = annotations if mine.all() else annotations.filter(pa.array(mine))
    folder = images["folder"].combine_chunks().dictionary_encode().indices.to_numpy()
    given, _ = image_ids(images["source"].combine_chunks())
    known = given.is_valid().to_numpy(zero_copy_only=False)
    ids = np.arange(1, images.num_rows + 1)
    if known.any() and _unique(given.drop_null().to_numpy(), folder[known]):
        # Images that had none are counted on from the highest.
        ids = pc.fill_null(given, 0).to_numpy()
        ids = np.where(known, ids, max(int(ids.max()), 0) + np.cumsum(~known))
    keep = (
        is_coco(head)
        and not asked.reindex
        and _unique(annotations["annotation_id"].to_numpy(), folder[annotations["image"].to_numpy()])
    )
    categories = number_categories(labels, asked.category_ids)
    detail = msgspec.json.encode(Detail(bool(keep), categories)).decode()
    added = {"number": pa.array(ids)}
    if asked.merge_images:
        # The path is unique in the dataset, as the name is in its split.
        path = images["path"].combine_chunks()
        added |= {"name": path, "target": pc.binary_join_element_wise("images", path, "/")}
    return Preparation(added, detail=detail)


def is_coco(head: WriteHead) -> bool:
    """Whether what is written was read from COCO."""
    return head.source_format.partition("-")[0] == "coco"


def _unique(ids: Integers, folder: Integers) -> bool:
    """Whether ids are unique in each folder."""
    return all(len(np.unique(mine)) == len(mine) for mine in (ids[folder == i] for i in np.unique(folder).tolist()))


def opened(rows: Rows, kinds: Sequence[Kind]) -> tuple[pa.Table, Detail]:
    """The annotations of some kinds that a shard has, with the ids that they are to have."""
    annotations, detail = rows.annotations, msgspec.json.decode(rows.head.detail, type=Detail)
    if not detail.keep_ids:
        counts = np.bincount(annotations["image"].to_numpy(), minlength=rows.images.num_rows)
        numbered = pa.array(geometry.spread(rows.images["first"].to_numpy(), counts) + 1)
        at = annotations.schema.get_field_index("annotation_id")
        annotations = annotations.set_column(at, "annotation_id", numbered)
    written = np.isin(annotations["kind"].to_numpy(), kinds)
    if Kind.CAPTION not in kinds:
        written &= annotations["label"].to_numpy() >= 0
    return annotations if written.all() else annotations.filter(pa.array(written)), detail


def kinds_of(format: Format) -> list[Kind]:
    """Kinds that a format writes, as they are or as others."""
    return [*format.holds.kinds, *format.holds.fallbacks]


def sizes(images: pa.Table) -> Integers:
    """Height and width of images (n, 2), 0 where unknown."""
    return np.stack([pc.fill_null(images[name], 0).to_numpy() for name in ("height", "width")], axis=1).astype(np.int64)


def write_pieces(task: str, rows: Rows, texts: pa.Array, image: pa.ChunkedArray, bundle: BundleWriter) -> None:
    """Pieces of the lists of images and annotations of each split's file; `image` is the row of each text."""
    listed = image_texts(rows.images)
    folders = rows.images["folder"].combine_chunks()
    of = folders.take(image.combine_chunks())
    for folder in pc.unique(folders).to_pylist():
        path = path_of(task, folder)
        bundle.piece(path, IMAGES, _joined(listed.filter(pc.equal(folders, folder))), b",")
        mine = texts.filter(pc.equal(of, folder))
        if len(mine):
            bundle.piece(path, ANNOTATIONS, _joined(mine), b",")


def path_of(task: str, folder: str) -> str:
    """The file of a split."""
    return f"annotations/{task}_{folder}.json"


def finish(task: str, labels: LabelSchema, head: WriteHead, bundle: BundleWriter) -> None:
    """The beginning and the end of each split's file."""
    detail = msgspec.json.decode(head.detail, type=Detail)
    categories = category_records(labels, detail.categories, task)
    for folder in head.folders:
        before = split_members(labels, folder, DEFAULT_SPLIT)
        # pycocotools asks captions for a category where there is a list of them, even an empty one.
        if categories or task != "captions":
            before = {**before, "categories": categories}
        text = msgspec.json.encode(before)
        bundle.piece(path_of(task, folder), 1, text[:-1] + b',"images":[')
        bundle.piece(path_of(task, folder), BETWEEN, b'],"annotations":[')
        bundle.piece(path_of(task, folder), END, b"]}")


def _joined(texts: pa.Array) -> bytes:
    whole = pa.ListArray.from_arrays(pa.array([0, len(texts)], pa.int32()), texts)
    return bytes(pc.binary_join(whole, ",")[0].as_buffer())


def join(*parts: pa.Array | str) -> pa.Array:
    """Texts put together, row by row."""
    return pc.binary_join_element_wise(*parts, "")


def head_texts(annotations: pa.Table, images: pa.Table) -> pa.Array:
    """The beginning of each record: its id and its image's."""
    ids = columns.text(annotations["annotation_id"].combine_chunks())
    number = columns.text(images["number"].to_numpy()[annotations["image"].to_numpy()])
    return join('{"id":', ids, ',"image_id":', number)


def category_texts(annotations: pa.Table, detail: Detail) -> pa.Array:
    """The category of each record."""
    categories = np.array(detail.categories, np.int64)
    labels = annotations["label"].to_numpy()
    return join(',"category_id":', columns.text(categories[labels] if len(labels) else np.zeros(0, np.int64)))


def tail_texts(annotations: pa.Table) -> pa.Array:
    """The end of each record: score and attributes, where there are any."""
    score, attributes = annotations["score"].combine_chunks(), annotations["attributes"].combine_chunks()
    return join(
        pc.if_else(pc.is_valid(score), join(',"score":', pc.fill_null(columns.text(score), "")), ""),
        pc.if_else(pc.is_valid(attributes), join(',"attributes":', pc.fill_null(attributes, "")), ""),
        "}",
    )


def shape_texts(annotations: pa.Table) -> pa.Array:
    """Segmentation, area, box and crowd of each record."""
    count = annotations.num_rows
    kinds, flags = annotations["kind"].to_numpy(), annotations["flags"].to_numpy()
    crowd = (flags & Flag.CROWD) != 0
    boxes = geometry.boxes(annotations["bbox"])
    rings = polygon_rings(annotations)
    is_polygon = np.bincount(rings.owner, minlength=count) > 0
    is_mask = (kinds == Kind.MASK) & annotations["rle"].is_valid().to_numpy()
    rle = annotations["rle"].combine_chunks().filter(pa.array(is_mask))
    runs = masks.decode(rle)
    size = annotations["rle_size"].combine_chunks().filter(pa.array(is_mask)).flatten().to_numpy().reshape(-1, 2)

    turned = np.flatnonzero(kinds == Kind.ROTATED_BOX)
    envelopes = geometry.ring_envelopes(rings, count)
    envelopes[is_mask] = masks.envelopes(runs, size[:, 0].astype(np.int64))
    boxes[turned] = envelopes[turned]
    boxes = np.where(np.isnan(boxes), np.nan_to_num(envelopes), boxes)
    area = _areas(boxes, rings, is_polygon)
    area[is_mask] = masks.areas(runs)

    segmentations = pa.concat_arrays(
        [pa.array(["[]"]), _ring_texts(rings, is_polygon), _mask_texts(runs, size, rle, crowd[is_mask])]
    )
    place = np.zeros(count, np.int64)
    place[is_polygon] = 1 + np.arange(is_polygon.sum())
    place[is_mask] = 1 + is_polygon.sum() + np.arange(is_mask.sum())
    x, y, width, height = (columns.text(boxes[:, axis]) for axis in range(4))
    return join(
        ',"segmentation":',
        segmentations.take(pa.array(place)),
        ',"area":',
        columns.text(pc.coalesce(annotations["area"].combine_chunks(), pa.array(area))),
        ',"bbox":[',
        *(x, ",", y, ",", width, ",", height),
        '],"iscrowd":',
        columns.text(crowd.astype(np.int8)),
    )


def _areas(boxes: Floats, rings: geometry.Rings, is_polygon: NDArray[np.bool_]) -> Floats:
    area: Floats = boxes[:, 2] * boxes[:, 3]
    area[is_polygon] = geometry.ring_areas(rings, len(boxes))[is_polygon]
    return area


def _ring_texts(rings: geometry.Rings, has_rings: NDArray[np.bool_]) -> pa.Array:
    """`[[x,y,…],[…]]` of each annotation that has rings."""
    listed = pa.ListArray.from_arrays(pa.array(rings.offsets.astype(np.int32)), columns.text(rings.values))
    single = pc.binary_join(listed, ",")
    counts = np.bincount(rings.owner, minlength=len(has_rings))[has_rings]
    grouped = pa.ListArray.from_arrays(pa.array(geometry.starts(counts).astype(np.int32)), single)
    return join("[[", pc.binary_join(grouped, "],["), "]]")


def _mask_texts(runs: masks.Runs, size: Integers, rle: pa.Array, crowd: NDArray[np.bool_]) -> pa.Array:
    """`{"counts":…,"size":[h,w]}`: run lengths for crowds, the compressed text for others."""
    listed = pa.ListArray.from_arrays(pa.array(runs.offsets.astype(np.int32)), columns.text(runs.values))
    lengths = join("[", pc.binary_join(listed, ","), "]")
    packed = join('"', pc.replace_substring(rle.cast(pa.string()), "\\", "\\\\"), '"')
    counts = pc.if_else(pa.array(crowd), lengths, packed)
    height, width = columns.text(size[:, 0]), columns.text(size[:, 1])
    return join('{"counts":', counts, ',"size":[', height, ",", width, "]}")
