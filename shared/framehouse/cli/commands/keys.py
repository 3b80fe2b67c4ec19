"""`keys`: who may call what, where the suite asks for keys; `keys create` and `keys revoke`."""

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from framehouse.cli.groups import listing
from framehouse.cli.options import Address, Json

if TYPE_CHECKING:
    from framehouse.v1 import key_pb2

SECONDS = {"m": 60, "h": 3600, "d": 86_400}

Owner = Annotated[
    str, typer.Option(help="A user, for instance ann; without it the one of FRAMEHOUSE_USER, else the key's.")
]


def register(app: typer.Typer) -> None:
    group = listing("keys", is_bare=True)
    group.command("list")(listed)
    group.command("create")(create)
    group.command("revoke")(revoke)
    app.add_typer(group, help="List the keys of a user; make and revoke them.")


def listed(owner: Owner = "", as_json: Json = False, address: Address = None) -> None:
    """List the keys of a user, newest first; `-` as owner lists those of all."""
    from framehouse.cli import output, reach

    with reach.client(address) as client:
        found = client.list_keys(owner)
    if as_json:
        output.print_json({"keys": [output.plain(key) for key in found]})
        return
    if not found:
        print("no keys; make one with `framehouse keys create`", file=sys.stderr)
        return
    output.print_table(
        ("key", "begins with", "for", "scopes", "made", "last used", "state"),
        (
            (
                key.name,
                key.prefix,
                key.display_name,
                _scopes(key),
                output.when(key.create_time),
                output.when(key.last_used_time),
                _state(key),
            )
            for key in found
        ),
    )


def create(
    owner: Owner = "",
    scope: Annotated[
        list[str] | None, typer.Option(help="read, write or admin; once for each. Without it read and write.")
    ] = None,
    name: Annotated[str, typer.Option(help="What it is for.")] = "",
    expires: Annotated[str, typer.Option(help="Its life, as 30d, 12h or 90m; without it, it does not end.")] = "",
    requests_per_second: Annotated[int, typer.Option(help="Calls in a second; 0 as the suite is set.")] = 0,
    concurrent_jobs: Annotated[int, typer.Option(help="Jobs of its owner at once; 0 as the suite is set.")] = 0,
    stored_bytes: Annotated[int, typer.Option(help="Bytes that its owner may keep; 0 as the suite is set.")] = 0,
    as_json: Json = False,
    address: Address = None,
) -> None:
    """Make a key, and print its secret, which is not shown again."""
    from framehouse.cli import output, reach

    with reach.client(address) as client:
        key = client.create_key(
            owner,
            scopes=scope or ("read", "write"),
            display_name=name,
            expire_time=_end(expires),
            requests_per_second=requests_per_second,
            concurrent_jobs=concurrent_jobs,
            stored_bytes=stored_bytes,
        )
    if as_json:
        output.print_json(output.plain(key))
        return
    print(key.secret)
    output.print_facts(
        {
            "key": key.name,
            "scopes": _scopes(key),
            "ends": output.when(key.expire_time),
            "use": f"FRAMEHOUSE_API_KEY={key.prefix}…",
            "note": "the secret is not shown again",
        }
    )


def revoke(
    key: Annotated[str, typer.Argument(metavar="KEY", help="As users/ann/keys/1f0c…, from `framehouse keys`.")],
    as_json: Json = False,
    address: Address = None,
) -> None:
    """Take a key out of use, within seconds and for ever."""
    from framehouse.cli import output, reach

    with reach.client(address) as client:
        client.revoke_key(key)
    if as_json:
        output.print_json({"name": key, "revoked": True})
    else:
        print(f"{output.visible(key)} is revoked")


def _end(text: str) -> datetime | None:
    """The end of a life such as 30d, from now on."""
    if not text:
        return None
    number, unit = text[:-1], text[-1:]
    if not (number.isascii() and number.isdigit() and 0 < len(number) < 6 and unit in SECONDS):
        raise typer.BadParameter(f"{text!r} is no life; write 30d, 12h or 90m", param_hint="--expires")
    return datetime.fromtimestamp(datetime.now(UTC).timestamp() + int(number) * SECONDS[unit], UTC)


def _scopes(key: "key_pb2.Key") -> str:
    from framehouse.client.methods.keys import SCOPES

    return ", ".join(name for name, number in SCOPES.items() if number in key.scopes)


def _state(key: "key_pb2.Key") -> str:
    from framehouse.cli import output

    if key.HasField("revoke_time"):
        return f"revoked {output.when(key.revoke_time)}"
    if not key.HasField("expire_time"):
        return "in use"
    over = key.expire_time.ToDatetime(UTC) <= datetime.now(UTC)
    return f"{'ended' if over else 'ends'} {output.when(key.expire_time)}"
