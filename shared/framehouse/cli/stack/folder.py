"""The data folder of a suite: where its data, logs, secrets and state lie, and the lock that keeps it to one suite."""

import fcntl
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from framehouse.client.address import admin_key_file, data_folder, state_file


@dataclass(frozen=True)
class Folder:
    """Paths under one data folder."""

    root: Path

    @property
    def store(self) -> Path:
        return self.root / "store"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def state(self) -> Path:
        return state_file(self.root)

    @property
    def temporal(self) -> Path:
        return self.root / "temporal.db"

    @property
    def catalogue(self) -> Path:
        return self.root / "catalogue.db"

    @property
    def store_config(self) -> Path:
        return self.root / "secrets" / "store.json"

    def make(self) -> None:
        """Makes the folders, readable by their owner alone. Raises OSError where that cannot be."""
        for path in (self.root, self.store, self.logs, self.run, self.root / "secrets"):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.root / "secrets").chmod(0o700)

    def store_secret(self) -> str:
        """The secret key of the object store."""
        return self._secret("store_secret_key")

    def url_signing_key(self) -> str:
        """What the URLs of images are signed with."""
        return self._secret("url_signing_key")

    def identity_key(self) -> str:
        """What the gateway signs with who calls."""
        return self._secret("identity_key")

    def admin_key(self) -> str:
        """The first key of a suite that asks for keys, with the scope admin."""
        return self._secret(admin_key_file(self.root).name, "fh_")

    def _secret(self, name: str, prefix: str = "") -> str:
        """A secret that is made at the first call and kept."""
        path = self.root / "secrets" / name
        if not path.exists():
            _write_private(path, prefix + secrets.token_urlsafe(32))
        return path.read_text().strip()

    def write_store_config(self, access_key: str) -> None:
        """Tells the object store its only identity."""
        identity = {
            "name": access_key,
            "credentials": [{"accessKey": access_key, "secretKey": self.store_secret()}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        _write_private(self.store_config, json.dumps({"identities": [identity]}))

    def store_ports(self) -> dict[str, int]:
        """The ports that the store's inner servers had before: the master names its folder by its port."""
        try:
            return {str(name): int(port) for name, port in json.loads(self._ports.read_text()).items()}
        except (OSError, ValueError, AttributeError):
            return {}

    def keep_store_ports(self, ports: Mapping[str, int]) -> None:
        self._ports.write_text(json.dumps({name: port for name, port in ports.items() if name.startswith("store-")}))

    @property
    def _ports(self) -> Path:
        return self.root / "ports.json"

    def lock(self) -> int | None:
        """Takes the folder for this process; `None` where another one has it. Held until the process ends."""
        descriptor = os.open(self.run / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        return descriptor

    def owner(self) -> int | None:
        """Process id of the supervisor that has the folder now."""
        try:
            descriptor = os.open(self.run / "lock", os.O_RDWR)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            text = os.pread(descriptor, 20, 0).decode()
            return int(text) if text.isdigit() else None
        finally:
            os.close(descriptor)
        return None


def open_folder(path: Path | None) -> Folder:
    """The data folder at `path`, or the user's own; nothing is made yet."""
    return Folder((path or data_folder()).expanduser().absolute())


def _write_private(path: Path, text: str) -> None:
    scratch = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    scratch.rename(path)
