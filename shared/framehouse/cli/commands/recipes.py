"""`recipes`: what exports are like, kept under names."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from framehouse.cli.choices import taking, writing
from framehouse.cli.groups import listing
from framehouse.cli.options import Address, Json

if TYPE_CHECKING:
    from framehouse.client.options import WriteChoices

Recipe = Annotated[str, typer.Argument(metavar="RECIPE", help="The recipe, for instance training.")]


def register(app: typer.Typer) -> None:
    group = listing("recipes", is_bare=True)
    group.command("list")(listed)
    group.command("show")(show)
    group.command("save")(save)
    group.command("delete")(delete)
    app.add_typer(
        group, help="List the recipes, what exports are like, for `framehouse export --recipe`; save and remove them."
    )


def listed(as_json: Json = False, address: Address = None) -> None:
    """List the recipes."""
    from framehouse.cli import output, reach

    with reach.client(address) as client:
        found = client.list_recipes()
    if as_json:
        output.print_json({"recipes": [output.plain(one) for one in found]})
    elif not found:
        print("no recipes; keep one with `framehouse recipes save NAME --to FORMAT`", file=sys.stderr)
    else:
        output.print_table(
            ("recipe", "title", "format", "changed"),
            (
                (one.name.rpartition("/")[2], one.display_name, one.write.format, output.when(one.update_time))
                for one in found
            ),
        )


def show(recipe: Recipe, as_json: Json = False, address: Address = None) -> None:
    """Show what a recipe says."""
    import json

    from google.protobuf import json_format

    from framehouse.cli import output, reach

    with reach.client(address) as client:
        found = client.get_recipe(recipe)
    if as_json:
        output.print_json(output.plain(found))
        return
    print(found.name)
    said = json_format.MessageToDict(found.write, preserving_proto_field_name=True)
    facts = {"title": found.display_name, "changed": output.when(found.update_time)}
    for name, value in said.items():
        facts[name.replace("_", " ")] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    output.print_facts(facts)


@taking(choices=writing)
def save(
    recipe: Recipe,
    *,
    to: Annotated[str, typer.Option("--to", help="The format; without it, exports say it.")] = "",
    title: Annotated[str, typer.Option(help="What it is called; without it, as its name is.")] = "",
    choices: "WriteChoices",
    as_json: Json = False,
    address: Address = None,
) -> None:
    """Keep a recipe, in place of the one of that name."""
    from framehouse.cli import output, reach
    from framehouse.client.errors import NotFound

    with reach.client(address) as client:
        try:
            kept = client.update_recipe(recipe, to, display_name=title, **choices)
        except NotFound:
            kept = client.create_recipe(recipe, to, display_name=title, **choices)
    if as_json:
        output.print_json(output.plain(kept))
    else:
        print(f"{recipe} is kept; use it with `framehouse export NAME --recipe {recipe}`")


def delete(recipe: Recipe, as_json: Json = False, address: Address = None) -> None:
    """Remove a recipe. What was exported with it stays."""
    from framehouse.cli import output, reach
    from framehouse.client.names import recipe_name

    with reach.client(address) as client:
        client.delete_recipe(recipe)
    if as_json:
        output.print_json({"name": recipe_name(recipe)})
    else:
        print(f"{recipe} is removed")
