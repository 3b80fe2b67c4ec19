"""Bytes of anybody's: whatever they are, they are a picture or have a code, soon and in little memory."""

import resource
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.media.decode import Picture, look
from services.media.findings import Unusable
from tests.unit.media.pictures import ALL_FORMATS, example

SMALL = {name: example(name, 48, 32) for name in ALL_FORMATS}
SECONDS = 5.0
BYTES = 600 << 20
"""Of memory, for files of a few kilobytes, which may announce the pixels that the settings allow."""

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")


@st.composite
def spoilt(draw: st.DrawFn, data: bytes) -> bytes:
    """A file with some of its bytes changed, mostly of its header, and perhaps cut off or longer."""
    result = bytearray(data)
    places = st.integers(0, min(len(data), 400) - 1) | st.integers(0, len(data) - 1)
    values = st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]) | st.integers(0, 255)
    for place, value in draw(st.lists(st.tuples(places, values), min_size=1, max_size=12)):
        result[place] = value
    end = draw(st.sampled_from([len(data)] * 4 + [len(data) // 2, len(data) - 1]))
    return bytes(result[:end]) + draw(st.sampled_from([b"", b"", bytes(100)]))


@pytest.mark.parametrize("name", ALL_FORMATS)
@settings(max_examples=40, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_spoilt_image_is_a_picture_or_has_a_code(name: str, data: st.DataObject) -> None:
    spoiled = data.draw(spoilt(SMALL[name]))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    try:
        found = look(spoiled, min_side=0, preview=True, max_side=40)
    except Unusable as refusal:
        assert refusal.code.startswith("IMAGE_")
        assert refusal.message
        assert refusal.remedy
    else:
        assert isinstance(found, Picture)
        assert found.preview
        assert min(found.width, found.height) > 0
    assert time.perf_counter() - began < SECONDS
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10 < BYTES


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(data=st.binary(max_size=200))
def test_any_bytes_at_all_have_a_code(data: bytes) -> None:
    with pytest.raises(Unusable):
        look(data, min_side=0, preview=True)
