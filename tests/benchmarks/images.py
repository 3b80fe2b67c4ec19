"""Import of images, against decode, preview and hash of the same images in bare Pillow.

Ours is from the start of the job, the upload being done, to the committed table: index, detection, plan, every image
read, decoded, hashed, its preview stored, labels read, rows written. Every repeat has images that were never seen.
"""

from pathlib import Path

from framehouse.client import Client
from framehouse.v1 import job_pb2
from tests.benchmarks import bare_pillow
from tests.benchmarks.job_times import read_job, seconds_of_job, seconds_of_stages
from tests.benchmarks.measure import Bench, PeakMemory, Row, Series, cores, ratio
from tests.samples import photo_archive

KILOBYTES = 110


def run(bench: Bench) -> Row:
    """Measures; images a second for each core."""
    count, repeats = (300, 2) if bench.quick else (2_000, 3)
    archive = bench.folder / "photos.zip"
    ours, floor, jobs, size = [], [], [], 0
    with Client(bench.suite.address) as client, PeakMemory(bench.suite) as memory:
        # Services load their libraries at their first use.
        photo_archive(archive, 50, KILOBYTES, seed=repeats)
        import_photos(client, archive, 50)
        for repeat in range(repeats):
            size = photo_archive(archive, count, KILOBYTES, seed=repeat)
            job = import_photos(client, archive, count)
            taken, bare = seconds_of_job(job, before="statistics"), bare_pillow.seconds(archive, cores())
            ours.append(count / taken / cores())
            floor.append(count / bare / cores())
            jobs.append(job)
            bench.say(f"{count:,} images: {taken:.2f} s, bare Pillow {bare:.2f} s")
    ours_series = Series("import", "images/s/core", ours)
    floor_series = Series("bare Pillow", "images/s/core", floor)
    return Row(
        "images",
        "import of images, against bare Pillow on as many processes as cores, nothing stored",
        f"{repeats} × {count:,} JPEGs of {size / count / 1000:.0f} kB on {cores()} cores",
        ratio=ratio("import : Pillow", ours_series, floor_series),
        series=[ours_series, floor_series],
        peak_memory=memory.peaks,
        notes=[f"stages of the last: {seconds_of_stages(jobs[-1])}"],
    )


def import_photos(client: Client, archive: Path, count: int) -> job_pb2.JobMetadata:
    """Uploads and imports, checks that all images are in, and removes the dataset."""
    upload = client.upload(archive)
    imported = client.import_dataset(upload, "bench-images")
    assert imported.dataset.image_count == count, imported
    job = read_job(client, imported.dataset.uid)
    client.delete_dataset("bench-images")
    return job
