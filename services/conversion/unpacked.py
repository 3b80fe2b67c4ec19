"""Label files of any size as bytes that can be fetched by ranges: looked through once, unpacked beside where packed.

And the sizes of the parts that such a file is read in.
"""

from collections.abc import Callable

from framehouse.runtime.jobs import report as progress
from services.conversion.archive import Archive, ahead

PART_BYTES = 16 << 20
"""Of JSON that one step reads at most; it takes some ten times as much memory."""
SMALL_PART_BYTES = 4 << 20
"""Files are cut this small where that makes more steps to share."""
STEPS = 16
"""Parts that are wanted of any dataset, so that all processes have some to read."""


def unpacked(archive: Archive, row: int, key: str, look: Callable[[bytes], None]) -> tuple[str, int]:
    """Where the bytes of a file lie, object and offset: in the archive, or at `key` where they were packed.

    `look` is given all of them, in order, in chunks. InvalidArgument where the file is damaged.
    """
    found, offset, _ = archive.locate(row)
    chunks = ahead(archive.stream(row))
    seen = 0
    if archive.entries["method"][row].as_py() == 0:
        for chunk in chunks:
            look(chunk)
            progress(seen := seen + len(chunk))
        return found, offset
    with archive.bucket.writer(key) as writer:
        for chunk in chunks:
            writer.write(chunk)
            look(chunk)
            progress(seen := seen + len(chunk))
    return key, 0


def part_bytes(total: int) -> int:
    """How large the parts of label files of `total` bytes are cut."""
    return min(PART_BYTES, max(SMALL_PART_BYTES, total // STEPS))
