"""Detection over all formats: each fixture is taken for what it is, and archives of many files cost little."""

import time
from pathlib import Path

import pyarrow as pa
import pytest
from whole_way import Shelf, detect, folder

from framehouse.runtime import errors
from framehouse.store.archive import INDEX_SCHEMA
from framehouse.store.frames import write_batches
from framehouse.v1.conversion_pb2 import DetectFormatRequest
from services.conversion import reading
from services.conversion.registry import lookup

FIXTURES = Path(__file__).parents[4] / "shared" / "fixtures"
ENTRIES = 200_000


def _known(name: str) -> bool:
    try:
        lookup(name)
    except errors.InvalidArgument:
        return False
    return True


CASES = sorted(path for path in FIXTURES.glob("*/*") if path.is_dir() and _known(path.parent.name))


@pytest.mark.skipif(not CASES, reason="the fixtures are not here")
@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_fixture_is_detected_as_its_format(path: Path) -> None:
    files = folder(path)
    zips = [data for name, data in files.items() if name.endswith(".zip")]
    for archive in zips or [files]:
        (best, sure), *others = sorted(detect(archive).items(), key=lambda pair: -pair[1])
        assert best == lookup(path.parent.name).id
        assert all(confidence < sure for _, confidence in others)


@pytest.mark.parametrize(
    ("image", "label"),
    [("images/train/{}.jpg", "labels/train/{}.txt"), ("a/{}.jpg", "a/{}.xml"), ("a/{}.jpg", "b/{}.json")],
)
def test_many_files_are_looked_at_in_columns(image: str, label: str) -> None:
    paths = sorted(name.format(number) for number in range(ENTRIES // 2) for name in (image, label))
    numbers = pa.repeat(pa.scalar(0, pa.int64()), ENTRIES)
    columns = {
        field.name: numbers.cast(field.type, safe=False) if pa.types.is_integer(field.type) else None
        for field in INDEX_SCHEMA
    }
    columns |= {"path": pa.array(paths), "object": pa.repeat("pack", ENTRIES)}
    table = pa.table([columns[name] for name in INDEX_SCHEMA.names], schema=INDEX_SCHEMA)
    shelf = Shelf()
    shelf.put("pack", b"")
    write_batches(shelf, "index", INDEX_SCHEMA, table.to_batches())
    begin = time.process_time()
    reading.detect(shelf, DetectFormatRequest(index_key="index"))
    assert time.process_time() - begin < 2
