"""XML files of Pascal VOC read many at once say what they say one at a time."""

from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from services.conversion.voc import heads, labels, objects, plain, xml

TEXTS = (
    *("cat", " dog\n", "0", "1", "true", "5.5", "é", "a\r\nb", "x\\", "\x7f") * 6,
    *("", "a&amp;b", "\u3000x", "\x85", 'say "x"'),
)
NUMBERS = ("1", "2.5", " 40 ", "-3", "1e1", "+4", "nan", "", "1_0", "1e-3", ".5", "7.", "1" * 120, "9" * 400)
SIZES = ("640", "3", "1", "x", "0.4", "-1", "640.5", "9999999999", "The VOC2007 Database", " The VOC2012 Database\n")
RINGS = (
    *[("x1", "y1", "x2", "y2", "x3", "y3")] * 4,
    ("x1", "x2", "x3", "y1", "y2", "y3"),
    ("x0", "y0", "x1", "y1", "y2", "x2"),
    ("x", "y", "x", "y", "x", "y"),
    ("x1", "y1", "x1", "y2", "x3", "y3"),
    ("x1", "y1", "a", "y2", "x3", "y3"),
)
BETWEEN = ("\n\t", "\r\n", " ", "x", "<!-- c -->", "<![CDATA[<x>]]>", "<?p?>")
SPOILS = ("", "<", ">", "&", "\0", "</", "<a>", '"', "x", "/", "\ufffe")


def element(name: str, inside: str, pick: Random) -> str:
    shape = pick.choice("ooooooooooea")
    if shape == "e" and not inside:
        return f"<{name}{pick.choice(('', ' '))}/>"
    return f'<{name} a="1">{inside}</{name}>' if shape == "a" else f"<{name}>{inside}</{name}>"


def leaves(names: Any, texts: Any, pick: Random) -> str:
    return "".join(element(name, pick.choice(texts), pick) for name in names)


def thing(pick: Random, depth: int = 0) -> str:
    """The inside of an object, or of a part of one."""
    corners = dict(zip(xml.CORNERS, ("1", "2", "30.5", "40"), strict=True))
    if pick.random() < 0.05:
        corners |= {key: pick.choice(NUMBERS) for key in pick.sample(xml.CORNERS, 2)}
    box = "".join(element(key, value, pick) for key, value in corners.items() if pick.random() < 0.99)
    inside = [element("name", pick.choice(TEXTS), pick), element("bndbox", box, pick)]
    known = (
        "name",
        "bndbox",
        "pose",
        "type",
        "difficult",
        "truncated",
        "occluded",
        "id",
        "point",
        "attributes",
        "part",
    )
    inside += [
        leaves([name], TEXTS, pick) for name in pick.sample(known[pick.choice((0, *[2] * 9)) :], pick.randint(0, 3))
    ]
    special = {
        1: lambda: f"<attribute><name>b</name><value type='string'>{pick.choice(TEXTS)}</value></attribute>",
        2: lambda: thing(pick, 1),
        3: lambda: leaves(["running"], TEXTS, pick),
        4: lambda: leaves(pick.choice(RINGS), NUMBERS[:5], pick),
        5: lambda: leaves(xml.TURNED, NUMBERS[:5], pick),
        6: lambda: leaves(("x", "y"), NUMBERS, pick),
        7: lambda: element("name", "cat", pick),
        8: lambda: thing(pick, 1),
        9: lambda: leaves(("a", "b"), TEXTS, pick),
    }
    names = ("", "attributes", "part", "actions", "polygon", "robndbox", "point", "pose", "object", "keypoints")
    kind = pick.randint(1, 80)
    if kind in special:
        inside.append(element(names[kind], special[kind](), pick))
    pick.shuffle(inside)
    return pick.choice(("", "\n", "\r\n") * 8 + BETWEEN).join(inside)


