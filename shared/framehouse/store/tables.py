"""Tables: datasets in the Lance format, in the bucket; every change is a new version.

Fragments are written by many steps and become visible by one commit. What the columns mean is said by
`framehouse.annotations.schema`; later changes are made by ingest, on the opened table.
"""

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache

# Read as Lance is loaded, hence before.
os.environ.setdefault("LANCE_LOG", "error")
# Parts of larger files are sent without a type: the store packs those that begin with zeros, and unpacks them for each
# range that is read.
os.environ.setdefault("LANCE_INITIAL_UPLOAD_SIZE", str(32 << 20))
os.environ.setdefault("LANCE_UPLOAD_CONCURRENCY", "2")

import lance
import lance.commit
import lance.fragment
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from framehouse.runtime import errors
from framehouse.runtime.config import settings
from framehouse.store.bucket import CONTENT_TYPE, bucket

Integers = NDArray[np.int64]
Values = Callable[[int, int, int], Mapping[str, pa.Array]]
"""Columns of the rows of a fragment: of its number, and of the first and the end of its rows among the addresses."""

WINDOW_ROWS = 8192
"""Rows that `rows_at` reads at once, wanted or not."""
NEAR_ROWS = 256
REWRITES_AT_ONCE = 8
MANIFEST = re.compile(r"/(\d{20})\.manifest$")
LARGEST = (1 << 64) - 1
COMPACTION_COMMITS = 2
"""Lance sets numbers of fragments aside before it writes them."""
NEVER = timedelta(days=365 * 100)
CACHE_BYTES = 128 << 20
"""Of a file, some 80 kB are kept."""

AWAY = re.compile(r"error sending request|connection closed|timed out|non-2xx status code: 5")
"""What Lance's errors say where the store does not answer; they have no types."""
CONFLICT = re.compile(r"commit conflict|incompatible transaction", re.IGNORECASE)
DENIED = re.compile(r"non-2xx status code: 403")
ABSENT = re.compile(r"was not found|not found:", re.IGNORECASE)


def write_fragments(key: str, batches: pa.Table | Iterable[pa.RecordBatch], schema: pa.Schema) -> list[str]:
    """Writes rows beside the table at `key`, not yet part of it; answers with fragments for `commit`, as JSON."""
    reader = pa.RecordBatchReader.from_batches(
        schema, batches.to_batches() if isinstance(batches, pa.Table) else batches
    )
    with _errors(key):
        fragments = lance.fragment.write_fragments(
            reader, _uri(key), schema, storage_options=storage_options(), enable_stable_row_ids=True
        )
    return [json.dumps(fragment.to_json()) for fragment in fragments]


def commit(key: str, schema: pa.Schema, fragments: Sequence[str], properties: Mapping[str, str]) -> int:
    """Makes a table of fragments, as its first version, with row ids that stay; answers with the version.

    `properties` name the commit: where the table has a version that was committed with the same ones, that is the
    answer. `AlreadyExists` where the table is there and has no such version.
    """
    done = _committed(key, properties)
    if done is not None:
        return done
    operation = lance.LanceOperation.Overwrite(
        schema, [lance.FragmentMetadata.from_json(fragment) for fragment in fragments]
    )
    # Nothing can be read at version 0 and nothing is retried, so that this fails where somebody else was first.
    transaction = lance.Transaction(0, operation, transaction_properties=dict(properties))
    try:
        with _errors(key):
            table = lance.LanceDataset.commit(
                _uri(key), transaction, storage_options=storage_options(), max_retries=0, enable_stable_row_ids=True
            )
    except (errors.NotFound, OSError, RuntimeError, ValueError):
        done = _committed(key, properties)
        if done is None:
            raise
        return done
    return int(table.version)


def change(
    key: str,
    version: int,
    deleted: Integers,
    fragments: Sequence[str],
    metadata: Mapping[str, str],
    properties: Mapping[str, str],
) -> int:
    """Makes a new version of one that is there, and answers with it.

    It is `version`, whatever came after that, without the rows at the addresses `deleted`, with the rows of `fragments`
    after the others, and with `metadata` in its schema's. `Aborted` where somebody else commits at the same time.
    """
    with _errors(key):
        table = open_table(key, version)
        updated, removed = _without(table, deleted)
        operations = _described(table, metadata)
        if fragments or updated or removed:
            new = [lance.FragmentMetadata.from_json(fragment) for fragment in fragments]
            operations.append(lance.LanceOperation.Update(removed, updated, new))
        if not operations:
            return version
        try:
            return _commit_after(key, version, operations, properties)
        except errors.Aborted:
            _remove_deletions(key, updated)
            raise


