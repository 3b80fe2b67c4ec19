"""Options of how something is read and written, which several commands have: each group is a function that makes of
them what the client takes, and `taking` gives its options to a command.
"""

import inspect
from collections.abc import Callable
from enum import StrEnum
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from framehouse.client.options import ReadChoices, WriteChoices


class OnError(StrEnum):
    """What happens to what cannot be used."""

    SKIP = "skip"
    FAIL = "fail"


class Borders(StrEnum):
    """What happens to what reaches over the border of its image."""

    KEEP = "keep"
    CLAMP = "clamp"


class Coordinates(StrEnum):
    """Which pixels labels count on, where EXIF data turns an image."""

    UPRIGHT = "upright"
    STORED = "stored"


class Images(StrEnum):
    """Which form of the images is written."""

    ORIGINAL = "original"
    NORMALISED = "normalised"
    NONE = "none"


class Task(StrEnum):
    """Which annotations are written."""

    ALL = "all"
    DETECT = "detect"
    SEGMENT = "segment"
    SEMANTIC = "semantic"
    POSE = "pose"
    OBB = "obb"
    CLASSIFY = "classify"


class ImageFormat(StrEnum):
    """What all images are written as."""

    JPEG = "jpeg"
    PNG = "png"
    WEBP = "webp"
    BMP = "bmp"
    TIFF = "tiff"


Format = Annotated[str, typer.Option(help="The format it is in; auto detects it. `framehouse formats` lists them.")]
MinSide = Annotated[int, typer.Option(min=0, help="Images below so many pixels on a side are left out.")]
Skip = Annotated[OnError, typer.Option(help="skip: leave out what cannot be used, and say so; fail: end there.")]
Every = Annotated[int | None, typer.Option(min=1, metavar="N", help="Of videos, take every N-th frame; 1 takes all.")]
Fps = Annotated[
    float | None, typer.Option(metavar="N", help="Of videos, take N frames a second; without --every, 1 is taken.")
]
Frame = Annotated[
    Coordinates,
    typer.Option(
        "--coordinates",
        help="Of images that EXIF data turns, labels count on the pixels as shown (upright) or as they lie (stored).",
    ),
]
Boxes = Annotated[
    Borders, typer.Option("--boxes", help="Boxes and polygons over their image's border: keep them, or clamp to it.")
]

NoImages = Annotated[bool, typer.Option("--no-images", help="Write the label files alone.")]
Split = Annotated[list[str] | None, typer.Option("--split", metavar="NAME", help="Only this split; may be repeated.")]
OnlyAnnotated = Annotated[
    bool, typer.Option("--only-annotated", help="Only images that have annotations, or are known to have none.")
]
Classes = Annotated[str, typer.Option(metavar="A,B…", help="Only these classes, in this order.", show_default=False)]
FormatOption = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        "-O",
        metavar="NAME=VALUE",
        help="An option of the format, for instance coco.segmentation-mode=mask; `framehouse formats ID` lists them.",
    ),
]
Strict = Annotated[bool, typer.Option("--strict", help="Fail where the format cannot hold something.")]
Rename = Annotated[
    list[str] | None,
    typer.Option("--rename", metavar="OLD=NEW", help="Give a class another name; may be repeated. Comes first."),
]
Merge = Annotated[
    list[str] | None,
    typer.Option("--merge", metavar="A,B=C", help="Make classes A and B one with C, which there is; may be repeated."),
]
Drop = Annotated[
    list[str] | None,
    typer.Option("--drop", metavar="CLASS", help="Leave a class and its annotations out; may be repeated."),
]
TaskOption = Annotated[
    Task | None, typer.Option("--task", help="Which annotations are written; without it those of the dataset's task.")
]
ImageFormatOption = Annotated[
    ImageFormat | None,
    typer.Option("--image-format", help="Write every image in this format; without it they stay as they are."),
]
ImageForm = Annotated[
    Images | None,
    typer.Option(
        "--images",
        help="original: the bytes that came in; normalised: the smaller form of large ones, with labels to fit; none: "
        "as --no-images. Without it, original.",
    ),
]
Filter = Annotated[
    str,
    typer.Option(
        "--filter",
        metavar="FILTER",
        help="Only these images, for instance 'split = val AND label:car'.",
        show_default=False,
    ),
]
Urls = Annotated[
    bool, typer.Option("--urls", help="Ultralytics NDJSON: signed URLs of the images instead of the images, for days.")
]


