"""The language of `order_by`: fields with commas between them, and desc after one whose largest values come first."""

from collections.abc import Collection
from typing import NamedTuple

from framehouse.runtime.errors import InvalidArgument
from services.ingest.filter_text import near


class Key(NamedTuple):
    """A field to order by."""

    name: str
    descending: bool


def parse(text: str, fields: Collection[str], many: str) -> list[Key]:
    """`size desc, path`, of `many` things that have these fields. `InvalidArgument` where it is wrong."""
    keys = []
    for part in text.split(",") if text.strip() else []:
        name, *direction = part.lower().split() or [""]
        if name not in fields:
            raise InvalidArgument(
                f"{many} have no order by {name!r}; {near(name, fields, 'there are')}", field="order_by"
            )
        if direction not in ([], ["asc"], ["desc"]):
            raise InvalidArgument(
                f"{part.strip()!r} is no order; write a field, and desc after it where the largest comes first",
                field="order_by",
            )
        keys.append(Key(name, direction == ["desc"]))
    return keys