def rewrite(
    key: str,
    version: int,
    addresses: Integers,
    columns: Mapping[str, pa.Array] | Values,
    properties: Mapping[str, str],
    metadata: Mapping[str, str] | None = None,
    at_once: int = REWRITES_AT_ONCE,
) -> int:
    """Makes a new version, in which the rows at the addresses, ascending, have these values; answers with it.

    As with `change`, it is `version` otherwise, whatever came after that, with `metadata` in its schema's, and
    `Aborted` likewise. Of the fragments that have such a row these columns are written anew, and nothing else. Where
    `columns` makes them, it is asked for one fragment after the other, `at_once` of them in threads. In which version a
    row was last changed, which Lance could note, is not noted: it would take more room than narrow columns do, and be
    read with every version.
    """
    if not len(addresses):
        return change(key, version, addresses, [], metadata, properties) if metadata else version
    with _errors(key):
        table = open_table(key, version)
        owners, firsts = np.unique(addresses >> 32, return_index=True)

        updated: list[lance.FragmentMetadata] = []
        modified: set[int] = set()

        def write(owner: int, first: int, end: int) -> None:
            if callable(columns):
                given = columns(owner, first, end)
            else:
                given = {name: values[first:end] for name, values in columns.items()}
            values = [column.cast(table.schema.field(name).type) for name, column in given.items()]
            rows = pa.table([pa.array(addresses[first:end], pa.uint64()), *values], ["_rowaddr", *given])
            fragment, fields = table.get_fragment(owner).update_columns(rows, "_rowaddr")
            updated.append(fragment)
            modified.update(fields)

        try:
            with ThreadPoolExecutor(at_once) as pool:
                list(pool.map(write, owners, firsts, [*firsts[1:], len(addresses)]))
            operation = lance.LanceOperation.Update(
                updated_fragments=updated, fields_modified=sorted(modified), update_mode="rewrite_columns"
            )
            return _commit_after(key, version, [*_described(table, metadata or {}), operation], properties)
        except BaseException:
            bucket().remove([f"{key.rstrip('/')}/data/{fragment.files[-1].path}" for fragment in updated])
            raise


def restore(key: str, version: int, properties: Mapping[str, str]) -> int:
    """Makes a new version that is what an earlier one was; answers with it. `Aborted` as with `change`."""
    with _errors(key):
        operation = lance.LanceOperation.Restore(version)
        return _commit_next(key, operation, int(open_table(key).version), properties)


def tag(key: str, version: int, name: str) -> None:
    """Gives a version a name, by which it is kept whatever is cleaned away. Done again, it changes nothing."""
    with _errors(key):
        table = open_table(key, version)
        try:
            table.tags.create(name, version)
        except ValueError:
            # It has it already, or got it at this moment.
            if name not in table.tags.list():
                raise


def _described(table: lance.LanceDataset, metadata: Mapping[str, str]) -> list[lance.LanceOperation.BaseOperation]:
    """What brings metadata into the schema's, where it is not in there."""
    if all(table.schema.metadata.get(name.encode()) == value.encode() for name, value in metadata.items()):
        return []
    updates = lance.LanceOperation.UpdateMap(dict(metadata))
    return [lance.LanceOperation.UpdateConfig(schema_metadata_updates=updates)]


def _commit_after(
    key: str, version: int, operations: Sequence[lance.LanceOperation.BaseOperation], properties: Mapping[str, str]
) -> int:
    """Commits the operations on `version`, which is made the newest first where it is not."""
    made = int(open_table(key).version)
    restore = [lance.LanceOperation.Restore(version)] if made != version else []
    for operation in (*restore, *operations):
        made = _commit_next(key, operation, made, properties)
    return made


def _without(table: lance.LanceDataset, deleted: Integers) -> tuple[list[lance.FragmentMetadata], list[int]]:
    """The fragments that lose some of their rows, as they are then, and the ids of those that lose all."""
    updated, removed = [], []
    owner = deleted >> 32
    for fragment in np.unique(owner).tolist():
        offsets = np.sort(deleted[owner == fragment] & 0xFFFFFFFF)
        left = table.get_fragment(fragment).delete_rows(offsets.tolist())
        if left is None:
            removed.append(fragment)
        else:
            updated.append(left)
    return updated, removed


def _busy(key: str) -> errors.Aborted:
    return errors.Aborted(f"somebody else changes the table {key!r} at the same time", reason="TABLE_BUSY")


