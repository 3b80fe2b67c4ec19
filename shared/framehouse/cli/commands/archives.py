"""`import`, `export`, `convert`: archives and folders in and out."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from framehouse.cli.options import Address, Json, Name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from google.protobuf.message import Message

    from framehouse.client.options import WriteChoices
    from framehouse.client.packing import Archive
    from framehouse.client.remote import Remote
    from framehouse.v1.conversion_pb2 import Loss
    from framehouse.v1.ingest_pb2 import AddSummary


class OnError(StrEnum):
    """What happens to what cannot be used."""

    SKIP = "skip"
    FAIL = "fail"


class Borders(StrEnum):
    """What happens to what reaches over the border of its image."""

    KEEP = "keep"
    CLAMP = "clamp"


class Coordinates(StrEnum):
    """Which pixels labels count on, where EXIF data turns an image."""

    UPRIGHT = "upright"
    STORED = "stored"


class Images(StrEnum):
    """Which form of the images is written."""

    ORIGINAL = "original"
    NORMALISED = "normalised"
    NONE = "none"


class Add(StrEnum):
    """What happens to an image that the dataset has with other bytes or annotations."""

    REPLACE = "replace"
    KEEP = "keep"
    RENAME = "rename"
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
Format = Annotated[str, typer.Option(help="The format it is in; auto detects it. `framehouse formats` lists them.")]
MinSide = Annotated[int, typer.Option(min=0, help="Images below so many pixels on a side are left out.")]
Skip = Annotated[OnError, typer.Option(help="skip: leave out what cannot be used, and say so; fail: end there.")]
Every = Annotated[int | None, typer.Option(min=1, metavar="N", help="Of videos, take every N-th frame; 1 takes all.")]
Fps = Annotated[
    float | None, typer.Option(metavar="N", help="Of videos, take N frames a second; without --every, 1 is taken.")
]
Frame = Annotated[
    Coordinates,
    typer.Option(
        "--coordinates",
        help="Of images that EXIF data turns, labels count on the pixels as shown (upright) or as they lie (stored).",
    ),
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
        "the new ones, keep the old ones, rename both; fail ends there.",
        show_default=False,
    ),
]
To = Annotated[str, typer.Option("--to", help="The format to write, for instance coco-instances.")]
NoImages = Annotated[bool, typer.Option("--no-images", help="Write the label files alone.")]
OptionalOut = Annotated[
    Path | None, typer.Option("--out", help="Where it goes: X.zip, or a new folder that it is unpacked into.")
]
Split = Annotated[list[str] | None, typer.Option("--split", metavar="NAME", help="Only this split; may be repeated.")]
OnlyAnnotated = Annotated[
    bool, typer.Option("--only-annotated", help="Only images that have annotations, or are known to have none.")
]
Classes = Annotated[str, typer.Option(metavar="A,B…", help="Only these classes, in this order.", show_default=False)]
FormatOption = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        "-O",
        metavar="NAME=VALUE",
        help="An option of the format, for instance coco.segmentation-mode=mask; `framehouse formats ID` lists them.",
    ),
]
Strict = Annotated[bool, typer.Option("--strict", help="Fail where the format cannot hold something.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what the format cannot hold.")]
Boxes = Annotated[
    Borders, typer.Option("--boxes", help="Boxes and polygons over their image's border: keep them, or clamp to it.")
]
ImageForm = Annotated[
    Images,
    typer.Option(
        "--images",
        help="original: the bytes that came in; normalised: the smaller form of large ones, with labels to fit; none: "
        "as --no-images.",
    ),
]


def register(app: typer.Typer) -> None:
    app.command("import")(import_dataset)
    app.command("export")(export_dataset)
    app.command("convert")(convert)


def import_dataset(
    sources: Sources = None,
    *,
    name: Annotated[str, typer.Option("--name", help="Name of the dataset, for instance cars.")],
    format: Format = "auto",
    min_side: MinSide = 28,
    on_error: Skip = OnError.SKIP,
    every: Every = None,
    fps: Fps = None,
    coordinates: Frame = Coordinates.UPRIGHT,
    add: AddTo = None,
    boxes: Boxes = Borders.KEEP,
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
    _check_rate(every, fps)
    archive = _source(sources or [], urls)
    with reach.client(address) as client, live.shown() as report, _naming_job():
        result = client.import_dataset(
            archive,
            name,
            format=format,
            min_side=min_side,
            on_error=on_error.value,
            every=every,
            fps=fps,
            coordinates=coordinates.value,
            boxes=boxes.value,
            add=add.value if add else "",
            max_side=max_side,
            drop_originals=drop_originals,
            report=report,
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


def export_dataset(
    name: Name,
    to: To,
    out: OptionalOut = None,
    images: ImageForm = Images.ORIGINAL,
    no_images: NoImages = False,
    split: Split = None,
    only_annotated: OnlyAnnotated = False,
    classes: Classes = "",
    option: FormatOption = None,
    strict: Strict = False,
    dry_run: DryRun = False,
    as_json: Json = False,
    address: Address = None,
) -> None:
    """Write a dataset in a format, as a zip file or a folder.

    What the format cannot hold is told before anything is written.
    """
    from framehouse.cli import live, output, reach
    from framehouse.client.names import dataset_name

    dataset_name(name)
    target = _target(out, dry_run)
    choices = _write_choices(images, no_images, split, only_annotated, classes, option, strict)
    if dry_run:
        with reach.client(address) as client:
            preview = client.preview_loss(name, to, **choices)
        _print_preview(preview, preview.losses, as_json)
        return
    with reach.client(address) as client, live.shown() as report:
        result = client.export_dataset(name, to, target, report=report, **choices)
    if as_json:
        output.print_json({**output.plain(result), "out": str(out)})
        return
    export = result.export
    print(
        f"{out}: {output.counted(export.image_count, 'image')}, "
        f"{output.counted(export.annotation_count, 'annotation')} as {export.format}, {output.size(export.size)}"
    )


def convert(
    source: Source,
    to: To,
    out: OptionalOut = None,
    format: Format = "auto",
    min_side: MinSide = 28,
    on_error: Skip = OnError.SKIP,
    every: Every = None,
    fps: Fps = None,
    coordinates: Frame = Coordinates.UPRIGHT,
    boxes: Boxes = Borders.KEEP,
    no_images: NoImages = False,
    split: Split = None,
    only_annotated: OnlyAnnotated = False,
    classes: Classes = "",
    option: FormatOption = None,
    strict: Strict = False,
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
    choices = _write_choices(Images.ORIGINAL, no_images, split, only_annotated, classes, option, strict)
    _check_rate(every, fps)
    archive = _source([source])
    with reach.client_of_any(address) as client, live.shown() as report:
        result = client.convert(
            archive,
            to,
            target,
            format=format,
            min_side=min_side,
            on_error=on_error.value,
            every=every,
            fps=fps,
            coordinates=coordinates.value,
            boxes=boxes.value,
            dry_run=dry_run,
            report=report,
            **choices,
        )
    if dry_run:
        _print_preview(result, result.losses, as_json)
        return
    if as_json:
        output.print_json({**output.plain(result), "out": str(out)})
        return
    print(
        f"{out}: {output.counted(result.image_count, 'image')}, "
        f"{output.counted(result.annotation_count, 'annotation')}, from {result.source_format}"
    )
    output.print_issues(result.issue_counts, result.issues)


def _target(out: Path | None, dry_run: bool) -> Path | None:
    """Where the result goes; needed unless nothing is written."""
    if out is None and not dry_run:
        raise typer.BadParameter("say where it goes, or add --dry-run", param_hint="--out")
    return None if dry_run else out


def _write_choices(
    images: Images,
    no_images: bool,
    split: list[str] | None,
    only_annotated: bool,
    classes: str,
    option: list[str] | None,
    strict: bool,
) -> "WriteChoices":
    for pair in option or ():
        if "=" not in pair:
            raise typer.BadParameter(f"{pair!r} is no NAME=VALUE", param_hint="--option")
    return {
        "image_form": Images.ORIGINAL.value if images is Images.NONE else images.value,
        "without_images": no_images or images is Images.NONE,
        "splits": split or (),
        "only_annotated": only_annotated,
        "labels": [name.strip() for name in classes.split(",") if name.strip()],
        "strict": strict,
        "options": dict(pair.split("=", 1) for pair in option or ()),
    }


def _print_preview(answer: "Message", losses: "Sequence[Loss]", as_json: bool) -> None:
    from framehouse.cli import output

    if as_json:
        output.print_json(output.plain(answer))
    elif losses:
        output.print_losses(losses)
    else:
        print("nothing would be lost")


def _check_rate(every: int | None, fps: float | None) -> None:
    """Refuses what says nothing, or two things, of the frames to take."""
    if every is not None and fps is not None:
        raise typer.BadParameter("give --every or --fps, not both", param_hint="--fps")
    if fps is not None and not 0 < fps < float("inf"):
        raise typer.BadParameter("give the frames a second to take, above 0", param_hint="--fps")


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
