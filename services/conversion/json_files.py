"""JSON label files of any size: outlined in one pass, their members decoded, what is no JSON refused with its line.

`whose` names the tool that a file should be of.
"""

from typing import Any

import msgspec

from framehouse.runtime import errors
from services.conversion.archive import Archive
from services.conversion.json_outline import Malformed, Outline, error_line
from services.conversion.json_problems import UNREADABLE, reason_of
from services.conversion.unpacked import unpacked


def outlined(archive: Archive, row: int, number: int, whose: str) -> tuple[str, int, Outline]:
    """Where the bytes of a file lie for `fetch`, object and offset, and its outline; `number` tells it from others.

    InvalidArgument where it is no JSON.
    """
    outline = Outline()
    try:
        key, offset, outline.begins = unpacked(
            archive, row, f"{archive.scratch.rstrip('/')}/labels-{number}.json", outline.feed
        )
        outline.close()
    except Malformed as error:
        raise invalid(archive.path(row), error.line, str(error), whose) from error
    return key, offset, outline


def decoded(data: bytes, type: Any, path: str, line: int, member: str, whose: str) -> Any:
    """A member of a file, which begins in that line. InvalidArgument where it is no JSON, or not of the type."""
    try:
        return msgspec.json.decode(data, type=type)
    except UNREADABLE as error:
        raise invalid(path, error_line(data, line, error), f"in `{member}`: {reason_of(error)}", whose) from error


def invalid(path: str, line: int, what: str, whose: str) -> errors.InvalidArgument:
    """The error that a file is no valid JSON."""
    return errors.InvalidArgument(
        f"{path}, line {line}: this is no valid {whose} file ({what}); export or download it again",
        reason="JSON_INVALID",
        facts={"file": path, "line": str(line)},
    )
