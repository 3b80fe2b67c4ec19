"""Resource names: `users/{user}/datasets/{dataset}`, `jobs/{job}`, `uploads/{upload}`, checked and taken apart."""

import re

from framehouse.runtime.errors import InvalidArgument

TAG_LETTERS = 63

SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_DATASET = re.compile(rf"users/({SLUG.pattern})/datasets/({SLUG.pattern})")
_USER = re.compile(rf"users/({SLUG.pattern})")
_VERSION = re.compile(rf"({_DATASET.pattern})/versions/([1-9][0-9]{{0,8}})")
_KEY = re.compile(rf"users/({SLUG.pattern})/keys/([0-9a-z]{{1,32}})")
_JOB = re.compile(r"jobs/([0-9a-f]{32})")
_UPLOAD = re.compile(r"uploads/([0-9a-f]{32})")


def dataset_parts(name: str, field: str = "name") -> tuple[str, str]:
    """User and dataset id of a dataset's name."""
    if match := _DATASET.fullmatch(name):
        return match[1], match[2]
    raise InvalidArgument(f"{name!r} is no dataset; write users/USER/datasets/DATASET", field=field)


def version_parts(name: str, field: str = "name") -> tuple[str, int]:
    """The dataset's name and the number of a version's name."""
    if match := _VERSION.fullmatch(name):
        return match[1], int(match[4])
    raise InvalidArgument(
        f"{name!r} is no version; write users/USER/datasets/DATASET/versions/NUMBER, with a number from 1", field=field
    )


def user_of(parent: str, field: str = "parent") -> str:
    """User id of `users/{user}`."""
    if match := _USER.fullmatch(parent):
        return match[1]
    raise InvalidArgument(f"{parent!r} is no user; write users/USER", field=field)


def key_parts(name: str, field: str = "name") -> tuple[str, str]:
    """User and key id of a key's name."""
    if match := _KEY.fullmatch(name):
        return match[1], match[2]
    raise InvalidArgument(f"{name!r} is no key; write users/USER/keys/KEY as ListKeys answered it", field=field)


def upload_id(name: str, field: str = "name") -> str:
    """Id of `uploads/{upload}`."""
    if match := _UPLOAD.fullmatch(name):
        return match[1]
    raise InvalidArgument(f"{name!r} is no upload; write uploads/UPLOAD as CreateUpload answered it", field=field)


def job_id(name: str, field: str = "name") -> str:
    """Id of `jobs/{job}`."""
    if match := _JOB.fullmatch(name):
        return match[1]
    raise InvalidArgument(f"{name!r} is no job; write jobs/JOB", field=field)


def check_slug(slug: str, field: str) -> None:
    """Refuses an id that could not be part of a name."""
    if not SLUG.fullmatch(slug):
        raise InvalidArgument(
            f"{slug!r} cannot be a dataset's id; use small letters, digits and '-', "
            "beginning with a letter or digit, at most 63",
            field=field,
        )


def check_tag(tag: str) -> None:
    """Refuses what cannot be the tag of an import. What looks like a job would be taken for one."""
    if len(tag) > TAG_LETTERS or not tag.isprintable() or tag != tag.strip() or tag.startswith("jobs/") or "*" in tag:
        raise InvalidArgument(
            f"{tag!r} cannot be a tag; use {TAG_LETTERS} printable letters at most, without an asterisk, and not jobs/ "
            "in front",
            field="tag",
        )
