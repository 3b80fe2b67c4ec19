"""The issues of imports after their jobs: one object an import, listed page by page; those of failed imports expire."""

import asyncio
import hashlib
from datetime import datetime, timedelta
from functools import partial
from itertools import islice

from sqlalchemy import select

from framehouse.runtime.access import CALLER, may_read
from framehouse.runtime.errors import InvalidArgument, NotFound
from framehouse.runtime.hourly import hourly
from framehouse.runtime.page_tokens import not_ours, token_of, values_of
from framehouse.store.bucket import Bucket, bucket
from framehouse.v1 import ingest_pb2
from services.ingest.catalogue import Catalogue, DatasetRow, ImportRow, now
from services.ingest.datasets import page_size
from services.ingest.names import job_id

PREFIX = "imports/"
KEPT = timedelta(days=7)
"""How long the issues of an import outlive it where there is no dataset of it."""
FIRST_SECONDS = 60
"""From the start of the process to the first look for expired issues."""
BATCHES_A_PAGE = 100
"""Batches that are searched for one page; a page that is not full by then is answered as it is."""


def kept_key(job: str) -> str:
    """Where the issues of an import are kept."""
    return f"{PREFIX}{job}/issues"


def is_hidden(catalogue: Catalogue, import_job: str) -> bool:
    """Whether no dataset that the caller may see has images of an import."""
    job = job_id(import_job, "parent")
    if (caller := CALLER.get()) is None or caller.admin:
        return False
    of_dataset = select(DatasetRow).join(ImportRow, DatasetRow.uid == ImportRow.dataset).where(ImportRow.job == job)
    with catalogue.session() as session:
        return not any(may_read(row.user, public=row.public) for row in session.scalars(of_dataset))


def list_issues(bucket: Bucket, request: ingest_pb2.ListIssuesRequest) -> ingest_pb2.ListIssuesResponse:
    """One page. The issues are sorted by severity, so that those of one severity are a range of rows."""
    import pyarrow.compute as pc

    from framehouse.store.frames import BatchFile
    from framehouse.store.issues import kept_in, messages

    size = page_size(request.page_size)
    try:
        file = BatchFile(bucket, kept_key(job_id(request.parent, "parent")))
    except NotFound:
        raise NotFound(
            "import",
            request.parent,
            "issues can be listed once an import has ended: as long as there is its dataset, or for seven days",
        ) from None
    kept = kept_in(file.schema)
    total = sum(
        count
        for code, severity, count in kept.counts
        if request.code in ("", code) and request.severity in (0, severity)
    )
    rows = kept.rows(request.severity)
    row, seen = _decode(request) if request.page_token else (rows.start, 0)
    response = ingest_pb2.ListIssuesResponse(total_size=total)
    for _ in range(BATCHES_A_PAGE):
        if row >= rows.stop or seen >= total or len(response.issues) >= size:
            break
        number, offset = divmod(row, kept.batch_rows)
        batch = file.batch(number).slice(offset, rows.stop - row)
        wanted = pc.equal(batch["code"], request.code) if request.code else pc.is_valid(batch["code"])
        found = pc.indices_nonzero(wanted)
        taken = found[: size - len(response.issues)]
        response.issues.extend(messages(batch.take(taken)))
        seen += len(taken)
        row += batch.num_rows if len(taken) == len(found) else taken[-1].as_py() + 1
    if row < rows.stop and seen < total:
        response.next_page_token = _encode(request, row, seen)
    return response


async def keep_expiring(catalogue: Catalogue, stop: asyncio.Event) -> None:
    """Removes the issues of failed imports once they are old, every hour."""
    await hourly(FIRST_SECONDS, "issues do not expire", partial(_expire_old, catalogue), stop)


async def _expire_old(catalogue: Catalogue) -> None:
    await asyncio.to_thread(expire, bucket(), catalogue, now() - KEPT)


def expire(bucket: Bucket, catalogue: Catalogue, before: datetime) -> int:
    """Removes what was kept before that time of imports that have no dataset; answers with the number of objects.

    An import has one where it made it, or added to it.
    """
    old = (key for key, time in bucket.modified(PREFIX) if time < before)
    removed = 0
    while page := list(islice(old, 500)):
        jobs = {key: key.split("/")[1] for key in page}
        with catalogue.session() as session:
            needed = set(session.scalars(select(ImportRow.job).where(ImportRow.job.in_(jobs.values()))))
        expired = [key for key, job in jobs.items() if job not in needed]
        bucket.remove(expired)
        removed += len(expired)
    return removed


def _query(request: ingest_pb2.ListIssuesRequest) -> str:
    text = "\n".join((request.parent, request.code, str(request.severity)))
    return hashlib.blake2s(text.encode(), digest_size=8).hexdigest()


def _encode(request: ingest_pb2.ListIssuesRequest, row: int, seen: int) -> str:
    return token_of([_query(request), row, seen])


def _decode(request: ingest_pb2.ListIssuesRequest) -> tuple[int, int]:
    """The row to go on with, and how many issues were answered before it."""
    try:
        query, row, seen = values_of(request.page_token)
        row, seen = int(row), int(seen)
    except (ValueError, TypeError):
        raise not_ours() from None
    if query != _query(request) or row < 0:
        raise InvalidArgument(
            "page_token belongs to another parent, code or severity; start again without it", field="page_token"
        )
    return row, seen
