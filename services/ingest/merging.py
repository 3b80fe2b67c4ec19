"""Merges one table of images into another, by columns: labels by name, images by path.

Some 70 bytes are held of every incoming image, and the path where it gets another name; rows with annotations are
held a few thousand at a time. What is decided and why is in docs/ingest.md.
"""

import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from numpy.typing import NDArray

from framehouse.annotations.fingerprints import COMPARED, Hashes, fingerprints
from framehouse.annotations.geometry import starts
from framehouse.annotations.labels import labels_of
from framehouse.annotations.schema import ANNOTATION_COLUMNS, DATASET_SCHEMA, IMAGE_FIELDS, State
from framehouse.runtime.errors import FailedPrecondition
from framehouse.runtime.jobs import report
from framehouse.store.tables import Integers, batches, discard, rows_at, write_fragments
from framehouse.v1 import annotation_pb2, ingest_pb2
from services.ingest.uniting import unite

if TYPE_CHECKING:
    from lance import LanceDataset

Mask = NDArray[np.bool_]
Keys = NDArray[np.bytes_]
States = NDArray[np.int8]

NARROW_ROWS = 65536
"""Rows read at once of columns that are a few bytes an image."""
WIDE_ROWS = 2048
"""Rows read at once with their annotations."""
FRAGMENT_ROWS = 8192

ADDED, UNCHANGED, COMPLETED, CONFLICT, UNITED = range(5)
"""What is found for an incoming image. Completed: it brings what the image did not have yet, bytes or annotations.
United: the image gets its annotations beside those it has."""

BYTES_COLUMNS = [
    "hash",
    "format",
    "width",
    "height",
    "bytes",
    "orientation",
    "look",
    "original",
    "normalised",
    "preview",
]
"""What belongs to the bytes of an image."""
SPLIT_COLUMNS = ["split", "split_name"]
SAID_COLUMNS = ["frame", "image_attributes", "source", "import_job"]
"""What the labels say of the image itself, and whose import it came in by."""


@dataclass
class Merge:
    """What is to be done to the base."""

    labels: annotation_pb2.LabelSchema
    fragments: list[str]
    """New rows, written beside the base."""
    deleted: Integers
    """Addresses of the rows of the base that they take the place of."""
    summary: ingest_pb2.AddSummary


@dataclass
class Side:
    """Of the rows of a table: what is held of each."""

    ids: Keys
    """The images' ids, 16 bytes each."""
    hashes: Keys
    """The hashes of their bytes; empty where there are none."""
    states: States


@dataclass
class Found:
    """For each incoming row, the row of the base with the same id."""

    place: Integers
    """From 0; -1 where there is none."""
    address: Integers
    rows: Side


def merge(base: "LanceDataset", base_key: str, incoming: "LanceDataset", policy: "ingest_pb2.AddPolicy") -> Merge:
    """Decides what becomes of every incoming image and writes the rows that the base is to get.

    FailedPrecondition where labels do not fit together, where images are in conflict and the policy is to fail, or
    where the base was made before tables had all columns.
    """
    if missing := [name for name in DATASET_SCHEMA.names if name not in base.schema.names]:
        raise FailedPrecondition(
            f"the dataset was made by an earlier release, without {', '.join(missing)}, and nothing can be added to "
            "it; export it, import that as a new dataset, and add to that",
            reason="DATASET_OUTDATED",
        )
    labels, lookup = merge_labels(labels_of(base.schema), labels_of(incoming.schema))
    own_labels = np.arange(len(labels.labels), dtype=np.int32)
    new = _side(incoming)
    found = _find(base, new.ids)
    codes = _decide(new, found)
    differs = _differing(base, incoming, np.flatnonzero(codes == CONFLICT), new, found, own_labels, lookup)
    codes[(codes == CONFLICT) & ~differs] = UNCHANGED
    # Bytes for an image that had none are taken, also where its annotations are the same.
    gains_bytes = (found.place >= 0) & (new.hashes != b"") & (found.rows.hashes == b"")
    codes[(codes == UNCHANGED) & gains_bytes] = COMPLETED

    if policy == ingest_pb2.ADD_POLICY_MERGE:
        codes[(codes == CONFLICT) & _same_bytes(new, found.rows)] = UNITED
    conflicts = np.flatnonzero(codes == CONFLICT)
    summary = ingest_pb2.AddSummary(
        added_count=int((codes == ADDED).sum()),
        unchanged_count=int((codes == UNCHANGED).sum()),
        annotated_count=int((codes == COMPLETED).sum()),
        merged_count=int((codes == UNITED).sum()),
        added_labels=[label.name for label in labels.labels[len(labels_of(base.schema).labels) :]],
    )
    deleted = (codes == COMPLETED) | (codes == UNITED)
    written = (codes == ADDED) | deleted
    names: dict[int, str] = {}
    if policy in (ingest_pb2.ADD_POLICY_FAIL, ingest_pb2.ADD_POLICY_MERGE) and len(conflicts):
        (first,) = rows_at(incoming, conflicts[:1], ["path"])["path"].to_pylist()
        others = f" and {len(conflicts) - 1:,} more are" if len(conflicts) > 1 else " is"
        raise FailedPrecondition(
            f"{first!r}{others} in the dataset with other bytes or annotations, and nothing was added; "
            "add with replace, keep or rename to say what is to become of them, or with merge where only annotations "
            "differ",
            reason="ADD_CONFLICT",
            facts={"path": first, "count": str(len(conflicts))},
        )
    if policy == ingest_pb2.ADD_POLICY_REPLACE:
        summary.replaced_count = len(conflicts)
        written |= codes == CONFLICT
        deleted |= codes == CONFLICT
    elif policy == ingest_pb2.ADD_POLICY_RENAME:
        summary.renamed_count = len(conflicts)
        written |= codes == CONFLICT
        paths = [path for some in _chunks(conflicts) for path in rows_at(incoming, some, ["path"])["path"].to_pylist()]
        names = dict(zip(conflicts.tolist(), _free_names(base, new.ids, paths), strict=True))
    else:
        summary.kept_count = len(conflicts)

    fragments: list[str] = []
    try:
        for some in _chunks(np.flatnonzero(written), FRAGMENT_ROWS):
            parts = [_rows(base, incoming, part, codes, new, found, lookup, names) for part in _chunks(some)]
            fragments += write_fragments(base_key, pa.concat_tables(parts), DATASET_SCHEMA)
            report(len(fragments))
    except BaseException:
        discard(base_key, fragments)
        raise
    return Merge(labels, fragments, found.address[deleted], summary)


