"""Puts removed images back: their rows are read from the versions that had them, and written behind those of the head.

Which they are is decided on the ids of the parts of the table that a removal changed; rows are read and written some
thousands at a time.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from framehouse.annotations.labels import labels_of, with_labels
from framehouse.runtime.errors import FailedPrecondition, InvalidArgument, NotFound
from framehouse.store.tables import change, discard, rows_at, take, write_fragments
from framehouse.v1 import annotation_pb2, dataset_pb2
from services.ingest.catalogue import Catalogue, DatasetRow, RemovalRow
from services.ingest.changes import check_selection, image_ids
from services.ingest.columns import Integers, Part, Snapshot, snapshot
from services.ingest.datasets import message
from services.ingest.edits import Edit, edit, head_of
from services.ingest.filter_text import parse
from services.ingest.filters import select
from services.ingest.merging import merge_labels, relabelled
from services.ingest.references import COLUMNS
from services.ingest.removals import remembered_of, removal_named

READ_ROWS = 2048
"""Rows that are read at once."""
FRAGMENT_ROWS = 8192
COMMIT = {"framehouse.change": "RestoreImages"}


class Chosen(NamedTuple):
    """Images that one removal took."""

    table: Snapshot
    """The version before it."""
    rows: Integers
    """Ascending."""


def restore_images(catalogue: Catalogue, request: dataset_pb2.RestoreImagesRequest) -> dataset_pb2.ChangeImagesResponse:
    """What `DatasetService.RestoreImages` promises."""
    check_selection(request, "a removal, images or a filter")
    if request.WhichOneof("selection") == "filter":
        parse(request.filter)
    planned, row = edit(
        catalogue,
        request.parent,
        request.etag,
        partial(_plan, catalogue, request),
        validate_only=request.validate_only,
        field="parent",
    )
    return dataset_pb2.ChangeImagesResponse(dataset=message(row), changed_count=planned.changed)


def _plan(catalogue: Catalogue, request: dataset_pb2.RestoreImagesRequest, row: DatasetRow) -> Edit:
    """What the request makes of a head."""
    there = snapshot(row.table_key, row.table_version)
    chosen = [
        Chosen(one.table, rows)
        for one in _chosen(catalogue, request, row, there)
        if len(rows := _absent(request.parent, one, there))
    ]
    head = head_of(row)
    lookups = []
    for one in chosen:
        head.labels, lookup = _with_classes(head.labels, one)
        lookups.append(lookup)
        one.table.read(["split", "annotations", "size"], one.table.parts)
        codes, names = one.table.strings("split")
        for name, count in zip(names, np.bincount(codes[one.rows], minlength=len(names)).tolist(), strict=True):
            if count:
                head.splits[name] = head.splits.get(name, 0) + count
        head.image_count += len(one.rows)
        head.annotation_count += int(one.table.numbers("annotations")[one.rows].sum())
        head.image_bytes += int(np.maximum(one.table.numbers("size")[one.rows], 0).sum())
    text = {name.decode(): value.decode() for name, value in with_labels(pa.schema([]), head.labels).metadata.items()}

    def write() -> int:
        fragments: list[str] = []
        schema = there.table.schema.remove_metadata()
        try:
            for rows in _rows(chosen, lookups, schema):
                head.objects |= _objects(rows)
                fragments += write_fragments(row.table_key, rows, schema)
            none = np.zeros(0, np.int64)
            return change(row.table_key, row.table_version, none, fragments, text, COMMIT)
        except BaseException:
            discard(row.table_key, fragments)
            raise

    return Edit(sum(len(one.rows) for one in chosen), head, write)


# --- which images


def _chosen(
    catalogue: Catalogue, request: dataset_pb2.RestoreImagesRequest, row: DatasetRow, there: Snapshot
) -> list[Chosen]:
    """The images that are asked for, each from the newest of the removals that took it; the oldest removal first."""
    match request.WhichOneof("selection"):
        case "removal":
            removal = removal_named(catalogue, request.parent, row.uid, request.removal)
            return [_taken(row, removal)]
        case "images":
            return _named(catalogue, request, row, there)
    found: list[Chosen] = []
    seen = _keys([])
    wrong: InvalidArgument | None = None
    for removal in remembered_of(catalogue, row.uid):
        one = _taken(row, removal)
        try:
            mask = select(row.table_key, removal.table_version, request.filter, catalogue)
        except InvalidArgument as error:  # there is no such class or split in this version; maybe there is in another
            wrong = error
            continue
        ids = _ids(one)
        fresh = mask[one.rows] & ~_among(ids, seen)
        found.append(Chosen(one.table, one.rows[fresh]))
        seen = pa.concat_arrays([seen, ids.filter(pa.array(fresh))])
    if wrong and not found:
        raise wrong
    return found[::-1]


def _named(
    catalogue: Catalogue, request: dataset_pb2.RestoreImagesRequest, row: DatasetRow, there: Snapshot
) -> list[Chosen]:
    """The images of these names. `NotFound` with the first that was neither removed nor is there."""
    wanted = image_ids(request.parent, request.images.names)
    left = pa.array(list(wanted), pa.binary(16))
    found: list[Chosen] = []
    for removal in remembered_of(catalogue, row.uid):
        if not len(left):
            break
        taken = _taken(row, removal)
        ids = _ids(taken)
        mine = _among(ids, left)
        found.append(Chosen(taken.table, taken.rows[mine]))
        left = left.filter(pa.array(~_among(left, ids.filter(pa.array(mine)))))
    left = left.filter(pa.array(~_among(left, _keys(there.pieces("id")))))
    if len(left):
        raise NotFound("image", wanted[left[0].as_py()], "no removal that can be taken back has it")
    return found[::-1]


def _taken(row: DatasetRow, removal: RemovalRow) -> Chosen:
    """All images that a removal took."""
    before, after = (snapshot(row.table_key, version) for version in (removal.table_version, removal.next_version))
    parts, left = _other_parts(before, after), _other_parts(after, before)
    rows = [np.zeros(0, np.int64), *(np.arange(part.first, part.first + part.rows) for part in parts)]
    ids = _keys([piece["id"] for piece in before.read(["id"], parts)])
    stay = _among(ids, _keys([piece["id"] for piece in after.read(["id"], left)]))
    return Chosen(before, np.concatenate(rows)[~stay])


def _other_parts(table: Snapshot, other: Snapshot) -> list[Part]:
    """The parts of a table that another version has with other rows, or has not."""
    theirs = {part.keys["id"] for part in other.parts}
    return [part for part in table.parts if part.keys["id"] not in theirs]


def _absent(dataset: str, chosen: Chosen, there: Snapshot) -> Integers:
    """The rows of images that a table does not have. `FailedPrecondition` where it has one with other bytes."""
    ids = _ids(chosen)
    known = _keys(there.pieces("id"))
    rows = np.flatnonzero(_among(known, ids))
    if not len(rows):
        return chosen.rows
    places = pc.index_in(known.take(pa.array(rows)), value_set=ids).to_numpy()
    ours = _digests(there.pieces("hash"))[rows]
    theirs = _digests(chosen.table.pieces("hash"))[chosen.rows[places]]
    others = rows[(ours != theirs).any(axis=1) & ours.any(axis=1) & theirs.any(axis=1)]
    if len(others):
        path = take(there.table, others[:1], ["path"])["path"][0].as_py()
        more = f" and {len(others) - 1:,} more are" if len(others) > 1 else " is"
        raise FailedPrecondition(
            f"{path!r}{more} in {dataset} again, with other bytes, and nothing was put back; remove what is there "
            "first, or select others",
            reason="IMAGE_EXISTS",
            facts={"path": path, "count": str(len(others))},
        )
    mask = np.ones(len(ids), np.bool_)
    mask[places] = False
    absent: Integers = chosen.rows[mask]
    return absent


def _ids(chosen: Chosen) -> pa.Array:
    """The ids of images, 16 bytes each."""
    return _keys(chosen.table.pieces("id")).take(pa.array(chosen.rows))


def _keys(pieces: Sequence[NDArray[np.uint8]]) -> pa.Array:
    """Digests as values that can be looked for."""
    digests = _digests(pieces)
    return pa.Array.from_buffers(pa.binary(16), len(digests), [None, pa.py_buffer(digests)])


def _digests(pieces: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    return np.concatenate([np.zeros((0, 16), np.uint8), *pieces])


def _among(keys: pa.Array, others: pa.Array) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = pc.is_in(keys, value_set=others).to_numpy(zero_copy_only=False)
    return found


# --- their rows


def _with_classes(
    labels: annotation_pb2.LabelSchema, chosen: Chosen
) -> tuple[annotation_pb2.LabelSchema, NDArray[np.int32]]:
    """The classes with those that the images need and that are not there, and the id in them of each of the images'."""
    theirs = labels_of(chosen.table.table.schema)
    used = np.zeros(len(theirs.labels), np.bool_)
    mine = np.zeros(chosen.table.rows, np.bool_)
    mine[chosen.rows] = True
    parts = [part for part in chosen.table.parts if mine[part.first : part.first + part.rows].any()]
    for part, piece in zip(parts, chosen.table.read(["label"], parts), strict=True):
        lists = piece["label"]
        of_mine = np.repeat(mine[part.first : part.first + part.rows], np.diff(lists.offsets))
        found = lists.values[of_mine]
        used[found[found >= 0]] = True
    ids = np.flatnonzero(used)
    merged, places = merge_labels(labels, annotation_pb2.LabelSchema(labels=[theirs.labels[id] for id in ids]))
    lookup = np.full(len(used), -1, np.int32)
    lookup[ids] = places
    return merged, lookup


def _objects(rows: pa.Table) -> set[str]:
    """The objects that images lie in."""
    found = {key for name in COLUMNS for key in pc.unique(pc.struct_field(rows[name], "object")).to_pylist()}
    return {key for key in found if key is not None}


def _rows(chosen: Sequence[Chosen], lookups: Sequence[NDArray[np.int32]], schema: pa.Schema) -> Iterator[pa.Table]:
    """The rows as the head is to have them, as many as a fragment has."""
    waiting: list[pa.Table] = []
    count = 0
    for one, lookup in zip(chosen, lookups, strict=True):
        for first in range(0, len(one.rows), READ_ROWS):
            rows = rows_at(one.table.table, one.rows[first : first + READ_ROWS], schema.names).combine_chunks()
            label = relabelled(rows["label"].combine_chunks(), lookup)
            rows = rows.set_column(schema.get_field_index("label"), "label", label).cast(schema)
            waiting.append(rows)
            count += rows.num_rows
            if count >= FRAGMENT_ROWS:
                yield pa.concat_tables(waiting)
                waiting, count = [], 0
    if waiting:
        yield pa.concat_tables(waiting)
