"""Lists datasets: filtered and ordered by the database, in pages that begin after the last dataset of the one before.

So a page stays right while datasets come and go. Filters are in the language of `filter_text`.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import xxhash
from sqlalchemy import ColumnElement, and_, false, func, not_, or_, select, true
from sqlalchemy.orm import InstrumentedAttribute

from framehouse.runtime.access import CALLER, may_read
from framehouse.runtime.errors import InvalidArgument
from framehouse.runtime.page_tokens import not_ours, token_of, values_of
from framehouse.v1 import dataset_pb2
from services.ingest import order_text
from services.ingest.catalogue import Catalogue, DatasetRow, UtcDateTime
from services.ingest.datasets import message, page_size
from services.ingest.filter_text import COMPARE, DIGITS, All, Either, Node, Not, Restriction, near, parse, wrong
from services.ingest.licences import LICENCES
from services.ingest.names import user_of

EVERYBODY = "users/-"

NUMBERS: Mapping[str, InstrumentedAttribute[int]] = {
    "images": DatasetRow.image_count,
    "annotations": DatasetRow.annotation_count,
    "bytes": DatasetRow.image_bytes,
    "stars": DatasetRow.star_count,
}
TIMES: Mapping[str, InstrumentedAttribute[datetime]] = {
    "created": DatasetRow.create_time,
    "updated": DatasetRow.update_time,
}
FIELDS = ("name", "display_name", "license", "visibility", "task", *NUMBERS, "starred", "format", *TIMES)
"""What a filter can ask for."""
ORDERS: Mapping[str, tuple[InstrumentedAttribute[Any], ...]] = {
    **{name: (column,) for name, column in (*TIMES.items(), *NUMBERS.items())},
    "name": (DatasetRow.user, DatasetRow.slug),
}
"""What can be ordered by."""
TASKS = {name.removeprefix("TASK_").lower(): number for name, number in dataset_pb2.Task.items() if number}

_ESCAPE = "\\"


class Key(NamedTuple):
    """A column to order by."""

    column: InstrumentedAttribute[Any]
    descending: bool


def list_datasets(catalogue: Catalogue, request: dataset_pb2.ListDatasetsRequest) -> dataset_pb2.ListDatasetsResponse:
    """What `DatasetService.ListDatasets` promises."""
    size = page_size(request.page_size)
    keys = _order(request.order_by)
    query = select(DatasetRow).where(_visible(request), _condition(parse(request.filter)))
    if request.page_token:
        query = query.where(_after(keys, _decode(request, keys)))
    query = query.order_by(*(key.column.desc() if key.descending else key.column for key in keys)).limit(size + 1)
    with catalogue.session() as session:
        rows = list(session.scalars(query))
    response = dataset_pb2.ListDatasetsResponse(datasets=[message(row) for row in rows[:size]])
    if len(rows) > size:
        response.next_page_token = _encode(request, keys, rows[size - 1])
    return response


def _visible(request: dataset_pb2.ListDatasetsRequest) -> ColumnElement[bool]:
    """What the caller may see of what is asked for. The trash is its owner's alone."""
    trashed = DatasetRow.delete_time.is_not(None)
    asked = and_(trashed if request.trash else not_(trashed))
    public = false() if request.trash else DatasetRow.public
    caller = CALLER.get()
    if request.parent == EVERYBODY:
        mine = true() if caller is None or caller.admin else DatasetRow.user == caller.user
    else:
        user = user_of(request.parent)
        asked = and_(asked, DatasetRow.user == user)
        mine = true() if may_read(user) else false()
    return and_(asked, or_(mine, public))


# --- filters


def _condition(node: Node) -> ColumnElement[bool]:
    match node:
        case Restriction():
            return _restriction(node)
        case Not(inner):
            return not_(_condition(inner))
        case All(nodes):
            return and_(true(), *map(_condition, nodes))
        case Either(nodes):
            return or_(false(), *map(_condition, nodes))


def _restriction(asked: Restriction) -> ColumnElement[bool]:
    field = asked.field.lower()
    if field not in FIELDS:
        raise wrong(asked.column, f"there is no field {asked.field!r}; {near(asked.field, FIELDS, 'there are')}")
    if field not in NUMBERS and field not in TIMES and asked.operator in ("<", "<=", ">", ">="):
        raise wrong(asked.operator_column, f"{field} is neither a number nor a time; compare it with =, != or :")
    if asked.operator == "!=":
        return not_(_holds(field, asked._replace(operator="=")))
    return _holds(field, asked)


