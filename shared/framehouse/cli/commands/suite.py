"""`up`, `status`, `down`: the suite on this machine."""

import os
import sys
import time
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from framehouse.cli.options import Data, Json

if TYPE_CHECKING:
    from framehouse.cli.stack.folder import Folder
    from framehouse.cli.stack.state import StackInfo


class Auth(StrEnum):
    """FRAMEHOUSE_AUTH."""

    NONE = "none"
    API_KEY = "api_key"


def register(app: typer.Typer) -> None:
    app.command("up")(up)
    app.command("status")(status)
    app.command("down")(down)


def up(
    data: Data = None,
    detach: Annotated[bool, typer.Option("--detach", help="Return when it is ready; it goes on.")] = False,
    auth: Annotated[
        Auth, typer.Option(envvar="FRAMEHOUSE_AUTH", help="Who may call: everybody on this machine, or who has a key.")
    ] = Auth.NONE,
) -> None:
    """Start the suite on this machine; Ctrl-C stops it."""
    from framehouse.cli.stack.folder import open_folder
    from framehouse.cli.stack.state import running

    began = time.monotonic()
    folder = open_folder(data)
    if folder.owner() is not None:
        if (info := running(folder)) is None or not info.ready:
            _say(f"the suite on {folder.root} is being started or stopped by another process")
            raise typer.Exit(1)
        print(f"Framehouse runs already on {folder.root}, process {info.pid}")
        _print_addresses(info)
        return
    _say(f"starting on {folder.root}")
    if detach:
        from framehouse.cli.stack.control import StartFailed, start

        try:
            info = start(folder.root, auth=auth)
        except StartFailed as error:
            _say(f"not started: {error}")
            raise typer.Exit(1) from None
        print(f"Framehouse is ready after {time.monotonic() - began:.1f} s; `framehouse down` stops it")
        _print_addresses(info)
        _print_key(folder, auth)
        return

    from framehouse.cli.stack.supervisor import NotStarted, supervise

    def ready(info: "StackInfo") -> None:
        print(f"Framehouse is ready after {time.monotonic() - began:.1f} s; Ctrl-C stops it")
        _print_addresses(info)
        _print_key(folder, auth)
        sys.stdout.flush()

    os.environ["FRAMEHOUSE_AUTH"] = auth
    try:
        supervise(folder, _say, ready)
    except NotStarted as error:
        _say(f"not started: {error}")
        raise typer.Exit(1) from None


def status(data: Data = None, as_json: Json = False) -> None:
    """Show the processes of the suite; exit status 0 where all are well."""
    from framehouse.cli import output
    from framehouse.cli.stack import health
    from framehouse.cli.stack.folder import open_folder
    from framehouse.cli.stack.servers import SERVERS
    from framehouse.cli.stack.state import ACCESS_KEY, memory, running
    from framehouse.runtime.topology import PORTS

    folder = open_folder(data)
    info = running(folder)
    if info is None:
        if as_json:
            output.print_json({"running": False, "data": str(folder.root)})
        _say(f"nothing runs on {folder.root}; start it with `framehouse up`")
        raise typer.Exit(1)
    by_name = {process.name: process for process in info.processes}
    rows: list[dict[str, Any]] = []
    for name in (*PORTS, *SERVERS):
        process = by_name.get(name)
        rows.append(
            {
                "name": name,
                "address": info.addresses[name],
                "pid": process.pid if process else None,
                "healthy": process is not None
                and health.is_healthy(process.check, process.address, ACCESS_KEY, folder.store_secret()),
                "memoryBytes": memory(process) if process else 0,
                "restarts": process.restarts if process else None,
            }
        )
    if as_json:
        output.print_json(
            {
                "running": True,
                "ready": info.ready,
                "data": str(info.data),
                "pid": info.pid,
                "addresses": dict(info.addresses),
                "processes": rows,
            }
        )
    else:
        output.print_table(
            ("process", "address", "pid", "health", "memory", "restarts"),
            (
                (
                    row["name"],
                    row["address"],
                    str(row["pid"] or ""),
                    "well" if row["healthy"] else "not well" if row["pid"] else "down",
                    output.size(row["memoryBytes"]),
                    row["restarts"] or 0,
                )
                for row in rows
            ),
            right=("pid", "memory", "restarts"),
        )
        print(f"http://{info.addresses['http']}, data in {info.data}")
    if not all(row["healthy"] for row in rows):
        raise typer.Exit(1)


def down(data: Data = None) -> None:
    """Stop the suite on this machine; its data stays."""
    from framehouse.cli.stack.control import stop
    from framehouse.cli.stack.folder import open_folder

    folder = open_folder(data)
    if stop(folder.root):
        print(f"stopped; the data stays in {folder.root}")
    else:
        print(f"nothing runs on {folder.root}")


def _print_addresses(info: "StackInfo") -> None:
    from framehouse.cli import output

    output.print_facts(
        {
            "gateway": f"{info.address} (gRPC), http://{info.addresses['http']} (web page, HTTP/JSON)",
            **{name: place for name, place in info.addresses.items() if name not in ("gateway", "http")},
            "data": info.data,
        }
    )


def _print_key(folder: "Folder", auth: Auth) -> None:
    from framehouse.client.address import admin_key_file

    if auth is Auth.API_KEY:
        print(f"  Calls need a key. That of an administrator is in {admin_key_file(folder.root)}, which commands on")
        print("  this data folder read by themselves; `framehouse keys create` makes keys for others.")


def _say(text: str) -> None:
    print(f"framehouse: {text}", file=sys.stderr, flush=True)
