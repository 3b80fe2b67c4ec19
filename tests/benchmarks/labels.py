"""Labels from one format to another, archive in to archive out, against Datumaro's own convert.

Ours counts everything: upload, the job, download. Datumaro's counts its import and export, folder to folder, in a
warm interpreter; unpacking and packing of its archives are told beside it.
"""

import json
import statistics
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from framehouse.client import Client
from tests.benchmarks import label_archives, peer
from tests.benchmarks.job_times import read_job, seconds_of_job, seconds_of_stages
from tests.benchmarks.measure import Bench, PeakMemory, Row, Series, ratio
from tests.peers import datumaro_environment

MEMORY_LIMIT = 1.5e9
"""Bytes of any process of ours."""
GROWTH_LIMIT = 1.1
"""Cost of an annotation of a large dataset, to that of a small one."""
TRAIN2017, SMALLER = 118_000, 10_000
"""Images of COCO's train2017, and of what it is compared with."""


@dataclass(frozen=True)
class Conversion:
    """A row: from which format to which, and how Datumaro calls them."""

    source: str
    target: str
    images: int
    repeats: int
    times: float
    """How much faster than Datumaro it is to be."""
    make: Callable[[Path, int], int]
    """Writes the archive, and says how many annotations it has."""
    count: Callable[[zipfile.ZipFile], int]
    """Annotations in what was written."""
    peer_source: str
    peer_target: str
    kept: float = 1.0
    """Share of the annotations that is written at least; the rest the loss report tells."""

    @property
    def name(self) -> str:
        return f"{self.source}-to-{self.target}"

    def __call__(self, bench: Bench) -> Row:
        return run(bench, self)


def label_lines(archive: zipfile.ZipFile) -> int:
    """Rows in an archive of Ultralytics label files."""
    return sum(archive.read(name).count(b"\n") for name in archive.namelist() if name.startswith("labels/"))


def voc_objects(archive: zipfile.ZipFile) -> int:
    """Objects in an archive of Pascal VOC."""
    return sum(archive.read(name).count(b"<object>") for name in archive.namelist() if name.endswith(".xml"))


def coco_records(archive: zipfile.ZipFile) -> int:
    """Annotations in an archive of COCO files."""
    names = [name for name in archive.namelist() if name.startswith("annotations/") and name.endswith(".json")]
    return sum(len(json.loads(archive.read(name))["annotations"]) for name in names)


CONVERSIONS = {
    row.name: row
    for row in (
        Conversion(
            "coco-instances",
            "ultralytics-detect",
            TRAIN2017,
            2,
            5,
            label_archives.coco,
            label_lines,
            "coco_instances",
            "yolo_ultralytics",
            kept=0.98,
        ),
        Conversion(
            "coco-instances",
            "pascal-voc",
            TRAIN2017,
            1,
            10,
            label_archives.coco,
            voc_objects,
            "coco_instances",
            "voc",
            # One in a hundred is a crowd: a mask, which is painted and no object.
            kept=0.98,
        ),
        Conversion(
            "pascal-voc", "coco-instances", 20_000, 3, 5, label_archives.voc, coco_records, "voc", "coco_instances"
        ),
        Conversion(
            "ultralytics-detect",
            "coco-instances",
            100_000,
            2,
            5,
            label_archives.ultralytics,
            coco_records,
            "yolo",
            "coco_instances",
        ),
    )
}


def archive_of(bench: Bench, make: Callable[[Path, int], int], images: int) -> tuple[Path, int]:
    """An archive and its number of annotations, made once for all rows."""
    path = bench.folder.parent / f"{make.__name__}-{images}.zip"
    count = path.with_suffix(".count")
    if not count.exists():
        begin = time.perf_counter()
        count.write_text(str(make(path, images)))
        bench.say(f"{path.name}: {path.stat().st_size / 1e6:,.0f} MB, made in {time.perf_counter() - begin:.0f} s")
    return path, int(count.read_text())


def counted(row: Conversion, archive: Path) -> int:
    """Annotations in an archive that was written, which goes."""
    with zipfile.ZipFile(archive) as opened:
        count = row.count(opened)
    archive.unlink()
    return count


