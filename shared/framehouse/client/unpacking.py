"""Where a fetched archive goes: a zip file, or a folder that it is unpacked into, and nothing outside of it."""

import shutil
import stat
import zipfile
from pathlib import Path, PurePosixPath

from framehouse.client.errors import InvalidArgument


def unpack(archive: Path, folder: Path) -> int:
    """Writes all files of a zip below `folder`, checksums verified; answers with their number.

    Raises `InvalidArgument` for an entry that would leave the folder, before anything is written.
    """
    with zipfile.ZipFile(archive) as source:
        entries = [entry for entry in source.infolist() if not entry.is_dir()]
        for entry in entries:
            _check(entry)
        for entry in entries:
            target = folder / entry.filename
            target.parent.mkdir(parents=True, exist_ok=True)
            with source.open(entry) as data, target.open("wb") as file:
                shutil.copyfileobj(data, file, 1 << 20)
    return len(entries)


def _check(entry: zipfile.ZipInfo) -> None:
    path = PurePosixPath(entry.filename)
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if path.is_absolute() or ".." in path.parts or "\\" in entry.filename or kind not in (0, stat.S_IFREG):
        raise InvalidArgument(
            f"the archive has an entry {entry.filename!r} that is no plain file below its folder; nothing was unpacked",
            remedy="fetch it as a zip file and look at it",
            reason="ENTRY_ESCAPES",
        )


def check_target(out: str | Path | None) -> Path | None:
    """Where an archive goes; raises before a job is started for nothing."""
    if out is None:
        return None
    target = Path(out).expanduser()
    if target.suffix.lower() == ".zip":
        if target.is_dir():
            raise InvalidArgument(f"{str(target)!r} is a folder", remedy="name a zip file, or a new folder")
    elif target.is_dir() and any(target.iterdir()):
        raise InvalidArgument(f"the folder {str(target)!r} is not empty", remedy="name a new folder, or a zip file")
    elif target.exists() and not target.is_dir():
        raise InvalidArgument(f"{str(target)!r} exists and is no folder", remedy="name a new folder, or a zip file")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidArgument(
            f"the folder {str(target.parent)!r} cannot be made: {(error.strerror or str(error)).lower()}",
            remedy="name another place",
        ) from error
    return target
