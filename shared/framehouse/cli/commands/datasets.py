"""`datasets`, `show`, `stats`, `delete`: what is kept."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from framehouse.cli.options import Address, Json, Name

if TYPE_CHECKING:
    from framehouse.v1.statistics_pb2 import Distribution

SHOWN_CLASSES = 30


def register(app: typer.Typer) -> None:
    app.command("datasets")(datasets)
    app.command("show")(show)
    app.command("stats")(stats)
    app.command("delete")(delete)


def datasets(as_json: Json = False, address: Address = None) -> None:
    """List the datasets."""
    from framehouse.cli import output, reach
    from framehouse.client.names import short_name

    with reach.client(address) as client:
        found = client.list_datasets()
    if as_json:
        output.print_json({"datasets": [output.plain(one) for one in found]})
    elif not found:
        print("no datasets yet; make one with `framehouse import PATH --name NAME`", file=sys.stderr)
    else:
        output.print_table(
            ("name", "images", "annotations", "classes", "size", "from", "made"),
            (
                (
                    short_name(one.name),
                    one.image_count,
                    one.annotation_count,
                    len(one.labels.labels),
                    output.size(one.image_bytes),
                    one.source_format,
                    output.when(one.create_time),
                )
                for one in found
            ),
            right=("images", "annotations", "classes", "size"),
        )


def show(name: Name, as_json: Json = False, address: Address = None) -> None:
    """Show one dataset."""
    from framehouse.cli import output, reach
    from framehouse.client.names import dataset_name

    dataset_name(name)
    with reach.client(address) as client:
        dataset = client.get_dataset(name)
    if as_json:
        output.print_json(output.plain(dataset))
        return
    print(dataset.name)
    output.print_facts(
        {
            "title": dataset.display_name,
            "images": dataset.image_count,
            "annotations": dataset.annotation_count,
            "classes": ", ".join(label.name for label in dataset.labels.labels),
            "splits": output.splits(dataset.splits),
            "size": output.size(dataset.image_bytes),
            "read as": dataset.source_format,
            "state": f"not ready to train on: it needs {', '.join(dataset.missing)}" if dataset.missing else "ready",
            "made": output.when(dataset.create_time),
            "changed": output.when(dataset.update_time),
        }
    )
    output.print_issues(dataset.issues, ())


def stats(name: Name, as_json: Json = False, address: Address = None) -> None:
    """Measure a dataset: splits, classes, objects per image, sizes."""
    from framehouse.cli import output, reach
    from framehouse.client.names import dataset_name, short_name

    dataset_name(name)
    with reach.client(address) as client:
        numbers = client.statistics(name)
    if as_json:
        output.print_json(output.plain(numbers))
        return
    print(
        f"{short_name(numbers.dataset)}: {output.counted(numbers.image_count, 'image')} "
        f"({numbers.annotated_image_count:,} annotated), {output.counted(numbers.annotation_count, 'annotation')}"
    )
    output.print_facts(
        {
            "splits": output.splits(numbers.splits),
            "kinds": ", ".join(f"{one.kind} {one.annotation_count:,}" for one in numbers.kinds),
            "files": ", ".join(f"{one.format} {one.image_count:,}" for one in numbers.image_formats),
        }
    )
    print()
    classes = sorted(numbers.classes, key=lambda one: -one.annotation_count)
    output.print_table(
        ("class", "annotations", "images"),
        ((one.label, one.annotation_count, one.image_count) for one in classes[:SHOWN_CLASSES]),
        right=("annotations", "images"),
    )
    if len(classes) > SHOWN_CLASSES:
        print(f"and {len(classes) - SHOWN_CLASSES:,} more; --json has all")
    print()
    output.print_table(
        ("", "min", "median", "mean", "max", "distribution"),
        (
            (title, *(_cell(value) for value in (one.min, one.median, one.mean, one.max)), _bars(one))
            for title, one in (
                ("objects per image", numbers.objects_per_image),
                ("image width, px", numbers.image_width),
                ("image height, px", numbers.image_height),
                ("image size, bytes", numbers.image_bytes),
                ("box width, px", numbers.box_width),
                ("box height, px", numbers.box_height),
                ("box area / image", numbers.box_relative_area),
            )
            if one.count
        ),
        right=("min", "median", "mean", "max"),
    )


def delete(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    address: Address = None,
) -> None:
    """Remove a dataset."""
    from framehouse.cli import output, reach
    from framehouse.client.errors import InvalidArgument
    from framehouse.client.names import dataset_name

    dataset_name(name)
    with reach.client(address) as client:
        dataset = client.get_dataset(name)
        if not yes:
            if not sys.stdin.isatty():
                raise InvalidArgument(f"{name} was not removed: nobody is there to be asked", remedy="add --yes")
            images = output.counted(dataset.image_count, "image")
            typer.confirm(f"Remove {name} with {images} and their annotations?", abort=True)
        client.delete_dataset(name, dataset.etag)
    print(f"{name} is removed")


def _cell(value: float) -> str:
    from framehouse.cli.output import number

    return number(value)


def _bars(distribution: "Distribution") -> str:
    """A histogram as a line of blocks."""
    top = max(distribution.histogram, default=0)
    if not top or distribution.min == distribution.max:
        return ""
    blocks = " ▁▂▃▄▅▆▇█"
    return "".join(blocks[-(-count * (len(blocks) - 1) // top)] for count in distribution.histogram)
