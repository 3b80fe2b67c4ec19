"""Sending an archive, against the `minio` client's own upload of the same file, with its own settings, by keys.

Ours goes under presigned URLs, is taken up after an interruption, and compares each part's MD5 with what the store has.
"""

import os
from functools import partial

import minio

from framehouse.client import Client
from tests.benchmarks.measure import Bench, PeakMemory, Row, Series, cores, ratio, seconds_of

SHARE = 0.6
"""Of the bare client's speed."""
BLOCK = 1 << 20


def run(bench: Bench) -> Row:
    """Measures; megabytes a second."""
    size, repeats = (64 << 20, 2) if bench.quick else (1 << 30, 5)
    source = bench.folder / "data.zip"
    with source.open("wb") as file:
        file.write(b"PK\5\6".ljust(22, b"\0"))  # an empty zip, and what nobody looks at before it is imported
        for _ in range(size // BLOCK):
            file.write(os.urandom(BLOCK))
        file.write(b"PK\5\6".ljust(22, b"\0"))
    size = source.stat().st_size
    settings = bench.suite.environment()
    bucket = settings["FRAMEHOUSE_STORE_BUCKET"]
    bare = minio.Minio(
        settings["FRAMEHOUSE_STORE_ENDPOINT"],
        settings["FRAMEHOUSE_STORE_ACCESS_KEY"],
        settings["FRAMEHOUSE_STORE_SECRET_KEY"],
        secure=False,
        region="us-east-1",
    )
    ours, floor = [], []
    with Client(bench.suite.address) as client, PeakMemory(bench.suite) as memory:
        client.list_datasets()
        for _ in range(repeats):
            names: list[str] = []
            taken = seconds_of(lambda: names.append(client.upload(source).name))  # noqa: B023  # called at once
            plain = seconds_of(partial(bare.fput_object, bucket, "bench/data.zip", str(source)))
            bare.remove_object(bucket, "bench/data.zip")
            bare.remove_object(bucket, names[0].replace("uploads/", "packs/"))
            ours.append(size / 1e6 / taken)
            floor.append(size / 1e6 / plain)
            bench.say(f"{size / 1e6:,.0f} MB: upload {taken:.2f} s, minio {plain:.2f} s")
    ours_series, floor_series = Series("upload", "MB/s", ours), Series("minio's fput_object", "MB/s", floor)
    reached = ratio("upload : minio", ours_series, floor_series)
    return Row(
        "uploads",
        "upload of an archive, checked part by part, against a bare one by the minio client",
        f"{repeats} × {size / 1e6:,.0f} MB on {cores()} cores, store included",
        ratio=reached,
        series=[ours_series, floor_series],
        target=f"at least {SHARE:g} ×",
        passed=None if bench.quick else reached.median >= SHARE,
        peak_memory=memory.peaks,
    )