def document(pick: Random) -> bytes:
    """A file, more often than not as it should be."""
    parts = [element("object", thing(pick), pick) for _ in range(pick.randint(0, 3))]
    parts += [
        leaves([name], TEXTS, pick) for name in ("filename", "folder", "path", "size", "source") if pick.random() < 0.2
    ]
    for name, inner in (
        ("size", ("width", "height", "depth")),
        ("source", ("database", "image")),
        ("owner", ("name",)),
    ):
        if pick.random() < 0.5:
            parts.append(element(name, leaves(inner if pick.random() < 0.97 else inner * 2, SIZES, pick), pick))
    root = pick.choice(("annotation",) * 30 + ("annotations", 'annotation xmlns="x"', 'annotation verified="yes"'))
    between = pick.choice(("", "\n\t", "\r\n", " ") * 4 + BETWEEN)
    text = f"<{root}>{between.join(parts)}</{root.split()[0]}>"
    if pick.random() < 0.3:
        text = (
            pick.choice(
                (
                    '<?xml version="1.0" encoding="utf-8"?>\n',
                    "<?xml version='1.0' ?>",
                    '<?xml version="1.0"?>x',
                    " \n",
                    "\ufeff",
                    "x",
                )
            )
            + text
        )
    if pick.random() < 0.1:
        at = pick.randint(0, len(text))
        text = text[:at] + pick.choice(SPOILS) + text[at + pick.randint(0, 3) :]
    text += pick.choice(("", "\n") * 20 + ("x", "<!-- c -->"))
    return text.encode(pick.choice(("utf-8",) * 40 + ("utf-16", "latin-1")), "replace")


def told(one: xml.Refused | xml.Problem) -> tuple[Any, ...]:
    text = str(one) if isinstance(one, xml.Refused) else one.text
    return one.code, text, one.remedy, one.line


def compare(files: list[bytes]) -> int:
    """Fails where the two ways differ; answers with how many files were read all at once."""
    names, known, problems = labels.Names(), labels.Names(), {}
    rows = heads.read(files, names, problems).to_pylist()
    position = {name: i for i, name in enumerate(("cat", "dog", "a&b", "é", "a\nb", "x\\", "\x7f", "5.5", "0"))}
    there: list[xml.Object] = []
    expected: list[Any] = []
    for i, data in enumerate(files):
        try:
            one = xml.outline(xml.parse(data))
        except xml.Refused as refusal:
            assert told(problems[i]) == told(refusal)
            assert set(rows[i].values()) == {None}
            expected.append((i, told(refusal)))
            continue
        assert i not in problems
        said = one._asdict()
        assert rows[i] | {"file_name": rows[i]["file_name"] or ""} == {key: said[key] for key in rows[i]}, data
        known.objects.update(one.names)
        known.parts.update(one.parts)
        for name, action in one.actions:
            known.actions.setdefault(name, set()).add(action)
        expected += [(i, told(problem)) for problem in xml.read(xml.parse(data), i, position, there)]
    assert names.objects - {""} == known.objects - {""}
    assert (names.parts.keys(), names.actions) == (known.parts.keys(), known.actions)
    found: list[Any] = []
    mine = objects.read(files, position, lambda i, one: found.append((i, told(one))))
    assert found == expected
    columns = [column.to_pylist() if hasattr(column, "to_pylist") else column.tolist() for column in mine]
    # As text, for NaN is not itself.
    assert [str(list(one)) for one in zip(*columns, strict=True)] == [
        str([*one[:4], list(one.corners), *one[5:]]) for one in there
    ]
    return len(files) - int(plain.find(files).odd.sum())


@settings(max_examples=60)
@given(st.integers(0))
def test_many_files_at_once_say_what_each_says(seed: int) -> None:
    pick = Random(seed)
    compare([document(pick) for _ in range(pick.randint(0, 20))])


def test_what_tools_write_is_read_at_once_and_a_large_file_alone() -> None:
    box = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4.5</ymax></bndbox>"
    ring = "<polygon><x1>1</x1><y1>2</y1><x2>3</x2><y2>4</y2><x3>5</x3><y3>6</y3></polygon>"
    more = "<attributes><attribute><name>age</name><value>7</value></attribute></attributes>"
    texts = [
        f'<?xml version="1.0"?>\r\n<annotation verified="yes"><folder/>\r\n<object><name>cat</name>{one}</object>'
        "</annotation>\r\n"
        for one in (box, box + ring, more + box + "<difficult>1</difficult><pose>Left</pose>")
    ]
    files = [text.encode() for text in texts]
    assert compare(files) == len(files)
    assert compare([*files, b"<annotation>" + b" " * plain.RUN + b"</annotation>"]) == len(files)
