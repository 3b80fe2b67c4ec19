"""Export of images, against `zip -0 -r` of the same files from disk to disk.

Ours is the whole job: plan, label files, the archive assembled from the packs in the store into the store. Fetching
it is told beside it. A row of its own tells what memory a long export adds.
"""

import shutil
import subprocess
import zipfile
from functools import partial
from pathlib import Path

from framehouse.cli.stack.control import running_stack
from framehouse.client import Client
from tests.benchmarks.job_times import read_job, seconds_of_job, seconds_of_stages
from tests.benchmarks.measure import Bench, PeakMemory, Row, Series, cores, ratio, seconds_of
from tests.benchmarks.photos import many_photos
from tests.samples import photo_archive

KILOBYTES = 110
FORMAT = "ultralytics-detect"
DATASET = "bench-archives"
GROWTH = 1.05
"""Of a process's peak memory for 2,000 images that it may have for 20,000."""
PROCESSES = ("export", "conversion")
"""Whose memory is told."""
FIRST_LONG = 300
"""A seed: no row has images of another."""


def run(bench: Bench) -> Row:
    """Measures; megabytes a second."""
    count, repeats = (300, 2) if bench.quick else (4_000, 5)
    source = bench.folder / "photos.zip"
    size = photo_archive(source, count, KILOBYTES, seed=7)
    files = bench.folder / "photos"
    with zipfile.ZipFile(source) as archive:
        archive.extractall(files)
    out, zip_out = bench.folder / "out.zip", bench.folder / "zip.zip"
    program = shutil.which("zip")
    ours, floor, fetched, jobs = [], [], [], []
    with Client(bench.suite.address) as client:
        client.import_dataset(source, DATASET)
        # Services load their libraries at their first use. An export that is there would answer the next one.
        client.delete_export(client.export_dataset(DATASET, FORMAT).export.name)
        with PeakMemory(bench.suite) as memory:
            for _ in range(repeats):
                result = client.export_dataset(DATASET, FORMAT)
                jobs.append(read_job(client, result.export.name))
                fetched.append(seconds_of(partial(client.download, result.export.name, out)))
                taken = seconds_of_job(jobs[-1])
                zipped = seconds_of(partial(pack, files, zip_out, program))
                ours.append(size / 1e6 / taken)
                floor.append(size / 1e6 / zipped)
                bench.say(f"{size / 1e6:,.0f} MB: export {taken:.2f} s, zip -0 {zipped:.2f} s")
                assert same_images(source, out), "the exported images are not those that were imported"
                out.unlink()
                zip_out.unlink()
                client.delete_export(result.export.name)
        client.purge_dataset(client.delete_dataset(DATASET).uid)
    ours_series = Series("export", "MB/s", ours)
    floor_series = Series("zip -0 -r" if program else "Python's zipfile, stored", "MB/s", floor)
    return Row(
        "archives",
        f"export of images, against {floor_series.name} from disk to disk",
        f"{repeats} × {count:,} JPEGs, {size / 1e6:,.0f} MB on {cores()} cores",
        ratio=ratio(f"export : {'zip -0' if program else 'zipfile'}", ours_series, floor_series),
        series=[ours_series, floor_series, Series("fetching it", "MB/s", [size / 1e6 / taken for taken in fetched])],
        peak_memory=memory.peaks,
        notes=[f"stages of the last: {seconds_of_stages(jobs[-1])}"],
    )


def long_export(bench: Bench) -> Row:
    """A short and a long export, each in a suite of its own: the peak memory of the processes that work on it."""
    counts = (200, 600) if bench.quick else (2_000, 20_000)
    archive = bench.folder / "photos.zip"
    speeds: list[float] = []
    peaks: list[dict[str, int]] = []
    size, stages = 0, ""
    for number, count in enumerate(counts):
        size = many_photos(archive, count, seed=FIRST_LONG + number)
        with running_stack(bench.folder / f"suite-{number}") as suite, Client(suite.address) as client:
            client.import_dataset(archive, DATASET)
            with PeakMemory(suite) as watched:
                job = read_job(client, client.export_dataset(DATASET, FORMAT).export.name)
        peaks.append({name: watched.peaks[name] for name in PROCESSES})
        speeds.append(size / 1e6 / seconds_of_job(job))
        stages = seconds_of_stages(job)
        bench.say(f"{count:,} images, {size / 1e6:,.0f} MB: export {peaks[-1]['export'] / 2**20:,.0f} MiB at most")
        shutil.rmtree(bench.folder / f"suite-{number}")
    small, large = peaks
    grown = Series("peak memory of export, long : short", "×", [large["export"] / small["export"]])
    return Row(
        "long-export",
        f"memory for an export of {counts[-1]:,} images against that for {counts[0]:,}",
        f"{counts[-1]:,} JPEGs, {size / 1e6:,.0f} MB on {cores()} cores; each export in a new suite",
        ratio=grown,
        series=[
            Series("long export", "MB/s", speeds[-1:]),
            *(Series(f"peak memory of {name}, short", "MiB", [peak / 2**20]) for name, peak in small.items()),
            *(Series(f"peak memory of {name}, long", "MiB", [peak / 2**20]) for name, peak in large.items()),
        ],
        target=f"at most {GROWTH:g} ×",
        passed=None if bench.quick else grown.median <= GROWTH,
        peak_memory=large,
        notes=[f"stages of the long one: {stages}"],
    )


def pack(folder: Path, target: Path, program: str | None) -> None:
    """Stores a folder as a zip."""
    if program:
        subprocess.run([program, "-0", "-q", "-r", target, "."], cwd=folder, check=True)
        return
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder))


def same_images(one: Path, other: Path) -> bool:
    """Whether two archives hold the same images, by name without folder, size and checksum."""

    def images(archive: Path) -> set[tuple[str, int, int]]:
        with zipfile.ZipFile(archive) as opened:
            return {
                (entry.filename.rpartition("/")[2], entry.file_size, entry.CRC)
                for entry in opened.infolist()
                if entry.filename.endswith(".jpg")
            }

    return images(one) == images(other)
