"""The way to a suite: the one that answers, or, for commands that keep nothing, one started for their own time."""

import contextlib
import os
import socket
import sys
from collections.abc import Iterator

from framehouse.cli.stack.control import StartFailed, running_stack
from framehouse.client import Client
from framehouse.client.address import find_address, place_of
from framehouse.client.errors import FailedPrecondition, no_suite

CONNECT_SECONDS = 2.0


@contextlib.contextmanager
def client(address: str | None) -> Iterator[Client]:
    """A client of the suite that answers; raises `Unavailable`, with how to start one, where none does."""
    place = find_address(address)
    if not _listens(place):
        raise no_suite(place)
    with Client(place) as found:
        yield found


@contextlib.contextmanager
def client_of_any(address: str | None) -> Iterator[Client]:
    """A client of the suite that answers; where none was named and none runs, of one that ends with the block."""
    named = address or os.environ.get("FRAMEHOUSE_ADDRESS")
    if named or _listens(find_address()):
        with client(address) as found:
            yield found
        return
    print("no suite runs; starting one for the time of this command", file=sys.stderr, flush=True)
    try:
        # Nobody can come back to this suite for what was sent to it.
        with running_stack() as stack, Client(stack.address, resumes=False) as found:
            yield found
    except StartFailed as error:
        raise FailedPrecondition(f"the suite could not be started: {error}", reason="SUITE_NOT_STARTED") from error


def _listens(place: str) -> bool:
    found = place_of(place)
    try:
        with socket.create_connection((found.host, found.port), CONNECT_SECONDS):
            return True
    except (OSError, ValueError, OverflowError):
        return False