def merge_labels(
    base: annotation_pb2.LabelSchema, incoming: annotation_pb2.LabelSchema
) -> tuple[annotation_pb2.LabelSchema, NDArray[np.int32]]:
    """The labels of both, those of the base first and as they are, and the id in it of each incoming label.

    A label that both have takes from the incoming one what it does not say itself. FailedPrecondition where the
    keypoints of the two are not the same.
    """
    merged = annotation_pb2.LabelSchema()
    merged.CopyFrom(base)
    merged.source = base.source or incoming.source
    ids = {label.name: i for i, label in enumerate(merged.labels)}
    for label in incoming.labels:
        if label.name not in ids:
            ids[label.name] = len(merged.labels)
            merged.labels.add().CopyFrom(label)
            continue
        ours = merged.labels[ids[label.name]]
        there, here = list(ours.keypoints), list(label.keypoints)
        # Names may be made up by a format that has none; in another order they are not.
        if there and here and (len(there) != len(here) or (there != here and sorted(there) == sorted(here))):
            raise FailedPrecondition(
                f"the class {label.name!r} has the keypoints {_listed(there)} in the dataset, and {_listed(here)} "
                "in what is added; rename one of the two classes, or bring the keypoints into the same order",
                reason="LABEL_KEYPOINTS_DIFFER",
                facts={"label": label.name},
            )
        ours.parent = ours.parent or label.parent
        ours.color = ours.color or label.color
        ours.attributes.extend(name for name in label.attributes if name not in ours.attributes)
        if not there:
            ours.keypoints.extend(here)
        if not ours.edges:
            ours.edges.extend(label.edges)
    return merged, np.array([ids[label.name] for label in incoming.labels], np.int32)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _side(table: "LanceDataset") -> Side:
    parts = [
        Side(_keys(batch["id"]), _keys(batch["hash"]), batch["state"].to_numpy())
        for batch in batches(table, ["id", "hash", "state"], NARROW_ROWS)
    ]
    return Side(
        np.concatenate([part.ids for part in parts]),
        np.concatenate([part.hashes for part in parts]),
        np.concatenate([part.states for part in parts]),
    )


def _keys(column: pa.Array) -> Keys:
    """32 hexadecimal digits each, as 16 bytes; null as no bytes. NumPy cuts zeros off at the end, on both sides."""
    keys = np.zeros(len(column), "S16")
    valid = column.is_valid().to_numpy(zero_copy_only=False)
    known = column.drop_null()
    if len(known):
        first = int.from_bytes(known.buffers()[1][known.offset * 4 : known.offset * 4 + 4].to_pybytes(), "little")
        digits = known.buffers()[2][first : first + 32 * len(known)].to_pybytes().decode("ascii")
        keys[valid] = np.frombuffer(bytes.fromhex(digits), "S16")
    return keys


