"""Ranges, tags and headers of single images, as RFC 9110 has them."""

import pytest

from framehouse.runtime.errors import ServiceError
from framehouse.store.signed_urls import Target
from services.gateway.images import byte_range, headers_of, is_known


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", None),
        ("bytes=0-", (0, 100)),
        ("bytes=0-0", (0, 1)),
        ("bytes=10-19", (10, 20)),
        ("Bytes=10-19 ", (10, 20)),
        ("bytes=90-1000", (90, 100)),
        ("bytes=-1", (99, 100)),
        ("bytes=-1000", (0, 100)),
        # What is no range, or several, is answered with the whole.
        ("bytes=-", None),
        ("bytes=20-10", None),
        ("bytes=0-1,5-6", None),
        ("items=0-1", None),
        ("bytes=a-b", None),
        ("bytes=0-" + "9" * 5000, None),
    ],
)
def test_a_range_is_read_as_the_rfc_says(header: str, expected: tuple[int, int] | None) -> None:
    assert byte_range(header, 100) == expected


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_a_range_beyond_the_end_is_an_error(header: str) -> None:
    with pytest.raises(ServiceError, match="the image has 100 bytes"):
        byte_range(header, 100)


@pytest.mark.parametrize(
    ("header", "known"),
    [
        (None, False),
        ('"abc"', True),
        ('W/"abc"', True),
        ('"x", "abc"', True),
        ("*", True),
        ('"x"', False),
        ("abc", False),
    ],
)
def test_a_tag_that_the_caller_has_is_known(header: str | None, known: bool) -> None:
    assert is_known(header, "abc") is known


def test_a_strange_file_name_stays_inside_its_header() -> None:
    what = Target("packs/a", 0, 5, 5, 0, None, "image/png", "abc", 'a"\r\nset-cookie: b=1;é\\.svg', 1_000)
    headers = headers_of(what, now=400.5)
    disposition = headers["content-disposition"]
    assert disposition.startswith('inline; filename="a___set-cookie: b=1;__.svg"; filename*=UTF-8')
    assert disposition.isprintable()
    assert disposition.isascii()
    assert headers["cache-control"] == "private, max-age=600, immutable"
    assert headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in headers["content-security-policy"]
