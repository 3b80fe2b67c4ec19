"""Archives of very many photographs: copies of fewer, each with bytes of its own, so that no two are the same image."""

import zipfile
from pathlib import Path

from tests.samples import photo_archive

KILOBYTES = 110
DISTINCT = 1_000
"""Photographs that are really drawn, which takes some milliseconds each."""


def many_photos(path: Path, images: int, seed: int) -> int:
    """Writes a zip as `photo_archive` does, and says how many bytes its images have.

    The copies differ by a comment in the JPEG, which every decoder skips: what they cost to decode is the same.
    """
    drawn = path.with_suffix(".drawn.zip")
    photo_archive(drawn, min(images, DISTINCT), KILOBYTES, seed)
    total = 0
    with zipfile.ZipFile(drawn) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        photos = [source.read(name) for name in source.namelist() if name.endswith(".jpg")]
        for index in range(images):
            data = commented(photos[index % len(photos)], b"%d of %d" % (index, seed))
            archive.writestr(zipfile.ZipInfo(f"images/train/{index:06d}.jpg"), data)
            archive.writestr(zipfile.ZipInfo(f"labels/train/{index:06d}.txt"), "0 0.5 0.5 0.25 0.25\n")
            total += len(data)
        archive.writestr(zipfile.ZipInfo("data.yaml"), "train: images/train\nnames: [thing]\n")
    drawn.unlink()
    return total


def commented(jpeg: bytes, text: bytes) -> bytes:
    """The JPEG with a comment after its first segment, which must stay the first."""
    end = 4 + int.from_bytes(jpeg[4:6])
    return jpeg[:end] + b"\xff\xfe" + (2 + len(text)).to_bytes(2) + text + jpeg[end:]
