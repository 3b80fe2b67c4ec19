"""What a caller chooses of how an archive is read and a dataset is written, put into the messages that carry it.

Options of single formats are written as their path and a word, `coco.segmentation_mode` and `mask`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from framehouse.client.errors import InvalidArgument
from framehouse.v1 import conversion_pb2, dataset_pb2

IMAGE_FORMS: Mapping[str, conversion_pb2.ImageForm] = {
    "": conversion_pb2.IMAGE_FORM_UNSPECIFIED,
    "original": conversion_pb2.IMAGE_FORM_ORIGINAL,
    "normalised": conversion_pb2.IMAGE_FORM_NORMALISED,
}
TASKS: Mapping[str, dataset_pb2.Task] = {
    "": dataset_pb2.TASK_UNSPECIFIED,
    "all": dataset_pb2.TASK_UNSPECIFIED,
    "detect": dataset_pb2.TASK_DETECT,
    "segment": dataset_pb2.TASK_SEGMENT,
    "semantic": dataset_pb2.TASK_SEMANTIC,
    "pose": dataset_pb2.TASK_POSE,
    "obb": dataset_pb2.TASK_OBB,
    "classify": dataset_pb2.TASK_CLASSIFY,
}
LISTED = "`framehouse formats ID` lists those of a format"
TRUE, FALSE = ("true", "yes", "1", ""), ("false", "no", "0")


ON_ERROR: Mapping[str, conversion_pb2.ErrorPolicy] = {
    "skip": conversion_pb2.ERROR_POLICY_SKIP,
    "fail": conversion_pb2.ERROR_POLICY_FAIL,
}
COORDINATES: Mapping[str, conversion_pb2.CoordinateFrame] = {
    "upright": conversion_pb2.COORDINATE_FRAME_UPRIGHT,
    "stored": conversion_pb2.COORDINATE_FRAME_STORED,
}
BOXES: Mapping[str, conversion_pb2.BoxPolicy] = {
    "keep": conversion_pb2.BOX_POLICY_KEEP,
    "clamp": conversion_pb2.BOX_POLICY_CLAMP,
}

T = TypeVar("T")


class ReadChoices(TypedDict, total=False):
    """How an archive is read, all of it optional."""

    format: str
    """A format's id; `auto`, the default, detects it."""
    min_side: int | None
    """Images below so many pixels are left out; unset: 28."""
    on_error: str
    """`skip` leaves out what cannot be used and tells of it, `fail` ends at the first such thing."""
    every: int | None
    """Every n-th frame of a video is taken."""
    fps: float | None
    """So many frames a second of a video are taken; where neither is set, one."""
    coordinates: str
    """Of images that their EXIF data turns, whether labels count on the pixels as they are shown (`upright`) or as they
    lie in the file (`stored`).
    """
    boxes: str
    """Whether boxes and polygons that reach over the border of their image are kept (`keep`) or cut there (`clamp`)."""


class WriteChoices(TypedDict, total=False):
    """How a dataset is written, all of it optional."""

    image_form: str
    """`original`, or `normalised` where there is such a form, with coordinates that fit; empty: `original`, unless a
    recipe says otherwise.
    """
    without_images: bool
    """Writes the label files alone."""
    splits: Sequence[str]
    """Only images of these splits."""
    only_annotated: bool
    """Only images that have annotations, or are known to have none."""
    labels: Sequence[str]
    """Only these classes, in this order."""
    strict: bool
    """Fails where anything would be lost, instead of falling back."""
    options: Mapping[str, str]
    """Options of the format, as `set_options` takes them."""
    filter: str
    """Only images that it selects, in the language of `list_images`."""
    class_changes: Sequence[dataset_pb2.ClassChange]
    """Made with the classes before anything is written; the functions of `framehouse.client.classes` make them."""
    task: str
    """Whose annotations are written: `detect`, `segment`, `semantic`, `pose`, `obb`, `classify` or `all`; empty: that
    of the dataset.
    """
    image_format: str
    """Every image is written in this format: `jpeg`, `png`, `webp`, `bmp` or `tiff`; empty leaves them as they are."""
    image_urls: bool
    """Ultralytics NDJSON: each line has a signed URL of its image, and no image is written."""


