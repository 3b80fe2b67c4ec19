"""Which Ultralytics task an archive is of: data.yaml says keypoints, the rows of its label files say the rest.

The tasks share one layout. Rows of five numbers are boxes, all of nine are turned boxes, others polygons; nine numbers
are a polygon of four corners too, so a file of those alone is taken for turned boxes, which is said.
"""

from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc

from framehouse.runtime import errors
from framehouse.store.issues import IssueLog
from services.conversion.archive import Archive
from services.conversion.format import Candidate, ReadPlan
from services.conversion.ultralytics import data_yaml, finding
from services.conversion.ultralytics.data_yaml import DataYaml

LOOKED_AT = 5
"""Label files whose beginnings are looked at."""
AT_ONCE = 4096
"""Files whose names are looked at until there are so many."""
BEGINNING = 4096


def detect(archive: Archive, task: str) -> Candidate | None:
    """How sure it is that an archive is of a task: detect, segment, pose or obb."""
    try:
        data = data_yaml.find_data_yaml(archive)
    except errors.InvalidArgument:
        return None
    if data is None or not len(archive.images()):
        return None
    found, why = _task(archive, data)
    reason = f"{data.file} names " + ("classes and splits" if data.splits() else "classes") + why
    if found == task:
        return Candidate(0.95 if "names" in data.content else 0.6, reason)
    # Boxes and polygons are told apart line by line, so either of the two reads both.
    near = {found, task} <= {"detect", "segment", "obb"} and task in ("detect", "segment")
    return Candidate(0.4 if near else 0.2, reason)


def _task(archive: Archive, data: DataYaml) -> tuple[str, str]:
    """The task, and what says so."""
    if "kpt_shape" in data.content:
        return "pose", " and keypoints (kpt_shape)"
    widths: Counter[int] = Counter()
    for row in _label_files(archive):
        lines = archive.beginning(row, BEGINNING).split(b"\n")
        whole = lines if len(lines) == 1 or not lines[-1] else lines[:-1]
        widths.update(len(line.split()) for line in whole if line.strip())
    if widths and set(widths) <= {9}:
        return "obb", "; the label files hold four corners a line"
    if any(width > 6 for width in widths):
        return "segment", "; the label files hold polygons"
    return "detect", ""


def _label_files(archive: Archive) -> list[int]:
    """Rows of the first few files that lie where label files do."""
    texts, found = archive.with_extension("txt"), []
    for first in range(0, len(texts), AT_ONCE):
        some = texts[first : first + AT_ONCE]
        in_labels = pc.match_substring_regex(archive.paths.take(pa.array(some)), r"(?i)(^|/)labels/")
        found += some[in_labels.to_numpy(zero_copy_only=False)].tolist()
        if len(found) >= LOOKED_AT:
            break
    return found[:LOOKED_AT]


def plan(archive: Archive, format: str, issues: IssueLog) -> ReadPlan:
    """Finds images and label files by data.yaml."""
    data = data_yaml.find_data_yaml(archive, issues)
    if data is None:
        raise errors.InvalidArgument(
            f"there is no data.yaml in the archive; {data_yaml.REMEDY}", reason="DATA_YAML_MISSING"
        )
    if ("kpt_shape" in data.content) != (format == "ultralytics-pose"):
        raise errors.InvalidArgument(
            f"{data.file} describes keypoints (kpt_shape); as {format} its rows would be misread; read it as "
            "ultralytics-pose"
            if "kpt_shape" in data.content
            else f"{data.file} has no kpt_shape, which says how many keypoints a row has; add it, for instance [17, 3]",
            reason="FORMAT_OTHER_TASK",
        )
    return finding.plan(archive, data, issues)
