"""`issues`: all that an import found, as a table, as JSON or as a CSV file. Page by page, however many there are."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from enum import StrEnum
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from framehouse.cli.options import Address, Json

if TYPE_CHECKING:
    from framehouse.v1.annotation_pb2 import Issue
    from framehouse.v1.ingest_pb2 import ListIssuesResponse

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How a cell begins that a spreadsheet takes for a formula."""
COLUMNS = ("severity", "code", "path", "line", "message", "remedy")


class Severity(StrEnum):
    """How much an issue matters."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


def register(app: typer.Typer) -> None:
    app.command("issues")(issues)


def issues(
    of: Annotated[
        str, typer.Argument(metavar="NAME_OR_JOB", help="A dataset, or the import's job, for instance jobs/1f0c….")
    ],
    code: Annotated[str, typer.Option(help="Only those of this code, for instance IMAGE_TRUNCATED.")] = "",
    severity: Annotated[Severity | None, typer.Option(help="Only those of this severity.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write them to this file, for a spreadsheet.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.", show_default="all")] = sys.maxsize,
    as_json: Json = False,
    address: Address = None,
) -> None:
    """List the issues of an import, errors first."""
    from framehouse.cli import output, reach

    query = of, code.upper(), severity.value if severity else "", min(limit, 1000)
    with reach.client(address) as client, closing(client.issue_pages(*query)) as pages:
        first = next(pages)
        total = first.total_size
        found = _issues(chain((first,), pages), limit)
        if csv is not None:
            count = write_csv(csv, found)
            if as_json:
                output.print_json({"out": str(csv), "issueCount": count, "totalSize": total})
            else:
                print(f"{csv}: {_of(count, total)}")
        elif as_json:
            output.print_json_list({"totalSize": total}, "issues", (output.plain(issue) for issue in found))
        elif not total:
            print("no issues", file=sys.stderr)
        else:
            _print_tables(found)
            if limit < total:
                print(f"{_of(limit, total)}; a larger --limit shows more", file=sys.stderr)


def write_csv(path: Path, found: "Iterable[Issue]") -> int:
    """Writes issues as RFC 4180 has it, in UTF-8, a header first; the file is there when it is whole.

    Answers with their number. A cell that a spreadsheet would run as a formula gets a quote mark before it. Raises
    `InvalidArgument` where the file cannot be written.
    """
    import csv

    from framehouse.cli.whole_file import whole_file

    count = 0
    with whole_file(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\r\n")
        writer.writerow(COLUMNS)
        for one in found:
            texts = (severity_name(one), one.code, one.path, str(one.line or ""), one.message, one.remedy)
            writer.writerow("'" + text if text.startswith(FORMULA) else text for text in texts)
            count += 1
    return count


def severity_name(issue: "Issue") -> str:
    """As `--severity` has it."""
    from framehouse.cli import output
    from framehouse.v1.annotation_pb2 import Severity

    return output.word(Severity, issue.severity)


def _issues(pages: "Iterable[ListIssuesResponse]", limit: int) -> "Iterator[Issue]":
    """The issues on the pages, at most `limit`."""
    return islice((issue for page in pages for issue in page.issues), limit)


def _print_tables(found: "Iterator[Issue]") -> None:
    """A table for every thousand, so that the first are there at once."""
    from framehouse.cli import output

    while some := list(islice(found, 1000)):
        output.print_table(
            ("severity", "code", "where", "what", "what to do"),
            (
                (
                    severity_name(one),
                    one.code,
                    f"{one.path}:{one.line}" if one.line else one.path,
                    one.message,
                    one.remedy,
                )
                for one in some
            ),
        )


def _of(count: int, total: int) -> str:
    from framehouse.cli import output

    return output.counted(total, "issue") if count >= total else f"{count:,} of {output.counted(total, 'issue')}"
