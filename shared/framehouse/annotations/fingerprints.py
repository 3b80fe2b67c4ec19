"""Fingerprints of the annotations of images: one number an image, the same where the annotations are.

Computed by columns, so that two tables are compared without laying their rows side by side. The order of an image's
annotations and their ids are no part of it: they change whenever a tool writes its files again.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from framehouse.annotations.geometry import lengths, starts
from framehouse.annotations.schema import ANNOTATION_COLUMNS

Hashes = NDArray[np.uint64]

COMPARED = [name for name in ANNOTATION_COLUMNS if name != "annotation_id"]
"""The columns that a fingerprint is made of."""

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_NULL = np.uint64(0xD1B54A32D192ED03)


def fingerprints(rows: Mapping[str, pa.Array], labels: NDArray[np.int32]) -> Hashes:
    """64 bits for each row of a dataset's table, of its list columns `COMPARED`.

    `labels[i]` is the label that label i is known by in what is compared.
    """
    counts = lengths(rows["kind"])
    annotation = np.zeros(int(counts.sum()), np.uint64)
    marks = _GAMMA * np.arange(1, len(COMPARED) + 1, dtype=np.uint64)
    for name, mark in zip(COMPARED, marks, strict=True):
        values = rows[name].flatten()
        if name == "label":
            # No label is -1, which finds the -1 at the end.
            values = pa.array(np.append(labels, np.int32(-1))[values.to_numpy(zero_copy_only=False)])
        annotation += _mixed(_hashes(values) + mark)
    return _sums(_mixed(annotation), counts)


def annotation_hashes(rows: Mapping[str, pa.Array], columns: Sequence[str]) -> Hashes:
    """64 bits for each annotation of a table's rows, of these of its list columns."""
    hashes = np.zeros(int(lengths(rows["annotation_id"]).sum()), np.uint64)
    marks = _GAMMA * np.arange(1, len(columns) + 1, dtype=np.uint64)
    for name, mark in zip(columns, marks, strict=True):
        hashes += _mixed(_hashes(rows[name].flatten()) + mark)
    return hashes


def _hashes(values: pa.Array) -> Hashes:
    """One number for each value, equal for equal values; lists and texts go by their elements in order."""
    kind = values.type
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        offsets = np.frombuffer(values.buffers()[1], np.int32, len(values) + 1, values.offset * 4).astype(np.int64)
        data = values.buffers()[2]
        text = np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]] if data else np.zeros(0, np.uint8)
        hashes = _in_order(text.astype(np.uint64), np.diff(offsets))
    elif pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        hashes = _in_order(_hashes(values.flatten()), lengths(values))
    elif pa.types.is_floating(kind):
        # Adding 0 makes -0 and 0 the same bits.
        hashes = (values.fill_null(0).to_numpy(zero_copy_only=False).astype(np.float64) + 0.0).view(np.uint64)
    else:
        hashes = values.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64).view(np.uint64)
    if not values.null_count:
        return hashes
    return np.where(values.is_valid().to_numpy(zero_copy_only=False), hashes, _NULL)


def _in_order(elements: Hashes, counts: NDArray[np.int64]) -> Hashes:
    place = np.arange(len(elements), dtype=np.int64) - np.repeat(starts(counts)[:-1], counts)
    return _mixed(_sums(_mixed(elements + _GAMMA * (place + 1).view(np.uint64)), counts) + counts.view(np.uint64))


def _sums(values: Hashes, counts: NDArray[np.int64]) -> Hashes:
    """The sum of each run, modulo 2**64."""
    ends = np.concatenate([np.zeros(1, np.uint64), np.cumsum(values, dtype=np.uint64)])
    places = starts(counts)
    sums: Hashes = ends[places[1:]] - ends[places[:-1]]
    return sums


def _mixed(values: Hashes) -> Hashes:
    """The finaliser of SplitMix64 (Steele, Lea, Flood 2014): every bit of the input moves half of the output."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
