"""Pascal VOC: write, then read: the same table, for datasets of all that the format holds."""

import io
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from whole_way import image, packed, read, write

quick = settings(max_examples=25, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))

letters = st.characters(whitelist_categories=("L", "N"), whitelist_characters=" -_.'\"&<#")
names = st.text(letters, min_size=1, max_size=8).map(lambda word: f"n{word}n")
stems = st.lists(names.map(lambda name: name.replace('"', "").replace("<", "")), min_size=1, max_size=2).map("/".join)
eighths = st.integers(0, 800).map(lambda value: value / 8)
sizes = st.integers(1, 800).map(lambda value: value / 8)
values = st.one_of(st.booleans(), st.integers(-99, 10**12), st.floats(allow_nan=False, allow_infinity=False), names)
CLASSES = ("road", "car", "person", "A b")


@st.composite
def objects(draw: st.DrawFn, classes: tuple[str, ...] = CLASSES, *, part: bool = False) -> str:
    x, y, width, height = draw(st.tuples(eighths, eighths, sizes, sizes))
    corners = {"xmin": x, "ymin": y, "xmax": x + width, "ymax": y + height}
    inside = f"<name>{draw(st.sampled_from(classes))}</name>"
    inside += "".join(f"<{flag}>{draw(st.integers(0, 1))}</{flag}>" for flag in ("truncated", "occluded", "difficult"))
    inside += "<bndbox>" + "".join(f"<{key}>{value}</{key}>" for key, value in corners.items()) + "</bndbox>"
    attributes = draw(st.dictionaries(names, values, max_size=2))
    inside += "<attributes>"
    for name, value in attributes.items():
        inside += f"<attribute><name>{escape(name)}</name><value>{escape(str(value))}</value></attribute>"
    inside += "</attributes>"
    if part:
        return f"<part>{inside}</part>"
    if draw(st.booleans()):
        inside += f"<pose>{draw(st.sampled_from(['Left', 'Unspecified']))}</pose>"
    if draw(st.booleans()):
        inside += f"<actions><running>{draw(st.integers(0, 1))}</running></actions>"
    inside += "".join(draw(st.lists(objects(("head", "wheel"), part=True), max_size=2)))
    return f"<object>{inside}</object>"


def raster(pixels: Any, colours: list[tuple[int, int, int]]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.array(colours, np.uint8)[pixels]).save(file, "PNG")
    return file.getvalue()


@st.composite
def voc_files(draw: st.DrawFn) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    splits: dict[str, list[str]] = {}
    tagged: dict[str, list[str]] = {}
    source = draw(
        st.sampled_from(["", "<source><database>The VOC2012 Database</database><image>flickr</image></source>"])
    )
    for stem in draw(st.lists(stems, min_size=1, max_size=4, unique_by=str.lower)):
        split = draw(st.sampled_from(["train", "val", "test", "extra", "default"]))
        splits.setdefault(split, []).append(stem)
        if draw(st.booleans()):
            tagged.setdefault(split, []).append(f"{stem} {draw(st.sampled_from([' 1', '-1']))}")
        files[f"JPEGImages/{stem}.png"] = image(100, 101, "PNG")
        if draw(st.integers(0, 3)):
            found = "".join(draw(st.lists(objects(), max_size=3)))
            size = "<size><width>100</width><height>101</height><depth>3</depth></size>"
            text = f"<annotation><filename>{escape(stem)}.png</filename>{source}{size}{found}</annotation>"
            files[f"Annotations/{stem}.xml"] = text.encode()
        if draw(st.booleans()):
            instances = np.zeros((101, 100), np.int64)
            instances[:6, :5] = draw(arrays.arrays(np.int64, (6, 5), elements=st.integers(0, 3)))
            classes = np.array([0, *(draw(st.integers(1, 3)) for _ in range(3))])[instances]
            files[f"SegmentationClass/{stem}.png"] = raster(classes, [(0, 0, 0), (9, 8, 7), (1, 2, 3), (200, 0, 0)])
            if draw(st.booleans()):
                colours = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0)]
                files[f"SegmentationObject/{stem}.png"] = raster(instances, colours)
    files |= {f"ImageSets/Main/{split}.txt": "\n".join(mine).encode() for split, mine in splits.items()}
    files |= {f"ImageSets/Main/A b_{split}.txt": "\n".join(lines).encode() for split, lines in tagged.items()}
    lines = "background:0,0,0::\nroad:9,8,7::\ncar:1,2,3:wheel:\nperson:200,0,0:head:running\nA b:3,3,3::\n"
    return files | {"labelmap.txt": lines.encode()}


@quick
@given(voc_files())
def test_pascal_voc(files: dict[str, bytes]) -> None:
    found = read(packed(files), "pascal-voc")
    assert not found.codes() - {"BOX_OUTSIDE", "BOX_REACHES_OUTSIDE"}
    written, losses = write(found.table, found.shelf, "pascal-voc", "pascal-voc")
    back = read(packed(written), "pascal-voc")
    assert back.labels == found.labels
    columns = [name for name in found.table.column_names if name != "original"]
    before, after = (one.table.select(columns).sort_by("path") for one in (found, back))
    # Parts of an object outside of the image have lost it.
    if "BOX_OUTSIDE" not in found.codes():
        assert not losses
        assert after.equals(before)
