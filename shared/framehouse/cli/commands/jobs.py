"""`jobs`: what is being done, and what was; `jobs retry` starts one again."""

import sys
from textwrap import shorten
from typing import TYPE_CHECKING, Annotated

import typer

from framehouse.cli.groups import listing
from framehouse.cli.options import Address, Json

if TYPE_CHECKING:
    from framehouse.v1.job_pb2 import JobMetadata

SHOWN = 80
"""So many letters of an error at most; `--json` has all of it."""


def register(app: typer.Typer) -> None:
    group = listing("jobs", is_bare=True)
    group.command("list")(listed)
    group.command("retry")(retry)
    app.add_typer(group, help="List the jobs; start one again.")


def retry(
    job: Annotated[str, typer.Argument(metavar="JOB", help="A job that failed or was cancelled, as jobs/1f0c….")],
    as_json: Json = False,
    address: Address = None,
) -> None:
    """Start a job again, as a new one with the same request, and wait for it.

    Images that it had looked at are not decoded again.
    """
    from framehouse.cli import live, output, reach
    from framehouse.client.names import short_name
    from framehouse.v1 import job_pb2

    with reach.client(address) as client, live.shown() as report:
        done = client.retry_job(job, report)
    metadata = job_pb2.JobMetadata()
    done.metadata.Unpack(metadata)
    if as_json:
        result = output.response(done)
        output.print_json({"name": done.name, "metadata": output.plain(metadata), "response": output.plain(result)})
    else:
        kind = output.word(job_pb2.JobKind, metadata.kind)
        print(f"{done.name}: {kind} of {output.visible(short_name(metadata.target))} done")


def listed(as_json: Json = False, address: Address = None) -> None:
    """List the jobs, newest first."""
    from framehouse.cli import output, reach
    from framehouse.client.names import short_name
    from framehouse.v1 import job_pb2

    with reach.client(address) as client:
        found = client.list_jobs()
    rows, documents = [], []
    for one in found:
        metadata = job_pb2.JobMetadata()
        one.metadata.Unpack(metadata)
        state = "waiting" if metadata.waiting_for else _state(one.done, one.error.code)
        seconds = output.seconds_between(metadata.start_time, metadata.end_time)
        documents.append(
            {
                "name": one.name,
                "state": state,
                "metadata": output.plain(metadata),
                "error": {"code": one.error.code, "message": one.error.message} if one.error.code else None,
            }
        )
        rows.append(
            (
                one.name,
                output.word(job_pb2.JobKind, metadata.kind),
                short_name(metadata.target),
                state,
                shorten(one.error.message or metadata.waiting_for, SHOWN, placeholder=" …") or _stage(metadata),
                output.when(metadata.start_time),
                f"{seconds:.1f} s",
            )
        )
    if as_json:
        output.print_json({"jobs": documents})
    elif not rows:
        print("no jobs yet", file=sys.stderr)
    else:
        output.print_table(("job", "kind", "of", "state", "stage", "began", "time"), rows, right=("time",))


def _state(done: bool, code: int) -> str:
    if not done:
        return "running"
    if not code:
        return "done"
    return "cancelled" if code == 1 else "failed"


def _stage(metadata: "JobMetadata") -> str:
    """The last stage that has begun and not ended."""
    from framehouse.client.progress import stages

    going = [one for one in stages(metadata) if not one.ended]
    return f"{going[-1].stage} {going[-1].done:,}/{going[-1].total:,}" if going else ""
