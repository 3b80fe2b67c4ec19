"""Issues: what was wrong with the input, kept as an Arrow file beside the output of the step that found it.

A step fills an `IssueLog` and saves it; the last step of a job collects those of all steps. Steps give counts over RPC,
never lists.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc

from framehouse.store.bucket import Bucket
from framehouse.store.frames import BatchFile, write_batches
from framehouse.v1 import annotation_pb2

ISSUE_SCHEMA = pa.schema(
    [
        pa.field("code", pa.string()),
        pa.field("severity", pa.int8()),  # number of `Severity`
        pa.field("path", pa.string()),
        pa.field("line", pa.int64()),  # from 1; 0 where lines mean nothing
        pa.field("message", pa.string()),
        pa.field("remedy", pa.string()),
    ]
)
"""One row an issue, as `Issue` in the contracts."""

SUFFIX = ".issues"
SHOWN = 100
"""Issues that a job shows in words; all are counted."""

INFO = annotation_pb2.SEVERITY_INFO
WARNING = annotation_pb2.SEVERITY_WARNING
ERROR = annotation_pb2.SEVERITY_ERROR


class IssueLog:
    """The issues that one step finds, in the order found."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, int, str, int, str, str]] = []
        self._tables: list[pa.Table] = []

    def __len__(self) -> int:
        return len(self._rows) + sum(int(table.num_rows) for table in self._tables)

    def add(
        self, code: str, severity: annotation_pb2.Severity, path: str, message: str, remedy: str, line: int = 0
    ) -> None:
        """Notes one issue; the arguments are the fields of `Issue` in the contracts."""
        self._rows.append((code, int(severity), path, line, message, remedy))

    def extend(self, table: pa.Table) -> None:
        """Notes many issues at once; the table has the columns of ISSUE_SCHEMA."""
        self._flush()
        self._tables.append(table.select(ISSUE_SCHEMA.names).cast(ISSUE_SCHEMA))

    def table(self) -> pa.Table:
        """All issues so far, one row each."""
        self._flush()
        return pa.concat_tables(self._tables).combine_chunks() if self._tables else ISSUE_SCHEMA.empty_table()

    def save(self, bucket: Bucket, output_key: str) -> annotation_pb2.StepIssues:
        """Writes the issues beside the step's output, where there are any, and sums them up."""
        table = self.table()
        if not table.num_rows:
            return annotation_pb2.StepIssues()
        write_batches(bucket, output_key + SUFFIX, ISSUE_SCHEMA, table.to_batches())
        failed = table.filter(pc.equal(table["severity"], int(ERROR)))
        return annotation_pb2.StepIssues(
            count=table.num_rows,
            error_count=failed.num_rows,
            first_error=next(_issues(failed.slice(0, 1)), None),
        )

    def _flush(self) -> None:
        if self._rows:
            columns = [list(column) for column in zip(*self._rows, strict=True)]
            self._tables.append(pa.table(columns, schema=ISSUE_SCHEMA))
            self._rows = []


def load(bucket: Bucket, output_key: str) -> pa.Table:
    """The issues that a step left beside its output; no rows where it found none."""
    key = output_key + SUFFIX
    return _load(bucket, key) if bucket.size(key) is not None else ISSUE_SCHEMA.empty_table()


def collect(bucket: Bucket, prefix: str) -> tuple[list[annotation_pb2.IssueCount], list[annotation_pb2.Issue]]:
    """Sums up the issues of all steps under a prefix.

    Answers with the counts by code, errors first and frequent ones before rare ones, and with the first hundred issues,
    errors first. Memory does not grow with their number.
    """
    counts: dict[tuple[str, int], int] = {}
    shown: dict[int, list[annotation_pb2.Issue]] = {int(ERROR): [], int(WARNING): [], int(INFO): []}
    keys = (key for key in bucket.keys(prefix) if key.endswith(SUFFIX))
    with ThreadPoolExecutor(8, thread_name_prefix="issues") as threads:
        while page := list(islice(keys, 64)):
            for table in threads.map(lambda key: _load(bucket, key), page):
                groups = table.group_by(["code", "severity"], use_threads=False).aggregate([([], "count_all")])
                for row in groups.to_pylist():
                    kind = (row["code"], row["severity"])
                    counts[kind] = counts.get(kind, 0) + row["count_all"]
                for severity, issues in shown.items():
                    if len(issues) < SHOWN:
                        rows = table.filter(pc.equal(table["severity"], severity))
                        issues.extend(_issues(rows.slice(0, SHOWN - len(issues))))
    order = sorted(counts.items(), key=lambda item: (-item[0][1], -item[1], item[0][0]))
    return (
        [
            annotation_pb2.IssueCount(code=code, severity=annotation_pb2.Severity.Name(severity), count=count)
            for (code, severity), count in order
        ],
        [issue for issues in shown.values() for issue in issues][:SHOWN],
    )


def _load(bucket: Bucket, key: str) -> pa.Table:
    return pa.Table.from_batches(BatchFile(bucket, key).batches(), ISSUE_SCHEMA)


def _issues(table: pa.Table) -> Iterator[annotation_pb2.Issue]:
    return (annotation_pb2.Issue(**row) for row in table.to_pylist())
