"""Where a suite is, and the key that it may ask for.

The address given, the environment's, the one that runs on this machine, or the usual one; the key likewise.
"""

import json
import os
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from framehouse.client.errors import InvalidArgument

USUAL_ADDRESS = "127.0.0.1:50050"


class Place(NamedTuple):
    """How an address is reached."""

    host: str
    port: int
    is_secure: bool
    """By TLS."""
    is_plain: bool
    """Asked for without TLS, in so many words."""

    @property
    def target(self) -> str:
        """host:port."""
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


def place_of(address: str) -> Place:
    """What `host:port`, `https://host:port` (TLS; also `grpcs://`) or `http://host:port` (without) names.

    Raises `InvalidArgument` for anything else.
    """
    scheme, _, rest = address.rpartition("://")
    try:
        parts = urlsplit(f"//{rest.rstrip('/')}")
        host, port = parts.hostname, parts.port or {"https": 443, "grpcs": 443, "http": 80}.get(scheme)
    except ValueError:
        host, port = None, None
    if scheme not in ("", "http", "https", "grpcs") or not host or not port or parts.path or "@" in rest:
        raise InvalidArgument(
            f"{address!r} is no address of a suite", remedy="write HOST:PORT, or https://HOST:PORT where it speaks TLS"
        )
    return Place(host, port, scheme in ("https", "grpcs"), scheme == "http")


def data_folder() -> Path:
    """The data folder of this user's suite; `FRAMEHOUSE_DATA` names another."""
    if named := os.environ.get("FRAMEHOUSE_DATA"):
        return Path(named)
    from platformdirs import user_data_path

    return user_data_path("framehouse", appauthor=False)


def state_file(folder: Path) -> Path:
    """Where a suite that runs on a data folder says how it is reached."""
    return folder / "run" / "stack.json"


def find_address(address: str | None = None) -> str:
    """The address of the gateway to call, as `place_of` takes it."""
    if named := address or os.environ.get("FRAMEHOUSE_ADDRESS"):
        return named
    return _address_here() or USUAL_ADDRESS


def _address_here() -> str:
    """Of the suite that runs on this user's data folder; empty where none does."""
    try:
        return str(json.loads(state_file(data_folder()).read_text())["addresses"]["gateway"])
    except (OSError, ValueError, KeyError):
        return ""


def find_api_key(address: str) -> str:
    """The key for the suite at an address: that of `FRAMEHOUSE_API_KEY`, or in the file that `FRAMEHOUSE_API_KEY_FILE`
    names, else the one that the suite of this user's data folder keeps there. Empty where there is none.
    """
    if key := given_api_key():
        return key
    if address == _address_here():
        try:
            return admin_key_file(data_folder()).read_text().strip()
        except OSError:
            pass
    return ""


def given_api_key() -> str:
    """The key of `FRAMEHOUSE_API_KEY`, or in the file that `FRAMEHOUSE_API_KEY_FILE` names; empty for none."""
    if key := os.environ.get("FRAMEHOUSE_API_KEY", "").strip():
        return key
    if not (named := os.environ.get("FRAMEHOUSE_API_KEY_FILE")):
        return ""
    try:
        return Path(named).expanduser().read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise InvalidArgument(f"the file of the key, {named!r}, cannot be read: {why}") from error


def admin_key_file(folder: Path) -> Path:
    """Where a suite that was started on a data folder and asks for keys keeps its first one, for its owner alone."""
    return folder / "secrets" / "admin_key"
