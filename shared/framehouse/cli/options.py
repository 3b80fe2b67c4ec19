"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

Address = Annotated[
    str | None,
    typer.Option(
        help="host:port of the suite's gateway, https://host:port where it speaks TLS; without it FRAMEHOUSE_ADDRESS, "
        "else the one on this machine."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, and nothing else, on standard output.")]
Data = Annotated[
    Path | None,
    typer.Option(help="Data folder of the suite; without it FRAMEHOUSE_DATA, else the user's data folder."),
]
Name = Annotated[str, typer.Argument(help="The dataset, for instance cars.")]
VersionedName = Annotated[str, typer.Argument(help="The dataset, for instance cars; cars@3 for its version 3.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
