"""The story of reading an archive: index, detect, plan, fan out over shards, join, commit. Imports and conversions
begin with it.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from google.protobuf import json_format
from temporalio import workflow

from framehouse.runtime.errors import InvalidArgument
from framehouse.runtime.jobs import failure_from, step, together
from framehouse.runtime.progress import Reporter, Tracked, Untold
from framehouse.runtime.writing import SHARDS_A_CHILD, in_children
from framehouse.v1 import annotation_pb2, conversion_pb2, ingest_pb2, media_pb2
from services.ingest.failing import fail_on_errors

STAGES = (("index", "files"), ("images", "images"), ("labels", "parts"), ("join", "shards"))
"""What this story adds to a job's stages."""

SHARDS_A_JOIN = 16
"""Shards, at most, whose rows become one fragment of the table."""
IMAGES_A_JOIN = 16000
"""Images, some, whose rows do: shards of images without bytes are larger than others."""
DEFAULT_MIN_SIDE = 28
DEFAULT_MAX_SIDE = 4096
VIDEOS_AT_ONCE = 4
TAKEN_CONFIDENCE = 0.5
"""Above it a detected format is taken without asking."""


Span = tuple[int, int, int]
"""(part, first shard, last shard) of a label part that holds any annotations."""


@dataclass
class Reading:
    """What every run of steps of one reading needs to know."""

    plan_key: str
    prefix: str
    """The job's own prefix in the bucket."""
    derived_prefix: str
    depth: int
    min_side: int
    aligned: bool
    fail_on_error: bool
    max_side: int
    drop_originals: bool
    shards_a_join: int = SHARDS_A_JOIN
    job: str = ""
    """Id of the job, which each image keeps."""

    def media_key(self, shard: int) -> str:
        return f"{self.prefix}media/{shard:06d}"

    def label_key(self, part: int) -> str:
        return f"{self.prefix}labels/{part:06d}"

    def join_key(self, first_shard: int) -> str:
        return f"{self.prefix}joins/{first_shard:06d}"


@dataclass
class Run:
    """A run of shards or parts."""

    reading: Reading
    first: int
    count: int


@dataclass
class JoinRun:
    """A run of shards to join; `label_keys` are the parts that may hold annotations of them."""

    reading: Reading
    first: int
    count: int
    table_key: str
    part_shards: list[Span]


@dataclass
class VideoRun:
    """A run of videos."""

    videos_key: str
    options: str
    """VideoOptions as JSON."""
    pack_key: str
    frames_prefix: str
    fail_on_error: bool
    first: int
    count: int


@workflow.defn(name="ReadVideos")
class ReadVideos:
    """The frames of a run of videos, a few videos at once: one may take hours, and others' images wait for as long."""

    @workflow.run
    async def run(self, videos: VideoRun) -> tuple[None, Untold]:
        reporter = Reporter("videos", videos.count)
        free = asyncio.Semaphore(VIDEOS_AT_ONCE)

        async def read(video: int) -> None:
            request = media_pb2.ExtractFramesRequest(
                videos_key=videos.videos_key,
                video=video,
                options=json_format.Parse(videos.options, conversion_pb2.VideoOptions()),
                pack_key=videos.pack_key,
                output_key=f"{videos.frames_prefix}{video:06d}",
            )
            async with free:
                done = await step(request, media_pb2.ExtractFramesResponse)
            fail_on_errors(done.issues, videos.fail_on_error)
            await reporter.add(1, done.issues.count)

        await together(read(video) for video in range(videos.first, videos.first + videos.count))
        return None, reporter.rest()


@workflow.defn(name="ReadImages")
class ReadImages:
    """Media for a run of shards and, where the plan is aligned, the labels of each shard after it."""

    @workflow.run
    async def run(self, shards: Run) -> tuple[list[Span], Untold]:
        reading = shards.reading
        images = Reporter("images", shards.count)
        labels = Reporter("labels", shards.count)

        async def read(shard: int) -> Span | None:
            done = await step(
                media_pb2.ProcessShardRequest(
                    plan_key=reading.plan_key,
                    shard=shard,
                    depth=media_pb2.MediaDepth.Name(reading.depth),
                    min_side=reading.min_side,
                    output_key=reading.media_key(shard),
                    derived_key=f"{reading.derived_prefix}{shard:06d}",
                    max_side=reading.max_side,
                    drop_originals=reading.drop_originals,
                ),
                media_pb2.ProcessShardResponse,
            )
            fail_on_errors(done.issues, reading.fail_on_error)
            await images.add(done.image_count, done.issues.count)
            return await _read_part(reading, shard, reading.media_key(shard), labels) if reading.aligned else None

        found = await together(read(shard) for shard in range(shards.first, shards.first + shards.count))
        return [span for span in found if span is not None], images.rest() + labels.rest()


