"""Tables: datasets in the Lance format, in the bucket; every change is a new version.

Fragments are written by many steps and become visible by one commit. What the columns mean is said by
`framehouse.annotations.schema`; later changes are made by ingest, on the opened table.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

os.environ.setdefault("LANCE_LOG", "error")  # read as Lance is loaded, hence before

import lance
import lance.fragment
import pyarrow as pa

from framehouse.runtime import errors
from framehouse.runtime.config import settings

AWAY = re.compile(r"error sending request|connection closed|timed out|non-2xx status code: 5")
"""What Lance's errors say where the store does not answer; they have no types."""
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


def open_table(key: str, version: int | None = None) -> lance.LanceDataset:
    """The table at `key`, as it was at a version; None takes the newest. `NotFound` where there is none."""
    with _errors(key):
        return lance.dataset(_uri(key), version=version, storage_options=storage_options())


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
