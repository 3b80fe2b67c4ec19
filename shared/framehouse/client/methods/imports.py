"""Datasets made of archives, or added to."""

import uuid
from collections.abc import Mapping
from contextlib import suppress
from typing import Unpack

from google.longrunning import operations_pb2

from framehouse.client import progress
from framehouse.client.errors import AlreadyExists, NotFound
from framehouse.client.methods import conversions, datasets, jobs, uploads
from framehouse.client.methods.uploads import Source
from framehouse.client.options import ReadChoices, one_of, read_options
from framehouse.client.progress import Report
from framehouse.client.suite import Suite
from framehouse.v1 import ingest_pb2

ADD: Mapping[str, ingest_pb2.AddPolicy] = {
    "": ingest_pb2.ADD_POLICY_UNSPECIFIED,
    "replace": ingest_pb2.ADD_POLICY_REPLACE,
    "keep": ingest_pb2.ADD_POLICY_KEEP,
    "rename": ingest_pb2.ADD_POLICY_RENAME,
    "merge": ingest_pb2.ADD_POLICY_MERGE,
    "fail": ingest_pb2.ADD_POLICY_FAIL,
}


async def import_dataset(
    suite: Suite,
    source: Source | ingest_pb2.Upload,
    name: str,
    *,
    add: str = "",
    max_side: int | None = None,
    drop_originals: bool = False,
    display_name: str = "",
    tag: str = "",
    report: Report = progress.ignore,
    **choices: Unpack[ReadChoices],
) -> ingest_pb2.ImportDatasetResponse:
    """Makes a dataset of a path, a URL, an `s3://` prefix or a complete upload, and answers when it is there.

    `add`: what happens where the dataset exists to images that it has otherwise: `replace`, `keep`, `rename`, `merge`
    or `fail`; empty, the name must be free. `max_side`: larger images get a normalised form of so many pixels (unset:
    4096, 0: none do); with `drop_originals` only that is kept of them. `tag`: a word by which the images of this
    import are found again, as in the filter `import = monday`.
    """
    policy = one_of("add", add, ADD)
    parent, _, dataset = suite.names.dataset(name).partition("/datasets/")
    read = read_options(**choices)
    if isinstance(source, ingest_pb2.Upload):
        upload = source
    else:
        await conversions.check_formats(suite, reads=read.format)
        upload = await (uploads.upload(suite, source, report) if add else _upload_new(suite, source, name, report))
    request = ingest_pb2.ImportDatasetRequest(
        parent=parent,
        dataset_id=dataset,
        upload=upload.name,
        display_name=display_name,
        read=read,
        request_id=uuid.uuid4().hex,
        add=policy,
        max_side=max_side,
        drop_originals=drop_originals,
        tag=tag,
    )
    job = await suite.call("IngestService/ImportDataset", request, operations_pb2.Operation)
    return await jobs.result(suite, job, ingest_pb2.ImportDatasetResponse, report)


async def _upload_new(suite: Suite, source: Source, name: str, report: Report) -> ingest_pb2.Upload:
    """Uploads for a dataset that is not there yet; a name that is taken is known before gigabytes are sent."""
    with suppress(NotFound):
        await datasets.get_dataset(suite, name)
        raise AlreadyExists(
            f"dataset {suite.names.dataset(name)!r} exists already",
            remedy="choose another name, delete it first, or say how to add to it (--add)",
            reason="DATASET_EXISTS",
        )
    return await uploads.upload(suite, source, report)
