"""The servicer: what it lists, and that it is small until it is called."""

import subprocess
import sys

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from framehouse.runtime import errors, handlers, topology
from framehouse.v1 import conversion_pb2, conversion_pb2_grpc
from services.conversion.registry import lookup, lookup_written
from services.conversion.service import ConversionService


async def test_formats_are_listed_in_the_order_of_their_ids() -> None:
    answer = await ConversionService().ListFormats(conversion_pb2.ListFormatsRequest())
    ids = [item.id for item in answer.formats]
    assert ids == sorted(ids)
    assert {"coco-instances", "ultralytics-detect"} <= set(ids)
    assert [item.id for item in answer.formats if not item.can_write] == ["coco"]
    assert next(item for item in answer.formats if item.id == "ultralytics-detect").aliases == ["yolo", "yolov8"]


def _asked(field: str) -> conversion_pb2.ConvertArchiveRequest:
    """A request that has 99 in a field."""
    request = conversion_pb2.ConvertArchiveRequest(upload="uploads/a")
    message = request
    *above, last = field.split(".")
    for name in above:
        message = getattr(message, name)
    setattr(message, last, 99)
    return request


@pytest.mark.parametrize("field", ["read.boxes", "write.task", "write.coco.segmentation_mode", "write.voc.label_map"])
async def test_a_number_of_a_newer_contract_is_refused_by_the_name_of_its_field(field: str) -> None:
    server = grpc.aio.server()
    descriptor = topology.services()["framehouse.v1.ConversionService"]
    server.add_generic_rpc_handlers([handlers.generic_handler(descriptor, ConversionService())])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = conversion_pb2_grpc.ConversionServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.ConvertArchive(_asked(field), timeout=20)
    await server.stop(0)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    violations = error_details_pb2.BadRequest()
    assert rpc_status.from_call(caught.value).details[1].Unpack(violations)
    assert [one.field for one in violations.field_violations] == [field]


def test_a_name_of_what_is_only_read_may_be_that_of_another_format_to_write() -> None:
    assert (lookup("coco").id, lookup_written("coco").id) == ("coco", "coco-instances")
    with pytest.raises(errors.InvalidArgument, match="there is no format 'nonsense'"):
        lookup_written("nonsense")


def test_nothing_heavy_is_imported_before_the_first_call() -> None:
    code = "import sys, services.conversion.service; print({'pyarrow', 'numpy', 'lance'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
