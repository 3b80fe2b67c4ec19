"""What the suite fetches itself: files at URLs, or the objects under a prefix of an S3 bucket."""

import re
from dataclasses import dataclass
from pathlib import Path

from framehouse.client.errors import InvalidArgument

_REMOTE = re.compile(r"(?i)(https?|s3)://")


@dataclass(frozen=True)
class Remote:
    """Where the files of an upload lie; one of the two is given."""

    urls: tuple[str, ...] = ()
    s3_prefix: str = ""


def is_remote(source: str) -> bool:
    """Whether it is a URL or a prefix, and no path."""
    return bool(_REMOTE.match(source))


def remote(*sources: str) -> Remote:
    """`http(s)://` URLs, or one `s3://bucket/prefix`. Raises `InvalidArgument` for anything else, or both."""
    if len(sources) == 1 and sources[0].lower().startswith("s3://"):
        return Remote(s3_prefix=f"s3://{sources[0][5:]}")
    for source in sources:
        if not is_remote(source) or source.lower().startswith("s3://"):
            raise InvalidArgument(
                f"{source!r} does not go with {sources[0]!r}" if len(sources) > 1 else f"{source!r} is no URL",
                remedy="name paths, or URLs, or one s3:// prefix",
            )
    return Remote(urls=sources)


def urls_in(path: Path) -> Remote:
    """The URLs in a text file, one a line; empty lines and those that begin with `#` are left out."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InvalidArgument(f"the list {str(path)!r} cannot be read: {why}") from error
    found = [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip() and line.strip()[0] != "#"]
    for number, url in found:
        if not url.lower().startswith(("http://", "https://")):
            raise InvalidArgument(f"{path}:{number}: {url[:200]!r} is no URL", remedy="write http:// or https:// URLs")
    if not found:
        raise InvalidArgument(f"{str(path)!r} holds no URLs", remedy="write one a line")
    return Remote(urls=tuple(url for _, url in found))
