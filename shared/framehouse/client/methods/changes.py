"""Changes of images: of one's annotations, of many at once, and of those that were removed."""

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence

from framehouse.client.errors import InvalidArgument, NotFound
from framehouse.client.names import image_name
from framehouse.client.options import one_of
from framehouse.client.suite import Suite
from framehouse.v1 import dataset_pb2

STATES: Mapping[str, dataset_pb2.ImageState] = {
    "unannotated": dataset_pb2.IMAGE_STATE_UNANNOTATED,
    "verified-empty": dataset_pb2.IMAGE_STATE_VERIFIED_EMPTY,
}
GROUPS: Mapping[str, dataset_pb2.SplitGroup] = {
    "": dataset_pb2.SPLIT_GROUP_UNSPECIFIED,
    "folder": dataset_pb2.SPLIT_GROUP_FOLDER,
    "look": dataset_pb2.SPLIT_GROUP_LOOK,
    "attribute": dataset_pb2.SPLIT_GROUP_ATTRIBUTE,
}
"""What keeps images together."""


async def change_images(
    suite: Suite,
    name: str,
    filter: str = "",
    *,
    images: Sequence[str] = (),
    move_to_split: str | None = None,
    state: str = "",
    remove: bool = False,
    etag: str = "",
    validate_only: bool = False,
) -> dataset_pb2.ChangeImagesResponse:
    """Changes the images that a filter selects, `*` for all, or some of them by path or name; all or nothing.

    One change: `move_to_split` (empty for none), `state` (`unannotated` or `verified-empty`) or `remove`. With
    `etag` only where the dataset is still the one that was read; `validate_only` just says how many would change.
    """
    wanted = one_of("state", state, STATES) if state else None
    if (move_to_split is not None) + bool(state) + remove != 1:
        raise InvalidArgument("there is no change, or more than one", remedy="give one of split, state and remove")
    if bool(filter) == bool(images):
        raise InvalidArgument("no images are selected, or in two ways", remedy="give a filter, * for all, or paths")
    parent = suite.names.dataset(name)
    request = dataset_pb2.ChangeImagesRequest(parent=parent, etag=etag, validate_only=validate_only)
    if filter:
        request.filter = filter
    else:
        request.images.names.extend(_image_names(parent, images))
    if move_to_split is not None:
        request.move_to_split = move_to_split
    elif wanted is not None:
        request.set_state = wanted
    else:
        request.remove = True
    try:
        return await suite.call("DatasetService/ChangeImages", request, dataset_pb2.ChangeImagesResponse)
    except NotFound as error:
        for one, full in zip(images, request.images.names, strict=False):
            if full in error.message:
                raise NotFound(f"{parent} has no image {one!r}", reason=error.reason, facts=error.facts) from None
        raise


async def update_annotations(
    suite: Suite,
    name: str,
    annotations: Sequence[dataset_pb2.Annotation],
    *,
    verified_empty: bool = False,
    etag: str = "",
) -> dataset_pb2.Image:
    """Replaces all annotations of an image, those of other tasks too; `get_image` with `all_tasks` reads them.

    An id of 0 takes the next free one. `verified_empty`: with no annotations, that somebody looked.
    """
    request = dataset_pb2.UpdateAnnotationsRequest(
        image=name, annotations=annotations, verified_empty=verified_empty, etag=etag
    )
    return await suite.call("DatasetService/UpdateAnnotations", request, dataset_pb2.Image)


async def list_removals(suite: Suite, name: str) -> AsyncGenerator[dataset_pb2.Removal, None]:
    """The removals of images from a dataset that can be taken back, newest first."""
    request = dataset_pb2.ListRemovalsRequest(parent=suite.names.dataset(name), page_size=1000)
    async for page in suite.pages("DatasetService/ListRemovals", request, dataset_pb2.ListRemovalsResponse):
        for removal in page.removals:
            yield removal


async def restore_images(
    suite: Suite,
    name: str,
    filter: str = "",
    *,
    removal: str = "",
    images: Sequence[str] = (),
    etag: str = "",
    validate_only: bool = False,
) -> dataset_pb2.ChangeImagesResponse:
    """Puts removed images back: those that a filter selects, `*` for all, of one removal, or by path or name.

    `removal`: the name of one, or the last part of it.
    """
    if bool(filter) + bool(removal) + bool(images) != 1:
        raise InvalidArgument(
            "no images are selected, or in two ways", remedy="give a filter, * for all, a removal, or paths"
        )
    parent = suite.names.dataset(name)
    request = dataset_pb2.RestoreImagesRequest(parent=parent, etag=etag, validate_only=validate_only)
    if removal:
        request.removal = removal if "/" in removal else f"{parent}/removals/{removal}"
    elif filter:
        request.filter = filter
    else:
        request.images.names.extend(_image_names(parent, images))
    return await suite.call("DatasetService/RestoreImages", request, dataset_pb2.ChangeImagesResponse)


async def redistribute_splits(
    suite: Suite,
    name: str,
    shares: Mapping[str, float] | None = None,
    *,
    seed: int = 0,
    stratify: bool = False,
    group: str = "",
    etag: str = "",
    validate_only: bool = False,
) -> dataset_pb2.RedistributeSplitsResponse:
    """Deals the images out to splits anew, by their shares; without them train 0.8, val 0.2.

    `stratify`: keeps the shares within each class. `group`: images of one `folder`, as frames of one video are,
    stay together, or those that `look` alike, or have the same value of an attribute: `attribute:NAME`. Those of
    the same bytes always do. `validate_only` just says what the splits would be.
    """
    kind, _, attribute = group.partition(":")
    if kind not in GROUPS or (kind == "attribute") != bool(attribute):
        raise InvalidArgument(f"{group!r} is no group of images", remedy="say folder, look, or attribute:NAME")
    request = dataset_pb2.RedistributeSplitsRequest(
        name=suite.names.dataset(name),
        shares=[dataset_pb2.SplitShare(split=split, share=share) for split, share in (shares or {}).items()],
        seed=seed,
        stratify=stratify,
        group=GROUPS[kind],
        group_attribute=attribute,
        etag=etag,
        validate_only=validate_only,
    )
    return await suite.call("DatasetService/RedistributeSplits", request, dataset_pb2.RedistributeSplitsResponse)


def _image_names(dataset: str, images: Sequence[str]) -> Iterator[str]:
    """The full names of images that are given by their path or full name."""
    return (one if one.startswith(f"{dataset}/images/") else image_name(dataset, one) for one in images)
