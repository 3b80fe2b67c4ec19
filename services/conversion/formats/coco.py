"""`coco`: a folder with files of several of COCO's tasks, read as one dataset. Each file is read as its task's format
reads it; what two of them say of an image is joined by whoever gathers the parts, layer by layer.
"""

import msgspec
import pyarrow as pa

from framehouse.annotations.schema import Kind
from framehouse.store.issues import IssueLog
from services.conversion.archive import Archive
from services.conversion.coco import files as coco_files
from services.conversion.coco import planning as coco_planning
from services.conversion.coco.pixelmaps import with_pixelmaps
from services.conversion.format import Candidate, Holds, LabelSource, Readable, ReadPlan
from services.conversion.formats import (
    coco_captions,
    coco_image_info,
    coco_instances,
    coco_keypoints,
    coco_labels,
    coco_panoptic,
    coco_stuff,
)

TASKS = {
    module.TASK: module.FORMAT
    for module in (
        coco_instances,
        coco_keypoints,
        coco_panoptic,
        coco_stuff,
        coco_captions,
        coco_labels,
        coco_image_info,
    )
}
SURE = 0.8
"""How sure a file must be of COCO to be counted."""
CONFIDENCE = 0.97
"""Above that of any single task."""


def detect(archive: Archive) -> Candidate | None:
    """Files of two tasks or more."""
    first = {file.task: file for file in reversed(coco_files.likely_files(archive)) if file.sure >= SURE}
    if len(first) < 2:
        return None
    paths = [archive.path(first[task].row) for task in coco_files.TASKS if task in first]
    return Candidate(CONFIDENCE, f"there are files of {len(paths)} tasks: {', '.join(paths)}")


def plan(archive: Archive, issues: IssueLog) -> ReadPlan:
    """Finds the files of all tasks, images, categories, PNG files and parts."""
    files = coco_files.find_all_files(archive, issues)
    for file in files:
        if file.task == coco_image_info.TASK:
            coco_image_info.leave_annotations(archive, file, issues)
    rasters = coco_panoptic.find_rasters(archive, [file for file in files if file.task == coco_panoptic.TASK])
    found = coco_planning.plan_files(archive, files, issues, rasters)
    return with_pixelmaps(archive, [file for file in files if file.task == coco_stuff.TASK], found)


def read(source: LabelSource, issues: IssueLog) -> pa.Table:
    """Reads one part of the annotations of a file, as its task's format does."""
    assert source.part is not None
    task = msgspec.json.decode(source.part.detail, type=coco_planning.Detail).task
    return TASKS[task].read(source, issues)


FORMAT = Readable(
    id="coco",
    title="COCO, all tasks of a folder",
    holds=Holds(
        kinds=frozenset({Kind.TAG, Kind.BOX, Kind.POLYGON, Kind.MASK, Kind.SKELETON, Kind.CAPTION}),
        attributes=True,
        crowd=True,
        score=True,
        groups=True,
        unlabelled=True,
    ),
    detect=detect,
    plan=plan,
    read=read,
    layout="""images/<split>/<name>
annotations/instances_<split>.json
annotations/person_keypoints_<split>.json
annotations/captions_<split>.json
annotations/panoptic_<split>.json
annotations/panoptic_<split>/<name>.png
annotations/stuff_<split>.json
annotations/labels_<split>.json
annotations/image_info_<split>.json""",
    notes=(
        "To write, `coco` is another name of `coco-instances`; each task is written as its own format.",
        "Images are one by name and split, classes by name: what one file does not say of a class (parent, colour, "
        "keypoints, `isthing`) another does.",
        "A record of `person_keypoints` and one of `instances` are one object where they have the same id, class and "
        "box, to a pixel, and neither crowd, score nor attributes that differ: a skeleton and its outline, of one "
        "group, or a skeleton with the box. Else both are kept. Where both have an outline and these differ, that of "
        "`person_keypoints` is kept, and OUTLINE_REPEATED says so.",
        "What lies in two files identically, but for its id, is kept once. An id that the image has already gives way "
        "to the next free one.",
        "Segments of `panoptic` are annotations of their own beside the objects of `instances`: no id joins them. To "
        "have one of the two alone, import the archive as the format of that task.",
    ),
)
