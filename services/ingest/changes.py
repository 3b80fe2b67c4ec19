"""Changes many images at once: moves them to a split, sets their state, or removes them.

What is selected is decided on columns in memory. Of the table only the columns that change are written, and for images
that are removed a list of them.
"""

import re
from collections.abc import Sequence
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from framehouse.annotations.schema import State
from framehouse.annotations.splits import canonical_split
from framehouse.runtime.errors import FailedPrecondition, InvalidArgument, NotFound
from framehouse.store.tables import change, rewrite
from framehouse.v1 import dataset_pb2
from services.ingest.catalogue import Catalogue, DatasetRow
from services.ingest.columns import Integers, Mask, Snapshot, Strings, snapshot
from services.ingest.datasets import message
from services.ingest.edits import Edit, addresses, check_split, edit, head_of
from services.ingest.filters import select
from services.ingest.removals import PATHS, enter

NAMES = 100_000
"""Images that can be named in one call."""
STATES = {
    dataset_pb2.IMAGE_STATE_UNANNOTATED: State.UNANNOTATED,
    dataset_pb2.IMAGE_STATE_VERIFIED_EMPTY: State.VERIFIED_EMPTY,
}
"""States that can be set."""
COMMIT = {"framehouse.change": "ChangeImages"}


def change_images(catalogue: Catalogue, request: dataset_pb2.ChangeImagesRequest) -> dataset_pb2.ChangeImagesResponse:
    """What `DatasetService.ChangeImages` promises."""
    check_selection(request, "images or a filter")
    _check_change(request)
    planned, row = edit(
        catalogue,
        request.parent,
        request.etag,
        partial(_plan, catalogue, request),
        validate_only=request.validate_only,
        field="parent",
    )
    return dataset_pb2.ChangeImagesResponse(dataset=message(row), changed_count=planned.changed)


def check_selection(request: dataset_pb2.ChangeImagesRequest | dataset_pb2.RestoreImagesRequest, ways: str) -> None:
    """Raises `InvalidArgument` where a request selects no images in one of the `ways` that there are."""
    match request.WhichOneof("selection"):
        case None:
            raise InvalidArgument(f"no images are selected; give {ways}", field="selection")
        case "filter" if not request.filter.strip():
            raise InvalidArgument("the filter is empty; write * for all images", field="filter")
        case "images" if not 0 < len(request.images.names) <= NAMES:
            raise InvalidArgument(
                f"{len(request.images.names):,} images are named; name 1 to {NAMES:,}, or give a filter",
                field="images.names",
            )


def _check_change(request: dataset_pb2.ChangeImagesRequest) -> None:
    match request.WhichOneof("change"):
        case None:
            raise InvalidArgument("it says no change; give move_to_split, set_state or remove", field="change")
        case "move_to_split":
            check_split(request.move_to_split, "move_to_split")
        case "set_state" if request.set_state not in STATES:
            raise InvalidArgument(
                "the state can be set to IMAGE_STATE_UNANNOTATED or IMAGE_STATE_VERIFIED_EMPTY; an image is annotated "
                "by its annotations",
                field="set_state",
            )
        case "remove" if not request.remove:
            raise InvalidArgument(
                "remove is false, which changes nothing; leave it out or make it true", field="remove"
            )


def _plan(catalogue: Catalogue, request: dataset_pb2.ChangeImagesRequest, row: DatasetRow) -> Edit:
    """What the request makes of a head."""
    if request.WhichOneof("selection") == "filter":
        mask = select(row.table_key, row.table_version, request.filter, catalogue)
    else:
        mask = _named(request.parent, request.images.names, snapshot(row.table_key, row.table_version))
    table = snapshot(row.table_key, row.table_version)
    match request.WhichOneof("change"):
        case "move_to_split":
            return _moved(row, table, mask, request.move_to_split)
        case "set_state":
            return _with_state(row, table, mask, STATES[request.set_state])
        case _:
            return _removed(row, table, mask)


def _named(dataset: str, names: Sequence[str], table: Snapshot) -> Mask:
    """The images of these names. `NotFound` with the first that the table does not have."""
    wanted = image_ids(dataset, names)
    ids = np.concatenate([np.zeros((0, 16), np.uint8), *table.pieces("id")])
    # By half of the id first, as a number, and then by all of it.
    halves = np.frombuffer(b"".join(key[:8] for key in wanted), np.uint64)
    near = pc.is_in(pa.array(np.ascontiguousarray(ids[:, :8]).view(np.uint64)[:, 0]), pa.array(halves))
    rows = np.flatnonzero(near.to_numpy(zero_copy_only=False))
    found = {ids[row].tobytes(): row for row in rows.tolist()}
    for key, one in wanted.items():
        if key not in found:
            raise NotFound("image", one, "nothing was changed")
    mask = np.zeros(table.rows, np.bool_)
    mask[[found[key] for key in wanted]] = True
    return mask


