"""Images one by one and in lists, their bytes, their pictures, and those that are there twice."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path

from google.api import httpbody_pb2

from framehouse.client.errors import FailedPrecondition, InvalidArgument
from framehouse.client.images import read
from framehouse.client.options import one_of
from framehouse.client.suite import Suite
from framehouse.v1 import dataset_pb2, media_pb2

RENDER_FORMATS: Mapping[str, media_pb2.RenderFormat] = {
    "webp": media_pb2.RENDER_FORMAT_WEBP,
    "jpeg": media_pb2.RENDER_FORMAT_JPEG,
    "png": media_pb2.RENDER_FORMAT_PNG,
}


async def probe_image(
    suite: Suite, image: str | Path | bytes, *, file_name: str = "", min_side: int | None = None
) -> media_pb2.ProbeImageResponse:
    """What an import would say of an image: a file, or its bytes. Nothing is kept, and bad images are no errors.

    `file_name` is what its extension is compared with; that of a file is its own.
    """
    if isinstance(image, bytes):
        data = image
    else:
        file_name = file_name or Path(image).name
        try:
            data = await asyncio.to_thread(Path(image).read_bytes)
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise InvalidArgument(f"{str(image)!r} cannot be read: {why}", reason="SOURCE_UNREADABLE") from None
    request = media_pb2.ProbeImageRequest(data=data, file_name=file_name, min_side=min_side)
    return await suite.call("MediaService/ProbeImage", request, media_pb2.ProbeImageResponse)


async def get_image(
    suite: Suite, name: str, *, annotations: bool = False, all_tasks: bool = False
) -> dataset_pb2.Image:
    """One image, with URLs of its bytes and its preview; `names.image_name` makes its name of its path.

    `annotations`: with those of the dataset's task; `all_tasks`: with all of them, whatever the task is.
    """
    request = dataset_pb2.GetImageRequest(name=name, view=_view(annotations, all_tasks))
    return await suite.call("DatasetService/GetImage", request, dataset_pb2.Image)


async def list_images(
    suite: Suite,
    name: str,
    filter: str = "",
    order_by: str = "",
    *,
    limit: int | None = None,
    annotations: bool = False,
    all_tasks: bool = False,
) -> AsyncGenerator[dataset_pb2.Image, None]:
    """The images of a dataset that a filter selects, `limit` at most, all as they were when the first was read.

    `name` may name a version, as `cars@3`. `filter`: for instance `split = val AND label:car`; `order_by`: for
    instance `size desc, path`. Both are told of in `docs/catalogue.md`. `annotations`: with those of the dataset's
    task; `all_tasks`: with all of them. The URLs of an image are those of the time at which it was read.
    """
    wanted = image_pages(suite, name, filter, order_by, limit=limit, annotations=annotations, all_tasks=all_tasks)
    async with aclosing(wanted) as pages:
        async for page in pages:
            for image in page.images:
                yield image


async def image_pages(
    suite: Suite,
    name: str,
    filter: str = "",
    order_by: str = "",
    *,
    limit: int | None = None,
    annotations: bool = False,
    all_tasks: bool = False,
) -> AsyncGenerator[dataset_pb2.ListImagesResponse, None]:
    """What `list_images` goes through, page by page, each with the number of all images that are selected."""
    parent, version = suite.names.versioned(name)
    request = dataset_pb2.ListImagesRequest(
        parent=parent, version=version, filter=filter, order_by=order_by, view=_view(annotations, all_tasks)
    )
    left = limit
    while left is None or left > 0:
        request.page_size = min(1000, left or 1000)
        page = await suite.call("DatasetService/ListImages", request, dataset_pb2.ListImagesResponse)
        yield page
        if not page.next_page_token:
            return
        left = None if left is None else left - len(page.images)
        request.page_token = page.next_page_token


async def read_image(suite: Suite, name: str) -> bytes:
    """The file of an image: as it came in, or its normalised form where only that was kept."""
    image = await get_image(suite, name)
    if not image.url:
        raise FailedPrecondition(
            f"{image.path!r} has no bytes", remedy="import it with its images", reason="IMAGE_ABSENT"
        )
    return await asyncio.to_thread(read, image.url)


async def render_image(
    suite: Suite,
    name: str,
    *,
    size: int = 0,
    crop: tuple[int, int, int, int] | None = None,
    format: str = "webp",
    annotations: bool = True,
    class_names: bool = True,
    labels: Sequence[str] = (),
) -> bytes:
    """An image as a file (`webp`, `jpeg` or `png`), upright, with its annotations drawn.

    `size`: pixels of the longest side, at most 4096; 0 means 1024. `crop`: x, y, width and height of a part, in
    pixels of the upright image. `labels`: only annotations of these classes.
    """
    request = media_pb2.RenderImageRequest(
        name=name,
        size=size,
        format=one_of("format", format, RENDER_FORMATS),
        without_annotations=not annotations,
        without_labels=not class_names,
        labels=labels,
    )
    if crop is not None:
        request.crop.x, request.crop.y, request.crop.width, request.crop.height = crop
    drawn = await suite.call("MediaService/RenderImage", request, httpbody_pb2.HttpBody)
    return bytes(drawn.data)


async def thumbnail(suite: Suite, name: str, size: int = 0) -> bytes:
    """The preview of an image, a WebP file, with `size` pixels on its longest side; 0 means 256, the largest."""
    request = media_pb2.GetThumbnailRequest(name=name, size=size)
    found = await suite.call("MediaService/GetThumbnail", request, httpbody_pb2.HttpBody)
    return bytes(found.data)


async def list_duplicates(
    suite: Suite, name: str, distance: int = 0
) -> AsyncGenerator[dataset_pb2.DuplicateGroup, None]:
    """The images of a dataset that have the same bytes, as groups of two or more, the largest first.

    With a `distance` of 1 to 8 those that look alike: in so many bits of 64 their looks may differ.
    """
    request = dataset_pb2.ListDuplicatesRequest(parent=suite.names.dataset(name), page_size=1000, distance=distance)
    async for page in suite.pages("DatasetService/ListDuplicates", request, dataset_pb2.ListDuplicatesResponse):
        for group in page.groups:
            yield group


def _view(annotations: bool, all_tasks: bool) -> dataset_pb2.ImageView:
    if all_tasks:
        return dataset_pb2.IMAGE_VIEW_ALL_TASKS
    return dataset_pb2.IMAGE_VIEW_FULL if annotations else dataset_pb2.IMAGE_VIEW_BASIC
