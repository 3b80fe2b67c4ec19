"""Write, then read: the same table, for each of COCO's tasks and datasets of all shapes that it holds."""

import json
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as peer
from test_round_trip import boxes, names, numbers, rings, splits
from whole_way import image, packed, read, write

quick = settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
FILES = {
    "coco-keypoints": "person_keypoints",
    "coco-captions": "captions",
    "coco-labels": "labels",
    "coco-stuff": "stuff",
    "coco-panoptic": "panoptic",
    "coco-image-info": "image_info",
}
# A mask of 40 × 30 pixels, drawn from a few of them.
rasters = st.lists(st.integers(0, 1199), min_size=1, max_size=9, unique=True).map(
    lambda at: peer.encode(np.asfortranarray(np.isin(np.arange(1200), at).reshape(30, 40).astype(np.uint8)))
)
masks = rasters.map(lambda one: {"size": [30, 40], "counts": one["counts"].decode()})
extras = {"score": st.floats(0, 1), "attributes": st.dictionaries(names, names | st.integers(), min_size=1)}
crowd = st.sampled_from([0, 1])


@st.composite
def keypoints(draw: st.DrawFn) -> dict[str, Any]:
    """Keypoints of a category that has three, at least one of them there."""
    points = [[draw(numbers), draw(numbers), draw(st.integers(0, 2))] for _ in range(3)]
    points[draw(st.integers(0, 2))][2] = 2
    return {
        "keypoints": [value for point in points for value in point],
        "num_keypoints": sum(point[2] > 0 for point in points),
    }


def records(task: str) -> st.SearchStrategy[dict[str, Any]]:
    if task == "coco-captions":
        return st.fixed_dictionaries({"caption": names}, optional=extras)
    if task == "coco-labels":
        return st.fixed_dictionaries({"category_id": st.sampled_from([0, 7])}, optional=extras)
    shapes = masks if task == "coco-stuff" else st.one_of(st.just([]), st.lists(rings, min_size=1, max_size=2))
    given = {"segmentation": shapes, "bbox": boxes, "area": numbers, "iscrowd": crowd}
    whole = st.fixed_dictionaries({"category_id": st.sampled_from([0, 7]), **given}, optional=extras)
    if task == "coco-stuff":
        return whole
    return st.tuples(whole, keypoints() | st.just({"keypoints": [0] * 9})).map(lambda parts: {**parts[0], **parts[1]})


@st.composite
def datasets(draw: st.DrawFn, task: str) -> dict[str, bytes]:
    points = {"keypoints": ["a", "b", "c"], "skeleton": [[1, 2], [3, 1]]} if task == "coco-keypoints" else {}
    categories = [{"id": number, "name": f"n{number}", "supercategory": "", **points} for number in (7, 0)]
    files = {}
    for split in draw(st.lists(splits, min_size=1, max_size=2, unique=True)):
        stems = draw(st.lists(names, min_size=1, max_size=3, unique=True))
        images = [{"id": 5 + i, "width": 40, "height": 30, "file_name": f"{stem}.png"} for i, stem in enumerate(stems)]
        annotations = []
        if task == "coco-panoptic":
            for one in images:
                ids = draw(arrays.arrays(np.int64, (6, 5), elements=st.sampled_from([0, 1, 300, 70_000])))
                ids = np.kron(ids, np.ones((5, 8), np.int64))
                segments = [
                    {"id": number, "category_id": 7, "area": draw(numbers), "bbox": draw(boxes), "iscrowd": draw(crowd)}
                    for number in np.unique(ids[ids > 0]).tolist()
                ]
                if segments:
                    name = one["file_name"]
                    annotations.append({"image_id": one["id"], "file_name": name, "segments_info": segments})
                    pixels = np.stack([ids >> 16, ids >> 8 & 255, ids & 255], axis=2).astype(np.uint8)
                    files[f"annotations/panoptic_{split}/{name}"] = cv2.imencode(".png", pixels)[1].tobytes()
        elif task != "coco-image-info":
            drawn = draw(st.lists(records(task), max_size=5))
            owners = st.integers(5, 4 + len(stems))
            annotations = [{"id": 100 + 3 * i, "image_id": draw(owners), **one} for i, one in enumerate(drawn)]
        body = {"images": images, "annotations": annotations, "categories": categories}
        files[f"annotations/{FILES[task]}_{split}.json"] = json.dumps(body).encode()
        files |= {f"images/{split}/{stem}.png": image(40, 30, "PNG") for stem in stems}
    return files


@pytest.mark.parametrize("task", FILES)
def test_a_task_is_read_as_it_was_written(task: str) -> None:
    @quick
    @given(datasets(task))
    def check(files: dict[str, bytes]) -> None:
        found = read(packed(files), task)
        assert not found.codes() - {"BOX_REACHES_OUTSIDE"}
        written, losses = write(found.table, found.shelf, task, task)
        assert not losses
        back = read(packed(written), task)
        assert back.labels == found.labels
        columns = [name for name in found.table.column_names if name != "original"]
        assert back.table.select(columns).sort_by("path").equals(found.table.select(columns).sort_by("path"))

    check()
