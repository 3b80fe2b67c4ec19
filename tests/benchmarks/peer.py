"""Datumaro in a virtual environment of its own, made at first use, as a peer to measure against."""

import json
import subprocess
import venv
from pathlib import Path
from typing import NamedTuple

REQUIREMENT = "datumaro==1.13.12"
ENVIRONMENT = Path(__file__).parents[2] / ".venv-datumaro"
SCRIPT = Path(__file__).with_name("peer_convert.py")


class NotInstallable(Exception):
    """Datumaro cannot be had here; the text says why."""


class Converted(NamedTuple):
    """What one conversion took: seconds, and bytes at most."""

    unpack: float
    convert: float
    pack: float
    peak_memory: int


def install() -> None:
    """Makes the environment unless it is there. Raises `NotInstallable`."""
    ready = ENVIRONMENT / f".{REQUIREMENT}"
    if ready.exists():
        return
    try:
        venv.create(ENVIRONMENT, with_pip=True, clear=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise NotInstallable(f"no environment for {REQUIREMENT}: {error}") from error
    options = ("--quiet", "--disable-pip-version-check", "--only-binary=:all:")
    command: list[str | Path] = [ENVIRONMENT / "bin" / "python", "-m", "pip", "install", *options, REQUIREMENT]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = done.stderr.strip().rpartition("\n")[2]
        raise NotInstallable(f"{REQUIREMENT} cannot be installed: {last}")
    ready.touch()


def convert(source: Path, target: Path, source_format: str, target_format: str) -> Converted:
    """Converts an archive to another, in a new process."""
    python = ENVIRONMENT / "bin" / "python"
    command: list[str | Path] = [python, "-P", SCRIPT, source, target, source_format, target_format]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return Converted(**json.loads(done.stdout.splitlines()[-1]))
