"""ImageSets of Pascal VOC: which split images are in, and which classes are present in them.

`ImageSets/<task>/<split>.txt` lists images without extension, `ImageSets/Main/<class>_<split>.txt` says for each
whether the class is present: 1; 0 and -1 are not. Of several splits of an image train, val and test count before others
(`trainval` holds images of both), and the tasks in the order Main, Segmentation, Layout, Action.
"""

import posixpath
import re
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from framehouse.annotations.geometry import Integers
from framehouse.annotations.splits import canonical_split, known_split, split_rank
from framehouse.store.issues import INFO, WARNING, IssueLog
from services.conversion import layout
from services.conversion.archive import Archive

LIST = re.compile(
    r"(?i)^(?P<root>.*?)(?:^|(?<=/))ImageSets/(?:(?P<task>Main|Segmentation|Layout|Action)/)?(?P<name>.+)\.txt$"
)
PLACE = r"(?i)(^|/)ImageSets/.*\.txt$"
TASKS = ("main", "", "segmentation", "layout", "action")
MAX_BYTES = 256 << 20
VALUE = r"^(?P<name>.*\S)\s+(?P<value>-?\d+)$"
SHOWN = 3


class List(NamedTuple):
    """A list of images."""

    path: str
    root: str
    """The folder that ImageSets lies in, with a `/` at its end; empty for the archive's top."""
    task: str
    name: str
    """Of the file, without extension."""
    lines: pa.Array


@dataclass(frozen=True)
class Lists:
    """All lists of an archive."""

    splits: list[List]
    classes: list[tuple[List, str, str]]
    """Each with its class, as its file spells it, and its split."""


@dataclass
class Membership:
    """What lists say of images."""

    split: NDArray[np.object_]
    split_name: NDArray[np.object_]
    tags: list[Integers]
    """Rows of the images that have the class of each list."""


def rows(archive: Archive) -> Integers:
    """Rows of the lists of an archive."""
    return np.flatnonzero(pc.match_substring_regex(archive.paths, PLACE).to_numpy(zero_copy_only=False))


def find(archive: Archive) -> Lists:
    """Reads the lists of an archive."""
    found: list[List] = []
    for row in rows(archive).tolist():
        path = archive.path(row)
        match = LIST.match(path)
        if match is None:
            continue
        text = archive.read(row, MAX_BYTES).removeprefix(b"\xef\xbb\xbf").decode(errors="replace")
        lines = [line for full in text.splitlines() if (line := full.strip()) and line[0] != "#"]
        task = (match["task"] or "").lower()
        found.append(List(path, match["root"], task, match["name"], pa.array(lines, pa.string())))
    splits = [one for one in found if "_" not in one.name or not _valued(one.lines)]
    known = {(one.root, one.task, one.name) for one in splits}
    classes = []
    for one in found:
        if "_" not in one.name or not _valued(one.lines):
            continue
        cuts = [match.start() for match in re.finditer("_", one.name)]
        parts = [(one.name[:at], one.name[at + 1 :]) for at in cuts if at]
        likely = [part for part in parts if (one.root, one.task, part[1]) in known]
        if one.task in ("main", "") and parts:
            classes.append((one, *(likely or parts[::-1])[0]))
    return Lists(splits, classes)


def _valued(lines: pa.Array) -> bool:
    """Whether each line ends with a value, as those of lists of classes and actions do."""
    return bool(pc.all(pc.match_substring_regex(lines, r"\s-?[01]$")).as_py()) if len(lines) else False


def _names(lines: pa.Array, keys: pa.Array) -> pa.Array:
    """The names in lines, without quotes, numbers after them, and extensions of images; `keys` are the names known."""
    quoted = pc.extract_regex(lines, r'^"(?P<name>[^"]+)"')
    bare = pc.coalesce(pc.struct_field(quoted, "name"), lines)
    numbered = pc.struct_field(pc.extract_regex(bare, VALUE), "name")
    bare = pc.if_else(pc.is_in(bare, keys), bare, pc.coalesce(numbered, bare))
    return pc.replace_substring_regex(bare, r"(?i)\.(?:jpe?g|png|bmp|webp|tiff?)$", "")


def assign(lists: Lists, keys: pa.Array, issues: IssueLog) -> Membership:
    """What the lists say of images, of which `keys` are the names without extension, with the root before them."""
    count = len(keys)
    result = Membership(np.full(count, "", object), np.full(count, "", object), [])
    taken = np.zeros(count, bool)
    order = sorted(
        lists.splits, key=lambda one: (not known_split(one.name), TASKS.index(one.task), *split_rank(one.name))
    )
    for one in order:
        at = _look_up(one, one.lines, keys)
        _tell_absent(one, at, issues)
        at = np.unique(at[at >= 0])
        split = canonical_split(posixpath.basename(one.name))
        other = taken[at] & (result.split[at] != split)
        if known_split(one.name) and other.any():
            text = f"{int(other.sum()):,} images of this list are in another split by a list that counts before it"
            issues.add("SPLITS_OVERLAP", INFO, one.path, text, "list each image in one split")
        free = at[~taken[at]]
        result.split[free], result.split_name[free], taken[free] = split, one.name, True
    for one, _, split_name in lists.classes:
        parsed = pc.extract_regex(one.lines, VALUE)
        at = _look_up(one, pc.struct_field(parsed, "name"), keys)
        _tell_absent(one, at, issues)
        free = np.unique(at[at >= 0])
        free = free[~taken[free]]
        split = canonical_split(split_name)
        result.split[free], result.split_name[free], taken[free] = split, split_name, True
        present = pc.equal(pc.struct_field(parsed, "value"), "1").to_numpy(zero_copy_only=False)
        result.tags.append(np.unique(at[present & (at >= 0)]))
    return result


def _look_up(one: List, lines: pa.Array, keys: pa.Array) -> Integers:
    """Row of each line of a list, -1 for none."""
    rooted = pc.utf8_slice_codeunits(keys.filter(pc.starts_with(keys, one.root)), len(one.root))
    wanted = _names(lines, rooted)
    exact = pc.fill_null(pc.index_in(pc.binary_join_element_wise(one.root, wanted, ""), keys), -1)
    at: Integers = exact.to_numpy(zero_copy_only=False).astype(np.int64)
    missing = np.flatnonzero(at < 0)
    if len(missing):
        at = at.copy()
        at[missing] = layout.find(wanted.take(pa.array(missing)), keys, [one.root.rstrip("/")])
    return at


def _tell_absent(one: List, at: Integers, issues: IssueLog) -> None:
    absent = np.flatnonzero(at < 0)
    if len(absent):
        names = ", ".join(one.lines.take(pa.array(absent[:SHOWN])).to_pylist())
        text = f"{len(absent):,} of {len(at):,} lines name an image that the archive has neither bytes nor labels of: "
        more = " …" if len(absent) > SHOWN else ""
        issues.add("LIST_ENTRY_UNKNOWN", WARNING, one.path, text + names + more, "add the images, or remove the lines")
