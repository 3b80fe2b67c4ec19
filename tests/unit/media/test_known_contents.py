"""A shard of images: what is written of each, and what is not looked at again."""

import io
import json
from collections.abc import Mapping
from typing import Any

import pytest
from PIL import Image

from framehouse.runtime.config import Settings
from framehouse.store.frames import BatchFile
from framehouse.store.issues import load
from framehouse.store.packs import content_hash
from framehouse.v1 import conversion_pb2, ingest_pb2, media_pb2
from services.conversion import reading
from services.media import shard
from services.media.shard import process_shard
from tests.unit.formats.whole_way import Shelf, index, packed
from tests.unit.media.pictures import dng, encoded, example, picture

JOB = "0123456789abcdef0123456789abcdef"
FILES = {"a.jpg": example("jpeg"), "b.png": example("png"), "c.png": encoded(Image.new("L", (20, 20)), "PNG")}


class Ingest:
    """What ingest keeps of contents, in memory."""

    def __init__(self) -> None:
        self.contents: dict[tuple[bytes, int], ingest_pb2.Content] = {}
        self.asked: list[ingest_pb2.LookUpContentsRequest] = []

    def look_up(self, request: ingest_pb2.LookUpContentsRequest) -> ingest_pb2.LookUpContentsResponse:
        self.asked.append(request)
        sizes = {key.size for key in request.keys}
        found = [one for (_, side), one in self.contents.items() if side == request.max_side and one.size in sizes]
        return ingest_pb2.LookUpContentsResponse(contents=found)

    def record(self, request: ingest_pb2.RecordContentsRequest) -> None:
        for one in request.contents:
            self.contents.setdefault((one.hash, request.max_side), one)


class Import:
    """One import after another into the same bucket, each by its own plan."""

    def __init__(self) -> None:
        self.shelf = Shelf()
        self.ingest = Ingest()

    def plan(self, files: Mapping[str, bytes]) -> None:
        index(packed(files), self.shelf)
        request = conversion_pb2.PlanReadRequest(index_key="index", format="image-dir", output_key="plan")
        reading.plan(self.shelf, Settings(), request)

    def run(self, derived: str = f"derived/{JOB}/000000", **options: Any) -> dict[str, dict[str, Any]]:
        """The rows of the plan's only shard, by path."""
        self.shelf.objects.pop("media.issues", None)
        request = media_pb2.ProcessShardRequest(plan_key="plan", output_key="media", derived_key=derived, **options)
        process_shard(self.shelf, request, self.ingest.look_up, self.ingest.record)
        rows = BatchFile(self.shelf, "media").batch(0).to_pylist()
        return dict(zip(BatchFile(self.shelf, "plan").batch(0)["path"].to_pylist(), rows, strict=True))

    def issues(self) -> dict[str, str]:
        return {row["path"]: row["code"] for row in load(self.shelf, "media").to_pylist()}

    def bytes_at(self, place: Mapping[str, Any]) -> bytes:
        return self.shelf.get_range(place["object"], place["offset"], place["stored_size"])


@pytest.fixture
def site() -> Import:
    site = Import()
    site.plan(FILES)
    return site


def never_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    def look(data: bytes, **options: Any) -> None:
        raise AssertionError("it was decoded again")

    monkeypatch.setattr(shard, "look", look)


def test_the_same_bytes_are_not_decoded_again(site: Import, monkeypatch: pytest.MonkeyPatch) -> None:
    first = site.run()
    site.plan({f"other/{name}": data for name, data in FILES.items()})
    never_decoding(monkeypatch)
    second = site.run("derived/other/000000")
    assert {f"other/{path}": row for path, row in first.items()} == second
    assert "derived/other/000000" not in " ".join(site.shelf.objects)
    assert all(Image.open(io.BytesIO(site.bytes_at(row["preview"]))).format == "WEBP" for row in second.values())


