"""Images that are written in another format than they are in: encoded one by one, as the pieces of a bundle."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from framehouse.runtime import jobs
from framehouse.runtime.errors import FailedPrecondition
from framehouse.store import reencoding
from framehouse.store.bucket import Bucket
from framehouse.store.bundle import BundleWriter
from framehouse.store.packs import read_entries
from framehouse.v1.conversion_pb2 import Loss, WriteOptions
from services.conversion import forms

SHARD_IMAGES = 200
"""Images of one step: each takes from some milliseconds to some seconds."""
MANY_BITS = ("png", "tiff", "jp2", "heic", "avif", "mpo")
"""Formats whose images may have more than eight bits."""

Marks = NDArray[np.bool_]


def report(options: WriteOptions, images: pa.Table, formats: pa.Array, encoded: Marks, renamed: Marks) -> list[Loss]:
    """What images lose by being written in one format. FailedPrecondition where one is too long for it."""
    losses: list[Loss] = []
    if renamed.any():
        count = int(renamed.sum())
        text = f"{count} images whose names differ by extension alone are renamed, `1.png` to `1_png.jpg`"
        losses.append(Loss(code="NAME_CHANGED", subject="image names", image_count=count, fallback=text))
    target = options.image_format
    longest = np.maximum(*(np.array(pc.fill_null(images[name], 0)) for name in ("width", "height")))
    limit = reencoding.LONGEST_SIDE.get(target)
    if limit and (encoded & (longest > limit)).any():
        path = images["path"][int(np.argmax(encoded & (longest > limit)))].as_py()
        raise FailedPrecondition(
            f"{path} has a side of more than {limit:,} pixels, the most that {target} can have; choose png or tiff",
            reason="IMAGE_TOO_LONG",
        )
    touched, text = encoded, "encoded anew with quality 95: pixels change a little, 16 bits become 8, transparency goes"
    if target in ("webp", "bmp"):
        touched = encoded & np.array(pc.is_in(formats, pa.array(MANY_BITS)))
        text = "encoded anew with 8 bits a channel, in place of 16 where there are so many"
        if target == "bmp":
            text += ", and without transparency"
    if touched.any() and target in ("jpeg", "webp", "bmp"):
        count = int(touched.sum())
        losses.append(Loss(code="IMAGE_REENCODED", subject=f"images as {target}", image_count=count, fallback=text))
    return losses


def write(
    bucket: Bucket,
    rows: pa.Table,
    ranges: pa.Table,
    normalised: Marks,
    encoded: Marks,
    targets: pa.ChunkedArray,
    format: str,
    bundle: BundleWriter,
) -> None:
    """Writes the images that `encoded` marks, one after the other. FailedPrecondition where one cannot be decoded."""
    at = np.flatnonzero(encoded)
    if not len(at):
        return
    mine = ranges.take(pa.array(at))
    formats = pc.struct_field(rows["normalised"], "format")
    of = forms.written_formats(rows["format"], formats, normalised).take(pa.array(at)).to_pylist()
    turned = forms.of_original(rows["orientation"], normalised).take(pa.array(at)).to_pylist()
    paths = targets.take(pa.array(at)).to_pylist()
    places = mine.rename_columns(["data_offset" if name == "offset" else name for name in mine.column_names])
    places = places.append_column("header_offset", pa.array(np.full(len(at), -1)))
    for done, (i, entry) in enumerate(read_entries(bucket, places)):
        try:
            if entry.damage:
                raise ValueError(entry.damage)
            bundle.file(paths[i], reencoding.encode(entry.data, of[i], turned[i], format))
        except ValueError as error:
            raise FailedPrecondition(
                f"{paths[i]} cannot be written as {format}: {error}; leave the image out, or leave image_format out",
                reason="IMAGE_NOT_ENCODED",
            ) from None
        jobs.report(done + 1)
