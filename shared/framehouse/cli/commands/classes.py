"""`classes`: the classes of a dataset with their counts, and what can be done to them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from framehouse.cli.groups import listing
from framehouse.cli.options import Address, DryRun, Json, Name, VersionedName

if TYPE_CHECKING:
    from framehouse.v1.dataset_pb2 import ClassChange

Class = Annotated[str, typer.Argument(metavar="CLASS", help="The class.")]
Classes = Annotated[list[str], typer.Argument(metavar="CLASS", help="One class or more.")]


def register(app: typer.Typer) -> None:
    group = listing("classes")
    group.command("list")(listed)
    group.command("add")(add)
    group.command("rename")(rename)
    group.command("recolour")(recolour)
    group.command("merge")(merge)
    group.command("delete")(delete)
    group.command("reorder")(reorder)
    app.add_typer(group, help="List the classes of a dataset (framehouse classes NAME); change them.")


def listed(
    name: VersionedName,
    as_json: Json = False,
    address: Address = None,
) -> None:
    """List the classes of a dataset in their order, with their counts."""
    from framehouse.cli import output, reach
    from framehouse.client.names import versioned_name

    full, version = versioned_name(name)
    with reach.client(address) as client:
        found = client.list_classes(name)
    if as_json:
        classes = [output.plain(one) for one in found]
        output.print_json({"dataset": full, "version": version, "classes": classes})
        return
    output.print_table(
        ("", "class", "colour", "annotations", "images"),
        ((one.position, one.label.name, one.label.color, one.annotation_count, one.image_count) for one in found),
        right=("", "annotations", "images"),
    )


def add(
    name: Name,
    classes: Classes,
    colour: Annotated[str, typer.Option(metavar="#RRGGBB", help="Their colour.")] = "",
    dry_run: DryRun = False,
    as_json: Json = False,
    address: Address = None,
) -> None:
    """Add classes, after the others."""
    from framehouse.client import classes as changes

    _make(name, [changes.add(one, colour) for one in classes], dry_run, as_json, address)


def rename(
    name: Name,
    label: Class,
    new_name: Annotated[str, typer.Argument(metavar="NEW_NAME", help="A name that no other class has.")],
    dry_run: DryRun = False,
    as_json: Json = False,
    address: Address = None,
) -> None:
    """Give a class another name."""
    from framehouse.client import classes as changes

    _make(name, [changes.rename(label, new_name)], dry_run, as_json, address)


def recolour(
    name: Name,
    label: Class,
    colour: Annotated[str, typer.Argument(metavar="#RRGGBB", help="The colour; '' for none.")],
    dry_run: DryRun = False,
    as_json: Json = False,
    address: Address = None,
) -> None:
    """Give a class another colour."""
    from framehouse.client import classes as changes

    _make(name, [changes.recolour(label, colour)], dry_run, as_json, address)


def merge(
    name: Name,
    classes: Classes,
    into: Annotated[str, typer.Option(metavar="CLASS", help="The class that their annotations get; it stays.")],
    dry_run: DryRun = False,
    as_json: Json = False,
    address: Address = None,
) -> None:
    """Merge classes into another one. They go, and their annotations stay."""
    from framehouse.client import classes as changes

    _make(name, [changes.merge(classes, into=into)], dry_run, as_json, address)


def delete(
    name: Name,
    classes: Classes,
    annotations: Annotated[
        str, typer.Option(metavar="remove|keep", help="What becomes of their annotations; keep: they have no class.")
    ] = "",
    dry_run: DryRun = False,
    as_json: Json = False,
    address: Address = None,
) -> None:
    """Delete classes. Where they have annotations, say what becomes of those."""
    from framehouse.client import classes as changes
    from framehouse.client.errors import FailedPrecondition

    deletions = [changes.delete(one, annotations=annotations) for one in classes]
    try:
        _make(name, deletions, dry_run, as_json, address)
    except FailedPrecondition as error:
        if error.reason == "CLASS_USED":
            error.message, error.remedy = error.message.partition(";")[0], "add --annotations remove, or keep"
        raise


def reorder(
    name: Name,
    classes: Classes,
    dry_run: DryRun = False,
    as_json: Json = False,
    address: Address = None,
) -> None:
    """Put classes first, in this order. The ids in exports follow."""
    from framehouse.client import classes as changes

    _make(name, [changes.reorder(classes)], dry_run, as_json, address)


def _make(name: str, changes: "Sequence[ClassChange]", dry_run: bool, as_json: bool, address: str | None) -> None:
    from framehouse.cli import output, reach

    with reach.client(address) as client:
        done = client.change_classes(name, changes, validate_only=dry_run)
    if as_json:
        output.print_json(output.plain(done) | {"dryRun": dry_run})
        return
    for effect in done.effects:
        print(output.visible(effect.description))
    if dry_run:
        print("nothing was changed; without --dry-run it is")
