"""Whatever a client sends, no method answers it as a defect: every refusal has a canonical code that says whose fault
it is.

Requests are made from the contracts alone, so that a method or a field that comes later is tried, too.
"""

import asyncio
import io
import math
import os
import random
import re
import uuid
import zipfile
from typing import Any

import cv2
import grpc
import numpy as np
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_status import rpc_status

from framehouse.cli.stack.state import StackInfo
from framehouse.client import Client
from framehouse.runtime.topology import is_client_facing, methods
from services.gateway.transcoding import Rule, rules

CLIENT_METHODS = {path: method for path, method in methods() if is_client_facing(method)}
DEFECTS = {grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNIMPLEMENTED}
ROUNDS = int(os.environ.get("HOSTILE_ROUNDS", "3"))
SEED = int(os.environ.get("HOSTILE_SEED", "0"))
"""Others find what these do not: 60 rounds take a minute."""
AT_ONCE = 8
DEPTH = 3
SECONDS = 20.0
LAST = re.compile("/(Delete|Purge|Abort|Revoke|Cancel)")
JPEG = bytes(cv2.imencode(".jpg", np.full((48, 64, 3), 128, np.uint8))[1])

TEXTS = (
    "",
    " ",
    "-",
    "*",
    "/",
    "..",
    "a/../b",
    "\x00",
    "\n\r\x1b[31m",
    "'; DROP TABLE datasets; --",
    "%s%n{}",
    "ẞ\u202e😀\ufeff",
    "\U0010ffff",
    "1e999",
    "9" * 40,
    "a" * 70_000,
    "[" * 3000,
    "name:",
    "car",
    "van",
    "width > 9" + "9" * 400,
    "path = '",
    "NOT NOT (",
    "created desc, created",
    "train",
    "car",
    "display_name",
    "no_such_field.at_all",
    "coco-instances",
    "ultralytics-detect",
    "#ff0000",
    "user/slug",
    "https://127.0.0.1:1/x.zip",
    "s3://bucket/key",
)
WORDS = {
    "filter": ("width > 1", "split:train", "label:car", "annotations<3 OR NOT state:annotated", "path:*one* import:*"),
    "order_by": ("path", "created desc", "width", "annotations desc, path", "size"),
    "format": ("coco-instances", "ultralytics-detect", "pascal-voc", "ultralytics-ndjson", "png"),
    "paths": ("display_name", "description", "license", "visibility", "task", "write", "*", "name"),
    "dataset_id": ("one", "two-2"),
    "recipe_id": ("one", "two-2"),
    "label": ("car", "van"),
    "labels": ("car", "van"),
    "class": ("car", "van"),
    "into": ("car", "van"),
    "split": ("train", "val", "test", "other"),
    "license": ("CC-BY-4.0", "MIT"),
    "attributes": ("{}", '{"a": 1}', "[1]", '{"a": NaN}', '{"a": "\\ud800"}'),
    "page_token": ("W10=", "e30=", "WyIiLCAwLCAwXQ==", "bnVsbA==", "="),
}
INTEGERS = (0, 1, -1, 2, 3, 100, 1001, 2**31 - 1, -(2**31), 2**31, 2**32, 2**53 + 1, 2**63 - 1, -(2**63), 2**64 - 1)
REALS = (0.0, 0.2, 0.8, 1.0, -1.0, -0.0, 1e-320, 1e308, -1e308, math.nan, math.inf, -math.inf)


class Requests:
    """Random messages, the same for the same seed."""

    def __init__(self, seed: int, names: dict[str, str]) -> None:
        self._random = random.Random(seed)
        self._by_pattern = names
        self._names = list(names.values())

    def request(self, rule: Rule) -> Message:
        """A request of a method, mostly of something that there is."""
        made = self.message(rule.method.input_type)
        for field, pattern in rule.template.variables:
            if self._random.random() < 0.85:
                *path, last = field.split(".")
                target = made
                for part in path:
                    target = getattr(target, part)
                setattr(target, last, self._by_pattern[pattern])
        return made

    def message(self, descriptor: object, depth: int = 0) -> Message:
        made = GetMessageClass(descriptor)()  # type: ignore[arg-type]
        unset = self._random.choice((0.2, 0.5, 0.8))
        for field in made.DESCRIPTOR.fields:
            # What is refused first hides what comes after it.
            if self._random.random() >= (0.9 if field.name in ("etag", "page_token", "page_size") else unset):
                self._fill(made, field, depth)
        return made

    def _fill(self, made: Message, field: Any, depth: int) -> None:
        is_message = field.message_type is not None
        if is_message and depth >= DEPTH:
            return
        if is_message and field.message_type.GetOptions().map_entry:
            return
        if field.is_repeated:
            values = [self._value(field, depth) for _ in range(self._random.choice((0, 1, 1, 2, 5)))]
            getattr(made, field.name).extend(values)
        elif is_message:
            getattr(made, field.name).CopyFrom(self._value(field, depth))
        else:
            setattr(made, field.name, self._value(field, depth))

    def _value(self, field: Any, depth: int) -> object:
        pick = self._random
        match field.cpp_type:
            case FieldDescriptor.CPPTYPE_MESSAGE:
                return self.message(field.message_type, depth + 1)
            case FieldDescriptor.CPPTYPE_STRING:
                if field.type == FieldDescriptor.TYPE_BYTES:
                    return pick.choice((b"", b"\x00\xff", JPEG, pick.randbytes(1000)))
                right = WORDS.get(field.name, self._names)
                return pick.choice(right if pick.random() < 0.5 else TEXTS)
            case FieldDescriptor.CPPTYPE_ENUM:
                return pick.choice((0, 1, 2, 3, 99, -1, 2**31 - 1))
            case FieldDescriptor.CPPTYPE_BOOL:
                return pick.random() < 0.5
            case FieldDescriptor.CPPTYPE_DOUBLE | FieldDescriptor.CPPTYPE_FLOAT:
                return pick.choice(REALS)
            case kind:
                bits = 64 if kind in (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64) else 32
                is_signed = kind in (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64)
                low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1)) if is_signed else (0, 2**bits)
                return pick.choice([one for one in INTEGERS if low <= one < high])


