"""Pascal VOC's classes: the challenge's own, labelmap.txt, and the colours that stand for classes and instances.

A colour of VOC is a number whose bits are dealt to red, green and blue in turn, the lowest ones highest. 24 bits go in,
so that every number has a colour of its own and can be had back from it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from framehouse.annotations.geometry import Integers
from framehouse.store.issues import WARNING, IssueLog
from framehouse.v1.annotation_pb2 import Label, LabelSchema

Colours = NDArray[np.uint8]
Colour = tuple[int, int, int]

BACKGROUND = "background"
CHALLENGE = (
    *(BACKGROUND, "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
"""The classes of the challenge by the index that stands for them in masks; `VOID` has the last one."""
VOID, VOID_INDEX = "ignored", 255
PERSON = "person"
PARTS = ("head", "hand", "foot")
ACTIONS = (
    *("other", "jumping", "phoning", "playinginstrument", "reading", "ridingbike", "ridinghorse", "running"),
    *("takingphoto", "usingcomputer", "walking"),
)

BLACK: Colour = (0, 0, 0)
HEAD = "# label:color_rgb:parts:actions"
IS_CLASS = f"# {BACKGROUND} is a class"
"""A comment of labelmap.txt: the line `background` is more than the colour of nothing."""
UNFIT = re.compile(r"[:\x00-\x1f\x7f]|^#|^\s+|\s+$")
"""What no name in labelmap.txt can have."""


@dataclass(frozen=True)
class Entry:
    """A line of labelmap.txt."""

    name: str
    colour: Colour | None = None
    parts: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    index: int = -1
    """What stands for it in masks of indices; -1 for its line."""


@dataclass
class Names:
    """The names that label files use."""

    objects: set[str] = field(default_factory=set)
    parts: dict[str, str] = field(default_factory=dict)
    """With the class of the first object that each is a part of."""
    actions: dict[str, set[str]] = field(default_factory=dict)
    tags: set[str] = field(default_factory=set)


def colours(numbers: Integers) -> Colours:
    """The colours (n, 3), red, green and blue, of numbers below 2**24."""
    result = np.zeros((len(numbers), 3), np.uint8)
    for place in range(8):
        for channel in range(3):
            bit = numbers >> (3 * place + channel) & 1
            result[:, channel] |= (bit << (7 - place)).astype(np.uint8)
    return result


def numbers(colours: Colours) -> Integers:
    """The numbers of colours (n, 3): the inverse of `colours`."""
    result = np.zeros(len(colours), np.int64)
    for place in range(8):
        for channel in range(3):
            bit = colours[:, channel].astype(np.int64) >> (7 - place) & 1
            result |= bit << (3 * place + channel)
    return result


def colour(number: int) -> Colour:
    """The colour of one number."""
    red, green, blue = colours(np.array([number]))[0].tolist()
    return red, green, blue


def challenge() -> list[Entry]:
    """The challenge's own label map."""
    entries = [
        Entry(name, colour(i), PARTS if name == PERSON else (), ACTIONS if name == PERSON else (), i)
        for i, name in enumerate(CHALLENGE)
    ]
    return [*entries, Entry(VOID, colour(VOID_INDEX), index=VOID_INDEX)]


def read_map(path: str, text: str, issues: IssueLog) -> tuple[list[Entry], bool]:
    """The lines of a labelmap.txt, `name:red,green,blue:parts:actions`; and whether `background` is a class by it."""
    entries: dict[str, Entry] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, shade, parts, actions = ([item.strip() for item in line.split(":")] + [""] * 3)[:4]
        if not name or name in entries:
            code = "CLASS_NAME_REPEATED" if name else "CLASS_NAME_MISSING"
            text_ = f"the class {name!r} is named before" if name else "the line names no class"
            issues.add(code, WARNING, path, text_, "correct or remove the line", number)
            # Its place is kept, for masks may count the lines.
            name = f"_{len(entries)}"
        values = re.findall(r"\d+", shade)
        given = len(values) == 3 and all(int(value) < 256 for value in values)
        if shade and not given:
            text_ = f"{shade[:40]!r} is no colour; it was left out"
            issues.add("COLOUR_INVALID", WARNING, path, text_, "a colour is red, green and blue, as `128,0,0`", number)
        rgb = (int(values[0]), int(values[1]), int(values[2])) if given else None
        entries[name] = Entry(name, rgb, _listed(parts), _listed(actions), len(entries))
    return list(entries.values()), IS_CLASS in text


