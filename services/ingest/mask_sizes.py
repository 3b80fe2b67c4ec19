"""Masks whose own size is not that of their image: what only has room to spare is cut to it, all else is told."""

import numpy as np
import pyarrow as pa

from framehouse.annotations import masks
from framehouse.annotations.geometry import Floats, Integers
from framehouse.annotations.masks import Intervals
from framehouse.annotations.schema import Flag, Kind
from framehouse.store.issues import WARNING, IssueLog


def fit_masks(annotations: pa.Table, image: Integers, sizes: Floats, paths: pa.Array, issues: IssueLog) -> pa.Table:
    """Flat annotations with such masks cut. `image` is the row of each one's image in `paths` and in `sizes`, (width,
    height), NaN where it is not known.
    """
    is_mask = (annotations["kind"].to_numpy() == Kind.MASK) & annotations["rle_size"].is_valid().to_numpy()
    # Where an object was last may have been in an image of another size.
    is_mask &= annotations["flags"].to_numpy() & Flag.OUTSIDE == 0
    at = np.flatnonzero(is_mask & ~np.isnan(sizes[image]).any(axis=1))
    if not len(at):
        return annotations
    said = annotations["rle_size"].combine_chunks().take(pa.array(at)).flatten().to_numpy().reshape(-1, 2)
    true = sizes[image[at], ::-1]
    other = (said != true).any(axis=1)
    if not other.any():
        return annotations
    at, said, true = at[other], said[other].astype(np.int64), true[other].astype(np.int64)
    rle = annotations["rle"].combine_chunks().take(pa.array(at))
    envelopes = np.nan_to_num(masks.envelopes(masks.decode(rle), said[:, 0]))
    ends = (envelopes[:, :2] + envelopes[:, 2:])[:, ::-1]
    fits = ((said >= true) & (ends <= true)).all(axis=1)
    for row in np.unique(image[at[~fits]]).tolist():
        mine = np.flatnonzero(~fits & (image[at] == row))
        (height, width), (high, wide) = said[mine[0]].tolist(), true[mine[0]].tolist()
        text = f"{len(mine):,} mask{'s are' if len(mine) > 1 else ' is'} of another size than the image"
        text += f" ({width} × {height} pixels, and {wide} × {high}); kept without being scaled to it"
        remedy = "encode the masks again in the size of their image, which is [height, width]"
        issues.add("MASK_SIZE_DIFFERS", WARNING, paths[row].as_py(), text, remedy)
    return (
        _cut(annotations, at[fits], rle.filter(pa.array(fits)), said[fits], true[fits]) if fits.any() else annotations
    )


def _cut(annotations: pa.Table, at: Integers, rle: pa.Array, said: Integers, true: Integers) -> pa.Table:
    """The annotations with the masks `at`, of the sizes `said`, (n, 2) height and width, in those of `true`."""
    parts = masks.columns(masks.intervals(masks.decode(rle)), said[:, 0])
    column, line = np.divmod(parts.begin, said[parts.owner, 0])
    begin = column * true[parts.owner, 0] + line
    cut = masks.encode(masks.union(Intervals(parts.owner, begin, begin + parts.end - parts.begin), true.prod(axis=1)))
    sizes = pa.FixedSizeListArray.from_arrays(pa.array(true.astype(np.int32).reshape(-1)), 2)
    place = np.arange(annotations.num_rows)
    place[at] = annotations.num_rows + np.arange(len(at))
    for name, values in (("rle", cut), ("rle_size", sizes)):
        old = annotations[name].combine_chunks()
        whole = pa.concat_arrays([old, values.cast(old.type)]).take(pa.array(place))
        annotations = annotations.set_column(annotations.schema.get_field_index(name), name, whole)
    return annotations
