"""The servicer: what it lists, and that it is small until it is called."""

import subprocess
import sys

from framehouse.v1 import conversion_pb2
from services.conversion.service import ConversionService


async def test_formats_are_listed_in_the_order_of_their_ids() -> None:
    answer = await ConversionService().ListFormats(conversion_pb2.ListFormatsRequest())
    ids = [item.id for item in answer.formats]
    assert ids == sorted(ids)
    assert {"coco-instances", "ultralytics-detect"} <= set(ids)
    assert next(item for item in answer.formats if item.id == "ultralytics-detect").aliases == ["yolo", "yolov8"]


def test_nothing_heavy_is_imported_before_the_first_call() -> None:
    code = "import sys, services.conversion.service; print({'pyarrow', 'numpy', 'lance'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
