"""Converts one archive to another with Datumaro; run by the bench in Datumaro's own environment, as a script.

`python datumaro_convert.py SOURCE.zip TARGET.zip SOURCE_FORMAT TARGET_FORMAT` prints, as JSON, the seconds that
unpacking, converting (its import and export) and packing took, and its peak memory. Start-up and imports are not
counted.
"""

import itertools
import json
import logging
import resource
import shutil
import sys
import tempfile
import time
import warnings
from pathlib import Path

warnings.simplefilter("ignore")

import datumaro  # type: ignore[import-not-found] # noqa: E402


def main(source: str, target: str, source_format: str, target_format: str) -> None:
    """Does it, in a temporary folder."""
    # One warning for each crowd, which it does not write, would be counted as work.
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as scratch:
        marks = [time.perf_counter()]
        unpacked, written = Path(scratch, "in"), Path(scratch, "out")
        shutil.unpack_archive(source, unpacked, "zip")
        (unpacked / "images").mkdir(exist_ok=True)  # without it, it refuses a COCO file
        marks.append(time.perf_counter())
        dataset = datumaro.Dataset.import_from(str(unpacked), source_format)
        dataset.export(str(written), target_format, save_media=False)
        marks.append(time.perf_counter())
        shutil.make_archive(target.removesuffix(".zip"), "zip", written)
        marks.append(time.perf_counter())
    unpack, convert, pack = (after - before for before, after in itertools.pairwise(marks))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(json.dumps({"unpack": unpack, "convert": convert, "pack": pack, "peak_memory": peak}))


if __name__ == "__main__":
    main(*sys.argv[1:])
