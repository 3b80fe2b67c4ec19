"""`datasets`, `show`, `stats`; `create`, `edit`, `clone`, `star`, `delete`, `restore`: datasets as a whole."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from framehouse.cli.options import Address, Json, Name

if TYPE_CHECKING:
    from framehouse.client import Client
    from framehouse.v1.dataset_pb2 import Dataset
    from framehouse.v1.statistics_pb2 import Distribution

SHOWN_CLASSES = 30
TASK_HELP = "What it is for: detect, segment, semantic, pose, obb, classify, or all."

Title = Annotated[str, typer.Option(help="What it is called; its id where it is left away.")]
Description = Annotated[str, typer.Option(help="What is in it, in 10,000 letters.")]
License = Annotated[str, typer.Option(help="For instance CC-BY-4.0.")]
Task = Annotated[str, typer.Option(help=TASK_HELP)]


def register(app: typer.Typer) -> None:
    app.command("datasets")(datasets)
    app.command("show")(show)
    app.command("stats")(stats)
    app.command("create")(create)
    app.command("edit")(edit)
    app.command("clone")(clone)
    app.command("star")(star)
    app.command("delete")(delete)
    app.command("restore")(restore)


def datasets(
    selection: Annotated[
        str, typer.Option("--filter", metavar="FILTER", help="Which ones, for instance 'images > 100 license = MIT'.")
    ] = "",
    order_by: Annotated[str, typer.Option(metavar="ORDER", help="For instance 'stars desc, name'.")] = "",
    all_users: Annotated[bool, typer.Option("--all-users", help="All that you may see, not only your own.")] = False,
    trash: Annotated[bool, typer.Option("--trash", help="Those in the trash.")] = False,
    as_json: Json = False,
    address: Address = None,
) -> None:
    """List the datasets."""
    from framehouse.cli import output, reach
    from framehouse.client.names import short_name

    with reach.client(address) as client:
        found = client.list_datasets(selection, order_by, user="-" if all_users else "", trash=trash)
    if as_json:
        output.print_json({"datasets": [output.plain(one) for one in found]})
    elif not found and (selection or trash):
        print("the trash is empty" if trash and not selection else "no dataset is like that", file=sys.stderr)
    elif not found:
        print("no datasets yet; make one with `framehouse import PATH --name NAME`", file=sys.stderr)
    elif trash:
        output.print_table(
            ("name", "uid", "images", "size", "deleted", "removed for ever"),
            (
                (
                    short_name(one.name),
                    one.uid,
                    one.image_count,
                    output.size(one.image_bytes),
                    output.when(one.delete_time),
                    output.when(one.purge_time),
                )
                for one in found
            ),
            right=("images", "size"),
        )
    else:
        output.print_table(
            ("name", "images", "annotations", "classes", "size", "stars", "from", "made"),
            (
                (
                    short_name(one.name),
                    one.image_count,
                    one.annotation_count,
                    len(one.labels.labels),
                    output.size(one.image_bytes),
                    one.star_count,
                    one.source_format,
                    output.when(one.create_time),
                )
                for one in found
            ),
            right=("images", "annotations", "classes", "size", "stars"),
        )


def show(name: Name, as_json: Json = False, address: Address = None) -> None:
    """Show one dataset."""
    from framehouse.cli import output, reach
    from framehouse.client.names import dataset_name
    from framehouse.v1 import dataset_pb2

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
            "about": dataset.description,
            "licence": dataset.license + (", bound to that of its source" if dataset.license_locked else ""),
            "visible": "to everybody" if dataset.visibility == dataset_pb2.VISIBILITY_PUBLIC else "to its owner",
            "task": output.word(dataset_pb2.Task, dataset.task) if dataset.task else "",
            "cloned from": dataset.cloned_from.replace("/datasets/", "/").removeprefix("users/"),
            "version": dataset.version or "",
            "stars": f"{dataset.star_count}{', yours too' if dataset.starred else ''}",
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


def create(
    name: Name,
    title: Title = "",
    description: Description = "",
    license: License = "",
    public: Annotated[bool, typer.Option("--public", help="Let everybody read, export and clone it.")] = False,
    task: Task = "",
    classes: Annotated[
        list[str] | None, typer.Option("--class", metavar="CLASS", help="A class; repeat it for more, in their order.")
    ] = None,
    as_json: Json = False,
    address: Address = None,
) -> None:
    """Make a dataset without images; `framehouse import --add keep` adds to it."""
    from framehouse.cli import reach

    with reach.client(address) as client:
        dataset = client.create_dataset(
            name,
            display_name=title,
            description=description,
            license=license,
            visibility="public" if public else "private",
            task=task,
            labels=classes or (),
        )
    _print_done(dataset, as_json, "made")


def edit(
    name: Name,
    title: Annotated[str | None, typer.Option(help="What it is called; '' for its id.")] = None,
    description: Annotated[str | None, typer.Option(help="What is in it, in 10,000 letters.")] = None,
    license: Annotated[str | None, typer.Option(help="For instance CC-BY-4.0; '' for none.")] = None,
    public: Annotated[
        bool | None, typer.Option("--public/--private", help="Whether everybody may read, export and clone it.")
    ] = None,
    task: Annotated[str | None, typer.Option(help=TASK_HELP)] = None,
    as_json: Json = False,
    address: Address = None,
) -> None:
    """Change what a dataset says of itself: title, description, licence, visibility, task."""
    from framehouse.cli import reach

    with reach.client(address) as client:
        dataset = client.update_dataset(
            name,
            display_name=title,
            description=description,
            license=license,
            visibility=None if public is None else "public" if public else "private",
            task=task,
        )
    _print_done(dataset, as_json, "changed")


def clone(
    source: Annotated[str, typer.Argument(help="The dataset, or a version of it: ann/cars, ann/cars@3.")],
    name: Annotated[str, typer.Argument(help="The new dataset; without it, one of yours of the same name.")] = "",
    as_json: Json = False,
    address: Address = None,
) -> None:
    """Make a dataset of another one, or of a version of it, without copying an image."""
    from framehouse.cli import output, reach

    with reach.client(address) as client:
        dataset = client.clone_dataset(source, name)
    images = output.counted(dataset.image_count, "image")
    _print_done(dataset, as_json, f"made of {source}: {images}")


def star(
    name: Name,
    remove: Annotated[bool, typer.Option("--remove", help="Take the mark away.")] = False,
    as_json: Json = False,
    address: Address = None,
) -> None:
    """Mark a dataset as one that you like."""
    from framehouse.cli import output, reach

    with reach.client(address) as client:
        dataset = client.star_dataset(name, remove=remove)
    _print_done(dataset, as_json, f"{'not ' if remove else ''}starred: {output.counted(dataset.star_count, 'star')}")


def delete(
    name: Annotated[str, typer.Argument(help="The dataset; with --purge one of the trash too, by its name or uid.")],
    purge: Annotated[bool, typer.Option("--purge", help="Remove it for ever.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before it is removed for ever.")] = False,
    as_json: Json = False,
    address: Address = None,
) -> None:
    """Move a dataset to the trash, or remove it for ever."""
    from framehouse.cli import output, reach
    from framehouse.cli.asking import confirm
    from framehouse.client.errors import InvalidArgument, NotFound

    with reach.client(address) as client:
        if not purge:
            dataset = client.delete_dataset(name)
            until = output.when(dataset.purge_time)
            _print_done(dataset, as_json, f"in the trash until {until}; `framehouse restore {name}` takes it out")
            return
        try:
            dataset = client.get_dataset(name)
        except (NotFound, InvalidArgument):
            dataset = _of_trash(client, name)
        if not yes:
            images = output.counted(dataset.image_count, "image")
            confirm(f"Remove {name} with {images} and their annotations for ever?", f"{name} was not removed")
        if not dataset.HasField("delete_time"):
            dataset = client.delete_dataset(name, dataset.etag)
        client.purge_dataset(dataset.uid, user=dataset.name.split("/")[1])
    _print_done(dataset, as_json, "removed for ever")


def restore(
    name: Annotated[str, typer.Argument(help="The dataset in the trash: its name, or its uid.")],
    new_name: Annotated[str, typer.Option("--as", metavar="NAME", help="Another name than it had.")] = "",
    as_json: Json = False,
    address: Address = None,
) -> None:
    """Take a dataset out of the trash."""
    from framehouse.cli import output, reach

    with reach.client(address) as client:
        lies = _of_trash(client, name)
        dataset = client.restore_dataset(lies.uid, new_name, user=lies.name.split("/")[1])
    images = output.counted(dataset.image_count, "image")
    _print_done(dataset, as_json, f"there again: {images}")


def _of_trash(client: "Client", name: str) -> "Dataset":
    """The dataset in the trash that has this name or uid."""
    from framehouse.cli import output
    from framehouse.client.errors import InvalidArgument, NotFound
    from framehouse.client.names import dataset_name

    full = dataset_name(name)
    trash = client.list_datasets(user=full.split("/")[1], trash=True)
    found = [one for one in trash if full == one.name or name == one.uid]
    if not found:
        raise NotFound(f"no dataset {name!r} is in the trash", remedy="`framehouse datasets --trash` shows what is")
    if len(found) > 1:
        shown = ", ".join(f"{one.uid} of {output.when(one.delete_time)}" for one in found)
        raise InvalidArgument(
            f"{len(found)} datasets {name!r} are in the trash", remedy=f"say which by its uid: {shown}"
        )
    return found[0]


def _print_done(dataset: "Dataset", as_json: bool, what: str) -> None:
    from framehouse.cli import output
    from framehouse.client.names import short_name

    if as_json:
        output.print_json(output.plain(dataset))
    else:
        print(f"{short_name(dataset.name)} is {what}")


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
