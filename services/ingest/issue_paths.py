"""Which images of a dataset the imports that they came in by had issues with, as the imports' kept issues say.

An issue tells of a file of the upload: the image, or its label file. Both are found by the image's path without its
extension, which what an issue says may have more folders in front of.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from framehouse.runtime.errors import NotFound
from framehouse.store.bucket import bucket
from framehouse.store.frames import BatchFile
from framehouse.store.issues import kept_in
from services.ingest.columns import Mask, Snapshot, remembered
from services.ingest.issues import kept_key


def with_issue(table: Snapshot, code: str) -> Mask:
    """The images with an issue of that code, or with any where it is empty."""
    jobs = table.strings("import")
    mask = np.zeros(table.rows, np.bool_)
    for number, job in enumerate(jobs.names):
        told = _told(job, code) if job else pa.array([], pa.string())
        if len(told):
            rows = np.flatnonzero(jobs.codes == number)
            mask[rows] = named(table.paths().take(pa.array(rows)), told)
    return mask


def _told(job: str, code: str) -> pa.Array:
    """The files that the issues of an import tell of; none where its issues are not kept."""
    return remembered(f"told {job} {code}", lambda: _read(job, code))


def _read(job: str, code: str) -> pa.Array:
    none = pa.array([], pa.string())
    try:
        file = BatchFile(bucket(), kept_key(job))
    except NotFound:
        return none
    kept = kept_in(file.schema)
    found = [none]
    for severity in sorted({severity for other, severity, _ in kept.counts if code in ("", other)}):
        rows = kept.rows(severity)
        first, end = rows.start // kept.batch_rows, -(-rows.stop // kept.batch_rows)
        for batch in file.batches(first, end - first):
            mine = pc.equal(batch["severity"], severity)
            found.append(batch.filter(pc.and_(mine, pc.equal(batch["code"], code)) if code else mine)["path"])
    return stems(pa.chunked_array(found)).unique()


def named(paths: pa.ChunkedArray, told: pa.Array) -> Mask:
    """Which of the paths the stems tell of, each of the longest of its ends that is one of them."""
    mine = stems(paths).combine_chunks()
    found = np.zeros(len(mine), np.bool_)
    while len(told):
        found |= pc.is_in(mine, value_set=told).to_numpy(zero_copy_only=False)
        rest = pc.and_(pc.invert(pc.is_in(told, value_set=mine)), pc.match_substring(told, "/"))
        told = pc.replace_substring_regex(told.filter(rest), "^[^/]*/", "").unique()
    return found


def stems(paths: pa.ChunkedArray) -> pa.ChunkedArray:
    """Paths without their extensions."""
    return pc.replace_substring_regex(paths, r"\.[^./]*$", "")
