"""Starts one service by its name: `python -m services media` is `python -m services.media`.

It lets one container image hold all six, without a shell.
"""

import runpy
import sys

from framehouse.runtime.topology import PORTS


def main() -> None:
    match sys.argv[1:]:
        case [name] if name in PORTS:
            del sys.argv[1]
            runpy.run_module(f"services.{name}", run_name="__main__", alter_sys=True)
        case _:
            sys.exit(f"usage: python -m services NAME, where NAME is one of {', '.join(PORTS)}")


if __name__ == "__main__":
    main()
