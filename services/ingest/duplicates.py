"""Images of a dataset that have the same bytes, or that look alike, found by their hashes: no image is read.

Pages go through one version of the table, whatever becomes of the dataset meanwhile.
"""

from functools import lru_cache
from typing import TYPE_CHECKING

from framehouse.annotations.splits import split_rank
from framehouse.runtime.errors import InvalidArgument
from framehouse.runtime.page_tokens import not_ours, token_of, values_of
from framehouse.v1 import dataset_pb2
from services.ingest.catalogue import Catalogue
from services.ingest.datasets import find, page_size

if TYPE_CHECKING:
    import pyarrow as pa

PATHS = 100
"""Paths of a group that are named."""
FARTHEST = 8
"""Bits in which the looks of two images may differ at most."""
ROWS = 65536
"""Rows of the table that are looked at at once."""


def list_duplicates(
    catalogue: Catalogue, request: dataset_pb2.ListDuplicatesRequest
) -> dataset_pb2.ListDuplicatesResponse:
    """What `DatasetService.ListDuplicates` promises."""
    size = page_size(request.page_size)
    if not 0 <= request.distance <= FARTHEST:
        raise InvalidArgument(
            f"the distance is {request.distance}; "
            f"it is 0 for the same bytes, or 1 to {FARTHEST} for images that look alike",
            field="distance",
        )
    row = find(catalogue, request.parent, "parent")
    query: list[str | int] = [row.table_key, request.distance]
    version, first = _decode(request.page_token, query) if request.page_token else (row.table_version, 0)
    if request.distance:
        total, described = _alike(row.table_key, version, request.distance, slice(first, first + size))
    else:
        groups = _groups(row.table_key, version)
        total, described = groups.num_rows, _described(row.table_key, version, groups.slice(first, size))
    response = dataset_pb2.ListDuplicatesResponse(groups=described, total_size=total)
    if first + size < total:
        response.next_page_token = _encode(query, version, first + size)
    return response


@lru_cache(maxsize=4)
def _groups(table_key: str, version: int) -> "pa.Table":
    """Hash and number of images of every group, the largest first; kept for the pages that follow."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from framehouse.store.tables import batches, open_table

    hashes = pa.chunked_array(
        (batch["hash"] for batch in batches(open_table(table_key, version), ["hash"], ROWS)), pa.string()
    )
    counted = pa.table({"hash": hashes.drop_null()}).group_by("hash").aggregate([([], "count_all")])
    groups = counted.filter(pc.greater(counted["count_all"], 1))
    return groups.sort_by([("count_all", "descending"), ("hash", "ascending")])


def _described(table_key: str, version: int, groups: "pa.Table") -> list[dataset_pb2.DuplicateGroup]:
    """The groups of a page with what their images are called and where they are."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from framehouse.store.tables import batches, open_table

    if not groups.num_rows:
        return []
    wanted = groups["hash"].combine_chunks()
    found = []
    for batch in batches(open_table(table_key, version), ["path", "hash", "split", "bytes"], ROWS):
        if (some := batch.filter(pc.is_in(batch["hash"], wanted))).num_rows:
            found.append(some)
    images = pa.Table.from_batches(found).sort_by("path").group_by("hash", use_threads=False)
    rows = images.aggregate([("path", "list"), ("split", "distinct"), ("bytes", "first")]).to_pylist()
    by_hash = {row["hash"]: row for row in rows}
    return [
        dataset_pb2.DuplicateGroup(
            hash=group["hash"],
            size=by_hash[group["hash"]]["bytes_first"],
            image_count=group["count_all"],
            paths=by_hash[group["hash"]]["path_list"][:PATHS],
            splits=sorted(by_hash[group["hash"]]["split_distinct"], key=split_rank),
        )
        for group in groups.to_pylist()
    ]


def _alike(table_key: str, version: int, distance: int, page: slice) -> tuple[int, list[dataset_pb2.DuplicateGroup]]:
    """How many groups look alike, and those of a page, the largest first, then in the order of the table."""
    import numpy as np
    import pyarrow as pa

    from services.ingest.columns import snapshot
    from services.ingest.looks import groups_of, looks_of

    table = snapshot(table_key, version)
    table.read(["look", "split", "size", "path"], table.parts)
    groups = groups_of(table, distance)
    order = np.argsort(groups, kind="stable")
    counts = np.bincount(groups)
    ends = np.cumsum(counts)
    firsts = order[ends - counts]
    several = np.flatnonzero(counts > 1)
    several = several[np.lexsort((firsts[several], -counts[several]))]
    codes, splits = table.strings("split")
    sizes, paths, looks = table.numbers("size"), table.paths(), looks_of(table)
    found = []
    for group in several[page].tolist():
        rows = order[ends[group] - counts[group] : ends[group]]
        named = pa.table({"path": paths.take(pa.array(rows)), "row": rows}).sort_by("path")
        first = named["row"][0].as_py()
        found.append(
            dataset_pb2.DuplicateGroup(
                hash=f"{looks[first]:016x}",
                size=max(int(sizes[first]), 0),
                image_count=len(rows),
                paths=named["path"][:PATHS].to_pylist(),
                splits=sorted({splits[code] for code in set(codes[rows].tolist())}, key=split_rank),
            )
        )
    return len(several), found


def _encode(query: list[str | int], version: int, first: int) -> str:
    return token_of([*query, version, first])


def _decode(token: str, query: list[str | int]) -> tuple[int, int]:
    """The version that the first page was of, and the group to go on with."""
    try:
        *asked, version, first = values_of(token)
        version, first = int(version), int(first)
    except (ValueError, TypeError):
        raise not_ours() from None
    if asked != query or first < 0:
        raise InvalidArgument(
            "page_token belongs to another dataset or distance; start again without it", field="page_token"
        )
    return version, first
