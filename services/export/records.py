"""What is kept of exports: their records, in which order they were made, which request each answers, how they end.

All of it lies beside the archives, for there is no database:

- `exports/<id>/export.pb`: the record. An export is there exactly as long as its record is.
- `exports/records/<time>.<id>.<owner>.<user>.<dataset>`: empty but for its name, by which the newest are listed first.
- `exports/by-request/<fingerprint>`: the name of the export that was made of a request last.
"""

import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import groupby, islice
from typing import NamedTuple

import xxhash

from framehouse.runtime.errors import InvalidArgument, NotFound
from framehouse.runtime.page_tokens import not_ours, token_of, values_of
from framehouse.store.bucket import Bucket
from framehouse.v1 import dataset_pb2, export_pb2

NAME = re.compile(r"exports/([0-9a-f]{32})")
DATASET = re.compile(r"users/([^/]+)/datasets/([^/]+)")
LISTED = "exports/records/"
BY_REQUEST = "exports/by-request/"
LAST_MILLISECOND = 10**13 - 1

WRITTEN_AS = 1
"""Counted up where the same request of the same data makes other files than it did."""
NEARLY_OVER = 0.1
"""Part of its life in which an export is given to nobody else."""
KEPT_LONGEST = timedelta(days=30)
ORPHANED = timedelta(days=1)
"""Files that were last written so long ago and have no record belong to a job that died."""

PAGE_BYTES = 3_000_000
READS_AT_ONCE = 8

Visible = Callable[[str, str], bool]
"""Whether the caller may see what belongs to an owner and is of a dataset of a user, either of them empty for none."""


class Listed(NamedTuple):
    """What the name of an object in `LISTED` says."""

    key: str
    id: str
    owner: str
    user: str
    slug: str

    @property
    def dataset(self) -> str:
        return f"users/{self.user}/datasets/{self.slug}" if self.user else ""


# --- one export


def save(bucket: Bucket, export: export_pb2.Export, fingerprint: str) -> None:
    """Makes a finished export known; `fingerprint` is that of its request, empty where it is to answer no other."""
    bucket.put(_record(export.name), export.SerializeToString())
    bucket.put(_listed_key(export), b"\n")
    if fingerprint:
        bucket.put(BY_REQUEST + fingerprint, export.name.encode())


def read(bucket: Bucket, name: str, field: str = "name") -> export_pb2.Export:
    """A finished export, as long as it lives. `NotFound` where there is none of that name."""
    if not NAME.fullmatch(name):
        raise InvalidArgument(f"{name!r} is no export; write exports/EXPORT", field=field)
    export = _read(bucket, name)
    if export is None or _end(export) <= datetime.now(UTC):
        raise NotFound("export", name, "it may have expired; start one with ExportDataset")
    return export


def remove(bucket: Bucket, name: str) -> None:
    """Removes an export with its files, or what there is of it. Safe to call again."""
    export = _read(bucket, name)
    bucket.remove([_record(name)])
    if export is not None:
        bucket.remove([_listed_key(export)])
    bucket.remove_prefix(f"{name}/")


def owner_and_user(export: export_pb2.Export) -> tuple[str, str]:
    """The user who made it and the user whose dataset it is of, without `users/`; empty for none."""
    of = DATASET.fullmatch(export.dataset)
    return export.owner.removeprefix("users/"), of[1] if of else ""


def _read(bucket: Bucket, name: str) -> export_pb2.Export | None:
    try:
        return export_pb2.Export.FromString(bucket.get(_record(name)))
    except NotFound:
        return None


def _record(name: str) -> str:
    return f"{name}/export.pb"


def _listed_key(export: export_pb2.Export) -> str:
    of = DATASET.fullmatch(export.dataset)
    user, slug = of.groups() if of else ("", "")
    time = LAST_MILLISECOND - export.create_time.ToMilliseconds()
    return f"{LISTED}{time:013d}.{export.name.removeprefix('exports/')}.{owner_and_user(export)[0]}.{user}.{slug}"


def _end(export: export_pb2.Export) -> datetime:
    return export.expire_time.ToDatetime(UTC)


# --- the same asked again


