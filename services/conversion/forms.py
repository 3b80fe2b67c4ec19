"""Which form of an image is written: the bytes that came in, or the normalised ones where there are any; and whether
they are encoded anew.

With the form come its size, coordinates that are scaled to it, and an extension that tells the truth.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from framehouse.annotations.geometry import Floats
from framehouse.annotations.scaling import scale
from framehouse.annotations.schema import RANGE
from framehouse.v1.conversion_pb2 import IMAGE_FORM_NORMALISED, ImageForm

COLUMNS = ("format", "original.offset", "normalised.width", "normalised.height", "normalised.format")
"""What `choose` looks at."""
EXTENSIONS = {
    "jpeg": ("jpg", "jpeg", "jpe", "jfif"),
    "png": ("png",),
    "webp": ("webp",),
    "bmp": ("bmp",),
    "tiff": ("tiff", "tif"),
}
"""Extensions that fit the formats that are written; the first one is given to what has another."""

Marks = NDArray[np.bool_]


class Choice(NamedTuple):
    """How images are written."""

    images: pa.Table
    """With paths that say so."""
    normalised: Marks
    """Which are written in their normalised form."""
    formats: pa.Array
    """What the bytes of each are in; null where there are none."""
    encoded: Marks
    """Which of them are to be written in another one."""
    renamed: Marks
    """Which got another name than by their extension, for another image has that."""


def choose(images: pa.Table, form: ImageForm, format: str = "") -> Choice:
    """Decides the form of each image. `format` is what all are written in; empty leaves them as they are."""
    used = np.array(pc.is_valid(images["normalised.width"]))
    there = np.array(pc.is_valid(images["original.offset"]))
    if form != IMAGE_FORM_NORMALISED:
        used &= ~there
    formats = written_formats(images["format"], images["normalised.format"], used)
    there |= used
    encoded = there & ~np.array(pc.equal(formats, format).fill_null(False)) if format else np.zeros(len(used), bool)
    named = there if format else used
    renamed = np.zeros(len(used), bool)
    if named.any():
        told = pa.repeat(format, len(named)) if format else formats
        paths, renamed = _renamed(images["path"].combine_chunks(), told, named)
        images = images.set_column(images.schema.get_field_index("path"), "path", paths)
    return Choice(images, used, formats, encoded, renamed)


def written_formats(formats: pa.ChunkedArray, normalised: pa.ChunkedArray, used: Marks) -> pa.Array:
    """The format of the bytes of each image: those of its normalised form where `used` marks it. A JPEG that others
    follow is one.
    """
    one = pc.if_else(pa.array(used), normalised.combine_chunks(), formats.combine_chunks())
    return pc.if_else(pc.equal(one, "mpo"), "jpeg", one)


def resized(
    images: pa.Table, annotations: pa.Table, used: Marks, width: pa.ChunkedArray, height: pa.ChunkedArray
) -> tuple[pa.Table, pa.Table]:
    """Images with the given sizes where `used` marks them, and their flat annotations scaled to those."""
    images, factors = with_sizes(images, used, width, height)
    return images, annotations if factors is None else scale(annotations, factors[annotations["image"].to_numpy()])


def with_sizes(
    images: pa.Table, used: Marks, width: pa.ChunkedArray, height: pa.ChunkedArray
) -> tuple[pa.Table, Floats | None]:
    """Images with the given sizes where `used` marks them; and by what that multiplies coordinates, x and y (n, 2),
    None where nothing changes.
    """
    if not used.any():
        return images, None
    factors = np.ones((len(used), 2))
    for axis, (name, size) in enumerate((("width", width), ("height", height))):
        old = images[name].to_numpy()
        new = size.to_numpy()
        factors[used, axis] = new[used] / old[used]
        given = pc.if_else(pa.array(used), size.combine_chunks(), images[name].combine_chunks())
        images = images.set_column(images.schema.get_field_index(name), name, given)
    return images, factors


def ranges(rows: pa.Table, used: Marks) -> pa.Table:
    """Where the bytes of the rows lie, as `schema.RANGE` has it; null where there are none."""
    forms = [rows[name].combine_chunks() for name in ("normalised", "original")]
    fields = [{name: pc.struct_field(form, name) for name in RANGE.names} for form in forms]
    return pa.table({name: pc.if_else(pa.array(used), *(form[name] for form in fields)) for name in RANGE.names})


def of_original(column: pa.ChunkedArray, used: Marks) -> pa.Array:
    """What a column says of the bytes that came in; null where others are written."""
    return pc.if_else(pa.array(used), pa.scalar(None, column.type), column.combine_chunks())


def _renamed(paths: pa.Array, formats: pa.Array, named: Marks) -> tuple[pa.Array, Marks]:
    """The paths, with another extension where that of a `named` one does not fit its format; unique as they were. And
    which of them got another name beside that.
    """
    found = pc.extract_regex(paths, r"(?s)^(?P<stem>.*?)(?:\.(?P<extension>[^./]*))?$")
    stem, extension = pc.struct_field(found, "stem"), pc.utf8_lower(pc.struct_field(found, "extension"))
    renamed, changed = paths, np.zeros(len(paths), bool)
    for format, known in EXTENSIONS.items():
        other = (
            named
            & np.array(pc.equal(formats, format).fill_null(False))
            & ~np.array(pc.is_in(extension, pa.array(known)))
        )
        renamed = pc.if_else(pa.array(other), pc.binary_join_element_wise(stem, known[0], "."), renamed)
        changed |= other
    codes = np.array(renamed.dictionary_encode().indices)
    repeated = np.flatnonzero(changed & (np.bincount(codes, minlength=1)[codes] > 1))
    again = np.zeros(len(paths), bool)
    again[repeated] = True
    if not len(repeated):
        return renamed, again
    names = renamed.to_pylist()
    taken = set(names)
    for i in repeated.tolist():
        base, last = f"{stem[i]}_{extension[i]}", names[i].rpartition(".")[2]
        wanted = f"{base}.{last}"
        number = 2
        while wanted in taken:
            wanted, number = f"{base}_{number}.{last}", number + 1
        taken.add(wanted)
        names[i] = wanted
    return pa.array(names, paths.type), again
