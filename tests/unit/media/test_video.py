"""Frames of videos: which are taken, how they are turned and named, and what becomes of damaged ones."""

import os
import zipfile
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest

from framehouse.runtime import config, errors, jobs
from framehouse.runtime.config import Settings
from framehouse.store import issues
from framehouse.store.frames import BatchFile, write_batches
from framehouse.store.packs import read_entries
from framehouse.store.sources import index_archive
from framehouse.v1 import conversion_pb2, ingest_pb2, media_pb2
from services.ingest.videos import add_frames, write_videos
from services.media import video
from tests.unit.formats import whole_way
from tests.unit.formats.whole_way import packed
from tests.videos import HEIGHT, WIDTH, draw_video, number_in


class Shelf(whole_way.Shelf):
    """One that things are taken off, too."""

    def remove(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.objects.pop(key, None)


class Taken:
    """What was taken out of the first video of an archive."""

    def __init__(self, shelf: Shelf, key: str) -> None:
        file = BatchFile(shelf, key)
        table = pa.Table.from_batches(file.batches(), file.schema)
        self.shelf = shelf
        self.paths = table["path"].to_pylist()
        self.numbers = table["frame"].to_pylist()
        entries = dict(read_entries(shelf, table))
        assert not any(entry.damage for entry in entries.values())
        self.pictures = [
            cv2.imdecode(np.frombuffer(entries[i].data, np.uint8), cv2.IMREAD_COLOR) for i in range(table.num_rows)
        ]
        self.shown = [number_in(picture) for picture in self.pictures]
        self.issues = [(row["code"], row["severity"]) for row in issues.load(shelf, key).to_pylist()]
        self.messages = [row["message"] for row in issues.load(shelf, key).to_pylist()]


def taken(
    data: bytes | Path,
    name: str = "clips/a.mp4",
    *,
    method: int = zipfile.ZIP_STORED,
    shelf: Shelf | None = None,
    **rate: float,
) -> Taken:
    """The frames of one video in a zip."""
    shelf = shelf or Shelf()
    content = data if isinstance(data, bytes) else data.read_bytes()
    shelf.put("packs/in", packed({name: content}, method))
    index, _ = index_archive(shelf, "packs/in", Settings())
    assert write_videos(shelf, "videos", index) == 1
    video.extract_frames(
        shelf,
        media_pb2.ExtractFramesRequest(
            videos_key="videos",
            options=conversion_pb2.VideoOptions(**rate),
            pack_key="packs/in-video",
            output_key="job/videos/000000",
        ),
    )
    return Taken(shelf, "job/videos/000000")


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", "libx264"), ("a.avi", "mpeg4"), ("a.mov", "mjpeg"), ("a.avi", "libx264"), ("a.mkv", "libx264")],
)
def test_every_third_frame(tmp_path: Path, name: str, codec: str) -> None:
    frames = taken(draw_video(tmp_path / name, codec=codec), f"clips/{name}", every=3)
    assert frames.numbers == frames.shown == list(range(0, 30, 3))
    assert frames.paths[:2] == ["clips/a/frame_000000.jpg", "clips/a/frame_000003.jpg"]
    assert {picture.shape for picture in frames.pictures} == {(HEIGHT, WIDTH, 3)}
    assert frames.issues == []


def test_frames_a_second_of_the_video(tmp_path: Path) -> None:
    drawn = draw_video(tmp_path / "a.mp4")
    assert taken(drawn).numbers == [0, 10, 20]
    assert taken(drawn, fps=5).numbers == list(range(0, 30, 2))
    assert taken(drawn, fps=0.5).numbers == [0, 20]
    assert taken(drawn, fps=1000).shown == list(range(30))
    odd = taken(drawn, fps=4).numbers
    assert odd[:5] == [0, 2, 5, 7, 10]
    avi = draw_video(tmp_path / "a.avi")
    assert taken(avi, "a.avi", fps=5).shown == list(range(0, 30, 2))


def test_frames_that_are_shown_at_odd_times(tmp_path: Path) -> None:
    drawn = draw_video(tmp_path / "a.mp4", 6, times=[0, 1, 2, 30, 31, 60])
    assert taken(drawn, fps=1).shown == [0, 3, 5]
    assert taken(drawn, every=1).shown == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("degrees", [0, 90, 180, -90])
