"""Issues of a part of a JSON file, which say the line that the element begins in."""

import msgspec

from framehouse.store.issues import IssueLog
from framehouse.v1.annotation_pb2 import Severity
from services.conversion.json_outline import elements

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding raises of what is no JSON, no UTF-8, or has values too deep in each other."""


def reason_of(error: Exception) -> str:
    """Why something is UNREADABLE, in words."""
    if isinstance(error, UnicodeDecodeError):
        return "it is no UTF-8 text; save it as UTF-8"
    return "values lie too deep in each other" if isinstance(error, RecursionError) else str(error)


def is_text(data: bytes) -> bool:
    """Whether bytes are UTF-8, which decoding does not look at where values are left as they are written."""
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


class Problems:
    """Issues of one part. The line of an element is looked for only where there is something to say."""

    def __init__(self, path: str, data: bytes, line: int, issues: IssueLog) -> None:
        self._path, self._data, self._line, self._issues = path, data, line, issues
        self._lines: list[int] | None = None

    def add(self, code: str, severity: Severity, element: int, text: str, remedy: str) -> None:
        """Notes an issue of one element of the part."""
        if self._lines is None:
            self._lines = _lines(self._data, self._line)
        line = self._lines[element] if element < len(self._lines) else self._line
        self._issues.add(code, severity, self._path, text, remedy, line)


def _lines(data: bytes, line: int) -> list[int]:
    """The lines of the file that the elements of a part begin in; the part begins in `line`."""
    found, counted = [], 0
    for start, _ in elements(data):
        line += data.count(b"\n", counted, start)
        counted = start
        found.append(line)
    return found
