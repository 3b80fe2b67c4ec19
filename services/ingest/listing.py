"""Lists the images of a dataset: filtered and ordered on columns in memory, page by page of one version of the table.

Rows of a page are made of columns in memory, too: to read a hundred rows from all over a table takes as long as to read
the parts of it that they are in. Of a table that is too large for that, the rows alone are read.
"""

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import xxhash
from numpy.typing import NDArray

from framehouse.runtime.errors import InvalidArgument, NotFound
from framehouse.runtime.page_tokens import not_ours, token_of, values_of
from framehouse.store.signed_urls import end_of_life
from framehouse.store.tables import rows_at, take
from framehouse.v1 import dataset_pb2
from services.ingest.catalogue import Catalogue
from services.ingest.columns import BUDGET, MISSING, PLACES, Part, Snapshot, completed, remembered, snapshot
from services.ingest.datasets import find, page_size
from services.ingest.datasets import message as dataset_message
from services.ingest.filters import selected
from services.ingest.images import ANNOTATIONS, add_annotations, kinds_shown, message
from services.ingest.ordering import ordered, parse_order
from services.ingest.versions import resolve

PAGE_BYTES = 3_000_000
"""Bytes of an answer, about; a page has fewer images where they have many annotations."""
FULL_IMAGES = 100
"""Images whose annotations are read at once."""

NUMBERS = {"width": "width", "height": "height", "bytes": "size", "orientation": "orientation", "frame": "frame"}
"""Columns in memory by the columns of the table that they are."""
SHOWN = (*NUMBERS.values(), "state", "split", "format", "import", "path", "id", "hash", "annotations", "label", *PLACES)
"""Columns in memory that an image is made of."""
READ = (*NUMBERS, "state", "split", "format", "import_job", "path", "id", "hash", "kind", "label", *PLACES)
"""Columns of the table that it is made of."""
ROW_BYTES = 250
"""Of them in memory, about."""
FEW_PARTS = 2
"""So many parts of a table that is too large for memory are read whole for a page."""
PART_ROWS = 65536
"""Larger ones are not."""


class Page(NamedTuple):
    """Where a page begins: what its token says."""

    version: int
    """Of the table, that of the first page."""
    first: int


def list_images(catalogue: Catalogue, request: dataset_pb2.ListImagesRequest) -> dataset_pb2.ListImagesResponse:
    """What `DatasetService.ListImages` promises."""
    size = page_size(request.page_size)
    keys = parse_order(request.order_by)
    dataset = find(catalogue, request.parent, "parent")
    if request.version < 0:
        raise InvalidArgument("versions are numbered from 1; 0 is the head", field="version")
    where = resolve(catalogue, dataset, request.version)
    key, version = where.key, where.version
    query = _query(key, request)
    page = Page(version, 0)
    if request.page_token:
        page = _decode(request.page_token, query, version)
    try:
        table = snapshot(key, page.version)
    except NotFound:
        if not request.page_token:
            raise
        raise InvalidArgument(
            "the version of the dataset that page_token belongs to is gone; start again without it", field="page_token"
        ) from None
    rows = remembered(f"rows {table.identity} {query}", lambda: _rows(catalogue, table, request.filter, keys))
    response = dataset_pb2.ListImagesResponse(total_size=len(rows))
    kinds = kinds_shown(request.view, dataset.task)
    # That of the head would allow to change what is not shown.
    is_head = (key, page.version) == (dataset.table_key, dataset.table_version)
    etag = dataset_message(dataset).etag if is_head else ""
    images = _images(request.parent, table, rows[page.first : page.first + size], kinds, etag)
    response.images.extend(fitting(images))
    shown = len(response.images)
    if page.first + shown < len(rows):
        response.next_page_token = _encode(Page(page.version, page.first + shown), query)
    return response


def fitting(images: Iterable[dataset_pb2.Image]) -> Iterator[dataset_pb2.Image]:
    """The first images, as many as `PAGE_BYTES` hold, and one at least."""
    space = PAGE_BYTES
    for number, image in enumerate(images):
        space -= image.ByteSize()
        if space < 0 and number:
            return
        yield image