def test_frames_are_turned_upright(tmp_path: Path, degrees: int, mirrored: bool) -> None:
    picture = taken(draw_video(tmp_path / "a.mov", 1, rotation=(degrees, mirrored, False))).pictures[0]
    expected = np.zeros((HEIGHT, WIDTH))
    expected[: HEIGHT // 3, : WIDTH // 3] = 1
    expected = np.rot90(expected, degrees // 90)
    if mirrored:
        expected = expected[:, ::-1]
    assert picture.shape[:2] == expected.shape
    assert np.mean((picture[:, :, 1] > 128) == expected) > 0.97


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.avi", "mpeg4"), ("a.mov", "mjpeg")])
def test_a_video_that_is_cut_off_keeps_its_beginning(tmp_path: Path, name: str, codec: str) -> None:
    data = draw_video(tmp_path / name, codec=codec).read_bytes()
    frames = taken(data[: len(data) * 3 // 4], name, every=1)
    assert 0 < len(frames.numbers) < 30
    assert frames.numbers == frames.shown == list(range(len(frames.numbers)))
    assert frames.issues == [("VIDEO_TRUNCATED", issues.WARNING)]
    assert f"the frames before number {len(frames.numbers)} were taken" in frames.messages[0]


def test_a_video_that_is_cut_off_before_its_first_frame(tmp_path: Path) -> None:
    data = draw_video(tmp_path / "a.mp4").read_bytes()
    frames = taken(data[:600])
    assert (frames.numbers, frames.issues) == ([], [("VIDEO_TRUNCATED", issues.ERROR)])


def test_damage_in_the_middle_keeps_what_is_before_it(tmp_path: Path) -> None:
    data = draw_video(tmp_path / "a.mp4", codec="mpeg4").read_bytes()
    start = data.index(b"mdat") + (len(data) - data.index(b"mdat")) // 2
    frames = taken(data[:start] + bytes(400) + data[start + 400 :], every=1)
    assert 0 < len(frames.numbers) < 30
    assert frames.numbers == frames.shown
    assert frames.issues == [("VIDEO_UNREADABLE", issues.WARNING)]


@pytest.mark.parametrize(
    "data",
    [
        b"dear reader\n" * 100,
        bytes(5000),
        b"",
        b"#EXTM3U\n#EXTINF:10,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile '/etc/hostname'\n",
        os.urandom(3000),
    ],
)
def test_what_is_no_video(data: bytes) -> None:
    frames = taken(data)
    assert (frames.numbers, frames.issues) == ([], [("VIDEO_UNREADABLE", issues.ERROR)])


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    import av

    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    frames = taken(tmp_path / "a.mp4")
    assert frames.issues == [("VIDEO_UNREADABLE", issues.ERROR)]
    assert "no video stream" in frames.messages[0]


def test_a_deflated_video_is_inflated_for_the_time(tmp_path: Path) -> None:
    data = draw_video(tmp_path / "a.avi", codec="mjpeg").read_bytes()
    stored, deflated = taken(data, "a.avi"), taken(data, "a.avi", method=zipfile.ZIP_DEFLATED)
    assert deflated.numbers == deflated.shown == stored.numbers
    assert not [key for key in deflated.shelf.objects if key.endswith(".video")]

    archive = bytearray(packed({"a.avi": data}))
    archive[len(archive) // 2] ^= 0xFF
    shelf = Shelf()
    shelf.put("packs/in", bytes(archive))
    index, _ = index_archive(shelf, "packs/in", Settings())
    write_videos(shelf, "videos", index)
    video.extract_frames(shelf, media_pb2.ExtractFramesRequest(videos_key="videos", pack_key="p", output_key="out"))
    assert Taken(shelf, "out").issues == [("ENTRY_DAMAGED", issues.ERROR)]


def test_the_same_request_gives_the_same_packs_and_finds_them_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video, "PACK_SIZE", 2000)
    drawn = draw_video(tmp_path / "a.mp4")
    first, second = taken(drawn, every=1), taken(drawn, every=1)
    packs = {key: data for key, data in first.shelf.objects.items() if key.startswith("packs/in-video")}
    assert packs == {key: second.shelf.objects[key] for key in packs}
    assert len([key for key in packs if key[-5:-4] == "-"]) > 5
    assert all(key.startswith("packs/in-video-000000-") for key in packs)

    with monkeypatch.context() as patch:
        patch.setattr(video, "_extract", None)
        assert taken(drawn, shelf=first.shelf, every=1).shown == first.shown
    assert taken(drawn, shelf=first.shelf, every=2).shown == list(range(0, 30, 2))
    del first.shelf.objects[min(packs)]
    assert taken(drawn, shelf=first.shelf, every=1).shown == first.shown


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = draw_video(tmp_path / "a.mp4")
    monkeypatch.setattr(video, "settings", lambda: Settings(max_image_pixels=WIDTH * HEIGHT - 1))
    assert taken(drawn).issues == [("IMAGE_TOO_MANY_PIXELS", issues.ERROR)]
    for limits in (Settings(max_archive_entries=20), Settings(max_archive_bytes=9000)):
        monkeypatch.setattr(video, "settings", lambda limits=limits: limits)
        shelf = Shelf()
        with pytest.raises(errors.InvalidArgument, match="take fewer"):
            taken(drawn, shelf=shelf, every=1)
        assert sorted(shelf.objects) == ["packs/in", "videos"]
    for wrong in ({"every": 0}, {"fps": 0.0}, {"fps": float("nan")}, {"fps": float("inf")}):
        with pytest.raises(errors.InvalidArgument):
            taken(drawn, **wrong)


def test_a_cancelled_job_stops_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def report(done: int) -> None:
        if done == 20:
            raise errors.Cancelled("the job was cancelled")

    monkeypatch.setattr(jobs, "report", report)
    monkeypatch.setattr(video, "PACK_SIZE", 2000)
    shelf = Shelf()
    with pytest.raises(errors.Cancelled):
        taken(draw_video(tmp_path / "a.mp4"), shelf=shelf, every=1)
    assert sorted(shelf.objects) == ["packs/in", "videos"]


def test_a_store_that_goes_away_is_no_damage(tmp_path: Path) -> None:
    data = draw_video(tmp_path / "a.avi", codec="mjpeg").read_bytes()

    class Gone(Shelf):
        def get_range(self, key: str, offset: int, length: int) -> bytes:
            if key == "packs/in" and offset > len(data) // 2:
                raise errors.Unavailable("object store", "127.0.0.1:1")
            return super().get_range(key, offset, min(length, 1000) if key == "packs/in" else length)

    whole = Shelf()
    taken(data, "a.avi", shelf=whole)
    gone = Gone()
    gone.objects = {key: value for key, value in whole.objects.items() if not key.startswith("packs/in-")}
    with pytest.raises(errors.Unavailable):
        video.extract_frames(
            gone, media_pb2.ExtractFramesRequest(videos_key="videos", pack_key="packs/in-video", output_key="out")
        )


def folders(*paths: str) -> dict[str, str]:
    """Where the frames of each video of an archive go."""
    shelf = Shelf()
    shelf.put("packs/in", packed(dict.fromkeys(paths, b"x")))
    index, _ = index_archive(shelf, "packs/in", Settings())
    write_videos(shelf, "videos", index)
    file = BatchFile(shelf, "videos")
    rows = [batch.to_pylist()[0] for batch in file.batches()]
    return {row["path"]: row["folder"] for row in rows}


def test_videos_and_folders_of_one_name_are_told_apart() -> None:
    assert folders("x/a.mp4", "x/b.mov", "y/a.MP4") == {"x/a.mp4": "x/a", "x/b.mov": "x/b", "y/a.MP4": "y/a"}
    assert folders("a.mp4", "a.avi") == {"a.mp4": "a.mp4", "a.avi": "a.avi"}
    assert folders("a.mp4", "a/b/1.jpg") == {"a.mp4": "a.mp4"}
    assert folders("a.mp4", "a/1.jpg", "a.mp4/1.jpg") == {"a.mp4": "a.mp4 (2)"}
    assert folders("a.mp4.mp4", "a.mp4", "a.avi") == {path: path for path in ("a.mp4.mp4", "a.mp4", "a.avi")}
    assert folders(".mp4", "x/..mov") == {".mp4": ".mp4", "x/..mov": "x/..mov"}


def test_frames_take_the_place_of_videos_in_the_index(tmp_path: Path) -> None:
    shelf = Shelf()
    drawn = draw_video(tmp_path / "b.mp4").read_bytes()
    shelf.put("packs/in", packed({"a.jpg": b"1", "b.mp4": drawn, "c.jpg": b"2", "bad.mov": b"no"}))
    index, _ = index_archive(shelf, "packs/in", Settings())
    write_batches(shelf, "index", index.schema, index.to_batches())
    assert write_videos(shelf, "videos", index) == 2
    for i in range(2):
        video.extract_frames(
            shelf,
            media_pb2.ExtractFramesRequest(videos_key="videos", video=i, pack_key="p", output_key=f"frames/{i:06d}"),
        )
    request = ingest_pb2.AddFramesRequest(
        index_key="index", frames_prefix="frames/", video_count=2, output_key="merged"
    )
    assert add_frames(shelf, request, config.Settings()) == 3
    rows = BatchFile(shelf, "merged").batch(0).to_pylist()
    names = ["a.jpg", "b/frame_000000.jpg", "b/frame_000010.jpg", "b/frame_000020.jpg", "c.jpg"]
    assert [row["path"] for row in rows] == names
    assert [row["frame"] for row in rows] == [None, 0, 10, 20, None]
    with pytest.raises(errors.InvalidArgument):
        add_frames(shelf, request, config.Settings(max_archive_entries=4))


def test_an_upload_may_be_one_video_or_image(tmp_path: Path) -> None:
    shelf = Shelf()
    shelf.put("packs/in", draw_video(tmp_path / "b.mp4").read_bytes())
    index, _ = index_archive(shelf, "packs/in", Settings(), file_name="C:\\films\\b\n.MP4")
    assert index["path"].to_pylist() == ["b.MP4"]
    with pytest.raises(errors.InvalidArgument):
        index_archive(shelf, "packs/in", Settings(), file_name="b.txt")
    shelf.put("packs/in", packed({"a.txt": b"a"}))
    assert index_archive(shelf, "packs/in", Settings(), file_name="b.mp4")[0]["path"].to_pylist() == ["a.txt"]