def _listed(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def schema(
    path: str, entries: Sequence[Entry] | None, has_background: bool, names: Names, has_masks: bool, issues: IssueLog
) -> LabelSchema:
    """The classes of a dataset. `entries` are those of its labelmap.txt at `path`, None where it has none.

    Without one they are the challenge's, where all names are its and the archive has its class lists or masks; else
    those that occur.
    """
    used = names.objects | names.tags
    has_background |= BACKGROUND in used
    if entries is None:
        known = used | set(names.parts) <= {*CHALLENGE, VOID, *PARTS}
        # Masks without a label map can only mean the challenge's colours.
        if has_masks or (known and names.tags >= {*CHALLENGE} - {BACKGROUND}):
            return _build(challenge(), has_background, names)
        rank = {name: i for i, name in enumerate(CHALLENGE if known else ())}
        found = sorted(used - set(names.parts), key=lambda name: (rank.get(name, len(rank)), name))
        return _build([Entry(name) for name in found], has_background, names)
    if not any(entry.colour for entry in entries):
        entries = [Entry(item.name, colour(i), item.parts, item.actions, i) for i, item in enumerate(entries)]
    listed = {item.name for item in entries} | {part for item in entries for part in item.parts}
    for name in sorted(used - listed):
        text = f"label files have the class {name!r}, which the label map has not; it was added"
        issues.add("CLASS_NOT_LISTED", WARNING, path, text, "add a line for it")
    return _build(entries, has_background, names)


def _build(entries: Sequence[Entry], has_background: bool, names: Names) -> LabelSchema:
    labels: dict[str, Label] = {}
    for entry in entries:
        if entry.name == BACKGROUND and entry.colour in (BLACK, None) and not has_background:
            continue
        label = Label(name=entry.name, attributes=entry.actions)
        if entry.colour is not None:
            label.color = "#{:02x}{:02x}{:02x}".format(*entry.colour)
        if entry.index >= 0:
            label.source_id = entry.index
        labels[entry.name] = label
    parts = {part: entry.name for entry in entries for part in entry.parts}
    parts |= {part: parent for part, parent in sorted(names.parts.items()) if part not in parts}
    for name, parent in parts.items():
        if name not in labels:
            labels[name] = Label(name=name, parent=parent)
    for name in sorted((names.objects | names.tags) - labels.keys()):
        labels[name] = Label(name=name)
    for name, actions in names.actions.items():
        label = labels[name]
        label.attributes.extend(sorted(actions - set(label.attributes)))
    return LabelSchema(labels=labels.values())


def written_names(labels: LabelSchema) -> list[str]:
    """The names that labels are written by, each one once, without what labelmap.txt has no place for."""
    taken = {label.name for label in labels.labels if not UNFIT.search(label.name)}
    names = []
    for label in labels.labels:
        name = label.name
        if UNFIT.search(name):
            base = re.sub(r"[:\x00-\x1f\x7f]", "_", re.sub("^#", "_", name.strip())) or "_"
            name, number = base, 2
            while name in taken:
                name, number = f"{base}_{number}", number + 1
            taken.add(name)
        names.append(name)
    return names


def file_name(name: str) -> str:
    """A class's name as a part of a file's name; no two are the same."""
    return re.sub(r'[%/\\*?"<>|]|^\.', lambda match: f"%{ord(match[0]):02X}", name)


def fill_colours(entries: Sequence[Entry]) -> list[Entry]:
    """The entries, each with a colour of its own; those that have none, or another's, get VOC's next free one.

    Black is left to an entry that has it already.
    """
    taken = {BLACK}
    given: dict[int, Colour] = {}
    for i, entry in enumerate(entries):
        if entry.colour is not None and (entry.colour not in taken or (entry.colour == BLACK and i == 0)):
            given[i] = entry.colour
            taken.add(entry.colour)
    result = []
    for i, entry in enumerate(entries):
        number = i
        while i not in given:
            shade = colour(number)
            if shade not in taken:
                given[i] = shade
                taken.add(shade)
            number += 1
        result.append(Entry(entry.name, given[i], entry.parts, entry.actions, i))
    return result


def map_text(entries: Sequence[Entry], is_class: bool) -> bytes:
    """A labelmap.txt. `is_class`: whether `background` is one of the dataset's classes."""
    lines = [HEAD, *([IS_CLASS] if is_class else [])]
    for entry in entries:
        shade = ",".join(map(str, entry.colour)) if entry.colour else ""
        lines.append(":".join((entry.name, shade, ",".join(entry.parts), ",".join(entry.actions))))
    return "".join(f"{line}\n" for line in lines).encode()


def shades(labels: LabelSchema) -> Mapping[Colour, int]:
    """The label that each colour stands for."""
    found: dict[Colour, int] = {}
    for i, label in enumerate(labels.labels):
        if label.color:
            red, green, blue = bytes.fromhex(label.color[1:])
            found.setdefault((red, green, blue), i)
    return found
