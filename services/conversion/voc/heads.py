"""What a plan has to know of XML files: their images, the classes of their objects, and what they say besides.

Plain files are read all at once, others one by one.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from framehouse.annotations.geometry import Integers, starts
from services.conversion.voc import labels as voc_labels
from services.conversion.voc import plain, xml
from services.conversion.voc.elements import Column, Elements, Marks

SCHEMA = pa.schema(
    [
        pa.field("file_name", pa.string()),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("source", pa.string()),  # what else the file says of the image, to be written again; JSON
        pa.field("has_objects", pa.bool_()),
    ]
)
"""All null where a file cannot be read."""
SAID = ("folder", "source", "owner")
"""Children of the root that are kept."""
UNSAFE = r'["\\\x00-\x1f\x7f]'
"""What JSON does not write as it is."""


def read(files: Sequence[bytes], names: voc_labels.Names, problems: dict[int, xml.Refused]) -> pa.Table:
    """The heads (SCHEMA) of files, a row each. Adds to `names` what they call things, and to `problems`, by position,
    why one cannot be read.
    """
    found = plain.find(files)
    table = _plain(found, names)
    odd = np.flatnonzero(found.odd).tolist()
    if not odd:
        return table
    rows: list[dict[str, Any]] = []
    for i in odd:
        try:
            one = xml.outline(xml.parse(files[i]))
        except xml.Refused as refusal:
            problems[i] = refusal
            rows.append({})
            continue
        rows.append(one._asdict())
        _add_names(names, one)
    place = np.arange(len(files))
    place[odd] = len(files) + np.arange(len(odd))
    return pa.concat_tables([table, pa.Table.from_pylist(rows, SCHEMA)]).take(pa.array(place))


def _add_names(names: voc_labels.Names, one: xml.Outline) -> None:
    names.objects.update(one.names)
    for part, parent in one.parts:
        names.parts.setdefault(part, parent)
    for name, action in one.actions:
        names.actions.setdefault(name, set()).add(action)


def _plain(found: Elements, names: voc_labels.Names) -> pa.Table:
    """The heads of plain files; nothing much for odd ones."""
    count = found.files
    top, inner = found.begin(2), found.begin(3)
    objects = top[plain.called(found, top, "object")]
    owner = plain.owners(found, inner, objects)
    mine = owner >= 0
    parts = mine & plain.called(found, inner, "part", "actions")
    found.odd[found.file[inner[parts]]] = True
    named = mine & plain.called(found, inner, "name")
    classes = plain.single(found, inner[named], owner[named], len(objects))
    sides = []
    for tags in (top[plain.called(found, top, "filename")], *_of_sizes(found, top, inner)):
        sides.append(plain.single(found, tags, found.file[tags], count))
    source = _sources(found, top, inner, sides[3])
    classes = classes[(classes >= 0) & ~found.odd[found.file[classes]]]
    names.objects.update(pc.unique(found.texts(classes)).to_pylist())
    has_objects = np.zeros(count, bool)
    has_objects[found.file[objects]] = True
    file_name = plain.texts(found, sides[0])
    width, height = (_whole(found, tags) for tags in sides[1:3])
    return pa.table([file_name, width, height, source, pa.array(has_objects)], schema=SCHEMA)


def _of_sizes(found: Elements, top: Integers, inner: Integers) -> list[Integers]:
    """Widths, heights and depths."""
    sizes = top[plain.called(found, top, "size")]
    plain.refuse_repeated(found, sizes)
    tags = inner[plain.owners(found, inner, sizes) >= 0]
    return [tags[plain.called(found, tags, name)] for name in ("width", "height", "depth")]


def _whole(found: Elements, tags: Integers) -> pa.Array:
    coded = plain.texts(found, tags).dictionary_encode()
    return pa.array([xml.whole(text) for text in coded.dictionary.to_pylist()], pa.int32()).take(coded.indices)


def _sources(found: Elements, top: Integers, inner: Integers, depth: Integers) -> pa.Array:
    """What files say of where their images are from, and their depths, as JSON."""
    said = top[plain.called(found, top, *SAID)]
    owner = plain.owners(found, inner, said)
    inside, owner = inner[owner >= 0], owner[owner >= 0]
    is_folder = plain.called(found, said, SAID[0])
    texts, folders = found.texts(inside), found.texts(said)
    for tags, values in ((inside, texts), (said[is_folder], folders.filter(pa.array(is_folder)))):
        odd = pc.match_substring_regex(values, UNSAFE).to_numpy(zero_copy_only=False) | ~found.is_leaf(tags)
        found.odd[found.file[tags[odd]]] = True
    for tags, of in ((inside, owner), (said, found.file[said])):
        found.odd[found.file[tags[_is_repeated(of * len(found.names) + found.name[tags])]]] = True
    keys = pa.array([f'"{name}":"' for name in found.names]).take(pa.array(found.name[inside]))
    joined = _join(pc.binary_join_element_wise(keys, texts, '"', ""), owner, len(said))
    marks = pa.array(is_folder)
    keys = pa.array([f'"{name}":' for name in found.names]).take(pa.array(found.name[said]))
    pieces = pc.binary_join_element_wise(
        *(keys, pc.if_else(marks, '"', "{"), pc.if_else(marks, folders, joined), pc.if_else(marks, '"', "}"), "")
    )
    depths = _whole(found, depth)
    unusual = pc.fill_null(pc.not_equal(depths, 3), False)
    pieces = pa.concat_arrays(
        [pieces, pc.binary_join_element_wise('"depth":', depths.filter(unusual).cast(pa.string()), "")]
    )
    of = np.concatenate([found.file[said], np.flatnonzero(unusual.to_numpy(zero_copy_only=False))])
    order = np.argsort(of, kind="stable")
    whole = _join(pieces.take(pa.array(order)), of[order], found.files)
    return pc.if_else(pc.equal(whole, ""), None, pc.binary_join_element_wise("{", whole, "}", ""))


def _is_repeated(keys: Integers) -> Marks:
    _, place, counts = np.unique(keys, return_inverse=True, return_counts=True)
    repeated: Marks = counts[place] > 1
    return repeated


def _join(pieces: pa.Array, owner: Integers | Column, count: int) -> pa.Array:
    """The pieces of each of `count` owners, which ascend, with commas between them."""
    offsets = starts(np.bincount(owner, minlength=count)).astype(np.int32)
    return pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets), pieces), ",")
