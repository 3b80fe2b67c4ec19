"""One XML file of Pascal VOC: what the plan needs to know of it, and its objects.

Nothing is resolved or fetched, and a document type is refused. Boxes come out as x, y and the far corner in pixels from
the top left corner of the image, half open.
"""

import math
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
from lxml import etree

from framehouse.annotations.schema import Flag, Kind

LARGE = 2**63
"""Numbers from here on stay text."""
PARSER = etree.XMLParser(
    resolve_entities=False, no_network=True, huge_tree=False, load_dtd=False, remove_comments=True, remove_pis=True
)
ROOT = "annotation"
ORIGINAL = re.compile(r"The VOC ?20\d\d Database", re.IGNORECASE)
"""What the challenge's own files say that they are from: they count pixels from 1, the last one included."""
FLAGS = (("difficult", int(Flag.DIFFICULT)), ("truncated", int(Flag.TRUNCATED)), ("occluded", int(Flag.OCCLUDED)))
UNSET = (None, "0")
KNOWN = {"name", "pose", "type", *(name for name, _ in FLAGS)}
"""Children of an object that are read one by one; others with a text become attributes."""
NESTED = ("polygon", "robndbox", "actions", "attributes", "point")
"""Children of an object that have children themselves and are read, beside its box and its parts."""
CORNERS = ("xmin", "ymin", "xmax", "ymax")
TURNED = ("cx", "cy", "w", "h", "angle")
REMEDY = "correct or remove the object"
SIDE = re.compile("([xy])([0-9]{0,6})")
"""What the coordinates of a polygon's points are called."""
TYPED = "type"
"""Attribute of a value that reads as another type than it has: `string`, or `json`."""

Corners = tuple[float, float, float, float]
Texts = dict[Any, str | None]
"""The texts of elements by their tags."""


class Refused(ValueError):
    """Why a file cannot be used: code of the issue, text, remedy and line."""

    def __init__(self, code: str, text: str, remedy: str, line: int = 0) -> None:
        super().__init__(text)
        self.code, self.text, self.remedy, self.line = code, text, remedy, line


class Outline(NamedTuple):
    """What the plan of an import has to know of a file."""

    file_name: str
    width: int | None
    height: int | None
    source: str | None
    """What the file says of the image besides, to be written again; JSON."""
    names: list[str]
    """Classes of its objects."""
    parts: list[tuple[str, str]]
    """Classes of parts, each with that of its object."""
    actions: list[tuple[str, str]]
    """Classes, each with the name of an action."""
    has_objects: bool


class Object(NamedTuple):
    """An object, or a part of one."""

    image: int
    number: int
    """Place among the objects of its file, from 1; that of its object, negative, for a part."""
    label: int
    kind: int
    corners: Corners
    flags: int
    attributes: str | None
    """As JSON."""
    rings: list[list[float]] | None = None
    rotation: float | None = None


class Problem(NamedTuple):
    """What is wrong with one object, as an issue has it."""

    code: str
    text: str
    remedy: str
    line: int


def parse(data: bytes) -> etree._Element:
    """The root of a file. Raises Refused."""
    try:
        root = etree.fromstring(data.lstrip(), PARSER)
    except (etree.XMLSyntaxError, LookupError, ValueError) as error:
        line = error.lineno if isinstance(error, etree.XMLSyntaxError) else 0
        text = f"the file is no valid XML: {str(error).split(', line')[0] or 'it is empty'}"
        raise Refused("XML_INVALID", text, "correct the file, or export it again", line or 0) from error
    if root.getroottree().docinfo.internalDTD is not None:
        text = "the file has a document type, which could name other files or grow without end; it was not read"
        raise Refused("XML_FORBIDDEN", text, "remove the line that begins with <!DOCTYPE", 1)
    if root.tag != ROOT:
        text = f"the root is {str(root.tag)[:40]}, not {ROOT}: this is no file of Pascal VOC"
        raise Refused("XML_INVALID", text, "leave the file out, or name the format that it is of", 1)
    return root


def outline(root: etree._Element) -> Outline:
    """What the plan has to know of a file."""
    said: dict[str, Any] = {}
    size: Texts = {}
    names: list[str] = []
    parts: list[tuple[str, str]] = []
    actions: list[tuple[str, str]] = []
    has_objects = False
    for child in root:
        tag = child.tag
        if tag == "object":
            has_objects = True
            names.append(_text(child[0] if len(child) and child[0].tag == "name" else child.find("name")))
            for one in child.iterchildren("part", "actions"):
                if one.tag == "part":
                    parts.append((_text(one.find("name")), names[-1]))
                else:
                    actions += [(names[-1], str(action.tag)) for action in one]
        elif tag == "size":
            size = _texts(child)
        elif tag in ("source", "owner"):
            said[tag] = {name: (text or "").strip() for name, text in _texts(child).items()}
        elif tag in ("filename", "folder"):
            said[tag] = _text(child)
    file_name = said.pop("filename", "")
    depth = whole(size.get("depth"))
    if depth is not None and depth != 3:
        said["depth"] = depth
    source = msgspec.json.encode(said).decode() if said else None
    width, height = whole(size.get("width")), whole(size.get("height"))
    return Outline(file_name, width, height, source, names, parts, actions, has_objects)


