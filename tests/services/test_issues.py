"""The issues of an import in a real store: kept as one file, listed page by page, gone after a while."""

import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from framehouse.runtime.config import settings
from framehouse.runtime.errors import InvalidArgument, NotFound
from framehouse.store.bucket import Bucket
from framehouse.store.frames import BatchFile
from framehouse.store.issues import ERROR, INFO, WARNING, IssueLog, collect
from framehouse.v1 import annotation_pb2, ingest_pb2
from services.ingest.catalogue import Catalogue, DatasetRow, ImportRow, now
from services.ingest.issues import KEPT, expire, kept_key, list_issues

STEPS = ("joins/000000", "labels/000000", "labels/000001", "media/000000", "media/000001", "index")
"""Steps of a job, in the order in which a store lists them."""
KINDS = (
    ("IMAGE_TRUNCATED", ERROR),
    ("BOX_EMPTY", ERROR),
    ("BOX_REACHES_OUTSIDE", WARNING),
    ("IMAGE_NOT_LISTED", INFO),
    ("BOX_REACHES_OUTSIDE", WARNING),
)


@pytest.fixture
def job(bucket: Bucket) -> Iterator[str]:
    """An import of six steps that found 2,500 issues: a thousand errors, a thousand warnings, five hundred infos;
    one code occurs once.
    """
    job = uuid.uuid4().hex
    for step in STEPS:
        log = IssueLog()
        for number in range(420 if step != "index" else 399):
            code, severity = KINDS[number % len(KINDS)]
            log.add(code, severity, f"{step}/{number:04d}.jpg", "it is wrong", "mend it", line=number)
        if step == "labels/000001":
            log.add("LABEL_CLASS_UNKNOWN", WARNING, "a.txt", "no such class", "declare it")
        log.save(bucket, f"jobs/{job}/{step}")
    collect(bucket, f"jobs/{job}/", kept_key(job))
    yield job
    for prefix in (f"jobs/{job}/", kept_key(job)):
        bucket.remove_prefix(prefix)


def pages(bucket: Bucket, job: str, size: int = 1000, **query: object) -> Iterator[ingest_pb2.ListIssuesResponse]:
    request = ingest_pb2.ListIssuesRequest(parent=f"jobs/{job}", page_size=size, **query)  # type: ignore[arg-type]
    while True:
        page = list_issues(bucket, request)
        yield page
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


def test_issues_come_by_severity_and_then_in_the_order_of_the_steps(bucket: Bucket, job: str) -> None:
    answered = list(pages(bucket, job))
    assert [(len(page.issues), page.total_size) for page in answered] == [(1000, 2500), (1000, 2500), (500, 2500)]
    issues = [issue for page in answered for issue in page.issues]
    assert Counter(issue.severity for issue in issues) == {ERROR: 1000, WARNING: 1000, INFO: 500}
    assert [issue.severity for issue in issues] == sorted((issue.severity for issue in issues), reverse=True)
    assert len({(issue.path, issue.code) for issue in issues}) == 2500
    errors = list(dict.fromkeys(issue.path.split("/0")[0] for issue in issues if issue.severity == ERROR))
    assert errors == ["index", "media", "labels", "joins"]
    assert issues[1] == annotation_pb2.Issue(
        code="BOX_EMPTY", severity=ERROR, path="index/0001.jpg", line=1, message="it is wrong", remedy="mend it"
    )


def test_what_is_kept_is_what_the_job_says(bucket: Bucket, job: str) -> None:
    counts, first = collect(bucket, f"jobs/{job}/")
    assert sum(count.count for count in counts) == 2500
    assert first == list(next(pages(bucket, job, size=100)).issues)
    assert BatchFile(bucket, kept_key(job)).count == 3


