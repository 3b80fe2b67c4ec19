"""Write, then read: the same table, for CVAT's files of all shapes."""

from typing import Any
from xml.sax.saxutils import escape, quoteattr

import numpy as np
import pytest
from cvat_documents import again, assert_same, document
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from whole_way import image, packed, read, write

from framehouse.annotations.labels import labels_of

quick = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
letters = st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn"))
words = st.text(letters, min_size=1, max_size=6).map(lambda word: f"n{word}n")
numbers = st.floats(9, 20, allow_subnormal=False)
sizes = st.floats(0.01, 9)
SHAPES = ("box", "ellipse", "polygon", "polyline", "points", "skeleton", "mask", "cuboid", "tag")
VALUES = {
    "checkbox": st.sampled_from(["true", "false", "x"]),
    "number": st.integers() | numbers,
    "text": st.text(letters),
}


@st.composite
def shape(draw: st.DrawFn, kind: str, declared: dict[str, dict[str, str]], points: list[str], first: str) -> str:
    label = (
        ""
        if kind == "tag" and not declared
        else draw(st.sampled_from(["sk"] if kind == "skeleton" else sorted(declared)))
    )
    said: dict[str, Any] = {"occluded": draw(st.integers(0, 1)), "z_order": draw(st.integers(-9, 9))}
    inner = ""
    if kind == "box":
        x, y, w, h = (draw(one) for one in (numbers, numbers, sizes, sizes))
        said |= {"xtl": x, "ytl": y, "xbr": x + w, "ybr": y + h, "rotation": draw(st.floats(0, 359))}
    elif kind == "ellipse":
        said |= {
            name: draw(one)
            for name, one in zip(("cx", "cy", "rx", "ry"), (numbers, numbers, sizes, sizes), strict=True)
        }
    elif kind in ("polygon", "polyline", "points"):
        pairs = draw(st.lists(st.tuples(numbers, numbers), min_size=3, max_size=5))
        said["points"] = ";".join(f"{x},{y}" for x, y in pairs)
    elif kind == "cuboid":
        said |= {name: draw(numbers) for name in cvat_corners}
    elif kind == "mask":
        bits = draw(st.lists(st.integers(0, 1), min_size=6, max_size=6))
        edges = np.flatnonzero(np.diff([0, *bits]))
        said |= {"rle": ", ".join(map(str, np.diff([0, *edges, 6]))), "left": 3, "top": 2, "width": 2, "height": 3}
    elif kind == "skeleton":
        for name in points:
            seen = draw(
                st.sampled_from(['outside="0" occluded="0"', 'outside="0" occluded="1"', 'outside="1" occluded="0"'])
            )
            inner += f'<points label={quoteattr(name)} {seen} {first} points="{draw(numbers)},{draw(numbers)}"/>'
    for name, type in declared.get(label, {}).items():
        if draw(st.booleans()):
            text = str(draw(VALUES[type]))
            inner += f"<attribute name={quoteattr(name)}>{escape(text)}</attribute>"
    if first:
        said |= {"outside": draw(st.integers(0, 1))}
    else:
        said |= {
            "label": label,
            "group_id": draw(st.integers(0, 3)),
            "source": draw(st.sampled_from(["manual", "auto"])),
        }
    return (
        f"<{kind} {first} {' '.join(f'{key}={quoteattr(str(value))}' for key, value in said.items())}>{inner}</{kind}>"
    )


cvat_corners = [f"{axis}{side}{face}" for face in "12" for side in ("tl", "bl", "tr", "br") for axis in "xy"]


@st.composite
def labels(draw: st.DrawFn) -> tuple[dict[str, dict[str, str]], list[str], str]:
    names = draw(st.lists(words, min_size=1, max_size=3, unique_by=str.strip))
    known = {name.strip(): draw(st.dictionaries(words, st.sampled_from(sorted(VALUES)), max_size=2)) for name in names}
    points = [point.strip() for point in draw(st.lists(words, min_size=1, max_size=3, unique_by=str.strip))]

    listed = "".join(
        f"<label><name>{escape(name)}</name><attributes>"
        + "".join(
            f"<attribute><name>{escape(one)}</name><input_type>{type}</input_type></attribute>"
            for one, type in attributes.items()
        )
        + "</attributes></label>"
        for name, attributes in known.items()
    )
    nested = "".join(f"<label><name>{escape(point)}</name><parent>sk</parent></label>" for point in points)
    return known, points, f"<labels>{listed}<label><name>sk</name></label>{nested}</labels>"


