"""Datumaro in a virtual environment of its own, made at first use."""

import json
import subprocess
import venv
from pathlib import Path
from typing import Any

REQUIREMENT = "datumaro==1.13.12"
ENVIRONMENT = Path(__file__).parents[2] / ".venv-datumaro"


class NotInstallable(Exception):
    """Datumaro cannot be had here; the text says why."""


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


def run(script: str, *arguments: str | Path) -> Any:
    """Runs a script of this folder in the environment, in a new process; answers with the JSON of its last line."""
    command = [ENVIRONMENT / "bin" / "python", "-P", Path(__file__).with_name(script), *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])
