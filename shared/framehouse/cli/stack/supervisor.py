"""The process that keeps a suite alive: starts its parts together, waits until all are well, restarts what dies.

`framehouse up` runs it in the terminal; detached, it is `python -m framehouse.cli.stack.supervisor FOLDER`. It holds
the data folder's lock for its life, and leaves no process behind.
"""

import argparse
import contextlib
import os
import select
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from framehouse.cli.stack.folder import Folder, open_folder
from framehouse.cli.stack.ports import choosing, free_ports
from framehouse.cli.stack.process import Process
from framehouse.cli.stack.servers import USUAL_PORTS, MissingProgram, addresses, programs
from framehouse.cli.stack.state import (
    ACCESS_KEY,
    StackInfo,
    kill_leftovers,
    read_state,
    remove_state,
    write_state,
)

START_SECONDS = 90.0
START_ATTEMPTS = 4
"""Restarts of one process after which a start is given up."""
SERVICE_STOP_SECONDS = 8.0
SERVER_STOP_SECONDS = 10.0
LONGEST_SOCKET_FOLDER = 80
"""A Unix socket's path has room for some hundred bytes."""
TICK_SECONDS = 0.1
QUIET_TICK_SECONDS = 1.0

Say = Callable[[str], None]


class NotStarted(Exception):
    """The suite could not be started; the text says why and what to do."""


def supervise(folder: Folder, say: Say, when_ready: Callable[[StackInfo], None], lifeline: int | None = None) -> None:
    """Runs a suite until SIGTERM or SIGINT, or until the other end of `lifeline`, a file descriptor, is closed.

    With a lifeline it is a private one, on none of the usual ports. Raises `NotStarted` where it cannot be started;
    nothing runs then.
    """
    try:
        folder.make()
    except OSError as error:
        raise NotStarted(
            f"cannot use {folder.root} as data folder: {error.strerror}; name another by --data"
        ) from error
    if folder.lock() is None:
        raise NotStarted(f"a suite runs already on {folder.root}")
    say = _logged(say, folder.logs / "supervisor.log")
    if (before := read_state(folder)) is not None and (names := kill_leftovers(before)):
        say(f"ended what an earlier run had left: {', '.join(names)}")
    sockets = folder.run
    if len(bytes(sockets)) > LONGEST_SOCKET_FOLDER:
        sockets = Path(tempfile.mkdtemp(prefix="framehouse-"))
    signals = _Signals(lifeline)
    try:
        with choosing(signals.wait) as chosen:
            # A suite that ends with its owner must not be found where people look for theirs.
            usual = USUAL_PORTS if lifeline is None else dict.fromkeys(USUAL_PORTS)
            ports = free_ports({**usual, **folder.store_ports()})
            folder.keep_store_ports(ports)
            suite = _Suite(folder, [Process(one, folder.logs, folder.run) for one in programs(folder, ports, sockets)])

            def ready(info: StackInfo) -> None:
                chosen()
                when_ready(info)

            try:
                suite.run(addresses(ports), signals, say, ready)
            finally:
                say("stopping")
                suite.stop(signals, say)
    except MissingProgram as error:
        raise NotStarted(str(error)) from error
    finally:
        remove_state(folder)
        if sockets != folder.run:
            shutil.rmtree(sockets, ignore_errors=True)
        signals.restore()


