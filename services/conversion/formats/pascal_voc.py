"""`pascal-voc`: an XML file an image, and masks as PNG files, with lists of images for splits and classes.

All tasks are one format: boxes, with parts and actions, in Annotations; tags in ImageSets/Main; masks of classes and
instances in SegmentationClass and SegmentationObject.
"""

import pyarrow as pa

from framehouse.annotations.schema import Flag, Kind
from framehouse.store.issues import IssueLog
from services.conversion.archive import Archive
from services.conversion.format import Candidate, Format, Holds, LabelSource, ReadPlan
from services.conversion.voc import planning as voc_planning
from services.conversion.voc import reading as voc_reading
from services.conversion.voc import writing as voc_writing

AROUND = "the upright box around it"


def detect(archive: Archive) -> Candidate | None:
    """XML files of VOC, or masks and lists of images as VOC has them."""
    return voc_planning.detect(archive)


def plan(archive: Archive, issues: IssueLog) -> ReadPlan:
    """Finds images, splits, classes, XML files and masks."""
    return voc_planning.plan(archive, issues)


def read(source: LabelSource, issues: IssueLog) -> pa.Table:
    """Reads the XML files and masks of a shard."""
    return voc_reading.read(source, issues)


FORMAT = Format(
    id=voc_writing.ID,
    title="Pascal VOC",
    aliases=("voc", "pascal-voc-1.1"),
    holds=Holds(
        kinds=frozenset({Kind.TAG, Kind.BOX, Kind.MASK}),
        fallbacks={
            Kind.POLYGON: f"{AROUND}, with its outline where it came from VOC, with its mask by voc.paint_polygons",
            Kind.ROTATED_BOX: f"{AROUND}, with a `robndbox` beside it as roLabelImg has it, which is read again",
            **dict.fromkeys((Kind.POLYLINE, Kind.POINTS, Kind.SKELETON, Kind.ELLIPSE, Kind.CUBOID), AROUND),
        },
        attributes=True,
        flags=frozenset({Flag.OCCLUDED, Flag.TRUNCATED, Flag.DIFFICULT}),
        groups=True,
    ),
    detect=detect,
    plan=plan,
    read=read,
    default_split=voc_writing.DEFAULT_SPLIT,
    columns=voc_writing.COLUMNS,
    spared=voc_writing.spared,
    plan_columns=("annotation_id", "group"),
    scan_columns=("bbox", "rotation", "rle", "rle_size", "attributes"),
    scan=voc_writing.scan,
    image_columns=("source",),
    prepare=voc_writing.prepare,
    write=voc_writing.write,
    finish=voc_writing.finish,
    layout="""JPEGImages/<name>
Annotations/<name>.xml
ImageSets/Main/<split>.txt
ImageSets/Main/<class>_<split>.txt
ImageSets/Segmentation/<split>.txt
SegmentationClass/<name>.png
SegmentationObject/<name>.png
labelmap.txt""",
    notes=(
        "Files whose `<database>` is that of the challenge (`The VOC2007 Database`) count pixels from 1 and the "
        "last one of a box included: x = xmin - 1, width = xmax - xmin + 1. In all others, which other tools wrote,"
        " the numbers are edges: x = xmin, width = xmax - xmin. Datumaro reads all files in the second way.",
        "Written boxes are edges too, as Datumaro and CVAT read them; images that came from the challenge's files "
        "count from 1 again. Nothing is rounded; an edge is x + width, so that the last of 17 digits of a width may"
        " change.",
        "Without labelmap.txt the classes are the challenge's where there are masks or its lists of classes, else "
        "those that occur. The line `background` of labelmap.txt is the colour of nothing and no class, unless "
        "something is of it; Datumaro makes it one.",
        "A list `ImageSets/Main/<class>_<split>.txt` gives tags of classes that the image has no object of; "
        "Datumaro makes a tag of each. Other lists of ImageSets only say splits. Lists are written of images that "
        "have tags: 1 also for classes of objects, and, of up to 256 classes, -1 for those absent. Datumaro does "
        "not read lists of splits with `_` in their names.",
        "Instance n of SegmentationObject is the n-th object: where both are of one class they are one group. An "
        "instance is of the class that most of its pixels have. Without instances each class is one mask. The "
        "border of objects (255) is a mask of the class `ignored`.",
        "Masks are painted in the order of their z order, so what others cover is lost. More than 255 instances, or"
        " classes, of an image are written as colours instead of a palette.",
        "Parts are boxes of their own, in the group of their object; actions, pose and `<attributes>` are "
        "attributes. Texts that look like numbers or truths become such; where one is meant as text, `type` of its "
        "`<value>` says so.",
        "An XML file with a document type is refused.",
    ),
    options=("write.voc.label_map", "write.voc.without_colormap", "write.voc.keep_empty", "write.voc.paint_polygons"),
)
