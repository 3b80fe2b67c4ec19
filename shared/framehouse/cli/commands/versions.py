"""`versions`: what a dataset was at some moments, for ever; made, shown, compared, restored, and fetched."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from framehouse.cli.groups import listing
from framehouse.cli.options import Address, Json, Name

if TYPE_CHECKING:
    from framehouse.v1.dataset_pb2 import CompareVersionsResponse, Version

Of = Annotated[str, typer.Argument(metavar="NAME@VERSION", help="The version, for instance cars@3.")]
Description = Annotated[str, typer.Option("--description", "-m", help="What is to be known of it.")]


def register(app: typer.Typer) -> None:
    group = listing("versions")
    group.command("list")(listed)
    group.command("create")(create)
    group.command("show")(show)
    group.command("describe")(describe)
    group.command("compare")(compare)
    group.command("restore")(restore)
    group.command("download")(download)
    app.add_typer(group, help="List the versions of a dataset (framehouse versions NAME); make, compare, restore them.")


def listed(name: Name, as_json: Json = False, address: Address = None) -> None:
    """List the versions of a dataset, newest first."""
    from framehouse.cli import output, reach
    from framehouse.client.names import dataset_name

    full = dataset_name(name)
    with reach.client(address) as client:
        found = list(client.list_versions(name))
    if as_json:
        output.print_json({"dataset": full, "versions": [output.plain(one) for one in found]})
    elif not found:
        print(f"{name} has no versions yet; make one with `framehouse versions create {name}`", file=sys.stderr)
    else:
        output.print_table(
            ("version", "images", "annotations", "classes", "splits", "snapshot", "made", "description"),
            (
                (
                    one.number,
                    one.image_count,
                    one.annotation_count,
                    one.class_count,
                    output.splits(one.splits),
                    _snapshot(one),
                    output.when(one.create_time),
                    one.description.partition("\n")[0],
                )
                for one in found
            ),
            right=("version", "images", "annotations", "classes"),
        )


def create(
    name: Name,
    description: Description = "",
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until its snapshot is written.")] = True,
    as_json: Json = False,
    address: Address = None,
) -> None:
    """Make a version of a dataset as it is."""
    from framehouse.cli import live, reach

    with reach.client(address) as client, live.shown() as report:
        made = client.create_version(name, description, wait=wait, report=report)
    _print(made, f"{name}@{made.number}", as_json)


def show(name: Of, as_json: Json = False, address: Address = None) -> None:
    """Show a version, with a URL of its snapshot."""
    from framehouse.cli import reach

    with reach.client(address) as client:
        found = client.get_version(name)
    _print(found, name, as_json)


def describe(
    name: Of,
    description: Annotated[str, typer.Argument(metavar="DESCRIPTION", help="What is to be known of it.")],
    as_json: Json = False,
    address: Address = None,
) -> None:
    """Give a version another description."""
    from framehouse.cli import reach

    with reach.client(address) as client:
        changed = client.update_version(name, description)
    _print(changed, name, as_json)


def compare(
    base: Of,
    other: Annotated[
        str, typer.Argument(metavar="NAME@VERSION", help="Another one; without it what the dataset is.")
    ] = "",
    as_json: Json = False,
    address: Address = None,
) -> None:
    """Say what is different from one version to another, or to what the dataset is."""
    from framehouse.cli import output, reach

    with reach.client(address) as client:
        found = client.compare_versions(base, other)
    if as_json:
        output.print_json({"base": base, "other": other or base.rpartition("@")[0], **output.plain(found)})
    else:
        _print_comparison(found)


def restore(
    name: Of,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before the dataset is changed.")] = False,
    as_json: Json = False,
    address: Address = None,
) -> None:
    """Make a dataset what a version of it is. What it is now is lost, unless a version was made of it."""
    from framehouse.cli import output, reach
    from framehouse.cli.asking import confirm

    dataset = name.rpartition("@")[0]
    with reach.client(address) as client:
        etag = ""
        if not yes:
            there, now = client.get_version(name), client.get_dataset(dataset)
            before, after = (output.counted(one.image_count, "image") for one in (now, there))
            confirm(f"Replace {before} of {dataset} by {after} of {name}?", "nothing was restored")
            etag = now.etag
        done = client.restore_version(name, etag=etag)
    if as_json:
        output.print_json(output.plain(done))
    else:
        print(f"{dataset} is {name} again: {output.counted(done.image_count, 'image')}, {output.splits(done.splits)}")


def download(
    name: Of,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The file; without it NAME-vVERSION.ndjson.")] = None,
    as_json: Json = False,
    address: Address = None,
) -> None:
    """Fetch the snapshot of a version: Ultralytics NDJSON, with the hashes of the images in place of URLs."""
    from framehouse.cli import live, output, reach

    target = out or Path(f"{name.rpartition('/')[2].replace('@', '-v')}.ndjson")
    with reach.client(address) as client, live.shown() as report:
        written = client.download_snapshot(name, target, report)
    if as_json:
        output.print_json({"out": str(written), "size": written.stat().st_size})
    else:
        print(f"{written}: {output.size(written.stat().st_size)}")


def _print(version: "Version", name: str, as_json: bool) -> None:
    from framehouse.cli import output

    if as_json:
        output.print_json(output.plain(version))
        return
    print(f"{name}: {output.counted(version.image_count, 'image')}")
    output.print_facts(
        {
            "description": version.description,
            "annotations": version.annotation_count,
            "classes": version.class_count,
            "image bytes": output.size(version.image_bytes),
            "splits": output.splits(version.splits),
            "made": output.when(version.create_time),
            "snapshot": _snapshot(version),
            "snapshot URL": version.snapshot_url,
            "valid until": output.when(version.snapshot_url_expire_time),
        }
    )


def _snapshot(version: "Version") -> str:
    from framehouse.cli import output
    from framehouse.v1 import dataset_pb2

    is_ready = version.snapshot_state == dataset_pb2.SNAPSHOT_STATE_READY
    return output.size(version.snapshot_size) if is_ready else f"being written by {version.snapshot_job}"


def _print_comparison(found: "CompareVersionsResponse") -> None:
    from framehouse.cli import output

    images, annotations = found.images, found.annotations
    rows = [
        ("images", images.added_count, images.removed_count, images.changed_count),
        ("annotations", annotations.added_count, annotations.removed_count, annotations.changed_count),
    ]
    for one in found.labels:
        new = "  (new)" if one.added else "  (gone)" if one.removed else ""
        counts = one.annotations
        rows.append((f"  {one.label}{new}", counts.added_count, counts.removed_count, counts.changed_count))
    output.print_table(("", "added", "removed", "changed"), rows, right=("added", "removed", "changed"))
    if images.moved_count:
        print(f"{images.moved_count:,} of the changed images are in another split")
    for sign, paths, count in (
        ("+", images.added, images.added_count),
        ("-", images.removed, images.removed_count),
        ("~", images.changed, images.changed_count),
    ):
        for path in paths[:10]:
            print(output.visible(f"{sign} {path}"))
        if count > 10:
            print(f"{sign} … and {count - 10:,} more")
