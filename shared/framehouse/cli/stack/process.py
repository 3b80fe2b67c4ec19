"""One process of the suite: started in a session of its own, logged, started again with back-off when it dies."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from framehouse.cli.stack.servers import Program
from framehouse.cli.stack.state import ProcessInfo

FIRST_BACKOFF = 0.5
LONGEST_BACKOFF = 30.0
LONG_LIFE = 60.0
"""Seconds after which a process counts as sound, so that its next restart is quick again."""
LOG_BYTES = 16 << 20
TETHER = Path(__file__).with_name("tether.py")


class Process:
    """A program that is kept running until it is told to stop."""

    def __init__(self, program: Program, logs: Path, folder: Path) -> None:
        self.program = program
        self.restarts = 0
        self._log = logs / f"{program.name}.log"
        self._folder = folder
        self._child: subprocess.Popen[bytes] | None = None
        self._began = 0.0
        self._backoff = FIRST_BACKOFF
        self._due = 0.0

    def start(self) -> None:
        """Starts it now; its log of before is kept as `.1`."""
        with contextlib.suppress(FileNotFoundError):
            self._log.replace(self._log.with_suffix(".log.1"))
        self._spawn()

    def _spawn(self) -> None:
        # The services can be killed at any point, that is how they are built; the servers close their files.
        last_word = signal.SIGTERM if self.program.is_server else signal.SIGKILL
        tether = (sys.executable, "-I", "-S", str(TETHER), str(int(last_word)), str(os.getpid()))
        with self._log.open("ab") as log:
            self._child = subprocess.Popen(
                (*tether, *self.program.command),
                env={**os.environ, **self.program.environment},
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._began = time.monotonic()

    def look_after(self) -> str:
        """Notices a death, starts again what is due; answers with what there is to say, or nothing."""
        now = time.monotonic()
        if self._child is None:
            if now < self._due:
                return ""
            self.restarts += 1
            self._spawn()
            return f"{self.program.name} is started again"
        status = self._child.poll()
        if status is None:
            self._bound_log()
            return ""
        self._kill_group(self._child.pid)
        if now - self._began > LONG_LIFE:
            self._backoff = FIRST_BACKOFF
        wait, self._backoff = self._backoff, min(self._backoff * 2, LONGEST_BACKOFF)
        self._child, self._due = None, now + wait
        return f"{self.program.name} {_how_it_ended(status)}; again in {wait:g} s; its log: {self._log}"

    @property
    def is_down(self) -> bool:
        """Whether it waits to be started again."""
        return self._child is None

    def info(self) -> ProcessInfo | None:
        """What is told of it; `None` while it is down."""
        import psutil

        if self._child is None:
            return None
        try:
            started = psutil.Process(self._child.pid).create_time()
        except psutil.Error:
            return None
        name, address, check = self.program.name, self.program.address, self.program.check
        return ProcessInfo(name, self._child.pid, started, address, check, self.restarts)

    def listens(self) -> bool:
        """Whether it is this very process that listens on its port."""
        import psutil

        if self._child is None:
            return False
        port = int(self.program.address.rpartition(":")[2])
        try:
            sockets = psutil.Process(self._child.pid).net_connections("tcp")
        except psutil.Error:
            return False
        return any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in sockets)

    def last_lines(self, count: int = 5) -> list[str]:
        """The end of its log."""
        with contextlib.suppress(OSError), self._log.open("rb") as log:
            log.seek(max(self._log.stat().st_size - 4096, 0))
            return log.read().decode(errors="replace").splitlines()[-count:]
        return []

    def ask_to_stop(self) -> None:
        if self._child is not None and self._child.poll() is None:
            self._child.terminate()

    def wait(self, deadline: float) -> bool:
        """Waits for its end until a time of the monotonic clock; whether it has ended."""
        if self._child is None:
            return True
        try:
            self._child.wait(max(deadline - time.monotonic(), 0))
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        """Ends it, and what it has left of its session, at once."""
        if self._child is not None:
            self._kill_group(self._child.pid)
            self._child.wait()
            self._child = None

    @staticmethod
    def _kill_group(pid: int) -> None:
        """Ends what the process has left of its own session."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)

    def _bound_log(self) -> None:
        # The file is written in append mode, so that cutting it leaves no hole.
        with contextlib.suppress(OSError):
            if self._log.stat().st_size > LOG_BYTES:
                shutil.copyfile(self._log, self._log.with_suffix(".log.1"))
                os.truncate(self._log, 0)


def _how_it_ended(status: int) -> str:
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"ended with status {status}"
