"""Which uploads of this user are not complete, so that the same upload, begun again, goes on where it stopped.

One small file a source and suite, in the user's state folder; `FRAMEHOUSE_STATE` names another folder. What has arrived
is not written down: the suite is asked.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from framehouse.client.packing import Archive

KEPT_SECONDS = 7 * 24 * 3600
"""As long as a suite keeps an upload open."""


class Bookmark:
    """What is remembered of a source's upload to a suite; nobody else has it while it is open."""

    def __init__(self, file: IO[str], path: Path, fingerprint: str) -> None:
        self._file = file
        self._path = path
        self._fingerprint = fingerprint
        self.upload = ""
        """`uploads/{upload}`, not complete as far as is known; empty where there is none."""
        self.is_stale = False
        """Whether that upload was of other bytes than the source has now."""
        try:
            held = json.load(file)
            self.upload = str(held["upload"])
            self.is_stale = held["fingerprint"] != fingerprint
        except (ValueError, KeyError, TypeError):
            pass  # new, or cut off while it was written

    def keep(self, upload: str) -> None:
        """Remembers an upload of the source as it is now."""
        self._write(json.dumps({"upload": upload, "fingerprint": self._fingerprint}))
        self.upload, self.is_stale = upload, False

    def forget(self) -> None:
        """Remembers nothing."""
        self._write("")
        self.upload, self.is_stale = "", False

    def close(self) -> None:
        """Lets others have it."""
        if not self.upload:
            self._path.unlink(missing_ok=True)
        self._file.close()

    def _write(self, text: str) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._file.write(text)
        self._file.flush()


@contextmanager
def bookmark(address: str, archive: Archive) -> Iterator[Bookmark | None]:
    """The bookmark of an archive at the suite at host:port.

    None where the state folder cannot be written, and where the same archive is on its way already: two that send
    parts of one upload would take it from each other.
    """
    try:
        mark = _open(address, archive)
    except (OSError, ImportError):
        mark = None
    try:
        yield mark
    finally:
        if mark is not None:
            mark.close()


def _open(address: str, archive: Archive) -> Bookmark:
    import fcntl  # not on Windows

    folder = _folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for old in folder.iterdir():
        if old.stat().st_mtime < time.time() - KEPT_SECONDS:
            old.unlink(missing_ok=True)
    key = hashlib.sha256(f"{address}\n{archive.path.absolute()}".encode(errors="surrogateescape")).hexdigest()[:32]
    path = folder / f"{key}.json"
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return Bookmark(file, path, archive.fingerprint())
    except BaseException:
        file.close()
        raise


def _folder() -> Path:
    if named := os.environ.get("FRAMEHOUSE_STATE"):
        return Path(named) / "uploads"
    from platformdirs import user_state_path

    return user_state_path("framehouse", appauthor=False) / "uploads"
