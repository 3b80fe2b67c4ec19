"""Attributes that Datumaro and CVAT give a meaning, as columns; and back.

`occluded`, `is_crowd` and the like are flags where they are true, `score` is the score, `track_id` the track, and
`rotation` turns boxes and ellipses. All others, and those that are false, stay attributes.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from framehouse.annotations.schema import Flag, Kind
from services.conversion import columns

FLAGS = {
    "occluded": Flag.OCCLUDED,
    "truncated": Flag.TRUNCATED,
    "is_crowd": Flag.CROWD,
    "difficult": Flag.DIFFICULT,
    "outside": Flag.OUTSIDE,
    "keyframe": Flag.KEYFRAME,
}
TURNED = (Kind.BOX, Kind.ROTATED_BOX, Kind.ELLIPSE)


class Attributes(NamedTuple):
    """What the attributes of one annotation say."""

    flags: int = 0
    score: float | None = None
    track: int | None = None
    rotation: float | None = None
    rest: str | None = None


NOTHING = Attributes()


def read(text: bytes, kind: int) -> Attributes:
    """The attributes, a JSON object, of an annotation of a kind."""
    return NOTHING if text in (b"", b"{}", b"null") else _read(text, kind if kind in TURNED else 0)


# Of many annotations they are the same.
@lru_cache(1 << 14)
def _read(text: bytes, kind: int) -> Attributes:
    given: Any = msgspec.json.decode(text)
    if not isinstance(given, dict) or not given:
        return Attributes()
    taken = []
    flags = 0
    for name, flag in FLAGS.items():
        if given.get(name) is True:
            flags |= flag
            taken.append(name)
    score: Any
    rotation: Any
    score, track, rotation = (given.get(name) for name in ("score", "track_id", "rotation"))
    score = float(score) if _is_number(score) else None
    track = track if _is_number(track) and isinstance(track, int) and abs(track) < 1 << 62 else None
    # CVAT says of every box how it is turned, most of them by nothing.
    turns = _is_number(rotation) and kind in TURNED and (kind != Kind.BOX or rotation != 0)
    rotation = float(rotation) if turns else None
    taken += [
        name for name, value in (("score", score), ("track_id", track), ("rotation", rotation)) if value is not None
    ]
    rest: bytes | None = text
    if taken:
        left = {name: value for name, value in given.items() if name not in taken}
        rest = msgspec.json.encode(left) if left else None
    elif b" " in text or b"\n" in text:
        rest = msgspec.json.format(text, indent=-1)
    return Attributes(flags, score, track, rotation, rest.decode() if rest else None)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def texts(annotations: pa.Table) -> pa.Array:
    """The JSON object of each annotation."""
    flags = annotations["flags"].to_numpy()
    parts: list[pa.Array] = [
        pc.if_else(pa.array((flags & flag) != 0), f',"{name}":true', "") for name, flag in FLAGS.items()
    ]
    for name, column in (("score", "score"), ("track_id", "track"), ("rotation", "rotation")):
        values = annotations[column].combine_chunks()
        text = pc.binary_join_element_wise(f',"{name}":', pc.fill_null(columns.text(values), ""), "")
        parts.append(pc.if_else(values.is_valid(), text, ""))
    added = pc.binary_join_element_wise(*parts, "")
    given = pc.utf8_slice_codeunits(pc.fill_null(annotations["attributes"].combine_chunks(), "{}"), 0, stop=-1)
    bare = pc.equal(given, "{")
    added = pc.if_else(bare, pc.utf8_slice_codeunits(added, 1), added)
    return pc.binary_join_element_wise(given, added, "}", "")
