"""CVAT's XML files: which there are, and one streaming pass that cuts a file of any size at its images and tracks.

Only where elements begin is looked for; each is parsed apart, so that memory is bounded and one broken element ends
nothing else. A document type is refused, entities are not resolved, and nothing is fetched.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from lxml import etree

from framehouse.runtime import errors
from framehouse.store.issues import ERROR, IssueLog
from services.conversion.archive import Archive
from services.conversion.format import Candidate
from services.conversion.unpacked import unpacked

BEGINNING = 64 << 10
"""Bytes of a file that are looked at to tell what it is."""
LONG_BEGINNING = 2 << 20
"""The same where a long `<meta>` comes first."""
MAX_FILES = 40
"""XML files that are looked at: those called annotations.xml, then the largest."""
MAX_ELEMENT = 128 << 20
"""Bytes of one image or track."""

ROOT = re.compile(rb"\s*(?:<\?xml[^>]*\?>\s*)?(?:<!.*?)?<annotations[\s>]", re.DOTALL)
"""With comments before it, or a document type, which the scanner then refuses."""
ENCODING = re.compile(rb"\s*<\?xml[^>]*?\sencoding\s*=\s*[\"']([\w.:-]+)")
MARK = re.compile(rb"<(?:(image|track|meta|/meta|/?annotations)(?=[\s/>])|!(--|\[CDATA\[|DOCTYPE))")
TAG = re.compile(rb"<(?:[^>\"']|\"[^\"]*\"|'[^']*')*>")
MARK_BYTES = 16
"""More than any mark and the byte after it has."""
BOM = b"\xef\xbb\xbf"
WIDE = (b"\xff\xfe", b"\xfe\xff", b"\x00<", b"<\x00")
"""What a file of two or four bytes a character begins with."""


class Element(NamedTuple):
    """An image, a track or the meta of a file."""

    name: str
    start: int
    """Where it begins in the file."""
    line: int
    data: bytes
    """Up to the next one; what follows the element may be there too, and nothing may close it."""


class Problem(NamedTuple):
    """Why an element cannot be parsed."""

    line: int
    text: str


@dataclass
class File:
    """One XML file."""

    row: int
    """In the archive."""
    path: str
    has_images: bool
    has_tracks: bool
    interpolated: bool
    """Whether its meta says so."""
    key: str = ""
    """Object that its unpacked bytes lie in."""
    offset: int = 0
    size: int = 0
    encoding: str = ""


def parser() -> etree.XMLParser:
    """A parser that resolves and fetches nothing."""
    return etree.XMLParser(
        resolve_entities=False, no_network=True, huge_tree=False, load_dtd=False, remove_comments=True, remove_pis=True
    )


def parse(data: bytes, encoding: str, using: etree.XMLParser) -> etree._Element | Problem:
    """The first element of `data`, or why there is none; the problem's line is counted from 1 in `data`."""
    head = f'<?xml version="1.0" encoding="{encoding}"?>'.encode() if encoding else b""
    try:
        root = etree.fromstring(head + b"<a>" + data + b"</a>", using)
    except (etree.XMLSyntaxError, LookupError, ValueError) as error:
        line = error.lineno if isinstance(error, etree.XMLSyntaxError) else 1
        return Problem(line or 1, str(error).split(", line")[0])
    return root[0] if len(root) else Problem(1, "there is no element")


def tag(data: bytes) -> bytes:
    """The tag that an element begins with, as an element of its own."""
    found = TAG.match(data)
    return found[0].rstrip(b"/>") + b"/>" if found else data


def invalid(path: str, line: int, what: str) -> errors.InvalidArgument:
    """The error that a file cannot be read at all."""
    return errors.InvalidArgument(
        f"{path}, line {line}: this is no valid CVAT file ({what}); export it again",
        reason="XML_INVALID",
        facts={"file": path, "line": str(line)},
    )


def likely_files(archive: Archive) -> list[File]:
    """XML files that begin as CVAT's do, in the order of the archive."""
    rows = archive.with_extension("xml")
    sizes = archive.entries["size"].to_numpy()
    usual = pc.match_substring_regex(archive.paths.take(pa.array(rows)), r"(?i)(^|/)annotations\.xml$").to_numpy(False)
    found = []
    for row in rows[np.lexsort([rows, -sizes[rows], ~usual])][:MAX_FILES].tolist():
        data = archive.beginning(row, BEGINNING).removeprefix(BOM)
        if not ROOT.match(data):
            continue
        if not re.search(rb"<(?:image|track)[\s>]", data) and sizes[row] > BEGINNING:
            data = archive.beginning(row, LONG_BEGINNING)
        images, tracks = (re.search(rb"<" + name + rb"[\s>]", data) is not None for name in (b"image", b"track"))
        if images or tracks or b"<meta" in data:
            interpolated = re.search(rb"<mode>\s*interpolation", data) is not None
            found.append(File(row, archive.path(row), images, tracks, interpolated))
    return sorted(found, key=lambda file: file.row)