def test_ingest_is_asked_for_sizes_and_checksums_by_the_job(site: Import) -> None:
    rows = site.run(max_side=4096)
    (asked,) = site.ingest.asked
    assert (asked.job, asked.max_side) == (f"jobs/{JOB}", 4096)
    places = [row["original"] for row in rows.values()]
    assert {(key.size, key.crc32) for key in asked.keys} == {(place["size"], place["crc32"]) for place in places}


def test_bytes_of_the_same_size_and_another_hash_are_decoded(site: Import) -> None:
    site.run()
    other = bytearray(FILES["b.png"])
    other[-20] ^= 0xFF
    site.plan({"b.png": bytes(other), "a.jpg": FILES["a.jpg"]})
    rows = site.run("derived/x")
    assert not rows["b.png"]["usable"]
    assert site.issues() == {"b.png": "IMAGE_UNREADABLE"}
    assert rows["a.jpg"]["hash"] == content_hash(FILES["a.jpg"])


def test_another_limit_of_the_longest_side_is_another_content(site: Import) -> None:
    assert site.run(max_side=0)["a.jpg"]["normalised"] is None
    form = site.run("derived/y", max_side=100)["a.jpg"]["normalised"]
    assert (form["width"], form["height"], form["format"]) == (100, 67, "jpeg")
    assert Image.open(io.BytesIO(site.bytes_at(form))).size == (100, 67)


def test_a_known_image_may_be_too_small_for_this_import(site: Import) -> None:
    assert site.run(min_side=0)["c.png"]["usable"]
    known = site.run("derived/z", min_side=28)
    assert not known["c.png"]["usable"]
    message = load(site.shelf, "media").to_pylist()[0]["message"]
    site.ingest.contents.clear()
    site.run("derived/z", min_side=28)
    assert site.issues() == {"c.png": "IMAGE_TOO_SMALL"}
    assert load(site.shelf, "media").to_pylist()[0]["message"] == message


def test_remarks_come_with_the_content_and_those_of_the_path_with_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Import()
    cmyk = encoded(picture().convert("CMYK"), "JPEG")
    site.plan({"a.png": cmyk})
    site.run()
    assert sorted(load(site.shelf, "media")["code"].to_pylist()) == ["IMAGE_EXTENSION_DIFFERS", "IMAGE_MODE_CONVERTED"]
    site.plan({"a.jpg": cmyk})
    never_decoding(monkeypatch)
    site.run("derived/other")
    assert site.issues() == {"a.jpg": "IMAGE_MODE_CONVERTED"}


def test_originals_are_dropped_where_there_is_another_form_and_are_known_all_the_same() -> None:
    site = Import()
    site.plan({"large.jpg": example("jpeg"), "small.jpg": example("jpeg", 90, 60), "raw.dng": dng(picture(80, 60))})
    for derived in ("derived/first", "derived/second"):
        rows = site.run(derived, max_side=100, drop_originals=True)
        kept = {path: row["original"] is not None for path, row in rows.items()}
        assert kept == {"large.jpg": False, "small.jpg": True, "raw.dng": False}
        assert {path: row["width"] for path, row in rows.items()} == {"large.jpg": 300, "small.jpg": 90, "raw.dng": 80}
    assert all(json.loads(one.row)["original"]["object"] == "packs/in" for one in site.ingest.contents.values())
    rows = site.run("derived/third", max_side=100)
    assert all(row["original"] for row in rows.values())


def test_a_shard_that_is_done_again_does_not_write_over_what_was_told_of_it(site: Import) -> None:
    """The process may end between telling ingest and answering the job."""
    told = site.run()
    before = dict(site.shelf.objects)
    again = site.run()
    assert again == told
    partly = next(iter(site.ingest.contents))
    del site.ingest.contents[partly]
    site.run()
    derived = {key: data for key, data in before.items() if key.startswith("derived/")}
    assert derived
    assert all(site.shelf.objects[key] == data for key, data in derived.items())


def test_the_header_alone_asks_nobody(site: Import) -> None:
    rows = site.run(depth=media_pb2.MEDIA_DEPTH_HEADER, max_side=100)
    assert all(row["usable"] and row["preview"] is None and row["normalised"] is None for row in rows.values())
    assert not site.ingest.asked
    assert not site.ingest.contents
