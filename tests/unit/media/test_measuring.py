"""A shard whose headers alone are looked at: it says of each image what a look at the pixels does."""

import io
import zipfile
from typing import Any

import pytest
from PIL import Image

from framehouse.runtime.config import Settings
from framehouse.store.frames import BatchFile
from framehouse.store.issues import load
from framehouse.v1 import conversion_pb2, media_pb2
from services.conversion import reading
from services.media import measuring, shard
from services.media.shard import process_shard
from tests.unit.formats.whole_way import Shelf, index, packed
from tests.unit.media.pictures import ALL_FORMATS, encoded, example, picture

TURNED = Image.Exif()
TURNED[0x0112] = 6

FILES = {
    **{f"plain.{format}": example(format, 48, 32) for format in ALL_FORMATS},
    "turned.jpg": encoded(picture(48, 32), "JPEG", exif=TURNED),
    "turned.png": encoded(picture(48, 32), "PNG", exif=TURNED),
    "grey.jpg": encoded(picture(48, 32).convert("L"), "JPEG", progressive=True),
    "misnamed.png": example("jpeg", 48, 32),
    "misnamed.jpg": example("webp", 48, 32),
    "small.png": encoded(Image.new("L", (20, 90)), "PNG"),
    "small.jpg": encoded(Image.new("L", (90, 20)), "JPEG"),
    "none.png": b"",
    "other.png": b"no image",
    "cut.png": example("png", 48, 32)[:30],
    "cut.jpg": example("jpeg", 48, 32)[:100],
    "large.bmp": encoded(picture(400, 400), "BMP"),
    "damaged.png": example("png", 48, 32) + b"here",
}


def processed(shelf: Shelf, depth: media_pb2.MediaDepth) -> tuple[list[dict[str, Any]], list[tuple[str, ...]], int]:
    """The rows of the only shard, the issues, and the bytes read."""
    request = media_pb2.ProcessShardRequest(
        plan_key="plan", output_key=f"media-{depth}", derived_key="derived", min_side=28, depth=depth
    )
    answer = process_shard(shelf, request)
    rows = BatchFile(shelf, request.output_key).batch(0).to_pylist()
    assert answer.image_count == sum(row["usable"] for row in rows)
    issues = load(shelf, request.output_key).to_pylist()
    return rows, [(row["code"], row["path"], row["message"]) for row in issues], answer.byte_count


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_headers_alone_say_what_pixels_do(method: int, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = Settings(max_image_bytes=300_000)
    for module in (shard, measuring):
        monkeypatch.setattr(module, "settings", lambda: limits)
    data = bytearray(packed(FILES, method))
    entries = {one.filename: one for one in zipfile.ZipFile(io.BytesIO(data)).infolist()}
    place = entries["damaged.png"]
    data[place.header_offset + 30 + len("damaged.png") + place.compress_size - 2] ^= 1
    shelf = Shelf()
    index(bytes(data), shelf)
    plan = conversion_pb2.PlanReadRequest(index_key="index", format="image-dir", output_key="plan")
    reading.plan(shelf, Settings(), plan)
    whole, said, byte_count = processed(shelf, media_pb2.MEDIA_DEPTH_FULL)
    rows, issues, read = processed(shelf, media_pb2.MEDIA_DEPTH_HEADER)
    assert rows == [row | dict.fromkeys(("look", "normalised", "preview")) for row in whole]
    assert [row["usable"] for row in rows].count(False) == 8
    known = [one for one in said if one[0] not in ("IMAGE_ANIMATED", "IMAGE_MODE_CONVERTED")]
    assert [one for one in issues if not one[1].startswith("cut.")] == [
        one for one in known if not one[1].startswith("cut.")
    ]
    assert [one[:2] for one in issues] == [one[:2] for one in known]
    assert read == byte_count