class ConvertChoices(ReadChoices, WriteChoices, total=False):
    """How an archive is read and written again."""


def read_options(
    *,
    format: str = "auto",
    min_side: int | None = None,
    on_error: str = "skip",
    every: int | None = None,
    fps: float | None = None,
    coordinates: str = "upright",
    boxes: str = "keep",
) -> conversion_pb2.ReadOptions:
    """The choices as a message. Raises `InvalidArgument` with what there is."""
    if every is not None and fps is not None:
        raise InvalidArgument(
            "every and fps say two things of the same", remedy="give one of them, or none for one frame a second"
        )
    return conversion_pb2.ReadOptions(
        format=format,
        min_side=min_side,
        on_error=one_of("on_error", on_error, ON_ERROR),
        coordinates=one_of("coordinates", coordinates, COORDINATES),
        boxes=one_of("boxes", boxes, BOXES),
        video=conversion_pb2.VideoOptions(every=every, fps=fps),
    )


def one_of(name: str, word: str, known: Mapping[str, T]) -> T:
    """What a word stands for. Raises `InvalidArgument` with the words that there are."""
    if word not in known:
        raise InvalidArgument(f"{name} is {word!r}", remedy=f"use one of: {', '.join(filter(None, known))}")
    return known[word]


def write_options(
    format: str,
    *,
    image_form: str = "",
    without_images: bool = False,
    splits: Sequence[str] = (),
    only_annotated: bool = False,
    labels: Sequence[str] = (),
    strict: bool = False,
    options: Mapping[str, str] | None = None,
    filter: str = "",
    class_changes: Sequence[dataset_pb2.ClassChange] = (),
    task: str = "",
    image_format: str = "",
    image_urls: bool = False,
) -> conversion_pb2.WriteOptions:
    """The choices as a message. Raises `InvalidArgument` with what there is."""
    message = conversion_pb2.WriteOptions(
        format=format,
        image_form=one_of("image_form", image_form, IMAGE_FORMS),
        without_images=without_images,
        splits=splits,
        only_annotated=only_annotated,
        labels=labels,
        strict=strict,
        filter=filter,
        class_changes=class_changes,
        task=one_of("task", task, TASKS) if task else None,
        image_format=image_format,
        image_urls=image_urls,
    )
    set_options(message, options or {})
    return message


def set_options(message: Message, options: Mapping[str, str]) -> None:
    """Sets fields by their path from the message on. An enumeration takes its value's own word, in any case.

    Raises `InvalidArgument` with what there is.
    """
    for path, text in options.items():
        *parents, name = path.replace("-", "_").split(".")
        inner, remedy = message, LISTED
        for part in (*parents, name):
            if not isinstance(inner, Message) or part not in inner.DESCRIPTOR.fields_by_name:
                raise InvalidArgument(f"there is no option {path}", remedy=remedy)
            holder, inner = inner, getattr(inner, part)
            if isinstance(inner, Message):
                remedy = f"{part} has {', '.join(sorted(inner.DESCRIPTOR.fields_by_name))}"
        setattr(holder, name, _value(holder.DESCRIPTOR.fields_by_name[name], path, text))


def _value(field: Any, path: str, text: str) -> object:
    word = text.strip().lower()
    if field.enum_type is not None:
        prefix = _common([value.name for value in field.enum_type.values])
        known = {value.name.removeprefix(prefix).lower(): value.number for value in field.enum_type.values}
        known.pop("unspecified", None)
        if word.replace("-", "_") not in known:
            raise InvalidArgument(f"{path} cannot be {text!r}", remedy=f"it can be: {', '.join(known)}")
        return known[word.replace("-", "_")]
    if field.type == FieldDescriptor.TYPE_BOOL:
        if word not in TRUE + FALSE:
            raise InvalidArgument(f"{path} cannot be {text!r}", remedy="write true or false")
        return word in TRUE
    raise InvalidArgument(f"{path} is no option by itself", remedy=LISTED)


def _common(names: list[str]) -> str:
    """What all values of an enumeration begin with, up to an underscore."""
    shortest = min(names, key=len)
    size = next((i for i in range(len(shortest)) if any(name[i] != shortest[i] for name in names)), len(shortest))
    return shortest[:size].rpartition("_")[0] + "_"
