"""Datumaro imports what is written here, and what it writes is read here: the same images, labels, splits, geometry.

All of it in one process of Datumaro's, which lives in an environment of its own.
"""

import json
import zlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from scene import LABELS, Item, assert_same, compared, dataset, for_peer, scene

from framehouse.annotations.splits import canonical_split
from framehouse.store.manifest import MANIFEST, Manifest
from services.conversion.registry import written_formats
from tests.peers import datumaro_environment
from tests.unit.formats.whole_way import folder, read, write

Annotations = list[dict[str, Any]]

# The first test makes the environment.
pytestmark = pytest.mark.timeout(900)


def without_boxes_beside(annotations: Annotations) -> Annotations:
    """What is there beside the box that Datumaro makes for each shape, with the id of it."""
    shapes = {one["id"] for one in annotations if one["type"] != "box"}
    return [one for one in annotations if not (one["type"] == "box" and one["id"] in shapes)]


def without_those_outside(annotations: Annotations) -> Annotations:
    """What is seen: where a track ends Datumaro keeps the shape that says so."""
    return [one for one in annotations if not one["attributes"].get("outside")]


def is_annotated(item: Item) -> bool:
    return bool(item.annotations)


def has_label_file(item: Item) -> bool:
    return bool(item.annotations or item.checked)


@dataclass(frozen=True)
class Case:
    """A format, and how Datumaro knows it. What is not the default is a known difference."""

    format: str
    peer: str
    types: Collection[str]
    """Of annotations that both hold."""
    written_as: str | None = None
    """What Datumaro calls it where it writes it, if that is not what it reads; empty where it does not."""
    splits: Collection[str] = ("train", "val", "test")
    folders: bool = True
    """Whether images may lie in folders below that of the split."""
    single: bool = False
    """Whether an image has one annotation at most."""
    video: bool = False
    lost: Collection[str] = ()
    """Codes of what we tell as lost."""
    images: Callable[[Item], object] = bool
    """Images that it can read."""
    place: str = "."
    """Folder that Datumaro reads, of what we write."""
    splits_told: bool = True
    """Whether Datumaro tells splits apart."""
    apart: bool = True
    """Whether images of two splits may have one name."""
    more_labels: tuple[str, ...] = ()
    """Labels that Datumaro has before ours, and that files of its may name."""
    called: Callable[[Item], str] = lambda item: item.stem
    """The id that Datumaro gives an image."""
    below: Callable[[Item], str] = lambda item: item.name
    """Our path of an image below the split, where Datumaro wrote it."""
    mended: Callable[[Annotations], Annotations] = list
    """Its reading without what it makes up."""

    @property
    def name(self) -> str:
        return f"{self.format} as {self.peer}"

    def scene(self) -> list[Item]:
        form = {"folders": self.folders, "single": self.single, "video": self.video, "apart": self.apart}
        items = scene(self.types, self.splits, **form)
        return [item for item in items if self.images(item)]


CASES = [
    # It takes the folder of a label file for the split, and lists label files, not images.
    Case("ultralytics-detect", "yolo", {"box"}, "yolo_ultralytics", folders=False, images=has_label_file),
    Case("yolo-darknet", "yolo", {"box"}, splits=("train", "val")),
    # The folder is the class, for both; what lies deeper is a class of its own for Datumaro.
    Case(
        "ultralytics-classify",
        "imagenet_with_subset_dirs",
        {"tag"},
        folders=False,
        single=True,
        images=is_annotated,
        called=lambda item: f"{item.annotations[0]['label']}:{item.stem}",
        below=lambda item: f"{item.annotations[0]['label']}/{item.name}",
    ),
    Case("coco-instances", "coco_instances", {"box", "polygon", "mask"}, mended=without_boxes_beside),
    Case("coco-keypoints", "coco_person_keypoints", {"skeleton"}, mended=without_boxes_beside),
    Case("coco-captions", "coco_captions", {"caption"}),
    Case("coco-labels", "coco_labels", {"tag"}),
    Case("coco-panoptic", "coco_panoptic", {"mask"}),
    Case("coco-stuff", "coco_stuff", {"mask"}, mended=without_boxes_beside),
    Case("coco-image-info", "coco_image_info", set()),
    # It reads one folder, and knows no splits.
    Case("image-dir", "image_dir", set(), splits=("train",), place="images/train", splits_told=False),
    Case("datumaro", "datumaro", {"tag", "box", "polygon", "skeleton", "mask", "caption"}),
    # Images of all splits lie in one folder. What is nothing is a class of Datumaro's.
    Case("pascal-voc", "voc_detection", {"box"}, apart=False, more_labels=("background",)),
    Case("pascal-voc", "voc_classification", {"tag"}, apart=False, more_labels=("background",)),
    # ImageSets/Segmentation names images with masks alone.
    Case(
        "pascal-voc",
        "voc_segmentation",
        {"mask"},
        images=is_annotated,
        apart=False,
        more_labels=("background",),
        lost={"FLAG_UNSUPPORTED"},
    ),
    Case("cvat-images", "cvat", {"tag", "box", "polygon", "mask", "turned"}, lost={"FLAG_UNSUPPORTED"}),
    # It knows frames by their number, and those that something is in; of masks in tracks it reads none.
    Case(
        "cvat-video",
        "cvat",
        {"box", "polygon", "turned"},
        "",
        images=is_annotated,
        video=True,
        lost={"TRACK_ADDED", "NAME_CHANGED"},
        called=lambda item: f"frame_{item.frame:06d}",
        mended=without_those_outside,
    ),
]
BY_NAME = {case.name: case for case in CASES if case.format in written_formats()}
WRITTEN = {name: case for name, case in BY_NAME.items() if case.written_as != ""}
WITHOUT_PEER = {
    "ultralytics-segment": "of Ultralytics' tasks Datumaro knows boxes",
    "ultralytics-pose": "of Ultralytics' tasks Datumaro knows boxes",
    "ultralytics-obb": "of Ultralytics' tasks Datumaro knows boxes",
    "ultralytics-ndjson": "Datumaro does not know it",
}


