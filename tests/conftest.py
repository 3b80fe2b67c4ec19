"""One real suite for the run, started by the first test that asks for it, in a folder of its own on free ports."""

import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from framehouse.cli.stack.control import running_stack
from framehouse.cli.stack.state import StackInfo
from framehouse.client import Client
from framehouse.store.bucket import Bucket

Framehouse = Callable[..., subprocess.CompletedProcess[str]]
COMMAND = Path(sys.executable).with_name("framehouse")
COMMAND_SECONDS = 120

# The same examples in every run, however busy the machine is; `--hypothesis-profile=default` looks for others.
settings.register_profile("same", deadline=None, derandomize=True, database=None)
settings.load_profile("same")


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackInfo]:
    """The suite. Code in this process, and commands that it starts, work on it too."""
    from framehouse.runtime import channels, config
    from framehouse.store.bucket import bucket

    # Tests fetch from servers of their own, on loopback.
    os.environ["FRAMEHOUSE_FETCH_URLS"] = "any"
    os.environ["FRAMEHOUSE_S3_SOURCES_FILE"] = str(tmp_path_factory.mktemp("sources") / "s3.json")
    with running_stack(tmp_path_factory.mktemp("suite")) as info:
        folders = {"FRAMEHOUSE_DATA": str(info.data), "FRAMEHOUSE_STATE": str(info.data / "state")}
        os.environ.update(info.environment() | folders)
        for cached in (config.settings, channels.connect, bucket):
            cached.cache_clear()
        yield info


@pytest.fixture(scope="session")
def bucket(stack: StackInfo) -> Bucket:
    """The suite's bucket."""
    from framehouse.store.bucket import bucket

    return bucket()


@pytest.fixture(scope="session")
def client(stack: StackInfo) -> Iterator[Client]:
    """A client of the suite."""
    with Client(stack.address) as client:
        yield client


@pytest.fixture(scope="session")
def framehouse(stack: StackInfo) -> Framehouse:
    """Runs the command: `framehouse("stats", "cars", "--json").stdout`."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(COMMAND), *arguments]
        return subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=COMMAND_SECONDS, stdin=subprocess.DEVNULL
        )

    return run


@pytest.fixture
def unique_name() -> str:
    """A dataset's name that no other test has."""
    return f"test-{uuid.uuid4().hex[:12]}"