def _commit_next(
    key: str, operation: lance.LanceOperation.BaseOperation, version: int, properties: Mapping[str, str]
) -> int:
    """Commits directly after `version`. Lance alone would take in what others committed since."""
    transaction = lance.Transaction(version, operation, transaction_properties=dict(properties))
    busy = _busy(key)
    try:
        table = lance.LanceDataset.commit(_uri(key), transaction, storage_options=storage_options(), max_retries=0)
    except lance.commit.CommitConflictError as error:
        raise busy from error
    if table.version != version + 1:
        raise busy
    return int(table.version)


def row_ids(fragment: lance.LanceFragment) -> Integers | None:
    """The ids of all rows that a fragment was written with, deleted ones too. A row that came in later has a higher
    one. None where its table has none.
    """
    metadata = fragment.metadata.row_id_meta
    if metadata is None:
        return None
    ids: Integers = lance.fragment.RowIdSequence.from_inline_metadata(metadata).to_pyarrow().to_numpy().astype(np.int64)
    return ids


def with_row_ids(fragments: Sequence[str], ids: Integers) -> list[str]:
    """New fragments whose rows, one after the other, are rows written anew, which keep their ids.

    The change that adds them deletes the rows that had these ids.
    """
    kept = []
    first = 0
    for fragment in map(lance.FragmentMetadata.from_json, fragments):
        mine = lance.fragment.RowIdSequence(pa.array(ids[first : first + fragment.physical_rows], pa.uint64()))
        kept.append(json.dumps(replace(fragment, row_id_meta=mine.to_inline_metadata()).to_json()))
        first += fragment.physical_rows
    return kept


def clone(key: str, version: int, target: str) -> int:
    """Makes a table at `target` of a version of another one, whose files it reads from where they lie; answers with the
    version that it begins with, which has the same number.

    What is written to either of them is its own. Where the bucket is called otherwise one day, the files are not found.
    """
    with _errors(key):
        table = open_table(key, version)
        return int(table.shallow_clone(_uri(target), version, storage_options=storage_options()).version)


def compact(key: str, version: int, rows: int) -> int:
    """Makes a new version in which fragments with fewer rows than that, where they lie side by side, are as few as can
    be; answers with it, or with the same where there are none. `Aborted` where `version` is not the newest one.

    The rows stay in their order and keep their ids.
    """
    busy = _busy(key)
    with _errors(key):
        table = open_table(key)
        if table.version != version:
            raise busy
        try:
            made = table.optimize.compact_files(
                target_rows_per_fragment=rows, materialize_deletions=False, num_threads=1
            )
        except (OSError, RuntimeError, ValueError) as error:
            if CONFLICT.search(str(error)):
                raise busy from error
            raise
        if not made.fragments_removed:
            return version
        # Lance takes in what others committed meanwhile, which may never be seen.
        if open_table(key).version != version + COMPACTION_COMMITS:
            raise busy
    return version + COMPACTION_COMMITS


def versions_before(key: str, before: datetime) -> list[int]:
    """The versions of a table that were made before that time, the newest of all left out; in any order."""
    made = {}
    for path, time in bucket().modified(f"{key.rstrip('/')}/_versions/"):
        # Lance counts backwards, so that the newest comes first in a listing.
        if match := MANIFEST.search(path):
            made[LARGEST - int(match[1])] = time
    newest = max(made, default=0)
    return [version for version, time in made.items() if time < before and version != newest]


def remove_versions(key: str, versions: Sequence[int]) -> int:
    """Removes versions, and the files that no other one has; answers with the number of bytes.

    With them go files of no version that are seven days old, which a writer left that died. The newest version stays,
    and so do those that have a name. Others may read, write and clean at the same time. Cut short, it is ended by the
    next call: versions are listed until their files are gone. The files that tables of clones read are files of the
    version that each was made of, which the caller keeps.
    """
    with _errors(key):
        table = open_table(key)
        if versions:
            removed = table.cleanup_old_versions(versions=list(versions), error_if_tagged_old_versions=False)
        else:
            removed = table.cleanup_old_versions(older_than=NEVER, error_if_tagged_old_versions=False)
    return int(removed.bytes_removed)


def discard(key: str, fragments: Iterable[str]) -> None:
    """Removes fragments that no version has."""
    files = [file["path"] for fragment in fragments for file in json.loads(fragment)["files"]]
    bucket().remove([f"{key.rstrip('/')}/data/{file}" for file in files])


def _remove_deletions(key: str, fragments: Iterable[lance.FragmentMetadata]) -> None:
    paths = [one.deletion_file.path(one.id) for one in fragments if one.deletion_file]
    bucket().remove([f"{key.rstrip('/')}/{path}" for path in paths])


