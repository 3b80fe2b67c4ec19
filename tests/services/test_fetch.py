"""Uploads that the suite fetches itself, from a web server and from a second bucket, and small ones in one call."""

import asyncio
import io
import json
import os
import subprocess
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import minio
import pytest
import urllib3
from google.longrunning import operations_pb2

from framehouse.cli.stack.state import StackInfo
from framehouse.client import Client
from framehouse.client.connection import Connection
from framehouse.client.errors import Cancelled, FailedPrecondition, InvalidArgument, NotFound, PermissionDenied
from framehouse.runtime.config import Settings, settings
from framehouse.store.bucket import Bucket
from framehouse.store.packs import read_entries
from framehouse.store.sources import index_archive
from framehouse.v1 import ingest_pb2
from tests.samples import draw_dataset

Framehouse = Callable[..., subprocess.CompletedProcess[str]]
Upload = ingest_pb2.Upload


class Site:
    """A web server on loopback: files by their path, each bytes or a function of the request."""

    def __init__(self) -> None:
        self.files: dict[str, bytes | Callable[[BaseHTTPRequestHandler], None]] = {}
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                found = site.files.get(self.path.partition("?")[0])
                if callable(found):
                    found(self)
                    return
                self.send_response(404 if found is None else 200)
                self.send_header("Content-Length", str(len(found or b"")))
                if self.path.startswith("/typed"):
                    self.send_header("Content-Type", "image/jpeg")
                self.end_headers()
                self.wfile.write(found or b"")

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    site = Site()
    thread = threading.Thread(target=site.server.serve_forever, args=(0.01,))
    thread.start()
    yield site
    site.server.shutdown()
    thread.join()
    site.server.server_close()


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A dataset's files by their path."""
    folder = tmp_path_factory.mktemp("drawn")
    draw_dataset(folder, images=6, seed=21)
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def other(stack: StackInfo) -> Iterator[minio.Minio]:
    """A second bucket of the suite's store, `elsewhere`, which the suite may fetch from."""
    own = settings()
    keys = {"access_key": own.store_access_key, "secret_key": own.store_secret_key.get_secret_value()}
    client = minio.Minio(own.store_endpoint, **keys, secure=False)
    client.make_bucket("elsewhere")
    place = {"bucket": "elsewhere", "endpoint": own.store_endpoint, "secure": False}
    Path(os.environ["FRAMEHOUSE_S3_SOURCES_FILE"]).write_text(json.dumps([place | keys]))
    yield client
    Path(os.environ["FRAMEHOUSE_S3_SOURCES_FILE"]).unlink()