def fingerprint(request: export_pb2.ExportDatasetRequest, table: dataset_pb2.Table) -> str:
    """What equal requests of equal data have in common; empty for one whose answer nobody else can use."""
    if request.write.image_urls:
        return ""  # the URLs in it end
    asked = export_pb2.ExportDatasetRequest()
    asked.CopyFrom(request)
    for field in ("request_id", "keep_seconds", "recipe"):
        asked.ClearField(field)
    said = asked.SerializeToString(deterministic=True)
    data = json.dumps([WRITTEN_AS, table.key, table.version, table.task, table.source_format]).encode()
    return xxhash.xxh3_128_hexdigest(data + b"\0" + said)


def find(bucket: Bucket, request: export_pb2.FindExportRequest, keep: timedelta) -> export_pb2.Export:
    """The export that the same request made of the same data, from now on kept for `keep` at least; or an empty one."""
    nothing = export_pb2.Export()
    mark = fingerprint(request.request, request.table)
    if not mark:
        return nothing
    try:
        name = bucket.get(BY_REQUEST + mark).decode()
    except NotFound:
        return nothing
    export = _read(bucket, name)
    if export is None:
        return nothing
    now, end = datetime.now(UTC), _end(export)
    if end - now <= NEARLY_OVER * (end - export.create_time.ToDatetime(UTC)):
        return nothing
    if now + keep > end:
        export.expire_time.FromDatetime(now + keep)
        bucket.put(_record(name), export.SerializeToString())
    return export


# --- all of them


def page(
    bucket: Bucket, request: export_pb2.ListExportsRequest, size: int, visible: Visible
) -> export_pb2.ListExportsResponse:
    """Those that the caller may see, newest first."""
    after = _decode(request.page_token, request.dataset) if request.page_token else ""
    mine = (
        one
        for one in _listed(bucket, after)
        if (not request.dataset or one.dataset == request.dataset) and visible(one.owner, one.user)
    )
    response = export_pb2.ListExportsResponse()
    now, room = datetime.now(UTC), PAGE_BYTES
    last = ""
    with ThreadPoolExecutor(READS_AT_ONCE) as pool:
        while some := list(islice(mine, min(size - len(response.exports), 100) or 1)):
            if len(response.exports) == size:
                response.next_page_token = _encode(request.dataset, last)
                return response
            for one, export in zip(some, pool.map(lambda item: _read(bucket, f"exports/{item.id}"), some), strict=True):
                if export is not None and _end(export) > now:
                    room -= export.ByteSize()
                    if room < 0 and response.exports:
                        response.next_page_token = _encode(request.dataset, last)
                        return response
                    response.exports.append(export)
                last = one.key
    return response


def sweep(bucket: Bucket, now: datetime) -> int:
    """Removes exports that have ended, and what is left of those whose job died; answers with how many they were."""
    removed = 0
    known: set[str] = set()
    for one in list(_listed(bucket, "")):
        export = _read(bucket, f"exports/{one.id}")
        if export is None or _listed_key(export) != one.key:
            bucket.remove([one.key])
        elif _end(export) <= now:
            remove(bucket, export.name)
            removed += 1
        else:
            known.add(one.id)
    objects = (item for item in bucket.modified("exports/") if NAME.match(item[0]))
    for name, group in groupby(objects, key=lambda item: item[0].rpartition("/")[0]):
        files = list(group)
        if name.removeprefix("exports/") in known or max(time for _, time in files) > now - ORPHANED:
            continue
        export = _read(bucket, name)
        if export is None or _end(export) <= now:
            remove(bucket, name)
            removed += 1
        else:
            bucket.put(_listed_key(export), b"\n")
    bucket.remove([key for key, time in bucket.modified(BY_REQUEST) if time < now - KEPT_LONGEST - ORPHANED])
    return removed


def _listed(bucket: Bucket, after: str) -> Iterator[Listed]:
    for key in bucket.keys(LISTED, after):
        parts = key.removeprefix(LISTED).split(".")
        if len(parts) == 5:
            yield Listed(key, *parts[1:])


def _encode(dataset: str, key: str) -> str:
    return token_of([dataset, key.removeprefix(LISTED)])


def _decode(token: str, dataset: str) -> str:
    try:
        theirs, key = values_of(token)
    except (ValueError, TypeError):
        raise not_ours() from None
    if theirs != dataset:
        raise InvalidArgument("page_token belongs to another dataset; start again without it", field="page_token")
    return f"{LISTED}{key}"
