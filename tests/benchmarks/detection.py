"""Detection of the format of an archive of 200,000 entries: the whole call, with its reads from the store."""

import time
import zipfile
from functools import partial
from pathlib import Path

import grpc

from framehouse.client import Client
from framehouse.v1 import conversion_pb2, conversion_pb2_grpc, ingest_pb2, ingest_pb2_grpc
from tests.benchmarks.measure import Bench, PeakMemory, Row, Series, seconds_of

LIMIT_SECONDS = 2.0
XML = "<annotation><size><width>9</width><height>9</height></size><object><name>a</name></object></annotation>"
LABELS = {
    "ultralytics-detect": ("images/train/{:08d}.jpg", "labels/train/{:08d}.txt", "0 0.5 0.5 0.1 0.1\n"),
    "pascal-voc": ("JPEGImages/{:08d}.jpg", "Annotations/{:08d}.xml", XML),
    "image-dir": ("photos/{:08d}.jpg", "more/{:08d}.png", ""),
}
"""Of each format the images, the files beside them, and what those hold."""


def run(bench: Bench) -> Row:
    """Measures; seconds a call."""
    images, repeats = (2_000, 2) if bench.quick else (100_000, 5)
    series = []
    with (
        Client(bench.suite.address) as client,
        PeakMemory(bench.suite) as memory,
        grpc.insecure_channel(bench.suite.addresses["ingest"]) as ingest,
        grpc.insecure_channel(bench.suite.addresses["conversion"]) as conversion,
    ):
        detect = conversion_pb2_grpc.ConversionServiceStub(conversion).DetectFormat
        for format in LABELS:
            source = bench.folder / f"{format}.zip"
            make(source, format, images)
            upload = client.upload(source)
            index = ingest_pb2.IndexUploadRequest(upload=upload.name, output_key=f"bench/detection/{format}")
            begin = time.perf_counter()
            count = ingest_pb2_grpc.IngestServiceStub(ingest).IndexUpload(index).entry_count
            bench.say(f"{format}: {count:,} entries, index {time.perf_counter() - begin:.2f} s")
            request = conversion_pb2.DetectFormatRequest(index_key=index.output_key)
            best = detect(request).candidates[0]
            assert best.format == format, best
            times = [seconds_of(partial(detect, request)) for _ in range(repeats)]
            series.append(Series(format, "s", times))
            bench.say(f"detected in {min(times):.2f} to {max(times):.2f} s")
    return Row(
        "detection",
        "detection of the format of a large archive, with its reads from the store",
        f"{repeats} × {2 * images:,} entries, half of them images",
        series=series,
        target=f"at most {LIMIT_SECONDS:g} s at the median",
        passed=None if bench.quick else max(one.median for one in series) <= LIMIT_SECONDS,
        peak_memory=memory.peaks,
    )


def make(path: Path, format: str, images: int) -> None:
    """An archive of a format, whose images are empty."""
    image, label, text = LABELS[format]
    with zipfile.ZipFile(path, "w") as archive:
        if format == "ultralytics-detect":
            archive.writestr("data.yaml", "train: images/train\nval: images/train\nnames: [a]\n")
        for number in range(images):
            archive.writestr(image.format(number), "")
            archive.writestr(label.format(number), text)
