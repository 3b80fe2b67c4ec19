"""The label schema of a table, kept in the metadata of its Arrow schema."""

from collections.abc import Iterable

import pyarrow as pa

from framehouse.v1 import annotation_pb2

LABELS_KEY = b"framehouse.labels"


def label_schema(names: Iterable[str]) -> annotation_pb2.LabelSchema:
    """A schema of plain labels, in the given order."""
    return annotation_pb2.LabelSchema(labels=[annotation_pb2.Label(name=name) for name in names])


def with_labels(schema: pa.Schema, labels: annotation_pb2.LabelSchema) -> pa.Schema:
    """The same Arrow schema, carrying `labels`."""
    return schema.with_metadata({**(schema.metadata or {}), LABELS_KEY: labels.SerializeToString(deterministic=True)})


def labels_of(schema: pa.Schema) -> annotation_pb2.LabelSchema:
    """The labels that an Arrow schema carries; none where it carries no schema."""
    return annotation_pb2.LabelSchema.FromString((schema.metadata or {}).get(LABELS_KEY, b""))
