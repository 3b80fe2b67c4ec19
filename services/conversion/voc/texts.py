"""The XML files of Pascal VOC as text, those of a whole run of images at once.

Numbers are the shortest that read the same; an edge is x + width, so that the last digit of a width may change. Images
that say that they are from the challenge count pixels from 1, as they did.
"""

import math
import re
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from framehouse.annotations import geometry
from framehouse.annotations.geometry import Integers
from framehouse.annotations.schema import Flag, Kind
from framehouse.store.bundle import BundleWriter
from services.conversion import columns
from services.conversion.format import Rows
from services.conversion.shapes import upright_boxes
from services.conversion.voc import xml as voc_xml
from services.conversion.voc.roles import SHAPES, Detail, Roles

NO_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML has no place for."""
ELEMENT = re.compile(r"[A-Za-z_][\w.-]*")
"""Names that an element can have."""
WHOLE, PART, END = range(3)
"""The order of the pieces of an object: itself, its parts and its end. The head of a file is before, its tail after."""
RANKS = 3


def escape(text: str) -> str:
    """Text as an element has it; what XML has no place for is replaced."""
    text = NO_XML.sub("�", text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace("\r", "&#13;")


def write(
    rows: Rows,
    detail: Detail,
    roles: Roles,
    has_file: NDArray[np.bool_],
    painted: NDArray[np.bool_],
    bundle: BundleWriter,
) -> None:
    """The XML files of the images that `has_file` marks; `painted` marks those that have masks."""
    heads, is_original = _heads(rows, detail, painted)
    image = rows.annotations["image"].to_numpy()[roles.objects]
    begins, ends = _objects(rows, detail, roles, is_original[image])
    is_part = roles.host != roles.objects
    whole = np.flatnonzero(~is_part)
    count = rows.images.num_rows
    every = np.arange(count)
    pieces = pa.concat_arrays([heads, begins, ends.take(pa.array(whole)), pa.repeat("</annotation>\n", count)])
    owner = np.concatenate([every, image, image[whole], every])
    # By image, then by the object, then by what of it; one number each, for that is sorted faster than several.
    last = rows.annotations.num_rows + 1
    place = np.concatenate([np.zeros(count, np.int64), 1 + roles.host, 1 + roles.host[whole], np.full(count, last)])
    rank = np.concatenate([np.where(is_part, PART, WHOLE), np.full(len(whole), END)])
    rank = np.concatenate([np.zeros(count, np.int64), rank, np.zeros(count, np.int64)])
    order = np.argsort((owner * (last + 1) + place) * RANKS + rank, kind="stable")
    order = order[has_file[owner[order]]]
    text = pieces.take(pa.array(order))
    sizes = pc.binary_length(text).to_numpy(zero_copy_only=False).astype(np.int64)
    per_image = np.bincount(owner[order], sizes, count).astype(np.int64)[has_file]
    paths = pc.binary_join_element_wise("Annotations/", rows.images["stem"].filter(pa.array(has_file)), ".xml", "")
    joined = pc.binary_join(pa.ListArray.from_arrays(pa.array([0, len(text)], pa.int32()), text), "")
    bundle.files(paths, joined[0].as_buffer(), geometry.starts(per_image))


def _heads(rows: Rows, detail: Detail, painted: NDArray[np.bool_]) -> tuple[pa.Array, NDArray[np.bool_]]:
    """What each file begins with, up to its objects; and which are of the challenge, whose pixels count from 1."""
    count = rows.images.num_rows
    sources = rows.images["source"].combine_chunks() if detail.was_voc else pa.nulls(count, pa.string())
    coded = sources.dictionary_encode()
    said = [_said(text) for text in coded.dictionary.to_pylist()] + [("", "", 3, False)]
    code = pc.fill_null(coded.indices, len(said) - 1)
    folder, origin, depth, original = (pa.array([one[at] for one in said]).take(code) for at in range(4))
    name = pc.utf8_slice_codeunits(rows.images["target"].combine_chunks(), len("JPEGImages/"))
    for one, other in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        name = pc.replace_substring(name, one, other)
    name = pc.replace_substring_regex(name, r"[\x00-\x1f]", "_")
    width, height = (pc.cast(rows.images[side].combine_chunks(), pa.string()) for side in ("width", "height"))
    size = pc.binary_join_element_wise(
        *("\t<size>\n\t\t<width>", width, "</width>\n\t\t<height>", height, "</height>\n\t\t<depth>"),
        *(pc.cast(depth, pa.string()), "</depth>\n\t</size>\n"),
        "",
    )
    segmented = pc.if_else(pa.array(painted), "\t<segmented>1</segmented>\n", "\t<segmented>0</segmented>\n")
    heads = pc.binary_join_element_wise(
        *("<annotation>\n", folder, "\t<filename>", name, "</filename>\n", origin, pc.fill_null(size, ""), segmented),
        "",
    )
    return heads, original.to_numpy(zero_copy_only=False)


def _said(text: str) -> tuple[str, str, int, bool]:
    """Folder, source and owner as elements, depth, and whether the file is of the challenge, of an image's source."""
    said: dict[str, Any] = msgspec.json.decode(text)
    folder = f"\t<folder>{escape(said['folder'])}</folder>\n" if "folder" in said else ""
    origin = ""
    for name in ("source", "owner"):
        if name in said:
            inside = "".join(f"\t\t<{key}>{escape(value)}</{key}>\n" for key, value in said[name].items())
            origin += f"\t<{name}>\n{inside}\t</{name}>\n"
    database = said.get("source", {}).get("database", "")
    return folder, origin, said.get("depth", 3), voc_xml.ORIGINAL.fullmatch(database) is not None


