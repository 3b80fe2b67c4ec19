"""The story of writing an archive: plan, write the shards, finish, assemble. Exports and conversions tell it alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from temporalio import workflow

from framehouse.runtime.jobs import step, together
from framehouse.runtime.progress import Reporter, Tracked, Untold
from framehouse.v1 import conversion_pb2, dataset_pb2, export_pb2

T = TypeVar("T")
R_co = TypeVar("R_co", covariant=True)

SHARDS_A_CHILD = 200
"""Shards that one child workflow looks after, so that no history grows with the dataset."""
CHILDREN_AT_ONCE = 8

STAGES = (("labels written", "shards"), ("archive", "bytes"))
"""What this story adds to a job's stages."""


@dataclass
class ShardRun:
    """A run of shards that one child writes."""

    plan_key: str
    first: int
    count: int
    output_prefix: str


def bundle_key(prefix: str, shard: int) -> str:
    """Where the bundle of a shard goes."""
    return f"{prefix}{shard:06d}"


@workflow.defn(name="WriteShards")
class WriteShards:
    """Writes a run of shards."""

    @workflow.run
    async def run(self, shards: ShardRun) -> tuple[None, Untold]:
        reporter = Reporter("labels written", shards.count)

        async def write(shard: int) -> None:
            request = conversion_pb2.WriteShardRequest(
                plan_key=shards.plan_key, shard=shard, output_key=bundle_key(shards.output_prefix, shard)
            )
            await step(request, conversion_pb2.WriteShardResponse)
            await reporter.add(1)

        await together(write(shard) for shard in range(shards.first, shards.first + shards.count))
        return None, reporter.rest()


async def plan_archive(
    job: Tracked,
    prefix: str,
    table: dataset_pb2.Table,
    options: conversion_pb2.WriteOptions,
    dataset: dataset_pb2.Dataset | None = None,
) -> conversion_pb2.PlanWriteResponse:
    """Plans the writing of a table, and tells what the format cannot hold before anything is written.

    Only the images that the options' filter selects are planned; where there are none, the job fails. `dataset` is
    what a snapshot says of it.
    """
    asked = conversion_pb2.PlanWriteRequest(table=table, options=options, output_key=_plan_key(prefix), dataset=dataset)
    if options.filter:
        asked.selection_key = f"{prefix}write/selection"
        select = dataset_pb2.SelectImagesRequest(table=table, filter=options.filter, output_key=asked.selection_key)
        await step(select, dataset_pb2.SelectImagesResponse)
    plan = await step(asked, conversion_pb2.PlanWriteResponse)
    job.set_losses(plan.losses)
    return plan


def _plan_key(prefix: str) -> str:
    return f"{prefix}write/plan"


async def write_archive(
    job: Tracked,
    prefix: str,
    table: dataset_pb2.Table,
    options: conversion_pb2.WriteOptions,
    export: str,
    file_name: str,
    request: export_pb2.ExportDatasetRequest | None = None,
) -> export_pb2.Export:
    """Writes a table as an archive. `prefix` is the job's own; `request` says what was asked for, of an export."""
    plan = await plan_archive(job, prefix, table, options)
    bundles, last = await write_bundles(job, prefix, plan.shard_count)
    job.begin("archive")
    written = await step(
        export_pb2.AssembleArchiveRequest(
            export=export,
            file_name=file_name,
            format=plan.format,
            image_count=plan.image_count,
            annotation_count=plan.annotation_count,
            bundle_prefix=bundles,
            bundle_count=plan.shard_count,
            last_bundle_key=last,
            request=request,
            table=table,
            losses=plan.losses,
            owner=f"users/{owner}" if (owner := workflow.memo_value("owner", "")) else "",
        ),
        export_pb2.Export,
    )
    job.finish("archive", written.size)
    return written


async def write_bundles(job: Tracked, prefix: str, shard_count: int) -> tuple[str, str]:
    """Writes what was planned; answers with the prefix of the bundles of the shards, and the key of the last one."""
    plan_key = _plan_key(prefix)
    bundles, last = f"{prefix}write/shards/", f"{prefix}write/last"
    job.begin("labels written", shard_count)
    await in_children(
        job,
        WriteShards,
        [
            ShardRun(plan_key, first, min(SHARDS_A_CHILD, shard_count - first), bundles)
            for first in range(0, shard_count, SHARDS_A_CHILD)
        ],
    )
    await step(conversion_pb2.FinishWriteRequest(plan_key=plan_key, output_key=last), conversion_pb2.WriteShardResponse)
    job.finish("labels written")
    return bundles, last


class Child(Protocol[R_co]):
    """A workflow that does a run of steps."""

    async def run(self, steps: Any, /) -> tuple[R_co, Untold]: ...


async def in_children(job: Tracked, child: type[Child[T]], runs: Sequence[object]) -> list[T]:
    """Runs a child workflow for each run of steps, a few at once; the results in order.

    A single run is done by the job itself: a child takes the job server as long as two steps.
    """

    async def one(number: int) -> T:
        if len(runs) == 1:
            done, untold = await child().run(runs[0])
        else:
            name = f"{workflow.info().workflow_id}-{child.__name__}-{number}"
            done, untold = await workflow.execute_child_workflow(child.run, runs[number], id=name)
        for stage, count, issues in untold:
            job.advance(stage, count, issues)
        return done

    results: list[T] = []
    for first in range(0, len(runs), CHILDREN_AT_ONCE):
        results += await together(one(number) for number in range(first, min(first + CHILDREN_AT_ONCE, len(runs))))
    return results
