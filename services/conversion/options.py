"""Options that only some formats know: what they do, and the refusal of one that a format does not know."""

from framehouse.runtime.errors import InvalidArgument
from framehouse.store.reencoding import FORMATS
from framehouse.v1.conversion_pb2 import FormatOption, WriteOptions
from services.conversion.format import Format, Readable
from services.conversion.registry import lookup_written

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
    "write.image_urls": "gives each line the URL of its image, signed, for the life that FRAMEHOUSE_EXPORT_URL_SECONDS "
    "says; leaves the images out",
}
"""What each option does, by the path of its field."""


def described(format: Readable) -> list[FormatOption]:
    """The options of a format."""
    return [FormatOption(field=field, description=DESCRIPTIONS[field]) for field in format.options]


def format_of(options: WriteOptions) -> Format:
    """The format that is written, which takes the options. InvalidArgument where there is none, or it does not."""
    if not options.format:
        raise InvalidArgument("no target format is named; ListFormats has the list", field="write.format")
    format = lookup_written(options.format, "write.format")
    check_options(format, options)
    return format


def check_options(format: Format, options: WriteOptions) -> None:
    """InvalidArgument where an option is given that the format does not know, or that does not go with another."""
    if options.image_format and options.image_format not in FORMATS:
        text = f"images are not written as {options.image_format!r}; choose one of {', '.join(FORMATS)}"
        raise InvalidArgument(text, field="write.image_format")
    if options.without_images and format.images_alone:
        text = (
            f"{format.id} has nothing beside the images; leave without_images out, or choose a format with label files"
        )
        raise InvalidArgument(text, field="write.without_images")
    if options.image_urls and "write.image_urls" not in format.options:
        raise InvalidArgument(f"{format.id} does not name images by URLs", field="write.image_urls")
    if options.image_urls and options.image_format:
        text = "a URL serves an image as it is kept; leave image_format or image_urls out"
        raise InvalidArgument(text, field="write.image_format")
    for family in ("coco", "voc"):
        for field, _ in getattr(options, family).ListFields():
            path = f"write.{family}.{field.name}"
            if path not in format.options:
                known = ", ".join(name.removeprefix("write.") for name in format.options) or "none of its own"
                raise InvalidArgument(
                    f"{format.id} has no option {path.removeprefix('write.')}; it has {known}", field=path
                )