@workflow.defn(name="ReadLabels")
class ReadLabels:
    """Label parts that need nothing of media."""

    @workflow.run
    async def run(self, parts: Run) -> tuple[list[Span], Untold]:
        labels = Reporter("labels", parts.count)

        numbers = range(parts.first, parts.first + parts.count)
        found = await together(_read_part(parts.reading, part, "", labels) for part in numbers)
        return [span for span in found if span is not None], labels.rest()


@workflow.defn(name="JoinRows")
class JoinRows:
    """Rows for a run of shards."""

    @workflow.run
    async def run(self, shards: JoinRun) -> tuple[None, Untold]:
        reading = shards.reading
        joined = Reporter("join", -(-shards.count // reading.shards_a_join))

        async def join(first: int, count: int) -> None:
            wanted = [part for part, low, high in shards.part_shards if low < first + count and high >= first]
            done = await step(
                ingest_pb2.JoinShardsRequest(
                    plan_key=reading.plan_key,
                    first_shard=first,
                    media_keys=[reading.media_key(shard) for shard in range(first, first + count)],
                    label_keys=[reading.label_key(part) for part in wanted],
                    table_key=shards.table_key,
                    output_key=reading.join_key(first),
                    job=reading.job,
                ),
                ingest_pb2.JoinShardsResponse,
            )
            fail_on_errors(done.issues, reading.fail_on_error)
            await joined.add(count, done.issues.count)

        end = shards.first + shards.count
        await together(
            join(first, min(reading.shards_a_join, end - first))
            for first in range(shards.first, end, reading.shards_a_join)
        )
        return None, joined.rest()


async def read_archive(
    job: Tracked,
    prefix: str,
    derived_prefix: str,
    table_key: str,
    upload: str,
    options: conversion_pb2.ReadOptions,
    depth: media_pb2.MediaDepth,
    issues_key: str = "",
    max_side: int = 0,
    drop_originals: bool = False,
    write: conversion_pb2.WriteOptions | None = None,
) -> ingest_pb2.CommitTableResponse:
    """Reads an upload into a committed table, which nobody sees yet.

    All other objects go under `prefix`, and the issues of all steps, where they are to be kept, to `issues_key`.
    `max_side` and `drop_originals` are those of `ProcessShard`; `write` is what the table is read for, where it is for
    nothing else.
    """
    strict = options.on_error == conversion_pb2.ERROR_POLICY_FAIL
    index_key = f"{prefix}index"
    job.begin("index")
    index = await step(
        ingest_pb2.IndexUploadRequest(upload=upload, output_key=index_key), ingest_pb2.IndexUploadResponse
    )
    _note(job, index.issues, strict)
    job.finish("index", index.entry_count)
    if index.video_count:
        index_key = await _add_frames(job, prefix, upload, index_key, index.video_count, options)

    plan_key = f"{prefix}plan"
    plan = await step(
        conversion_pb2.PlanReadRequest(
            index_key=index_key,
            format=await _format(index_key, options.format),
            output_key=plan_key,
            scratch_prefix=f"{prefix}scratch/",
            options=options,
            write=write,
        ),
        conversion_pb2.PlanReadResponse,
    )
    _note(job, plan.issues, strict)

    min_side = options.min_side if options.HasField("min_side") else DEFAULT_MIN_SIDE
    shards_a_join = min(SHARDS_A_JOIN, max(IMAGES_A_JOIN * plan.shard_count // max(plan.image_count, 1), 1))
    reading = Reading(
        plan_key,
        prefix,
        derived_prefix,
        int(depth),
        min_side,
        plan.aligned,
        strict,
        max_side,
        drop_originals,
        shards_a_join,
        workflow.info().workflow_id,
    )
    job.begin("images", plan.image_count)
    job.begin("labels", plan.shard_count if plan.aligned else plan.part_count)
    shards, parts = await together(
        [
            in_children(job, ReadImages, _runs(reading, plan.shard_count)),
            in_children(job, ReadLabels, [] if plan.aligned else _runs(reading, plan.part_count)),
        ]
    )
    job.finish("images")
    job.finish("labels")

    job.begin("join", plan.shard_count)
    spans = sorted(span for some in (*shards, *parts) for span in some)
    await in_children(
        job,
        JoinRows,
        [
            JoinRun(reading, run.first, run.count, table_key, _touching(spans, run))
            for run in _runs(reading, plan.shard_count)
        ],
    )
    committed = await step(
        ingest_pb2.CommitTableRequest(
            plan_key=plan_key,
            table_key=table_key,
            fragments_keys=[
                reading.join_key(first)
                for run in _runs(reading, plan.shard_count)
                for first in range(run.first, run.first + run.count, reading.shards_a_join)
            ],
            job_prefix=prefix,
            issues_key=issues_key,
        ),
        ingest_pb2.CommitTableResponse,
    )
    job.set_issues(sum(count.count for count in committed.issue_counts))
    job.finish("join")
    return committed


async def _add_frames(
    job: Tracked, prefix: str, upload: str, index_key: str, count: int, options: conversion_pb2.ReadOptions
) -> str:
    """Takes the frames out of an archive's videos; answers with the key of the index that has them instead."""
    job.add_stage("videos", "videos", before="images")
    job.begin("videos", count)
    frames_prefix = f"{prefix}videos/"
    await in_children(
        job,
        ReadVideos,
        [
            VideoRun(
                videos_key=f"{index_key}-videos",
                options=json_format.MessageToJson(options.video, indent=None),
                pack_key=f"packs/{upload.removeprefix('uploads/')}-video",
                frames_prefix=frames_prefix,
                fail_on_error=options.on_error == conversion_pb2.ERROR_POLICY_FAIL,
                first=first,
                count=min(SHARDS_A_CHILD, count - first),
            )
            for first in range(0, count, SHARDS_A_CHILD)
        ],
    )
    merged_key = f"{prefix}index-with-frames"
    await step(
        ingest_pb2.AddFramesRequest(
            index_key=index_key, frames_prefix=frames_prefix, video_count=count, output_key=merged_key
        ),
        ingest_pb2.AddFramesResponse,
    )
    job.finish("videos")
    return merged_key


async def _format(index_key: str, asked: str) -> str:
    """The format that was asked for, or the one that the archive is in."""
    if asked not in ("", "auto"):
        return asked
    found = await step(conversion_pb2.DetectFormatRequest(index_key=index_key), conversion_pb2.DetectFormatResponse)
    candidates = found.candidates
    if candidates and candidates[0].confidence > TAKEN_CONFIDENCE:
        return str(candidates[0].format)
    guesses = "; ".join(f"{one.format} ({one.reason})" for one in candidates[:3])
    raise failure_from(
        InvalidArgument(
            "the archive is in no format known here"
            + (f"; it may be {guesses}" if guesses else "")
            + "; name the format with --format, the list is under `framehouse formats`",
            reason="FORMAT_UNKNOWN",
        ).status()
    )


async def _read_part(reading: Reading, part: int, media_key: str, labels: Reporter) -> Span | None:
    done = await step(
        conversion_pb2.ReadShardRequest(
            plan_key=reading.plan_key,
            part=part,
            media_key=media_key,
            output_key=reading.label_key(part),
        ),
        conversion_pb2.ReadShardResponse,
    )
    fail_on_errors(done.issues, reading.fail_on_error)
    await labels.add(1, done.issues.count)
    return (part, done.shards[0], done.shards[-1]) if done.shards else None


def _runs(reading: Reading, total: int) -> list[Run]:
    return [Run(reading, first, min(SHARDS_A_CHILD, total - first)) for first in range(0, total, SHARDS_A_CHILD)]


def _touching(spans: Sequence[Span], run: Run) -> list[Span]:
    return [span for span in spans if span[1] < run.first + run.count and span[2] >= run.first]


def _note(job: Tracked, issues: annotation_pb2.StepIssues, strict: bool) -> None:
    job.add_issues(issues.count)
    fail_on_errors(issues, strict)