def _objects(rows: Rows, detail: Detail, roles: Roles, is_original: NDArray[np.bool_]) -> tuple[pa.Array, pa.Array]:
    """Each object in two pieces, between which its parts stand; the second one of a part is empty."""
    mine = rows.annotations.take(pa.array(roles.objects))
    is_part = pa.array(roles.host != roles.objects)
    label = mine["label"].to_numpy()
    names = pa.array([escape(name) for name in detail.names], pa.string()).take(pa.array(label))
    pose, rest = _attributes(mine["attributes"].combine_chunks(), label, rows, detail)
    boxes = upright_boxes(mine, SHAPES)
    low = boxes[:, :2] + is_original[:, None]
    high = boxes[:, :2] + boxes[:, 2:]
    left, top, right, bottom = (columns.text(values) for values in (*low.T, *high.T))
    begins = pc.binary_join_element_wise(
        *(pc.if_else(is_part, "\t\t<part>\n\t\t<name>", "\t<object>\n\t\t<name>"), names, "</name>\n", pose),
        _flags(mine["flags"].to_numpy(), is_part),
        *("\t\t<bndbox>\n\t\t\t<xmin>", left, "</xmin>\n\t\t\t<ymin>", top, "</ymin>\n\t\t\t<xmax>", right),
        *("</xmax>\n\t\t\t<ymax>", bottom, "</ymax>\n\t\t</bndbox>\n"),
        _shapes(mine, with_polygons=detail.was_voc),
        "",
    )
    ends = pc.binary_join_element_wise(rest, pc.if_else(is_part, "\t\t</part>\n", "\t</object>\n"), "")
    begins = pc.if_else(is_part, pc.binary_join_element_wise(begins, ends, ""), begins)
    return begins, ends


def _flags(flags: Integers, is_part: pa.Array) -> pa.Array:
    """The flags of objects; a part that has none says nothing of them."""
    texts = []
    for value in range(8):
        words = zip(("truncated", "occluded", "difficult"), (value & 1, value >> 1 & 1, value >> 2 & 1), strict=True)
        texts.append("".join(f"\t\t<{word}>{int(is_set)}</{word}>\n" for word, is_set in words))
    code = sum(((flags & flag) > 0) << i for i, flag in enumerate((Flag.TRUNCATED, Flag.OCCLUDED, Flag.DIFFICULT)))
    code = np.asarray(code, np.int64)
    bare = pc.and_(is_part, pa.array(code == 0))
    return pc.if_else(bare, "", pa.array(texts).take(pa.array(code)))


