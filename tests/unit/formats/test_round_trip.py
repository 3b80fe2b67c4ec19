"""Write, then read: the same table, for datasets of all shapes that a format holds."""

import json
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from whole_way import Imported, image, packed, read, write

from framehouse.annotations import masks

quick = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))

letters = st.characters(whitelist_categories=("L", "N"), whitelist_characters=" -_.'\"")
names = st.text(letters, min_size=1, max_size=8).map(lambda word: f"n{word}n")
splits = st.sampled_from(["train", "val", "test", "extra", "default"])
numbers = st.floats(0, 1e4, allow_subnormal=False)
corners = st.floats(0, 29, allow_subnormal=False)
boxes = st.tuples(corners, corners, st.floats(0.01, 1e3), st.floats(0.01, 1e3)).map(list)
rings = st.lists(numbers, min_size=6, max_size=10).filter(lambda ring: len(ring) % 2 == 0)


@st.composite
def rasters(draw: st.DrawFn) -> dict[str, Any]:
    raster = draw(arrays.arrays(np.uint8, (6, 5), elements=st.integers(0, 1))).T.reshape(-1)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], raster])))
    lengths = np.diff(np.concatenate([[0], edges, [30]])).astype(np.int64)
    text = masks.encode(masks.Runs(lengths, np.array([0, len(lengths)]))).to_pylist()[0].decode()
    return {"size": [6, 5], "counts": draw(st.sampled_from([lengths.tolist(), text]))}


@st.composite
def coco_files(draw: st.DrawFn) -> dict[str, bytes]:
    categories = draw(st.lists(st.tuples(st.integers(0, 99), names), min_size=1, max_size=4, unique_by=lambda c: c[0]))
    categories = [(number, f"{name}{i}") for i, (number, name) in enumerate(categories)]
    files = {}
    for split in draw(st.lists(splits, min_size=1, max_size=3, unique=True)):
        paths = st.lists(names, min_size=1, max_size=2).map("/".join)
        stems = draw(st.lists(paths, min_size=1, max_size=4, unique=True))
        shapes = st.one_of(st.just([]), st.lists(rings, min_size=1, max_size=3), rasters())
        annotations = draw(
            st.lists(
                st.fixed_dictionaries(
                    {
                        "image_id": st.integers(5, 4 + len(stems)),
                        "category_id": st.sampled_from([number for number, _ in categories]),
                        "segmentation": shapes,
                        "bbox": boxes,
                        "area": numbers,
                        "iscrowd": st.sampled_from([0, 1]),
                    },
                    optional={
                        "score": st.floats(0, 1),
                        "attributes": st.dictionaries(names, names | st.integers(), min_size=1),
                    },
                ),
                max_size=6,
            )
        )
        body = {
            "images": [
                {"id": 5 + i, "width": 40, "height": 30, "file_name": f"{stem}.png"} for i, stem in enumerate(stems)
            ],
            "annotations": [{"id": 100 + 3 * i, **item} for i, item in enumerate(annotations)],
            "categories": [{"id": number, "name": name} for number, name in categories],
        }
        files[f"annotations/instances_{split}.json"] = json.dumps(body).encode()
        files |= {f"images/{split}/{stem}.png": image(40, 30, "PNG") for stem in stems[:-1] or stems}
    return files


@st.composite
def yolo_files(draw: st.DrawFn) -> dict[str, bytes]:
    classes = [f"{name}{i}" for i, name in enumerate(draw(st.lists(names, min_size=1, max_size=12)))]
    inside = st.integers(1, 999_999).map(lambda value: value / 1e6)
    files: dict[str, bytes] = {}
    used = draw(st.lists(st.sampled_from(["train", "val", "test"]), min_size=1, max_size=3, unique=True))
    for split in used:
        for stem in draw(st.lists(names, min_size=1, max_size=3, unique=True)):
            number = st.integers(0, len(classes) - 1)
            rows = draw(st.lists(st.tuples(number, inside, inside, inside, inside), max_size=4))
            files[f"images/{split}/{stem}.png"] = image(40, 30, "PNG")
            if rows:
                text = "".join(f"{c} {x / 2 + w / 4} {y / 2 + h / 4} {w / 2} {h / 2}\n" for c, x, y, w, h in rows)
                files[f"labels/{split}/{stem}.txt"] = text.encode()
    data = {"path": ".", **{split: f"images/{split}" for split in used}, "names": classes}
    return {"data.yaml": json.dumps(data, ensure_ascii=False).encode(), **files}


def again(found: Imported, name: str) -> Imported:
    written, losses = write(found.table, found.shelf, name, name)
    assert not losses
    return read(packed(written), name)


@quick
@given(coco_files())
def test_coco_instances(files: dict[str, bytes]) -> None:
    found = read(packed(files), "coco-instances")
    assert not found.codes() - {"IMAGE_MISSING", "BOX_REACHES_OUTSIDE", "MASK_SIZE_DIFFERS"}
    back = again(found, "coco-instances")
    columns = [name for name in found.table.column_names if name != "original"]
    assert back.labels == found.labels
    assert back.table.select(columns).sort_by("path").equals(found.table.select(columns).sort_by("path"))


@quick
@given(yolo_files())
def test_ultralytics_detect(files: dict[str, bytes]) -> None:
    found = read(packed(files), "ultralytics-detect")
    assert not found.codes()
    back = again(found, "ultralytics-detect")
    assert back.labels == found.labels
    columns = [name for name in found.table.column_names if name not in ("original", "bbox")]
    assert back.table.select(columns).sort_by("path").equals(found.table.select(columns).sort_by("path"))
    for path in found.rows():
        # Six decimals of 40 pixels.
        assert np.allclose(back.boxes(path), found.boxes(path), atol=1e-4)
