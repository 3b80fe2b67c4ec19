"""What a row of the bench is made of: series of repeated measurements, a ratio against a floor, peak memory.

Only ratios are compared between runs and machines; seconds are kept beside them so that a reader can judge.
"""

import contextlib
import os
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from framehouse.cli.stack.control import find
from framehouse.cli.stack.state import ProcessInfo, StackInfo, memory

SAMPLE_SECONDS = 1.0
BEGIN_ANEW = "5"
"""What tells Linux to forget the peak of a process so far."""


class Series(NamedTuple):
    """The same thing measured several times in one run."""

    name: str
    unit: str
    values: Sequence[float]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def spread(self) -> float:
        """Greatest less smallest value, relative to the median."""
        return (max(self.values) - min(self.values)) / self.median if self.median else 0.0

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return {**self._asdict(), "median": self.median, "spread": self.spread}


@dataclass
class Row:
    """The result of one row. Without a ratio, `notes` say why."""

    name: str
    title: str
    sizes: str
    """What was measured: counts, bytes, repeats."""
    ratio: Series | None = None
    """Ours over the floor, or what the row is about; more is better unless `target` says otherwise."""
    series: list[Series] = field(default_factory=list)
    target: str = ""
    passed: bool | None = None
    """None where the row has no target."""
    peak_memory: dict[str, int] = field(default_factory=dict)
    """Resident bytes at most, by process of the suite."""
    notes: list[str] = field(default_factory=list)

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.name,
            "title": self.title,
            "sizes": self.sizes,
            "ratio": self.ratio.record() if self.ratio else None,
            "series": [series.record() for series in self.series],
            "target": self.target,
            "passed": self.passed,
            "peak_memory_bytes": self.peak_memory,
            "notes": self.notes,
        }


class Bench(NamedTuple):
    """What a row may use."""

    suite: StackInfo
    folder: Path
    """Empty, and the row's own."""
    quick: bool
    """Small sizes and few repeats: to see that the row works, not for its number."""
    say: Callable[[str], None]


class PeakMemory:
    """Watches the suite's processes while a block runs; `peaks` are the most resident bytes of each, by name.

    The kernel keeps the peaks, where it can be asked to begin anew: looking often would take the time that is measured.
    """

    def __init__(self, suite: StackInfo) -> None:
        self.peaks: dict[str, int] = {process.name: 0 for process in suite.processes}
        self._suite = suite
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "PeakMemory":
        for process in self._suite.processes:
            with contextlib.suppress(OSError):
                Path(f"/proc/{process.pid}/clear_refs").write_text(BEGIN_ANEW)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            self._look()

    def _look(self) -> None:
        for process in (find(self._suite.data) or self._suite).processes:
            self.peaks[process.name] = max(self.peaks[process.name], _peak(process))


def _peak(process: ProcessInfo) -> int:
    """The most resident bytes of a process, as the kernel says, or those of the moment; 0 where it is gone."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) << 10
    except (OSError, IndexError):
        return memory(process)


def cores() -> int:
    """Processors that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def seconds_of(work: Callable[[], object]) -> float:
    """How long it takes, once."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def ratio(name: str, ours: Series, floor: Series) -> Series:
    """Ours over the floor, pair by pair: measured right after each other, both saw the same machine."""
    return Series(name, "×", [one / other for one, other in zip(ours.values, floor.values, strict=True)])