class Caller:
    """Calls methods and keeps what they answer with that they should not."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel: Any = channel
        self._turn = asyncio.Semaphore(AT_ONCE)
        self.defects: list[str] = []
        self.codes: dict[str, set[str]] = {}

    async def call(self, path: str, sent: bytes) -> None:
        async with self._turn:
            try:
                await self._answer(path, sent)
                code = "OK"
            except grpc.aio.AioRpcError as error:
                code = error.code().name
                if fault := _fault(error):
                    self.defects.append(f"{path} {code} {fault}: {error.details()}\n{sent[:2000]!r}")
            self.codes.setdefault(path, set()).add(code)

    async def _answer(self, path: str, sent: bytes) -> None:
        method = CLIENT_METHODS[path]
        if method.client_streaming:
            await self._channel.stream_unary(path)(iter([sent]), timeout=SECONDS)
        elif method.server_streaming:
            call = self._channel.unary_stream(path)(sent, timeout=SECONDS)
            await call.read()
            call.cancel()
        else:
            await self._channel.unary_unary(path)(sent, timeout=SECONDS)


def _fault(error: grpc.aio.AioRpcError) -> str:
    """What is wrong with a refusal."""
    if error.code() in DEFECTS:
        return "is a defect's"
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return ""  # said by gRPC itself
    try:
        status = rpc_status.from_call(error)  # type: ignore[arg-type]
    except ValueError:
        return "has details of another code"
    if status is None:
        return "has no details"
    details = {detail.type_url.rpartition(".")[2] for detail in status.details}
    wanted = {"INVALID_ARGUMENT": {"BadRequest"}, "NOT_FOUND": {"ResourceInfo"}, "ALREADY_EXISTS": {"ResourceInfo"}}
    missing = ({"ErrorInfo"} | wanted.get(error.code().name, set())) - details
    return f"lacks {' and '.join(sorted(missing))}" if missing else ""


@pytest.fixture(scope="module")
def names(client: Client) -> dict[str, str]:
    """Something to name, by the pattern of its names."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as file:
        file.writestr("data.yaml", "train: images/train\nnames: [car]\n")
        for name in ("one", "two"):
            file.writestr(f"images/train/{name}.jpg", JPEG)
            file.writestr(f"labels/train/{name}.txt", "0 0.5 0.5 0.5 0.5\n")
    upload = client.send_upload(target.getvalue(), "cars.zip")
    name = f"hostile-{uuid.uuid4().hex[:12]}"
    cars = client.import_dataset(upload, name).dataset
    return {
        "users/*": cars.name.rpartition("/datasets/")[0],
        "users/*/datasets/*": cars.name,
        "users/*/datasets/*/images/*": next(client.list_images(cars.name)).name,
        "users/*/datasets/*/versions/*": client.create_version(cars.name, wait=False).name,
        "users/*/recipes/*": client.create_recipe(name).name,
        "users/*/keys/*": client.create_key("somebody").name,
        "uploads/*": upload.name,
        "jobs/*": f"jobs/{cars.uid}",
        "exports/*": client.export_dataset(cars.name, "coco-instances").export.name,
    }


async def test_bytes_that_are_no_message_are_the_clients_fault(stack: StackInfo) -> None:
    async with grpc.aio.insecure_channel(stack.address) as channel:
        caller = Caller(channel)
        await asyncio.gather(*(caller.call(path, b"\xff\xff\xff") for path in CLIENT_METHODS))
    assert caller.codes == {path: {"INVALID_ARGUMENT"} for path in CLIENT_METHODS}, caller.defects[:3]


async def test_no_request_is_answered_as_a_defect(stack: StackInfo, names: dict[str, str]) -> None:
    requests = Requests(SEED, names)
    wanted = {rule.method.full_name: rule for rule in rules(CLIENT_METHODS.values())}
    async with grpc.aio.insecure_channel(stack.address) as channel:
        caller = Caller(channel)
        calls = [caller.call(path, b"") for path in CLIENT_METHODS]
        # What takes things away comes last.
        for path, method in sorted(CLIENT_METHODS.items(), key=lambda one: bool(LAST.search(one[0]))):
            for _ in range(ROUNDS):
                sent = requests.request(wanted[method.full_name])
                calls.append(caller.call(path, sent.SerializeToString()))
        await asyncio.gather(*calls)
    assert not caller.defects, "\n".join(caller.defects)
