"""How jobs fail: with the error policy `fail`, by the first issue of severity error, in its own words; and cleanly."""

from collections.abc import Awaitable, Sequence
from typing import TypeVar

from google.protobuf import empty_pb2
from google.protobuf.message import Message
from temporalio.exceptions import is_cancelled_exception

from framehouse.runtime.errors import FailedPrecondition
from framehouse.runtime.jobs import failure_from, step
from framehouse.v1 import annotation_pb2, ingest_pb2

R = TypeVar("R", bound=Message)


def fail_on_errors(issues: annotation_pb2.StepIssues, strict: bool) -> None:
    """Ends the workflow where it is strict and a step found an error."""
    if not strict or not issues.error_count:
        return
    first = issues.first_error
    place = f"{first.path}:{first.line}" if first.line else first.path
    text = f"{place}: {first.message}; {first.remedy}"
    raise failure_from(FailedPrecondition(text, reason=first.code).status())


async def cleaning_up(
    work: Awaitable[R], prefix: str, *, on_failure: Sequence[str], on_cancellation: Sequence[str] = ()
) -> R:
    """Runs a job's work and removes what lies under its prefix; after a failure or a cancellation more."""
    prefixes = [prefix]
    try:
        return await work
    except BaseException as error:
        prefixes += on_failure
        if is_cancelled_exception(error):
            prefixes += on_cancellation
        raise
    finally:
        await step(ingest_pb2.CleanUpJobRequest(prefixes=prefixes), empty_pb2.Empty)
