"""A suite that asks for keys: who has none is refused everywhere, and who has one sees and changes what is its own."""

import asyncio
import io
import json
import os
import re
import socket
import subprocess
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import grpc
import numpy as np
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from temporalio.client import Client as TemporalClient
from temporalio.common import SearchAttributePair, TypedSearchAttributes

from framehouse.cli.stack.control import running_stack
from framehouse.cli.stack.state import StackInfo
from framehouse.client import Client, FramehouseError
from framehouse.client.errors import NotFound, PermissionDenied, ResourceExhausted, Unauthenticated
from framehouse.runtime.access import IDENTITY_METADATA, Caller
from framehouse.runtime.jobs import OWNER
from framehouse.runtime.topology import is_client_facing, methods, scope_of
from framehouse.v1 import annotation_pb2, dataset_pb2, ingest_pb2, key_pb2
from services.gateway.openapi import path_of
from services.gateway.transcoding import rules
from tests.conftest import COMMAND

CACHE_SECONDS = 0.3
CLIENT_METHODS = {path: method for path, method in methods() if is_client_facing(method)}
JPEG = bytes(cv2.imencode(".jpg", np.full((48, 64, 3), 128, np.uint8))[1])


class Suite(NamedTuple):
    """A suite that asks for keys, and keys for it by the name of who has them."""

    info: StackInfo
    secrets: dict[str, str]

    def client(self, name: str) -> Client:
        return Client(self.info.address, api_key=self.secrets[name], deadline=20.0)


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FRAMEHOUSE_KEY_CACHE_SECONDS", str(CACHE_SECONDS))
        patch.setenv("FRAMEHOUSE_FETCH_URLS", "any")
        with running_stack(tmp_path_factory.mktemp("guarded"), auth="api_key") as info:
            secrets = {"admin": (info.data / "secrets" / "admin_key").read_text()}
            suite = Suite(info, secrets)
            with suite.client("admin") as admin:
                for user in ("ann", "ben"):
                    secrets[user] = admin.create_key(user).secret
                secrets["reader"] = admin.create_key("ann", scopes=["read"]).secret
            yield suite


@pytest.fixture(scope="module")
def ann(suite: Suite) -> Iterator[Client]:
    with suite.client("ann") as client:
        yield client


@pytest.fixture(scope="module")
def ben(suite: Suite) -> Iterator[Client]:
    with suite.client("ben") as client:
        yield client


@pytest.fixture(scope="module")
def names(ann: Client) -> dict[str, str]:
    """What ann has, by the pattern of its names."""
    upload = ann.send_upload(archive(), "cars.zip")
    cars = ann.import_dataset(upload, "ann/cars").dataset
    image = next(ann.list_images(cars.name))
    export = ann.export_dataset(cars.name, "coco").export
    return {
        "users/*": "users/ann",
        "users/*/datasets/*": cars.name,
        "users/*/datasets/*/images/*": image.name,
        "users/*/datasets/*/versions/*": f"{cars.name}/versions/1",
        "users/*/recipes/*": "users/ann/recipes/mine",
        "users/*/keys/*": ann.list_keys("ann")[0].name,
        "uploads/*": upload.name,
        "jobs/*": f"jobs/{cars.uid}",
        "exports/*": export.name,
    }


def archive() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as file:
        file.writestr("data.yaml", "train: images/train\nnames: [car]\n")
        file.writestr("images/train/one.jpg", JPEG)
        file.writestr("labels/train/one.txt", "0 0.5 0.5 0.5 0.5\n")
    return target.getvalue()


# --- calls as they are on the wire


