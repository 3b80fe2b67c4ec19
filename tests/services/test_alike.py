"""Images that look alike: found among what was imported, and dealt out to one split."""

import io
import json
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from framehouse.client import Client
from framehouse.client.errors import InvalidArgument as Refused
from framehouse.runtime.errors import InvalidArgument
from framehouse.store.bucket import Bucket
from framehouse.store.tables import open_table
from framehouse.v1 import dataset_pb2
from services.ingest.catalogue import Catalogue
from services.ingest.duplicates import list_duplicates
from tests.services import catalogues
from tests.services.test_adding import row
from tests.services.test_changes import PACK, Dataset
from tests.unit.media.test_look_of_images import scene

Framehouse = Callable[..., subprocess.CompletedProcess[str]]


def jpeg(image: Image.Image, quality: int) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten pictures in train, four of them, of lower quality and smaller, in val once more; and two plain ones."""
    path = tmp_path_factory.mktemp("looks") / "looks.zip"
    with zipfile.ZipFile(path, "w") as file:
        for number in range(10):
            picture = scene(number, 320, 240)
            file.writestr(f"train/{number}.jpg", jpeg(picture, 95))
            if number < 4:
                file.writestr(f"val/{number}.jpg", jpeg(picture.resize((200, 150)), 70))
        for number, colour in enumerate(("white", "black")):
            file.writestr(f"train/plain-{number}.jpg", jpeg(Image.new("RGB", (320, 240), colour), 90))
    return path


def test_copies_of_pictures_are_found_and_stay_together(
    client: Client, framehouse: Framehouse, archive: Path, unique_name: str
) -> None:
    name = client.import_dataset(archive, unique_name).dataset.name
    assert list(client.list_duplicates(name)) == []
    groups = list(client.list_duplicates(name, 4))
    assert [list(group.paths) for group in groups] == [[f"train/{n}.jpg", f"val/{n}.jpg"] for n in range(4)]
    assert {tuple(group.splits) for group in groups} == {("train", "val")}
    assert all(int(group.hash, 16).bit_count() == 32 for group in groups)
    shown = framehouse("duplicates", unique_name, "--distance", "4", "--limit", "1")
    assert "train/0.jpg, val/0.jpg" in shown.stdout
    assert "4 images like another one" in shown.stdout
    assert len(list(client.list_duplicates(name, 8))) == 4

    dealt = framehouse("splits", unique_name, "--redistribute", "50/50", "--group", "look", "--seed", "1", "--json")
    assert sum(one["imageCount"] for one in json.loads(dealt.stdout)["splits"]) == 16
    assert all(len(group.splits) == 1 for group in client.list_duplicates(name, 4))
    with pytest.raises(Refused, match="attribute"):
        client.redistribute_splits(name, group="attribute:camera")
    with pytest.raises(Refused, match="no group"):
        client.redistribute_splits(name, group="camera")
    client.delete_dataset(name)


def test_known_bytes_bring_their_look_along(client: Client, archive: Path, unique_name: str) -> None:
    looks = []
    for again in range(2):
        made = client.import_dataset(archive, f"{unique_name}-{again}").dataset
        rows = open_table(f"tables/{made.uid}.lance").to_table(columns=["path", "look"]).to_pylist()
        looks.append({one["path"]: one["look"] for one in rows})
    assert looks[0] == looks[1]
    assert [path for path, look in sorted(looks[0].items()) if look is None] == [
        "plain-0.jpg",
        "plain-1.jpg",
    ]
    for again in range(2):
        client.delete_dataset(f"{unique_name}-{again}")


# --- on tables without images


@pytest.fixture
def made(tmp_path: Path, bucket: Bucket) -> Iterator[Callable[[list[dict[str, Any]]], Dataset]]:
    bucket.put(PACK, b"-")
    there = []

    def make(rows: list[dict[str, Any]]) -> Dataset:
        there.append(Dataset(catalogues.sqlite(tmp_path), bucket).publish(rows, fragment=50))
        return there[-1]

    yield make
    for one in there:
        bucket.remove_prefix(f"{one.key}/")
    bucket.remove([PACK])


def listed(catalogue: Catalogue, name: str, **request: Any) -> dataset_pb2.ListDuplicatesResponse:
    return list_duplicates(catalogue, dataset_pb2.ListDuplicatesRequest(parent=name, **request))


def test_groups_come_the_largest_first_page_by_page(made: Callable[[list[dict[str, Any]]], Dataset]) -> None:
    looks = [0xF0F0 << 40, (0xF0F0 << 40) | 3, 0xFFFF, 0xFFFF ^ 0x180, 0xFFFF ^ 0x18180, None, None, 1 << 63]
    rows = [row(f"{place}.jpg", str(place), look=look) for place, look in enumerate(looks)]
    one = made(rows)
    first = listed(one.catalogue, one.name, distance=2, page_size=1)
    assert (first.total_size, list(first.groups[0].paths)) == (2, ["2.jpg", "3.jpg", "4.jpg"])
    one.change("2.jpg", remove=True)
    second = listed(one.catalogue, one.name, distance=2, page_size=1, page_token=first.next_page_token)
    assert (list(second.groups[0].paths), second.groups[0].hash) == (["0.jpg", "1.jpg"], "00f0f00000000000")
    assert second.next_page_token == ""
    assert [list(group.paths) for group in listed(one.catalogue, one.name, distance=1).groups] == []
    assert [list(group.paths) for group in listed(one.catalogue, one.name, distance=2).groups] == [
        ["0.jpg", "1.jpg"],
        ["3.jpg", "4.jpg"],
    ]
    with pytest.raises(InvalidArgument, match="distance"):
        listed(one.catalogue, one.name, distance=4, page_token=first.next_page_token)
    with pytest.raises(InvalidArgument, match="0 for the same bytes"):
        listed(one.catalogue, one.name, distance=9)


def test_images_of_one_attribute_stay_together(made: Callable[[list[dict[str, Any]]], Dataset]) -> None:
    def attributes(number: int) -> str | None:
        if number < 20:
            return None
        return json.dumps({"weather": number, "camera": f"c{number % 9}" if number < 190 else ""})

    rows = [row(f"{n}.jpg", "twin" if n in (21, 22) else str(n), image_attributes=attributes(n)) for n in range(200)]
    one = made(rows)
    asked = {"group": dataset_pb2.SPLIT_GROUP_ATTRIBUTE, "group_attribute": "camera"}
    done = one.deal(**asked, seed=4)
    assert sum(split.image_count for split in done.splits) == 200
    values = {
        (json.loads(text)["camera"], split) for text, split in one.images("image_attributes", "split").values() if text
    }
    cameras = [camera for camera, _ in values if camera]
    assert len(cameras) == len(set(cameras)) == 9
    splits = one.images("split")
    assert splits["21.jpg"] == splits["22.jpg"]
    one.check()
    with pytest.raises(InvalidArgument, match="there are camera, weather"):
        one.deal(group=dataset_pb2.SPLIT_GROUP_ATTRIBUTE, group_attribute="lens")
    for wrong in ({"group": dataset_pb2.SPLIT_GROUP_ATTRIBUTE}, {"group_attribute": "camera"}):
        with pytest.raises(InvalidArgument, match="need its name"):
            one.deal(**wrong)
