"""How far something has come: one `Progress` a stage, told to whoever asked for it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from framehouse.v1 import conversion_pb2, job_pb2


@dataclass(frozen=True)
class Progress:
    """One stage of what goes on."""

    stage: str
    """Empty where none has begun, as of an export that is there already: only `losses` are told then."""
    unit: str
    """What is counted: `bytes`, `images`, `files`."""
    done: int
    total: int
    """0 until it is known."""
    ended: bool = False
    note: str = ""
    """A sentence for a person, once, for instance `resuming: 12 of 40 parts are there`."""
    losses: tuple[conversion_pb2.Loss, ...] = ()
    """What the format that is being written cannot hold, once it is known, and before anything is written."""


Report = Callable[[Progress], None]


def ignore(progress: Progress) -> None:
    """For callers that do not ask."""


def stages(metadata: job_pb2.JobMetadata) -> Iterator[Progress]:
    """The stages of a job that have begun, in their order."""
    for stage in metadata.stages:
        if stage.HasField("start_time"):
            yield Progress(stage.name, stage.unit, stage.done, stage.total, stage.HasField("end_time"))
