"""A signed URL says what it serves and until when, and cannot be made to say anything else."""

import base64

import msgspec
import pytest

from framehouse.runtime.config import Settings
from framehouse.store import signed_urls
from framehouse.store.signed_urls import STEP_SECONDS, Refused, end_of_life, sign, target, verify

KEY = b"a key of this test"
PLACE = {"object": "packs/0b5e", "offset": 163, "stored_size": 80, "size": 90, "method": 8, "crc32": 357671955}
IMAGE = target(PLACE, "image/jpeg", "83a1bf35", "train/café.jpg", 2_000)


def test_a_token_comes_back_as_it_was_signed() -> None:
    token = sign(IMAGE, KEY)
    assert verify(token, KEY, now=1_999) == IMAGE
    assert IMAGE.file_name == "café.jpg"
    assert token == sign(IMAGE, KEY)
    assert len(token) < 250
    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")


def test_its_time_ends() -> None:
    with pytest.raises(Refused, match="ask GetImage for a new one") as refused:
        verify(sign(IMAGE, KEY), KEY, now=2_000)
    assert refused.value.reason == "URL_EXPIRED"


def test_every_change_of_it_is_refused() -> None:
    token = sign(IMAGE, KEY)
    payload, mac = token.split(".")
    other = base64.urlsafe_b64encode(msgspec.msgpack.encode(msgspec.structs.replace(IMAGE, end=9_999))).decode()
    forged = [f"{other.rstrip('=')}.{mac}", f"{payload}.", payload, f".{mac}", "", "é.é", f"{payload}.{mac[:-4]}"]
    forged += [token[:i] + ("A" if token[i] != "A" else "B") + token[i + 1 :] for i in range(len(token))]
    for text in forged:
        with pytest.raises(Refused) as refused:
            verify(text, KEY, now=0)
        assert refused.value.reason == "URL_SIGNATURE_WRONG"
    with pytest.raises(Refused):
        verify(token, b"another key", now=0)


@pytest.mark.parametrize(
    "key", ["tables/0b.lance/data", "exports/1/a.zip", "packs/../exports/1", "packs/", "packsx/1", "/packs/1", ""]
)
def test_nothing_but_packs_and_derived_objects_is_signed(key: str) -> None:
    with pytest.raises(ValueError, match="not to be served"):
        sign(msgspec.structs.replace(IMAGE, object=key), KEY)


def test_a_range_without_hash_gets_a_tag_of_its_checksum() -> None:
    assert target(PLACE, "image/webp", "", "a.webp", 1).etag == "1551a413-5a"
    assert target(PLACE | {"crc32": None}, "image/webp", "", "a.webp", 1).etag == "00000000-5a"


def test_ends_are_the_same_for_some_minutes_and_never_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signed_urls, "settings", lambda: Settings(image_url_expiry_seconds=3_600))
    ends = {end_of_life(now) for now in range(300_000, 300_000 + STEP_SECONDS, 10)}
    assert ends == {303_600, 303_900}
    assert all(3_600 <= end_of_life(now) - now < 3_600 + STEP_SECONDS for now in range(300_000, 301_000, 7))


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({}, "http://127.0.0.1:8080"),
        ({"host": "0.0.0.0", "http_port": 81}, "http://127.0.0.1:81"),
        ({"host": "::"}, "http://[::1]:8080"),
        ({"public_url": "https://data.example.com/fh/"}, "https://data.example.com/fh"),
    ],
)
def test_urls_begin_with_the_address_that_clients_see(
    given: dict[str, object], url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = {"host": "127.0.0.1", "http_port": 8080, "public_url": "", **given}
    monkeypatch.setattr(signed_urls, "settings", lambda: Settings(**fields))  # type: ignore[arg-type]
    assert signed_urls.public_url() == url
