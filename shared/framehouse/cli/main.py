"""`framehouse`: puts the commands together and turns what goes wrong into one message and an exit status.

0: the result is there. 1: it is not, and the message on stderr says why. 2: the command was written wrongly.
130: Ctrl-C.
"""

import sys
from typing import Any

import typer
from typer.core import TyperGroup

from framehouse.cli.commands import archives, changes, datasets, duplicates, formats, images, issues, jobs, probe, suite


class _Commands(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interruption:
            _complain(f"cancelled; {interruption}" if interruption.args else "cancelled")
            raise typer.Exit(130) from None


app = typer.Typer(
    name="framehouse",
    help="Datasets of images and labels: import, measure, convert, export.",
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for group in (suite, archives, datasets, images, changes, duplicates, probe, issues, jobs, formats):
    group.register(app)


def main() -> None:
    """The entry point."""
    try:
        app()
    except Exception as error:
        from framehouse.client.errors import FramehouseError

        if isinstance(error, FramehouseError):
            _complain(error.message, error.remedy)
        else:
            _complain(f"unexpected {type(error).__name__}: {error}")
        sys.exit(1)


def _complain(text: str, remedy: str = "") -> None:
    from framehouse.cli.output import visible

    sys.stdout.flush()
    print(f"framehouse: {visible(text)}" + (f"\n  {visible(remedy)}" if remedy else ""), file=sys.stderr)


if __name__ == "__main__":
    main()
