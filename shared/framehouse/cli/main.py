"""`framehouse`: puts the commands together and turns what goes wrong into one message and an exit status.

0: the result is there. 1: it is not, and the message on stderr says why. 2: the command was written wrongly.
130: Ctrl-C.
"""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from framehouse.cli.commands import (
    archives,
    changes,
    classes,
    datasets,
    duplicates,
    exports,
    formats,
    images,
    issues,
    jobs,
    keys,
    probe,
    recipes,
    suite,
    versions,
)
from framehouse.cli.groups import Commands


class _Commands(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interruption:
            _complain(f"cancelled; {interruption}" if interruption.args else "cancelled")
            raise typer.Exit(130) from None


app = Commands(
    name="framehouse",
    help="Datasets of images and labels: import, measure, convert, export.",
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
PANELS = {
    "Suite": (suite, keys),
    "In and out": (archives, exports, recipes, formats, probe, issues, jobs),
    "Datasets": (datasets, versions),
    "Images and classes": (images, changes, classes, duplicates),
}
for panel, modules in PANELS.items():
    app.panel = panel
    for module in modules:
        module.register(app)


@app.callback()
def options(
    api_key_file: Annotated[
        Path | None,
        typer.Option(
            help="File with the key for a suite that asks for one; without it FRAMEHOUSE_API_KEY has the key, or "
            "FRAMEHOUSE_API_KEY_FILE names its file."
        ),
    ] = None,
) -> None:
    if api_key_file is not None:
        os.environ["FRAMEHOUSE_API_KEY_FILE"] = str(api_key_file)
        os.environ.pop("FRAMEHOUSE_API_KEY", None)


def main() -> None:
    """The entry point."""
    # gRPC says by itself what errors say in words: that a handshake failed, for instance.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    try:
        app()
    except Exception as error:
        from framehouse.client.errors import FramehouseError

        if isinstance(error, FramehouseError):
            from framehouse.cli.wording import REMEDIES, in_commands

            _complain(in_commands(error.message), in_commands(REMEDIES.get(error.reason, error.remedy)))
        else:
            _complain(f"unexpected {type(error).__name__}: {error}")
        sys.exit(1)


def _complain(text: str, remedy: str = "") -> None:
    from framehouse.cli.output import visible

    sys.stdout.flush()
    print(f"framehouse: {visible(text)}" + (f"\n  {visible(remedy)}" if remedy else ""), file=sys.stderr)


if __name__ == "__main__":
    main()
