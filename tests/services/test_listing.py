"""Images of a dataset listed by filter and order, page by page, while the dataset changes."""

import base64
import json
import random
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from framehouse.cli.stack.state import StackInfo
from framehouse.client import Client
from framehouse.client.errors import InvalidArgument, NotFound
from framehouse.client.names import dataset_name, image_name
from framehouse.v1 import annotation_pb2, dataset_pb2
from tests.conftest import Framehouse
from tests.samples import Picture, draw_dataset

CLASSES = ("circle", "rectangle", "triangle")


class Shapes(NamedTuple):
    """An imported dataset and what it was drawn from."""

    name: str
    folder: Path
    pictures: dict[str, Picture]

    def paths(self, **like: Any) -> set[str]:
        """Those whose fields have these values."""
        return {path for path, one in self.pictures.items() if all(getattr(one, name) == like[name] for name in like)}


@pytest.fixture(scope="module")
def shapes(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shapes]:
    folder = tmp_path_factory.mktemp("listing") / "shapes"
    pictures = {Path(picture.path).name: picture for picture in draw_dataset(folder, 24, classes=CLASSES)}
    name = f"listing-{random.randrange(1 << 32):08x}"
    client.import_dataset(folder, name)
    yield Shapes(name, folder, pictures)
    client.delete_dataset(name)


def listed(client: Client, shapes: Shapes, filter: str = "", order_by: str = "") -> list[str]:
    return [image.path for image in client.list_images(shapes.name, filter, order_by)]


def pages(
    client: Client, shapes: Shapes, size: int, filter: str = "", order_by: str = ""
) -> Iterator[dataset_pb2.ListImagesResponse]:
    """Pages of a size that the client does not ask for by itself."""
    request = dataset_pb2.ListImagesRequest(
        parent=dataset_name(shapes.name), page_size=size, filter=filter, order_by=order_by
    )
    while True:
        yield (page := ask(client, request))
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


def ask(client: Client, request: dataset_pb2.ListImagesRequest) -> dataset_pb2.ListImagesResponse:
    return client._run(client._client._suite.call("DatasetService/ListImages", request, dataset_pb2.ListImagesResponse))


def test_every_field_selects(client: Client, shapes: Shapes) -> None:
    pictures = shapes.pictures
    size = {path: (shapes.folder / one.path).stat().st_size for path, one in pictures.items()}
    middle = sorted(size.values())[12]
    with_triangle = {path for path, one in pictures.items() if "triangle" in {shape.label for shape in one.objects}}
    empty = shapes.paths(objects=[])
    some = client.get_image(image_name(shapes.name, "000003.jpg"))
    expected = {
        "split = val": shapes.paths(split="val"),
        "label:triangle": with_triangle,
        'NOT label = "triangle"': set(pictures) - with_triangle,
        "kind:box": set(pictures) - empty,
        "annotations = 0": empty,
        "annotations >= 4": {path for path, one in pictures.items() if len(one.objects) >= 4},
        "state = annotated": set(pictures) - empty,
        "state != annotated": empty,
        "format = png": {path for path in pictures if path.endswith("png")},
        'path = "*1.jpg"': {path for path in pictures if path.endswith("1.jpg")},
        "path:0001": {path for path in pictures if "0001" in path},
        f"size < {middle}": {path for path in size if size[path] < middle},
        "width = 640 AND height = 480": shapes.paths(width=640, height=480),
        "orientation:* OR frame:*": set(),
        f"hash = {some.hash}": {"000003.jpg"},
        "split=train label:circle (annotations<3 OR width>1000)": {
            path
            for path, one in pictures.items()
            if one.split == "train"
            and "circle" in {shape.label for shape in one.objects}
            and (len(one.objects) < 3 or one.width > 1000)
        },
    }
    for filter, paths in expected.items():
        found = listed(client, shapes, filter)
        assert (len(found), set(found)) == (len(paths), paths), filter


def test_every_order_is_kept_over_pages_of_any_size(client: Client, shapes: Shapes) -> None:
    created = listed(client, shapes)
    keys = {
        "width": lambda image: image.width,
        "height": lambda image: image.height,
        "size": lambda image: image.size,
        "annotations": lambda image: image.annotation_count,
        "path": lambda image: image.path,
        "created": lambda image: created.index(image.path),
    }
    images = list(client.list_images(shapes.name))
    assert sorted(created) == sorted(shapes.pictures)
    for name, key in keys.items():
        for descending in (False, True):
            expected = [image.path for image in sorted(images, key=key, reverse=descending)]
            order = f"{name} desc" if descending else name
            assert listed(client, shapes, order_by=order) == expected, order
    expected = [image.path for image in sorted(images, key=lambda image: (-image.annotation_count, image.width))]
    for size in (1, 7, 24, 1000):
        found = list(pages(client, shapes, size, order_by="annotations desc, width"))
        assert [image.path for page in found for image in page.images] == expected
        assert {page.total_size for page in found} == {24}
        assert [len(page.images) for page in found[:-1]] == [size] * (len(found) - 1)


def test_an_image_in_a_list_is_the_image_itself(client: Client, shapes: Shapes) -> None:
    for image in client.list_images(shapes.name, "path:00000"):
        alone = client.get_image(image.name)
        assert image.url == alone.url or image.url_expire_time != alone.url_expire_time
        for one in (image, alone):
            for field in ("url", "preview_url", "url_expire_time"):
                one.ClearField(field)
        assert image == alone
        picture = shapes.pictures[image.path]
        assert image.labels == sorted({shape.label for shape in picture.objects})
        annotated = image.state == dataset_pb2.IMAGE_STATE_ANNOTATED
        assert annotated == bool(picture.objects)


