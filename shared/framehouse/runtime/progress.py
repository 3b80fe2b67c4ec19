"""The progress of a job: its stages, kept in the workflow, told to whoever asks.

A job's workflow is `Tracked`. A child of it sends what it did to its parent by signals, a few for each stage, so that
the parent's history stays short however many shards there are; what is left it answers with.
"""

from collections.abc import Iterable, Sequence

from temporalio import workflow

from framehouse.v1 import conversion_pb2, job_pb2

SIGNALS_A_STAGE = 20
"""A child tells its parent about every twentieth part of a stage."""
SIGNAL_SECONDS = 0.5
"""And not sooner than this after the last time: a signal costs the job server as much as a step."""


Untold = list[tuple[str, int, int]]
"""Stage, units that are done, and issues, each as `Tracked.advance` takes them."""


class Tracked:
    """Base of the workflows that are jobs: answers the query `metadata`, takes the signal `advance`."""

    def __init__(self) -> None:
        self._metadata = job_pb2.JobMetadata()

    def plan_stages(self, kind: job_pb2.JobKind, target: str, stages: Sequence[tuple[str, str]]) -> None:
        """Announces the stages, (name, unit) each, in their order."""
        self._metadata.kind = kind
        self._metadata.target = target
        self._metadata.start_time.FromDatetime(workflow.info().start_time)
        for name, unit in stages:
            self._metadata.stages.add(name=name, unit=unit)

    def add_stage(self, name: str, unit: str, before: str) -> None:
        """Announces one more stage, which not every job has."""
        place = next(i for i, stage in enumerate(self._metadata.stages) if stage.name == before)
        self._metadata.stages.insert(place, job_pb2.JobStage(name=name, unit=unit))

    def begin(self, stage: str, total: int = 0) -> None:
        """A stage begins; `total` is 0 where it is not known yet."""
        entry = self._stage(stage)
        entry.total = total
        entry.start_time.FromDatetime(workflow.now())

    def finish(self, stage: str, done: int | None = None) -> None:
        """A stage has ended; all of it was done where nothing else is said."""
        entry = self._stage(stage)
        entry.done = entry.total if done is None else done
        entry.total = entry.done
        entry.end_time.FromDatetime(workflow.now())

    def add_issues(self, count: int) -> None:
        """More issues were found."""
        self._metadata.issue_count += count

    def set_issues(self, count: int) -> None:
        """All issues have been counted."""
        self._metadata.issue_count = count

    def set_losses(self, losses: Iterable[conversion_pb2.Loss]) -> None:
        """What the format that is being written cannot hold is known."""
        del self._metadata.losses[:]
        self._metadata.losses.extend(losses)

    def _stage(self, name: str) -> job_pb2.JobStage:
        return next(stage for stage in self._metadata.stages if stage.name == name)

    @workflow.signal
    def advance(self, stage: str, count: int, issues: int) -> None:
        """`count` more units of a stage are done, and so many issues were found in them."""
        self._stage(stage).done += count
        self._metadata.issue_count += issues

    @workflow.query
    def metadata(self) -> job_pb2.JobMetadata:
        """The progress as it stands."""
        return self._metadata


class Reporter:
    """Tells the progress of a stage: in the job's own workflow at once, in a child of it by signals, at most
    `SIGNALS_A_STAGE` in `steps` steps.
    """

    def __init__(self, stage: str, steps: int) -> None:
        self._stage = stage
        self._every = max(steps // SIGNALS_A_STAGE, 1)
        self._steps = 0
        self._count = 0
        self._issues = 0
        self._told = workflow.now()

    async def add(self, count: int, issues: int = 0) -> None:
        """One step has ended, in which `count` units were done."""
        self._steps += 1
        self._count += count
        self._issues += issues
        if isinstance(job := workflow.instance(), Tracked):
            for untold in self.rest():
                job.advance(*untold)
        elif self._steps >= self._every and (workflow.now() - self._told).total_seconds() >= SIGNAL_SECONDS:
            await self._signal()

    async def _signal(self) -> None:
        parent = workflow.info().parent
        assert parent is not None
        job: workflow.ExternalWorkflowHandle[Tracked] = workflow.get_external_workflow_handle(parent.workflow_id)
        for untold in self.rest():
            await job.signal("advance", args=untold)

    def rest(self) -> Untold:
        """What was not told yet."""
        untold = [(self._stage, self._count, self._issues)]
        self._steps = self._count = self._issues = 0
        self._told = workflow.now()
        return untold