def _find(base: "LanceDataset", ids: Keys) -> Found:
    count = len(ids)
    order = np.argsort(ids, kind="stable")
    ordered = ids[order]
    found = Found(
        np.full(count, -1, np.int64),
        np.zeros(count, np.int64),
        Side(ids, np.zeros(count, "S16"), np.zeros(count, np.int8)),
    )
    first = 0
    for batch in batches(base, ["id", "hash", "state"], NARROW_ROWS, with_address=True):
        theirs = _keys(batch["id"])
        at, hit = _search(ordered, theirs)
        rows = order[at[hit]]
        found.place[rows] = first + np.flatnonzero(hit)
        found.address[rows] = batch["_rowaddr"].to_numpy().view(np.int64)[hit]
        found.rows.hashes[rows] = _keys(batch["hash"])[hit]
        found.rows.states[rows] = batch["state"].to_numpy()[hit]
        first += batch.num_rows
        report(first)
    return found


def _search(ordered: Keys, wanted: Keys) -> tuple[Integers, Mask]:
    """Where each wanted key is among ordered ones, and whether it is."""
    if not len(ordered):
        return np.zeros(len(wanted), np.int64), np.zeros(len(wanted), bool)
    at = np.minimum(np.searchsorted(ordered, wanted), len(ordered) - 1)
    hit: Mask = ordered[at] == wanted
    return at, hit


def _decide(new: Side, found: Found) -> NDArray[np.int8]:
    """What can be said without reading annotations; of the conflicts some may yet turn out to be none."""
    there = found.place >= 0
    old = found.rows
    same_bytes = _same_bytes(new, old)
    completes = _brings_annotations(new.states, old.states)
    says_less = (new.states != State.ANNOTATED) & ~completes
    codes = np.select(
        [~there, same_bytes & completes, same_bytes & says_less], [ADDED, COMPLETED, UNCHANGED], default=CONFLICT
    )
    return codes.astype(np.int8)


def _same_bytes(new: Side, old: Side) -> Mask:
    """Where the bytes are the same, or one side has none."""
    same: Mask = (new.hashes == b"") | (old.hashes == b"") | (new.hashes == old.hashes)
    return same


def _brings_annotations(new: States, old: States) -> Mask:
    """Where there were no annotations yet; that there is nothing to annotate is one too."""
    none_yet: Mask = np.where(
        new == State.ANNOTATED, old != State.ANNOTATED, (new == State.VERIFIED_EMPTY) & (old == State.UNANNOTATED)
    )
    return none_yet


def _differing(
    base: "LanceDataset",
    incoming: "LanceDataset",
    rows: Integers,
    new: Side,
    found: Found,
    own_labels: NDArray[np.int32],
    lookup: NDArray[np.int32],
) -> Mask:
    """Which of the incoming rows in conflict have other bytes, or other annotations."""
    differs = np.ones(len(new.ids), bool)
    old = found.rows
    candidates = rows[
        _same_bytes(new, old)[rows] & (new.states[rows] == State.ANNOTATED) & (old.states[rows] == State.ANNOTATED)
    ]
    in_base = np.argsort(found.place[candidates])
    theirs = np.zeros(len(candidates), np.uint64)
    theirs[in_base] = _fingerprints(base, found.place[candidates][in_base], own_labels)
    differs[candidates] = theirs != _fingerprints(incoming, candidates, lookup)
    return differs


def _fingerprints(table: "LanceDataset", places: Integers, labels: NDArray[np.int32]) -> Hashes:
    made = [np.zeros(0, np.uint64)]
    done = 0
    for some in _chunks(places):
        rows = rows_at(table, some, COMPARED).combine_chunks()
        made.append(fingerprints({name: rows[name].combine_chunks() for name in COMPARED}, labels))
        done += len(some)
        report(done)
    return np.concatenate(made)


def _free_names(base: "LanceDataset", ids: Keys, paths: Sequence[str]) -> list[str]:
    """For each path the first of `a (2).jpg`, `a (3).jpg` … that neither side has."""
    ordered = np.sort(ids)
    names = list(paths)
    open_ = np.arange(len(paths))
    number = 2
    while len(open_):
        for i in open_.tolist():
            stem, extension = posixpath.splitext(paths[i])
            names[i] = f"{stem} ({number}){extension}"
        wanted = np.array([xxhash.xxh3_128_digest(names[i].encode()) for i in open_.tolist()], "S16")
        _, taken = _search(ordered, wanted)
        order = np.argsort(wanted)
        for batch in batches(base, ["id"], NARROW_ROWS):
            at, hit = _search(wanted[order], _keys(batch["id"]))
            taken[order[at[hit]]] = True
        open_ = open_[taken]
        number += 1
    return names