def whole(text: str | None) -> int | None:
    """A size in pixels; None where there is none."""
    try:
        value = round(float(text or ""))
    except (ValueError, OverflowError):
        return None
    return value if 0 < value < 1 << 31 else None


def _texts(element: etree._Element) -> Texts:
    return {child.tag: child.text for child in element}


def _text(element: etree._Element | None) -> str:
    return (element.text or "").strip() if element is not None else ""


def read(root: etree._Element, image: int, position: Mapping[str, int], into: list[Object]) -> list[Problem]:
    """Appends the objects of a file, each followed by its parts; answers with what could not be read."""
    first = 0.0
    problems: list[Problem] = []
    for child in root:
        if child.tag == "source":
            first = shift(_text(child.find("database")))
    for number, item in enumerate(root.iterchildren("object"), 1):
        _append(item, image, number, first, position, into, problems)
        for part in item.iterchildren("part"):
            _append(part, image, -number, first, position, into, problems)
    return [*problems, *_passed_over(root)]


def _passed_over(root: etree._Element) -> Iterator[Problem]:
    """Objects where none is looked for, and, once for each name, elements of objects that nothing is known of."""
    for item in root.iter("object"):
        line: Any = item.sourceline
        if (parent := item.getparent()) is not None and parent is not root:
            text = f"an object inside of an element {parent.tag} was left out; objects lie directly in {ROOT}"
            remedy = f"move it out of {parent.tag}; what belongs to an object is called part"
            yield Problem("ANNOTATION_INVALID", text, remedy, line or 0)
    seen = {"object", "part", "bndbox", *NESTED}
    for item in root.iter("object", "part"):
        for child in item:
            if len(child) and child.tag not in seen:
                seen.add(str(child.tag))
                line = child.sourceline
                text = f"elements {child.tag} of objects, which have elements of their own, were not read"
                remedy = "give what is in them as attributes: <attribute><name>…</name><value>…</value></attribute>"
                yield Problem("FIELDS_NOT_READ", text, remedy, line or 0)


def shift(database: str | None) -> float:
    """How far left and upper edges are from where a file of this database says that they are.

    The challenge's files count pixels from 1, the last one of a box included.
    """
    return 1.0 if ORIGINAL.fullmatch(database or "") else 0.0


def _append(
    item: etree._Element,
    image: int,
    number: int,
    shift: float,
    position: Mapping[str, int],
    into: list[Object],
    problems: list[Problem],
) -> None:
    """Appends one object, or tells why not."""
    texts, box, nested = _children(item)
    name = (texts.get("name") or "").strip()
    label = position.get(name, -1)
    several = sum(child.tag == "bndbox" for child in item) > 1

    def tell(code: str, text: str) -> None:
        line: Any = item.sourceline
        problems.append(Problem(code, text, REMEDY, line or 0))

    if label < 0:
        return tell("ANNOTATION_INVALID", "the object has no name")
    if several:
        tell("BOX_REPEATED", f"the object {name} has several boxes; the last one was read")
    flags = 0
    for key, flag in FLAGS:
        if texts.get(key) not in UNSET and is_set(texts[key]):
            flags |= flag
    if nested or box is None or not texts.keys() <= KNOWN:
        try:
            kind, corners, rings, rotation = _shape(box, nested, shift)
        except ValueError as error:
            return tell("LABEL_NOT_A_NUMBER", f"the object {name}: {error}")
        except LookupError:
            return tell("BOX_MISSING", f"the object {name} has no box")
        if kind == Kind.BOX and any(one.tag == "polygon" for one in nested):
            tell("RING_TOO_SHORT", f"the polygon of {name} has fewer than three points; its box was kept")
        said = _attributes(texts, nested)
    else:
        kind, rings, rotation = int(Kind.BOX), None, None
        try:
            corners = _corners(box, shift)
        except ValueError as error:
            return tell("LABEL_NOT_A_NUMBER", f"the object {name}: {error}")
        said = posed(texts.get("pose"))
    x, y, right, bottom = corners
    if right <= x or bottom <= y:
        text = f"the box of {name}, {x:g} {y:g} to {right:g} {bottom:g}, has no width or no height"
        return tell("BOX_EMPTY", text)
    into.append(Object(image, number, label, kind, corners, flags, said, rings, rotation))
    return None


def _children(item: etree._Element) -> tuple[Texts, Texts | None, list[etree._Element]]:
    """The texts of an object, its box, and what else it has, without parts."""
    texts: Texts = {}
    box: Texts | None = None
    nested: list[etree._Element] = []
    for child in item:
        if not len(child):
            texts[child.tag] = child.text
        elif child.tag == "bndbox":
            box = {one.tag: one.text for one in child}
        elif child.tag != "part":
            nested.append(child)
    return texts, box, nested