def test_the_full_view_has_the_annotations(client: Client, shapes: Shapes) -> None:
    count = 0
    for image in client.list_images(shapes.name, order_by="size", annotations=True):
        shown = [(one.label, *(round(number) for number in one.bbox)) for one in image.annotations]
        objects = shapes.pictures[image.path].objects
        assert shown == [(one.label, one.x, one.y, one.width, one.height) for one in objects]
        assert {one.kind for one in image.annotations} <= {annotation_pb2.ANNOTATION_KIND_BOX}
        count += len(shown)
    assert count == client.get_dataset(shapes.name).annotation_count
    image = client.get_image(image_name(shapes.name, "000000.jpg"), annotations=True)
    assert len(image.annotations) == image.annotation_count > 0
    assert not client.get_image(image.name).annotations


def test_a_list_goes_on_as_it_began_while_the_dataset_changes(
    client: Client, shapes: Shapes, unique_name: str, tmp_path: Path
) -> None:
    client.import_dataset(shapes.folder, unique_name)
    mine = shapes._replace(name=unique_name)
    expected = listed(client, mine, "width > 360", "size desc")
    running = pages(client, mine, 5, "width > 360", "size desc")
    seen = [image.path for image in next(running).images]
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        archive.write(shapes.folder / shapes.pictures["000001.jpg"].path, "images/train/another.jpg")
        archive.write(shapes.folder / shapes.pictures[expected[6]].path, f"images/train/{expected[7]}")
        archive.write(shapes.folder / "data.yaml", "data.yaml")
    client.import_dataset(tmp_path / "more.zip", unique_name, add="replace")
    seen += [image.path for page in running for image in page.images]
    assert seen == expected
    now = listed(client, mine)
    assert (len(now), set(now[-2:])) == (25, {"another.jpg", expected[7]})  # what is replaced comes in anew
    client.delete_dataset(unique_name)


def test_a_token_of_another_query_is_refused(client: Client, shapes: Shapes) -> None:
    request = dataset_pb2.ListImagesRequest(parent=dataset_name(shapes.name), page_size=2, filter="width > 1")
    token = ask(client, request).next_page_token
    query, version, first = json.loads(base64.urlsafe_b64decode(token))
    forged = [[query, version + 1, first], [query, version, -1], [query, 1 << 70, 0], [query, version], query]
    tokens = [base64.urlsafe_b64encode(json.dumps(one).encode()).decode() for one in forged]
    for bad in (*tokens, "?", token[:-4], "ü"):
        with pytest.raises(InvalidArgument, match="not one of ours"):
            ask(client, dataset_pb2.ListImagesRequest(parent=request.parent, filter="width > 1", page_token=bad))
    for filter, order in (("width > 2", ""), ("width > 1", "size")):
        other = dataset_pb2.ListImagesRequest(parent=request.parent, page_token=token, filter=filter, order_by=order)
        with pytest.raises(InvalidArgument, match="another parent, filter, order or version"):
            ask(client, other)
    end = base64.urlsafe_b64encode(json.dumps([query, version, 1 << 62]).encode()).decode()
    assert not ask(
        client, dataset_pb2.ListImagesRequest(parent=request.parent, filter="width > 1", page_token=end)
    ).images


def test_what_is_wrong_is_said_with_its_place(client: Client, shapes: Shapes) -> None:
    with pytest.raises(InvalidArgument, match=r"column 9.*'triangle'") as caught:
        listed(client, shapes, "label = triangel")
    assert caught.value.facts["column"] == "9"
    with pytest.raises(InvalidArgument, match="no order by 'name'"):
        listed(client, shapes, order_by="name")
    with pytest.raises(NotFound):
        list(client.list_images("no-such-dataset"))


def test_images_are_listed_over_http_and_by_the_command(
    framehouse: Framehouse, stack: StackInfo, shapes: Shapes
) -> None:
    address = f"http://{stack.addresses['http']}/v1/{dataset_name(shapes.name)}/images"
    with urllib.request.urlopen(f"{address}?filter=split%3Dval&orderBy=path%20desc&pageSize=2") as answer:
        page = json.load(answer)
    paths = sorted(shapes.paths(split="val"), reverse=True)
    assert [image["path"] for image in page["images"]] == paths[:2]
    assert (page["totalSize"], bool(page["nextPageToken"])) == (str(len(paths)), True)
    order = ("--filter", "split=val", "--order-by", "path desc")
    document = json.loads(framehouse("images", shapes.name, *order, "--json").stdout)
    assert ([image["path"] for image in document["images"]], document["totalSize"]) == (paths, len(paths))
    shown = framehouse("images", shapes.name, *order, "--limit", "3")
    assert [path in shown.stdout for path in paths] == [True] * 3 + [False] * (len(paths) - 3)
    assert "3 of 4 images" in shown.stderr
    image = json.loads(framehouse("image", shapes.name, "000000.jpg", "--json").stdout)
    assert [one["label"] for one in image["annotations"]] == [
        one.label for one in shapes.pictures["000000.jpg"].objects
    ]
    wrong = framehouse("images", shapes.name, "--filter", "splt=val")
    assert (wrong.returncode, "column 1" in wrong.stderr) == (1, True)
