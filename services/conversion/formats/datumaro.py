"""`datumaro`: Datumaro's own JSON, one file a subset: every kind, attributes, groups, tracks, colours and keypoints.

Read as Datumaro and CVAT write it. Written for Datumaro; what was read from CVAT's dialect (skeletons of elements) is
written in it again.
"""

from framehouse.annotations.schema import ANNOTATION_COLUMNS, Flag, Kind
from services.conversion.datumaro import annotations as datumaro_annotations
from services.conversion.datumaro import files as datumaro_files
from services.conversion.datumaro import items as datumaro_items
from services.conversion.datumaro import writing as datumaro_writing
from services.conversion.format import Format, Holds

FORMAT = Format(
    id="datumaro",
    title="Datumaro JSON",
    aliases=("datum",),
    holds=Holds(
        kinds=frozenset(Kind),
        attributes=True,
        crowd=True,
        score=True,
        tracks=True,
        flags=frozenset(Flag),
        groups=True,
        unlabelled=True,
        z_order=True,
    ),
    detect=datumaro_files.detect,
    plan=datumaro_items.plan,
    read=datumaro_annotations.read,
    default_split=datumaro_writing.DEFAULT_SPLIT,
    columns=tuple(name for name in ANNOTATION_COLUMNS if name != "area"),
    plan_columns=(),
    image_columns=("source", "image_attributes", "frame"),
    scan_columns=("kind", "rings"),
    scan=datumaro_writing.scan,
    prepare=datumaro_writing.prepare,
    write=datumaro_writing.write,
    finish=datumaro_writing.finish,
    layout="""
annotations/<subset>.json
images/<subset>/<name>
""",
    notes=(
        "Coordinates are kept as the file has them, and nothing is rounded; Datumaro itself reads two decimals.",
        "An image is called by the id of its item and the extension of its file.",
        "The attributes `occluded`, `truncated`, `is_crowd`, `difficult`, `outside` and `keyframe` are flags where "
        "they are true, `score` is the score, `track_id` (or the member `object_id`) the track; they are written as "
        "those again. All others, and those that are false, stay attributes.",
        "A box with an attribute `rotation` other than 0 is a turned box, as CVAT writes it.",
        "Points of a label that has as many keypoints are a skeleton. Where a kind cannot be told by this or by the "
        "rotation, a member `kind` says it; Datumaro passes over it.",
        "Polygons of one id, group and label in an item are read as one of several rings, and written so. A polygon "
        "with a hole is written as a mask, unless it was read from COCO.",
        "Ids of annotations are unique in an image here: what occurs again gets the next number.",
        "A cuboid in space keeps its position, rotation and scale in the attribute `cuboid_3d`. The item of a point "
        "cloud is an image of 0 × 0 pixels; point clouds and videos themselves are not kept.",
        "CVAT's dialect, in which keypoints are labels, has skeletons of elements, which Datumaro does not read.",
    ),
)
