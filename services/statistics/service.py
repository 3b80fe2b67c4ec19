"""The servicer of `StatisticsService`: finds the table, and answers from the bucket what was measured before.

A result belongs to one immutable version of a table and is kept under the table's uid. Measuring is left to
`services.statistics.measure`, imported by the first call that needs it, so that an idle process is small.
"""

import asyncio
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from framehouse.runtime.channels import connect
from framehouse.runtime.errors import InvalidArgument, NotFound
from framehouse.v1 import dataset_pb2, dataset_pb2_grpc, statistics_pb2

if TYPE_CHECKING:
    import pyarrow as pa

TABLE_KEY = re.compile(r"tables/([^/]+)\.lance/?")


class StatisticsService:
    """Measures datasets."""

    async def GetStatistics(self, request: statistics_pb2.GetStatisticsRequest) -> statistics_pb2.Statistics:
        datasets = dataset_pb2_grpc.DatasetServiceStub(connect("ingest"))
        table = await datasets.ResolveTable(dataset_pb2.ResolveTableRequest(dataset=request.name))
        statistics = await asyncio.to_thread(_statistics, table)
        statistics.dataset = request.name
        return statistics

    async def MeasureTable(self, request: statistics_pb2.MeasureTableRequest) -> statistics_pb2.Statistics:
        return await asyncio.to_thread(_statistics, request.table)


def _statistics(table: dataset_pb2.Table) -> statistics_pb2.Statistics:
    """The numbers of one version of a table, measured unless they were before."""
    from framehouse.store.bucket import bucket

    match = TABLE_KEY.fullmatch(table.key)
    if not match or table.version < 1:
        raise InvalidArgument(
            f"{table.key!r} at version {table.version} is no version of a dataset's table", field="table"
        )
    key = f"statistics/{match[1]}/{table.version}.pb"
    try:
        return statistics_pb2.Statistics.FromString(bucket().get(key))
    except NotFound:
        statistics = _measure(table)
    bucket().put_if_absent(key, statistics.SerializeToString(deterministic=True))
    return statistics


def _measure(table: dataset_pb2.Table) -> statistics_pb2.Statistics:
    from framehouse.annotations.labels import labels_of
    from framehouse.store.tables import open_table
    from services.statistics.measure import ROWS, measure

    dataset = open_table(table.key, table.version)

    def scan(columns: list[str]) -> "Iterator[pa.RecordBatch]":
        # Lance reads far ahead unless told otherwise, in memory that grows with the table.
        batches: Iterator[pa.RecordBatch] = dataset.to_batches(
            columns=columns, batch_size=ROWS, batch_readahead=2, fragment_readahead=1
        )
        return batches

    statistics = measure(scan, labels_of(dataset.schema))
    statistics.table_version = table.version
    return statistics
