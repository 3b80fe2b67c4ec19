"""Images that a label file lists by name, as a read plan: each one once, those that no file lists after them."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from framehouse.annotations.geometry import Integers
from framehouse.annotations.splits import known_split
from framehouse.store.issues import INFO, WARNING, IssueLog
from services.conversion import layout
from services.conversion.archive import Archive
from services.conversion.columns import report


class Listed(NamedTuple):
    """A read plan's images, and the row of each item of the list."""

    images: pa.Table
    rows: Integers


def plan(archive: Archive, image_rows: Integers, items: pa.Table, what: str, issues: IssueLog) -> Listed:
    """The plan's images in the order of the archive.

    `items` has the columns name, at (position in `image_rows`, -1 for none), split, split_name, and others of a plan or
    the format's own. The same name twice in a split is one image. `what` lists images: for those that nothing lists.
    """
    entries = archive.paths.take(pa.array(image_rows))
    same = pc.binary_join_element_wise(items["split"], items["name"], "\0").combine_chunks()
    _, first, member = np.unique(same.dictionary_encode().indices.to_numpy(), return_index=True, return_inverse=True)
    rest = _unlisted(entries, items["at"].to_numpy(), items.schema, what, issues)
    table = pa.concat_tables([items.take(pa.array(first)), rest]).combine_chunks()
    at = table["at"].to_numpy()
    found = at >= 0
    rows = np.full(len(at), -1)
    rows[found] = image_rows[at[found]]
    whole = entries.take(pa.array(np.maximum(at, 0), mask=~found))
    given = {name: table[name].combine_chunks() for name in table.column_names if name not in ("name", "at")}
    given["path"] = layout.identities(table["name"].combine_chunks(), given["split"], whole)
    given["place"] = pa.array(np.arange(len(at)))
    images = layout.in_archive_order(layout.plan_table(archive, rows, given))
    row_of = np.empty(len(at), np.int64)
    row_of[images["place"].to_numpy()] = np.arange(len(at))
    return Listed(images.drop_columns("place"), row_of[member])


def _unlisted(entries: pa.Array, taken: Integers, schema: pa.Schema, what: str, issues: IssueLog) -> pa.Table:
    """Images of the archive that nothing lists, as items of their own."""
    rest = np.setdiff1d(np.arange(len(entries)), taken)
    files = entries.take(pa.array(rest))
    names, folders = layout.below_split(files)
    text = f"no {what} names this image; it is kept without annotations"
    report(issues, "IMAGE_NOT_LISTED", INFO, files, np.zeros(len(files), np.int64), text, f"add {what} for it")
    given = {
        "name": pc.replace_substring_regex(names, r"^default/", ""),
        "at": pa.array(rest),
        "split": pa.array([known_split(folder) for folder in folders], pa.string()),
        "split_name": pa.array(folders, pa.string()),
    }
    arrays = [given.get(field.name, pa.nulls(len(rest), field.type)) for field in schema]
    return pa.table(arrays, schema=schema)


def tell_missing(files: list[str], names: list[str], entries: int, issues: IssueLog) -> None:
    """Says that images are not in the archive, which has so many: `names` as the `files` that list them have them."""
    if not names:
        return
    if not entries:
        text = f"the archive holds labels only; {len(names):,} images are kept without bytes"
        issues.add("IMAGES_ABSENT", INFO, files[0], text, "add the images to the archive")
        return
    texts = [f"the archive does not hold image {name}; its labels are kept" for name in names]
    paths, lines = pa.array(files, pa.string()), np.zeros(len(files), np.int64)
    report(issues, "IMAGE_MISSING", WARNING, paths, lines, texts, "add the image to the archive")
