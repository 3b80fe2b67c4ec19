"""How commands are put together: arguments are called in capitals in every help, and a group of commands about one
thing lists it where no command is named, as `framehouse versions cars`.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup

Function = TypeVar("Function", bound=Callable[..., Any])


class Command(TyperCommand):
    """Writes `NAME [PATH]...` in its help, where typer would write `{name} [paths]...`."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        for parameter in self.params:
            if isinstance(parameter, TyperArgument) and parameter.metavar is None:
                parameter.metavar = str(parameter.name).upper()

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return [piece.replace("{", "").replace("}", "") for piece in super().collect_usage_pieces(ctx)]


class Listing(TyperGroup):
    """Takes what is no command of its own for what its command `list` is to list."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        is_told = bool(args) or not self.no_args_is_help
        if is_told and not (args and (args[0] in self.commands or args[0] == "--help")):
            args = ["list", *args]
        return super().parse_args(ctx, args)


class Commands(typer.Typer):
    """Makes a `Command` of each function, in the panel of the help that is set when it is registered."""

    panel: str | None = None

    def command(self, name: str | None = None, **settings: Any) -> Callable[[Function], Function]:
        return super().command(name, **{"cls": Command, "rich_help_panel": self.panel, **settings})

    def add_typer(self, typer_instance: typer.Typer, **settings: Any) -> None:
        super().add_typer(typer_instance, **{"rich_help_panel": self.panel, **settings})


def listing(name: str, *, is_bare: bool = False) -> Commands:
    """A group that lists; `is_bare`: also where nothing is said but its name, which else shows its help."""
    return Commands(name=name, cls=Listing, no_args_is_help=not is_bare, pretty_exceptions_enable=False)
