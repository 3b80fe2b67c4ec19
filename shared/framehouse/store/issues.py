"""Issues: what was wrong with the input, kept as an Arrow file beside the output of the step that found it.

A step fills an `IssueLog` and saves it; the last step of a job collects those of all steps and may keep them as one
file, sorted by severity. Steps give counts over RPC, never lists.
"""

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import NamedTuple

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
FOLDERS = ("media", "labels", "joins")
"""Where under a job's prefix the steps leave their outputs, in their order; what lies elsewhere comes first."""
BATCH_ROWS = 1000
KEPT = "framehouse.issues"
"""Name of the metadata of a file of kept issues."""

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
            first_error=next(messages(failed.slice(0, 1)), None),
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


class Kept(NamedTuple):
    """What the schema of a file of kept issues says of its rows."""

    batch_rows: int
    """Rows of every batch but the last."""
    counts: list[tuple[str, int, int]]
    """(code, severity, issues)"""

    def rows(self, severity: int) -> range:
        """The rows of one severity; 0 means all."""
        first = sum(count for _, other, count in self.counts if other > severity > 0)
        return range(first, first + sum(count for _, other, count in self.counts if severity in (0, other)))


def kept_in(schema: pa.Schema) -> Kept:
    """What the file of that schema holds."""
    batch_rows, counts = json.loads(schema.metadata[KEPT.encode()])
    return Kept(batch_rows, [(code, severity, count) for code, severity, count in counts])


def collect(
    bucket: Bucket, prefix: str, kept_key: str = ""
) -> tuple[list[annotation_pb2.IssueCount], list[annotation_pb2.Issue]]:
    """Sums up the issues of all steps under a prefix and, with a key, writes them all there.

    Answers with the counts by code, errors first and frequent ones before rare ones, and with the first hundred issues.
    The issues come errors first, then in the order of the steps. The file has the schema that `kept_in` reads, and is
    there also where there are no issues. Memory does not grow with their number.
    """
    counts: dict[tuple[str, int], int] = {}
    shown: dict[int, list[annotation_pb2.Issue]] = {int(ERROR): [], int(WARNING): [], int(INFO): []}
    holding: dict[int, list[str]] = {severity: [] for severity in shown}
    keys = _step_keys(bucket, prefix)
    for key, table in zip(keys, _tables(bucket, keys), strict=True):
        groups = table.group_by(["code", "severity"], use_threads=False).aggregate([([], "count_all")])
        for row in groups.to_pylist():
            kind = (row["code"], row["severity"])
            counts[kind] = counts.get(kind, 0) + row["count_all"]
        for severity in set(groups["severity"].to_pylist()):
            holding[severity].append(key)
            if (room := SHOWN - len(shown[severity])) > 0:
                shown[severity].extend(messages(_of(table, severity).slice(0, room)))
    order = sorted(counts.items(), key=lambda item: (-item[0][1], -item[1], item[0][0]))
    if kept_key:
        kept = Kept(BATCH_ROWS, [(code, severity, count) for (code, severity), count in order])
        tables = (_of(table, severity) for severity in holding for table in _tables(bucket, holding[severity]))
        write_batches(bucket, kept_key, ISSUE_SCHEMA.with_metadata({KEPT: json.dumps(kept)}), _batches(tables))
    return (
        [
            annotation_pb2.IssueCount(code=code, severity=annotation_pb2.Severity.Name(severity), count=count)
            for (code, severity), count in order
        ],
        [issue for issues in shown.values() for issue in issues][:SHOWN],
    )


def messages(table: pa.Table | pa.RecordBatch) -> Iterator[annotation_pb2.Issue]:
    """The rows as the contract has them."""
    return (annotation_pb2.Issue(**row) for row in table.to_pylist())


def _step_keys(bucket: Bucket, prefix: str) -> list[str]:
    """The issues of all steps, in the order of the steps."""

    def place(key: str) -> tuple[int, str]:
        folder = key.removeprefix(prefix).partition("/")[0]
        return FOLDERS.index(folder) + 1 if folder in FOLDERS else 0, key

    return sorted((key for key in bucket.keys(prefix) if key.endswith(SUFFIX)), key=place)


def _tables(bucket: Bucket, keys: Iterable[str]) -> Iterator[pa.Table]:
    """The issues of each step, several of which are fetched at once."""
    rest = iter(keys)
    with ThreadPoolExecutor(8, thread_name_prefix="issues") as threads:
        while some := list(islice(rest, 16)):
            yield from threads.map(lambda key: _load(bucket, key), some)


def _batches(tables: Iterable[pa.Table]) -> Iterator[pa.RecordBatch]:
    """All rows in batches of BATCH_ROWS."""
    rest = ISSUE_SCHEMA.empty_table()
    for table in tables:
        rest = pa.concat_tables([rest, table])
        full = rest.num_rows - rest.num_rows % BATCH_ROWS
        for start in range(0, full, BATCH_ROWS):
            yield from rest.slice(start, BATCH_ROWS).combine_chunks().to_batches()
        rest = rest.slice(full)
    yield from rest.combine_chunks().to_batches()


def _of(table: pa.Table, severity: int) -> pa.Table:
    return table.filter(pc.equal(table["severity"], severity))


def _load(bucket: Bucket, key: str) -> pa.Table:
    return pa.Table.from_batches(BatchFile(bucket, key).batches(), ISSUE_SCHEMA)
