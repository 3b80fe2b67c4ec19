"""What the bucket says when there is no store, and what it signs without one."""

from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import SecretStr

from framehouse.runtime import errors
from framehouse.runtime.config import Settings
from framehouse.store import bucket as bucket_module
from framehouse.store.bucket import Bucket
from tests.unit.formats.whole_way import Shelf

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


def test_a_store_whose_disk_is_full_is_told_from_one_that_is_away() -> None:
    class Full(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.send_response(500)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Full) as server, ThreadPoolExecutor(1) as thread:
        thread.submit(server.serve_forever, 0.05)
        bucket = Bucket(NOBODY.model_copy(update={"store_endpoint": f"127.0.0.1:{server.server_port}"}))
        with pytest.raises(errors.Unavailable, match="its disk is full, so make room there"):
            bucket.put("a", b"")
        server.shutdown()


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


def test_a_body_that_breaks_off_is_read_on_from_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket_module, "READ_PIECE", 50)
    data = bytes(range(200))
    asked: list[str] = []

    class Breaking(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers["Range"])
            first, last = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
            body = data[first : last + 1]
            self.send_response(206)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[:70])

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Breaking) as server, ThreadPoolExecutor(1) as thread:
        thread.submit(server.serve_forever, 0.05)
        bucket = Bucket(NOBODY.model_copy(update={"store_endpoint": f"127.0.0.1:{server.server_port}"}))
        buffer = bytearray(170)
        assert bucket.read_into("a", 10, memoryview(buffer)) == 170
        assert (buffer, asked) == (data[10:180], ["bytes=10-179", "bytes=60-179", "bytes=110-179"])
        monkeypatch.setattr(bucket_module, "READ_PIECE", 100)  # of which none ever arrives
        with pytest.raises(errors.Unavailable):
            bucket.read_into("a", 0, memoryview(buffer))
        server.shutdown()


def test_parts_are_sent_from_the_same_few_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket_module, "PART_SIZE", 100)
    buffers: dict[int, object] = {}

    class Watching(Shelf):
        def put_part(self, key: str, upload_id: str, number: int, data: memoryview) -> str:
            sent = memoryview(data).obj
            buffers[id(sent)] = sent
            return super().put_part(key, upload_id, number, data)

    shelf, data = Watching(), bytes(range(250)) * 20
    with shelf.writer("a") as writer:
        for start in range(0, len(data), 37):
            writer.write(data[start : start + 37])
    assert shelf.get("a") == data
    assert len(buffers) <= bucket_module.PARTS_IN_FLIGHT + 1
