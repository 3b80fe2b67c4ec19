"""What Ultralytics' documentation and loader ask of a dataset: data.yaml and a label file for each image, or NDJSON.

The loader refuses an image whose label file breaks a rule, and says so in a line of its log that nobody reads.
"""

import itertools
import json
from collections.abc import Mapping
from typing import Any

import yaml

IMAGES = {"bmp", "dng", "jpeg", "jpg", "mpo", "png", "tif", "tiff", "webp", "pfm", "heic"}
COLUMNS = {"detect": 4, "obb": 8}
"""Numbers after the class, where a task has as many in every row."""
LISTS = {"boxes": "detect", "segments": "segment", "pose": "pose", "obb": "obb", "classification": "classify"}
"""What NDJSON calls the annotations of each task."""


def broken(files: Mapping[str, bytes], task: str) -> list[str]:
    """The rules that an archive breaks, in words; none where it would be loaded whole."""
    if task == "classify":
        return list(_classify(files))
    if task == "ndjson":
        return list(_ndjson(files))
    if "data.yaml" not in files:
        return ["there is no data.yaml"]
    data = yaml.safe_load(files["data.yaml"])
    found = list(_data_yaml(data, files, task))
    if found:
        return found
    labels = {name for name in files if name.endswith(".txt")}
    images = {name for name in files if name.rpartition(".")[2].lower() in IMAGES}
    expected = {label_path(name): name for name in images}
    found += [f"{name} belongs to no image" for name in labels - expected.keys()]
    found += [f"{name} is of no split" for name in images - set(_listed(data, files))]
    for name in sorted(labels):
        for number, line in enumerate(files[name].decode().splitlines(), 1):
            found += [f"{name}, line {number}: {text}" for text in _row(line, data, task)]
        lines = files[name].decode().splitlines()
        if len(set(lines)) < len(lines):
            found.append(f"{name} has a row twice, of which one is removed")
    return found


def label_path(image: str) -> str:
    """Where the label file of an image lies: `labels` for the last folder called `images`, `.txt` behind."""
    before, _, after = f"/{image}".rpartition("/images/")
    return f"{before}/labels/{after.rpartition('.')[0]}.txt".lstrip("/")


def _data_yaml(data: dict[str, Any], files: Mapping[str, bytes], task: str) -> Any:
    names = data.get("names")
    if not names:
        yield "data.yaml names no classes"
        return
    keys = list(names) if isinstance(names, dict) else list(range(len(names)))
    if keys != list(range(len(keys))):
        yield f"classes are numbered {keys}"
    if data.get("nc", len(keys)) != len(keys):
        yield f"nc is {data['nc']}, but {len(keys)} classes have names"
    for split in ("train", "val"):
        if split not in data:
            yield f"data.yaml has no {split}"
    for split in {"train", "val", "test"} & data.keys():
        for place in data[split] if isinstance(data[split], list) else [data[split]]:
            if not any(name.startswith(f"{place}/") for name in files):
                yield f"{split} is {place}, and there is no image"
    shape, flip = data.get("kpt_shape"), data.get("flip_idx")
    if (shape is not None) != (task == "pose"):
        yield f"kpt_shape is {shape} for the task {task}"
    elif shape is not None:
        if len(shape) != 2 or shape[0] < 1 or shape[1] not in (2, 3):
            yield f"kpt_shape is {shape}"
        elif flip is not None and sorted(flip) != list(range(shape[0])):
            yield f"flip_idx is {flip} for {shape[0]} keypoints"


def _listed(data: dict[str, Any], files: Mapping[str, bytes]) -> Any:
    places = itertools.chain.from_iterable(
        data[split] if isinstance(data[split], list) else [data[split]]
        for split in ("train", "val", "test")
        if split in data
    )
    for place in places:
        yield from (name for name in files if name.startswith(f"{place}/"))


def _row(line: str, data: dict[str, Any], task: str) -> Any:
    try:
        label, *values = (float(word) for word in line.split(" "))
    except ValueError:
        yield f"{line!r} is not numbers with a blank between each"
        return
    if not label.is_integer() or not 0 <= label < len(data["names"]):
        yield f"there is no class {label:g}"
    coordinates = values
    if task == "pose":
        count, size = data["kpt_shape"]
        if len(values) != 4 + count * size:
            yield f"{len(values)} numbers for {count} keypoints of {size}"
            return
        points = [values[i : i + size] for i in range(4, len(values), size)]
        coordinates = [*values[:4], *(value for point in points for value in point[:2])]
        if size == 3 and any(point[2] not in (0, 1, 2) for point in points):
            yield "a visibility is none of 0, 1 and 2"
    elif task == "segment":
        if len(values) < 6 or len(values) % 2:
            yield f"{len(values)} numbers are no polygon"
    elif len(values) != COLUMNS[task]:
        yield f"{len(values)} numbers for the task {task}"
    if any(not 0 <= value <= 1 for value in coordinates):
        yield "a coordinate is not from 0 to 1"
    if task in ("detect", "pose") and not (values[2] > 0 and values[3] > 0):
        yield "a box has no size"


def _ndjson(files: Mapping[str, bytes]) -> Any:
    (name,) = (name for name in files if name.endswith(".ndjson"))
    head, *lines = (json.loads(line) for line in files[name].decode().splitlines())
    if head["type"] != "dataset" or head["task"] not in LISTS.values():
        yield f"the first line is {head}"
    names = head["class_names"]
    if list(names) != [str(number) for number in range(len(names))]:
        yield f"classes are numbered {list(names)}"
    data = {"names": names, "kpt_shape": head.get("kpt_shape")}
    listed = {f"images/{line['split']}/{line['file']}" for line in lines}
    yield from (f"{name} is of no line, or of no split" for name in files.keys() ^ listed ^ {name})
    for number, line in enumerate(lines, 2):
        if line["type"] != "image" or line["split"] not in ("train", "val", "test"):
            yield f"line {number} is {line}"
        if min(line["width"], line["height"]) < 1:
            yield f"line {number} has no size"
        for key, rows in line.get("annotations", {}).items():
            if LISTS[key] == "classify":
                yield from (f"line {number}: there is no class {label}" for label in rows if str(label) not in names)
                continue
            for row in rows:
                text = " ".join(map(str, row))
                yield from (f"line {number}, {key}: {told}" for told in _row(text, data, LISTS[key]))


def _classify(files: Mapping[str, bytes]) -> Any:
    parts = [name.split("/") for name in files]
    classes = {split: {part[1] for part in parts if part[0] == split} for split in {part[0] for part in parts}}
    for split in ("train", "val"):
        if split not in classes:
            yield f"there is no folder {split}"
    for split, known in classes.items():
        if split not in ("train", "val", "test"):
            yield f"{split} is no split"
        elif not known <= classes.get("train", set()):
            yield f"{split} has classes that train has not: {sorted(known - classes['train'])}"
    for part in parts:
        if len(part) < 3 or part[-1].rpartition(".")[2].lower() not in IMAGES:
            yield f"{'/'.join(part)} is no image in the folder of a class"