def taking(**groups: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Gives a command the options of groups. What a group makes of them goes to its parameter of the group's name."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        parameters: list[inspect.Parameter] = []
        for one in inspect.signature(command).parameters.values():
            mine = inspect.signature(groups[one.name]).parameters.values() if one.name in groups else [one]
            parameters += [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in mine]

        @wraps(command)
        def run(**given: Any) -> Any:
            for name, group in groups.items():
                given[name] = group(**{key: given.pop(key) for key in inspect.signature(group).parameters})
            return command(**given)

        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # which typer looks at
        run.__annotations__ = {one.name: one.annotation for one in parameters}
        return run

    return decorate


def reading(
    format: Format = "auto",
    min_side: MinSide = 28,
    on_error: Skip = OnError.SKIP,
    every: Every = None,
    fps: Fps = None,
    coordinates: Frame = Coordinates.UPRIGHT,
    boxes: Boxes = Borders.KEEP,
) -> "ReadChoices":
    """How something is read."""
    if every is not None and fps is not None:
        raise typer.BadParameter("give --every or --fps, not both", param_hint="--fps")
    if fps is not None and not 0 < fps < float("inf"):
        raise typer.BadParameter("give the frames a second to take, above 0", param_hint="--fps")
    return {
        "format": format,
        "min_side": min_side,
        "on_error": on_error.value,
        "every": every,
        "fps": fps,
        "coordinates": coordinates.value,
        "boxes": boxes.value,
    }


def shaping(
    no_images: NoImages = False,
    split: Split = None,
    only_annotated: OnlyAnnotated = False,
    classes: Classes = "",
    rename: Rename = None,
    merge: Merge = None,
    drop: Drop = None,
    task: TaskOption = None,
    image_format: ImageFormatOption = None,
    option: FormatOption = None,
    strict: Strict = False,
) -> "WriteChoices":
    """How something is written."""
    from framehouse.client import classes as changes

    return {
        "without_images": no_images,
        "splits": split or (),
        "only_annotated": only_annotated,
        "labels": _names(classes),
        "class_changes": [
            *(changes.rename(old, new) for old, new in _pairs(rename, "--rename", "OLD=NEW")),
            *(changes.merge(_names(some), into=into) for some, into in _pairs(merge, "--merge", "A,B=C")),
            *(changes.delete(name, annotations="remove") for name in drop or ()),
        ],
        "task": task.value if task else "",
        "image_format": image_format.value if image_format else "",
        "strict": strict,
        "options": dict(_pairs(option, "--option", "NAME=VALUE")),
    }


@taking(shape=shaping)
def writing(
    shape: "WriteChoices", images: ImageForm = None, selection: Filter = "", image_urls: Urls = False
) -> "WriteChoices":
    """How a dataset is written."""
    without_images = images is Images.NONE or shape["without_images"]
    return {
        **shape,
        "image_form": "" if images in (None, Images.NONE) else images.value,
        "without_images": without_images,
        "filter": selection,
        "image_urls": image_urls,
    }


def volume_size(text: str) -> int:
    """Bytes of `2GB`, `700 MB`, `1GiB` or `5000000`."""
    import re

    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)(i?)b?", text.strip(), re.IGNORECASE)
    if match is None:
        raise typer.BadParameter(f"{text!r} is no size; write 2GB or 700MB", param_hint="--volume-size")
    step = 1024 if match[3] else 1000
    return int(float(match[1]) * step ** " kmgt".index(match[2].lower() or " "))


def _pairs(texts: list[str] | None, option: str, form: str) -> list[tuple[str, str]]:
    for text in texts or ():
        if "=" not in text:
            raise typer.BadParameter(f"{text!r} is no {form}", param_hint=option)
    return [(text.partition("=")[0].strip(), text.partition("=")[2].strip()) for text in texts or ()]


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
