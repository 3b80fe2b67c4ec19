"""Heads: the version of its table that a dataset is, what the catalogue keeps of it, and what is entered with it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from framehouse.annotations.splits import split_rank
from framehouse.v1 import annotation_pb2, dataset_pb2, ingest_pb2
from services.ingest.catalogue import ImportRow, now
from services.ingest.references import is_base, objects_of, refer

ROWS = 65536
"""Rows of a table that are looked at at once."""


@dataclass
class Head:
    """What the catalogue keeps of a version of a table."""

    table_key: str
    table_version: int
    image_count: int
    annotation_count: int
    image_bytes: int
    labels: annotation_pb2.LabelSchema
    splits: dict[str, int]
    objects: set[str]
    """Those that its images lie in."""

    def values(self, issues: Iterable[annotation_pb2.IssueCount]) -> dict[str, Any]:
        """The columns of DatasetRow that change with the head."""
        summary = dataset_pb2.Dataset(labels=self.labels, issues=issues)
        for split in sorted(self.splits, key=split_rank):
            summary.splits.add(split=split, image_count=self.splits[split])
        return {
            "table_version": self.table_version,
            "image_count": self.image_count,
            "annotation_count": self.annotation_count,
            "image_bytes": self.image_bytes,
            "summary": summary.SerializeToString(),
        }


def measure(table_key: str, table_version: int) -> Head:
    """Looks at a version of a table, at a few narrow columns."""
    import pyarrow.compute as pc

    from framehouse.annotations.labels import labels_of
    from framehouse.store.tables import batches, open_table

    table = open_table(table_key, table_version)
    head = Head(table_key, table_version, 0, 0, 0, labels_of(table.schema), {}, objects_of(table))
    for batch in batches(table, ["split", "bytes", "kind"], ROWS):
        head.image_count += batch.num_rows
        head.annotation_count += pc.sum(pc.list_value_length(batch["kind"])).as_py() or 0
        head.image_bytes += pc.sum(batch["bytes"]).as_py() or 0
        for pair in batch["split"].value_counts().to_pylist():
            head.splits[pair["values"]] = head.splits.get(pair["values"], 0) + pair["counts"]
    return head


def enter(session: Session, job: str, uid: str, tag: str, summary: ingest_pb2.AddSummary, head: Head) -> None:
    """What goes with every head that an import makes, in the transaction in which it becomes visible."""
    session.add(ImportRow(job=job, dataset=uid, tag=tag, summary=summary.SerializeToString(), create_time=now()))
    session.flush()
    refer(session, head.table_key, head.table_version, head.objects)


def in_use(session: Session, prefix: str) -> bool:
    """Whether a dataset needs what lies under `derived/{job}/`, `tables/{job}.lance/` or `statistics/{job}/`."""
    kind, _, rest = prefix.partition("/")
    job = rest.rstrip("/").removesuffix(".lance")
    row = session.get(ImportRow, job) if kind != "jobs" else None
    # The table of an import that added to a dataset was copied into that of the dataset.
    is_of_dataset = row is not None and (kind == "derived" or row.dataset == job)
    return is_of_dataset or is_base(session, prefix.rstrip("/"))
