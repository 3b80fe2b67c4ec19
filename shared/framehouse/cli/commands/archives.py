"""`import`, `export`, `convert`: archives and folders in and out."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from framehouse.cli.choices import reading, shaping, taking, volume_size, writing
from framehouse.cli.options import Address, Json, VersionedName

if TYPE_CHECKING:
    from collections.abc import Sequence

    from google.protobuf.message import Message

    from framehouse.client.options import ReadChoices, WriteChoices
    from framehouse.client.packing import Archive
    from framehouse.client.remote import Remote
    from framehouse.v1.conversion_pb2 import Loss
    from framehouse.v1.ingest_pb2 import AddSummary


class Add(StrEnum):
    """What happens to an image that the dataset has with other bytes or annotations."""

    REPLACE = "replace"
    KEEP = "keep"
    RENAME = "rename"
    MERGE = "merge"
    FAIL = "fail"


Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="A folder, or a zip, tar, tar.gz or tar.zst, of images and labels; also at a URL, or s3://BUCKET/PREFIX.",
    ),
]
Sources = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="SOURCE",
        help="A folder, or a zip, tar, tar.gz or tar.zst, of images and labels; or images and videos alone. "
        "The suite itself fetches URLs, and s3://BUCKET/PREFIX.",
    ),
]
Urls = Annotated[
    Path | None,
    typer.Option("--urls", metavar="FILE", help="A text file of URLs to fetch, one a line; # begins a comment."),
]
MaxSide = Annotated[
    int,
    typer.Option(min=0, help="Larger images get a form of so many pixels on the longest side beside them; 0: none."),
]
DropOriginals = Annotated[
    bool, typer.Option("--drop-originals", help="Keep only that form of the images that get one.")
]
AddTo = Annotated[
    Add | None,
    typer.Option(
        "--add",
        help="Add to the dataset where it exists. Of images that it has with other bytes or annotations, replace takes "
        "the new ones, keep the old ones, rename both; merge gives the old ones the annotations that they lack; fail "
        "ends there.",
        show_default=False,
    ),
]
Tag = Annotated[
    str, typer.Option(metavar="WORD", help="Finds the images of this import again: --filter 'import = WORD'.")
]
To = Annotated[str, typer.Option("--to", help="The format to write, for instance coco-instances.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what the format cannot hold.")]
OptionalOut = Annotated[
    Path | None, typer.Option("--out", "-o", help="Where it goes: X.zip, or a new folder that it is unpacked into.")
]


def register(app: typer.Typer) -> None:
    app.command("import")(import_dataset)
    app.command("export")(export_dataset)
    app.command("convert")(convert)


@taking(read=reading)
def import_dataset(
    sources: Sources = None,
    *,
    name: Annotated[str, typer.Option("--name", help="Name of the dataset, for instance cars.")],
    read: "ReadChoices",
    add: AddTo = None,
    tag: Tag = "",
    max_side: MaxSide = 4096,
    drop_originals: DropOriginals = False,
    urls: Urls = None,
    as_json: Json = False,
    address: Address = None,
) -> None:
    """Make a dataset of a folder, an archive, images, or files elsewhere, or add them to one.

    After Ctrl-C or a lost network, the same command goes on where the upload stopped.
    """
    from framehouse.cli import live, output, reach
    from framehouse.client.names import dataset_name, short_name

    dataset_name(name)
    archive = _source(sources or [], urls)
    with reach.client(address) as client, live.shown() as report, _naming_job():
        result = client.import_dataset(
            archive,
            name,
            add=add.value if add else "",
            tag=tag,
            max_side=max_side,
            drop_originals=drop_originals,
            report=report,
            **read,
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
    is_added = result.HasField("added")
    facts = {"splits": output.splits(dataset.splits), "size": output.size(dataset.image_bytes)}
    output.print_facts({"this time": _added(result.added), **facts} if is_added else facts)
    output.print_issues(result.issue_counts, result.issues)
    if total := sum(one.count for one in result.issue_counts):
        whose = result.job if is_added else short_name(dataset.name)
        print(f"  `framehouse issues {whose}` shows {'it' if total == 1 else f'all {total:,}'}")


def _added(summary: "AddSummary") -> str:
    """`added 10, unchanged 90, replaced 3, new classes: car, bus`."""
    from framehouse.cli import output

    counts = {
        "added": summary.added_count,
        "unchanged": summary.unchanged_count,
        "annotated": summary.annotated_count,
        "merged": summary.merged_count,
        "replaced": summary.replaced_count,
        "kept": summary.kept_count,
        "renamed": summary.renamed_count,
    }
    parts = [f"{name} {count:,}" for name, count in counts.items() if count]
    if summary.added_labels:
        parts.append(output.visible(f"new classes: {', '.join(summary.added_labels)}"))
    return ", ".join(parts) or "nothing"


@contextmanager
def _naming_job() -> Iterator[None]:
    """Adds to the error of an import that failed where its issues are, and how it is tried again."""
    from framehouse.client.errors import FramehouseError

    try:
        yield
    except FramehouseError as error:
        if job := error.facts.get("job"):
            hint = f"see `framehouse issues {job}`, retry with `framehouse jobs retry {job}`"
            error.remedy = f"{error.remedy}; {hint}" if error.remedy else hint
        raise


@taking(choices=writing)
def export_dataset(
    name: VersionedName,
    *,
    to: Annotated[str, typer.Option("--to", help="The format, for instance coco-instances; a recipe may say it.")] = "",
    out: OptionalOut = None,
    recipe: Annotated[str, typer.Option(help="As it says, where nothing else is said here.")] = "",
    choices: "WriteChoices",
    volumes: Annotated[
        str, typer.Option("--volume-size", metavar="SIZE", help="Write archives of so many bytes at most, as 2GB.")
    ] = "",
    keep: Annotated[
        float, typer.Option("--keep", metavar="DAYS", min=0, max=30, show_default=False, help="How long it is kept.")
    ] = 0,
    dry_run: DryRun = False,
    as_json: Json = False,
    address: Address = None,
) -> None:
    """Write a dataset in a format, as zip files or a folder. After Ctrl-C the same command goes on where it stopped.

    What the format cannot hold is told before anything is written.
    """
    from framehouse.cli import live, output, reach
    from framehouse.client.errors import FailedPrecondition
    from framehouse.client.names import versioned_name

    versioned_name(name)
    if not to and not recipe:
        raise typer.BadParameter("name a format, or a recipe that does", param_hint="--to")
    target = _target(out, dry_run)
    if dry_run:
        with reach.client(address) as client:
            preview = client.preview_loss(name, to, recipe=recipe, **choices)
        _print_preview(preview, preview.losses, as_json)
        if preview.refusal:
            raise FailedPrecondition(preview.refusal, reason="LOSS_REFUSED")
        return
    with reach.client(address) as client, live.shown() as report:
        result = client.export_dataset(
            name,
            to,
            recipe=recipe,
            volume_bytes=volume_size(volumes) if volumes else 0,
            keep_seconds=round(keep * 86400),
            report=report,
            **choices,
        )
        written = client.download(result.export.name, target, report) if target is not None else []
    if as_json:
        output.print_json({**output.plain(result), "out": str(out), "written": [str(path) for path in written]})
        return
    export = result.export
    what = str(out) if len(written) == 1 else f"{written[0]} and {len(written) - 1} more"
    print(
        f"{what}: {output.counted(export.image_count, 'image')}, "
        f"{output.counted(export.annotation_count, 'annotation')} as {export.format}, {output.size(export.size)}"
        + (f", as exported on {output.when(export.create_time)}" if result.reused else "")
    )


@taking(read=reading, choices=shaping)
def convert(
    source: Source,
    *,
    to: To,
    out: OptionalOut = None,
    read: "ReadChoices",
    choices: "WriteChoices",
    dry_run: DryRun = False,
    as_json: Json = False,
    address: Address = None,
) -> None:
    """Turn a folder or an archive into another format, without keeping a dataset.

    What the format cannot hold is told before anything is written. Where no suite runs, one is started for the time of
    the command.
    """
    from framehouse.cli import live, output, reach
    from framehouse.client.unpacking import check_target

    target = _target(out, dry_run)
    if target is not None:
        check_target(target)
    archive = _source([source])
    with reach.client_of_any(address) as client, live.shown() as report:
        result = client.convert(
            archive,
            to,
            target,
            dry_run=dry_run,
            report=report,
            **read,
            **choices,
        )
        written = None if dry_run or as_json else client.get_export(result.export)
    if dry_run:
        _print_preview(result, result.losses, as_json)
        return
    if written is None:
        output.print_json({**output.plain(result), "out": str(out)})
        return
    print(
        f"{out}: {output.counted(written.image_count, 'image')}, "
        f"{output.counted(written.annotation_count, 'annotation')} as {written.format}, from {result.source_format}"
    )
    output.print_issues(result.issue_counts, result.issues)


def _target(out: Path | None, dry_run: bool) -> Path | None:
    """Where the result goes; needed unless nothing is written."""
    if out is None and not dry_run:
        raise typer.BadParameter("say where it goes, or add --dry-run", param_hint="--out")
    return None if dry_run else out


def _print_preview(answer: "Message", losses: "Sequence[Loss]", as_json: bool) -> None:
    from framehouse.cli import output

    if as_json:
        output.print_json(output.plain(answer))
    elif losses:
        output.print_losses(losses)
    else:
        print("nothing would be lost")


def _source(sources: list[str], urls: Path | None = None) -> "Archive | Remote":
    """What to send or to have fetched, looked at before a suite is; links that lead out of a folder are told of."""
    import sys

    from framehouse.client.packing import open_source
    from framehouse.client.remote import is_remote, remote, urls_in

    if bool(sources) == (urls is not None):
        raise typer.BadParameter("name what to import, or give a list of URLs", param_hint="SOURCE or --urls")
    if urls is not None:
        return urls_in(urls)
    if any(map(is_remote, sources)):
        return remote(*sources)
    archive = open_source(*map(Path, sources))
    if archive.left_out:
        others = f" and {len(archive.left_out) - 3} more" if len(archive.left_out) > 3 else ""
        print(
            f"left out, because they lead out of the folder: {', '.join(archive.left_out[:3])}{others}; "
            "copy the files there to have them in",
            file=sys.stderr,
        )
    return archive
