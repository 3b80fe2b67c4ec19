"""pycocotools loads the COCO files that are written here, and evaluates them: the truth itself has precision 1.

It does not know panoptic files, whose annotations have no category.
"""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from scene import KEYPOINTS, Item, dataset, scene

from framehouse.v1.conversion_pb2 import WriteOptions
from tests.unit.formats.whole_way import write

TASKS = {
    "coco-instances": ("instances", {"box", "polygon", "mask"}),
    "coco-keypoints": ("person_keypoints", {"skeleton"}),
    "coco-captions": ("captions", {"caption"}),
    "coco-labels": ("labels", {"tag"}),
    "coco-stuff": ("stuff", {"mask"}),
    "coco-image-info": ("image_info", set()),
}
"""What its files are called, and the types of annotations that it holds."""


def written(name: str, items: list[Item], folder: Path) -> dict[str, COCO]:
    """The JSON files of a scene, loaded, by split."""
    task, _ = TASKS[name]
    ours = dataset(items)
    files, losses = write(ours.table, ours.shelf, name, options=WriteOptions(without_images=True))
    assert not losses
    loaded = {}
    for split in {item.split for item in items}:
        path = folder / f"{split}.json"
        path.write_bytes(files[f"annotations/{task}_{split}.json"])
        loaded[split] = COCO(str(path))
    return loaded


@pytest.mark.parametrize("name", TASKS)
def test_every_file_is_loaded(name: str, tmp_path: Path) -> None:
    items = scene(TASKS[name][1])
    for split, found in written(name, items, tmp_path).items():
        mine = {item.name: item for item in items if item.split == split}
        images = {image["file_name"]: image for image in found.loadImgs(found.getImgIds())}
        assert images.keys() == mine.keys()
        for path, image in images.items():
            assert (image["width"], image["height"]) == mine[path].size
            annotations = found.loadAnns(found.getAnnIds(imgIds=[image["id"]]))
            assert len(annotations) == len(mine[path].annotations)
            assert all(found.annToMask(one).any() for one in annotations if one.get("segmentation"))


def average_precision(truth: COCO, answers: list[dict[str, Any]], measure: str) -> float:
    evaluation = COCOeval(truth, truth.loadRes(copy.deepcopy(answers)), measure)
    if measure == "keypoints":
        evaluation.params.kpt_oks_sigmas = np.full(len(KEYPOINTS), 0.05)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return float(evaluation.stats[0])


@pytest.mark.parametrize(
    ("name", "types", "measure"),
    [
        ("coco-instances", {"box", "polygon", "mask"}, "bbox"),
        ("coco-instances", {"polygon", "mask"}, "segm"),
        ("coco-stuff", {"mask"}, "segm"),
        ("coco-keypoints", {"skeleton"}, "keypoints"),
    ],
)
def test_the_truth_is_found_to_be_right(name: str, types: set[str], measure: str, tmp_path: Path) -> None:
    truth = written(name, scene(types), tmp_path)["train"]
    answers = [{**one, "score": 0.9} for one in truth.dataset["annotations"] if not one["iscrowd"]]
    assert average_precision(truth, answers, measure) == pytest.approx(1)
    assert average_precision(truth, answers[1:], measure) < 1
