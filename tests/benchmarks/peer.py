"""Datumaro's own convert, as a peer to measure against."""

from pathlib import Path
from typing import NamedTuple

from tests.peers import datumaro_environment


class Converted(NamedTuple):
    """What one conversion took: seconds, and bytes at most."""

    unpack: float
    convert: float
    pack: float
    peak_memory: int


def convert(source: Path, target: Path, source_format: str, target_format: str) -> Converted:
    """Converts an archive to another, in a new process."""
    return Converted(**datumaro_environment.run("datumaro_convert.py", source, target, source_format, target_format))
