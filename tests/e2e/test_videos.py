"""Videos come in with images: as frames that know their number, from archives, folders, and alone."""

import io
import json
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from framehouse.client import Client
from framehouse.client.errors import FramehouseError
from framehouse.store import tables
from framehouse.store.bucket import Bucket
from framehouse.v1 import ingest_pb2
from tests.samples import draw_dataset
from tests.videos import HEIGHT, WIDTH, draw_video, number_in

Framehouse = Callable[..., subprocess.CompletedProcess[str]]


def rows(dataset: Any) -> list[dict[str, Any]]:
    """The images of a dataset, by path."""
    table = tables.open_table(f"tables/{dataset.uid}.lance").to_table()
    found: list[dict[str, Any]] = sorted(table.to_pylist(), key=lambda row: row["path"])
    return found


def test_a_video_among_images(client: Client, bucket: Bucket, tmp_path: Path, unique_name: str) -> None:
    draw_dataset(tmp_path / "shapes", images=1, seed=5)
    image = next((tmp_path / "shapes").rglob("*.jpg"), None) or next((tmp_path / "shapes").rglob("*.png"))
    packed = tmp_path / "mixed.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(image, f"pictures/{image.name}")
        archive.write(draw_video(tmp_path / "walk.mp4"), "train/walk.mp4")
        archive.writestr("clips/broken.avi", b"no video")
    stages = {}

    def report(progress: Any) -> None:
        stages[progress.stage] = (progress.unit, progress.done)

    upload = client.upload(packed)
    result = client.import_dataset(upload, unique_name, every=10, report=report)
    found = rows(result.dataset)
    names = [f"pictures/{image.name}", *(f"walk/frame_{number:06d}.jpg" for number in (0, 10, 20))]
    assert [row["path"] for row in found] == names
    assert [row["frame"] for row in found] == [None, 0, 10, 20]
    assert [row["split"] for row in found] == ["", "train", "train", "train"]
    assert [(one.code, one.count) for one in result.issue_counts] == [("VIDEO_UNREADABLE", 1)]
    assert result.issues[0].path == "clips/broken.avi"
    assert stages["videos"] == ("videos", 2)
    assert list(stages).index("videos") == list(stages).index("index") + 1
    for row in found[1:]:
        where = row["original"]
        data = bucket.get_range(where["object"], where["offset"], where["size"])
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        assert (number_in(picture), row["width"], row["height"]) == (row["frame"], WIDTH, HEIGHT)
        preview = row["preview"]
        thumbnail = Image.open(io.BytesIO(bucket.get_range(preview["object"], preview["offset"], preview["size"])))
        assert thumbnail.format == "WEBP"

    # The same upload again: the frames are there.
    written = {key: bucket.as_part(key) for key in bucket.keys(f"packs/{upload.name.removeprefix('uploads/')}-video")}
    again = client.import_dataset(upload, f"{unique_name}-2", every=10)
    assert [row["original"] for row in rows(again.dataset)] == [row["original"] for row in found]
    assert {key: bucket.as_part(key) for key in written} == written


def test_one_video_by_the_command_line(framehouse: Framehouse, tmp_path: Path, unique_name: str) -> None:
    drawn = str(draw_video(tmp_path / "walk.mov", codec="mjpeg"))
    result = framehouse("import", drawn, "--fps", "5", "--name", unique_name, "--json")
    assert int(json.loads(result.stdout)["dataset"]["imageCount"]) == 15, result.stderr
    target = tmp_path / "out"
    assert framehouse("convert", drawn, "--every", "15", "--to", "image-dir", "--out", str(target)).returncode == 0
    assert sorted(file.name for file in target.rglob("*.jpg")) == ["frame_000000.jpg", "frame_000015.jpg"]
    refused = framehouse("import", drawn, "--fps", "5", "--every", "2", "--name", unique_name)
    assert refused.returncode == 2
    assert "not both" in refused.stderr


def test_a_video_that_was_sent_as_it_is(client: Client, tmp_path: Path, unique_name: str) -> None:
    drawn = draw_video(tmp_path / "walk.avi", codec="mpeg4")
    data = drawn.read_bytes()
    upload = sent(client, "walk.avi", data)
    assert client.import_dataset(upload, unique_name).dataset.image_count == 3
    try:
        client.import_dataset(sent(client, "walk.avi", b"no video"), f"{unique_name}-2")
    except FramehouseError as error:
        assert "nothing in the archive could be used: walk.avi" in str(error)
    else:
        raise AssertionError("a text was taken for a video")


def sent(client: Client, name: str, data: bytes) -> ingest_pb2.Upload:
    """A complete upload of one file as it is."""
    import urllib.request

    async def call(method: str, request: Any) -> ingest_pb2.Upload:
        suite = client._client._suite
        upload: ingest_pb2.Upload = await suite.call(f"IngestService/{method}", request, ingest_pb2.Upload)
        return upload

    upload = client._run(call("CreateUpload", ingest_pb2.CreateUploadRequest(file_name=name, size=len(data))))
    urllib.request.urlopen(urllib.request.Request(upload.parts[0].url, data, method="PUT")).close()
    return client._run(call("CompleteUpload", ingest_pb2.CompleteUploadRequest(name=upload.name)))