def call(
    suite: Suite, path: str, request: Message | None = None, *, key: str = "", more: tuple[tuple[str, str], ...] = ()
) -> grpc.RpcError | None:
    """The error that a call ends with, if it does."""
    method = CLIENT_METHODS[path]
    sent = request or GetMessageClass(method.input_type)()
    metadata = (*((("authorization", f"Bearer {key}"),) if key else ()), *more)
    write, read = type(sent).SerializeToString, GetMessageClass(method.output_type).FromString
    with grpc.insecure_channel(suite.info.address) as channel:
        try:
            if method.client_streaming:
                channel.stream_unary(path, write, read)(iter([sent]), metadata=metadata, timeout=20)
            elif method.server_streaming:
                for _ in channel.unary_stream(path, write, read)(sent, metadata=metadata, timeout=20):
                    break
            else:
                channel.unary_unary(path, write, read)(sent, metadata=metadata, timeout=20)
        except grpc.RpcError as error:
            return error
    return None


def code(error: grpc.RpcError | None) -> str:
    return "OK" if error is None else str(error.code().name)


def details(error: Any) -> Any:
    return rpc_status.from_call(error).details


def reason(error: grpc.RpcError) -> str:
    info = error_details_pb2.ErrorInfo()
    return str(next(info.reason for detail in details(error) if detail.Unpack(info)))


def http(suite: Suite, verb: str, path: str, key: str = "", body: str = "") -> tuple[int, dict[str, str], Any]:
    connection = HTTPConnection(suite.info.addresses["http"], timeout=20)
    headers = {"authorization": f"Bearer {key}"} if key else {}
    if body:
        headers["content-type"] = "application/json"
    connection.request(verb, path, body, headers)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    told = {name.lower(): value for name, value in answer.getheaders()}
    return answer.status, told, json.loads(text) if "json" in told.get("content-type", "") else text


# --- without a key


def test_every_method_asks_for_a_key(suite: Suite) -> None:
    assert {path: code(call(suite, path)) for path in CLIENT_METHODS} == dict.fromkeys(
        CLIENT_METHODS, "UNAUTHENTICATED"
    )


def test_every_method_asks_for_a_key_over_http(suite: Suite) -> None:
    for rule in rules(CLIENT_METHODS.values()):
        path = re.sub(r"\{\w+\}", "x", path_of(rule.template))
        status, headers, body = http(suite, rule.verb, path)
        assert (status, body["error"]["status"]) == (401, "UNAUTHENTICATED"), path
        assert headers["www-authenticate"] == "Bearer"
        assert "FRAMEHOUSE_API_KEY" in body["error"]["message"]


@pytest.mark.parametrize("shown", ["fh_nothing", "Bearer", "x" * 300])
def test_a_key_that_is_none_is_refused(suite: Suite, shown: str) -> None:
    assert code(call(suite, "/framehouse.v1.JobService/ListJobs", key=shown)) == "UNAUTHENTICATED"
    assert http(suite, "GET", "/v1/jobs", shown)[0] == 401


