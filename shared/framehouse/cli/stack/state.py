"""What a running suite says of itself in `run/stack.json`: addresses and process ids, never a secret."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from framehouse.cli.stack.folder import Folder
from framehouse.runtime.topology import PORTS

ACCESS_KEY = "framehouse"


@dataclass(frozen=True)
class ProcessInfo:
    """One process of the suite. `started` is the kernel's time of its start, so that a reused pid is told apart."""

    name: str
    pid: int
    started: float
    address: str
    check: str
    restarts: int = 0


@dataclass(frozen=True)
class StackInfo:
    """A suite: where each part listens, and the processes it is made of."""

    data: Path
    pid: int
    ready: bool
    addresses: Mapping[str, str]
    """host:port by name: the six services, `http`, `store`, `temporal`."""
    processes: tuple[ProcessInfo, ...] = field(default=())

    @property
    def address(self) -> str:
        """host:port of the gateway's gRPC server, which clients call."""
        return self.addresses["gateway"]

    @property
    def services(self) -> dict[str, str]:
        """host:port of the gRPC server of each of the six services."""
        return {name: self.addresses[name] for name in PORTS}

    def environment(self) -> dict[str, str]:
        """The `FRAMEHOUSE_*` variables under which another process works on this suite; with the store's secret."""
        return {"FRAMEHOUSE_ADDRESS": self.address, **environment(Folder(self.data), self.addresses)}


def environment(folder: Folder, addresses: Mapping[str, str]) -> dict[str, str]:
    """What every service of a suite is told."""
    services = ("ingest", "media", "conversion", "statistics", "export")
    return {
        **{f"FRAMEHOUSE_{name.upper()}_ADDRESS": addresses[name] for name in services},
        "FRAMEHOUSE_STORE_ENDPOINT": addresses["store"],
        "FRAMEHOUSE_STORE_PUBLIC_ENDPOINT": "",
        "FRAMEHOUSE_STORE_SECURE": "false",
        "FRAMEHOUSE_STORE_BUCKET": "framehouse",
        "FRAMEHOUSE_STORE_ACCESS_KEY": ACCESS_KEY,
        "FRAMEHOUSE_STORE_SECRET_KEY": folder.store_secret(),
        "FRAMEHOUSE_PUBLIC_URL": f"http://{addresses['http']}",
        "FRAMEHOUSE_URL_SIGNING_KEY": folder.url_signing_key(),
        "FRAMEHOUSE_IDENTITY_KEY": folder.identity_key(),
        "FRAMEHOUSE_TEMPORAL_ADDRESS": addresses["temporal"],
        "FRAMEHOUSE_TEMPORAL_NAMESPACE": "default",
        "FRAMEHOUSE_DATABASE_URL": f"sqlite:///{folder.catalogue}",
    }


def write_state(folder: Folder, info: StackInfo) -> None:
    """Replaces the state file in one step."""
    scratch = folder.state.with_suffix(".new")
    scratch.write_text(json.dumps(asdict(info), default=str, indent=1))
    scratch.rename(folder.state)


def read_state(folder: Folder) -> StackInfo | None:
    """The state as the supervisor wrote it last, whether it lives or not."""
    try:
        fields: dict[str, Any] = json.loads(folder.state.read_text())
        processes = tuple(ProcessInfo(**one) for one in fields.pop("processes"))
        return StackInfo(**{**fields, "data": Path(fields["data"])}, processes=processes)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def running(folder: Folder) -> StackInfo | None:
    """The suite that runs on this folder; `None` where none does, or it has not yet said where it is."""
    owner = folder.owner()
    info = read_state(folder)
    return info if info is not None and info.pid == owner else None


def remove_state(folder: Folder) -> None:
    folder.state.unlink(missing_ok=True)


def is_alive(process: ProcessInfo) -> bool:
    """Whether that very process still runs."""
    import psutil

    try:
        return bool(abs(psutil.Process(process.pid).create_time() - process.started) < 1)
    except psutil.Error:
        return False


def memory(process: ProcessInfo) -> int:
    """Resident bytes of a process and those it started; 0 where it is gone."""
    import psutil

    try:
        one = psutil.Process(process.pid)
        return sum(int(each.memory_info().rss) for each in (one, *one.children(recursive=True)))
    except psutil.Error:
        return 0


def kill_leftovers(info: StackInfo) -> list[str]:
    """Ends what a supervisor that was killed has left behind; answers with the names."""
    import signal

    left = [process for process in info.processes if is_alive(process)]
    for process in left:
        os.killpg(process.pid, signal.SIGKILL)
    return [process.name for process in left]
