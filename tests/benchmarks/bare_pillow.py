"""The floor under an import: what every image costs at least, in bare Pillow on as many processes as cores.

Each image is read from the archive, decoded at reduced scale, made a 256 px WebP at method 0, and hashed with
XXH3-128. Nothing is stored.
"""

import io
import multiprocessing
import time
import zipfile
from pathlib import Path

import xxhash
from PIL import Image

PREVIEW_SIDE = 256
PREVIEW_QUALITY = 80
RUN = 50


def seconds(archive: Path, processes: int) -> float:
    """How long all images of a zip take, processes already started."""
    with zipfile.ZipFile(archive) as opened:
        names = [name for name in opened.namelist() if name.endswith(".jpg")]
    runs = [(archive, names[first : first + RUN]) for first in range(0, len(names), RUN)]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        pool.map(_process, [(archive, names[:2])] * processes, chunksize=1)
        begin = time.perf_counter()
        done = sum(pool.imap_unordered(_process, runs))
        taken = time.perf_counter() - begin
    assert done == len(names)
    return taken


def _process(work: tuple[Path, list[str]]) -> int:
    archive, names = work
    with zipfile.ZipFile(archive) as opened:
        for name in names:
            data = opened.read(name)
            xxhash.xxh3_128_hexdigest(data)
            image = Image.open(io.BytesIO(data))
            scale = PREVIEW_SIDE / max(image.size)
            size = round(image.width * scale), round(image.height * scale)
            image.draft("RGB", size)
            image.decodermaxblock = len(data)  # one pass over the bytes; without it, the floor would be a lower one
            image.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0).save(
                io.BytesIO(), "WEBP", method=0, quality=PREVIEW_QUALITY
            )
    return len(names)
