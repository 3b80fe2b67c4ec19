"""Formats by their names, so that a word that is none is known before anything is sent."""

import difflib
from collections.abc import Sequence

from framehouse.client.errors import InvalidArgument
from framehouse.v1.conversion_pb2 import Format


def named(name: str, known: Sequence[Format]) -> list[Format]:
    """Those of `known` that have this id or other name, in any case, that of the id first.

    InvalidArgument with the names that are near where there is none.
    """
    wanted = name.strip().lower()
    found = [one for one in known if wanted in (one.id, *one.aliases)]
    if not found:
        words = {word: None for one in known for word in (one.id, *one.aliases)}
        near = difflib.get_close_matches(wanted, words, 3, 0.5)
        raise InvalidArgument(
            f"there is no format {name!r}" + (f"; did you mean {' or '.join(near)}?" if near else ""),
            remedy=f"there are: {', '.join(one.id for one in known)}",
            reason="FORMAT_UNKNOWN",
        )
    return sorted(found, key=lambda one: one.id != wanted)
