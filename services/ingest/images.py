"""Single images of a dataset: one row of its table as the contract shows it, with signed URLs of its bytes."""

import time
from collections.abc import Container, Mapping, Sequence
from typing import Any

from framehouse.annotations.schema import Flag, Kind
from framehouse.annotations.tasks import kinds_of
from framehouse.store.rows import image_parts, read_row
from framehouse.store.signed_urls import MEDIA_TYPES, OCTETS, end_of_life, target, url_of
from framehouse.v1 import annotation_pb2, dataset_pb2
from services.ingest.catalogue import Catalogue, DatasetRow
from services.ingest.datasets import find
from services.ingest.datasets import message as dataset_message

COLUMNS = {
    **{name: name for name in ("id", "path", "split", "hash", "format", "width", "height", "bytes", "orientation")},
    **{name: name for name in ("frame", "original", "normalised", "preview", "state", "label", "import_job")},
    "annotation_count": "array_length(kind)",
}
"""What is read of a row: of its annotations their number and classes alone."""

ANNOTATIONS = (
    *("annotation_id", "kind", "label", "bbox", "rings", "rle", "rle_size", "rotation", "visibility"),
    *("group", "track", "z_order", "flags", "score", "text", "attributes"),
)
"""Columns that annotations are shown from."""

_STATES = (
    dataset_pb2.IMAGE_STATE_UNANNOTATED,
    dataset_pb2.IMAGE_STATE_ANNOTATED,
    dataset_pb2.IMAGE_STATE_VERIFIED_EMPTY,
)
"""By the numbers of `schema.State`."""


def get_image(catalogue: Catalogue, request: dataset_pb2.GetImageRequest) -> dataset_pb2.Image:
    """What `DatasetService.GetImage` promises."""
    dataset, _ = image_parts(request.name)
    return shown(find(catalogue, dataset), request.name, request.view)


def shown(table: DatasetRow, name: str, view: dataset_pb2.ImageView) -> dataset_pb2.Image:
    """The image of that name as it is in the head of a dataset."""
    from framehouse.annotations.labels import labels_of

    dataset, _ = image_parts(name)
    kinds = kinds_shown(view, table.task)
    wanted = COLUMNS | {name: f"`{name}`" for name in (ANNOTATIONS if kinds else ())}
    row, schema = read_row(table.table_key, table.table_version, name, wanted)
    labels = [label.name for label in labels_of(schema).labels]
    image = message(dataset, row, labels, end_of_life(time.time()), dataset_message(table).etag)
    if kinds:
        add_annotations(image, row, labels, kinds)
    return image


def kinds_shown(view: dataset_pb2.ImageView, task: int) -> frozenset[int]:
    """The kinds of annotations that a view shows of a dataset with that task."""
    if view == dataset_pb2.IMAGE_VIEW_ALL_TASKS:
        return frozenset(Kind)
    return frozenset(kinds_of(task)) if view == dataset_pb2.IMAGE_VIEW_FULL else frozenset()


def message(dataset: str, row: Mapping[str, Any], labels: Sequence[str], end: int, etag: str) -> dataset_pb2.Image:
    """A row of `COLUMNS` as the contract shows it; its URLs live until `end`, in seconds since 1970.

    `labels`: the names of the dataset's classes. `etag`: the dataset's.
    """
    original, normalised, preview = row["original"], row["normalised"], row["preview"]
    image = dataset_pb2.Image(
        name=f"{dataset}/images/{row['id']}",
        path=row["path"],
        split=row["split"],
        format=row["format"],
        width=row["width"],
        height=row["height"],
        size=row["bytes"],
        hash=row["hash"],
        orientation=row["orientation"],
        frame=row["frame"],
        annotation_count=row["annotation_count"],
        state=_STATES[row["state"] or 0],
        labels=[labels[label] for label in sorted(set(row["label"])) if label >= 0],
        import_job=f"jobs/{row['import_job']}" if row.get("import_job") else "",
        etag=etag,
    )
    if normalised:
        image.normalised_width, image.normalised_height = normalised["width"], normalised["height"]
    if original:
        kind = MEDIA_TYPES.get(row["format"], OCTETS)
        image.url = url_of(target(original, kind, row["hash"], row["path"], end))
    elif normalised:
        format = normalised["format"]
        name = f"{row['path'].rpartition('.')[0]}.{format}"
        image.url = url_of(target(normalised, MEDIA_TYPES[format], "", name, end))
    if preview:
        image.preview_url = url_of(target(preview, "image/webp", "", f"{row['path']}.webp", end))
    if image.url or image.preview_url:
        image.url_expire_time.FromSeconds(end)
    return image


def add_annotations(
    image: dataset_pb2.Image, row: Mapping[str, Any], labels: Sequence[str], kinds: Container[int] = frozenset(Kind)
) -> None:
    """Adds the annotations of a row, which has the columns `ANNOTATIONS`, to its image; those of some kinds."""
    for number, id in enumerate(row["annotation_id"]):
        if row["kind"][number] not in kinds:
            continue
        one = {name: row[name][number] for name in ANNOTATIONS}
        image.annotations.add(
            id=id,
            kind=annotation_pb2.AnnotationKind.ValueType(one["kind"]),
            label=labels[one["label"]] if one["label"] >= 0 else "",
            bbox=one["bbox"] or (),
            rings=[dataset_pb2.Ring(points=ring) for ring in one["rings"] or ()],
            rle=one["rle"],
            rle_size=one["rle_size"] or (),
            rotation=one["rotation"],
            visibility=one["visibility"] or (),
            group=one["group"],
            track=one["track"],
            z_order=one["z_order"],
            flags=[flag.name.lower() for flag in Flag if flag.name and one["flags"] & flag],
            score=one["score"],
            text=one["text"],
            attributes=one["attributes"],
        )
