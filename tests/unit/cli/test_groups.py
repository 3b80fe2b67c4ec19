"""How commands are called in their helps, and what groups of them do where no command is named."""

from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from framehouse.cli.commands.changes import parse_shares
from framehouse.cli.groups import listing
from framehouse.cli.main import app


def commands(command: Any, path: str = "framehouse") -> Iterator[tuple[str, Any]]:
    yield path, command
    for name, one in getattr(command, "commands", {}).items():
        yield from commands(one, f"{path} {name}")


def test_helps_call_arguments_in_capitals() -> None:
    usages = {path: one.get_usage(typer.Context(one, info_name=path)) for path, one in commands(get_command(app))}
    arguments = {path: usage.split()[len(path.split()) + 1 :] for path, usage in usages.items()}
    assert arguments["framehouse change"] == ["[OPTIONS]", "NAME", "[PATH]..."]
    assert arguments["framehouse classes merge"] == ["[OPTIONS]", "NAME", "CLASS..."]
    assert not [path for path, words in arguments.items() if "".join(words) != "".join(words).upper()]


@pytest.mark.parametrize(
    ("said", "is_bare", "shown"),
    [
        ("", True, "lists all"),
        ("cars", True, "lists cars"),
        ("list cars", True, "lists cars"),
        ("show cars", True, "shows cars"),
        ("--help", True, "Usage"),
        ("", False, "Usage"),
        ("cars", False, "lists cars"),
    ],
)
def test_a_group_lists_where_no_command_is_named(said: str, is_bare: bool, shown: str) -> None:
    group = listing("things", is_bare=is_bare)

    @group.command("list")
    def listed(name: str = typer.Argument("all")) -> None:
        print("lists", name)

    @group.command("show")
    def show(name: str) -> None:
        print("shows", name)

    assert shown in CliRunner().invoke(group, said).output


def test_shares_are_taken_as_they_are_written() -> None:
    assert parse_shares("70/20/10") == pytest.approx({"train": 0.7, "val": 0.2, "test": 0.1})
    assert parse_shares("0.5/0.5") == {"train": 0.5, "val": 0.5}
    assert parse_shares("70/20") == {"train": 0.7, "val": 0.2}
