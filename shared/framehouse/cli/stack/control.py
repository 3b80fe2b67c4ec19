"""Starts a suite as a process of its own, finds it, stops it; and a suite for the time of a `with` block."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from framehouse.cli.stack.folder import Folder, open_folder
from framehouse.cli.stack.state import StackInfo, running

STOP_SECONDS = 25.0


class StartFailed(Exception):
    """The suite did not come up; the text says why."""


def start(data: Path | None = None, *, auth: str = "none", lifeline: int | None = None) -> StackInfo:
    """Starts a suite in the background and answers when all of it is well; the one that runs already, where one does.

    `auth` is FRAMEHOUSE_AUTH of its services. With `lifeline`, the read end of a pipe, the suite ends when the write
    end is closed: with its owner, however that ends. Raises `StartFailed`.
    """
    folder = open_folder(data)
    try:
        folder.make()
    except OSError as error:
        raise StartFailed(
            f"cannot use {folder.root} as data folder: {error.strerror}; name another by --data"
        ) from error
    child: subprocess.Popen[bytes] | None = None
    if folder.owner() is None:
        command = [sys.executable, "-P", "-m", "framehouse.cli.stack.supervisor", str(folder.root)]
        with _last_words(folder).open("wb") as output:
            child = subprocess.Popen(
                command if lifeline is None else [*command, "--lifeline"],
                stdin=subprocess.DEVNULL if lifeline is None else lifeline,
                stdout=output,
                stderr=output,
                cwd=folder.run,
                env={**os.environ, "FRAMEHOUSE_AUTH": auth},
                start_new_session=True,
            )
    try:
        return _wait_until_ready(folder, child)
    except KeyboardInterrupt:
        if child is not None:
            child.terminate()
        raise


def _wait_until_ready(folder: Folder, child: "subprocess.Popen[bytes] | None") -> StackInfo:
    while True:
        if (info := running(folder)) is not None and info.ready:
            return info
        if folder.owner() is None and (child is None or child.poll() is not None):
            reason = _last_words(folder).read_text(errors="replace").strip() if child else "it was just being stopped"
            raise StartFailed(reason or f"its logs are in {folder.logs}")
        time.sleep(0.05)


def _last_words(folder: Folder) -> Path:
    return folder.logs / "supervisor.err"


def stop(data: Path | None = None) -> bool:
    """Stops the suite of a data folder and waits for its end; whether there was one."""
    folder = open_folder(data)
    owner = folder.owner()
    if owner is None:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(owner, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while folder.owner() == owner and time.monotonic() < deadline:
        time.sleep(0.05)
    return True


@contextlib.contextmanager
def running_stack(data: Path | None = None, *, auth: str = "none") -> Iterator[StackInfo]:
    """A suite that lives as long as the block, and no longer than this process; in a folder of its own without `data`.

    Where one runs on `data` already, that one is lent and left running.
    """
    if data is not None and open_folder(data).owner() is not None:
        yield start(data)
        return
    root = data or Path(tempfile.mkdtemp(prefix="framehouse-"))
    reader, writer = os.pipe()
    try:
        try:
            info = start(root, auth=auth, lifeline=reader)
        finally:
            os.close(reader)
        yield info
    finally:
        os.close(writer)
        _wait_for_end(open_folder(root))
        if data is None:
            shutil.rmtree(root, ignore_errors=True)


def find(data: Path | None = None) -> StackInfo | None:
    """The suite that runs on a data folder."""
    return running(open_folder(data))


def _wait_for_end(folder: Folder) -> None:
    deadline = time.monotonic() + STOP_SECONDS
    while folder.owner() is not None and time.monotonic() < deadline:
        time.sleep(0.05)
