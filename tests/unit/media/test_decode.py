"""What is said of one image: its facts, its preview, and what is wrong with it. All images are made here."""

import io
import struct
import warnings
import zlib
from typing import Any

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from services.media import decode
from services.media.decode import Picture, Unusable, is_expected, look

pillow_heif.register_heif_opener()

FORMATS = {
    "jpeg": "JPEG",
    "png": "PNG",
    "webp": "WEBP",
    "bmp": "BMP",
    "tiff": "TIFF",
    "gif": "GIF",
    "jp2": "JPEG2000",
    "heic": "HEIF",
    "avif": "AVIF",
}


def picture(width: int = 300, height: int = 200) -> Image.Image:
    """Noise, so that it does not compress to nothing; the left half red, the right half blue."""
    pixels = np.random.default_rng(0).integers(0, 60, (height, width, 3), dtype=np.uint8)
    pixels[:, : width // 2, 0] += 190
    pixels[:, width // 2 :, 2] += 190
    return Image.fromarray(pixels)


def encoded(image: Image.Image, plugin: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, plugin, **options)
    return file.getvalue()


def full(data: bytes, min_side: int = 0) -> Picture:
    return look(data, min_side=min_side, preview=True)


def refusal(data: bytes, min_side: int = 0, preview: bool = True) -> Unusable:
    with pytest.raises(Unusable) as caught:
        look(data, min_side=min_side, preview=preview)
    return caught.value


def preview_of(data: bytes) -> Image.Image:
    webp = full(data).preview
    assert webp is not None
    return Image.open(io.BytesIO(webp))


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_decoded_and_previewed(name: str) -> None:
    data = encoded(picture(), FORMATS[name])
    found = full(data)
    assert (found.format, found.width, found.height, found.orientation, found.remarks) == (name, 300, 200, None, ())
    preview = preview_of(data).convert("RGB")
    assert preview.size == (256, 171)
    left, right = preview.getpixel((40, 80)), preview.getpixel((216, 80))
    assert left[0] > left[2] + 80
    assert right[2] > right[0] + 80


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("tenths", range(1, 10))
def test_an_image_cut_off_anywhere_is_truncated(name: str, tenths: int) -> None:
    data = encoded(picture(), FORMATS[name])
    cut = data[: len(data) * tenths // 10]
    found = refusal(cut)
    assert found.code == "IMAGE_TRUNCATED"
    assert f"{len(cut):,} bytes" in found.message
    assert found.remedy


@pytest.mark.parametrize("options", [{"compression": "tiff_lzw"}, {"compression": "jpeg"}, {"big_tiff": True}])
def test_a_tiff_cut_off_by_one_byte_is_truncated(options: dict[str, Any]) -> None:
    assert refusal(encoded(picture(), "TIFF", **options)[:-1]).code == "IMAGE_TRUNCATED"


def test_a_large_jpeg_cut_off_is_found_by_its_reduced_decode() -> None:
    data = encoded(picture(2400, 1600), "JPEG")
    assert preview_of(data).size == (256, 171)
    assert refusal(data[:-200]).code == "IMAGE_TRUNCATED"


def test_a_jpeg_whose_rest_is_zeros_is_truncated() -> None:
    data = encoded(picture(), "JPEG")
    half = len(data) // 2
    assert refusal(data[:half] + bytes(len(data) - half)).code == "IMAGE_TRUNCATED"
    assert full(data + bytes(500)).format == "jpeg"


def test_the_header_alone_does_not_find_what_is_cut_off() -> None:
    data = encoded(picture(), "JPEG")
    found = look(data[: len(data) // 2], min_side=0, preview=False)
    assert (found.width, found.height, found.preview) == (300, 200, None)


def test_a_corrupted_image_is_unreadable() -> None:
    data = bytearray(encoded(picture(), "PNG"))
    at = data.index(b"IDAT") + 100
    data[at : at + 50] = bytes(50)
    found = refusal(bytes(data))
    assert found.code == "IMAGE_UNREADABLE"
    assert "png" in found.message


def test_a_file_without_bytes_is_unreadable() -> None:
    found = refusal(b"")
    assert found.code == "IMAGE_UNREADABLE"
    assert "0 bytes" in found.message


@pytest.mark.parametrize("data", [b"this is no image, whatever its name says", b"%PDF-1.7", bytes(1000)])
def test_what_no_format_begins_like_is_unsupported(data: bytes) -> None:
    assert refusal(data).code == "IMAGE_UNSUPPORTED"


def test_a_raw_photograph_is_not_taken_for_the_tiff_that_it_is_wrapped_in() -> None:
    assert refusal(encoded(picture(), "TIFF", tiffinfo={decode.DNG_VERSION: b"\1\4\0\0"})).code == "IMAGE_UNSUPPORTED"


@pytest.mark.parametrize("side", [20_000, 60_000])
def test_a_png_bomb_is_refused_by_its_header(side: int) -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    found = refusal(bomb)
    assert found.code == "IMAGE_TOO_MANY_PIXELS"
    assert f"{side * side:,} pixels" in found.message
    assert refusal(bomb, preview=False).code == "IMAGE_TOO_MANY_PIXELS"


def test_an_image_smaller_than_asked_for_is_refused() -> None:
    data = encoded(picture(300, 27), "PNG")
    assert refusal(data, min_side=28).code == "IMAGE_TOO_SMALL"
    assert full(data, min_side=27).height == 27


def test_a_very_long_image_has_a_preview() -> None:
    assert preview_of(encoded(Image.new("L", (20_000, 1)), "PNG")).size == (256, 1)
    assert preview_of(encoded(picture(1, 2000), "JPEG")).size == (1, 256)


def test_a_small_image_is_not_enlarged() -> None:
    assert preview_of(encoded(picture(40, 30), "PNG")).size == (40, 30)


@pytest.mark.parametrize("plugin", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_an_image_turned_by_exif_is_upright(plugin: str) -> None:
    exif = Image.Exif()
    exif[decode.ORIENTATION] = 6  # the stored top is the right side of what was seen
    stored = picture()
    data = encoded(stored, plugin, exif=exif.tobytes())
    found = full(data)
    assert (found.width, found.height, found.orientation) == (200, 300, 6)
    preview = preview_of(data).convert("RGB")
    assert preview.size == (171, 256)
    top, bottom = preview.getpixel((80, 40)), preview.getpixel((80, 216))
    assert top[0] > top[2] + 80
    assert bottom[2] > bottom[0] + 80


@pytest.mark.parametrize("orientation", range(1, 9))
def test_each_orientation_is_shown_as_pillow_shows_it(orientation: int) -> None:
    from PIL import ImageOps

    exif = Image.Exif()
    exif[decode.ORIENTATION] = orientation
    data = encoded(picture(120, 80), "JPEG", exif=exif, quality=95)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data)))).astype(int)
    shown = np.asarray(preview_of(data).convert("RGB")).astype(int)
    assert shown.shape == expected.shape
    assert abs(shown - expected).mean() < 20


def test_exif_that_makes_no_sense_is_remarked_and_the_image_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warnings, "showwarning", decode.note)  # pytest has put its own in its place
    loop = b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x12\x01\x03\0\xff\xff\xff\xff\x08\0\0\0" * 3
    found = full(encoded(picture(), "JPEG", exif=loop))
    assert (found.width, found.orientation) == (300, None)
    assert any("EXIF" in remark for remark in found.remarks)
    assert full(encoded(picture(), "JPEG")).remarks == ()


@pytest.mark.parametrize("value", [0, 9, 77])
def test_an_orientation_that_does_not_exist_is_none(value: int) -> None:
    exif = Image.Exif()
    exif[decode.ORIENTATION] = value
    assert full(encoded(picture(), "JPEG", exif=exif)).orientation is None


def grey(dtype: Any, factor: float) -> Image.Image:
    return Image.fromarray((np.tile(np.arange(256), (100, 1)) * factor).astype(dtype))


@pytest.mark.parametrize(
    "data",
    [
        encoded(grey(np.uint16, 16), "PNG"),  # 12 bits in a file of 16
        encoded(grey(np.uint16, 257), "TIFF"),
        encoded(grey(np.float32, 1 / 255), "TIFF"),
        encoded(grey(np.int32, -1000), "TIFF"),
        encoded(grey(np.uint8, 1), "PNG"),
    ],
    ids=["png-12-bit", "tiff-16-bit", "tiff-float", "tiff-negative", "grey"],
)
def test_a_preview_shows_the_whole_range_of_values(data: bytes) -> None:
    shown = np.asarray(preview_of(data).convert("L"))
    assert shown.min() < 20
    assert shown.max() > 235


def test_float_pixels_without_a_range_have_a_preview() -> None:
    empty = np.full((50, 60), np.nan, np.float32)
    assert preview_of(encoded(Image.fromarray(empty), "TIFF")).size == (60, 50)


@pytest.mark.parametrize(
    "data",
    [
        encoded(picture().convert("CMYK"), "JPEG"),
        encoded(picture().quantize(16), "PNG"),
        encoded(picture().quantize(16), "GIF"),
        encoded(picture(), "JPEG", progressive=True),
    ],
    ids=["cmyk", "palette", "gif", "progressive"],
)
def test_other_colour_modes_keep_their_colours(data: bytes) -> None:
    left, right = (preview_of(data).convert("RGB").getpixel((x, 80)) for x in (40, 216))
    assert left[0] > left[2] + 80
    assert right[2] > right[0] + 80


def test_transparency_is_kept() -> None:
    image = picture().convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    preview = preview_of(encoded(image, "PNG"))
    assert preview.mode == "RGBA"
    palette = picture().quantize(16)
    assert preview_of(encoded(palette, "PNG", transparency=palette.getpixel((0, 0)))).mode == "RGBA"


def test_an_animation_is_its_first_frame() -> None:
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "blue")]
    for plugin in ("WEBP", "GIF"):
        data = encoded(frames[0], plugin, save_all=True, append_images=frames[1:])
        assert preview_of(data).convert("RGB").getpixel((30, 30))[0] > 200


def test_a_picture_of_several_is_an_mpo() -> None:
    found = full(encoded(picture(), "MPO", save_all=True, append_images=[picture()]))
    assert (found.format, found.width) == ("mpo", 300)


@pytest.mark.parametrize(
    ("path", "format", "expected"),
    [
        ("a/b.jpg", "jpeg", True),
        ("a/b.JPG", "mpo", True),
        ("a/b.jpg", "png", False),
        ("a/b.heif", "avif", True),
        ("a/b.png", "webp", False),
        ("a/b.dat", "png", True),
        ("b", "png", True),
    ],
)
def test_an_extension_promises_a_format(path: str, format: str, expected: bool) -> None:
    assert is_expected(path, format) is expected
