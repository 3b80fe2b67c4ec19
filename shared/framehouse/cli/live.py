"""Shows how far a command has come, on stderr: bars in a terminal, plain lines elsewhere."""

import contextlib
import sys
import time
from collections.abc import Iterator

from framehouse.cli.output import print_losses, size
from framehouse.client.progress import Progress, Report

LINE_SECONDS = 2.0


@contextlib.contextmanager
def shown() -> Iterator[Report]:
    """Gives what is to be told of each step; the display ends with the block."""
    if sys.stderr.isatty():
        with _bars() as report:
            yield report
    else:
        yield _Lines().report


@contextlib.contextmanager
def _bars() -> Iterator[Report]:
    from rich.console import Console
    from rich.progress import BarColumn, Task, TaskID, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars
    from rich.text import Text

    class Amount(TextColumn):
        def render(self, task: Task) -> Text:
            return Text(_amount(task.fields["unit"], int(task.completed), int(task.total or 0)))

    class Rate(TextColumn):
        def render(self, task: Task) -> Text:
            # The rate of the whole once it has ended, of the last moments before.
            speed = task.finished_speed or task.speed
            return Text(f"{_count(task.fields['unit'], speed)}/s" if speed else "", style="cyan")

    bars = Bars(
        TextColumn("{task.description:<10}"),
        BarColumn(bar_width=30),
        Amount(""),
        Rate(""),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        console=Console(stderr=True),
    )
    tasks: dict[str, TaskID] = {}

    def report(progress: Progress) -> None:
        if progress.note:
            bars.console.print(progress.note, highlight=False, markup=False)
        if progress.losses:
            print_losses(progress.losses, to_stderr=True)
        if not progress.stage:
            return
        task = tasks.get(progress.stage)
        if task is None:
            task = tasks[progress.stage] = bars.add_task(progress.stage, total=None, unit=progress.unit)
        total = progress.total or (max(progress.done, 1) if progress.ended else None)
        bars.update(task, completed=total if progress.ended else progress.done, total=total)

    with bars:
        yield report


class _Lines:
    """At most one line every `LINE_SECONDS` for a stage, and one at its end."""

    def __init__(self) -> None:
        self._began: dict[str, float] = {}
        self._told: dict[str, float] = {}
        self._ended: set[str] = set()

    def report(self, progress: Progress) -> None:
        if progress.note:
            print(progress.note, file=sys.stderr, flush=True)
        if progress.losses:
            print_losses(progress.losses, to_stderr=True)
        if not progress.stage:
            return
        now = time.monotonic()
        stage = progress.stage
        began = self._began.setdefault(stage, now)
        told = self._told.setdefault(stage, now)
        if stage in self._ended or (now - told < LINE_SECONDS and not progress.ended):
            return
        self._told[stage] = now
        text = f"{stage}: {_amount(progress.unit, progress.done, progress.total)}"
        elapsed = now - began
        if progress.ended:
            self._ended.add(stage)
            text += f" in {elapsed:.1f} s" if elapsed >= 0.1 else ""
        elif elapsed > 0 and progress.done:
            rate = progress.done / elapsed
            text += f", {_count(progress.unit, rate)}/s"
            if progress.total:
                text += f", {max(progress.total - progress.done, 0) / rate:.0f} s left"
        print(text, file=sys.stderr, flush=True)


def _amount(unit: str, done: int, total: int) -> str:
    of = f"/{_count(unit, total)}" if total else ""
    return f"{_count(unit, done)}{of}" + ("" if unit == "bytes" else f" {unit}")


def _count(unit: str, count: float) -> str:
    if unit == "bytes":
        return size(count)
    return f"{count:,.0f}" if count >= 10 or count == int(count) else f"{count:.1f}"
