"""What commands take for a source that the suite fetches itself."""

from pathlib import Path

import pytest

from framehouse.client.errors import InvalidArgument
from framehouse.client.remote import Remote, is_remote, remote, urls_in


def test_urls_and_prefixes_are_told_from_paths() -> None:
    assert all(is_remote(source) for source in ("http://a/b.zip", "HTTPS://a", "s3://bucket/prefix"))
    assert not any(is_remote(source) for source in ("a.zip", "./http:/a", "/s3/bucket", "C:\\a", "ftp://a"))
    assert remote("http://a/1.jpg", "https://b/2.jpg") == Remote(urls=("http://a/1.jpg", "https://b/2.jpg"))
    assert remote("S3://bucket/prefix") == Remote(s3_prefix="s3://bucket/prefix")
    for mixed in (("http://a", "cars.zip"), ("s3://a", "s3://b"), ("s3://a", "http://b")):
        with pytest.raises(InvalidArgument, match="does not go with"):
            remote(*mixed)


def test_a_list_of_urls_has_one_a_line(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(b"\xef\xbb\xbf# mine\r\nhttp://a/1.jpg\r\n\r\n  https://b/2.jpg#part \r\n")
    assert urls_in(path).urls == ("http://a/1.jpg", "https://b/2.jpg#part")
    for text, complaint in (("# none\n", "holds no URLs"), ("http://a\ncars.jpg\n", r"list\.txt:2: 'cars\.jpg' is no")):
        path.write_text(text)
        with pytest.raises(InvalidArgument, match=complaint):
            urls_in(path)
    with pytest.raises(InvalidArgument, match="cannot be read: No such file"):
        urls_in(tmp_path / "none.txt")