def run(bench: Bench, row: Conversion) -> Row:
    """Measures; images a second."""
    images, repeats = (row.images // 100, 2) if bench.quick else (row.images, row.repeats)
    source, annotations = archive_of(bench, row.make, images)
    warm, _ = archive_of(bench, row.make, 100)
    with zipfile.ZipFile(source) as opened:
        size = sum(entry.file_size for entry in opened.infolist()) / 1e6
    zipped = f"{size:,.0f} MB, {source.stat().st_size / 1e6:,.0f} MB zipped"
    sizes = f"{repeats} × {images:,} images, {annotations:,} annotations, {zipped}"
    title = f"labels from {row.source} to {row.target}, against Datumaro's convert"
    target = f"at least {row.times:g} × Datumaro; at most {MEMORY_LIMIT / 1e9:g} GB in a process of ours"
    missing = ""
    try:
        datumaro_environment.install()
    except datumaro_environment.NotInstallable as error:
        missing = str(error)
    whole, jobs, theirs = [], [], []
    with Client(bench.suite.address) as client, PeakMemory(bench.suite) as memory:
        client.convert(warm, row.target, without_images=True)  # services load their libraries at their first use
        for _ in range(repeats):
            out = bench.folder / "out.zip"
            begin = time.perf_counter()
            result = client.convert(source, row.target, out, without_images=True)
            whole.append(time.perf_counter() - begin)
            jobs.append(read_job(client, result.export))
            bench.say(f"Framehouse {whole[-1]:.2f} s, of which the job {seconds_of_job(jobs[-1]):.2f} s")
            written = counted(row, out)
            assert annotations * row.kept <= written <= annotations, f"{written:,} of {annotations:,} were written"
            if not missing:
                theirs.append(peer.convert(source, out, row.peer_source, row.peer_target))
                bench.say(f"Datumaro {theirs[-1].convert:.2f} s")
                assert counted(row, out) >= annotations * 0.9, "Datumaro did not do the work"
    ours = Series("Framehouse, archive to archive", "images/s", [images / taken for taken in whole])
    job = Series("of which the job", "images/s", [images / seconds_of_job(one) for one in jobs])
    notes = [f"stages of the last: {seconds_of_stages(jobs[-1])}"]
    small = max(memory.peaks.values()) <= MEMORY_LIMIT
    if missing:
        verdict = None if small or bench.quick else False
        return Row(row.name, title, sizes, None, [ours, job], target, verdict, memory.peaks, [missing, *notes])
    floor = Series("Datumaro, convert alone", "images/s", [images / one.convert for one in theirs])
    faster = ratio("Framehouse : Datumaro", ours, floor)
    around = statistics.median(one.unpack + one.pack for one in theirs)
    return Row(
        row.name,
        title,
        sizes,
        faster,
        [ours, job, floor],
        target,
        None if bench.quick else faster.median >= row.times and small,
        {**memory.peaks, datumaro_environment.REQUIREMENT: max(one.peak_memory for one in theirs)},
        [f"Datumaro's start-up is not counted, nor its unpacking and packing ({around:.2f} s)", *notes],
    )


def growth(bench: Bench) -> Row:
    """What an annotation costs in a large dataset and in a smaller one: microseconds of the job for each."""
    repeats = 2 if bench.quick else 3
    sizes = (SMALLER // 10, TRAIN2017 // 10) if bench.quick else (SMALLER, TRAIN2017)
    target = "ultralytics-detect"
    costs: dict[int, list[float]] = {images: [] for images in sizes}
    with Client(bench.suite.address) as client, PeakMemory(bench.suite) as memory:
        client.convert(archive_of(bench, label_archives.coco, 100)[0], target)
        for _ in range(repeats):
            for images in sizes:
                source, annotations = archive_of(bench, label_archives.coco, images)
                job = read_job(client, client.convert(source, target).export)
                costs[images].append(seconds_of_job(job) / annotations * 1e6)
                bench.say(f"{images:,} images: {seconds_of_job(job):.2f} s, {costs[images][-1]:.1f} µs an annotation")
    small, large = (Series(f"of {images:,} images", "µs", costs[images]) for images in sizes)
    grown = ratio("large : small", large, small)
    return Row(
        "growth",
        f"cost of an annotation from coco-instances to {target}, in a large dataset and in a smaller one",
        f"{repeats} × {sizes[0]:,} and {sizes[1]:,} images",
        grown,
        [small, large],
        f"at most {GROWTH_LIMIT:g} ×",
        None if bench.quick else grown.median <= GROWTH_LIMIT,
        memory.peaks,
    )
