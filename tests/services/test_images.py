"""Single images of a dataset: their bytes under signed URLs, their drawn forms and previews, over both faces."""

import http.client
import io
import json
import random
import time
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec
import numpy as np
import pytest
from PIL import Image

from framehouse.cli.stack.state import StackInfo
from framehouse.client import Client
from framehouse.client.errors import FailedPrecondition, InvalidArgument, NotFound
from framehouse.client.names import image_name
from framehouse.runtime.errors import NotFound as Gone
from framehouse.runtime.errors import ServiceError
from framehouse.store.bucket import Bucket
from framehouse.store.signed_urls import Target, sign, signing_key, verify
from framehouse.v1 import dataset_pb2
from services.gateway import images
from services.gateway.images import read
from services.media.drawing import colour_of
from tests.conftest import Framehouse
from tests.samples import Object, Picture, draw_dataset, synthetic_coco

CLASSES = ("circle", "rectangle", "triangle")
TURNED = "turned.jpg"
"""A picture that lies on its side in its file: red above blue, 300 × 400, once it is upright."""


class Shapes(NamedTuple):
    """An imported dataset and what it was drawn from. The names of pictures are their paths in it, too."""

    name: str
    folder: Path
    pictures: dict[str, Picture]

    def file(self, path: str) -> bytes:
        """The file as it was before it was packed."""
        picture = self.pictures.get(path)
        return (self.folder / (picture.path if picture else f"images/train/{path}")).read_bytes()


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


@pytest.fixture(scope="module")
def shapes(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shapes]:
    """Twelve pictures; those of the split val are deflated in their archive, the others stored."""
    root = tmp_path_factory.mktemp("images")
    pictures = draw_dataset(root / "shapes", 12, classes=CLASSES)
    upright = Image.new("RGB", (300, 400), "blue")
    upright.paste((255, 0, 0), (0, 0, 300, 200))
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(root / "shapes/images/train" / TURNED, exif=exif, quality=95)
    with zipfile.ZipFile(root / "shapes.zip", "w") as archive:
        for file in sorted((root / "shapes").rglob("*.*")):
            method = zipfile.ZIP_DEFLATED if "val" in file.parts else zipfile.ZIP_STORED
            archive.write(file, file.relative_to(root / "shapes"), method)
    name = f"images-{random.randrange(1 << 32):08x}"
    client.import_dataset(root / "shapes.zip", name)
    yield Shapes(name, root / "shapes", {Path(picture.path).name: picture for picture in pictures})
    client.delete_dataset(name)