class _Suite:
    """All processes of a suite."""

    def __init__(self, folder: Folder, processes: list[Process]) -> None:
        self._folder = folder
        self._processes = processes
        self._secret = folder.store_secret()

    def run(
        self, places: dict[str, str], signals: "_Signals", say: Say, when_ready: Callable[[StackInfo], None]
    ) -> None:
        for process in self._processes:
            process.start()
        waiting = list(self._processes)
        began = time.monotonic()
        self._write(places, ready=False)
        while not signals.wait(TICK_SECONDS if waiting or self._has_fallen() else QUIET_TICK_SECONDS):
            changes = [text for process in self._processes if (text := process.look_after())]
            for text in changes:
                say(text)
            if not waiting:
                if changes:
                    self._write(places, ready=True)
                continue
            waiting = [process for process in waiting if not self._is_well(process)]
            if not waiting:
                say(f"ready; the gateway is at {places['gateway']}")
                when_ready(self._write(places, ready=True))
            elif time.monotonic() - began > START_SECONDS or any(one.restarts > START_ATTEMPTS for one in waiting):
                raise NotStarted(_why_not(waiting))
            elif changes:
                self._write(places, ready=False)

    def _has_fallen(self) -> bool:
        return any(process.is_down for process in self._processes)

    def _is_well(self, process: Process) -> bool:
        from framehouse.cli.stack import health

        program = process.program
        # What answers there must be ours, and not what took the port a moment before.
        if not process.listens():
            return False
        if program.check == "s3":
            return health.Store(program.address, ACCESS_KEY, self._secret).takes()
        return health.is_serving(program.address, program.check)

    def _write(self, places: dict[str, str], *, ready: bool) -> StackInfo:
        up = tuple(told for process in self._processes if (told := process.info()) is not None)
        info = StackInfo(self._folder.root, os.getpid(), ready, places, up)
        write_state(self._folder, info)
        return info

    def stop(self, signals: "_Signals", say: Say) -> None:
        """Ends the services, then the servers. A second signal ends the patience."""
        services = [process for process in self._processes if not process.program.is_server]
        servers = [process for process in self._processes if process.program.is_server]
        for group, seconds in ((services, SERVICE_STOP_SECONDS), (servers, SERVER_STOP_SECONDS)):
            for process in group:
                process.ask_to_stop()
            deadline = time.monotonic() + seconds
            for process in group:
                while not process.wait(min(deadline, time.monotonic() + TICK_SECONDS)):
                    if signals.wait(0.0) and signals.count > 1:
                        deadline = 0.0
                    if time.monotonic() > deadline:
                        say(f"{process.program.name} did not stop by itself and was killed")
                        break
                process.kill()


class _Signals:
    """The wish to stop: a signal, or the end of the process at the other end of the lifeline."""

    def __init__(self, lifeline: int | None) -> None:
        self.count = 0
        self._lifeline = lifeline
        self._receiver, self._sender = socket.socketpair()
        self._sender.setblocking(False)
        self._wakeup = signal.set_wakeup_fd(self._sender.fileno(), warn_on_full_buffer=False)
        self._before = {
            number: signal.signal(number, self._note) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        }
        # Only so that a child's death ends the wait; who died is found by asking each.
        self._before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)

    def _note(self, *_: object) -> None:
        self.count += 1

    def wait(self, seconds: float) -> bool:
        """Waits that long, or until something happens; whether to stop."""
        watched = [self._receiver.fileno()] + ([] if self._lifeline is None else [self._lifeline])
        readable, _, _ = select.select(watched, [], [], seconds)
        if self._receiver.fileno() in readable:
            self._receiver.recv(4096)
        if self._lifeline in readable and not os.read(self._lifeline, 1):
            self._lifeline = None
            self.count += 1
        return self.count > 0

    def restore(self) -> None:
        signal.set_wakeup_fd(self._wakeup)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._receiver.close()
        self._sender.close()


def _logged(say: Say, path: Path) -> Say:
    """Writes down what is said, too; the log of the run before is kept as `.1`."""
    with contextlib.suppress(FileNotFoundError):
        path.replace(path.with_suffix(".log.1"))

    def both(text: str) -> None:
        with contextlib.suppress(OSError), path.open("a") as log:
            print(f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} {text}", file=log)
        say(text)

    return both


def _why_not(waiting: list[Process]) -> str:
    # Those that fell tell more than those that only wait for them.
    told = [process for process in waiting if process.restarts] or waiting
    names = ", ".join(process.program.name for process in told)
    lines = [f"  {process.program.name}: {line}" for process in told for line in process.last_lines()]
    return "\n".join([f"{names} did not get well; the end of the log:", *lines])


def main() -> None:
    """The detached supervisor: what it says is in its log; why it did not start, on stderr."""
    parser = argparse.ArgumentParser(description="Runs a suite until it is told to stop.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--lifeline", action="store_true", help="stop when standard input is closed")
    arguments = parser.parse_args()

    lifeline = sys.stdin.fileno() if arguments.lifeline else None
    try:
        supervise(open_folder(arguments.folder), lambda text: None, lambda info: None, lifeline)
    except NotStarted as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