def rows_at(table: lance.LanceDataset, places: Integers, columns: Sequence[str]) -> pa.Table:
    """Some rows of a table, by their places from 0, ascending.

    Rows that lie near each other are read with those between them: reading one alone takes some 20 ms where it has
    lists of lists, a row of a run 50 µs.
    """
    names = list(columns)
    found = [table.schema.empty_table().select(names)]
    with _errors(table.uri):
        for window in np.split(places, np.flatnonzero(np.diff(places // WINDOW_ROWS)) + 1):
            if not len(window):
                continue
            first, span = int(window[0]), int(window[-1] - window[0]) + 1
            if span > len(window) * NEAR_ROWS:
                found.append(table.take(window.tolist(), columns=names))
                continue
            run = table.to_table(columns=names, offset=first, limit=span)
            found.append(run if span == len(window) else run.take(pa.array(window - first)))
    return pa.concat_tables(found)


def take(table: lance.LanceDataset, places: Integers, columns: Sequence[str]) -> pa.Table:
    """Rows of a table, by their places from 0 in any order, each read by itself and all at once."""
    with _errors(table.uri):
        return table.take(places.tolist(), columns=list(columns))


def rows_of(table: lance.LanceDataset, fragments: Sequence[lance.LanceFragment], columns: Sequence[str]) -> pa.Table:
    """All rows of some fragments of a table, one after the other."""
    with _errors(table.uri):
        # One file after the other costs mostly waiting, and all is kept anyway.
        scanner = table.scanner(
            columns=list(columns), fragments=list(fragments), scan_in_order=True, fragment_readahead=len(fragments)
        )
        return scanner.to_table()


def batches(
    table: lance.LanceDataset,
    columns: Sequence[str],
    rows: int,
    *,
    fragments: Sequence[lance.LanceFragment] | None = None,
    with_address: bool = False,
    ahead: int = 1,
) -> Iterator[pa.RecordBatch]:
    """All rows of a table, or of some fragments of it, in order, at most `rows` at a time, in memory that does not grow
    with it.

    `ahead`: fragments that are read before they are asked for; narrow columns come thrice as fast with some.
    """
    with _errors(table.uri):
        # Lance reads far ahead unless told otherwise.
        yield from table.to_batches(
            columns=list(columns),
            fragments=fragments,
            batch_size=rows,
            batch_readahead=2,
            fragment_readahead=ahead,
            with_row_address=with_address,
        )


def open_table(key: str, version: int | None = None) -> lance.LanceDataset:
    """The table at `key`, as it was at a version; None takes the newest. `NotFound` where there is none."""
    with _errors(key):
        return lance.dataset(_uri(key), version=version, storage_options=storage_options(), session=_cache())


@cache
def _cache() -> lance.Session:
    """What is known of the files of tables, for all that this process opens. Read anew, it takes longer than the data
    of a narrow column."""
    return lance.Session(index_cache_size_bytes=CACHE_BYTES, metadata_cache_size_bytes=CACHE_BYTES)


def storage_options() -> dict[str, str]:
    """What Lance needs to reach the bucket."""
    ours = settings()
    return {
        "aws_endpoint": f"{'https' if ours.store_secure else 'http'}://{ours.store_endpoint}",
        "aws_access_key_id": ours.store_access_key,
        "aws_secret_access_key": ours.store_secret_key.get_secret_value(),
        "aws_region": ours.store_region,
        "allow_http": str(not ours.store_secure).lower(),
        "aws_virtual_hosted_style_request": "false",
        "default_content_type": CONTENT_TYPE,
    }


def _uri(key: str) -> str:
    return f"s3://{settings().store_bucket}/{key.rstrip('/')}"


def _committed(key: str, properties: Mapping[str, str]) -> int | None:
    """The version that was committed with these properties; None where there is no table."""
    try:
        table = open_table(key)
    except errors.NotFound:
        return None
    with _errors(key):
        for version in table.versions():
            transaction = table.read_transaction(version["version"])
            if transaction and (transaction.transaction_properties or {}) == dict(properties):
                return int(version["version"])
    raise errors.AlreadyExists("table", key)


@contextmanager
def _errors(key: str) -> Iterator[None]:
    """Turns what Lance raises into our errors, as far as it can be told from the text."""
    endpoint = settings().store_endpoint
    try:
        yield
    except (ValueError, OSError, RuntimeError) as error:
        text = str(error)
        if AWAY.search(text):
            raise errors.Unavailable("object store", endpoint) from error
        if DENIED.search(text):
            raise errors.FailedPrecondition(
                f"the object store at {endpoint} refuses our access key", reason="STORE_ACCESS_DENIED"
            ) from error
        if ABSENT.search(text):
            raise errors.NotFound("table", key) from error
        raise