def ask(url: str, verb: str = "GET", **headers: str) -> Answer:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=20)
    try:
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.request(verb, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return Answer(response.status, dict(response.getheaders()), response.read())
    finally:
        connection.close()


def face(stack: StackInfo, name: str, what: str = "") -> str:
    return f"http://{stack.addresses['http']}/v1/{name}{what}"


def get(client: Client, shapes: Shapes, path: str) -> dataset_pb2.Image:
    return client.get_image(image_name(shapes.name, path))


def pixels_of(data: bytes) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(np.int64)


# --- bytes


def test_an_image_is_told_and_its_bytes_come_as_they_went_in(client: Client, shapes: Shapes) -> None:
    for path, picture in shapes.pictures.items():
        image = get(client, shapes, path)
        assert (image.path, image.split) == (path, picture.split)
        assert (image.width, image.height, image.annotation_count) == (
            picture.width,
            picture.height,
            len(picture.objects),
        )
        assert image.size == len(shapes.file(path))
        assert not image.HasField("frame")
        answer = ask(image.url)
        assert (answer.status, answer.body) == (200, shapes.file(path))
        assert answer.headers["content-type"] == ("image/png" if path.endswith("png") else "image/jpeg")
        assert answer.headers["etag"] == f'"{image.hash}"'
        assert answer.headers["content-length"] == str(image.size)
        life = image.url_expire_time.seconds - time.time()
        assert 3_590 < life <= 3_900
        age = int(answer.headers["cache-control"].split("=")[1].split(",")[0])
        assert answer.headers["cache-control"] == f"private, max-age={age}, immutable"
        assert abs(life - age) < 5
    assert client.read_image(image_name(shapes.name, TURNED)) == shapes.file(TURNED)


def test_the_preview_is_served_as_the_thumbnail_is(client: Client, shapes: Shapes) -> None:
    for path in ("000000.jpg", "000004.jpg", TURNED):
        image = get(client, shapes, path)
        answer = ask(image.preview_url)
        assert answer.headers["content-type"] == "image/webp"
        assert answer.body == client.thumbnail(image.name) == client.thumbnail(image.name, 1000)
        preview, small = (Image.open(io.BytesIO(data)) for data in (answer.body, client.thumbnail(image.name, 64)))
        assert max(preview.size) == 256
        assert (preview.format, small.format, max(small.size)) == ("WEBP", "WEBP", 64)
        assert preview.width / preview.height == pytest.approx(image.width / image.height, abs=0.02)


@pytest.mark.parametrize("path", ["000000.jpg", "000004.jpg"])  # stored, deflated
def test_a_range_is_that_part_of_the_file(client: Client, shapes: Shapes, path: str) -> None:
    url, data = get(client, shapes, path).url, shapes.file(path)
    for asked, begin, end in (("0-0", 0, 1), ("100-199", 100, 200), (f"{len(data) - 5}-", -5, None), ("-7", -7, None)):
        answer = ask(url, range=f"bytes={asked}")
        assert (answer.status, answer.body) == (206, data[begin:end])
        first = len(data) + begin if begin < 0 else begin
        assert answer.headers["content-range"] == f"bytes {first}-{first + len(answer.body) - 1}/{len(data)}"
    tag = ask(url).headers["etag"]
    assert ask(url, range="bytes=0-9", if_range=tag).status == 206
    assert ask(url, range="bytes=0-9", if_range='"other"').body == data
    assert ask(url, range="bytes=0-9,20-29").body == data
    refused = ask(url, range=f"bytes={len(data)}-")
    assert (refused.status, refused.headers["content-range"]) == (416, f"bytes */{len(data)}")
    assert json.loads(refused.body)["error"]["status"] == "OUT_OF_RANGE"


def test_head_and_a_known_tag_are_answered_without_bytes(client: Client, shapes: Shapes) -> None:
    url = get(client, shapes, "000004.jpg").url
    whole, head = ask(url), ask(url, "HEAD")
    assert (head.status, head.body) == (200, b"")
    different = {"date", "x-request-id", "cache-control"}
    assert {k: v for k, v in head.headers.items() if k not in different} == {
        k: v for k, v in whole.headers.items() if k not in different
    }
    known = ask(url, if_none_match=f'"x", {whole.headers["etag"]}')
    assert (known.status, known.body, known.headers["etag"]) == (304, b"", whole.headers["etag"])
    assert "immutable" in known.headers["cache-control"]
    assert ask(url, if_none_match='"x"').status == 200


def test_a_changed_or_dead_url_is_refused_with_what_to_do(client: Client, shapes: Shapes) -> None:
    base, _, token = get(client, shapes, "000000.jpg").url.rpartition("/")
    what = verify(token, signing_key())
    dead = sign(msgspec.structs.replace(what, end=int(time.time()) - 1), signing_key())
    other = sign(what, b"another key")
    for text, reason in (
        (token[:-1], "URL_SIGNATURE_WRONG"),
        ("x" + token, "URL_SIGNATURE_WRONG"),
        (other, "URL_SIGNATURE_WRONG"),
        (dead, "URL_EXPIRED"),
    ):
        answer = ask(f"{base}/{text}")
        error = json.loads(answer.body)["error"]
        assert (answer.status, error["status"], error["details"][0]["reason"]) == (403, "PERMISSION_DENIED", reason)
        assert "ask GetImage for a new one" in error["message"]
        assert answer.headers["cache-control"] == "no-store"


def test_an_image_whose_object_is_gone_is_not_found(client: Client, shapes: Shapes) -> None:
    base, _, token = get(client, shapes, "000000.jpg").url.rpartition("/")
    gone = sign(msgspec.structs.replace(verify(token, signing_key()), object="packs/gone"), signing_key())
    for verb in ("GET", "HEAD"):
        assert ask(f"{base}/{gone}", verb).status == 404


def test_no_log_has_a_signed_url(client: Client, shapes: Shapes, stack: StackInfo) -> None:
    _, _, token = get(client, shapes, "000000.jpg").url.rpartition("/")
    ask(f"http://{stack.addresses['http']}/images/{token}")
    ask(f"http://{stack.addresses['http']}/images/{token[:-1]}")
    logs = list((stack.data / "logs").iterdir())
    assert len(logs) > 6
    assert [log.name for log in logs if token[:40] in log.read_text(errors="replace")] == []


@pytest.fixture
def stored(bucket: Bucket) -> Iterator[tuple[bytes, dict[int, Target]]]:
    """Some bytes, and where they lie in an object between others: as they are (0), and deflated (8)."""
    data = random.Random(1).randbytes(300) * 60
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    packed = packer.compress(data) + packer.flush()
    key = f"packs/test{random.randrange(1 << 32):08x}"
    bucket.put(key, b"before!" + data + packed + b"and after")
    usual = key, "image/png", "abc", "a.png", 1 << 40
    places = {0: (7, len(data)), 8: (7 + len(data), len(packed))}
    yield (
        data,
        {
            method: Target(usual[0], offset, size, len(data), method, zlib.crc32(data), *usual[1:])
            for method, (offset, size) in places.items()
        },
    )
    bucket.remove([key])


@pytest.mark.parametrize("method", [0, 8])
def test_any_range_in_pieces_of_any_size_is_the_same_part(
    bucket: Bucket, stored: tuple[bytes, dict[int, Target]], method: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, places = stored
    rng = random.Random(method)
    for piece in (999, 5_000, 1 << 20):
        monkeypatch.setattr(images, "PIECE", piece)
        assert b"".join(read(bucket, places[method], 0, len(data))) == data
        for _ in range(10):
            begin, end = sorted(rng.sample(range(len(data) + 1), 2))
            assert b"".join(read(bucket, places[method], begin, end)) == data[begin:end]


@pytest.mark.parametrize(
    ("method", "given", "words"),
    [
        (0, {"crc32": 1}, "do not match their checksum"),
        (8, {"crc32": 1}, "do not match their checksum"),
        (8, {"size": 17_999}, "more bytes than announced"),
        (8, {"size": 18_001}, "fewer bytes than announced"),
        (8, {"offset": 0}, "cannot be unpacked"),
        (0, {"size": 1 << 20}, "ends too early"),
    ],
)
def test_what_is_damaged_is_never_sent_whole(
    bucket: Bucket, stored: tuple[bytes, dict[int, Target]], method: int, given: dict[str, Any], words: str
) -> None:
    what = msgspec.structs.replace(stored[1][method], **given)
    with pytest.raises(ServiceError, match=words):
        list(read(bucket, what, 0, what.size))


def test_bytes_of_an_absent_object_are_gone(bucket: Bucket, stored: tuple[bytes, dict[int, Target]]) -> None:
    with pytest.raises(Gone, match="removed after the URL was made"):
        list(read(bucket, msgspec.structs.replace(stored[1][0], object="packs/none"), 0, 10))


# --- names


def test_an_image_that_is_not_there_is_said_to_be_missing(client: Client, shapes: Shapes) -> None:
    for call in (client.get_image, client.render_image, client.thumbnail):
        with pytest.raises(NotFound, match="XXH3-128 of an image's path"):
            call(image_name(shapes.name, "no/such.jpg"))
        with pytest.raises(NotFound, match="dataset"):
            call(image_name("no-such-dataset", "a.jpg"))
        with pytest.raises(InvalidArgument, match="is no image"):
            call(f"users/local/datasets/{shapes.name}/images/000000.jpg")


# --- drawing


def edges_of(one: Object) -> tuple[np.ndarray[Any, Any], ...]:
    """Pixels along the four edges of a box, in the middle of each, as (x, y)."""
    x, y, right, bottom = one.x, one.y, one.x + one.width, one.y + one.height
    return tuple(
        np.array(place)
        for place in (
            ((x + right) // 2, y),
            ((x + right) // 2, bottom),
            (x, (y + bottom) // 2),
            (right, (y + bottom) // 2),
        )
    )


def test_boxes_are_drawn_in_the_colour_of_their_class_around_their_objects(client: Client, shapes: Shapes) -> None:
    seen = 0
    for path, picture in shapes.pictures.items():
        name = image_name(shapes.name, path)
        plain = pixels_of(client.render_image(name, size=4096, format="png", annotations=False))
        with_boxes = pixels_of(client.render_image(name, size=4096, format="png", class_names=False))
        assert plain.shape == with_boxes.shape == (picture.height, picture.width, 3)
        if path.endswith("png"):
            assert (plain == pixels_of(shapes.file(path))).all()
        for one in picture.objects:
            colour = np.array(colour_of(CLASSES.index(one.label)))
            for x, y in edges_of(one):
                around = with_boxes[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2].reshape(-1, 3)
                assert np.abs(around - colour).sum(axis=1).min() < 90
                seen += 1
        changed = np.abs(with_boxes - plain).sum(axis=2) > 0
        near = np.zeros_like(changed)
        for one in picture.objects:
            near[max(0, one.y - 3) : one.y + one.height + 4, max(0, one.x - 3) : one.x + one.width + 4] = True
        assert not (changed & ~near).any()
    assert seen > 50


def test_a_drawn_image_has_the_size_and_the_part_that_were_asked_for(client: Client, shapes: Shapes) -> None:
    path, picture = next(item for item in shapes.pictures.items() if item[1].objects)
    name = image_name(shapes.name, path)
    long_side = max(picture.width, picture.height)
    for size, expected in ((0, min(1024, long_side)), (100, 100), (4096, long_side)):
        assert max(Image.open(io.BytesIO(client.render_image(name, size=size))).size) == expected
    whole = pixels_of(client.render_image(name, size=4096, format="png", annotations=False))
    part = pixels_of(client.render_image(name, crop=(30, 20, 200, 100), format="png", annotations=False))
    assert (part == whole[20:120, 30:230]).all()
    for format, kind in (("webp", "WEBP"), ("jpeg", "JPEG"), ("png", "PNG")):
        assert Image.open(io.BytesIO(client.render_image(name, size=64, format=format))).format == kind


def test_only_the_classes_that_were_asked_for_are_drawn(client: Client, shapes: Shapes) -> None:
    path, picture = next(
        item for item in shapes.pictures.items() if len({one.label for one in item[1].objects}) in (1, 2)
    )
    name, there = image_name(shapes.name, path), {one.label for one in picture.objects}
    absent = next(label for label in CLASSES if label not in there)
    plain = client.render_image(name, format="png", annotations=False)
    assert client.render_image(name, format="png", labels=[absent]) == plain
    assert client.render_image(name, format="png", labels=[*there, absent]) == client.render_image(name, format="png")
    with pytest.raises(InvalidArgument, match="no class 'circel'; did you mean 'circle'"):
        client.render_image(name, labels=["circel"])


def test_what_cannot_be_drawn_so_is_refused_with_the_field(client: Client, shapes: Shapes) -> None:
    name = image_name(shapes.name, TURNED)
    for crop in ((0, 0, 301, 10), (-1, 0, 10, 10), (299, 399, 2, 1), (0, 0, 0, 10)):
        with pytest.raises(InvalidArgument, match="does not lie in the image of 300 × 400 pixels"):
            client.render_image(name, crop=crop)
    for size in (-1, 4097):
        with pytest.raises(InvalidArgument, match="it must be 0 to 4096"):
            client.render_image(name, size=size)


def test_an_image_that_lies_on_its_side_is_drawn_upright(client: Client, shapes: Shapes) -> None:
    name = image_name(shapes.name, TURNED)
    for data in (
        client.render_image(name, size=4096, format="png"),
        client.render_image(name, size=100),
        client.thumbnail(name),
    ):
        pixels = pixels_of(data)
        height, width = pixels.shape[:2]
        assert width / height == pytest.approx(0.75, abs=0.01)
        assert np.abs(pixels[height // 4, width // 2] - (255, 0, 0)).max() < 12
        assert np.abs(pixels[3 * height // 4, width // 2] - (0, 0, 255)).max() < 12


def test_both_faces_answer_with_the_same_file(client: Client, shapes: Shapes, stack: StackInfo) -> None:
    name = image_name(shapes.name, "000000.jpg")
    query = ":render?size=90&crop.x=10&crop.y=20&crop.width=100&crop.height=50&format=RENDER_FORMAT_PNG&labels=circle"
    answer = ask(face(stack, name, query))
    assert (answer.status, answer.headers["content-type"]) == (200, "image/png")
    assert answer.headers["content-length"] == str(len(answer.body))
    assert answer.body == client.render_image(name, size=90, crop=(10, 20, 100, 50), format="png", labels=["circle"])
    answer = ask(face(stack, name, ":thumbnail?size=50"))
    assert (answer.headers["content-type"], answer.body) == ("image/webp", client.thumbnail(name, 50))
    told = json.loads(ask(face(stack, name)).body)
    assert (told["path"], told["urlExpireTime"][-1]) == ("000000.jpg", "Z")
    assert ask(told["url"]).body == shapes.file("000000.jpg")


def test_without_bytes_there_is_nothing_to_see(client: Client, unique_name: str, tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    synthetic_coco(tmp_path / "labels/instances.json", 2, 3)
    first = json.loads((tmp_path / "labels/instances.json").read_text())["images"][0]
    client.import_dataset(tmp_path / "labels", unique_name)
    name = image_name(unique_name, first["file_name"])
    image = client.get_image(name)
    assert (image.width, image.url, image.preview_url, image.HasField("url_expire_time")) == (
        first["width"],
        "",
        "",
        False,
    )
    for call in (client.render_image, client.thumbnail, client.read_image):
        with pytest.raises(FailedPrecondition, match="has no bytes"):
            call(name)
    client.delete_dataset(unique_name)


def test_where_only_the_normalised_form_was_kept_it_is_served_and_boxes_are_scaled(
    client: Client, unique_name: str, tmp_path: Path
) -> None:
    (picture,) = draw_dataset(tmp_path / "one", 1)
    client.import_dataset(tmp_path / "one", unique_name, max_side=250, drop_originals=True)
    image = client.get_image(image_name(unique_name, "000000.jpg"))
    assert (image.width, image.height, image.normalised_width, image.normalised_height) == (360, 500, 180, 250)
    answer = ask(image.url)
    assert answer.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(answer.body)).size == (180, 250)
    pixels = pixels_of(client.render_image(image.name, format="png", class_names=False))
    assert pixels.shape == (500, 360, 3)
    for one in picture.objects:
        for x, y in edges_of(one):
            around = pixels[y - 1 : y + 2, x - 1 : x + 2].reshape(-1, 3)
            assert np.abs(around - colour_of(CLASSES.index(one.label))).sum(axis=1).min() < 90
    client.delete_dataset(unique_name)


# --- the command


def test_the_command_shows_fetches_and_draws_an_image(shapes: Shapes, framehouse: Framehouse, tmp_path: Path) -> None:
    shown = json.loads(
        framehouse("image", shapes.name, "000000.jpg", "--out", str(tmp_path / "a.jpg"), "--json").stdout
    )
    assert (tmp_path / "a.jpg").read_bytes() == shapes.file("000000.jpg") == ask(shown["url"]).body
    target = tmp_path / "a.png"
    drawn = framehouse("render", shapes.name, "000000.jpg", "-o", str(target), "--crop", "0,0,50,40", "--json")
    assert json.loads(drawn.stdout) == {"out": str(target), "size": target.stat().st_size}
    assert Image.open(target).size == (50, 40)
    refused = framehouse("render", shapes.name, "000000.jpg", "-o", str(tmp_path / "a.gif"))
    assert (refused.returncode, "call it .webp, .jpg or .png" in refused.stderr) == (1, True)
