"""An upload that is cut off goes on where it stopped, and never with another source's bytes."""

import asyncio
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from framehouse.cli.stack.state import StackInfo
from framehouse.client import Client, transfer
from framehouse.client.errors import FailedPrecondition, Unavailable
from framehouse.client.packing import open_source
from framehouse.client.progress import Progress
from framehouse.store.bucket import Bucket
from framehouse.v1 import ingest_pb2
from tests.samples import photo_archive

COMMAND = str(Path(sys.executable).with_name("framehouse"))
PART = 16 << 20


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for what the client remembers."""
    monkeypatch.setenv("FRAMEHOUSE_STATE", str(tmp_path / "state"))
    return tmp_path / "state" / "uploads"


def zip_of(path: Path, size: int) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("data.bin", os.urandom(size))
    return path


class CutOff(Exception):
    """What a report raises in the middle of an upload."""


def cut_off(client: Client, source: Path) -> None:
    """Uploads until the first part is there."""

    def report(progress: Progress) -> None:
        if progress.done:
            raise CutOff

    with pytest.raises(CutOff):
        client.upload(source, report)


def upload(client: Client, source: Path) -> tuple[ingest_pb2.Upload, int, str]:
    """The complete upload, the bytes that were sent for it, and what was said at its beginning."""
    told: list[Progress] = []
    done = client.upload(source, told.append)
    assert (told[-1].done, told[-1].ended) == (done.size, True)
    return done, told[-1].done - told[0].done, told[0].note


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def md5_in_store(bucket: Bucket, done: ingest_pb2.Upload) -> str:
    return md5(bucket.get(f"packs/{done.name.removeprefix('uploads/')}"))


def test_a_zip_is_resumed(client: Client, bucket: Bucket, tmp_path: Path, state: Path) -> None:
    archive = zip_of(tmp_path / "cars.zip", 4 * PART)  # one part more than are sent at once
    cut_off(client, archive)
    (remembered,) = state.iterdir()
    assert remembered.stat().st_mode & 0o777 == 0o600

    done, sent, note = upload(client, archive)
    assert 0 < sent < done.size
    assert note == f"resuming: {5 - -(-sent // PART)} of 5 parts are there"
    assert md5_in_store(bucket, done) == md5(archive.read_bytes())
    assert list(state.iterdir()) == []


def test_a_folder_is_resumed(client: Client, bucket: Bucket, tmp_path: Path, state: Path) -> None:
    folder = tmp_path / "cars"
    folder.mkdir()
    for number in range(4):
        (folder / f"{number}.bin").write_bytes(os.urandom(5 << 20))
    cut_off(client, folder)
    done, sent, note = upload(client, folder)
    assert (sent < done.size, note[:10]) == (True, "resuming: ")
    assert md5_in_store(bucket, done) == md5(b"".join(open_source(folder).chunks()))


@pytest.mark.parametrize("same_time", [False, True])
def test_a_source_that_changed_is_sent_anew(
    client: Client, bucket: Bucket, tmp_path: Path, state: Path, same_time: bool
) -> None:
    archive = zip_of(tmp_path / "cars.zip", 1000)
    before = archive.stat()
    cut_off(client, archive)
    zip_of(archive, 1000)
    if same_time:
        os.utime(archive, ns=(before.st_atime_ns, before.st_mtime_ns))
    done, _, note = upload(client, archive)
    assert note.startswith("resuming") == same_time
    assert md5_in_store(bucket, done) == md5(archive.read_bytes())


@pytest.mark.parametrize("remembered", ["{", json.dumps({"upload": f"uploads/{'0' * 32}", "fingerprint": ""})])
def test_an_upload_that_is_gone_is_begun_anew(client: Client, tmp_path: Path, state: Path, remembered: str) -> None:
    archive = zip_of(tmp_path / "cars.zip", 1000)
    cut_off(client, archive)
    (file,) = state.iterdir()
    file.write_text(remembered)
    done, sent, note = upload(client, archive)
    assert (sent, note) == (done.size, "")


def test_ctrl_c_keeps_what_was_sent(
    stack: StackInfo, client: Client, tmp_path: Path, state: Path, unique_name: str
) -> None:
    photo_archive(tmp_path / "photos.zip", images=2, kilobytes=60)
    with zipfile.ZipFile(tmp_path / "photos.zip", "a") as file, file.open("filler.bin", "w") as filler:
        for _ in range(8):
            filler.write(bytes(PART))

    def parts_are_there() -> bool:
        for file in state.glob("*.json"):
            if text := file.read_text():
                url = f"http://{stack.addresses['http']}/v1/{json.loads(text)['upload']}"
                with urllib.request.urlopen(url) as answer:
                    return any(part.get("etag") for part in json.load(answer)["parts"])
        return False

    command = [COMMAND, "import", str(tmp_path / "photos.zip"), "--name", unique_name]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as importing:
        while not parts_are_there():
            assert importing.poll() is None
            time.sleep(0.01)
        importing.send_signal(signal.SIGINT)
        _, errors = importing.communicate(timeout=30)
    assert (importing.returncode, errors.splitlines()[-1]) == (
        130,
        "framehouse: cancelled; what was sent is kept, and the same command goes on where it stopped",
    )
    again = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert again.returncode == 0, again.stderr
    assert re.match(r"resuming: [1-9]\d* of 9 parts are there\n", again.stderr)
    assert client.get_dataset(unique_name).image_count == 2


def send(data: bytes, url: str, renewed: str = "") -> list[str]:
    """Sends one part; where its URL has ended, to another."""

    async def renew() -> list[ingest_pb2.UploadPart]:
        return [ingest_pb2.UploadPart(number=1, url=renewed)]

    parts = [ingest_pb2.UploadPart(number=1, url=url)]
    return asyncio.run(transfer.send_parts(iter([data]), parts, renew, lambda size: None))


def test_urls_that_have_ended_are_renewed(bucket: Bucket, unique_name: str) -> None:
    key = f"test/{unique_name}"
    ended = bucket.presign_put(key, 1)
    time.sleep(1.1)
    with pytest.raises(FailedPrecondition, match="403"):
        send(b"hello", ended, ended)
    assert send(b"hello", ended, bucket.presign_put(key, 60)) == [md5(b"hello")]
    assert bucket.get(key) == b"hello"


class PoorStore(ThreadingHTTPServer):
    """A store that goes through a plan of failures, and stays with the last: no real one does so when it is asked."""

    plan: list[str]


class PoorStoreHandler(BaseHTTPRequestHandler):
    server: PoorStore

    def do_PUT(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        plan = self.server.plan
        now = plan.pop(0) if len(plan) > 1 else plan[0]
        self.send_response(503 if now == "away" else 200)
        self.send_header("ETag", f'"{md5(data[1:] if now == "loses" else data)}"')
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def poor_store() -> Iterator[PoorStore]:
    with PoorStore(("127.0.0.1", 0), PoorStoreHandler) as store:
        Thread(target=store.serve_forever, daemon=True).start()
        yield store
        store.shutdown()


def test_a_part_is_sent_until_its_very_bytes_are_there(poor_store: PoorStore, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"http://127.0.0.1:{poor_store.server_port}/part"
    poor_store.plan = ["away", "away", "loses", "well"]
    assert send(b"hello", url) == [md5(b"hello")]
    poor_store.plan = ["loses"]
    with pytest.raises(FailedPrecondition, match="other bytes than were sent"):
        send(b"hello", url)
    poor_store.plan = ["away"]
    monkeypatch.setattr(transfer, "PATIENCE_SECONDS", 0.5)
    with pytest.raises(Unavailable, match="does not answer: sending was answered with 503"):
        send(b"hello", url)
