"""Replaces the annotations of one image. What they must be like is said in `drawn`.

The image's row is written anew into a small fragment behind the others, together with those that were written so just
before, so that fragments stay few. It keeps the id that Lance gave it, and so its place in the order of listings.
"""

import time
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa

from framehouse.annotations.labels import labels_of
from framehouse.annotations.schema import ANNOTATION_FIELDS, State
from framehouse.runtime.errors import InvalidArgument, NotFound
from framehouse.store.rows import image_parts
from framehouse.store.signed_urls import end_of_life
from framehouse.store.tables import change, discard, row_ids, rows_at, take, with_row_ids, write_fragments
from framehouse.v1 import dataset_pb2
from services.ingest.catalogue import Catalogue, DatasetRow
from services.ingest.columns import Integers, Snapshot, snapshot
from services.ingest.datasets import message as dataset_message
from services.ingest.drawn import Drawn
from services.ingest.edits import Edit, addresses, edit, head_of
from services.ingest.images import add_annotations, kinds_shown, message

FRAGMENT_ROWS = 1024
"""Rows of a fragment of rows written anew, at most."""
COMMIT = {"framehouse.change": "UpdateAnnotations"}


@dataclass(kw_only=True)
class Annotated(Edit):
    """An edit of one image."""

    row: pa.Table
    """Of the table, as it is then."""


def update_annotations(catalogue: Catalogue, request: dataset_pb2.UpdateAnnotationsRequest) -> dataset_pb2.Image:
    """What `DatasetService.UpdateAnnotations` promises."""
    dataset, _ = image_parts(request.image, "image")
    if request.verified_empty and request.annotations:
        raise InvalidArgument(
            f"verified_empty is true, and {len(request.annotations):,} annotations are given; leave one of the two out",
            field="verified_empty",
        )
    made, row = edit(catalogue, dataset, request.etag, partial(_plan, request), validate_only=False, field="image")
    return _shown(dataset, made.row, row)


def _shown(dataset: str, new: pa.Table, row: DatasetRow) -> dataset_pb2.Image:
    """A row of the table as an image, with the annotations of the dataset's task."""
    (one,) = new.to_pylist()
    labels = [label.name for label in labels_of(new.schema).labels]
    one["annotation_count"] = len(one["kind"])
    image = message(dataset, one, labels, end_of_life(time.time()), dataset_message(row).etag)
    add_annotations(image, one, labels, kinds_shown(dataset_pb2.IMAGE_VIEW_FULL, row.task))
    return image


def _plan(request: dataset_pb2.UpdateAnnotationsRequest, row: DatasetRow) -> Annotated:
    """What the request makes of a head."""
    table = snapshot(row.table_key, row.table_version)
    place = _place(table, request.image)
    old = take(table.table, np.array([place]), table.table.schema.names).replace_schema_metadata(
        table.table.schema.metadata
    )
    drawn = Drawn(old).columns(request.annotations)
    state = State.ANNOTATED if request.annotations else State.UNANNOTATED
    if request.verified_empty:
        state = State.VERIFIED_EMPTY
    new = _with(old, {field.name: pa.array([drawn[field.name]], pa.list_(field.type)) for field in ANNOTATION_FIELDS})
    new = _with(new, {"state": pa.array([int(state)], pa.int8())})
    head = head_of(row)
    head.annotation_count += len(request.annotations) - len(old["kind"][0])
    return Annotated(int(not new.equals(old)), head, lambda: _write(row, table, place, new), row=new)


def _with(table: pa.Table, columns: dict[str, pa.Array]) -> pa.Table:
    for name, column in columns.items():
        at = table.schema.get_field_index(name)
        table = table.set_column(at, table.schema.field(at), column)
    return table


def _place(table: Snapshot, name: str) -> int:
    """The row of the image of that name."""
    dataset, id = image_parts(name, "image")
    wanted = np.frombuffer(bytes.fromhex(id), np.uint64)
    for part, ids in zip(table.parts, table.pieces("id"), strict=True):
        halves = np.ascontiguousarray(ids).view(np.uint64)
        for row in np.flatnonzero(halves[:, 0] == wanted[0]).tolist():
            if halves[row, 1] == wanted[1]:
                return part.first + row
    raise NotFound(
        "image", name, f"{dataset} has none of that id, which is the XXH3-128 of an image's path in the dataset"
    )


def _write(row: DatasetRow, table: Snapshot, place: int, new: pa.Table) -> int:
    """Makes the version with the new row in place of the old one."""
    key, schema = row.table_key, table.table.schema.remove_metadata()
    along = _along(table, place)
    rows = pa.concat_tables([rows_at(table.table, along, schema.names), new.replace_schema_metadata(None)])
    fragments = write_fragments(key, rows.cast(schema), schema)
    try:
        if row_ids(table.parts[0].fragment) is not None:
            ids = [_row_id(table, one) for one in [*along.tolist(), place]]
            fragments = with_row_ids(fragments, np.array(ids, np.int64))
        gone = np.sort(np.append(along, place))
        return change(key, row.table_version, addresses(table, gone), fragments, {}, COMMIT)
    except BaseException:
        discard(key, fragments)
        raise


def _along(table: Snapshot, place: int) -> Integers:
    """The rows of the last fragments that are written along: those of each that is no larger than what is behind it.

    So a row is written anew for each doubling of the fragment that it is in, and there are as few as that.
    """
    first, count = table.rows, 1
    for part in reversed(table.parts):
        if part.rows > count or count + part.rows > FRAGMENT_ROWS:
            break
        first, count = part.first, count + part.rows
    rows = np.arange(first, table.rows)
    along: Integers = rows[rows != place]
    return along


def _row_id(table: Snapshot, place: int) -> int:
    part = table.parts[int(np.searchsorted(table.starts, place, "right")) - 1]
    return int(table.row_ids(part)[place - part.first])
