"""`probe`: what an import would say of single images. Nothing is kept."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from framehouse.cli.options import Address, Json

if TYPE_CHECKING:
    from framehouse.v1.media_pb2 import ProbeImageResponse


def register(app: typer.Typer) -> None:
    app.command("probe")(probe)


def probe(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Images, of 16 MiB at most.")],
    min_side: Annotated[
        int | None, typer.Option(min=0, help="Pixels that the shortest side must have.", show_default="28")
    ] = None,
    as_json: Json = False,
    address: Address = None,
) -> None:
    """Look at images as an import would: format, size, and what is wrong with them.

    Where no suite runs, one is started for the time of the command.
    """
    from framehouse.cli import output, reach

    with reach.client_of_any(address) as client:
        found = ((file, client.probe_image(file, min_side=min_side)) for file in files)
        if as_json:
            documents = ({"file": str(file)} | output.plain(one) for file, one in found)
            output.print_json_list({"count": len(files)}, "images", documents)
            return
        for file, one in found:
            print(f"{output.visible(str(file))}: {_said(one)}")
            for issue in one.issues:
                print(f"  {output.SEVERITIES[issue.severity]} {issue.code}: {output.visible(issue.message)}")
                print(f"    {issue.remedy}")


def _said(one: "ProbeImageResponse") -> str:
    from framehouse.cli import output

    if not one.usable:
        return f"an import would leave it out ({output.size(one.size)})"
    turned = f", turned by EXIF orientation {one.orientation}" if one.orientation > 1 else ""
    return f"{one.format}, {one.width} × {one.height} pixels, {output.size(one.size)}{turned}, hash {one.hash}"
