"""Free ports on loopback: the usual one where nobody has it, else one that the kernel gives to nobody by itself."""

import contextlib
import fcntl
import os
import random
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

HOST = "127.0.0.1"
LOWEST = 15_000
LONGEST_TURN = 30.0
"""Seconds that a suite may take to listen everywhere, before the next one no longer waits for it."""
EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


@contextlib.contextmanager
def choosing(stopped: Callable[[float], bool]) -> Iterator[Callable[[], None]]:
    """Keeps other suites of this user from choosing ports until the answer is called, or the block ends.

    A port is free until somebody listens: two suites that start together would choose the same ones, and the services
    of one would call the servers of the other. `stopped` waits for some seconds; true ends the wait for the turn.
    """
    path = Path(tempfile.gettempdir()) / f"framehouse-{os.getuid()}.lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError:
        # Somebody else's file of that name; then there is nobody to wait for.
        yield lambda: None
        return
    try:
        end = time.monotonic() + LONGEST_TURN
        while not _try_lock(descriptor) and time.monotonic() < end and not stopped(0.1):
            pass
        yield lambda: fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def free_ports(wanted: Mapping[str, int | None]) -> dict[str, int]:
    """A free port for each name: the wanted one, or another where it is taken or `None`. All differ.

    A name that ends in `+10000` gets the port that lies that far above the one of the name before the sign.
    """
    with contextlib.ExitStack() as held:
        found: dict[str, int] = {}
        for name, usual in wanted.items():
            if name.endswith("+10000"):
                continue
            offsets = (0, 10_000) if f"{name}+10000" in wanted else (0,)
            found[name] = _hold(held, usual, offsets)
            if len(offsets) > 1:
                found[f"{name}+10000"] = found[name] + 10_000
        return found


def _hold(held: contextlib.ExitStack, usual: int | None, offsets: tuple[int, ...]) -> int:
    first = random.randrange(LOWEST, _highest())  # noqa: S311
    candidates = [] if usual is None else [usual]
    candidates += [*range(first, _highest()), *range(LOWEST, first)]
    for port in candidates:
        taken: list[socket.socket] = []
        try:
            for offset in offsets:
                taken.append(_listen(port + offset))
        except OSError:
            for one in taken:
                one.close()
            continue
        for one in taken:
            held.enter_context(one)
        return port
    raise OSError(f"no port between {LOWEST} and {_highest()} is free on {HOST}")


def _listen(port: int) -> socket.socket:
    # Binding alone does not show a port that is taken: with SO_REUSEADDR only listening does, and without it a port
    # whose last connection has just closed would look taken.
    listener = socket.socket()
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener


def _highest() -> int:
    """End of the ports that outgoing connections do not take at random."""
    try:
        return max(int(EPHEMERAL_RANGE.read_text().split()[0]), LOWEST + 5_000)
    except (OSError, ValueError, IndexError):
        return 32_768
