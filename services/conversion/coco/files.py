"""The JSON files of COCO datasets: which there are, of which task and split each is, and where its members lie.

A file of any size is unpacked, outlined and cut in one pass (`json_outline`). A name `<task>_<split>.json` says the
task; where it says none, what the file begins with does.
"""

import posixpath
import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from framehouse.annotations.splits import canonical_split, known_split
from framehouse.runtime import errors
from framehouse.store.bucket import Bucket
from framehouse.store.issues import INFO, WARNING, IssueLog
from services.conversion.archive import Archive
from services.conversion.format import Candidate
from services.conversion.json_files import decoded, outlined
from services.conversion.json_outline import Malformed, Outline
from services.conversion.unpacked import fetch

TOOL = "COCO"
"""Whose files these are, as errors say."""
BEGINNING = 64 << 10
"""Bytes of a file that are looked at to tell what it is."""
MAX_FILES = 64
"""JSON files that are looked at, the largest first."""

TASKS = ("instances", "person_keypoints", "panoptic", "stuff", "captions", "labels", "image_info")
"""What files are called; the first of these is the likeliest."""
TELLING = tuple(
    (task, re.compile(rb'"%s"\s*:' % key))
    for task, key in (("panoptic", b"segments_info"), ("captions", b"caption"), ("person_keypoints", b"keypoints"))
)
"""Keys that tell the task of a file whose name does not; a category may be called like one of them."""
BOXED = re.compile(rb'"(bbox|segmentation)"\s*:')
"""What files of whole images do not have: some tools call all that they write `labels_…`."""
MEMBERS = {"images", "annotations", "categories"}
NEEDED = {
    "captions": {"images", "annotations"},
    "image_info": {"images"},
    "stuff": {"images", "categories"},  # pixelmaps may say the rest
}
"""Members that a task's file must have, where it is not all three."""
COMPANIONS = {"info", "licenses"}


class Likely(NamedTuple):
    """A JSON file that begins as COCO's do."""

    row: int
    """In the archive."""
    sure: float
    """From 0 to 1."""
    why: str
    named: str
    """Task that its name says, empty for none."""
    task: str
    """Task that it is of, by its name or else by how it begins."""


@dataclass
class File:
    """One JSON file."""

    path: str
    split: str
    split_name: str
    key: str
    """Object that its unpacked bytes lie in."""
    offset: int
    outline: Outline
    task: str
    categories: dict[int | str, int] = field(default_factory=dict)
    """Label of each category id."""

    def fetch(self, bucket: Bucket, name: str) -> tuple[bytes, int]:
        """The bytes of a member, `[]` where it is absent, and the line that it begins in."""
        span = self.outline.members.get(name)
        if span is None:
            return b"[]", 1
        return fetch(bucket, self.key, self.offset + span.start, span.end - span.start), span.line

    def decode(self, bucket: Bucket, name: str, type: Any = list[Any]) -> Any:
        """A member, as a list or what else it should be. InvalidArgument with file and line."""
        data, line = self.fetch(bucket, name)
        return decoded(data, type, self.path, line, name, TOOL)


def task_of(path: str) -> str:
    """The task that a file's name begins with; empty where it says none."""
    name = posixpath.basename(path).lower()
    return next((task for task in TASKS if name.startswith(task + "_")), "")


def split_of(path: str) -> tuple[str, str]:
    """(split, as spelled) that a file's name or folder says: `instances_val2017.json` gives val, val2017."""
    stem = posixpath.basename(path).rsplit(".", 1)[0]
    folder = posixpath.basename(posixpath.dirname(path))
    if task := task_of(path):
        spelled = stem[len(task) + 1 :]
        return (canonical_split(spelled), spelled) if spelled.lower() != "default" else ("", "")
    for word in [*re.split(r"[-_.\s]", stem), folder]:
        if split := known_split(word):
            return split, word
    return "", ""


