"""Images through the running suite: probed by clients, known again in later imports, raw photographs made readable."""

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from framehouse.client import Client
from framehouse.client.errors import InvalidArgument
from framehouse.client.names import image_name
from framehouse.store.bucket import Bucket
from tests.conftest import Framehouse
from tests.unit.media.pictures import dng, encoded, example, picture


def test_a_client_probes_a_file_or_bytes(client: Client, tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(example("jpeg"))
    found = client.probe_image(file)
    assert (found.usable, found.format, found.width, found.height) == (True, "jpeg", 300, 200)
    assert [issue.code for issue in found.issues] == ["IMAGE_EXTENSION_DIFFERS"]
    assert [issue.code for issue in client.probe_image(b"no image").issues] == ["IMAGE_UNSUPPORTED"]
    assert not client.probe_image(file.read_bytes(), min_side=201).usable
    with pytest.raises(InvalidArgument, match="can be looked at"):
        client.probe_image(bytes(17 << 20))
    with pytest.raises(InvalidArgument, match="cannot be read"):
        client.probe_image(tmp_path / "none.jpg")


def test_the_command_probes_files(framehouse: Framehouse, stack: object, tmp_path: Path) -> None:
    good, cut = tmp_path / "good.png", tmp_path / "cut.png"
    good.write_bytes(example("png"))
    cut.write_bytes(example("png")[:-500])
    shown = framehouse("probe", str(good), str(cut))
    assert shown.returncode == 0
    assert "png, 300 × 200 pixels" in shown.stdout
    assert "error IMAGE_TRUNCATED" in shown.stdout
    document = json.loads(framehouse("probe", "--json", str(good), str(cut)).stdout)
    assert [image["usable"] for image in document["images"]] == [True, False]


def test_bytes_that_were_imported_before_are_not_decoded_again(
    client: Client, bucket: Bucket, tmp_path: Path, unique_name: str
) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(encoded(picture(640, 480), "JPEG", comment=unique_name))
    (folder / "b.jpg").write_bytes(encoded(picture(200, 150).convert("CMYK"), "JPEG", comment=unique_name))
    first = client.import_dataset(folder, unique_name, max_side=500)
    (folder / "a.jpg").rename(folder / "c.jpg")
    second = client.import_dataset(folder, f"{unique_name}-2", max_side=500)
    assert list(bucket.keys(f"derived/{first.dataset.uid}/"))
    assert not list(bucket.keys(f"derived/{second.dataset.uid}/"))
    assert [count.code for count in second.issue_counts] == [count.code for count in first.issue_counts]
    one = client.get_image(image_name(unique_name, "a.jpg"))
    other = client.get_image(image_name(f"{unique_name}-2", "c.jpg"))
    assert (one.hash, one.width, one.normalised_width) == (other.hash, other.width, other.normalised_width)
    assert other.normalised_width == 500
    assert client.thumbnail(one.name) == client.thumbnail(other.name)


def test_a_raw_photograph_is_imported_with_a_form_that_can_be_read(
    client: Client, tmp_path: Path, unique_name: str
) -> None:
    data = dng(picture(120, 80), orientation=6)
    (tmp_path / "a.dng").write_bytes(data)
    client.import_dataset(tmp_path / "a.dng", unique_name)
    found = client.get_image(image_name(unique_name, "a.dng"))
    assert (found.format, found.width, found.height, found.normalised_width) == ("dng", 80, 120, 80)
    assert client.read_image(found.name) == data
    assert Image.open(io.BytesIO(client.thumbnail(found.name))).size == (80, 120)