def _rows(catalogue: Catalogue, table: Snapshot, filter: str, keys: list[Any]) -> NDArray[np.int32]:
    """The rows that a filter selects, in order."""
    mask = selected(table, filter, catalogue)
    if not keys:
        came = table.came
        return (np.flatnonzero(mask) if came is None else came[mask[came]]).astype(np.int32)
    order = ordered(table, keys)
    return order[mask[order]]


def _images(
    dataset: str, table: Snapshot, rows: NDArray[np.int32], kinds: frozenset[int], etag: str
) -> Iterator[dataset_pb2.Image]:
    end = end_of_life(time.time())
    step = FULL_IMAGES if kinds else max(len(rows), 1)
    for first in range(0, len(rows), step):
        some = rows[first : first + step]
        annotations = _annotations(table, some) if kinds else []
        for place, row in enumerate(_shown(table, some)):
            image = message(dataset, row, table.labels, end, etag)
            if kinds:
                add_annotations(image, annotations[place], table.labels, kinds)
            yield image


def _annotations(table: Snapshot, rows: NDArray[np.int32]) -> list[dict[str, Any]]:
    order = np.argsort(rows)
    found = rows_at(table.table, rows[order].astype(np.int64), ANNOTATIONS).take(np.argsort(order))
    answer: list[dict[str, Any]] = found.to_pylist()
    return answer


def _shown(table: Snapshot, rows: NDArray[np.int32]) -> list[dict[str, Any]]:
    """Rows as `images.message` takes them."""
    owners = np.searchsorted(table.starts, rows, "right") - 1
    parts = [table.parts[number] for number in np.unique(owners)]
    if not _are_near(table, parts):
        present = [name for name in READ if name in table.table.schema.names]
        found: list[dict[str, Any]] = completed(take(table.table, rows.astype(np.int64), present), READ).to_pylist()
        for row in found:
            row["annotation_count"] = len(row["kind"])
        return found
    columns = dict(zip((part.first for part in parts), table.read(SHOWN, parts), strict=True))
    return [
        _row(columns[part.first], int(row) - part.first)
        for row, part in zip(rows, (table.parts[number] for number in owners), strict=True)
    ]


def _are_near(table: Snapshot, parts: Sequence[Part]) -> bool:
    """Whether parts are worth to be read whole: they will be asked for again, or are few, or are there."""
    if table.rows * ROW_BYTES <= BUDGET:
        return True
    missing = [part for part in parts if not table.kept(SHOWN, part)]
    return len(missing) <= FEW_PARTS and all(part.rows <= PART_ROWS for part in missing)


def _row(columns: dict[str, Any], row: int) -> dict[str, Any]:
    """One row of a part."""
    numbers = {name: int(columns[column][row]) for name, column in NUMBERS.items()}
    shown: dict[str, Any] = {name: None if number == MISSING else number for name, number in numbers.items()}
    for name in ("split", "format"):
        shown[name] = columns[name].names[columns[name].codes[row]]
    imported = columns["import"]
    shown["import_job"] = imported.names[imported.codes[row]]
    for name in ("path", *PLACES):
        shown[name] = columns[name][row].as_py()
    for name in ("id", "hash"):
        shown[name] = columns[name][row].tobytes().hex() if columns[name][row].any() else None
    label = columns["label"]
    shown["label"] = label.values[label.offsets[row] : label.offsets[row + 1]].tolist()
    shown["annotation_count"] = int(columns["annotations"][row])
    shown["state"] = int(columns["state"][row])
    return shown


# --- page tokens


def _query(table_key: str, request: dataset_pb2.ListImagesRequest) -> str:
    """What all pages of a listing have in common, in short."""
    asked = json.dumps([table_key, request.parent, request.filter, request.order_by, request.version])
    return xxhash.xxh3_128_hexdigest(asked.encode())


def _encode(page: Page, query: str) -> str:
    return token_of([query, *page])


def _decode(token: str, query: str, head: int) -> Page:
    try:
        theirs, version, first = values_of(token)
        if not (isinstance(version, int) and isinstance(first, int)) or not 1 <= version <= head or first < 0:
            raise ValueError
    except (ValueError, TypeError):
        raise not_ours() from None
    if theirs != query:
        raise InvalidArgument(
            "page_token belongs to a listing with another parent, filter, order or version; start again without it",
            field="page_token",
        )
    return Page(version, first)
