"""Import of images, against decode, preview and hash of the same images in bare Pillow.

Ours is from the start of the job, the upload being done, to the committed table: index, detection, plan, every image
read, decoded, hashed, its preview stored, labels read, rows written. Every repeat has images that were never seen.
"""

from pathlib import Path

from framehouse.cli.stack.control import running_stack
from framehouse.client import Client
from framehouse.v1 import job_pb2
from tests.benchmarks import bare_pillow
from tests.benchmarks.job_times import read_job, seconds_of_job, seconds_of_stages
from tests.benchmarks.measure import Bench, PeakMemory, Row, Series, cores, ratio
from tests.benchmarks.photos import KILOBYTES, many_photos
from tests.samples import photo_archive

FLOOR = 0.85
"""Of bare Pillow's images a second."""
GROWTH = 1.15
"""Of a process's peak memory for 2,000 images that it may have for 20,000."""
AGAIN = 5.0
"""Times as fast as the first import of an archive the second is."""

FIRST_AGAIN, FIRST_LARGE = 100, 200
"""Seeds: no row has images of another."""


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
    reached = ratio("import : Pillow", ours_series, floor_series)
    return Row(
        "images",
        "import of images, against bare Pillow on as many processes as cores, nothing stored",
        f"{repeats} × {count:,} JPEGs of {size / count / 1000:.0f} kB on {cores()} cores",
        ratio=reached,
        series=[ours_series, floor_series],
        target=f"at least {FLOOR:g} ×",
        passed=None if bench.quick else reached.median >= FLOOR,
        peak_memory=memory.peaks,
        notes=[f"stages of the last: {seconds_of_stages(jobs[-1])}"],
    )


def large(bench: Bench) -> Row:
    """A small and a large import, each in a suite of its own: the speed of the large one, and what memory it adds."""
    counts = (200, 600) if bench.quick else (2_000, 20_000)
    archive = bench.folder / "photos.zip"
    speeds: list[float] = []
    floors: list[float] = []
    peaks: list[dict[str, int]] = []
    size, stages = 0, ""
    for number, count in enumerate(counts):
        size = many_photos(archive, count, seed=FIRST_LARGE + number)
        with running_stack(bench.folder / f"suite-{number}") as suite, Client(suite.address) as client:
            with PeakMemory(suite) as memory:
                job = import_photos(client, archive, count)
            taken, bare = seconds_of_job(job, before="statistics"), bare_pillow.seconds(archive, cores())
        bench.say(f"{count:,} images: {taken:.2f} s, bare Pillow {bare:.2f} s")
        speeds.append(count / taken / cores())
        floors.append(count / bare / cores())
        peaks.append(memory.peaks)
        stages = seconds_of_stages(job)
    ours_series = Series("import", "images/s/core", speeds[-1:])
    floor_series = Series("bare Pillow", "images/s/core", floors[-1:])
    reached = ratio("import : Pillow", ours_series, floor_series)
    grown = {name: peaks[-1][name] / peaks[0][name] for name in peaks[0]}
    most = max(grown, key=grown.__getitem__)
    return Row(
        "large",
        f"import of {counts[-1]:,} images against bare Pillow, and its memory against that of {counts[0]:,}",
        f"{counts[-1]:,} JPEGs, {size / 1e6:,.0f} MB on {cores()} cores; each import in a new suite",
        ratio=reached,
        series=[
            ours_series,
            floor_series,
            *(Series(f"peak memory of {name}, large : small", "×", [growth]) for name, growth in grown.items()),
        ],
        target=f"at least {FLOOR:g} ×; no process more than {GROWTH:g} × the memory (most: {most} {grown[most]:.2f} ×)",
        passed=None if bench.quick else reached.median >= FLOOR and grown[most] <= GROWTH,
        peak_memory=peaks[-1],
        notes=[f"stages of the large one: {stages}"],
    )


def again(bench: Bench) -> Row:
    """The same archive, uploaded and imported a second time into another dataset: nothing is decoded."""
    count, repeats = (300, 2) if bench.quick else (4_000, 3)
    archive = bench.folder / "photos.zip"
    times: tuple[list[float], list[float]] = [], []
    size, stages = 0, ""
    with Client(bench.suite.address) as client, PeakMemory(bench.suite) as memory:
        for repeat in range(repeats):
            size = many_photos(archive, count, seed=FIRST_AGAIN + repeat)
            for turn, taken in enumerate(times):
                imported = client.import_dataset(client.upload(archive), f"bench-{turn}")
                assert imported.dataset.image_count == count, imported
                job = read_job(client, imported.dataset.uid)
                taken.append(seconds_of_job(job, before="statistics"))
                stages = seconds_of_stages(job)
            bench.say(f"{count:,} images: {times[0][-1]:.2f} s, again {times[1][-1]:.2f} s")
            for turn in range(len(times)):
                client.purge_dataset(client.delete_dataset(f"bench-{turn}").uid)
    first, second = (
        Series(name, "images/s", [count / taken for taken in some])
        for name, some in zip(("first import", "second import"), times, strict=True)
    )
    reached = ratio("second : first", second, first)
    return Row(
        "again",
        "second import of an archive into another dataset, against the first",
        f"{repeats} × {count:,} JPEGs, {size / 1e6:,.0f} MB on {cores()} cores",
        ratio=reached,
        series=[second, first],
        target=f"at least {AGAIN:g} ×",
        passed=None if bench.quick else reached.median >= AGAIN,
        peak_memory=memory.peaks,
        notes=[f"stages of the last: {stages}"],
    )


def import_photos(client: Client, archive: Path, count: int) -> job_pb2.JobMetadata:
    """Uploads and imports, checks that all images are in, and removes the dataset."""
    upload = client.upload(archive)
    imported = client.import_dataset(upload, "bench-images")
    assert imported.dataset.image_count == count, imported
    job = read_job(client, imported.dataset.uid)
    client.purge_dataset(client.delete_dataset("bench-images").uid)
    return job
