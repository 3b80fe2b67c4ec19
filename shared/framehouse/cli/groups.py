"""Groups of commands about one thing, which is listed where no command is named: `framehouse versions cars`."""

from typing import Any

from typer.core import TyperGroup


class Listing(TyperGroup):
    """Takes what is no command of its own for what its command `list` is to list."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["list", *args]
        return super().parse_args(ctx, args)
