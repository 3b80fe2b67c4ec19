"""Options that only some formats know: what they do, and the refusal of one that a format does not know."""

from framehouse.runtime.errors import InvalidArgument
from framehouse.v1.conversion_pb2 import FormatOption, WriteOptions
from services.conversion.format import Format

DESCRIPTIONS = {
    "write.coco.segmentation_mode": "what shapes are written as: as they are (guess), all as polygons, or all as masks",
    "write.coco.reindex": "counts annotation ids from 1, although the source had some",
    "write.coco.crop_covered": "cuts from each polygon and mask what others of a higher z order cover",
    "write.coco.merge_images": "writes the images of all splits into one folder, where their names allow it",
    "write.coco.category_ids": "how categories are numbered: as imported, from 0, or from 1",
    "write.voc.label_map": "the classes: those of the dataset, or the twenty of the challenge",
    "write.voc.without_colormap": "writes masks as indices without colours",
    "write.voc.keep_empty": "writes an XML file also for images without annotations",
    "write.voc.paint_polygons": "paints polygons and turned boxes into the masks, beside writing the boxes around them",
}
"""What each option does, by the path of its field."""


def described(format: Format) -> list[FormatOption]:
    """The options of a format."""
    return [FormatOption(field=field, description=DESCRIPTIONS[field]) for field in format.options]


def check_options(format: Format, options: WriteOptions) -> None:
    """InvalidArgument where an option is given that the format does not know."""
    for family in ("coco", "voc"):
        for field, _ in getattr(options, family).ListFields():
            path = f"write.{family}.{field.name}"
            if path not in format.options:
                known = ", ".join(name.removeprefix("write.") for name in format.options) or "none of its own"
                raise InvalidArgument(
                    f"{format.id} has no option {path.removeprefix('write.')}; it has {known}", field=path
                )
