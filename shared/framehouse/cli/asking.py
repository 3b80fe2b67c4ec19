"""Questions before something is lost."""

import sys

import typer

from framehouse.client.errors import InvalidArgument


def confirm(question: str, undone: str) -> None:
    """Ends the command where the answer is no.

    Raises `InvalidArgument` where nobody is there to answer; `undone` says what was not done.
    """
    if not sys.stdin.isatty():
        raise InvalidArgument(f"{undone}: nobody is there to be asked", remedy="add --yes")
    typer.confirm(question, abort=True)
