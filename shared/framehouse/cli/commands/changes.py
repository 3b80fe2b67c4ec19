"""`change`, `removals` and `splits`: many images of a dataset at once."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from framehouse.cli.options import Address, DryRun, Json, Name

if TYPE_CHECKING:
    from framehouse.v1.dataset_pb2 import ChangeImagesResponse

ORDER = ("train", "val", "test")
"""What shares without names are of."""
SHOWN = 3
"""Paths that are shown of a removal."""


def register(app: typer.Typer) -> None:
    app.command("change")(change)
    app.command("removals")(removals)
    app.command("splits")(splits)


def change(
    name: Name,
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="PATH", help="Paths of images in the dataset, in place of a filter."),
    ] = None,
    selection: Annotated[
        str, typer.Option("--filter", metavar="FILTER", help="Which images, as of `framehouse images`; '*' for all.")
    ] = "",
    split: Annotated[str | None, typer.Option(help="Move them to this split; '' for none.")] = None,
    state: Annotated[str, typer.Option(help="Set their state: verified-empty or unannotated.")] = "",
    remove: Annotated[bool, typer.Option("--remove", help="Remove them from the dataset.")] = False,
    dry_run: DryRun = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before they are removed.")] = False,
    as_json: Json = False,
    address: Address = None,
) -> None:
    """Move images to a split, set their state, or remove them: by path or by filter, all or nothing."""
    from framehouse.cli import output, reach
    from framehouse.cli.asking import confirm
    from framehouse.client.names import dataset_name

    dataset_name(name)
    with reach.client(address) as client:
        etag = ""
        if remove and not yes and not dry_run:
            asked = client.change_images(name, selection, images=paths or [], remove=True, validate_only=True)
            confirm(f"Remove {output.counted(asked.changed_count, 'image')} of {name}?", "nothing was removed")
            etag = asked.dataset.etag
        done = client.change_images(
            name,
            selection,
            images=paths or [],
            move_to_split=split,
            state=state,
            remove=remove,
            etag=etag,
            validate_only=dry_run,
        )
    what = "removed" if remove else f"now {state}" if state else f"moved to {split}" if split else "moved to no split"
    _print_done(name, done, what, dry_run, as_json)


def removals(
    name: Name,
    paths: Annotated[list[str] | None, typer.Argument(metavar="PATH", help="Put these images back.")] = None,
    removal: Annotated[str, typer.Option(metavar="ID", help="Put back what this removal took.")] = "",
    selection: Annotated[
        str, typer.Option("--filter", metavar="FILTER", help="Put back those like this, as they were; '*' for all.")
    ] = "",
    dry_run: DryRun = False,
    as_json: Json = False,
    address: Address = None,
) -> None:
    """List the removals of images from a dataset, newest first, or put removed images back."""
    from framehouse.cli import output, reach
    from framehouse.client.errors import InvalidArgument
    from framehouse.client.names import dataset_name

    full = dataset_name(name)
    if dry_run and not (paths or removal or selection):
        raise InvalidArgument("nothing is put back", remedy="say what: --removal ID, --filter, or paths")
    with reach.client(address) as client:
        if paths or removal or selection:
            done = client.restore_images(name, selection, removal=removal, images=paths or [], validate_only=dry_run)
            _print_done(name, done, "put back", dry_run, as_json)
            return
        found = list(client.list_removals(name))
    if as_json:
        output.print_json({"dataset": full, "removals": [output.plain(one) for one in found]})
        return
    if not found:
        print("no images were removed that could be put back", file=sys.stderr)
        return
    output.print_table(
        ("id", "removed", "until", "images", "paths"),
        (
            (
                one.name.rpartition("/")[2],
                output.when(one.create_time),
                output.when(one.expire_time),
                one.image_count,
                ", ".join(one.paths[:SHOWN]) + ("…" if one.image_count > SHOWN else ""),
            )
            for one in found
        ),
        right=("images",),
    )


def splits(
    name: Name,
    redistribute: Annotated[
        str,
        typer.Option(metavar="SHARES", help="Deal the images out anew: 80/20, 70/20/10, or train=0.8,val=0.2."),
    ] = "",
    seed: Annotated[int, typer.Option(help="Another number deals otherwise.")] = 0,
    stratify: Annotated[bool, typer.Option("--stratify", help="Keep the shares within each class.")] = False,
    group: Annotated[
        str,
        typer.Option(metavar="GROUP", help="Keep images together: folder, look (they look alike), or attribute:NAME."),
    ] = "",
    dry_run: DryRun = False,
    as_json: Json = False,
    address: Address = None,
) -> None:
    """Show the splits of a dataset, or deal its images out to them anew."""
    from framehouse.cli import output, reach
    from framehouse.client.errors import InvalidArgument
    from framehouse.client.names import dataset_name

    full = dataset_name(name)
    if not redistribute and (seed or stratify or group or dry_run):
        raise InvalidArgument("nothing is dealt out", remedy="say the shares: --redistribute 80/20")
    shares = parse_shares(redistribute) if redistribute else {}
    with reach.client(address) as client:
        if not shares:
            dataset = client.get_dataset(name)
            total, counts, changed = dataset.image_count, dataset.splits, None
        else:
            done = client.redistribute_splits(
                name, shares, seed=seed, stratify=stratify, group=group, validate_only=dry_run
            )
            total, counts, changed = sum(one.image_count for one in done.splits), done.splits, done.changed_count
    if as_json:
        document: dict[str, object] = {"dataset": full, "splits": [output.plain(one) for one in counts]}
        output.print_json(document if changed is None else document | {"changedCount": changed, "dryRun": dry_run})
        return
    output.print_table(
        ("split", "images", "share"),
        ((one.split or "(none)", one.image_count, f"{one.image_count / max(total, 1):.1%}") for one in counts),
        right=("images", "share"),
    )
    if changed is not None:
        print(f"{output.counted(changed, 'image')} {'would change' if dry_run else 'changed'} their split")


def _print_done(name: str, done: "ChangeImagesResponse", what: str, dry_run: bool, as_json: bool) -> None:
    from framehouse.cli import output

    if as_json:
        output.print_json(output.plain(done) | {"dryRun": dry_run})
        return
    print(f"{output.counted(done.changed_count, 'image')} {f'would be {what}' if dry_run else what}")
    if not dry_run:
        print(f"{name}: {output.splits(done.dataset.splits)}")


def parse_shares(text: str) -> dict[str, float]:
    """`{"train": 0.8, "val": 0.2}` of `80/20` or `train=0.8,val=0.2`."""
    from framehouse.client.errors import InvalidArgument

    try:
        if "=" not in text:
            parts = [float(part) for part in text.split("/")]
            if 1 < len(parts) <= len(ORDER):
                whole = 1 if sum(parts) < 2 else 100
                return dict(zip(ORDER, (part / whole for part in parts), strict=False))
        else:
            pairs = [part.split("=") for part in text.split(",")]
            shares = {split.strip(): float(share) for split, share in pairs}
            if len(shares) == len(pairs):
                return shares
    except ValueError:
        pass
    raise InvalidArgument(f"{text!r} says no shares", remedy="write 80/20, 70/20/10, or train=0.8,val=0.2")
