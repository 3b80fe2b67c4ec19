"""The label schema of a table, kept in the metadata of its Arrow schema."""

from collections.abc import Iterable
from functools import lru_cache

import pyarrow as pa
from google.protobuf import json_format

from framehouse.v1 import annotation_pb2

LABELS_KEY = b"framehouse.labels"


def label_schema(names: Iterable[str]) -> annotation_pb2.LabelSchema:
    """A schema of plain labels, in the given order."""
    return annotation_pb2.LabelSchema(labels=[annotation_pb2.Label(name=name) for name in names])


def with_labels(schema: pa.Schema, labels: annotation_pb2.LabelSchema) -> pa.Schema:
    """The same Arrow schema, carrying `labels`."""
    # As JSON, for Lance takes no metadata but text.
    text = json_format.MessageToJson(labels, indent=None, ensure_ascii=False)
    return schema.with_metadata({**(schema.metadata or {}), LABELS_KEY: text.encode()})


def labels_of(schema: pa.Schema) -> annotation_pb2.LabelSchema:
    """The labels that an Arrow schema carries; none where it carries no schema."""
    labels = annotation_pb2.LabelSchema()
    labels.CopyFrom(_parsed((schema.metadata or {}).get(LABELS_KEY, b"{}")))
    return labels


@lru_cache(maxsize=4)
def _parsed(text: bytes) -> annotation_pb2.LabelSchema:
    """Every step of a job asks for the same ones, and parsing takes some 50 µs a label."""
    return json_format.Parse(text, annotation_pb2.LabelSchema())
