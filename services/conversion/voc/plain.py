"""What the elements of plain XML files of Pascal VOC are called, and how they belong together."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from framehouse.annotations.geometry import Integers
from services.conversion.voc import elements, xml
from services.conversion.voc.elements import Column, Elements, Marks

NAMES = (
    *("annotation", "object", "filename", "folder", "source", "owner", "database", "size", "width", "height", "depth"),
    *("name", "pose", "type", "bndbox", "part", *xml.NESTED, *xml.CORNERS),
    *(name for name, _ in xml.FLAGS),
)
"""Names of elements by their numbers."""
RUN = 2 << 20
"""Bytes that are worth being read at once."""
F = TypeVar("F", bound=tuple[Any, ...])
NUMBER = {name: number for number, name in enumerate(NAMES)}


def runs(files: Iterable[F]) -> Iterator[list[F]]:
    """Files in runs of some megabytes; the last of each tuple are a file's bytes."""
    run: list[F] = []
    size = 0
    for one in files:
        run.append(one)
        size += len(one[-1])
        if size >= RUN:
            yield run
            run, size = [], 0
    if run:
        yield run


def find(files: Sequence[bytes]) -> Elements:
    """The elements of XML files; files that are of something else than Pascal VOC are odd."""
    # Large ones are odd: a file of nothing but brackets takes many times its size in columns.
    found = elements.find([data.strip() if len(data) <= RUN else b"" for data in files], NAMES)
    roots = found.begin(1)
    found.drop(found.file[roots[found.name[roots] != NUMBER[xml.ROOT]]])
    return found


def called(found: Elements, tags: Integers, *names: str) -> Marks:
    """Which of some tags have one of these names."""
    number = found.name[tags]
    marks: Marks = number == NUMBER[names[0]]
    for name in names[1:]:
        marks |= number == NUMBER[name]
    return marks


def owners(found: Elements, tags: Integers, among: Integers) -> Integers:
    """For each tag the place in `among` of the element that it is in, -1 for none. Both ascend."""
    at = np.searchsorted(among, tags) - 1
    return np.where((at >= 0) & (tags < found.closing[among[at]]), at, -1) if len(among) else at


def single(found: Elements, tags: Integers, owner: Integers | Column, count: int) -> Integers:
    """The one of `tags`, leaves, that each of `count` owners has, -1 for none.

    Files in which one is no leaf, or an owner has two, become odd.
    """
    result = np.full(count, -1)
    result[owner] = tags
    twice = result[owner] != tags
    found.odd[found.file[tags[twice | ~found.is_leaf(tags)]]] = True
    return result


def texts(found: Elements, tags: Integers) -> pa.Array:
    """The texts of leaves; null where there is none (-1)."""
    there = tags >= 0
    if there.all():
        return found.texts(tags)
    place = np.cumsum(there) - 1
    return found.texts(tags[there]).take(pa.array(place, mask=~there))


def refuse_repeated(found: Elements, tags: Integers) -> None:
    """Makes files odd that have several of `tags`, which ascend."""
    file = found.file[tags]
    found.odd[file[1:][file[1:] == file[:-1]]] = True
