"""Names of datasets as people type them, `cars` is `users/local/datasets/cars`, and of the images in them.

Short names are those of one user: the one that `FRAMEHOUSE_USER` names, else the owner of the key, else `local`.
"""

import os
import re
import unicodedata

import xxhash

from framehouse.client.address import given_api_key
from framehouse.client.errors import InvalidArgument

SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_WAYS = re.compile(
    rf"(?:fh://(?P<a>{SLUG.pattern})/datasets/|users/(?P<b>{SLUG.pattern})/datasets/|(?P<c>{SLUG.pattern})/)?"
    rf"(?P<slug>{SLUG.pattern})(?:@(?P<version>[1-9][0-9]{{0,8}}))?"
)
"""`fh://ann/datasets/cars@3`, `users/ann/datasets/cars`, `ann/cars` and `cars`."""
_KEY = re.compile(rf"fh_[\w-]+\.({SLUG.pattern})")
"""What a key of a user looks like."""
_RECIPE = re.compile(rf"(?:users/(?P<a>{SLUG.pattern})/recipes/|(?P<b>{SLUG.pattern})/)?(?P<slug>{SLUG.pattern})")


def own_user(api_key: str | None = None) -> str:
    """`users/{user}` whose names short ones are; of a key, else of the one in the environment."""
    if named := os.environ.get("FRAMEHOUSE_USER"):
        return f"users/{named}"
    owner = _KEY.fullmatch(given_api_key() if api_key is None else api_key)
    return f"users/{owner[1] if owner else 'local'}"


class Names:
    """Names as one user types them. `own`: `users/{user}`."""

    def __init__(self, own: str) -> None:
        self.own = own

    def user(self, user: str) -> str:
        """`users/{user}`; of no name the own one, of `-` all."""
        return f"users/{user}" if user else self.own

    def dataset(self, name: str) -> str:
        """As `dataset_name`."""
        full, version = self.versioned(name)
        if version:
            raise InvalidArgument(
                f"{name!r} names a version, which cannot be changed and is not asked for here",
                remedy=f"leave @{version} away",
                reason="VERSION_NOT_TAKEN",
            )
        return full

    def versioned(self, name: str) -> tuple[str, int]:
        """As `versioned_name`."""
        if match := _WAYS.fullmatch(name):
            user = match["a"] or match["b"] or match["c"] or ""
            return f"{self.user(user)}/datasets/{match['slug']}", int(match["version"] or 0)
        slug, at, version = name.rpartition("@")
        if at and _WAYS.fullmatch(slug):
            raise InvalidArgument(
                f"{version!r} is no number of a version", remedy=f"write {slug}@1", reason="DATASET_NAME_INVALID"
            )
        suggestion = suggest(name)
        raise InvalidArgument(
            f"{name!r} cannot be the name of a dataset: small letters, digits and '-', beginning with a letter or "
            "digit, at most 63",
            remedy=f"try {suggestion}" if suggestion else "choose a name such as cars-2024",
            reason="DATASET_NAME_INVALID",
        )

    def version(self, name: str) -> str:
        """As `version_name`."""
        full, version = self.versioned(name)
        if not version:
            raise InvalidArgument(f"{name!r} names no version", remedy=f"write {name}@1", reason="VERSION_NOT_NAMED")
        return f"{full}/versions/{version}"

    def recipe(self, name: str) -> str:
        """As `recipe_name`."""
        if match := _RECIPE.fullmatch(name):
            return f"{self.user(match['a'] or match['b'] or '')}/recipes/{match['slug']}"
        raise InvalidArgument(
            f"{name!r} cannot be the name of a recipe: small letters, digits and '-', beginning with a letter or "
            "digit, at most 63",
            remedy="choose a name such as training",
            reason="RECIPE_NAME_INVALID",
        )


def dataset_name(name: str) -> str:
    """The resource name of a dataset; a short name is one of the user's own.

    For what is done to the dataset itself: `InvalidArgument` where a version is named, as `cars@3` does, and where it
    is no name, with one that would do.
    """
    return Names(own_user()).dataset(name)


def versioned_name(name: str) -> tuple[str, int]:
    """The resource name of a dataset and the number of a version of it, 0 for its head.

    For what can be done with a version, too: both go into the request. Raises as `dataset_name`.
    """
    return Names(own_user()).versioned(name)


def version_name(name: str) -> str:
    """The resource name of a version: `cars@3`. `InvalidArgument` where none is named."""
    return Names(own_user()).version(name)


def short_name(name: str) -> str:
    """How a dataset is called on the command line: `cars` for one of the user's own, else the whole name."""
    return name.removeprefix(f"{own_user()}/datasets/")


def image_name(dataset: str, path: str) -> str:
    """The resource name of an image, by its path in the dataset: `images/train/000000.jpg`."""
    return f"{dataset_name(dataset)}/images/{xxhash.xxh3_128_hexdigest(path.encode())}"


def recipe_name(name: str) -> str:
    """The resource name of a recipe: `training` is one of the user's own, `ann/training` one of another's."""
    return Names(own_user()).recipe(name)


def suggest(name: str) -> str:
    """A valid name close to `name`; empty where nothing is left of it."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:63].rstrip("-")