def _holds(field: str, asked: Restriction) -> ColumnElement[bool]:
    text = str(asked.value)
    is_presence = asked.operator == ":" and asked.value.is_anything
    match field:
        case "name":
            full = "users/" + DatasetRow.user + "/datasets/" + DatasetRow.slug
            return _matches(full if "/" in text else DatasetRow.slug, asked)
        case "display_name":
            return _matches(DatasetRow.display_name, asked)
        case "license":
            if is_presence:
                return DatasetRow.license != ""
            return DatasetRow.license == (_one_of(asked, {one: one for one in LICENCES}) if text else "")
        case "visibility":
            return DatasetRow.public.is_(_one_of(asked, {"private": False, "public": True}))
        case "task":
            return DatasetRow.task != 0 if is_presence else DatasetRow.task == (_one_of(asked, TASKS) if text else 0)
        case "starred":
            return DatasetRow.starred.is_(_one_of(asked, {"false": False, "true": True}))
        case "format":
            return DatasetRow.source_format != "" if is_presence else DatasetRow.source_format == text.lower()
        case "created" | "updated":
            return _compared(asked, TIMES[field], _time(asked))
    if not text.isascii() or not text.isdigit() or len(text) > DIGITS:
        raise wrong(asked.value.column, f"{text!r} is no whole number, which {field} is compared with")
    return _compared(asked, NUMBERS[field], int(text))


def _compared(asked: Restriction, column: InstrumentedAttribute[Any], value: Any) -> ColumnElement[bool]:
    condition: ColumnElement[bool] = COMPARE[asked.operator](column, value)
    return condition


def _matches(column: Any, asked: Restriction) -> ColumnElement[bool]:
    """With `=` all of it, in which an asterisk stands for any letters; with `:` a part of it. In any case."""
    parts = [part.lower() for part in asked.value.parts]
    if asked.operator == ":":
        parts = ["", *parts, ""]
    escaped = [
        part.replace(_ESCAPE, _ESCAPE * 2).replace("%", rf"{_ESCAPE}%").replace("_", rf"{_ESCAPE}_") for part in parts
    ]
    return func.lower(column).like("%".join(escaped), escape=_ESCAPE)


def _one_of(asked: Restriction, known: Mapping[str, Any]) -> Any:
    folded = {name.lower(): value for name, value in known.items()}
    text = str(asked.value)
    if text.lower() not in folded:
        raise wrong(asked.value.column, f"no {asked.field.lower()} is {text!r}; {near(text, known, 'there are')}")
    return folded[text.lower()]


def _time(asked: Restriction) -> datetime:
    text = str(asked.value)
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise wrong(
            asked.value.column, f'{text!r} is no time; write one as "2026-01-31T12:00:00Z", or a day as 2026-01-31'
        ) from None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)


# --- order and pages


def _order(text: str) -> list[Key]:
    """The columns of `stars desc, name`, and the uid, so that no two datasets are equal."""
    said = order_text.parse(text if text.strip() else "created desc", ORDERS, "datasets")
    keys = [Key(column, one.descending) for one in said for column in ORDERS[one.name]]
    return [*keys, Key(DatasetRow.uid, keys[-1].descending)]


def _after(keys: list[Key], last: list[Any]) -> ColumnElement[bool]:
    """What comes after a dataset with these values: larger in one of them, and equal in those before it."""
    ways = []
    for number, key in enumerate(keys):
        before = [one.column == value for one, value in zip(keys[:number], last, strict=False)]
        larger = key.column < last[number] if key.descending else key.column > last[number]
        ways.append(and_(*before, larger))
    return or_(*ways)


def _query(request: dataset_pb2.ListDatasetsRequest) -> str:
    """What all pages of a listing have in common, in short."""
    asked = json.dumps([request.parent, request.filter, request.order_by, request.trash])
    return xxhash.xxh3_128_hexdigest(asked.encode())


def _encode(request: dataset_pb2.ListDatasetsRequest, keys: list[Key], row: DatasetRow) -> str:
    values = [getattr(row, key.column.key) for key in keys]
    plain = [value.isoformat() if isinstance(value, datetime) else value for value in values]
    return token_of([_query(request), *plain])


def _decode(request: dataset_pb2.ListDatasetsRequest, keys: list[Key]) -> list[Any]:
    try:
        query, *values = values_of(request.page_token)
        if query != _query(request):
            raise InvalidArgument(
                "page_token belongs to a listing with another parent, filter, order or trash; start again without it",
                field="page_token",
            )
        return [_value(key, value) for key, value in zip(keys, values, strict=True)]
    except (ValueError, TypeError):
        raise not_ours() from None


def _value(key: Key, plain: Any) -> Any:
    if isinstance(key.column.type, UtcDateTime):
        return datetime.fromisoformat(plain)
    return key.column.type.python_type(plain)
