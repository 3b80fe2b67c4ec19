"""What is read of plain headers, many at once, is what Pillow says of each; all else is left to it."""

import io
import random
import struct
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from services.media import headers
from services.media.decode import look
from services.media.findings import Unusable
from tests.unit.media.pictures import ALL_FORMATS, example

MODES = {"png": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"), "jpeg": ("L", "RGB", "CMYK")}

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")

Told = tuple[str, int, int] | None


def saved(mode: str, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.new(mode, (37, 23)).save(file, format, **options)
    return file.getvalue()


def plain(*data: bytes) -> list[Told]:
    found = headers.plain(data)
    return [
        (headers.FORMATS[format], width, height) if format >= 0 else None
        for format, width, height in zip(*(column.tolist() for column in found), strict=True)
    ]


def by_pillow(data: bytes) -> Told:
    picture = look(data, min_side=0, preview=False)
    assert picture.orientation is None
    assert picture.remarks == ()
    return picture.format, picture.width, picture.height


PLAIN = [saved(mode, format) for format, modes in MODES.items() for mode in modes] + [
    saved("RGB", "jpeg", progressive=True),
    saved("RGB", "jpeg", optimize=True, quality=100, dpi=(72, 72)),
    saved("RGB", "jpeg", icc_profile=b"profile", comment="yes"),
    saved("RGB", "png", icc_profile=b"profile", dpi=(72, 72)),
    saved("P", "png", transparency=0),
]


def test_plain_files_are_told_as_pillow_does() -> None:
    assert plain(*PLAIN) == [by_pillow(data) for data in PLAIN]
    assert {told[1:] for told in plain(*PLAIN) if told} == {(37, 23)}
    assert plain() == []


@pytest.mark.parametrize(
    "body", [b"name\0\5" + zlib.compress(b"x"), b"name", b"", b"a\0\0" + zlib.compress(bytes(2 << 20))]
)
def test_a_profile_that_no_decoder_takes_spoils_the_file_for_headers_too(body: bytes) -> None:
    data = saved("RGB", "png")
    assert plain(data) == [("png", 37, 23)]
    chunk = struct.pack(">I", len(body)) + b"iCCP" + body + struct.pack(">I", zlib.crc32(b"iCCP" + body))
    spoiled = data[:33] + chunk + data[33:]
    assert plain(spoiled) == [None]
    with pytest.raises(Unusable, match="is corrupted"):
        by_pillow(spoiled)


def test_what_may_turn_an_image_or_hold_others_is_left() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    text = PngInfo()
    text.add_itxt("XML:com.adobe.xmp", "<x/>")
    left = [
        saved("RGB", "jpeg", exif=exif),
        saved("RGB", "png", exif=exif),
        saved("RGB", "png", pnginfo=text),
        saved("RGB", "mpo", save_all=True, append_images=[Image.new("RGB", (9, 9))]),
        *(example(format, 48, 32) for format in ALL_FORMATS if format not in MODES),
        b"",
    ]
    assert plain(*left) == [None] * len(left)


def test_a_header_that_is_long_is_left() -> None:
    assert plain(saved("RGB", "jpeg", icc_profile=bytes(headers.LOOKED_AT))) == [None]
    assert plain(saved("RGB", "png", icc_profile=random.Random(1).randbytes(headers.LOOKED_AT))) == [None]


@pytest.mark.parametrize("format", ["png", "jpeg"])
def test_damage_before_the_pixels_is_left(format: str) -> None:
    data = saved("RGB", format)
    pixels = data.index(b"IDAT" if format == "png" else b"\xff\xda")
    assert not any(plain(*(data[:length] for length in range(pixels))))
    if format == "png":
        assert not any(plain(*(data[:i] + bytes([data[i] ^ 0x40]) + data[i + 1 :] for i in range(pixels - 4))))


@pytest.mark.parametrize("data", PLAIN[3::3])
def test_a_header_with_any_byte_changed_is_left_or_told_as_pillow_does(data: bytes) -> None:
    spoilt = [
        data[:place] + bytes([value]) + data[place + 1 :]
        for place in range(min(len(data), 700))
        for value in (0, 1, 0x7F, 0xFF, data[place] ^ 1)
    ]
    assert all(told is None or told == by_pillow(one) for one, told in zip(spoilt, plain(*spoilt), strict=True))


@settings(max_examples=100, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(
    files=st.lists(st.sampled_from([*PLAIN, *(example(format, 48, 32) for format in ALL_FORMATS)]), max_size=12),
    seed=st.integers(0, 1 << 32),
)
def test_files_cut_off_or_spoilt_among_others_are_left_or_told_as_pillow_does(files: list[bytes], seed: int) -> None:
    chance = random.Random(seed)
    spoilt = []
    for data in files:
        changed = bytearray(
            data[: chance.choice([len(data), len(data), chance.randrange(700), chance.randrange(9000)])]
        )
        for _ in range(chance.choice([0, 0, 1, 2, 5]) if changed else 0):
            changed[chance.randrange(min(len(changed), 700))] = chance.choice([0, 1, 0x7F, 0xFF, chance.randrange(256)])
        spoilt.append(bytes(changed))
    for data, told in zip(spoilt, plain(*spoilt), strict=True):
        assert told is None or told == by_pillow(data)