def _corners(box: Texts, shift: float) -> Corners:
    """A box. ValueError where a number is none."""
    try:
        x, y, right, bottom = float(box["xmin"]), float(box["ymin"]), float(box["xmax"]), float(box["ymax"])  # type: ignore[arg-type]  # None raises
    except (KeyError, TypeError, ValueError):
        x, y, right, bottom = (_number(box, key) for key in CORNERS)
    if not math.isfinite(x + y + right + bottom):
        raise ValueError("its box has a number that is not finite")
    return x - shift, y - shift, right, bottom


def _shape(
    box: Texts | None, nested: list[etree._Element], shift: float
) -> tuple[int, Corners, list[list[float]] | None, float | None]:
    """Kind, corners, rings and rotation of an object. LookupError where it has no shape, ValueError where a number is
    none.
    """
    for one in nested:
        if one.tag == "robndbox":
            turned = _texts(one)
            cx, cy, width, height, angle = (_number(turned, key) for key in TURNED)
            corners = cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2
            # Rounded, so that degrees that were written as radians come back.
            return int(Kind.ROTATED_BOX), corners, None, round(math.degrees(angle), 9) + 0.0
    rings = [ring for one in nested if one.tag == "polygon" and len(ring := _ring(one)) >= 6]
    if box is not None:
        corners = _corners(box, shift)
    elif rings:
        x, y = ([value for ring in rings for value in ring[axis::2]] for axis in (0, 1))
        corners = min(x), min(y), max(x), max(y)
    else:
        raise LookupError
    return int(Kind.POLYGON if rings else Kind.BOX), corners, rings or None, None


def _number(texts: dict[str, str | None], key: str) -> float:
    text = texts.get(key)
    try:
        value = float(text or "")
    except ValueError:
        raise ValueError(f"{key} is {text[:40]!r}, no number" if text else f"it has no {key}") from None
    if not math.isfinite(value):
        raise ValueError(f"{key} is {value}")
    return value


def _ring(polygon: etree._Element) -> list[float]:
    """x, y of each point of a polygon, whose points are numbered elements, or elements of x and y, in any order."""
    points: dict[int, dict[str, float]] = {}
    for place, child in enumerate(polygon):
        for one in child if len(child) else (child,):
            name = str(one.tag)
            match = SIDE.fullmatch(name)
            if match is None:
                raise ValueError(f"its polygon has {name[:40]}, which is no x or y of a point")
            number = place if len(child) else int(match[2] or place // 2)
            if match[1] in points.setdefault(number, {}):
                raise ValueError(f"its polygon has {name} twice")
            points[number][match[1]] = _number({name: one.text}, name)
    if any(len(point) < 2 for point in points.values()):
        raise ValueError("its polygon has an x without a y")
    return [points[number][axis] for number in sorted(points) for axis in "xy"]


def _attributes(texts: Texts, nested: list[etree._Element]) -> str | None:
    """The attributes of an object: its pose, its actions, and all others, in this order."""
    pose = (texts.get("pose") or "").strip()
    attributes: dict[str, Any] = {"pose": pose} if pose else {}
    for one in nested:
        if one.tag == "actions":
            attributes |= {name: is_set(text) for name, text in _texts(one).items()}
    attributes |= {key: plain(text) for key, text in texts.items() if text and key not in KNOWN}
    for one in nested:
        if one.tag == "attributes":
            _read_attributes(one, attributes)
        elif one.tag == "point":
            attributes["point"] = [plain(text or "") for text in _texts(one).values()]
    return msgspec.json.encode(attributes).decode() if attributes else None


def attributes(children: str) -> str | None:
    """The attributes of an object of which these are the children."""
    texts, _, nested = _children(etree.fromstring(f"<object>{children}</object>", PARSER))
    return _attributes(texts, nested)


@lru_cache(1024)
def posed(pose: str | None) -> str | None:
    """The attributes of an object that has none but a pose."""
    return msgspec.json.encode({"pose": pose.strip()}).decode() if pose and pose.strip() else None


def is_set(text: str | None) -> bool:
    """Whether a flag is set: a number other than 0, or a yes."""
    word = (text or "").strip().lower()
    if word in ("0", "1"):
        return word == "1"
    try:
        return float(word) != 0
    except ValueError:
        return word in ("true", "yes")


def _read_attributes(element: etree._Element, into: dict[str, Any]) -> None:
    for one in element.iterchildren("attribute"):
        value = one.find("value")
        name = _text(one.find("name"))
        if name:
            into[name] = _typed(value.text, value.get(TYPED)) if value is not None else ""


def _typed(text: str | None, told: str | None) -> Any:
    """What a text means: a truth, a number, or itself; or what it is told to be."""
    text = text or ""
    if told == "string":
        return text
    if told == "json":
        try:
            return msgspec.json.decode(text)
        except msgspec.DecodeError:
            return text
    return plain(text)


def plain(text: str) -> Any:
    """A truth or a number where the text is one, in the way that it would be written again; else the text."""
    word = text.strip()
    if word.lower() in ("true", "false"):
        return word.lower() == "true"
    for kind in (int, float):
        try:
            value = kind(word)
        except ValueError:
            continue
        if str(value) == word and abs(value) < LARGE:
            return value
    return text
