"""Deals the images of a dataset out to splits anew; how is said in `dealing`.

All of it is decided on columns in memory, and of the table the two columns of the splits are written.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from framehouse.annotations.splits import canonical_split, split_rank
from framehouse.runtime.errors import InvalidArgument
from framehouse.store.tables import rewrite
from framehouse.v1 import dataset_pb2
from services.ingest.attributes import attribute_values
from services.ingest.catalogue import Catalogue, DatasetRow
from services.ingest.columns import Integers, Snapshot, Strings, snapshot
from services.ingest.datasets import message
from services.ingest.dealing import Keys, Presence, by_group, deal, grouped, mixed, numbered, presence
from services.ingest.edits import Edit, addresses, check_split, edit, head_of
from services.ingest.looks import groups_of, looks_of

SHARES = {"train": 0.8, "val": 0.2}
"""Where none are given."""
LOOK_DISTANCE = 4
"""Bits in which the looks of images of one group may differ; why so many is in docs/catalogue.md."""
TOLERANCE = 1e-6
"""How far the shares may be from adding up to 1."""
COMMIT = {"framehouse.change": "RedistributeSplits"}
GROUPED_BY = {dataset_pb2.SPLIT_GROUP_FOLDER: ["path"], dataset_pb2.SPLIT_GROUP_LOOK: ["look"]}
"""The columns that are kept in memory of what groups are made by."""


class Split(NamedTuple):
    """A split that is dealt out to."""

    name: str
    spelled: str
    share: float


def redistribute(
    catalogue: Catalogue, request: dataset_pb2.RedistributeSplitsRequest
) -> dataset_pb2.RedistributeSplitsResponse:
    """What `DatasetService.RedistributeSplits` promises."""
    splits = _splits(request.shares)
    if request.group not in dataset_pb2.SplitGroup.values():
        raise InvalidArgument(f"{request.group} is no group of images", field="group")
    if (request.group == dataset_pb2.SPLIT_GROUP_ATTRIBUTE) != bool(request.group_attribute):
        raise InvalidArgument("groups by an attribute need its name, and no others do", field="group_attribute")
    planned, row = edit(
        catalogue,
        request.name,
        request.etag,
        partial(_plan, request, splits),
        validate_only=request.validate_only,
        field="name",
    )
    response = dataset_pb2.RedistributeSplitsResponse(changed_count=planned.changed)
    for split in sorted((split.name for split in splits), key=split_rank):
        response.splits.add(split=split, image_count=planned.head.splits.get(split, 0))
    if not request.validate_only:
        response.dataset.CopyFrom(message(row))
    return response


def _splits(shares: Sequence[dataset_pb2.SplitShare]) -> list[Split]:
    """What is asked for, checked."""
    if not shares:
        return [Split(name, name, share) for name, share in SHARES.items()]
    found: dict[str, Split] = {}
    for place, one in enumerate(shares):
        check_split(one.split, f"shares[{place}].split")
        split = canonical_split(one.split)
        if not split:
            raise InvalidArgument("a share has no split; name it, for instance train", field=f"shares[{place}].split")
        if split in found:
            raise InvalidArgument(f"the split {split!r} has two shares; give it one", field=f"shares[{place}].split")
        if not 0 < one.share <= 1:  # nor is what is no number
            raise InvalidArgument(
                f"the share of {one.split!r} is {one.share:g}; it must be above 0 and at most 1",
                field=f"shares[{place}].share",
            )
        found[split] = Split(split, one.split, one.share)
    if abs((total := math.fsum(split.share for split in found.values())) - 1) > TOLERANCE:
        raise InvalidArgument(f"the shares add up to {total:g}; they must add up to 1", field="shares")
    return list(found.values())


def _plan(request: dataset_pb2.RedistributeSplitsRequest, splits: list[Split], row: DatasetRow) -> Edit:
    table = snapshot(row.table_key, row.table_version)
    needed = ["id", "hash", "split", *GROUPED_BY.get(request.group, []), *(["label"] if request.stratify else [])]
    table.read(needed, table.parts)  # all at once, which takes a third of the time
    new = _dealt(table, request, [split.share for split in splits])
    codes, names = table.strings("split")
    order = {split.name: place for place, split in enumerate(splits)}
    old = np.array([order.get(name, -1) for name in names], np.int64)[codes]
    rows = np.flatnonzero(old != new)
    counts = np.bincount(new, minlength=len(splits)).tolist()
    head = head_of(row)
    head.splits = {split.name: count for split, count in zip(splits, counts, strict=True) if count}

    def write() -> int:
        places = pa.array(new[rows].astype(np.int32))
        columns = {
            "split": pa.DictionaryArray.from_arrays(places, [split.name for split in splits]),
            "split_name": pa.DictionaryArray.from_arrays(places, [split.spelled for split in splits]),
        }
        version = rewrite(row.table_key, row.table_version, addresses(table, rows), columns, COMMIT)
        snapshot(row.table_key, version).keep("split", Strings(new.astype(np.int32), [split.name for split in splits]))
        return version

    return Edit(len(rows), head, write)


def _dealt(table: Snapshot, request: dataset_pb2.RedistributeSplitsRequest, shares: Sequence[float]) -> Integers:
    """The split of each image, by its place in `shares`."""
    ids = _halves(table, "id")
    keys = mixed(ids, request.seed)
    hashes = _halves(table, "hash")
    known = hashes.any(axis=1)
    bytes_of = np.where(known, hashes[:, 0] ^ hashes[:, 1], ids[:, 0] ^ ids[:, 1])
    match request.group:
        case dataset_pb2.SPLIT_GROUP_FOLDER:
            groups = grouped(_folders(table), bytes_of)
        case dataset_pb2.SPLIT_GROUP_LOOK:
            alike = groups_of(table, LOOK_DISTANCE).astype(np.uint64)
            groups = grouped(np.where(looks_of(table) > 0, alike, bytes_of), bytes_of)
        case dataset_pb2.SPLIT_GROUP_ATTRIBUTE:
            values = attribute_values(table.table, request.group_attribute)
            groups = grouped(np.where(values > 0, values, bytes_of), bytes_of)
        case _:
            groups = numbered(bytes_of)
    count = int(groups.max(initial=-1)) + 1
    sizes = np.bincount(groups, minlength=count)
    firsts = np.full(count, np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(firsts, groups, keys)
    classes = _classes(table, groups) if request.stratify else None
    return deal(firsts, sizes, shares, classes)[groups]


def _halves(table: Snapshot, name: str) -> Keys:
    """Ids or hashes of all rows, as two numbers each."""
    return np.concatenate([np.zeros((0, 16), np.uint8), *table.pieces(name)]).view(np.uint64)


def _folders(table: Snapshot) -> Keys:
    """A number for the folder of each image."""
    numbers = [np.zeros(0, np.uint64)]
    for paths in table.pieces("path"):
        folders = pc.replace_substring_regex(paths, r"[^/]*$", "").dictionary_encode()
        names = [xxhash.xxh3_64_intdigest(folder.encode()) for folder in folders.dictionary.to_pylist()]
        numbers.append(np.array(names, np.uint64)[folders.indices.to_numpy()])
    return np.concatenate(numbers)


def _classes(table: Snapshot, groups: Integers) -> Presence:
    """The classes of the groups."""
    count = len(table.labels)
    images, classes = [np.zeros(0, np.int32)], [np.zeros(0, np.int32)]
    for part, lists in zip(table.parts, table.pieces("label"), strict=True):
        image, label = presence(lists.offsets.astype(np.int64), lists.values.astype(np.int64), count)
        images.append(image + np.int32(part.first))
        classes.append(label)
    return by_group(groups, np.concatenate(images), np.concatenate(classes), count)
