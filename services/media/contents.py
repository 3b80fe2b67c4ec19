"""Known contents: what earlier imports found out about the same bytes, asked of ingest and told to it.

A content is named by the hash of its bytes. What is known of it is its row of MEDIA_SCHEMA, with the ranges where an
earlier import left it, and its remarks; nothing of it depends on its path.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec
import xxhash

from framehouse.v1 import ingest_pb2
from services.media.findings import Remark

BLOCK = 500
"""Contents of one call at most."""

JOB = re.compile(r"derived/([0-9a-f]{32})/")
"""How the key of an import's derived object begins."""

T = TypeVar("T")


class Known(NamedTuple):
    """What an earlier import found out."""

    row: dict[str, Any]
    remarks: tuple[Remark, ...]


def look_up(
    ask: Callable[[ingest_pb2.LookUpContentsRequest], ingest_pb2.LookUpContentsResponse],
    records: Sequence[dict[str, Any]],
    max_side: int,
    key: str,
) -> dict[str, Known]:
    """What is known of images with the sizes and checksums of these rows of a plan, by the hash of their bytes.

    `key` is that of what the shard derives, which names its job.
    """
    job = JOB.match(key)
    known = {}
    for some in _blocks(records):
        keys = [ingest_pb2.ContentKey(size=record["size"], crc32=record["crc32"]) for record in some]
        request = ingest_pb2.LookUpContentsRequest(keys=keys, max_side=max_side, job=f"jobs/{job[1]}" if job else "")
        for one in ask(request).contents:
            remarks = msgspec.json.decode(one.remarks, type=tuple[Remark, ...]) if one.remarks else ()
            known[one.hash.hex()] = Known(msgspec.json.decode(one.row), remarks)
    return known


def record(
    tell: Callable[[ingest_pb2.RecordContentsRequest], object], found: Sequence[ingest_pb2.Content], max_side: int
) -> None:
    """Tells ingest what was found out."""
    for some in _blocks(found):
        tell(ingest_pb2.RecordContentsRequest(contents=some, max_side=max_side))


def content(row: dict[str, Any], remarks: tuple[Remark, ...]) -> ingest_pb2.Content:
    """What there is to keep of an image that was looked at."""
    return ingest_pb2.Content(
        hash=bytes.fromhex(row["hash"]),
        size=row["bytes"],
        row=msgspec.json.encode(row),
        remarks=msgspec.json.encode(remarks) if remarks else b"",
    )


def derived_key(key: str, known: dict[str, Known]) -> str:
    """The object for what a shard derives, of which `key` is the beginning.

    A shard that is processed again may know more than at its first time, and then derives less. It must not write over
    what its first time may have told ingest of: what is known is a part of the name.
    """
    if not known:
        return key
    return f"{key}-{xxhash.xxh3_64_hexdigest(''.join(sorted(known)).encode())}"


def _blocks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[start : start + BLOCK] for start in range(0, len(items), BLOCK))
