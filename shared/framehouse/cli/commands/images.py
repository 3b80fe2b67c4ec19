"""`images`, `image`, `render` and `annotate`: the images of a dataset; one of them, as it came in, drawn or changed."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from framehouse.cli.options import Address, Json, Name, VersionedName

if TYPE_CHECKING:
    from framehouse.v1.dataset_pb2 import Annotation

ImagePath = Annotated[str, typer.Argument(metavar="PATH", help="Its path in the dataset, for instance train/0001.jpg.")]

FORMATS = {".webp": "webp", ".jpg": "jpeg", ".jpeg": "jpeg", ".png": "png"}
"""What a drawn image is written as, by the extension of its file."""

NAMED = 5
"""Classes that are named in a row."""


def register(app: typer.Typer) -> None:
    app.command("images")(images)
    app.command("image")(image)
    app.command("render")(render)
    app.command("annotate")(annotate)


def images(
    name: VersionedName,
    selection: Annotated[
        str, typer.Option("--filter", metavar="FILTER", help="Only these, for instance 'split = val AND label:car'.")
    ] = "",
    order_by: Annotated[
        str, typer.Option(metavar="ORDER", help="For instance 'size desc, path'; without it, as they came in.")
    ] = "",
    limit: Annotated[int | None, typer.Option(min=1, help="Show so many; 20 without it, all with --json.")] = None,
    as_json: Json = False,
    address: Address = None,
) -> None:
    """List the images of a dataset, filtered and in any order."""
    from framehouse.cli import output, reach
    from framehouse.client.names import versioned_name

    full, version = versioned_name(name)
    with reach.client(address) as client:
        if as_json:
            pages = client.image_pages(name, selection, order_by, limit=limit)
            first = next(pages)
            later = (image for page in pages for image in page.images)
            output.print_json_list(
                {"dataset": full, "version": version, "totalSize": first.total_size},
                "images",
                (output.plain(image) for some in (first.images, later) for image in some),
            )
            return
        pages = client.image_pages(name, selection, order_by, limit=limit or 20)
        first = next(pages)
        shown = [*first.images, *(image for page in pages for image in page.images)]
    if not shown:
        print("no image is like that" if selection else "the dataset has no images", file=sys.stderr)
        return
    output.print_table(
        ("path", "split", "pixels", "size", "annotations", "classes"),
        (
            (
                one.path,
                one.split,
                f"{one.width} × {one.height}",
                output.size(one.size) if one.size else "",
                one.annotation_count or _state(one.state),
                ", ".join(one.labels[:NAMED]) + ("…" if len(one.labels) > NAMED else ""),
            )
            for one in shown
        ),
        right=("pixels", "size", "annotations"),
    )
    if first.total_size > len(shown):
        print(f"{len(shown):,} of {first.total_size:,} images; a larger --limit shows more", file=sys.stderr)


def image(
    name: Name,
    path: ImagePath,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write the file here, byte for byte as it came in.")
    ] = None,
    as_json: Json = False,
    address: Address = None,
) -> None:
    """Show one image: what it is, and the URLs under which a browser finds it for an hour."""
    from framehouse.cli import output, reach
    from framehouse.client.names import image_name

    full = image_name(name, path)
    with reach.client(address) as client:
        found = client.get_image(full, all_tasks=as_json)
        if out is not None:
            _write(out, client.read_image(full))
    if as_json:
        output.print_json(output.plain(found) | ({"out": str(out)} if out is not None else {}))
        return
    print(output.visible(found.path))
    output.print_facts(
        {
            "id": found.name.rpartition("/")[2],
            "split": found.split,
            "format": found.format or "no bytes: only its labels were imported",
            "pixels": f"{found.width} × {found.height}",
            "normalised": f"{found.normalised_width} × {found.normalised_height}" if found.normalised_width else "",
            "size": output.size(found.size) if found.size else "",
            "turned by": f"EXIF orientation {found.orientation}" if found.orientation > 1 else "",
            "frame": found.frame if found.HasField("frame") else "",
            "hash": found.hash,
            "annotations": found.annotation_count or _state(found.state),
            "classes": ", ".join(found.labels),
            "import": found.import_job,
            "file": found.url,
            "preview": found.preview_url,
            "URLs until": output.when(found.url_expire_time),
            "written to": str(out) if out is not None else "",
        }
    )


def render(
    name: Name,
    path: ImagePath,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The file to write; its extension, webp, jpg or png, is the format.")
    ],
    size: Annotated[int, typer.Option(min=1, max=4096, help="Pixels of the longest side, at most.")] = 1024,
    crop: Annotated[
        str, typer.Option(metavar="X,Y,WIDTH,HEIGHT", help="Only this part, in pixels of the upright image.")
    ] = "",
    label: Annotated[list[str] | None, typer.Option(help="Only annotations of this class; may be repeated.")] = None,
    no_annotations: Annotated[bool, typer.Option("--no-annotations", help="Leave the annotations out.")] = False,
    no_labels: Annotated[bool, typer.Option("--no-labels", help="Leave the names of the classes out.")] = False,
    as_json: Json = False,
    address: Address = None,
) -> None:
    """Draw an image with its annotations."""
    from framehouse.cli import output, reach
    from framehouse.client.errors import InvalidArgument
    from framehouse.client.names import image_name

    full = image_name(name, path)
    if (format := FORMATS.get(out.suffix.lower())) is None:
        raise InvalidArgument(f"{str(out)!r} has no extension of a format", remedy="call it .webp, .jpg or .png")
    part = _part(crop)
    with reach.client(address) as client:
        data = client.render_image(
            full,
            size=size,
            crop=part,
            format=format,
            annotations=not no_annotations,
            class_names=not no_labels,
            labels=label or (),
        )
    _write(out, data)
    if as_json:
        output.print_json({"out": str(out), "size": len(data)})
    else:
        print(f"{out}: {output.size(len(data))}")


def annotate(
    name: Name,
    path: ImagePath,
    file: Annotated[
        str,
        typer.Argument(metavar="FILE", help="JSON: a list of annotations, or what `framehouse image --json` shows."),
    ] = "-",
    verified_empty: Annotated[
        bool, typer.Option("--verified-empty", help="It has none: somebody looked. No file is read.")
    ] = False,
    etag: Annotated[
        str, typer.Option(help="Only if the dataset still has it, as `framehouse image --json` shows it.")
    ] = "",
    as_json: Json = False,
    address: Address = None,
) -> None:
    """Replace all annotations of an image by those of a JSON file, or of standard input."""
    from framehouse.cli import output, reach
    from framehouse.client.names import image_name

    full = image_name(name, path)
    annotations = [] if verified_empty else _annotations(file)
    with reach.client(address) as client:
        found = client.update_annotations(full, annotations, verified_empty=verified_empty, etag=etag)
    if as_json:
        output.print_json(output.plain(found))
        return
    what = output.counted(found.annotation_count, "annotation") if found.annotation_count else _state(found.state)
    print(f"{output.visible(found.path)}: {what}")


def _annotations(file: str) -> "list[Annotation]":
    """What a file says, or standard input for `-`."""
    import json

    from google.protobuf.json_format import ParseDict, ParseError

    from framehouse.client.errors import InvalidArgument
    from framehouse.v1.dataset_pb2 import Annotation

    where = "standard input" if file == "-" else repr(file)
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidArgument(f"{where} cannot be read: {reason.lower()}", remedy="name a JSON file") from None
    remedy = "write a list of annotations as `framehouse image --json` shows them"
    try:
        said = json.loads(text)
    except ValueError as error:
        raise InvalidArgument(f"{where} is no JSON: {error}", remedy=remedy) from None
    listed = said.get("annotations") if isinstance(said, dict) else said
    if not isinstance(listed, list):
        raise InvalidArgument(f"{where} has no list of annotations", remedy=remedy)
    found = []
    for place, one in enumerate(listed):
        if not isinstance(one, dict):
            raise InvalidArgument(f"{where}, annotation {place}: {one!r} is no JSON object", remedy=remedy)
        try:
            found.append(ParseDict(one, Annotation()))
        except (ParseError, AttributeError, TypeError) as error:
            raise InvalidArgument(f"{where}, annotation {place}: {error}", remedy=remedy) from None
    return found


def _state(state: int) -> str:
    """`verified empty`."""
    from framehouse.cli import output
    from framehouse.v1.dataset_pb2 import ImageState

    return output.word(ImageState, state)


def _part(text: str) -> tuple[int, int, int, int] | None:
    from framehouse.client.errors import InvalidArgument

    if not text:
        return None
    try:
        x, y, width, height = (int(number) for number in text.split(","))
    except ValueError:
        raise InvalidArgument(
            f"--crop is {text!r}", remedy="write four whole numbers: x,y,width,height, for instance 0,0,200,100"
        ) from None
    return x, y, width, height


def _write(path: Path, data: bytes) -> None:
    from framehouse.cli.whole_file import whole_file

    with whole_file(path) as part:
        part.write_bytes(data)
