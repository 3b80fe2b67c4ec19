"""The arithmetic and the layout of archives, their volumes and manifests, where they need no store."""

import io
import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st
from isal import isal_zlib

from framehouse.runtime import errors
from framehouse.runtime.config import Settings
from framehouse.store import archive_writer, deflate
from framehouse.store.archive import index_file
from framehouse.store.archive_writer import write_archive
from framehouse.store.bundle import BundleWriter, read_bundle
from framehouse.store.frames import write_batches
from framehouse.store.manifest import MANIFEST
from framehouse.store.zip_layout import Layout, end_record
from tests.unit.formats.whole_way import Shelf


@given(st.lists(st.tuples(st.binary(max_size=3), st.binary()), min_size=1))
def test_pieces_that_were_packed_apart_are_read_as_one(pieces: list[tuple[bytes, bytes]]) -> None:
    packed = b"".join(deflate.between(separator) + deflate.piece(data) for separator, data in pieces) + deflate.END
    assert zlib.decompress(packed, -zlib.MAX_WBITS) == b"".join(map(b"".join, pieces))


def test_a_large_file_of_pieces_is_one_deflated_file() -> None:
    shelf, rng = Shelf(), np.random.default_rng(0)
    # More than one request reads at once, for these hardly shrink.
    parts = [rng.integers(0, 200, 12 << 20, np.uint8).tobytes(), b"", b"[1,2]" * 30_000]
    for i, part in enumerate(parts):
        with BundleWriter(shelf, f"b{i}") as bundle:
            bundle.piece("all.json", 2, part, b", ")
    with BundleWriter(shelf, "last") as bundle:
        bundle.piece("all.json", 1, b"[")
        bundle.piece("all.json", 3, b"]")
    write_archive(shelf, ["b0", "b1", "b2", "last"], "c.zip", lambda _: None, facts={})
    with zipfile.ZipFile(io.BytesIO(shelf.get("c.zip"))) as archive:
        assert archive.read("all.json") == b"[" + b", ".join(parts) + b"]"
        assert archive.getinfo("all.json").compress_type == zipfile.ZIP_DEFLATED
        assert manifest(archive)["file_count"] == 1


def test_text_is_packed_where_that_makes_it_smaller() -> None:
    shelf, rng = Shelf(), np.random.default_rng(0)
    files = {
        "long.txt": b"0 0.5 0.5 0.1 0.1\n" * 100,
        "short.txt": b"0 0.5\n" * 9,
        "noise.txt": rng.bytes(2000),
        "empty.txt": b"",
    }
    data, sizes = b"".join(files.values()), [len(file) for file in files.values()]
    with BundleWriter(shelf, "b") as bundle:
        bundle.files(pa.array(files), data, np.cumsum([0, *sizes]))
        bundle.file("image.png", bytes(2000))
    write_archive(shelf, ["b"], "c.zip", lambda _: None, facts={})
    with zipfile.ZipFile(io.BytesIO(shelf.get("c.zip"))) as archive:
        assert {name: archive.read(name) for name in files} == files
        deflated = [one.filename for one in archive.infolist() if one.compress_type == zipfile.ZIP_DEFLATED]
    assert deflated == ["long.txt", MANIFEST]


FAR = 5 << 30


class FarShelf(Shelf):
    """Its packs begin with 5 GiB that nobody reads."""

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        return super().get_range(key, offset - FAR if key.startswith("packs/") else offset, length)


def test_files_are_read_from_many_large_objects() -> None:
    shelf, count = FarShelf(), 300
    objects = [f"packs/{i:03d}" for i in range(count)]
    files = {f"{i}.txt": b"%d" % i for i in range(count)}
    for object, data in zip(objects, files.values(), strict=True):
        shelf.put(object, data)
    sizes = pa.array([*map(len, files.values())])
    ranges = {"object": objects, "offset": pa.repeat(FAR, count), "stored_size": sizes, "size": sizes}
    crc32 = pa.array([zlib.crc32(data) for data in files.values()], pa.uint32())
    with BundleWriter(shelf, "b") as bundle:
        bundle.copies(pa.array(files), pa.table({**ranges, "method": pa.repeat(0, count), "crc32": crc32}))
    write_archive(shelf, ["b"], "c.zip", lambda _: None)
    with zipfile.ZipFile(io.BytesIO(shelf.get("c.zip"))) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == files


def test_pieces_that_an_older_version_wrote_are_refused() -> None:
    shelf = Shelf()
    with BundleWriter(shelf, "b") as bundle:
        bundle.piece("all.json", 1, b"[]")
    table = read_bundle(shelf, "b")
    at = table.schema.get_field_index("method")
    old = table.set_column(at, table.schema.field(at), pa.array([0], pa.int8()))
    write_batches(shelf, "b", old.schema, old.to_batches())
    with pytest.raises(errors.FailedPrecondition, match="older version"):
        write_archive(shelf, ["b"], "c.zip", lambda _: None)


