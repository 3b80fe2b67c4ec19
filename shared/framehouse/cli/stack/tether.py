"""Runs a program that dies with the process that started it: `python tether.py SIGNAL PARENT COMMAND...`.

Where the kernel has no such bond (it is Linux's), the program just runs; the next `framehouse up` ends what was left.
Nothing of Framehouse is imported here: this runs for some ten milliseconds and is then replaced by the program.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    number, parent, *command = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if os.getppid() != int(parent):
            os.kill(os.getpid(), signal.SIGKILL)
    os.execv(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main()
