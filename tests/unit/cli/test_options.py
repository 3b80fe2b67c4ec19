"""Options of formats as a user writes them."""

import pytest

from framehouse.client.errors import InvalidArgument
from framehouse.client.options import set_options
from framehouse.v1 import conversion_pb2
from framehouse.v1.conversion_pb2 import WriteOptions


def test_an_option_is_a_path_and_a_word() -> None:
    options = WriteOptions()
    set_options(options, {"coco.segmentation-mode": "Mask", "coco.reindex": "", "voc.keep_empty": "no"})
    assert options.coco.segmentation_mode == conversion_pb2.SEGMENTATION_MODE_MASK
    assert options.coco.reindex
    assert not options.voc.keep_empty


@pytest.mark.parametrize(
    ("path", "word", "remedy"),
    [
        ("coco.nothing", "1", "segmentation_mode"),
        ("coco.segmentation_mode", "outline", "guess, polygons, mask"),
        ("coco.reindex", "perhaps", "true or false"),
        ("coco", "mask", "framehouse formats"),
        ("reindex", "true", "framehouse formats"),
        ("format.reindex", "true", "framehouse formats"),
        ("class_changes.reindex", "true", "framehouse formats"),
    ],
)
def test_a_wrong_option_says_what_there_is(path: str, word: str, remedy: str) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        set_options(WriteOptions(), {path: word})
    assert remedy in refusal.value.remedy