@pytest.mark.parametrize("size", [7, 250, 1000])
def test_a_page_has_what_matches_and_the_last_one_says_so(bucket: Bucket, job: str, size: int) -> None:
    def found(**query: object) -> Counter[tuple[str, int]]:
        answered = list(pages(bucket, job, size, **query))
        assert all(len(page.issues) == size for page in answered[:-1])
        issues = [issue for page in answered for issue in page.issues]
        assert {page.total_size for page in answered} == {len(issues)}
        assert len(answered) == max(1, -(-len(issues) // size))
        return Counter((issue.code, issue.severity) for issue in issues)

    assert found(severity=INFO) == {("IMAGE_NOT_LISTED", INFO): 500}
    assert found(severity=WARNING) == {("BOX_REACHES_OUTSIDE", WARNING): 999, ("LABEL_CLASS_UNKNOWN", WARNING): 1}
    assert found(code="BOX_EMPTY") == {("BOX_EMPTY", ERROR): 500}
    assert found(code="LABEL_CLASS_UNKNOWN", severity=WARNING) == {("LABEL_CLASS_UNKNOWN", WARNING): 1}
    assert found(code="LABEL_CLASS_UNKNOWN", severity=ERROR) == {}
    assert found(code="NO_SUCH_CODE") == {}


def test_a_page_reads_no_more_than_its_batches(bucket: Bucket, job: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    batch = BatchFile.batch
    monkeypatch.setattr(BatchFile, "batch", lambda file, i: read.append(i) or batch(file, i))
    next(pages(bucket, job, severity=INFO))
    assert read == [2]
    read.clear()
    next(pages(bucket, job, code="NO_SUCH_CODE"))
    assert read == []


def test_a_token_holds_for_its_query_alone(bucket: Bucket, job: str) -> None:
    token = next(pages(bucket, job)).next_page_token
    for request in (
        ingest_pb2.ListIssuesRequest(parent=f"jobs/{job}", page_token=token, severity=ERROR),
        ingest_pb2.ListIssuesRequest(parent=f"jobs/{job}", page_token=token, code="BOX_EMPTY"),
        ingest_pb2.ListIssuesRequest(parent=f"jobs/{job}", page_token="e30="),
        ingest_pb2.ListIssuesRequest(parent=f"jobs/{job}", page_token="ä"),
        ingest_pb2.ListIssuesRequest(parent="jobs/cars"),
    ):
        with pytest.raises(InvalidArgument):
            list_issues(bucket, request)


def test_an_import_without_issues_has_an_empty_list_and_an_unknown_one_none(bucket: Bucket, job: str) -> None:
    bucket.remove_prefix(f"jobs/{job}/")
    assert collect(bucket, f"jobs/{job}/", kept_key(job)) == ([], [])
    assert list(pages(bucket, job)) == [ingest_pb2.ListIssuesResponse()]
    bucket.remove_prefix(kept_key(job))
    with pytest.raises(NotFound, match="once an import has ended"):
        next(pages(bucket, job))


def test_issues_expire_unless_there_is_a_dataset_of_theirs(bucket: Bucket, tmp_path: Path) -> None:
    own = Bucket(settings().model_copy(update={"store_bucket": f"test-{uuid.uuid4().hex}"}))
    own.ensure_bucket()
    failed, published, added = (uuid.uuid4().hex for _ in range(3))
    for job in (failed, published, added):
        collect(own, f"jobs/{job}/", kept_key(job))
    catalogue = Catalogue(f"sqlite:///{tmp_path}/catalogue.db")
    catalogue.migrate()
    with catalogue.session() as session:
        session.add(row(published))
        for job in (published, added):
            session.add(ImportRow(job=job, dataset=published, summary=b"", create_time=now()))
    assert expire(own, catalogue, now() - KEPT) == 0
    assert expire(own, catalogue, now() + timedelta(minutes=1)) == 1
    assert set(own.keys("imports/")) == {kept_key(published), kept_key(added)}


def row(uid: str) -> DatasetRow:
    """A dataset that an import made."""
    counts = dict.fromkeys(("table_version", "image_count", "annotation_count", "image_bytes", "revision"), 1)
    texts = dict.fromkeys(("user", "slug", "display_name", "table_key", "source_format"), "cars")
    return DatasetRow(uid=uid, summary=b"", create_time=now(), update_time=now(), **counts, **texts)