def zip_of(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def key_of(upload: Upload) -> str:
    return f"packs/{upload.name.removeprefix('uploads/')}"


def contents(bucket: Bucket, upload: Upload) -> tuple[dict[str, bytes], list[dict[str, Any]]]:
    """The files of an upload, and the issues that an import of it will find."""
    table, log = index_archive(bucket, key_of(upload), Settings())
    paths = table["path"].to_pylist()
    files = {}
    for row, entry in read_entries(bucket, table):
        assert not entry.damage
        files[paths[row]] = entry.data
    return files, log.table().to_pylist()


def test_a_list_of_urls_is_an_upload_and_what_is_missing_an_issue(
    site: Site, client: Client, bucket: Bucket, drawn: dict[str, bytes]
) -> None:
    large = os.urandom(9 << 20)
    site.files = {f"/set/{path}": data for path, data in drawn.items()} | {"/set/large.bin": large}
    # Its length alone is enough to refuse it.
    site.files["/huge.jpg"] = lambda handler: (
        handler.send_response(200),
        handler.send_header("Content-Length", str(60 << 20)),
        handler.end_headers(),
    )[0]
    urls = [f"{site.url}{path}?signature=SECRET" for path in site.files]
    bad = [f"{site.url}/set/gone.jpg?signature=SECRET", "http://169.254.169.254/latest?t=SECRET", "ftp://a/b.jpg"]
    upload = client.fetch_upload([*urls, *bad, urls[0]])
    assert upload.state == ingest_pb2.UPLOAD_STATE_COMPLETE
    files, issues = contents(bucket, upload)
    assert files == {f"127.0.0.1/set/{path}": data for path, data in drawn.items()} | {"127.0.0.1/set/large.bin": large}
    assert upload.size == sum(map(len, files.values()))
    found = {(issue["code"], issue["path"]): issue["message"] for issue in issues}
    assert found.keys() == {
        ("FETCH_FAILED", "127.0.0.1/huge.jpg"),
        ("FETCH_FAILED", "127.0.0.1/set/gone.jpg"),
        ("FETCH_REFUSED", "169.254.169.254/latest"),
        ("FETCH_REFUSED", "ftp://a/b.jpg"),
    }
    assert "the server answers 404 Not Found" in found["FETCH_FAILED", "127.0.0.1/set/gone.jpg"]
    assert "at most 52,428,800 are taken" in found["FETCH_FAILED", "127.0.0.1/huge.jpg"]
    assert "SECRET" not in str(issues) + upload.file_name
    assert list(bucket.keys(f"jobs/{upload.name.removeprefix('uploads/')}")) == []


def test_the_command_imports_a_list_of_urls(
    site: Site, framehouse: Framehouse, drawn: dict[str, bytes], unique_name: str, tmp_path: Path
) -> None:
    site.files = {f"/{path}": data for path, data in drawn.items()}
    urls = tmp_path / "urls.txt"
    urls.write_text("# a list\n" + "".join(f"{site.url}{path}\n" for path in [*site.files, "/gone.jpg"]))
    ended = framehouse("import", "--urls", str(urls), "--name", unique_name, "--json")
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.startswith("files: ")
    made = json.loads(ended.stdout)
    assert made["dataset"]["imageCount"] == 6
    assert {one["code"]: one["count"] for one in made["issueCounts"] if one["code"].startswith("FETCH")} == {
        "FETCH_FAILED": 1
    }


def test_files_of_one_path_keep_apart_and_get_the_extension_of_their_type(
    site: Site, client: Client, bucket: Bucket
) -> None:
    site.files = {"/typed": b"one", "/typed/a.jpg": b"two", "/typed/": b"three", "/..%2fescape.jpg": b"four"}
    upload = client.fetch_upload([f"{site.url}{path}" for path in ("/typed?id=1", "/typed?id=2", *site.files)])
    files, issues = contents(bucket, upload)
    assert files == {
        "typed.jpeg": b"one",
        "typed (2).jpeg": b"one",
        "typed (3).jpeg": b"one",
        "typed (4).jpeg": b"three",
        "typed/a.jpg": b"two",
    }
    assert [issue["code"] for issue in issues] == ["ENTRY_NAME_ESCAPES"]


def test_one_url_of_an_archive_is_the_archive(
    site: Site, client: Client, bucket: Bucket, drawn: dict[str, bytes]
) -> None:
    archive = zip_of(drawn)
    site.files = {"/download": archive, "/image.jpg": drawn["images/train/000000.jpg"], "/page.zip": b"<html>sign in"}
    upload = client.fetch_upload([f"{site.url}/download?token=SECRET"])
    assert (bucket.get(key_of(upload)), upload.size) == (archive, len(archive))
    assert contents(bucket, upload) == (drawn, [])
    assert list(contents(bucket, client.fetch_upload([f"{site.url}/image.jpg"]))[0]) == ["image.jpg"]
    page = client.fetch_upload([f"{site.url}/page.zip"])
    with pytest.raises(Exception, match="looks like a web page"):
        contents(bucket, page)


def test_nothing_fetched_is_an_error(site: Site, client: Client) -> None:
    site.files = {}
    with pytest.raises(FailedPrecondition, match=r"/a\.zip could not be fetched: the server answers 404") as failed:
        client.fetch_upload([f"{site.url}/a.zip?signature=SECRET"])
    assert (failed.value.reason, "SECRET" in str(failed.value)) == ("FETCH_FAILED", False)
    with pytest.raises(PermissionDenied, match="no link-local address"):
        client.fetch_upload(["http://169.254.169.254/latest/meta-data"])
    with pytest.raises(InvalidArgument, match="nothing to fetch"):
        client.fetch_upload([])


def test_many_urls_are_fetched_in_runs(site: Site, client: Client, bucket: Bucket) -> None:
    names = [f"/{'deep/' * 400}{number:04d}.txt" for number in range(600)]  # more than goes along with a job
    site.files = {name: name.encode() for name in names}
    stages: dict[str, tuple[int, int]] = {}
    upload = client.fetch_upload(
        [site.url + name for name in names],
        report=lambda progress: stages.update({progress.stage: (progress.done, progress.total)}),
    )
    assert contents(bucket, upload)[0] == {name[1:]: name.encode() for name in names}
    assert stages == {"files": (600, 600), "fetched": (upload.size, upload.size)}
    assert len({key[:48] for key in bucket.keys(f"{key_of(upload)}-")}) == 3


def test_a_prefix_of_a_listed_bucket_is_an_upload(
    other: minio.Minio, client: Client, bucket: Bucket, drawn: dict[str, bytes]
) -> None:
    def put(key: str, data: bytes) -> None:
        other.put_object("elsewhere", key, io.BytesIO(data), len(data))

    for path, data in drawn.items():
        put(f"sets/one/{path}", data)
    put("sets/one/.DS_Store", b"litter")
    put("sets/one-more/a.txt", b"not under the prefix")
    upload = client.upload("s3://elsewhere/sets/one")
    assert contents(bucket, upload) == (drawn, [])

    archive = zip_of(drawn)
    put("one.zip", archive)
    assert bucket.get(key_of(client.fetch_upload(s3_prefix="s3://elsewhere/one.zip"))) == archive
    with pytest.raises(InvalidArgument, match="there is no object under s3://elsewhere/none"):
        client.fetch_upload(s3_prefix="s3://elsewhere/none")


def test_a_bucket_that_is_not_listed_is_not_fetched_from(other: minio.Minio, client: Client) -> None:
    with pytest.raises(PermissionDenied, match="'framehouse' is not among those") as refused:
        client.fetch_upload(s3_prefix="s3://framehouse/packs")
    assert refused.value.reason == "S3_SOURCE_NOT_ALLOWED"


def test_a_cancelled_fetch_leaves_nothing(site: Site, client: Client, bucket: Bucket, stack: StackInfo) -> None:
    release = threading.Event()
    site.files = {f"/{number}": b"data" for number in range(200)}
    site.files["/slow"] = lambda _: release.wait(60)  # type: ignore[assignment,return-value]
    request = ingest_pb2.FetchUploadRequest(urls=ingest_pb2.UrlList(urls=[site.url + name for name in site.files]))

    async def start() -> operations_pb2.Operation:
        connection = Connection(stack.address, 10)
        try:
            path = "/framehouse.v1.IngestService/FetchUpload"
            return await connection.call(path, request, operations_pb2.Operation)
        finally:
            await connection.close()

    job = asyncio.run(start()).name.removeprefix("jobs/")
    try:
        deadline = time.monotonic() + 20
        while bucket.size(f"packs/{job}-0000-0000") is None and time.monotonic() < deadline:
            time.sleep(0.05)
        assert bucket.size(f"packs/{job}-0000-0000") is not None
        client.cancel_job(f"jobs/{job}")
        with pytest.raises(Cancelled):
            client.wait(f"jobs/{job}")
        assert [*bucket.keys(f"packs/{job}"), *bucket.keys(f"jobs/{job}")] == []
    finally:
        release.set()
    with pytest.raises(NotFound):
        client.import_dataset(Upload(name=f"uploads/{job}"), "never")


def test_a_small_upload_goes_in_one_call(
    client: Client, bucket: Bucket, drawn: dict[str, bytes], stack: StackInfo
) -> None:
    archive = zip_of(drawn)
    over_grpc = client.send_upload(archive, "drawn.zip")
    assert (over_grpc.state, over_grpc.file_name) == (ingest_pb2.UPLOAD_STATE_COMPLETE, "drawn.zip")
    assert bucket.get(key_of(over_grpc)) == archive
    largest = bytes(16 << 20)
    assert bucket.size(key_of(client.send_upload(largest))) == len(largest)
    with pytest.raises(InvalidArgument, match="more than 16,777,216 bytes"):
        client.send_upload(largest + b"0")
    with pytest.raises(InvalidArgument, match="no bytes were sent"):
        client.send_upload(b"")


def test_a_small_upload_goes_over_http_too(bucket: Bucket, stack: StackInfo) -> None:
    url = f"http://{stack.addresses['http']}/v1/uploads:send"
    answer = urllib3.request("POST", url, json={"fileName": "a.zip", "data": "UEsFBg=="})
    assert (answer.status, answer.json()["state"]) == (200, "UPLOAD_STATE_COMPLETE")
    assert bucket.get(f"packs/{answer.json()['name'].removeprefix('uploads/')}") == b"PK\5\6"
