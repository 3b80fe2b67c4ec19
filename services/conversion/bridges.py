"""Several rings as one, for formats that know one ring a shape.

Rings are joined by bridges of no width between their nearest points, there and back. What the rings enclose, and their
holes, stay as they are where the one ring is filled by the even-odd rule, as OpenCV does.
"""

import numpy as np

from framehouse.annotations.geometry import Floats, Rings, starts


def joined(rings: Rings) -> Rings:
    """One ring for each annotation that has any."""
    owners, first, counts = np.unique(rings.owner, return_index=True, return_counts=True)
    if len(owners) == len(rings.owner):
        return rings
    sizes = np.diff(rings.offsets)
    values: list[Floats] = []
    begin = 0
    for at, count in zip(first[counts > 1].tolist(), counts[counts > 1].tolist(), strict=True):
        values.append(rings.values[rings.offsets[begin] : rings.offsets[at]])
        parts = [rings.values[rings.offsets[i] : rings.offsets[i + 1]].reshape(-1, 2) for i in range(at, at + count)]
        values.append(_chain(parts).reshape(-1))
        begin = at + count
    values.append(rings.values[rings.offsets[begin] :])
    # A bridge repeats both of its ends.
    lengths = np.add.reduceat(sizes, first) + 4 * (counts - 1)
    return Rings(np.concatenate(values), starts(lengths), owners)


def _chain(parts: list[Floats]) -> Floats:
    """Rings (k, 2) as one, each joined to those before it."""
    whole = parts[0]
    for part in parts[1:]:
        distance = ((whole[:, None] - part[None]) ** 2).sum(axis=2)
        here, there = np.unravel_index(int(distance.argmin()), distance.shape)
        turned = np.roll(part, -there, axis=0)
        whole = np.concatenate([whole[: here + 1], turned, turned[:1], whole[here:]])
    return whole
