"""`python -m tests.demo [PATH]`: import, measure, export, and check the result with pycocotools.

Without a path, pictures with objects of known place are drawn, and every box is compared with what was drawn. The
suite is one of its own, on free ports, with its data under build/demo. Exit status 0 only where nothing differs.
"""

import argparse
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

from rich.console import Console

from tests.demo.check import differences_from_truth, differences_in_counts, read_back
from tests.samples import draw_dataset

ROOT = Path(__file__).parents[2]
WORK = Path("build/demo")
FRAMEHOUSE = Path(sys.executable).with_name("framehouse")
PICTURES = 200
SHOWN = 20

console = Console(highlight=False)


def main() -> int:
    """The story."""
    parser = argparse.ArgumentParser(prog="python -m tests.demo", description=__doc__)
    parser.add_argument("data", nargs="?", type=Path, help="a folder or an archive; drawn pictures where not given")
    given: Path | None = parser.parse_args().data
    data = given.absolute() if given else None
    if data is not None and not data.exists():
        parser.error(f"{given} is not there")
    signal.signal(signal.SIGTERM, _leave)
    os.chdir(ROOT)
    # Where the suite keeps its data and the other commands find it; a suite of the user's own is left alone.
    os.environ["FRAMEHOUSE_DATA"] = str(WORK / "suite")
    os.environ.pop("FRAMEHOUSE_ADDRESS", None)
    began = time.monotonic()
    if (WORK / "suite").exists():  # left by a demo that was killed
        subprocess.run([FRAMEHOUSE, "down"], capture_output=True, check=False)
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)

    truth = None
    if data is None:
        data = WORK / "shapes"
        truth = draw_dataset(data, PICTURES)
        objects = sum(len(picture.objects) for picture in truth)
        step(f"{len(truth)} pictures drawn with {objects} objects of known place, in {data}")
    name = "shapes" if truth else "demo"
    result = WORK / f"{name}-coco"
    step(f"export FRAMEHOUSE_DATA={WORK / 'suite'}", command=True)
    try:
        run("up", "--detach")
        run("import", str(data), "--name", name)
        run("stats", name)
        statistics = json.loads(run("stats", name, "--json", quiet=True))
        run("export", name, "--to", "coco-instances", "--out", str(result))
    finally:
        run("down")

    (WORK / "statistics.json").write_text(json.dumps(statistics, indent=1))
    back = read_back(result)
    step(
        f"pycocotools loads {len(back.images)} images and {len(back.annotations)} annotations of "
        f"{len(back.classes)} classes from {result}"
    )
    found = differences_in_counts(statistics, back)
    if truth:
        found += differences_from_truth(truth, data, back)
    if found:
        console.print(f"[bold red]{len(found)} differences[/bold red]")
        for text in found[:SHOWN]:
            console.print(f"  {text}", markup=False)
        return 1
    if truth:
        step("every box, class, split and count is what was drawn, and every image file is the same, byte for byte")
    else:
        step("the result has the images, annotations, classes and splits that the statistics count")
    console.print(f"\n[bold green]Done[/bold green] in {time.monotonic() - began:.0f} s. The results are in {WORK}:")
    for path, what in (
        (data, "the source" if given else "the pictures and their labels, as drawn"),
        (WORK / "statistics.json", "the statistics"),
        (result, "the export, as COCO instances"),
        (WORK / "suite" / "logs", "the logs of the suite"),
    ):
        console.print(f"  {path}  [dim]{what}[/dim]")
    return 0


def run(*arguments: str, quiet: bool = False) -> str:
    """Runs the command `framehouse` as a user would, and shows it; leaves the demo where it fails."""
    if not quiet:
        step(shlex.join(("framehouse", *arguments)), command=True)
    done = subprocess.run([FRAMEHOUSE, *arguments], stdout=subprocess.PIPE if quiet else None, text=True, check=False)
    if done.returncode:
        console.print(f"[bold red]framehouse {arguments[0]} ended with status {done.returncode}[/bold red]")
        sys.exit(1)
    return done.stdout or ""


def step(text: str, *, command: bool = False) -> None:
    """One line that a reader can follow."""
    mark = "[bold cyan]$[/bold cyan]" if command else "[bold green]✓[/bold green]"
    console.print(f"\n{mark} [bold]{text}[/bold]" if command else f"\n{mark} {text}", soft_wrap=True)


def _leave(*_: object) -> NoReturn:
    """Ends by way of `finally`, so that the suite is stopped."""
    sys.exit(1)


if __name__ == "__main__":
    sys.exit(main())
