"""What commands print: tables and lines for people, one JSON document for programs."""

import base64
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from google.longrunning import operations_pb2
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from framehouse.v1 import annotation_pb2, conversion_pb2

NAMED = 3
"""Classes that are named in a row of the loss report."""

SEVERITIES = {
    annotation_pb2.SEVERITY_ERROR: "error",
    annotation_pb2.SEVERITY_WARNING: "warning",
    annotation_pb2.SEVERITY_INFO: "note",
}


def print_json(document: object) -> None:
    """The document, alone, on standard output."""
    json.dump(document, sys.stdout, indent=2, ensure_ascii=False)
    print()


def print_json_list(head: Mapping[str, object], name: str, items: Iterable[object]) -> None:
    """One document of the fields of `head` and a list, which is written while it is read."""
    sys.stdout.write(json.dumps(head, indent=2).removesuffix("\n}") + f',\n  "{name}": [')
    for number, item in enumerate(items):
        sys.stdout.write(("," if number else "") + "\n    " + json.dumps(item, ensure_ascii=False))
    print("\n  ]\n}")


def plain(message: Message) -> dict[str, Any]:
    """A message as the HTTP face has it, under the contract's JSON names, but with all fields and numbers as numbers.

    Protobuf's own JSON writes 64-bit numbers as strings and leaves zeros out. A message that is not set is null.
    """
    return {field.json_name: _value(message, field) for field in message.DESCRIPTOR.fields}


def response(operation: operations_pb2.Operation) -> Message:
    """What a job that ended well answered with."""
    from framehouse.v1 import dataset_pb2, export_pb2, ingest_pb2

    kinds: tuple[type[Message], ...] = (
        ingest_pb2.ImportDatasetResponse,
        ingest_pb2.Upload,
        conversion_pb2.ConvertArchiveResponse,
        export_pb2.ExportDatasetResponse,
        dataset_pb2.Version,
    )
    answer = next(kind() for kind in kinds if operation.response.Is(kind.DESCRIPTOR))
    operation.response.Unpack(answer)
    return answer


def _value(message: Message, field: Any) -> Any:
    value = getattr(message, field.name)
    if field.is_repeated:
        return [_scalar(one, field) for one in value]
    if field.has_presence and not message.HasField(field.name):
        return None
    return _scalar(value, field)


def _scalar(value: Any, field: Any) -> Any:
    if isinstance(value, Timestamp):
        return value.ToJsonString()
    if isinstance(value, Message):
        return plain(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if field.enum_type is not None and value in field.enum_type.values_by_number:
        return field.enum_type.values_by_number[value].name
    return value


def word(kind: EnumTypeWrapper, value: int) -> str:
    """How people say a value of an enumeration: `verified empty` of IMAGE_STATE_VERIFIED_EMPTY."""
    prefix = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind.DESCRIPTOR.name).upper()
    return kind.Name(value).removeprefix(f"{prefix}_").lower().replace("_", " ")


def visible(text: str) -> str:
    """The text without what would steer a terminal: names in archives are strangers' words."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], right: Iterable[str] = (), *, to_stderr: bool = False
) -> None:
    """A table; numbers get their thousands apart and, in the columns of `right`, their digits below each other."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    numeric = set(right)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(number(cell) if isinstance(cell, int | float) else visible(str(cell))) for cell in row))
    # Piped, a table is as wide as it needs to be.
    stream = sys.stderr if to_stderr else sys.stdout
    Console(width=None if stream.isatty() else 1000, file=stream).print(table)


def print_facts(facts: Mapping[str, object]) -> None:
    """One line a fact, or several where it has them; those without a value are left out."""
    width = max(map(len, facts), default=0)
    for name, value in facts.items():
        if value not in ("", None):
            lines = [number(value)] if isinstance(value, int | float) else str(value).splitlines()
            print(f"  {name:<{width}}  " + f"\n{'':{width + 4}}".join(map(visible, lines)))


def number(value: float) -> str:
    """`12,345`, `3.1`, `0.042`."""
    if isinstance(value, int) or (value == int(value) and abs(value) < 1e15):
        return f"{int(value):,}"
    return f"{value:,.1f}" if abs(value) >= 10 else f"{value:.3g}"


def size(count: float) -> str:
    """Bytes, as `12.3 MB`."""
    units = ("B", "kB", "MB", "GB", "TB")
    step = 0
    while count >= 999.5 and step < len(units) - 1:
        count /= 1000
        step += 1
    return f"{count:.0f} B" if step == 0 else f"{count:.1f} {units[step]}"


def counted(count: int, one: str, many: str = "") -> str:
    """`1 image`, `1,200 images`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def when(time: Timestamp) -> str:
    """A time in the user's zone, to the minute."""
    return time.ToDatetime(UTC).astimezone().strftime("%Y-%m-%d %H:%M") if time.seconds else ""


def seconds_between(start: Timestamp, end: Timestamp) -> float:
    """From one time to the other, or to now where that is not set."""
    last = end.ToDatetime(UTC) if end.seconds else datetime.now(UTC)
    return (last - start.ToDatetime(UTC)).total_seconds() if start.seconds else 0.0


def splits(counts: Iterable[Any]) -> str:
    """`train 160, val 40`."""
    return ", ".join(f"{visible(one.split) or '(none)'} {one.image_count:,}" for one in counts)


def print_issues(counts: Sequence[annotation_pb2.IssueCount], examples: Sequence[annotation_pb2.Issue]) -> None:
    """What was found, one paragraph a code: how often, one example, what to do."""
    if not counts:
        return
    totals = [
        counted(total, name)
        for severity, name in SEVERITIES.items()
        if (total := sum(one.count for one in counts if one.severity == severity))
    ]
    print(f"  issues: {', '.join(totals)}")
    first: dict[str, annotation_pb2.Issue] = {}
    for issue in examples:
        first.setdefault(issue.code, issue)
    for one in sorted(counts, key=lambda one: (-one.severity, -one.count)):
        print(f"    {one.code} ({SEVERITIES.get(one.severity, 'issue')}) {one.count:,} ×")
        if (example := first.get(one.code)) is not None:
            place = example.path + (f":{example.line}" if example.line else "")
            print(visible(f"      {place + ': ' if place else ''}{example.message}"))
            if example.remedy:
                print(visible(f"      {example.remedy}"))


def print_losses(losses: Sequence[conversion_pb2.Loss], *, to_stderr: bool = False) -> None:
    """What the target format cannot hold, a row each."""
    print_table(
        ("the format does not hold", "annotations", "images", "classes", "instead"),
        (
            (
                loss.subject,
                loss.annotation_count or "",
                loss.image_count or "",
                ", ".join(loss.labels[:NAMED]) + ("…" if len(loss.labels) > NAMED else ""),
                loss.fallback,
            )
            for loss in losses
        ),
        right=("annotations", "images"),
        to_stderr=to_stderr,
    )
