"""What an import could not use, and why."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from framehouse.client.methods import datasets
from framehouse.client.options import one_of
from framehouse.client.suite import Suite
from framehouse.v1 import annotation_pb2, ingest_pb2

SEVERITIES: Mapping[str, annotation_pb2.Severity] = {
    "error": annotation_pb2.SEVERITY_ERROR,
    "warning": annotation_pb2.SEVERITY_WARNING,
    "info": annotation_pb2.SEVERITY_INFO,
}


async def list_issues(
    suite: Suite, job_or_dataset: str, code: str = "", severity: str = ""
) -> AsyncGenerator[annotation_pb2.Issue, None]:
    """All issues of an import, errors first; of one code or one severity where that is said.

    `job_or_dataset`: a job (`jobs/...`), or the dataset that an import made. `severity`: `error`, `warning` or
    `info`.
    """
    async with aclosing(issue_pages(suite, job_or_dataset, code=code, severity=severity)) as pages:
        async for page in pages:
            for issue in page.issues:
                yield issue


async def issue_pages(
    suite: Suite, job_or_dataset: str, code: str = "", severity: str = "", page_size: int = 1000
) -> AsyncGenerator[ingest_pb2.ListIssuesResponse, None]:
    """What `list_issues` goes through, page by page, each with the number of all issues that match."""
    wanted = one_of("severity", severity, SEVERITIES) if severity else None
    is_job = job_or_dataset.startswith("jobs/")
    job = job_or_dataset if is_job else f"jobs/{(await datasets.get_dataset(suite, job_or_dataset)).uid}"
    request = ingest_pb2.ListIssuesRequest(parent=job, page_size=page_size, code=code, severity=wanted)
    async for page in suite.pages("IngestService/ListIssues", request, ingest_pb2.ListIssuesResponse):
        yield page
