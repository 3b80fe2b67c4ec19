"""Structures of fixed size that lie anywhere in bytes, such as the headers of files in an archive."""

import numpy as np
from numpy.typing import NDArray


def structures_at(data: bytes, places: NDArray[np.int64], kind: np.dtype[np.void]) -> NDArray[np.void]:
    """The structures that begin at some places, (n,) of a structured type; all of each must lie in the data."""
    if not len(places):
        return np.zeros(0, kind)
    # As if one began at every byte; copied are those that are asked for, which NumPy does faster as mere bytes.
    anywhere = np.ndarray(len(data) - kind.itemsize + 1, f"V{kind.itemsize}", data, strides=(1,))
    found: NDArray[np.void] = anywhere[places].view(kind)
    return found
