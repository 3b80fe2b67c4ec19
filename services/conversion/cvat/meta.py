"""What a CVAT file says of its dataset: the classes with their attributes and keypoints, and its tasks.

Specifications of attributes and drawings of skeletons have no place in a label; they go into the source of the label
schema, with the rest of the meta, and come out again.
"""

import re
from math import cos, pi, sin
from typing import Any, NamedTuple

import msgspec
from lxml import etree

from framehouse.store.issues import WARNING, IssueLog
from framehouse.v1.annotation_pb2 import KeypointEdge, Label, LabelSchema
from services.conversion.cvat.files import Element, File, Problem, invalid, parse, parser

ATTRIBUTE_FIELDS = ("name", "mutable", "input_type", "default_value", "values")
LABELS = "<labels/>"
"""Stands for the labels in the meta that is kept."""
OF_VIDEO, OF_IMAGES = "interpolation", "annotation"
"""What the mode of a task is called."""
MAX_META = 1 << 20
"""Of a longer one only the labels are kept."""

LABEL_NAMES = re.compile(rb"\slabel\s*=\s*(\"[^\"<]*\"|'[^'<]*')")

ESCAPES = {
    **dict.fromkeys((*range(32), 65534, 65535), "�"),
    **{ord(one): text for one, text in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"))},
    **{ord(one): f"&#{ord(one)};" for one in "\n\r\t"},
}


def escape(text: str) -> str:
    """Text as it may stand in an attribute or an element; what XML has no place for is replaced."""
    return text.translate(ESCAPES)


class Task(NamedTuple):
    """A task or job of CVAT."""

    id: str
    subset: str
    size: int
    """Number of its frames, 0 where it is not said."""
    start: int
    stop: int
    """-1 where it is not said."""
    step: int
    width: int
    height: int
    """Of its video; 0 where it is not said."""
    of_images: bool = False
    """Whether it is one of images, which may be of other sizes each."""


class Dataset:
    """What the files of a dataset say of it, together."""

    def __init__(self, issues: IssueLog) -> None:
        self.labels: dict[str, Label] = {}
        self._specs: dict[str, dict[str, Any]] = {}
        self._issues = issues
        self._kept: list[str] = []
        self._seen: set[bytes] = set()
        self._parser = parser()

    def read(self, element: Element, file: File) -> list[Task]:
        """Takes the meta of a file; answers with its tasks. InvalidArgument where it cannot be parsed."""
        meta = parse(element.data + b"</meta>", file.encoding, self._parser)
        if isinstance(meta, Problem):
            raise invalid(file.path, element.line + meta.line - 1, f"in its meta: {meta.text}")
        nodes = [node for node in meta.iter("label") if _text(node, "name")]
        for node in nodes:
            if not _text(node, "parent"):
                self._add_label(node)
        for node in nodes:
            if parent := _text(node, "parent"):
                self._add_keypoint(parent, node)
        for name, spec in self._specs.items():
            if "svg" in spec and not self.labels[name].edges:
                self.labels[name].edges.extend(_edges(spec["svg"], list(self.labels[name].keypoints)))
        self._keep(meta)
        return [_task(node) for node in meta.iter("task", "job")]

    def _add_label(self, node: etree._Element) -> None:
        name, color = _text(node, "name"), _text(node, "color")
        if name in self.labels:
            return
        attributes = _attributes(node)
        label = Label(name=name, attributes=[one["name"] for one in attributes])
        if re.fullmatch(r"#[0-9a-fA-F]{6}", color):
            label.color = color.lower()
        spec: dict[str, Any] = {"type": _text(node, "type")} if _text(node, "type") else {}
        spec |= {"attributes": attributes} if attributes else {}
        self.labels[name] = label
        self._specs[name] = spec | ({"svg": _text(node, "svg")} if _text(node, "svg") else {})

    def _add_keypoint(self, parent: str, node: etree._Element) -> None:
        name, color, attributes = _text(node, "name"), _text(node, "color"), _attributes(node)
        if parent not in self.labels:
            self.labels[parent], self._specs[parent] = Label(name=parent), {"type": "skeleton"}
        if name not in self.labels[parent].keypoints:
            self.labels[parent].keypoints.append(name)
            spec = ({"color": color} if color else {}) | ({"attributes": attributes} if attributes else {})
            if spec:
                self._specs[parent].setdefault("points", {})[name] = spec

    def _keep(self, meta: etree._Element) -> None:
        """Keeps what the meta says besides its labels."""
        for node in list(meta.iter("labels")):
            for child in list(node):
                node.remove(child)
            node.text = None
        text = "".join(etree.tostring(node, encoding="unicode") for node in meta).rstrip()
        self._kept.append(text if len(text) <= MAX_META and text.count(LABELS) == 1 else "")

    def learn(self, element: Element, file: File) -> None:
        """Takes the classes and keypoints that an element names and no meta does."""
        names = set(LABEL_NAMES.findall(element.data)) - self._seen
        if not names:
            return
        self._seen |= names
        node = parse(element.data, file.encoding, self._parser)
        if isinstance(node, Problem):
            return
        shapes = [(node, node.get("label", ""))] if element.name == "track" else []
        shapes += [(shape, shape.get("label", node.get("label", ""))) for shape in node]
        for shape, name in shapes:
            line = element.line + (shape.sourceline if isinstance(shape.sourceline, int) else 1) - 1
            if name and name not in self.labels:
                self.labels[name] = Label(name=name)
                text = f"the meta has no label {name!r}; it was added to the classes"
                remedy = "add the label to the meta, or correct it"
                self._issues.add("CLASS_UNDECLARED", WARNING, file.path, text, remedy, line)
            if shape.tag == "skeleton" and name:
                known = self.labels[name].keypoints
                points = [child.get("label", "") for child in shape if child.tag == "points"]
                known.extend(point for point in dict.fromkeys(points) if point and point not in known)

    def schema(self) -> LabelSchema:
        """The classes, and what they have no place for."""
        specs = {name: spec for name, spec in self._specs.items() if spec}
        source: dict[str, Any] = {"labels": specs} if specs else {}
        if len(self._kept) == 1 and self._kept[0]:
            source["meta"] = self._kept[0]
        text = msgspec.json.encode({"cvat": source}).decode() if source else ""
        return LabelSchema(labels=self.labels.values(), source=text)


def specs_of(labels: LabelSchema) -> dict[str, dict[str, Any]]:
    """What CVAT said of each class, by name."""
    found: dict[str, dict[str, Any]] = _source(labels).get("labels", {})
    return found


def _source(labels: LabelSchema) -> dict[str, Any]:
    said: dict[str, Any] = msgspec.json.decode(labels.source or "{}").get("cvat", {})
    return said


def _text(node: etree._Element, name: str) -> str:
    return str(node.findtext(name) or "").strip()


def _number(node: etree._Element, name: str, otherwise: int) -> int:
    text = _text(node, name)
    return int(text) if re.fullmatch(r"\d{1,18}", text) else otherwise


def _attributes(node: etree._Element) -> list[dict[str, str]]:
    found = []
    for one in node.iterfind("attributes/attribute"):
        spec = {field: str(one.findtext(field) or "") for field in ATTRIBUTE_FIELDS if one.find(field) is not None}
        if spec.get("name"):
            found.append(spec)
    return found


def _task(node: etree._Element) -> Task:
    step = re.search(r"step\s*=\s*(\d{1,9})", _text(node, "frame_filter"))
    size = node.find("original_size")
    width, height = (_number(size, side, 0) if size is not None else 0 for side in ("width", "height"))
    return Task(
        _text(node, "id"),
        _text(node, "subset"),
        _number(node, "size", 0),
        _number(node, "start_frame", 0),
        _number(node, "stop_frame", -1),
        max(int(step[1]) if step else 1, 1),
        width,
        height,
        _text(node, "mode") == OF_IMAGES,
    )


def _edges(svg: str, keypoints: list[str]) -> list[KeypointEdge]:
    """The lines of a drawing between points that are keypoints."""
    drawing = parse(f"<svg>{svg}</svg>".encode(), "", parser())
    if isinstance(drawing, Problem):
        return []
    place: dict[str, int] = {}
    for i, node in enumerate(one for one in drawing.iter("circle") if one.get("data-node-id")):
        name = node.get("data-label-name", "")
        place[str(node.get("data-node-id"))] = keypoints.index(name) if name in keypoints else i
    ends = [
        (place.get(str(line.get("data-node-from"))), place.get(str(line.get("data-node-to"))))
        for line in drawing.iter("line")
    ]
    return [
        KeypointEdge(**{"from": begin, "to": end})
        for begin, end in ends
        if begin is not None and end is not None and max(begin, end) < len(keypoints)
    ]


class Written(NamedTuple):
    """A task that is written: the images of a split."""

    split: str
    """As it is spelled; empty where there are no splits."""
    size: int
    start: int
    stop: int
    step: int
    width: int = 0
    height: int = 0
    """Of its video; 0 for none. Of images that have other sizes each, what holds all of them."""
    mode: str = OF_IMAGES


def meta_text(labels: LabelSchema, types: list[list[list[str]]], tasks: list[Written], *, kept: bool) -> str:
    """The meta; `types` are for each label the names and input types of its attributes.

    `kept`: whether the source was a file of the same format, whose meta is written again where it fits.
    """
    written = _labels_text(labels, types)
    subsets = [task.split for task in tasks if task.split]
    old = _source(labels).get("meta", "") if kept else ""
    known = re.findall(r"<subset>([^<]*)</subset>", old)
    if old and ("<project" in old) == bool(subsets) and {escape(name) for name in subsets} <= {*known, "", "default"}:
        size = re.search(r"<size>(\d+)</size>", old)
        if not subsets and (size is None or int(size[1]) != tasks[0].size):
            for name, value in _frame_fields(tasks[0]).items():
                old = re.sub(rf"<{name}>[^<]*</{name}>", f"<{name}>{value}</{name}>", old, count=1)
        return f"  <meta>\n    {old.strip().replace(LABELS, written)}\n  </meta>\n"
    if not subsets:
        return f"  <meta>\n    <task>\n{_task_text(tasks[0], 0, written, 6)}    </task>\n  </meta>\n"
    listed = "".join(f"        <task>\n{_task_text(task, i, '', 10)}        </task>\n" for i, task in enumerate(tasks))
    names = "\n".join(escape(task.split) for task in tasks)
    return (
        "  <meta>\n    <project>\n      <name>dataset</name>\n"
        f"      <tasks>\n{listed}      </tasks>\n      {written}\n      <subsets>{names}</subsets>\n"
        "    </project>\n  </meta>\n"
    )


def _frame_fields(task: Written) -> dict[str, str]:
    return {
        "size": str(task.size),
        "start_frame": str(task.start),
        "stop_frame": str(task.stop),
        "frame_filter": f"step={task.step}" if task.step > 1 else "",
    }


def _task_text(task: Written, number: int, labels: str, indent: int) -> str:
    fields = {
        "id": str(number),
        "name": escape(task.split or "dataset"),
        "mode": task.mode,
        **_frame_fields(task),
        "z_order": "True",
        **({"subset": escape(task.split)} if task.split else {}),
    }
    blank = " " * indent
    text = "".join(f"{blank}<{name}>{value}</{name}>\n" for name, value in fields.items())
    if labels:
        text += f"{blank}{labels}\n"
    if task.width and task.height:
        text += f"{blank}<original_size>\n"
        text += f"{blank}  <width>{task.width}</width>\n{blank}  <height>{task.height}</height>\n"
        text += f"{blank}</original_size>\n"
    return text


def _labels_text(labels: LabelSchema, types: list[list[list[str]]]) -> str:
    specs = specs_of(labels)
    lines = ["<labels>"]
    for label, known in zip(labels.labels, types, strict=True):
        spec = specs.get(label.name, {})
        said = {one["name"]: one for one in spec.get("attributes", [])}
        attributes = [
            {**DEFAULTS.get(kind, {}), **said.get(name, {}), "name": name, "input_type": kind} for name, kind in known
        ]
        fields = {"name": label.name, "color": label.color}
        fields["type"] = spec.get("type") or ("skeleton" if label.keypoints else "any")
        more = f"        <svg>{escape(spec.get('svg') or _drawing(label))}</svg>\n" if label.keypoints else ""
        lines.append(_label_text(fields, attributes, more))
        for name in label.keypoints:
            point = spec.get("points", {}).get(name, {})
            fields = {"name": name, "color": point.get("color", ""), "type": "points"}
            more = f"        <parent>{escape(label.name)}</parent>\n"
            lines.append(_label_text(fields, point.get("attributes", []), more))
    return "\n".join([*lines, "      </labels>"])


DEFAULTS = {"checkbox": {"default_value": "false", "values": "false"}}


def _label_text(fields: dict[str, str], attributes: list[dict[str, str]], more: str) -> str:
    text = "".join(f"          <{name}>{escape(value)}</{name}>\n" for name, value in fields.items())
    listed = ""
    for one in attributes:
        spec = {"mutable": "False", "default_value": "", "values": ""} | one
        inner = "".join(f"              <{name}>{escape(spec[name])}</{name}>\n" for name in ATTRIBUTE_FIELDS)
        listed += f"            <attribute>\n{inner}            </attribute>\n"
    return f"        <label>\n{text}          <attributes>\n{listed}          </attributes>\n{more}        </label>"


def _drawing(label: Label) -> str:
    """A skeleton as CVAT draws it in a square of 100: its keypoints on a circle, and its edges."""
    count = len(label.keypoints)
    places = [(50 + 40 * sin(2 * pi * i / count), 50 - 40 * cos(2 * pi * i / count)) for i in range(count)]
    text = ""
    for edge in label.edges:
        begin, end = getattr(edge, "from"), edge.to
        if max(begin, end) < count:
            (x1, y1), (x2, y2) = places[begin], places[end]
            text += (
                f'<line x1="{x1:.2f}" y1="{y1:.2f}" x2="{x2:.2f}" y2="{y2:.2f}" data-type="edge" '
                f'data-node-from="{begin + 1}" data-node-to="{end + 1}"></line>'
            )
    for i, (name, (x, y)) in enumerate(zip(label.keypoints, places, strict=True), 1):
        text += (
            f'<circle r="0.75" cx="{x:.2f}" cy="{y:.2f}" data-type="element node" data-element-id="{i}" '
            f'data-node-id="{i}" data-label-name="{escape(name)}"></circle>'
        )
    return text
