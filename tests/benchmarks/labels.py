"""COCO instances to Ultralytics, labels alone, archive in to archive out, against Datumaro's own convert.

Ours counts everything: upload, the job, download. Datumaro's counts its import and export, folder to folder, in a
warm interpreter; unpacking and packing of its archives are told beside it.
"""

import statistics
import time
import zipfile
from pathlib import Path

from framehouse.client import Client
from tests.benchmarks import peer
from tests.benchmarks.job_times import read_job, seconds_of_job, seconds_of_stages
from tests.benchmarks.measure import Bench, PeakMemory, Row, Series, ratio
from tests.samples import synthetic_coco

ANNOTATIONS_PER_IMAGE = 7.3
"""As in COCO's train2017."""
TITLE = "labels from coco-instances to ultralytics-detect, against Datumaro's convert"


def run(bench: Bench) -> Row:
    """Measures; images a second."""
    count, repeats = (1_000, 2) if bench.quick else (10_000, 3)
    source = bench.folder / "coco.zip"
    annotations = 0
    with zipfile.ZipFile(source, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        # Datumaro's exporter asks for both splits.
        for seed, (split, share) in enumerate((("train", 0.9), ("val", 0.1))):
            path = bench.folder / f"instances_{split}.json"
            annotations += synthetic_coco(path, int(count * share), ANNOTATIONS_PER_IMAGE, seed)
            archive.write(path, f"annotations/{path.name}")
            path.unlink()
    sizes = f"{repeats} × {count:,} images, {annotations:,} annotations, {source.stat().st_size / 1e6:.0f} MB zipped"
    missing = ""
    try:
        peer.install()
    except peer.NotInstallable as error:
        missing = str(error)
    whole, jobs, theirs = [], [], []
    with Client(bench.suite.address) as client, PeakMemory(bench.suite) as memory:
        client.convert(source, "ultralytics-detect")  # services load their libraries at their first use
        for repeat in range(repeats):
            out = bench.folder / f"ours-{repeat}.zip"
            begin = time.perf_counter()
            result = client.convert(source, "ultralytics-detect", out)
            whole.append(time.perf_counter() - begin)
            jobs.append(read_job(client, result.export))
            bench.say(f"Framehouse {whole[-1]:.2f} s, of which the job {seconds_of_job(jobs[-1]):.2f} s")
            written = label_lines(out)
            assert annotations * 0.98 < written <= annotations, f"{written:,} of {annotations:,} annotations written"
            if not missing:
                target = bench.folder / f"datumaro-{repeat}.zip"
                theirs.append(peer.convert(source, target, "coco_instances", "yolo_ultralytics"))
                bench.say(f"Datumaro {theirs[-1].convert:.2f} s")
    ours = Series("Framehouse, archive to archive", "images/s", [count / taken for taken in whole])
    job = Series("of which the job", "images/s", [count / seconds_of_job(one) for one in jobs])
    notes = [f"stages of the last: {seconds_of_stages(jobs[-1])}"]
    if missing:
        return Row("labels", TITLE, sizes, series=[ours, job], peak_memory=memory.peaks, notes=[missing, *notes])
    floor = Series("Datumaro, convert alone", "images/s", [count / one.convert for one in theirs])
    around = statistics.median(one.unpack + one.pack for one in theirs)
    peak = max(one.peak_memory for one in theirs)
    return Row(
        "labels",
        TITLE,
        sizes,
        ratio=ratio("Framehouse : Datumaro", ours, floor),
        series=[ours, job, floor],
        peak_memory={**memory.peaks, peer.REQUIREMENT: peak},
        notes=[
            f"Datumaro's start-up is not counted, nor its unpacking and packing ({around:.2f} s)",
            *notes,
        ],
    )


def label_lines(archive: Path) -> int:
    """Annotations in an archive of Ultralytics label files."""
    with zipfile.ZipFile(archive) as opened:
        return sum(opened.read(name).count(b"\n") for name in opened.namelist() if name.startswith("labels/"))
