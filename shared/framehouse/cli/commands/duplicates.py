"""`duplicates`: images of a dataset that have the same bytes, or look alike."""

import sys
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from framehouse.cli.options import Address, Json, Name

if TYPE_CHECKING:
    from framehouse.v1.dataset_pb2 import DuplicateGroup

SHOWN_PATHS = 5


def register(app: typer.Typer) -> None:
    app.command("duplicates")(duplicates)


def duplicates(
    name: Name,
    distance: Annotated[
        int, typer.Option(min=0, max=8, help="Those that look alike: 1 is most alike, 8 least; 0 for the same bytes.")
    ] = 0,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Show so many groups; 20 without it, all with --json.")
    ] = None,
    as_json: Json = False,
    address: Address = None,
) -> None:
    """List images that have the same bytes or look alike, and those of them that are in several splits."""
    from framehouse.cli import output, reach
    from framehouse.client.names import dataset_name

    full = dataset_name(name)
    with reach.client(address) as client:
        found = client.list_duplicates(name, distance)
        if as_json:
            documents = (output.plain(group) for group in islice(found, limit))
            output.print_json_list({"dataset": full}, "groups", documents)
            return
        shown = list(islice(found, limit or 20))
        groups = [*((one.image_count, one.size, len(one.splits)) for one in (*shown, *found))]
    if not groups:
        print("no images look alike" if distance else "no image is there twice", file=sys.stderr)
        return
    size_column = "size of first" if distance else "size of each"
    output.print_table(
        ("images", size_column, "splits", "paths"),
        ((one.image_count, output.size(one.size), _splits(one), _paths(one)) for one in shown),
        right=("images", size_column),
    )
    if len(groups) > len(shown):
        print(f"{len(shown):,} of {len(groups):,} groups; a larger --limit shows more", file=sys.stderr)
    extra = sum(count - 1 for count, _, _ in groups)
    wasted = output.size(sum((count - 1) * size for count, size, _ in groups))
    across = sum(splits > 1 for _, _, splits in groups)
    again = output.counted(extra, "image")
    print(f"{again} like another one" if distance else f"{again} more than once, {wasted}")
    if across:
        print(f"{output.counted(across, 'group')} in several splits: a model is tested on what it was trained on")


def _splits(group: "DuplicateGroup") -> str:
    return ", ".join(split or "(none)" for split in group.splits)


def _paths(group: "DuplicateGroup") -> str:
    more = group.image_count - SHOWN_PATHS
    return ", ".join(group.paths[:SHOWN_PATHS]) + (f" and {more:,} more" if more > 0 else "")