def detect(archive: Archive, *, video: bool) -> Candidate | None:
    """An XML file with the root `annotations`, and images or tracks in it."""
    best: Candidate | None = None
    for file in likely_files(archive):
        mine, others = (file.has_tracks, file.has_images) if video else (file.has_images, file.has_tracks)
        what = "tracks" if video else "images"
        if mine:
            # Of a file with both, images are taken, for they have names.
            sure = 0.95 if not others else 0.8 if video else 0.9
            candidate = Candidate(sure, f"{file.path} has annotations with {what}")
        elif others:
            candidate = Candidate(0.3, f"{file.path} has annotations, but no {what}")
        else:
            candidate = Candidate(
                0.8 if file.interpolated == video else 0.6, f"{file.path} has annotations with a meta"
            )
        if best is None or candidate.confidence > best.confidence:
            best = candidate
    return best


def find_files(archive: Archive) -> list[File]:
    """CVAT's files of an archive. InvalidArgument where there is none."""
    files = likely_files(archive)
    if not files:
        names = ", ".join(archive.path(row) for row in archive.with_extension("xml")[:5].tolist()) or "no XML file"
        raise errors.InvalidArgument(
            f"no XML file with the root `annotations` was found (there is {names}); an export of CVAT has "
            "`annotations.xml`",
            reason="CVAT_FILE_MISSING",
        )
    return files


def scan(archive: Archive, file: File, found: Callable[[Element], None], issues: IssueLog) -> None:
    """Goes through a file once, and says where its bytes lie. `found` is given its elements, in order.

    InvalidArgument where the file is none of CVAT's; one that is cut off is an issue.
    """
    scanner = Scanner(file, found)
    key = f"{archive.scratch.rstrip('/')}/labels-{file.row}.xml"
    file.key, file.offset, _ = unpacked(archive, file.row, key, scanner.feed)
    scanner.close()
    file.size = scanner.size
    if not scanner.ended:
        text = "the file ends without </annotations>; what comes before was read"
        issues.add("XML_INVALID", ERROR, file.path, text, "export it again", scanner.line)


@dataclass
class Scanner:
    """Feed it a file in chunks. What it has to hold is the element that is open."""

    file: File
    found: Callable[[Element], None]
    ended: bool = False
    """Whether the root was closed."""
    size: int = 0
    """Bytes up to there."""
    line: int = 1
    """Line that was counted to."""
    _rooted: bool = False
    _buffer: bytes = b""
    _position: int = 0
    """Of the buffer in the file."""
    _counted: int = 0
    """Of the buffer, as far as lines were counted."""
    _at: int = 0
    _open: tuple[str, int, int] | None = field(default=None)
    """Name, place in the buffer and line of the element that is open."""

    def feed(self, chunk: bytes) -> None:
        """Takes the next bytes of the file."""
        if self.ended:
            return
        if not self._position and not self._buffer:
            self._begin(chunk)
        self._buffer += chunk
        waiting = self._marks()
        if self.ended:
            return
        if not waiting:
            # A mark may be cut in two.
            self._at = max(self._at, len(self._buffer) - MARK_BYTES)
        kept = self._at if self._open is None else min(self._open[1], self._at)
        self._count(self._buffer, max(kept, self._counted))
        if len(self._buffer) - kept > MAX_ELEMENT:
            raise invalid(self.file.path, self.line, f"an element has more than {MAX_ELEMENT:,} bytes")
        self._buffer = self._buffer[kept:]
        self._position, self._counted, self._at = self._position + kept, self._counted - kept, self._at - kept
        if self._open is not None:
            name, start, line = self._open
            self._open = name, start - kept, line

    def close(self) -> None:
        """Says that the file ended."""
        if not self.ended:
            self._finish(len(self._buffer))
            self._count(self._buffer, len(self._buffer))
            self.size = self._position + len(self._buffer)
        if not self._rooted:
            raise invalid(self.file.path, self.line, "it has no element `annotations`")

    def _begin(self, chunk: bytes) -> None:
        if chunk.startswith(WIDE):
            raise invalid(self.file.path, 1, "it is written in UTF-16; save it as UTF-8")
        said = ENCODING.match(chunk.removeprefix(BOM))
        name = said[1].decode().lower() if said else "utf-8"
        self.file.encoding = "" if name in ("utf-8", "utf8", "us-ascii", "ascii") else name

    def _marks(self) -> bool:
        """Takes all marks of the buffer; says whether a comment goes on beyond it."""
        buffer = self._buffer
        while match := MARK.search(buffer, self._at):
            start, (name, other) = match.start(), match.groups()
            if other == b"DOCTYPE":
                self._count(buffer, start)
                raise invalid(self.file.path, self.line, "it has a document type, which is refused")
            if other:
                end = buffer.find(b"-->" if other == b"--" else b"]]>", match.end())
                if end < 0:
                    self._at = start
                    return True
                self._at = end + 3
                continue
            self._finish(start)
            self._count(buffer, start)
            self._at = match.end()
            if name == b"annotations":
                self._rooted = True
            elif name == b"/annotations":
                self.ended, self.size = True, self._position + start
                return False
            elif name != b"/meta":
                self._open = name.decode(), start, self.line
        return False

    def _count(self, buffer: bytes, end: int) -> None:
        self.line += buffer.count(b"\n", self._counted, end)
        self._counted = end

    def _finish(self, end: int) -> None:
        if self._open is not None:
            name, start, line = self._open
            self._open = None
            self.found(Element(name, self._position + start, line, self._buffer[start:end]))
