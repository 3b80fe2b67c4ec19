"""What the bucket says when there is no store, and what it signs without one."""

from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import SecretStr

from framehouse.runtime import errors
from framehouse.runtime.config import Settings
from framehouse.store.bucket import Bucket

NOBODY = Settings(store_endpoint="127.0.0.1:1", store_secret_key=SecretStr("secret"))


def test_a_store_that_does_not_answer_is_unavailable() -> None:
    bucket = Bucket(NOBODY)
    for call in (
        lambda: bucket.get("a"),
        lambda: bucket.size("a"),
        lambda: bucket.put("a", b""),
        lambda: list(bucket.keys("a")),
        bucket.ensure_bucket,
    ):
        with pytest.raises(errors.Unavailable, match=r"object store at 127\.0\.0\.1:1 does not answer") as failure:
            call()
        assert failure.value.status().details
        assert "0x" not in failure.value.text


def test_signed_urls_name_the_public_address_and_need_no_store() -> None:
    bucket = Bucket(NOBODY.model_copy(update={"store_public_endpoint": "files.example.org:9000"}))
    url = urlsplit(bucket.presign_get("exports/a.zip", 60, "grün.zip"))
    assert (url.netloc, url.path) == ("files.example.org:9000", "/framehouse/exports/a.zip")
    assert parse_qs(url.query)["response-content-disposition"] == [
        "attachment; filename=\"gr_n.zip\"; filename*=UTF-8''gr%C3%BCn.zip"
    ]
    part = parse_qs(urlsplit(bucket.presign_part("packs/a", "id", 3, 60)).query)
    assert (part["partNumber"], part["uploadId"], part["X-Amz-Expires"]) == (["3"], ["id"], ["60"])


def test_a_missing_secret_is_said() -> None:
    with pytest.raises(errors.FailedPrecondition, match="FRAMEHOUSE_STORE_SECRET_KEY"):
        Bucket(NOBODY.model_copy(update={"store_secret_key": SecretStr("")}))
