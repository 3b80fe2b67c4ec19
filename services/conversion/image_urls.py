"""Signed URLs of images, for label files that name their images by them."""

import time

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from framehouse.runtime.config import settings
from framehouse.store.signed_urls import MEDIA_TYPES, OCTETS, target, urls_of
from services.conversion import forms


def end_of_life() -> int:
    """When the URLs end that are planned now, in seconds since 1970."""
    return int(time.time()) + settings().export_url_seconds


def urls(rows: pa.Table, normalised: NDArray[np.bool_], names: pa.ChunkedArray, end: int) -> pa.Array:
    """A URL of the bytes of each row, in the form that is written; null where there are none."""
    ranges = forms.ranges(rows, normalised)
    there = np.flatnonzero(np.array(ranges["object"].is_valid()))
    formats = forms.written_formats(rows["format"], pc.struct_field(rows["normalised"], "format"), normalised)
    hashes = pc.fill_null(forms.of_original(rows["hash"], normalised), "")
    some = (column.take(pa.array(there)).to_pylist() for column in (ranges, formats, hashes, names))
    targets = (
        target(place, MEDIA_TYPES.get(kind, OCTETS), tag, name, end)
        for place, kind, tag, name in zip(*some, strict=True)
    )
    at = np.full(len(normalised), -1)
    at[there] = np.arange(len(there))
    return pa.array(list(urls_of(targets)), pa.string()).take(pa.array(at, mask=at < 0))