def likely_files(archive: Archive) -> list[Likely]:
    """JSON files that begin as COCO's do, in the order of the archive."""
    rows = archive.with_extension("json")
    sizes = archive.entries["size"].to_numpy()[rows]
    found = []
    for row in rows[(-sizes).argsort(kind="stable")][:MAX_FILES].tolist():
        path, outline = archive.path(row), Outline()
        data = archive.beginning(row, BEGINNING)
        try:
            outline.feed(data)
            keys = outline.keys
        except Malformed:
            # Broken, but perhaps ours: then planning says where.
            keys = [key.decode() for key in re.findall(rb'"(\w+)"\s*:\s*[\[{]', data)]
        seen, others = MEMBERS & set(keys), COMPANIONS & set(keys)
        named = task_of(path)
        if named == "labels" and BOXED.search(data):
            named = ""
        task = named or next((task for task, key in TELLING if key.search(data)), TASKS[0])
        said = ", ".join(key for key in dict.fromkeys(keys) if key in MEMBERS | COMPANIONS)
        typical = b'"file_name"' in data or (b'"image_id"' in data and b'"category_id"' in data)
        if seen == MEMBERS or (seen and (others or named) and typical):
            found.append(Likely(row, 0.95, f"{path} has {said}", named, task))
        elif seen and typical:
            found.append(Likely(row, 0.8, f"{path} has {said}", named, task))
        elif seen or others:
            found.append(Likely(row, 0.3, f"{path} begins with {said}", named, task))
    return sorted(found)


def detect(archive: Archive, task: str) -> Candidate | None:
    """A JSON file of a task. Of an archive with several tasks the first in TASKS is the likeliest."""
    best: Candidate | None = None
    for file in likely_files(archive):
        if file.task == task:
            candidate = Candidate(round(file.sure - 0.01 * TASKS.index(task), 2), file.why)
        elif task == TASKS[0]:
            candidate = Candidate(min(file.sure, 0.3), file.why)
        else:
            continue
        if best is None or candidate.confidence > best.confidence:
            best = candidate
    return best


def find_files(archive: Archive, task: str, issues: IssueLog) -> list[File]:
    """The files of a task, outlined. InvalidArgument where there is none or one is no JSON."""
    likely = likely_files(archive)
    # What is called nothing else is taken to be what was asked for. A dataset that has only files of other tasks is
    # read as far as this one goes.
    chosen = [file for file in likely if file.named in ("", task)] or likely
    for file in likely:
        if file not in chosen:
            text = f"this file is of another task than {task}; it was not read"
            remedy = "import it as the format of its task, or the archive as coco"
            issues.add("FILE_OF_OTHER_TASK", INFO, archive.path(file.row), text, remedy)
    return _complete(archive, [(file.row, task) for file in chosen], task, issues)


def find_all_files(archive: Archive, issues: IssueLog) -> list[File]:
    """The same of all tasks, in the order of TASKS."""
    likely = sorted(likely_files(archive), key=lambda file: TASKS.index(file.task))
    return _complete(archive, [(file.row, file.task) for file in likely], TASKS[0], issues)


def _complete(archive: Archive, chosen: list[tuple[int, str]], wanted: str, issues: IssueLog) -> list[File]:
    """Those of some files (row in the archive, task) that have what a file of the task must have."""
    files = []
    for n, (row, task) in enumerate(chosen):
        found = _outline(archive, row, task, n)
        needed = NEEDED.get(task, MEMBERS)
        if set(found.outline.members) >= needed:
            files.append(found)
        elif MEMBERS & set(found.outline.members):
            missing = ", ".join(sorted(needed - set(found.outline.members)))
            text = f"the file has no {missing}; it was not read"
            remedy = "a COCO file has images, annotations and categories"
            issues.add("FILE_INCOMPLETE", WARNING, found.path, text, remedy)
    if not files:
        names = ", ".join(archive.path(row) for row in archive.with_extension("json")[:5].tolist()) or "no JSON file"
        needed = NEEDED.get(wanted, MEMBERS)
        raise errors.InvalidArgument(
            f"no JSON file with {', '.join(sorted(needed))} was found (there is {names}); a COCO dataset has "
            f"`annotations/{wanted}_<split>.json`",
            reason="COCO_FILE_MISSING",
        )
    return files


def _outline(archive: Archive, row: int, task: str, n: int) -> File:
    """Outlines a file in one pass; a packed one is unpacked beside, so that its parts can be fetched."""
    path = archive.path(row)
    split, spelled = split_of(path)
    key, offset, outline = outlined(archive, row, n, TOOL)
    return File(path, split, spelled, key, offset, outline, task)
