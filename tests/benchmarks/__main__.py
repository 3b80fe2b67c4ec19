"""`python -m tests.benchmarks [ROW ...] [--quick]`: rows of the bench on one suite; a table, and build/bench.json."""

import argparse
import json
import math
import os
import platform
import shutil
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from framehouse.cli.stack.control import find, running_stack
from framehouse.cli.stack.state import StackInfo
from tests.benchmarks import archives, calls, catalogue, catalogue_changes, detection, images, labels, replicas, uploads
from tests.benchmarks.measure import Bench, Row, Series, cores

ROWS: dict[str, Callable[[Bench], Row]] = {
    "images": images.run,
    "large": images.large,
    "again": images.again,
    "replicas": replicas.run,
    "uploads": uploads.run,
    **labels.CONVERSIONS,
    "growth": labels.growth,
    "detection": detection.run,
    "calls": calls.run,
    "archives": archives.run,
    "long-export": archives.long_export,
    "catalogue": catalogue.run,
    "changes": catalogue_changes.changes,
    "writers": catalogue_changes.writers,
    "versions": catalogue_changes.versions,
}

BUILD = Path(__file__).parents[2] / "build"
RESULT = BUILD / "bench.json"


def main() -> int:
    """Exit status 1 where a target is missed or a row fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)}; all where none is named")
    parser.add_argument("--quick", action="store_true", help="small sizes: shows that the rows work, not a number")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.rows if name not in ROWS]:
        parser.error(f"no row {', '.join(unknown)}; there are {', '.join(ROWS)}")
    console = Console(width=None if sys.stdout.isatty() else 150)
    work = BUILD / "bench"
    shutil.rmtree(work, ignore_errors=True)
    facts = machine()
    rows: list[Row] = []
    broken: list[str] = []
    with running_stack(work / "suite") as suite:
        for name in arguments.rows or ROWS:
            folder = work / name
            folder.mkdir(parents=True)
            console.rule(name)
            began = time.monotonic()
            bench = Bench(suite, folder, arguments.quick, lambda text: console.print(f"  {text}", highlight=False))
            try:
                row = ROWS[name](bench)
            except Exception as error:
                traceback.print_exc()
                broken.append(name)
                row = Row(name, "failed", "", passed=False, notes=[f"{type(error).__name__}: {error}"])
            if died := restarts(suite):
                row.notes.append(f"started again in the run, which tells against the numbers: {died}")
            console.print(f"  {time.monotonic() - began:.0f} s")
            rows.append(row)
            shutil.rmtree(folder)
    RESULT.write_text(json.dumps({**facts, "quick": arguments.quick, "rows": [row.record() for row in rows]}, indent=1))
    show(console, facts, rows, arguments.quick)
    console.print(f"written to {RESULT.relative_to(BUILD.parent)}")
    if broken:
        console.print(f"failed: {', '.join(broken)}; the logs of the suite are in {work / 'suite' / 'logs'}")
    else:
        shutil.rmtree(work)
    return 1 if any(row.passed is False for row in rows) else 0


def restarts(suite: StackInfo) -> str:
    """Processes of the suite that died and were started again since it is up, with how often."""
    info = find(suite.data)
    return (
        ", ".join(f"{process.name} {process.restarts} ×" for process in info.processes if process.restarts)
        if info
        else "all"
    )


def machine() -> dict[str, Any]:
    """What the numbers are measured on; `load` is the mean of the last minute, and near 0 where it is left alone."""
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cores": cores(),
        "load": os.getloadavg()[0],
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def show(console: Console, facts: dict[str, Any], rows: list[Row], quick: bool) -> None:
    """The table that a reader sees; everything that was measured is in the JSON."""
    title = (
        f"{facts['cores']} cores, {facts['memory_bytes'] / 2**30:.0f} GiB, Python {facts['python']}; "
        f"load before the run {facts['load']:.1f}"
    )
    table = Table(title=title + (", QUICK: not for quoting" if quick else ""), show_lines=True)
    for heading in ("row", "measured (median ± half the spread)", "ratio", "target", "peak memory"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        verdict = {True: "[green]PASS[/green]", False: "[red]FAIL[/red]", None: "none yet"}[row.passed]
        table.add_row(
            f"[bold]{row.name}[/bold]\n{row.title}\n[dim]{row.sizes}[/dim]",
            "\n".join([*(describe(series) for series in row.series), *(f"[dim]{note}[/dim]" for note in row.notes)]),
            f"[bold]{describe(row.ratio)}[/bold]" if row.ratio else "-",
            f"{verdict}\n{row.target}".strip(),
            "\n".join(f"{name} {size / 2**20:,.0f} MiB" for name, size in row.peak_memory.items()),
        )
    console.print(table)


def describe(series: Series) -> str:
    """`gateway 0.91 ms ± 2 %`."""
    spread = f" ± {series.spread * 50:.0f} %" if len(series.values) > 1 else ""
    decimals = max(0, 2 - int(math.log10(series.median))) if series.median >= 1 else 3
    return f"{series.name} {series.median:,.{decimals}f} {series.unit}{spread}"


if __name__ == "__main__":
    sys.exit(main())
