"""One image of a dataset: its name taken apart, its row read from the table, its bytes read from the bucket."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from framehouse.runtime.errors import FailedPrecondition, InvalidArgument, NotFound
from framehouse.store.bucket import Bucket

if TYPE_CHECKING:
    import pyarrow as pa

_IMAGE = re.compile(r"(users/[^/]+/datasets/[^/]+)/images/([0-9a-f]{32})")


def image_parts(name: str, field: str = "name") -> tuple[str, str]:
    """The dataset's name, which is not checked, and the id of an image."""
    if match := _IMAGE.fullmatch(name):
        return match[1], match[2]
    raise InvalidArgument(
        f"{name!r} is no image; write users/USER/datasets/DATASET/images/ID, where ID is the XXH3-128 of the image's "
        "path in the dataset, 32 hexadecimal digits",
        field=field,
    )


def read_row(key: str, version: int, name: str, columns: Mapping[str, str]) -> tuple[dict[str, Any], "pa.Schema"]:
    """The row of the image of that name, as Python values, and the schema of its table.

    `columns`: an SQL expression for each value. A column of its own name that came after the table was made is None.
    `NotFound` where the table has no such image.
    """
    from framehouse.store.tables import open_table

    dataset, image = image_parts(name)
    table = open_table(key, version)
    present = {value: text for value, text in columns.items() if value != text or value in table.schema.names}
    found: list[dict[str, Any]] = table.to_table(columns=present, filter=f"id = '{image}'").to_pylist()
    if not found:
        raise NotFound(
            "image", name, f"{dataset} has none of that id, which is the XXH3-128 of an image's path in the dataset"
        )
    return dict.fromkeys(columns) | found[0], table.schema


def read_bytes(bucket: Bucket, place: Mapping[str, Any], path: str) -> bytes:
    """The bytes of an image that lie at `place`, whose fields are those of `schema.RANGE`, checked."""
    import pyarrow as pa

    from framehouse.store.packs import read_entries

    where = {name: [place[name]] for name in ("object", "stored_size", "size", "method", "crc32")}
    ((_, entry),) = read_entries(bucket, pa.table({**where, "header_offset": [-1], "data_offset": [place["offset"]]}))
    if entry.damage:
        raise FailedPrecondition(
            f"the bytes of {path!r} are damaged in the store: {entry.damage}; upload them again", reason="IMAGE_DAMAGED"
        )
    return entry.data