def _attributes(column: pa.Array, label: Integers, rows: Rows, detail: Detail) -> tuple[pa.Array, pa.Array]:
    """The poses, and all other attributes, of objects; each text is made once for all that have it."""
    coded = column.dictionary_encode()
    code = pc.fill_null(coded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    # Of pairs, by one number each.
    count = len(detail.names)
    found, at = np.unique((code + 1) * count + label, return_inverse=True)
    decoded = [msgspec.json.decode(text) for text in coded.dictionary.to_pylist()]
    texts = [
        _attribute_texts(decoded[i], set(rows.labels.labels[of].attributes) if detail.was_voc else set())
        if i >= 0
        else ("", "")
        for i, of in zip((found // count - 1).tolist(), (found % count).tolist(), strict=True)
    ]
    place = pa.array(at)
    pose, rest = (pa.array([one[k] for one in texts], pa.string()).take(place) for k in (0, 1))
    return pose, rest


def _attribute_texts(attributes: dict[str, Any], actions: set[str]) -> tuple[str, str]:
    pose, acts, others = "", "", ""
    for name, value in attributes.items():
        if name == "pose" and isinstance(value, str) and value == value.strip():
            pose = f"\t\t<pose>{escape(value)}</pose>\n"
        elif name in actions and isinstance(value, bool) and ELEMENT.fullmatch(name):
            acts += f"\t\t\t<{name}>{int(value)}</{name}>\n"
        else:
            others += f"\t\t\t<attribute>\n\t\t\t\t<name>{escape(name)}</name>\n{_value(value)}\t\t\t</attribute>\n"
    return pose, "".join(
        f"\t\t<{name}>\n{inside}\t\t</{name}>\n"
        for name, inside in (("actions", acts), ("attributes", others))
        if inside
    )


def _value(value: Any) -> str:
    """An attribute's value; where its text would be read as another type, it says which one it has."""
    is_text = isinstance(value, str) and not NO_XML.search(value)
    text = value if is_text else str(value) if isinstance(value, bool) else msgspec.json.encode(value).decode()
    again = voc_xml.plain(text)
    told = "" if type(again) is type(value) and again == value else f' type="{"string" if is_text else "json"}"'
    return f"\t\t\t\t<value{told}>{escape(text)}</value>\n"


def _shapes(objects: pa.Table, *, with_polygons: bool) -> pa.Array:
    """Turned boxes as roLabelImg has them, and polygons as Roboflow has them, beside the upright boxes."""
    kinds = objects["kind"].to_numpy()
    result = np.full(len(kinds), 0)
    texts = [pa.array([""])]
    turned = np.flatnonzero(kinds == Kind.ROTATED_BOX)
    if len(turned):
        result[turned] = 1 + np.arange(len(turned))
        boxes = geometry.boxes(objects["bbox"])[turned]
        degrees = pc.fill_null(objects["rotation"], 0.0).to_numpy()[turned]
        values = [*(boxes[:, :2] + boxes[:, 2:] / 2).T, *boxes[:, 2:].T, degrees * (math.pi / 180)]
        parts: list[Any] = ["\t\t<robndbox>\n"]
        for name, column in zip(voc_xml.TURNED, values, strict=True):
            parts += [f"\t\t\t<{name}>", columns.text(column), f"</{name}>\n"]
        texts.append(pc.binary_join_element_wise(*parts, "\t\t</robndbox>\n", ""))
    shaped = np.flatnonzero(kinds == Kind.POLYGON)
    if with_polygons and len(shaped):
        result[shaped] = sum(map(len, texts)) + np.arange(len(shaped))
        rings = geometry.open_rings(objects["rings"].take(pa.array(shaped)))
        values = columns.text(rings.values).to_pylist()
        polygons = [""] * len(shaped)
        for owner, (begin, end) in zip(rings.owner.tolist(), pairwise(rings.offsets.tolist()), strict=True):
            inside = "".join(
                f"\t\t\t<x{k}>{values[at]}</x{k}>\n\t\t\t<y{k}>{values[at + 1]}</y{k}>\n"
                for k, at in enumerate(range(begin, end, 2), 1)
            )
            polygons[owner] += f"\t\t<polygon>\n{inside}\t\t</polygon>\n"
        texts.append(pa.array(polygons, pa.string()))
    return pa.concat_arrays(texts).take(pa.array(result))
