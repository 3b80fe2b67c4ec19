"""`exports`: the archives that were made of datasets, as long as they are kept."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from framehouse.cli.groups import listing
from framehouse.cli.options import Address, Json

if TYPE_CHECKING:
    from framehouse.v1.export_pb2 import Export

ExportName = Annotated[str, typer.Argument(metavar="EXPORT", help="The export, by its name or id.")]


def register(app: typer.Typer) -> None:
    group = listing("exports", is_bare=True)
    group.command("list")(listed)
    group.command("show")(show)
    group.command("download")(download)
    group.command("delete")(delete)
    app.add_typer(
        group, help="List the exports, or those of a dataset (framehouse exports NAME); show, fetch, remove them."
    )


def listed(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Only those of this dataset.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="Show so many.")] = 50,
    as_json: Json = False,
    address: Address = None,
) -> None:
    """List the exports, newest first."""
    from contextlib import closing
    from itertools import islice

    from framehouse.cli import output, reach

    with reach.client(address) as client, closing(client.list_exports(name)) as exports:
        found = list(islice(exports, limit))
    if as_json:
        output.print_json({"exports": [output.plain(one) for one in found]})
    elif not found:
        print("no exports; make one with `framehouse export NAME --to FORMAT --out X.zip`", file=sys.stderr)
    else:
        output.print_table(
            ("export", "of", "format", "images", "files", "size", "made", "kept until"),
            (
                (
                    one.name.removeprefix("exports/"),
                    _source(one),
                    one.format,
                    one.image_count,
                    len(one.files),
                    output.size(one.size),
                    output.when(one.create_time),
                    output.when(one.expire_time),
                )
                for one in found
            ),
            right=("images", "files", "size"),
        )


def show(
    export: ExportName,
    hours: Annotated[
        float, typer.Option(min=0.01, max=168, metavar="HOURS", help="How long the URLs live.", show_default=False)
    ] = 24,
    as_json: Json = False,
    address: Address = None,
) -> None:
    """Show one export, with URLs to fetch its files from without any key."""
    from framehouse.cli import output, reach

    with reach.client(address) as client:
        found = client.get_export(_name(export), round(hours * 3600))
    if as_json:
        output.print_json(output.plain(found))
        return
    print(found.name)
    output.print_facts(
        {
            "of": _source(found),
            "format": found.format,
            "filter": found.write.filter,
            "images": found.image_count,
            "annotations": found.annotation_count,
            "size": output.size(found.size),
            "made": output.when(found.create_time),
            "kept until": output.when(found.expire_time),
            "URLs until": output.when(found.url_expire_time),
        }
    )
    for file in found.files:
        print(f"  {file.name}  {output.size(file.size)}  XXH3-128 {file.hash}\n    {file.url}")
    if found.losses:
        output.print_losses(found.losses)


def download(
    export: ExportName,
    out: Annotated[Path, typer.Option("--out", "-o", help="X.zip, or a new folder that it is unpacked into.")],
    as_json: Json = False,
    address: Address = None,
) -> None:
    """Fetch an export. After Ctrl-C the same command goes on where it stopped."""
    from framehouse.cli import live, output, reach

    with reach.client(address) as client, live.shown() as report:
        written = client.download(_name(export), out, report)
    if as_json:
        output.print_json({"export": _name(export), "written": [str(path) for path in written]})
        return
    for path in written:
        print(path)


def delete(export: ExportName, as_json: Json = False, address: Address = None) -> None:
    """Remove an export and its files."""
    from framehouse.cli import output, reach

    name = _name(export)
    with reach.client(address) as client:
        client.delete_export(name)
    if as_json:
        output.print_json({"name": name})
    else:
        print(f"{name} is removed")


def _name(export: str) -> str:
    return f"exports/{export.removeprefix('exports/')}"


def _source(export: "Export") -> str:
    """What it was made of: `cars`, `cars@3`."""
    from framehouse.client.names import short_name

    return short_name(export.dataset) + (f"@{export.version}" if export.version else "")