def _rows(
    base: "LanceDataset",
    incoming: "LanceDataset",
    places: Integers,
    codes: NDArray[np.int8],
    new: Side,
    found: Found,
    lookup: NDArray[np.int32],
    names: dict[int, str],
) -> pa.Table:
    """Incoming rows as the base is to have them: with its label ids, and what they do not say from its own rows."""
    rows = rows_at(incoming, places, DATASET_SCHEMA.names).combine_chunks()
    columns = {name: _whole(rows[name]) for name in DATASET_SCHEMA.names}
    columns["label"] = relabelled(columns["label"], lookup)
    united = codes[places] == UNITED
    completes = (codes[places] == COMPLETED) | united
    has_bytes, theirs = new.hashes[places] != b"", found.rows.hashes[places]
    keeps_bytes = ~has_bytes | (new.hashes[places] == theirs)
    splitless = ~_said(columns["split"])
    lacks = (found.place[places] >= 0) & (completes | keeps_bytes | splitless)
    if lacks.any():
        brings = _brings_annotations(new.states[places], found.rows.states[places])
        keeps_annotations = completes & ~brings & ~united
        both = keeps_annotations | united
        wanted = [field.name for field in IMAGE_FIELDS] + (ANNOTATION_COLUMNS if both.any() else [])
        old = _aligned(base, np.where(lacks, found.place[places], -1), wanted)
        from_old = {
            **{name: keeps_bytes & _said(old[name]) for name in BYTES_COLUMNS},
            **dict.fromkeys(SPLIT_COLUMNS, (completes | splitless) & _said(old["split"])),
            **{name: completes & _said(old[name]) for name in SAID_COLUMNS},
            **(dict.fromkeys(("state", *ANNOTATION_COLUMNS), keeps_annotations) if keeps_annotations.any() else {}),
        }
        for name, mask in from_old.items():
            columns[name] = _choose(columns[name], old[name], mask & lacks)
        if united.any():
            mine = pa.array(united)
            sides = ({name: side[name].filter(mine) for name in ANNOTATION_COLUMNS} for side in (old, columns))
            take = np.arange(len(places))
            take[united] = len(places) + np.arange(int(united.sum()))
            for name, lists in unite(*sides).items():
                columns[name] = pa.concat_arrays([columns[name], lists.cast(columns[name].type)]).take(pa.array(take))
    if names:
        paths = [
            names.get(place, path) for place, path in zip(places.tolist(), columns["path"].to_pylist(), strict=True)
        ]
        columns["path"] = pa.array(paths, pa.string())
        columns["id"] = pa.array([xxhash.xxh3_128_hexdigest(path.encode()) for path in paths], pa.string())
    return pa.table(columns).cast(DATASET_SCHEMA)


def relabelled(column: pa.ListArray, lookup: NDArray[np.int32]) -> pa.ListArray:
    """Lists of labels by the ids that they have in the base. No label is -1, which finds the -1 at the end."""
    values = np.append(lookup, np.int32(-1))[column.flatten().to_numpy()]
    offsets = starts(column.value_lengths().to_numpy().astype(np.int64)).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values, pa.int32()))


def _aligned(table: "LanceDataset", places: Integers, columns: Sequence[str]) -> dict[str, pa.Array]:
    """Rows of a table in any order; null for -1."""
    wanted, inverse = np.unique(places[places >= 0], return_inverse=True)
    index = np.zeros(len(places), np.int64)
    index[places >= 0] = inverse
    take = pa.array(index, mask=places < 0)
    rows = rows_at(table, wanted, columns)
    return {name: _whole(rows[name]).take(take) for name in columns}


def _choose(new: pa.Array, old: pa.Array, from_old: Mask) -> pa.Array:
    """The values of `new`, and those of `old` where that is said."""
    if not from_old.any():
        return new
    count = len(new)
    return pa.concat_arrays([new, old]).take(pa.array(np.arange(count) + count * from_old))


def _said(column: pa.Array) -> Mask:
    """Where there is a value; an empty text is none."""
    valid: Mask = column.is_valid().to_numpy(zero_copy_only=False)
    if pa.types.is_string(column.type):
        valid &= pc.fill_null(pc.not_equal(column, ""), False).to_numpy(zero_copy_only=False)
    return valid


def _whole(column: pa.ChunkedArray) -> Any:
    return column.combine_chunks()


def _chunks(places: Integers, size: int = WIDE_ROWS) -> Iterator[Integers]:
    for first in range(0, len(places), size):
        yield places[first : first + size]