def image_ids(dataset: str, names: Sequence[str]) -> dict[bytes, str]:
    """The names of images of a dataset by their ids. `InvalidArgument` where one is none."""
    name = re.compile(rf"{re.escape(dataset)}/images/([0-9a-f]{{32}})")
    wanted: dict[bytes, str] = {}
    for place, one in enumerate(names):
        if not (match := name.fullmatch(one)):
            raise InvalidArgument(
                f"{one!r} is no image of {dataset}; write {dataset}/images/ID, with 32 hexadecimal digits",
                field=f"images.names[{place}]",
            )
        wanted[bytes.fromhex(match[1])] = one
    return wanted


def _moved(row: DatasetRow, table: Snapshot, mask: Mask, name: str) -> Edit:
    split = canonical_split(name)
    codes, names = table.strings("split")
    names = names if split in names else [*names, split]
    rows = np.flatnonzero(mask & (codes != names.index(split)))
    new = codes.copy()
    new[rows] = names.index(split)
    counts = np.bincount(new, minlength=len(names)).tolist()
    head = head_of(row)
    head.splits = {name: count for name, count in zip(names, counts, strict=True) if count}
    values = {"split": pa.scalar(split), "split_name": pa.scalar(name if split else "")}

    def write() -> int:
        version = _write(row, table, rows, values)
        snapshot(row.table_key, version).keep("split", Strings(new, names))
        return version

    return Edit(len(rows), head, write)


def _with_state(row: DatasetRow, table: Snapshot, mask: Mask, state: State) -> Edit:
    states = table.numbers("state")
    annotated = np.flatnonzero(mask & (states == State.ANNOTATED))
    if len(annotated):
        path = table.paths()[int(annotated[0])].as_py()
        others = f" and {len(annotated) - 1:,} more have" if len(annotated) > 1 else " has"
        raise FailedPrecondition(
            f"{path!r}{others} annotations, and nothing was changed; select images without, for instance by "
            "NOT state = annotated",
            reason="IMAGE_ANNOTATED",
            facts={"path": path, "count": str(len(annotated))},
        )
    rows = np.flatnonzero(mask & (states != state))

    def write() -> int:
        version = _write(row, table, rows, {"state": pa.scalar(int(state), pa.int8())})
        new = states.copy()
        new[rows] = state
        snapshot(row.table_key, version).keep("state", new)
        return version

    return Edit(len(rows), head_of(row), write)


def _write(row: DatasetRow, table: Snapshot, rows: Integers, values: dict[str, pa.Scalar]) -> int:
    columns = {name: pa.repeat(value, len(rows)) for name, value in values.items()}
    return rewrite(row.table_key, row.table_version, addresses(table, rows), columns, COMMIT)


def _removed(row: DatasetRow, table: Snapshot, mask: Mask) -> Edit:
    rows = np.flatnonzero(mask)
    table.read(["split", "annotations", "size"], table.parts)
    codes, names = table.strings("split")
    counts = np.bincount(codes[~mask], minlength=len(names)).tolist()
    head = head_of(row)
    head.splits = {split: count for split, count in zip(names, counts, strict=True) if count}
    head.image_count -= len(rows)
    head.annotation_count -= int(table.numbers("annotations")[rows].sum())
    head.image_bytes -= int(np.maximum(table.numbers("size")[rows], 0).sum())
    paths = _paths(table, rows[:PATHS])
    return Edit(
        len(rows),
        head,
        lambda: change(row.table_key, row.table_version, addresses(table, rows), [], {}, COMMIT),
        lambda session, version: enter(session, version, row, len(rows), paths),
    )


def _paths(table: Snapshot, rows: Integers) -> list[str]:
    """The paths of a few rows, ascending."""
    owners = np.searchsorted(table.starts, rows, "right") - 1
    parts = [table.parts[number] for number in np.unique(owners)]
    paths = {part.first: piece["path"] for part, piece in zip(parts, table.read(["path"], parts), strict=True)}
    firsts = table.starts[owners].tolist()
    return [paths[first][row - first].as_py() for row, first in zip(rows.tolist(), firsts, strict=True)]
