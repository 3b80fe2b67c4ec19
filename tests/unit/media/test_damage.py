"""Images that nobody can use, and images made to harm: each has its code, none takes long, none takes much memory."""

import struct
import tracemalloc
import warnings
import zlib
from typing import Any

import pytest
from PIL import Image

from services.media import decode
from services.media.containers import MANY
from services.media.decode import look
from tests.unit.media.pictures import ALL_FORMATS, encoded, example, full, picture, png_chunk, refusal, shown, tiff

quiet = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")


@quiet
@pytest.mark.parametrize("name", ALL_FORMATS)
@pytest.mark.parametrize("tenths", range(1, 10))
def test_an_image_cut_off_anywhere_is_truncated(name: str, tenths: int) -> None:
    data = example(name)
    cut = data[: len(data) * tenths // 10]
    found = refusal(cut)
    assert found.code == "IMAGE_TRUNCATED"
    assert f"{len(cut):,} bytes" in found.message
    assert found.remedy


@quiet
@pytest.mark.parametrize("name", ALL_FORMATS)
def test_an_image_cut_off_within_its_header_is_refused(name: str) -> None:
    data = example(name)
    for size in range(1, 64):
        assert refusal(data[:size]).code in ("IMAGE_TRUNCATED", "IMAGE_UNREADABLE", "IMAGE_UNSUPPORTED"), size


@quiet
@pytest.mark.parametrize("options", [{"compression": "tiff_lzw"}, {"compression": "jpeg"}, {"big_tiff": True}])
def test_a_tiff_cut_off_by_one_byte_is_truncated(options: dict[str, Any]) -> None:
    assert refusal(encoded(picture(), "TIFF", **options)[:-1]).code == "IMAGE_TRUNCATED"


def test_a_large_jpeg_cut_off_is_found_by_its_reduced_decode() -> None:
    data = encoded(picture(2400, 1600), "JPEG")
    assert shown(full(data).preview).size == (256, 171)
    assert refusal(data[:-200]).code == "IMAGE_TRUNCATED"


def test_a_jpeg_whose_rest_is_zeros_is_truncated() -> None:
    data = encoded(picture(), "JPEG")
    half = len(data) // 2
    assert refusal(data[:half] + bytes(len(data) - half)).code == "IMAGE_TRUNCATED"
    assert full(data + bytes(500)).format == "jpeg"


def test_an_mpo_whose_other_pictures_were_taken_out_is_used() -> None:
    data = example("mpo")
    first = data[: data.index(b"\xff\xd9\xff\xd8") + 2]
    assert full(first).format == "mpo"
    assert refusal(data[: len(first) + 100]).code == "IMAGE_TRUNCATED"


def test_a_corrupted_image_is_unreadable() -> None:
    data = bytearray(example("png"))
    at = data.index(b"IDAT") + 100
    data[at : at + 50] = bytes(50)
    found = refusal(bytes(data))
    assert found.code == "IMAGE_UNREADABLE"
    assert "png" in found.message


def test_a_raw_photograph_that_is_packed_in_a_way_nobody_knows_is_unreadable() -> None:
    data = example("dng")
    packing = struct.pack("<HHI", 259, 3, 1)
    found = refusal(data.replace(packing + b"\1\0", packing + b"\x39\x30"))
    assert found.code == "IMAGE_UNREADABLE"
    assert "dng" in found.message


def test_a_file_without_bytes_is_unreadable() -> None:
    found = refusal(b"")
    assert found.code == "IMAGE_UNREADABLE"
    assert "0 bytes" in found.message


@pytest.mark.parametrize("data", [b"this is no image, whatever its name says", b"%PDF-1.7", bytes(1000)])
def test_what_no_format_begins_like_is_unsupported(data: bytes) -> None:
    assert refusal(data).code == "IMAGE_UNSUPPORTED"


def png(*chunks: bytes, side: int = 10) -> bytes:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    pixels = png_chunk(b"IDAT", zlib.compress(bytes(10 * 31)))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + pixels + png_chunk(b"IEND", b"")


@quiet
@pytest.mark.parametrize("side", [20_000, 60_000])
def test_a_png_bomb_is_refused_by_its_header(side: int) -> None:
    found = refusal(png(side=side))
    assert found.code == "IMAGE_TOO_MANY_PIXELS"
    assert f"{side * side:,} pixels" in found.message
    assert refusal(png(side=side), preview=False).code == "IMAGE_TOO_MANY_PIXELS"


@pytest.mark.parametrize("kind", [b"iCCP", b"zTXt", b"iTXt"])
def test_a_bomb_beside_the_pixels_is_not_unpacked(kind: bytes) -> None:
    packed = zlib.compress(bytes(200 << 20))
    body = b"name\0" + (b"\1\0\0\0" if kind == b"iTXt" else b"\0") + packed
    tracemalloc.start()
    found = refusal(png(png_chunk(kind, body)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.code == "IMAGE_UNREADABLE"
    assert peak < 16 << 20


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP"])
def test_exif_that_makes_no_sense_is_remarked_and_the_image_used(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warnings, "showwarning", decode.note)  # pytest has put its own in its place
    endless = b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x12\x01\x03\0\xff\xff\xff\xff\x08\0\0\0" * 3
    found = full(encoded(picture(), name, exif=endless))
    assert (found.width, found.orientation) == (300, None)
    assert {remark.code for remark in found.remarks} == {"IMAGE_METADATA_DAMAGED"}
    assert full(encoded(picture(), "JPEG")).remarks == ()


def test_a_directory_that_points_at_itself_ends() -> None:
    tags = {256: 4, 257: 4, 258: 8, 259: 1, 262: 1, 277: 1, 278: 4}
    packed = {tag: struct.pack("<I" if tag in (256, 257, 278) else "<H", value) for tag, value in tags.items()}
    data = tiff(packed, bytes(16), following=8)
    assert full(data).remarks == ()
    exif = b"Exif\0\0" + tiff({274: struct.pack("<H", 6)}, b"", following=8)
    assert full(encoded(picture(), "JPEG", exif=exif)).orientation == 6


def test_pages_without_end_are_counted_up_to_a_number() -> None:
    tags = {256: 4, 257: 4, 258: 8, 259: 1, 262: 1, 277: 1, 278: 4}
    packed = {tag: struct.pack("<I" if tag in (256, 257, 278) else "<H", value) for tag, value in tags.items()}
    first = tiff(packed, bytes(16))
    first = tiff(packed, bytes(16), following=len(first))
    page = 2 + 12 + 4
    pages = b"".join(
        struct.pack("<HHHIII", 1, 254, 4, 1, 0, len(first) + page * (number + 1)) for number in range(3 * MANY)
    )
    assert f"{MANY:,} pages" in full(first + pages).remarks[0].message


def test_a_gif_of_very_many_frames_is_counted_at_once() -> None:
    data = encoded(Image.new("P", (4, 4)), "GIF")
    frame = b",\0\0\0\0\1\0\1\0\0\2\1\0\0"
    assert "1,000,001 frames" in full(data[:-1] + frame * 1_000_000 + b";").remarks[0].message


def test_an_image_of_one_column_is_refused_unless_anything_is_taken() -> None:
    data = encoded(Image.new("L", (1, 20_000)), "PNG")
    assert refusal(data, min_side=28).code == "IMAGE_TOO_SMALL"
    found = full(data, max_side=4096)
    assert (found.width, found.height) == (1, 20_000)
    assert found.normalised is not None
    assert (found.normalised.width, found.normalised.height) == (1, 4096)
    assert shown(found.preview).size == (1, 256)


def test_the_header_alone_does_not_find_what_is_cut_off() -> None:
    data = encoded(picture(), "JPEG")
    found = look(data[: len(data) // 2], min_side=0, preview=False)
    assert (found.width, found.height, found.preview) == (300, 200, None)
