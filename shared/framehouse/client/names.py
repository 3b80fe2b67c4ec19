"""Names of datasets as people type them, `cars` is `users/local/datasets/cars`, and of the images in them."""

import re
import unicodedata

import xxhash

from framehouse.client.errors import InvalidArgument

USER = "users/local"
SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_FULL = re.compile(rf"users/{SLUG.pattern}/datasets/{SLUG.pattern}")


def dataset_name(name: str) -> str:
    """The resource name of a dataset; a short name is one of the local user's.

    Raises `InvalidArgument` with a name that would do.
    """
    if _FULL.fullmatch(name):
        return name
    if SLUG.fullmatch(name):
        return f"{USER}/datasets/{name}"
    suggestion = suggest(name)
    raise InvalidArgument(
        f"{name!r} cannot be the name of a dataset: small letters, digits and '-', beginning with a letter or digit, "
        "at most 63",
        remedy=f"try {suggestion}" if suggestion else "choose a name such as cars-2024",
        reason="DATASET_NAME_INVALID",
    )


def short_name(name: str) -> str:
    """How a dataset is called on the command line: `cars` for one of the local user's, else the whole name."""
    return name.removeprefix(f"{USER}/datasets/")


def image_name(dataset: str, path: str) -> str:
    """The resource name of an image, by its path in the dataset: `images/train/000000.jpg`."""
    return f"{dataset_name(dataset)}/images/{xxhash.xxh3_128_hexdigest(path.encode())}"


def suggest(name: str) -> str:
    """A valid name close to `name`; empty where nothing is left of it."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:63].rstrip("-")
