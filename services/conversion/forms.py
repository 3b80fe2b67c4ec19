"""Which form of an image is written: the bytes that came in, or the normalised ones where there are any.

With the form come its size, coordinates that are scaled to it, and an extension that tells the truth.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from framehouse.annotations.scaling import scale
from framehouse.annotations.schema import RANGE
from framehouse.v1.conversion_pb2 import IMAGE_FORM_NORMALISED, ImageForm

COLUMNS = ("original.offset", "normalised.width", "normalised.height", "normalised.format")
"""What `choose` looks at."""
EXTENSIONS = {"jpeg": ("jpg", "jpeg", "jpe", "jfif"), "png": ("png",)}
"""Extensions that fit the formats of normalised images; the first one is given to what has another."""

Marks = NDArray[np.bool_]


def choose(images: pa.Table, form: ImageForm) -> tuple[pa.Table, Marks]:
    """Which images are written in their normalised form; and the images with paths that say so."""
    used = np.array(pc.is_valid(images["normalised.width"]))
    if form != IMAGE_FORM_NORMALISED:
        used &= np.array(pc.is_null(images["original.offset"]))
    if used.any():
        paths = _renamed(images["path"].combine_chunks(), images["normalised.format"].combine_chunks(), used)
        images = images.set_column(images.schema.get_field_index("path"), "path", paths)
    return images, used


def resized(
    images: pa.Table, annotations: pa.Table, used: Marks, width: pa.ChunkedArray, height: pa.ChunkedArray
) -> tuple[pa.Table, pa.Table]:
    """Images with the given sizes where `used` marks them, and their flat annotations scaled to those."""
    if not used.any():
        return images, annotations
    factors = np.ones((len(used), 2))
    for axis, (name, size) in enumerate((("width", width), ("height", height))):
        old = images[name].to_numpy()
        new = size.to_numpy()
        factors[used, axis] = new[used] / old[used]
        given = pc.if_else(pa.array(used), size.combine_chunks(), images[name].combine_chunks())
        images = images.set_column(images.schema.get_field_index(name), name, given)
    return images, scale(annotations, factors[annotations["image"].to_numpy()])


def ranges(rows: pa.Table, used: Marks) -> pa.Table:
    """Where the bytes of the rows lie, as `schema.RANGE` has it; null where there are none."""
    forms = [rows[name].combine_chunks() for name in ("normalised", "original")]
    fields = [{name: pc.struct_field(form, name) for name in RANGE.names} for form in forms]
    return pa.table({name: pc.if_else(pa.array(used), *(form[name] for form in fields)) for name in RANGE.names})


def _renamed(paths: pa.Array, formats: pa.Array, used: Marks) -> pa.Array:
    """The paths, with another extension where the form has another format; unique as they were."""
    found = pc.extract_regex(paths, r"(?s)^(?P<stem>.*?)(?:\.(?P<extension>[^./]*))?$")
    stem, extension = pc.struct_field(found, "stem"), pc.utf8_lower(pc.struct_field(found, "extension"))
    renamed, changed = paths, np.zeros(len(paths), bool)
    for format, known in EXTENSIONS.items():
        other = (
            used
            & np.array(pc.equal(formats, format).fill_null(False))
            & ~np.array(pc.is_in(extension, pa.array(known)))
        )
        renamed = pc.if_else(pa.array(other), pc.binary_join_element_wise(stem, known[0], "."), renamed)
        changed |= other
    codes = np.array(renamed.dictionary_encode().indices)
    repeated = np.flatnonzero(changed & (np.bincount(codes, minlength=1)[codes] > 1))
    if not len(repeated):
        return renamed
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
    return pa.array(names, paths.type)
