"""`import`, `export`, `convert`: archives and folders in and out."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from framehouse.cli.options import Address, Json, Name

if TYPE_CHECKING:
    from framehouse.client.packing import Archive


class OnError(StrEnum):
    """What happens to what cannot be used."""

    SKIP = "skip"
    FAIL = "fail"


Source = Annotated[
    Path, typer.Argument(metavar="PATH", help="A folder, or a zip, tar, tar.gz or tar.zst, of images and labels.")
]
Sources = Annotated[
    list[Path],
    typer.Argument(
        metavar="PATH...", help="A folder, or a zip, tar, tar.gz or tar.zst, of images and labels; or images alone."
    ),
]
Format = Annotated[str, typer.Option(help="The format it is in; auto detects it. `framehouse formats` lists them.")]
MinSide = Annotated[int, typer.Option(min=0, help="Images below so many pixels on a side are left out.")]
Skip = Annotated[OnError, typer.Option(help="skip: leave out what cannot be used, and say so; fail: end there.")]
To = Annotated[str, typer.Option("--to", help="The format to write, for instance coco-instances.")]
Out = Annotated[Path, typer.Option("--out", help="Where it goes: X.zip, or a new folder that it is unpacked into.")]
NoImages = Annotated[bool, typer.Option("--no-images", help="Write the label files alone.")]


def register(app: typer.Typer) -> None:
    app.command("import")(import_dataset)
    app.command("export")(export_dataset)
    app.command("convert")(convert)


def import_dataset(
    paths: Sources,
    name: Annotated[str, typer.Option("--name", help="Name of the new dataset, for instance cars.")],
    format: Format = "auto",
    min_side: MinSide = 28,
    on_error: Skip = OnError.SKIP,
    as_json: Json = False,
    address: Address = None,
) -> None:
    """Make a dataset of a folder, an archive, or images.

    After Ctrl-C or a lost network, the same command goes on where the upload stopped.
    """
    from framehouse.cli import live, output, reach
    from framehouse.client.names import dataset_name, short_name

    dataset_name(name)
    archive = _source(*paths)
    with reach.client(address) as client, live.shown() as report:
        result = client.import_dataset(
            archive, name, format=format, min_side=min_side, on_error=on_error.value, report=report
        )
    if as_json:
        output.print_json(output.plain(result))
        return
    dataset = result.dataset
    print(
        f"{short_name(dataset.name)}: {output.counted(dataset.image_count, 'image')}, "
        f"{output.counted(dataset.annotation_count, 'annotation')}, "
        f"{output.counted(len(dataset.labels.labels), 'class', 'classes')}, read as {dataset.source_format}"
    )
    output.print_facts({"splits": output.splits(dataset.splits), "size": output.size(dataset.image_bytes)})
    output.print_issues(result.issue_counts, result.issues)
    if total := sum(one.count for one in result.issue_counts):
        print(f"  `framehouse issues {short_name(dataset.name)}` shows {'it' if total == 1 else f'all {total:,}'}")


def export_dataset(
    name: Name,
    to: To,
    out: Out,
    no_images: NoImages = False,
    as_json: Json = False,
    address: Address = None,
) -> None:
    """Write a dataset in a format, as a zip file or a folder."""
    from framehouse.cli import live, output, reach
    from framehouse.client.names import dataset_name

    dataset_name(name)
    with reach.client(address) as client, live.shown() as report:
        result = client.export_dataset(name, to, out, without_images=no_images, report=report)
    if as_json:
        output.print_json({**output.plain(result), "out": str(out)})
        return
    export = result.export
    print(
        f"{out}: {output.counted(export.image_count, 'image')}, "
        f"{output.counted(export.annotation_count, 'annotation')} as {export.format}, {output.size(export.size)}"
    )
    output.print_losses(result.losses)


def convert(
    source: Source,
    to: To,
    out: Out,
    format: Format = "auto",
    min_side: MinSide = 28,
    on_error: Skip = OnError.SKIP,
    no_images: NoImages = False,
    as_json: Json = False,
    address: Address = None,
) -> None:
    """Turn a folder or an archive into another format, without keeping a dataset.

    Where no suite runs, one is started for the time of the command.
    """
    from framehouse.cli import live, output, reach
    from framehouse.client.unpacking import check_target

    check_target(out)
    archive = _source(source)
    with reach.client_of_any(address) as client, live.shown() as report:
        result = client.convert(
            archive,
            to,
            out,
            format=format,
            min_side=min_side,
            on_error=on_error.value,
            without_images=no_images,
            report=report,
        )
    if as_json:
        output.print_json({**output.plain(result), "out": str(out)})
        return
    print(
        f"{out}: {output.counted(result.image_count, 'image')}, "
        f"{output.counted(result.annotation_count, 'annotation')}, from {result.source_format}"
    )
    output.print_losses(result.losses)
    output.print_issues(result.issue_counts, result.issues)


def _source(path: Path, *more: Path) -> "Archive":
    """The archive to send, looked at before a suite is; links that lead out of it are told of."""
    import sys

    from framehouse.client.packing import open_source

    archive = open_source(path, *more)
    if archive.left_out:
        others = f" and {len(archive.left_out) - 3} more" if len(archive.left_out) > 3 else ""
        print(
            f"left out, because they lead out of the folder: {', '.join(archive.left_out[:3])}{others}; "
            "copy the files there to have them in",
            file=sys.stderr,
        )
    return archive