@dataclass(frozen=True)
class Exchange:
    """What Datumaro made of what we wrote, and wrote itself."""

    lost: dict[str, list[Any]]
    """By us, in writing."""
    read: dict[str, dict[str, Any]]
    written: dict[str, dict[str, Any]]
    folder: Path
    """Each format's own, in a folder of its name."""


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Exchange:
    """All cases, both ways."""
    try:
        datumaro_environment.install()
    except datumaro_environment.NotInstallable as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("datumaro")
    wishes: dict[str, list[dict[str, Any]]] = {"read": [], "write": []}
    lost = {}
    for case in BY_NAME.values():
        items = case.scene()
        ours = dataset(items)
        files, lost[case.name] = write(ours.table, ours.shelf, case.format)
        for name, data in files.items():
            file = folder / "ours" / case.name / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        # As every archive has it; Datumaro is to leave it alone.
        manifest = Manifest({"format": case.format})
        checksums = pa.array([zlib.crc32(data) for data in files.values()], pa.uint32())
        columns = {"path": list(files), "size": [*map(len, files.values())], "hash": pa.nulls(len(files), pa.string())}
        manifest.add(pa.table({**columns, "crc32": checksums}))
        (folder / "ours" / case.name / MANIFEST).write_bytes(zlib.decompress(manifest.end()[0].read(), -zlib.MAX_WBITS))
        place = folder / "ours" / case.name / case.place
        wishes["read"].append({"folder": str(place), "format": case.peer})
        if case.written_as != "":
            wanted = {"folder": str(folder / "theirs" / case.name), "format": case.written_as or case.peer}
            wishes["write"].append({**wanted, **for_peer(items, folder / "images" / case.name)})
    (folder / "wishes.json").write_text(json.dumps(wishes))
    datumaro_environment.run("datumaro_exchange.py", folder / "wishes.json", folder / "answers.json")
    answers = json.loads((folder / "answers.json").read_text())
    return Exchange(
        lost,
        dict(zip(BY_NAME, answers["read"], strict=True)),
        dict(zip(WRITTEN, answers["write"], strict=True)),
        folder / "theirs",
    )


def test_every_format_is_exchanged_or_says_why_not() -> None:
    assert set(written_formats()) <= {case.format for case in CASES} | WITHOUT_PEER.keys()


@pytest.mark.parametrize("case", BY_NAME.values(), ids=BY_NAME.keys())
def test_datumaro_reads_what_is_written_here(case: Case, exchange: Exchange) -> None:
    assert {loss.code for loss in exchange.lost[case.name]} == set(case.lost)
    answer = exchange.read[case.name]
    assert "error" not in answer, answer["error"]
    found, items = answer["result"], case.scene()
    if any(one["label"] for item in items for one in item.annotations):
        assert found["labels"] == [*case.more_labels, *LABELS]
    expected = {(item.split if case.splits_told else "", case.called(item)): item for item in items}
    theirs = {
        (canonical_split(item["subset"]) if case.splits_told else "", item["id"]): item for item in found["items"]
    }
    assert theirs.keys() == expected.keys()
    for key, item in expected.items():
        assert theirs[key]["size"] in (None, [*reversed(item.size)])
        assert_same(case.mended(theirs[key]["annotations"]), item.annotations)


@pytest.mark.parametrize("case", WRITTEN.values(), ids=WRITTEN.keys())
def test_what_datumaro_writes_is_read_here(case: Case, exchange: Exchange) -> None:
    answer = exchange.written[case.name]
    assert "error" not in answer, answer["error"]
    found, items = read(folder(exchange.folder / case.name), case.format), case.scene()
    assert not [issue for issue in found.issues if issue.severity > 1]
    if any(one["label"] for item in items for one in item.annotations):
        assert found.labels in ([*LABELS], [*case.more_labels, *LABELS])
    expected = {(item.split if case.splits_told else "", case.below(item)): item for item in items}
    rows = {(row["split"], row["path"].removeprefix(row["split"] + "/")): row for row in found.rows().values()}
    assert rows.keys() == expected.keys()
    for key, item in expected.items():
        assert (rows[key]["width"], rows[key]["height"]) == item.size
        assert_same(compared(rows[key], found.labels), item.annotations)