@st.composite
def image_files(draw: st.DrawFn) -> dict[str, bytes]:
    declared, points, text = draw(labels())
    stems = draw(st.lists(st.sampled_from(["a", "b/ü", "b/c & d"]), min_size=1, max_size=3, unique=True))
    body, files = "", {}
    has_splits = draw(st.booleans())
    for i, stem in enumerate(stems):
        split = draw(st.sampled_from(["train", "val", "default"])) if has_splits else ""
        inner = "".join(
            draw(shape(draw(st.sampled_from(SHAPES)), declared, points, "")) for _ in range(draw(st.integers(0, 4)))
        )
        subset = f' subset="{split}"' if split else ""
        body += f'<image id="{i + 3}" name={quoteattr(stem + ".png")}{subset} width="40" height="30">{inner}</image>'
        files["/".join(part for part in ("images", split, f"{stem}.png") if part)] = image(40, 30, "PNG")
    return {"annotations.xml": document(body, f"<task>{text}</task>").encode(), **files}


@st.composite
def video_files(draw: st.DrawFn) -> dict[str, bytes]:
    declared, points, text = draw(labels())
    body = ""
    for i in range(draw(st.integers(0, 4))):
        kind = draw(st.sampled_from([kind for kind in SHAPES if kind != "tag"]))
        label = "sk" if kind == "skeleton" else draw(st.sampled_from(sorted(declared)))
        own = {label: declared.get(label, {})}
        frames = draw(st.lists(st.integers(0, 4), min_size=1, max_size=4, unique=True))
        inner = "".join(
            draw(shape(kind, own, points, f'frame="{frame}" keyframe="{int(n == 0)}"'))
            for n, frame in enumerate(sorted(frames))
        )
        source = draw(st.sampled_from(["manual", "file"]))
        group = draw(st.integers(0, 2))
        body += f'<track id="{2 * i}" label={quoteattr(label)} source="{source}" group_id="{group}">{inner}</track>'
    size = "<original_size><width>40</width><height>30</height></original_size>"
    files = {f"images/frame_{i:06d}.png": image(40, 30, "PNG") for i in draw(st.permutations(range(5)))}
    return {"annotations.xml": document(body, f"<task>{text}{size}</task>").encode(), **files}


@quick
@given(image_files())
def test_images_round_trip(files: dict[str, bytes]) -> None:
    found = read(packed(files), "cvat-images")
    assert not found.codes()
    back = again(found, "cvat-images")
    assert_same(found, back)
    assert labels_of(back.table.schema).labels == labels_of(found.table.schema).labels


@quick
@given(video_files())
def test_videos_round_trip(files: dict[str, bytes]) -> None:
    found = read(packed(files), "cvat-video")
    assert not found.codes()
    assert_same(found, again(found, "cvat-video"))


@pytest.mark.parametrize("boxes", [{"a": [(60, 35, 20, 10)], "b": [(1, 2, 3, 4)]}, {"a": [], "b": []}])
def test_frames_of_several_sizes_round_trip(boxes: dict[str, list[tuple[int, ...]]]) -> None:
    sizes = {"a": (100, 50), "b": (40, 30)}
    elements = "".join(
        f'<image id="{i}" name="{name}.png" width="{sizes[name][0]}" height="{sizes[name][1]}">'
        + "".join(f'<box label="car" xtl="{x}" ytl="{y}" xbr="{x + w}" ybr="{y + h}"/>' for x, y, w, h in mine)
        + "</image>"
        for i, (name, mine) in enumerate(boxes.items())
    )
    pictures = {f"images/{name}.png": image(*size, "PNG") for name, size in sizes.items()}
    there = read(packed({"annotations.xml": document(elements), **pictures}), "cvat-images")
    written, losses = write(there.table, there.shelf, "cvat-video", "cvat-images")
    assert {loss.code: loss.image_count for loss in losses}["IMAGE_SIZE_UNSUPPORTED"] == 2
    found = read(packed(written), "cvat-video")
    assert not found.codes()
    # The box of the first frame is outside of the second: that it is gone is said where it was.
    assert found.boxes("frame_000001.png") == [list(map(float, one)) for mine in boxes.values() for one in mine]
    again, _ = write(found.table, found.shelf, "cvat-video", "cvat-video")
    back = read(packed(again), "cvat-video")
    assert not back.codes()
    assert_same(found, back)