def test_images_without_a_hash_are_hashed_on_their_way() -> None:
    shelf, rng = Shelf(), np.random.default_rng(0)
    # One of them is brought by several requests.
    images = {f"images/{i}.JPG": rng.bytes(size) for i, size in enumerate((10, 9 << 20, 0, 3000))}
    with BundleWriter(shelf, "b") as bundle:
        for path, data in images.items():
            bundle.file(path, data)
    write_archive(shelf, ["b"], "c.zip", lambda _: None, facts={})
    with zipfile.ZipFile(io.BytesIO(shelf.get("c.zip"))) as archive:
        listed = {one["path"]: one["xxh3_128"] for one in json.loads(archive.read(MANIFEST))["files"]}
    assert listed == {path: xxhash.xxh3_128_hexdigest(data) for path, data in images.items()}


def test_files_beyond_4_gib_are_written_and_read_as_zip64(tmp_path: Path) -> None:
    size = 5 << 30
    block = zlib.crc32(bytes(1 << 20))
    crc = 0
    for _ in range(size >> 20):
        crc = isal_zlib.crc32_combine(crc, block, 1 << 20)
    directory = io.BytesIO()
    layout = Layout(directory)
    path = tmp_path / "large.zip"
    with path.open("wb") as file:  # sparse: the zeros take no room
        file.write(layout.header("zeros.bin", size, size, 0, crc))
        file.seek(size, io.SEEK_CUR)
        far = file.tell()
        file.write(layout.header("far.txt", 3, 3, 0, zlib.crc32(b"abc")) + b"abc")
        offset = file.tell()
        file.write(directory.getvalue() + end_record(layout.count, offset, len(directory.getvalue())))
    with zipfile.ZipFile(path) as archive:
        assert archive.read("far.txt") == b"abc"
        assert archive.getinfo("zeros.bin").file_size == size
    with path.open("rb", buffering=0) as file:
        table, issues = index_file(file, "packs/a", Settings())
    assert not issues
    assert table.select(["path", "header_offset", "size"]).to_pylist() == [
        {"path": "far.txt", "header_offset": far, "size": 3},
        {"path": "zeros.bin", "header_offset": 0, "size": size},
    ]


VOLUME = 100_000


def bundles(shelf: Shelf, images: dict[str, bytes]) -> list[str]:
    """Two bundles of images that lie in a pack, in another order, each with a label file; and one of the whole."""
    paths = sorted(images)
    shelf.put("packs/1", b"".join(images[path] for path in reversed(paths)))
    sizes = np.array([len(images[path]) for path in paths])
    ranges = pa.table(
        {
            "object": pa.repeat("packs/1", len(paths)),
            "offset": pa.array(sizes[::-1].cumsum()[::-1] - sizes),
            "stored_size": pa.array(sizes),
            "size": pa.array(sizes),
            "method": pa.repeat(0, len(paths)),
            "crc32": pa.array([zlib.crc32(images[path]) for path in paths], pa.uint32()),
        }
    )
    half = len(paths) // 2
    for key, first, end in (("b0", 0, half), ("b1", half, len(paths))):
        with BundleWriter(shelf, key) as bundle:
            bundle.copies(pa.array([f"images/{path}" for path in paths[first:end]]), ranges.slice(first, end - first))
            for path in paths[first:end]:
                bundle.file(f"labels/{path.rpartition('.')[0]}.txt", path.encode())
            bundle.piece("all.json", 2, f"{end - first}".encode(), b",")
    with BundleWriter(shelf, "last") as bundle:
        bundle.facts = {"classes": {"car": 3}}
        bundle.file("data.yaml", b"names: [car]")
        bundle.piece("all.json", 1, b"[")
        bundle.piece("all.json", 3, b"]")
    return ["b0", "b1", "last"]


def manifest(archive: zipfile.ZipFile) -> dict[str, Any]:
    """The manifest, after each file has been compared with what it says."""
    found: dict[str, Any] = json.loads(archive.read(MANIFEST))
    listed = {one["path"]: one for one in found["files"]}
    assert set(listed) == set(archive.namelist()) - {MANIFEST}
    assert found["file_count"] == len(listed)
    for path, one in listed.items():
        data = archive.read(path)
        assert (one["size"], one["crc32"]) == (len(data), f"{zlib.crc32(data):08x}")
        assert one.get("xxh3_128") == (xxhash.xxh3_128_hexdigest(data) if path.endswith(".jpg") else None)
    return found


