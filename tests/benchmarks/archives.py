"""Export of images, against `zip -0 -r` of the same files from disk to disk.

Ours is the whole job: plan, label files, the archive assembled from the packs in the store into the store. Fetching
it is told beside it.
"""

import shutil
import subprocess
import zipfile
from functools import partial
from pathlib import Path

from framehouse.client import Client
from tests.benchmarks.job_times import read_job, seconds_of_job, seconds_of_stages
from tests.benchmarks.measure import Bench, PeakMemory, Row, Series, cores, ratio, seconds_of
from tests.samples import photo_archive

KILOBYTES = 110
FORMAT = "ultralytics-detect"
DATASET = "bench-archives"


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
