"""Where a suite is: the address given, the environment's, the one that runs on this machine, or the usual one."""

import json
import os
from pathlib import Path

USUAL_ADDRESS = "127.0.0.1:50050"


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
    """host:port of the gateway to call."""
    if named := address or os.environ.get("FRAMEHOUSE_ADDRESS"):
        return named
    try:
        return str(json.loads(state_file(data_folder()).read_text())["addresses"]["gateway"])
    except (OSError, ValueError, KeyError):
        return USUAL_ADDRESS
