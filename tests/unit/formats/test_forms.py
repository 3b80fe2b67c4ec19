"""Which form of an image is written, and under which name."""

import numpy as np
import pyarrow as pa
import pytest

from framehouse.annotations.schema import NORMALISED, RANGE
from framehouse.v1.conversion_pb2 import IMAGE_FORM_NORMALISED, IMAGE_FORM_UNSPECIFIED, ImageForm
from services.conversion import forms

FORMATS = {"jpg": "jpeg", "JPEG": "jpeg", "tif": "tiff", "d/e": "png"}


def images(*rows: tuple[str, bool, str | None]) -> pa.Table:
    """Path, whether there is an original, of the format that its extension says, and that of the normalised form."""
    extensions = [path.rpartition(".")[2] for path, _, _ in rows]
    return pa.table(
        {
            "path": [path for path, _, _ in rows],
            "format": [FORMATS.get(extension, extension) for extension in extensions],
            "original.offset": pa.array([7 if there else None for _, there, _ in rows], pa.int64()),
            "normalised.width": pa.array([4 if small else None for _, _, small in rows], pa.int32()),
            "normalised.format": pa.array([small for _, _, small in rows], pa.string()),
        }
    )


@pytest.mark.parametrize(
    ("form", "wanted"),
    [(IMAGE_FORM_UNSPECIFIED, [False, False, True, False]), (IMAGE_FORM_NORMALISED, [True, False, True, False])],
)
def test_the_normalised_form_is_taken_where_asked_and_where_nothing_else_is(
    form: ImageForm, wanted: list[bool]
) -> None:
    table = images(("a.jpg", True, "jpeg"), ("b.jpg", True, None), ("c.jpg", False, "jpeg"), ("d.jpg", False, None))
    choice = forms.choose(table, form)
    assert choice.normalised.tolist() == wanted
    assert not choice.encoded.any()
    assert choice.images["path"].to_pylist() == ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]


def test_an_extension_that_no_longer_fits_is_replaced_and_paths_stay_unique() -> None:
    table = images(
        ("a.heic", True, "jpeg"),
        ("a.tif", True, "png"),
        ("a.jpg", True, None),
        ("a_heic.jpg", True, None),
        ("b.JPEG", True, "jpeg"),
        ("c.d/e", True, "png"),
        ("f.avif", True, "jpeg"),
        ("f.heic", True, "jpeg"),
        ("g.webp", True, None),
    )
    choice = forms.choose(table, IMAGE_FORM_NORMALISED)
    assert np.flatnonzero(choice.renamed).tolist() == [0, 6, 7]
    assert choice.images["path"].to_pylist() == [
        "a_heic_2.jpg",
        "a.png",
        "a.jpg",
        "a_heic.jpg",
        "b.JPEG",
        "c.d/e.png",
        "f_avif.jpg",
        "f_heic.jpg",
        "g.webp",
    ]


def test_images_in_another_format_are_encoded_and_all_are_named_by_theirs() -> None:
    table = images(
        ("a.png", True, None),
        ("b.JPEG", True, None),
        ("c.tif", True, "png"),
        ("d.mpo", True, None),
        ("a.jpg", True, None),
    )
    choice = forms.choose(table, IMAGE_FORM_NORMALISED, "jpeg")
    assert choice.encoded.tolist() == [True, False, True, False, False]
    assert choice.renamed.tolist() == [True, False, False, False, False]
    assert choice.images["path"].to_pylist() == ["a_png.jpg", "b.JPEG", "c.jpg", "d.jpg", "a.jpg"]
    absent = images(("a.png", False, None))
    assert not forms.choose(absent, IMAGE_FORM_UNSPECIFIED, "jpeg").encoded.any()
    assert forms.choose(absent, IMAGE_FORM_UNSPECIFIED, "jpeg").images["path"].to_pylist() == ["a.png"]


def test_sizes_boxes_and_bytes_are_those_of_the_form() -> None:
    sizes = {"width": pa.array([100, 100], pa.int32()), "height": pa.array([50, 50], pa.int32())}
    boxes = pa.array([[10, 10, 20, 20]] * 2, pa.list_(pa.float64(), 4))
    annotations = pa.table({"image": [0, 1], "kind": pa.array([2, 2], pa.int8()), "bbox": boxes})
    used = np.array([True, False])
    small = [pa.chunked_array([pa.array([value, None], pa.int32())]) for value in (50, 25)]
    found, scaled = forms.resized(pa.table(sizes), annotations, used, *small)
    assert found.to_pylist() == [{"width": 50, "height": 25}, {"width": 100, "height": 50}]
    assert scaled["bbox"].to_pylist() == [[5, 5, 10, 10], [10, 10, 20, 20]]
    rows = pa.table(
        {
            "original": pa.array([{"object": "packs/1"}, {"object": "packs/1"}], RANGE),
            "normalised": pa.array([{"object": "derived/1"}, None], NORMALISED),
        }
    )
    assert forms.ranges(rows, used)["object"].to_pylist() == ["derived/1", "packs/1"]
    assert forms.ranges(rows.slice(1), used[1:])["object"].to_pylist() == ["packs/1"]