def test_who_one_is_cannot_be_said_by_oneself(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    from framehouse.runtime import access

    monkeypatch.setattr(access, "_mac", lambda said: bytes(32))
    forged = ((IDENTITY_METADATA, access.sign(Caller("ann", True, "users/ann/keys/1"), 2**31)),)
    path = "/framehouse.v1.KeyService/ListKeys"
    everybody = key_pb2.ListKeysRequest(parent="users/-")
    assert code(call(suite, path, everybody, more=forged)) == "UNAUTHENTICATED"
    assert code(call(suite, path, everybody, key=suite.secrets["ben"], more=forged)) == "PERMISSION_DENIED"
    # Past the gateway it is worth nothing either, and neither is nothing.
    behind = suite._replace(info=StackInfo(suite.info.data, 0, True, {"gateway": suite.info.addresses["ingest"]}))
    assert code(call(behind, path, everybody, more=forged)) == "UNAUTHENTICATED"
    assert code(call(behind, path, everybody)) == "UNAUTHENTICATED"


def test_health_and_pages_need_no_key(suite: Suite) -> None:
    assert http(suite, "GET", "/healthz")[2]["status"]
    for path in ("/metrics", "/docs", "/openapi.json"):
        assert http(suite, "GET", path)[0] == 200


def test_a_key_that_was_revoked_or_has_ended_is_refused(suite: Suite) -> None:
    with suite.client("admin") as admin:
        short = admin.create_key("ann", expire_time=datetime.now(UTC) + timedelta(seconds=1))
        revoked = admin.create_key("ann", display_name="laptop")
        jobs = "/framehouse.v1.JobService/ListJobs"
        assert [code(call(suite, jobs, key=key.secret)) for key in (short, revoked)] == ["OK", "OK"]
        admin.revoke_key(revoked.name)
        time.sleep(max(short.expire_time.seconds + 1.05 - time.time(), CACHE_SECONDS))
        errors = [call(suite, jobs, key=key.secret) for key in (short, revoked)]
        assert [code(error) for error in errors] == ["UNAUTHENTICATED"] * 2
        assert [reason(error) for error in errors if error] == ["KEY_EXPIRED", "KEY_REVOKED"]


# --- scopes


def test_a_key_for_reading_changes_nothing(suite: Suite) -> None:
    refused = {path for path, method in CLIENT_METHODS.items() if scope_of(method) > key_pb2.SCOPE_READ}
    assert "/framehouse.v1.DatasetService/DeleteDataset" in refused
    for path in refused:
        error = call(suite, path, key=suite.secrets["reader"])
        assert code(error) == "PERMISSION_DENIED", path
        assert error is not None
        assert reason(error) == "SCOPE_MISSING"


def test_a_key_for_reading_may_export_but_not_cancel_an_import(suite: Suite, names: dict[str, str]) -> None:
    with suite.client("reader") as reader:
        name = names["users/*/datasets/*"]
        assert reader.get_dataset(name).image_count == 1
        assert reader.export_dataset(name, "yolo").export.image_count == 1
        with pytest.raises(PermissionDenied, match="scope write"):
            reader.cancel_job(names["jobs/*"])


def test_a_key_makes_no_key_that_may_more(suite: Suite, ann: Client) -> None:
    with pytest.raises(PermissionDenied, match="scope"):
        ann.create_key("ann", scopes=["admin"])
    with pytest.raises(PermissionDenied, match="another user"):
        ann.create_key("ben")
    with pytest.raises(PermissionDenied, match="all users"):
        ann.list_keys("-")
    with suite.client("admin") as admin:
        limited = admin.create_key("ann", expire_time=datetime.now(UTC) + timedelta(hours=1), stored_bytes=1000)
        assert {key.name.split("/")[1] for key in admin.list_keys("-")} >= {"ann", "ben"}
    with Client(suite.info.address, api_key=limited.secret) as client:
        made = client.create_key("ann")
        assert (made.expire_time, made.limits.stored_bytes) == (limited.expire_time, 1000)
        with pytest.raises(PermissionDenied, match="stored_bytes"):
            client.create_key("ann", stored_bytes=2000)


# --- what others have


def whole(method: MethodDescriptor, names: dict[str, str]) -> Message:
    """A request for what is named, that is right but for its names."""
    request = GetMessageClass(method.input_type)()
    (rule,) = rules([method])
    for field, pattern in rule.template.variables:
        target: Any = request
        *path, last = field.split(".")
        for step in path:
            target = getattr(target, step)
        setattr(target, last, names[pattern])
    return request


ADD: dict[str, Callable[[Any], None]] = {
    "ChangeClasses": lambda request: request.changes.add().add.MergeFrom(annotation_pb2.Label(name="bus")),
    "ChangeImages": lambda request: request.MergeFrom(dataset_pb2.ChangeImagesRequest(filter="*", remove=True)),
    "CloneDataset": lambda request: request.MergeFrom(
        dataset_pb2.CloneDatasetRequest(parent="users/ben", dataset_id="mine")
    ),
    "CreateDataset": lambda request: setattr(request, "dataset_id", "mine"),
    "CreateKey": lambda request: request.key.scopes.append(key_pb2.SCOPE_READ),
    "CreateRecipe": lambda request: setattr(request, "recipe_id", "another"),
    "ImportDataset": lambda request: setattr(request, "dataset_id", "mine"),
    "CompareVersions": lambda request: request.MergeFrom(dataset_pb2.CompareVersionsRequest(base=1)),
    "ConvertArchive": lambda request: setattr(request.write, "format", "coco"),
    "ExportDataset": lambda request: setattr(request.write, "format", "coco"),
    "PreviewLoss": lambda request: setattr(request.write, "format", "coco"),
    "RestoreImages": lambda request: setattr(request, "filter", "*"),
    "UpdateDataset": lambda request: request.update_mask.paths.append("description"),
    "UpdateVersion": lambda request: request.update_mask.paths.append("description"),
}
"""What else a request needs to be right."""


def test_what_another_has_does_not_exist(suite: Suite, ann: Client, names: dict[str, str]) -> None:
    before = ann.get_dataset(names["users/*/datasets/*"])
    found = {}
    for path, method in CLIENT_METHODS.items():
        (rule, *_) = rules([method])
        patterns = {pattern for _, pattern in rule.template.variables}
        if not patterns or patterns == {"users/*"}:
            continue
        request = whole(method, names)
        ADD.get(method.name, lambda _: None)(request)
        found[path] = code(call(suite, path, request, key=suite.secrets["ben"]))
    assert len(found) > 30
    assert found == dict.fromkeys(found, "NOT_FOUND")
    assert ann.get_dataset(before.name) == before


def test_nothing_is_made_under_anothers_name(suite: Suite, ben: Client, names: dict[str, str]) -> None:
    makers = ("CreateDataset", "ImportDataset", "RestoreDataset", "PurgeDataset", "CreateRecipe", "CreateKey")
    for path, method in CLIENT_METHODS.items():
        if method.name in makers:
            request = whole(method, names)
            ADD.get(method.name, lambda _: None)(request)
            assert code(call(suite, path, request, key=suite.secrets["ben"])) == "PERMISSION_DENIED", path
    upload = ben.send_upload(archive())
    with pytest.raises(PermissionDenied, match="another user"):
        ben.import_dataset(upload, "ann/bens", add="keep")
    with pytest.raises(NotFound, match="upload"):
        ben.import_dataset(ingest_pb2.Upload(name=names["uploads/*"]), "ben/anns")
    with pytest.raises(NotFound, match="upload"):
        ben.convert(ingest_pb2.Upload(name=names["uploads/*"]), "coco")


def test_lists_show_what_is_ones_own(suite: Suite, ben: Client, names: dict[str, str]) -> None:
    assert names["jobs/*"] not in [job.name for job in ben.list_jobs()]
    with suite.client("admin") as admin:
        assert names["jobs/*"] in [job.name for job in admin.list_jobs()]
    listed = http(suite, "GET", "/v1/users/ann/datasets", suite.secrets["ben"])[2]
    assert listed["datasets"] == []
    assert http(suite, "GET", "/v1/" + names["users/*/datasets/*"], suite.secrets["ben"])[0] == 404
    assert http(suite, "GET", "/v1/" + names["users/*/datasets/*"], suite.secrets["ann"])[0] == 200


async def test_ones_own_jobs_are_found_among_any_number_of_others(suite: Suite, names: dict[str, str]) -> None:
    server = await TemporalClient.connect(suite.info.addresses["temporal"])
    for _ in range(30):
        other = await server.start_workflow(
            "ExportDataset",
            id=uuid.uuid4().hex,
            task_queue="nobody",
            memo={"kind": 2, "target": "users/ben/datasets/cars", "owner": "ben"},
            search_attributes=TypedSearchAttributes([SearchAttributePair(OWNER, "ben")]),
        )
        await other.terminate()
    found: list[str] = []
    token = ""
    while True:
        _, _, page = await asyncio.to_thread(
            http, suite, "GET", f"/v1/jobs?pageSize=1&pageToken={token}", suite.secrets["ann"]
        )
        found += [job["name"] for job in page["jobs"]]
        token = page["nextPageToken"]
        if not token:
            break
        assert page["jobs"], "a page without jobs that is not the last"
    assert names["jobs/*"] in found
    assert len(set(found)) == len(found)


def test_what_is_public_can_be_read_and_cloned_but_not_changed(suite: Suite, ann: Client, ben: Client) -> None:
    shared = ann.import_dataset(ann.send_upload(archive()), "ann/shared").dataset
    update = dataset_pb2.UpdateDatasetRequest(dataset=dataset_pb2.Dataset(name=shared.name))
    update.dataset.visibility = dataset_pb2.VISIBILITY_PUBLIC
    update.update_mask.paths.append("visibility")
    path = "/framehouse.v1.DatasetService/UpdateDataset"
    assert code(call(suite, path, update, key=suite.secrets["ann"])) == "OK"
    assert ben.get_dataset(shared.name).image_count == 1
    assert ben.statistics(shared.name).image_count == 1
    image = next(ben.list_images(shared.name))
    assert ben.thumbnail(image.name)
    # A signed URL is all that it needs.
    assert http(suite, "GET", image.url.partition(suite.info.addresses["http"])[2])[0] == 200
    assert ben.export_dataset(shared.name, "coco").export.image_count == 1
    assert code(call(suite, path, update, key=suite.secrets["ben"])) == "PERMISSION_DENIED"
    with pytest.raises(PermissionDenied, match="clone it"):
        ben.change_images(shared.name, "*", remove=True)
    clone = dataset_pb2.CloneDatasetRequest(source=shared.name, parent="users/ben", dataset_id="mine")
    path = "/framehouse.v1.DatasetService/CloneDataset"
    assert code(call(suite, path, clone, key=suite.secrets["ben"])) == "OK"
    assert ben.change_images("ben/mine", "*", remove=True).changed_count == 1
    with pytest.raises(NotFound):
        ann.get_dataset("ben/mine")
    assert ann.get_dataset(shared.name).image_count == 1


# --- limits


def test_more_calls_than_a_key_may_make_are_told_when_to_come_again(suite: Suite) -> None:
    with suite.client("admin") as admin:
        secret = admin.create_key("ann", requests_per_second=2).secret
    for _ in range(4):
        status, headers, body = http(suite, "GET", "/v1/formats", secret)
    assert (status, body["error"]["status"], headers["retry-after"]) == (429, "RESOURCE_EXHAUSTED", "1")
    error = call(suite, "/framehouse.v1.ConversionService/ListFormats", key=secret)
    assert error is not None
    assert reason(error) == "TOO_MANY_CALLS"
    retry = error_details_pb2.RetryInfo()
    assert any(detail.Unpack(retry) for detail in details(error))
    assert 0 < retry.retry_delay.ToTimedelta().total_seconds() <= 0.5
    with Client(suite.info.address, api_key=secret) as client:
        for _ in range(3):
            client.list_formats()  # waits as long as it is told


def test_more_jobs_than_a_user_may_have_are_refused(suite: Suite) -> None:
    with suite.client("admin") as admin:
        secret = admin.create_key("cat", concurrent_jobs=1).secret
    # Takes calls and does not answer, so that the job runs.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/cars.zip"
        path = "/framehouse.v1.IngestService/FetchUpload"
        fetch = ingest_pb2.FetchUploadRequest(urls=ingest_pb2.UrlList(urls=[url]), request_id="one")
        assert code(call(suite, path, fetch, key=secret)) == "OK"
        assert code(call(suite, path, fetch, key=secret)) == "OK"  # the same job
        fetch.request_id = "two"
        error = call(suite, path, fetch, key=secret)
        assert error is not None
        assert (code(error), reason(error)) == ("RESOURCE_EXHAUSTED", "TOO_MANY_JOBS")
        with Client(suite.info.address, api_key=secret) as client:
            (job,) = client.list_jobs()
            client.cancel_job(job.name)
            with suppress(FramehouseError):
                client.wait(job.name)
    assert code(call(suite, path, fetch, key=suite.secrets["ann"])) == "OK"


def test_more_bytes_than_a_user_may_keep_are_refused(suite: Suite) -> None:
    data = archive()
    with suite.client("admin") as admin:
        secret = admin.create_key("dan", stored_bytes=len(data) + 100).secret
    with Client(suite.info.address, api_key=secret) as client:
        client.send_upload(data)
        with pytest.raises(ResourceExhausted, match="bytes stored") as refused:
            client.send_upload(data)
        assert refused.value.retry_seconds > 60
    create = ingest_pb2.CreateUploadRequest(size=101)
    assert code(call(suite, "/framehouse.v1.IngestService/CreateUpload", create, key=secret)) == "RESOURCE_EXHAUSTED"


# --- jobs


def test_a_job_that_an_administrator_starts_again_stays_its_owners(suite: Suite, ben: Client) -> None:
    with pytest.raises(FramehouseError) as failed:
        ben.import_dataset(ben.send_upload(b"no archive"), "ben/nothing")
    job = failed.value.facts["job"]
    with suite.client("admin") as admin:
        with pytest.raises(FramehouseError) as again:
            admin.retry_job(job)
        assert again.value.facts["job"] != job
    assert {job, again.value.facts["job"]} <= {one.name for one in ben.list_jobs()}


def test_keys_are_made_listed_and_revoked_on_the_command_line(suite: Suite, tmp_path: Path) -> None:
    held = tmp_path / "key"
    held.write_text(suite.secrets["admin"] + "\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FRAMEHOUSE_")}

    def run(*arguments: str, **more: str) -> Any:
        command = [str(COMMAND), "--api-key-file", str(held), *arguments, "--address", suite.info.address, "--json"]
        ended = subprocess.run(command, capture_output=True, text=True, check=False, env={**environment, **more})
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout)

    made = run("keys", "create", "--owner", "eve", "--scope", "read", "--expires", "2h", "--concurrent-jobs", "3")
    assert (made["scopes"], made["limits"]["concurrentJobs"]) == (["SCOPE_READ"], 3)
    with Client(suite.info.address, api_key=made["secret"]) as eve:
        assert eve.list_datasets() == []
    assert run("keys", "revoke", made["name"])["revoked"]
    (kept,) = run("keys", "list", "--owner", "eve")["keys"]
    assert (kept["name"], kept["secret"], kept["revokeTime"] is None) == (made["name"], "", False)
    # A key file that is named goes before a key that lies about.
    assert run("keys", "--owner", "eve", FRAMEHOUSE_API_KEY="fh_nothing")["keys"] == [kept]


def test_an_async_client_without_a_key_says_what_to_do(suite: Suite) -> None:
    from framehouse.client import AsyncClient

    async def ask() -> None:
        async with AsyncClient(suite.info.address, api_key="") as client:
            await client.list_formats()

    with pytest.raises(Unauthenticated, match="FRAMEHOUSE_API_KEY"):
        asyncio.run(ask())


def test_no_secret_is_in_a_log(suite: Suite) -> None:
    logs = b"".join(path.read_bytes() for path in (suite.info.data / "logs").iterdir())
    assert b"PERMISSION_DENIED" in logs
    for secret in suite.secrets.values():
        assert secret.encode() not in logs
    catalogue = (suite.info.data / "catalogue.db").read_bytes()
    for name in ("ann", "ben"):
        assert suite.secrets[name].encode() not in catalogue
