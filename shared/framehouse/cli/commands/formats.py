"""`formats`: what can be read and written."""

from typing import TYPE_CHECKING, Annotated

import typer

from framehouse.cli.options import Address, Json

if TYPE_CHECKING:
    from framehouse.v1.conversion_pb2 import Format


def register(app: typer.Typer) -> None:
    app.command("formats")(formats)


def formats(
    id: Annotated[str, typer.Argument(help="Show this one alone, by its id or another name of it.")] = "",
    as_json: Json = False,
    address: Address = None,
) -> None:
    """List the formats and what each can hold.

    Where no suite runs, one is started for the time of the command.
    """
    from framehouse.cli import output, reach
    from framehouse.client.formats import named

    with reach.client_of_any(address) as client:
        found = client.list_formats()
    if id:
        chosen = named(id, found)
        if as_json:
            output.print_json(output.plain(chosen[0]))
        else:
            for number, one in enumerate(chosen):
                print("\n" * bool(number), end="")
                _print_one(one)
    elif as_json:
        output.print_json({"formats": [output.plain(one) for one in found]})
    else:
        output.print_table(
            ("id", "reads", "writes", "holds", "title"),
            ((one.id, _yes(one.can_read), _yes(one.can_write), _kinds(one), one.title) for one in found),
        )


def _print_one(one: "Format") -> None:
    from framehouse.cli import output

    print(f"{one.id}: {one.title}")
    output.print_facts(
        {
            "also called": ", ".join(one.aliases),
            "reads": _yes(one.can_read) or "no",
            "writes": _yes(one.can_write) or "no",
            "holds": _kinds(one),
            "splits": ", ".join(one.splits) or "any",
            "attributes": _yes(one.attributes) or "no",
            "crowd flag": _yes(one.crowd) or "no",
            "score": _yes(one.score) or "no",
            "tracks": _yes(one.tracks) or "no",
        }
    )
    if one.layout:
        print("\n" + "\n".join(f"    {line}" for line in one.layout.strip("\n").splitlines()))
    for note in one.notes:
        print(f"\n  {note}")
    if one.options:
        print("\n  options, for -O NAME=VALUE:")
        output.print_facts({f"  {option.field.partition('.')[2]}": option.description for option in one.options})


def _kinds(one: "Format") -> str:
    from framehouse.cli import output
    from framehouse.v1.annotation_pb2 import AnnotationKind

    return ", ".join(output.word(AnnotationKind, kind) for kind in one.kinds)


def _yes(value: bool) -> str:
    return "yes" if value else ""
