"""What the error policy `fail` means: the first issue of severity error ends the job, in its own words."""

from framehouse.runtime.errors import FailedPrecondition
from framehouse.runtime.jobs import failure_from
from framehouse.v1 import annotation_pb2


def fail_on_errors(issues: annotation_pb2.StepIssues, strict: bool) -> None:
    """Ends the workflow where it is strict and a step found an error."""
    if not strict or not issues.error_count:
        return
    first = issues.first_error
    place = f"{first.path}:{first.line}" if first.line else first.path
    text = f"{place}: {first.message}; {first.remedy}"
    raise failure_from(FailedPrecondition(text, reason=first.code).status())
