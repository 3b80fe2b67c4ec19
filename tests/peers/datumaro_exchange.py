"""Writes datasets with Datumaro and reads others; run by the tests in Datumaro's own environment, as a script.

`python datumaro_exchange.py WISHES.json ANSWERS.json`. A wish is a folder and a format, and for one to be written
labels and items as well (`tests/interop/scene.py`). Answers come in the order of the wishes: what was found, or an
error.
"""

import json
import logging
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any

warnings.simplefilter("ignore")

import datumaro  # type: ignore[import-not-found] # noqa: E402
import numpy as np  # noqa: E402
from datumaro.components import annotation as kinds  # type: ignore[import-not-found] # noqa: E402
from datumaro.components.media import Image  # type: ignore[import-not-found] # noqa: E402
from pycocotools import mask as rles  # noqa: E402


def main(wishes_file: str, answers_file: str) -> None:
    """Writes first, then reads."""
    logging.disable(logging.WARNING)
    wishes = json.loads(Path(wishes_file).read_text())
    answers = {
        "write": [answer(write, wish) for wish in wishes["write"]],
        "read": [answer(read, wish) for wish in wishes["read"]],
    }
    Path(answers_file).write_text(json.dumps(answers))
    print(json.dumps({}))


def answer(work: Any, wish: dict[str, Any]) -> dict[str, Any]:
    """What came of one wish."""
    try:
        return {"result": work(wish)}
    except Exception as error:
        error = error.__cause__ if isinstance(error.__cause__, Exception) else error
        trace = traceback.extract_tb(error.__traceback__)[-1]
        return {"error": f"{type(error).__name__}: {error} ({Path(trace.filename).name}, line {trace.lineno})"}


def read(wish: dict[str, Any]) -> dict[str, Any]:
    """Imports a folder: labels and items."""
    dataset = datumaro.Dataset.import_from(wish["folder"], wish["format"])
    known = dataset.categories().get(kinds.AnnotationType.label)
    labels = [label.name for label in known.items] if known else []
    items = [
        {
            "subset": item.subset,
            "id": item.id,
            "size": list(item.media.size) if item.media is not None and item.media.size else None,
            "annotations": [described(one, labels) for one in item.annotations],
        }
        for item in dataset
    ]
    return {"labels": labels, "items": items}


def described(one: Any, labels: list[str]) -> dict[str, Any]:
    """An annotation as the tests compare it."""
    label = labels[one.label] if getattr(one, "label", None) is not None else ""
    found = {"id": one.id, "group": one.group, "label": label, "attributes": plain(one.attributes)}
    kind = one.type.name
    if kind == "bbox":
        return {**found, "type": "box", "values": [float(value) for value in one.get_bbox()]}
    if kind == "rotated_bbox":
        return {**found, "type": "turned", "values": np.asarray(one.as_polygon(), float).reshape(-1).tolist()}
    if kind in ("polygon", "polyline"):
        return {**found, "type": kind, "values": [float(value) for value in one.points]}
    if kind == "mask":
        image = np.asfortranarray(np.asarray(one.image, np.uint8))
        return {**found, "type": "mask", "text": rles.encode(image)["counts"].decode(), "values": list(image.shape)}
    if kind == "points":
        points = [[*point, seen.value] for point, seen in zip(pairs(one.points), one.visibility, strict=True)]
        return {**found, "type": "skeleton", "values": [float(value) for point in points for value in point]}
    if kind == "caption":
        return {**found, "type": "caption", "text": one.caption, "values": []}
    return {**found, "type": "tag" if kind == "label" else kind, "values": []}


def pairs(points: list[float]) -> list[list[float]]:
    """Points from their coordinates."""
    return np.asarray(points).reshape(-1, 2).tolist()


def plain(attributes: dict[str, Any]) -> dict[str, Any]:
    """Attributes as JSON has them."""
    return {
        str(key): value if isinstance(value, bool | int | float | str) else str(value)
        for key, value in attributes.items()
    }


def write(wish: dict[str, Any]) -> None:
    """Exports the wish's items."""
    labels = [label["name"] for label in wish["labels"]]
    items = [
        datumaro.DatasetItem(
            id=item["id"],
            subset=item["subset"],
            media=Image.from_file(path=item["file"]),
            attributes={"id": number},
            annotations=[made(one, n, labels) for n, one in enumerate(item["annotations"], 1)],
        )
        for number, item in enumerate(wish["items"], 1)
    ]
    categories: dict[Any, Any] = {kinds.AnnotationType.label: kinds.LabelCategories.from_iterable(labels)}
    if any(label["keypoints"] for label in wish["labels"]):
        points = kinds.PointsCategories()
        for number, label in enumerate(wish["labels"]):
            points.add(number, labels=label["keypoints"], joints=label["edges"])
        categories[kinds.AnnotationType.points] = points
    dataset = datumaro.Dataset.from_iterable(items, categories=categories, media_type=Image)
    dataset.export(wish["folder"], wish["format"], save_media=True)


def made(one: dict[str, Any], number: int, labels: list[str]) -> Any:
    """An annotation of Datumaro's."""
    values, given = one["values"], {"id": number, "group": number}
    if one["type"] == "caption":
        return kinds.Caption(one["text"], **given)
    given["label"] = labels.index(one["label"])
    if one["type"] == "box":
        return kinds.Bbox(*values, attributes={"is_crowd": False}, **given)
    if one["type"] == "polygon":
        return kinds.Polygon(values, attributes={"is_crowd": False}, **given)
    if one["type"] == "mask":
        image = rles.decode({"size": values, "counts": one["text"].encode()})
        return kinds.Mask(image, attributes={"is_crowd": True}, **given)
    if one["type"] == "skeleton":
        # Its COCO exporter leaves out keypoints that are alone in a group.
        given["group"] = 0
        points = np.asarray(values).reshape(-1, 3)
        return kinds.Points(points[:, :2].reshape(-1).tolist(), points[:, 2].astype(int).tolist(), **given)
    if one["type"] == "turned":
        corners = np.asarray(values).reshape(4, 2)
        along, across = corners[1] - corners[0], corners[2] - corners[1]
        sides = [float(np.hypot(*along)), float(np.hypot(*across))]
        angle = float(np.degrees(np.arctan2(along[1], along[0])))
        return kinds.RotatedBbox(*corners.mean(axis=0).tolist(), *sides, angle, **given)
    if one["type"] == "tag":
        return kinds.Label(**given)
    raise ValueError(f"no {one['type']} is made here")


if __name__ == "__main__":
    main(*sys.argv[1:])