def test_volumes_are_archives_of_their_own_in_which_labels_lie_with_their_images() -> None:
    shelf, rng = Shelf(), np.random.default_rng(0)
    # Of one name in several folders, and one that is too large for a volume.
    images = {f"{split}/{i:03d}.jpg": rng.bytes(int(rng.integers(9_000, 30_000))) for split in "ab" for i in range(20)}
    images["b/007.jpg"] = rng.bytes(2 * VOLUME)
    summary = write_archive(
        shelf, bundles(shelf, images), "x/cars.zip", lambda _: None, volume_bytes=VOLUME, facts={"format": "f"}
    )
    assert [file.key for file in summary.files] == [f"x/cars-{i:03d}.zip" for i in range(1, len(summary.files) + 1)]
    seen: dict[str, bytes] = {}
    larger = []
    for number, file in enumerate(summary.files, 1):
        data = shelf.get(file.key)
        assert (file.size, file.hash) == (len(data), xxhash.xxh3_128_hexdigest(data))
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            assert archive.testzip() is None
            said = manifest(archive)
            assert (said["format"], said["volume"], said["classes"]) == ("f", number, {"car": 3})
            names = set(archive.namelist()) - {MANIFEST}
            stems = {
                kind: {Path(name).with_suffix("").as_posix()[7:] for name in names if name.startswith(kind)}
                for kind in ("images", "labels")
            }
            assert stems["images"] == stems["labels"]
            if len(data) > VOLUME:
                larger.append(stems["images"])
            seen |= {name: archive.read(name) for name in names}
            spanning = {"data.yaml", "all.json"} <= names
    assert spanning  # of the last
    assert larger == [{"b/007"}]
    assert seen == {
        **{f"images/{path}": data for path, data in images.items()},
        **{f"labels/{path[:-4]}.txt": path.encode() for path in images},
        "data.yaml": b"names: [car]",
        "all.json": b"[20,20]",
    }
    assert sum(file.size for file in summary.files) < 1.1 * sum(map(len, images.values()))
    assert summary.file_count == len(seen) + len(summary.files)


def test_a_manifest_is_the_same_each_time_and_left_alone_by_imports(tmp_path: Path) -> None:
    shelf = Shelf()
    images = {f"a/{i}.jpg": b"%d" % i * 1000 for i in range(10)} | {'a/ä "b".jpg': b"x"}
    keys = bundles(shelf, images)
    for target in ("1.zip", "2.zip"):
        summary = write_archive(shelf, keys, target, lambda _: None, facts={"format": "f"})
    assert [file.key for file in summary.files] == ["2.zip"]
    assert shelf.get("1.zip") == shelf.get("2.zip")
    with zipfile.ZipFile(io.BytesIO(shelf.get("1.zip"))) as archive:
        assert "volume" not in manifest(archive)
    (tmp_path / "1.zip").write_bytes(shelf.get("1.zip"))
    with (tmp_path / "1.zip").open("rb", buffering=0) as file:
        table, issues = index_file(file, "packs/a", Settings())
    assert (table.num_rows, len(issues)) == (24, 0)
    assert MANIFEST not in table["path"].to_pylist()


def test_an_image_is_found_with_its_masks_wherever_they_lie() -> None:
    shelf = Shelf()
    stems = [f"{i:02d}" for i in range(30)]
    with BundleWriter(shelf, "b") as bundle:
        for kind, suffix in (("images/train", "jpg"), ("annotations/panoptic_train", "png"), ("boxes", "xml")):
            for stem in stems:
                bundle.file(f"{kind}/{stem}.{suffix}", bytes(5000))
    summary = write_archive(shelf, ["b"], "c.zip", lambda _: None, volume_bytes=VOLUME)
    for file in summary.files:
        with zipfile.ZipFile(io.BytesIO(shelf.get(file.key))) as archive:
            names = [Path(name).stem for name in archive.namelist()]
            assert all(names.count(name) == 3 for name in names)


def test_too_many_volumes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_writer, "MOST_VOLUMES", 2)
    shelf = Shelf()
    keys = bundles(shelf, {f"a/{i}.jpg": bytes(1000) for i in range(9)})
    with pytest.raises(errors.FailedPrecondition, match="more than 2 volumes") as failure:
        write_archive(shelf, keys, "c.zip", lambda _: None, volume_bytes=3000)
    assert failure.value.reason == "TOO_MANY_VOLUMES"


def test_an_archive_of_nothing_is_an_archive() -> None:
    shelf = Shelf()
    with BundleWriter(shelf, "b"):
        pass
    summary = write_archive(shelf, ["b"], "c.zip", lambda _: None, facts={})
    with zipfile.ZipFile(io.BytesIO(shelf.get("c.zip"))) as archive:
        assert manifest(archive) == {"files": [], "file_count": 0}
    assert summary.file_count == 1
