"""What a client hears of an image that it does not import."""

from typing import Any

from PIL import Image

from framehouse.store.packs import content_hash
from framehouse.v1 import media_pb2
from framehouse.v1.annotation_pb2 import SEVERITY_ERROR, SEVERITY_INFO
from services.media.decode import ORIENTATION
from services.media.probe import probe
from tests.unit.media.pictures import encoded, example, picture


def probed(data: bytes, **options: Any) -> media_pb2.ProbeImageResponse:
    return probe(media_pb2.ProbeImageRequest(data=data, **options))


def test_an_image_that_an_import_would_take() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    data = encoded(picture(), "JPEG", exif=exif)
    found = probed(data, file_name="a.jpg")
    assert (found.usable, found.format, found.width, found.height) == (True, "jpeg", 200, 300)
    assert (found.size, found.hash, found.orientation) == (len(data), content_hash(data), 6)
    assert not found.issues


def test_an_image_that_is_cut_off_is_no_error() -> None:
    data = example("png")[:-100]
    found = probed(data, file_name="a.png")
    assert (found.usable, found.format, found.width, found.size) == (False, "", 0, len(data))
    (issue,) = found.issues
    assert (issue.code, issue.severity, issue.path) == ("IMAGE_TRUNCATED", SEVERITY_ERROR, "a.png")
    assert issue.remedy


def test_what_is_odd_is_said() -> None:
    found = probed(encoded(picture().convert("CMYK"), "JPEG"), file_name="a.png")
    assert found.usable
    assert [(issue.code, issue.severity) for issue in found.issues] == [
        ("IMAGE_EXTENSION_DIFFERS", SEVERITY_INFO),
        ("IMAGE_MODE_CONVERTED", SEVERITY_INFO),
    ]
    assert not probed(example("jpeg")).issues


def test_the_smallest_side_is_an_imports_unless_it_is_said() -> None:
    small = encoded(Image.new("L", (27, 100)), "PNG")
    assert probed(small).issues[0].code == "IMAGE_TOO_SMALL"
    assert probed(small, min_side=0).usable
