"""The suite on one machine: it starts, mends itself, stops without a trace, and has its data when it is back."""

import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from framehouse.cli.stack.control import find
from framehouse.cli.stack.state import ProcessInfo, StackInfo, is_alive
from framehouse.client import Client, FramehouseError
from framehouse.client.errors import Cancelled, NotFound, Unavailable
from framehouse.store.bucket import Bucket
from framehouse.v1 import job_pb2
from tests.samples import photo_archive

Framehouse = Callable[..., subprocess.CompletedProcess[str]]
COMMAND = str(Path(sys.executable).with_name("framehouse"))
SIX = {"gateway", "ingest", "media", "conversion", "statistics", "export"}


def wait_for(true: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.1)


def processes(data: Path) -> dict[str, ProcessInfo]:
    info = find(data)
    return {process.name: process for process in info.processes} if info else {}


def status(framehouse: Framehouse, data: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(framehouse("status", "--json", "--data", str(data)).stdout)
    return result


def is_well(framehouse: Framehouse, data: Path) -> bool:
    return all(process["healthy"] for process in status(framehouse, data)["processes"])


def test_status_tells_of_every_process(stack: StackInfo, framehouse: Framehouse) -> None:
    wait_for(lambda: is_well(framehouse, stack.data))
    told = status(framehouse, stack.data)
    assert {process["name"] for process in told["processes"]} == {*SIX, "store", "temporal"}
    assert all(process["memoryBytes"] > 10e6 and process["pid"] for process in told["processes"])
    secret = stack.environment()["FRAMEHOUSE_STORE_SECRET_KEY"]
    assert secret not in (stack.data / "run" / "stack.json").read_text()


def test_all_servers_listen_on_loopback_alone(stack: StackInfo) -> None:
    for process in processes(stack.data).values():
        for one in psutil.Process(process.pid).net_connections("inet"):
            if one.status == psutil.CONN_LISTEN:
                assert one.laddr.ip.removeprefix("::ffff:") == "127.0.0.1", process.name


@pytest.mark.parametrize("name", ["statistics", "gateway", "store"])
def test_a_process_that_is_killed_is_started_again(
    stack: StackInfo, framehouse: Framehouse, bucket: Bucket, name: str
) -> None:
    bucket.put(f"test/{name}", b"kept")
    before = processes(stack.data)[name]
    os.kill(before.pid, signal.SIGKILL)
    wait_for(lambda: processes(stack.data).get(name, before).pid != before.pid)
    wait_for(lambda: is_well(framehouse, stack.data))
    assert processes(stack.data)[name].restarts == before.restarts + 1
    log = (stack.data / "logs" / "supervisor.log").read_text()
    assert f"{name} was killed by SIGKILL; again in" in log
    assert f"{name} is started again" in log
    assert bucket.get(f"test/{name}") == b"kept"


def test_nothing_to_stop_and_nothing_to_show(framehouse: Framehouse, tmp_path: Path) -> None:
    shown = framehouse("status", "--data", str(tmp_path))
    assert (shown.returncode, "start it with `framehouse up`" in shown.stderr) == (1, True)
    assert framehouse("down", "--data", str(tmp_path)).returncode == 0


def test_commands_without_a_suite_say_how_to_start_one(framehouse: Framehouse) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        result = framehouse("datasets", "--address", address)
        assert (result.returncode, result.stdout) == (1, "")
        assert result.stderr.splitlines() == [
            f"framehouse: no Framehouse suite answers at {address}",
            "  start one with `framehouse up`, or name the one you mean by FRAMEHOUSE_ADDRESS",
        ]
        began = time.monotonic()
        with Client(address, deadline=1.0) as client, pytest.raises(Unavailable, match="no Framehouse suite answers"):
            client.list_datasets()
        assert 0.5 < time.monotonic() - began < 5


def test_a_watched_job_is_told_of_again_and_again(client: Client, small: Path, unique_name: str) -> None:
    job = client.import_dataset(small, unique_name).dataset.uid
    assert [operation.done for operation in client.watch_job(f"jobs/{job}")][-1] is True
    assert client.wait(f"jobs/{job}").done
    with pytest.raises(FramehouseError, match="does not exist"):
        list(client.watch_job(f"jobs/{'0' * 32}"))


def test_a_download_goes_on_where_it_was_cut_off(client: Client, small: Path, tmp_path: Path, unique_name: str) -> None:
    client.import_dataset(small, unique_name)
    export = client.export_dataset(unique_name, "ultralytics-detect", tmp_path / "whole.zip").export
    whole = (tmp_path / "whole.zip").read_bytes()
    (tmp_path / f".again.zip.{export.name.removeprefix('exports/')[:12]}.part").write_bytes(whole[:500])
    client.download(export.name, tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == whole
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.zip", "whole.zip"]
    client.download(export.name, tmp_path / "folder")
    assert (tmp_path / "folder/images/train/1.jpg").read_bytes() == (small / "images/train/1.jpg").read_bytes()


def test_ctrl_c_cancels_the_job(stack: StackInfo, client: Client, tmp_path: Path, unique_name: str) -> None:
    photo_archive(tmp_path / "photos.zip", images=600, kilobytes=60)
    command = [COMMAND, "import", str(tmp_path / "photos.zip"), "--name", unique_name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as importing:
        wait_for(lambda: has_begun(client, unique_name, "images"))
        importing.send_signal(signal.SIGINT)
        output, errors = importing.communicate(timeout=30)
    job = client.list_jobs(1)[0].name
    assert (importing.returncode, output) == (130, "")
    assert errors.splitlines()[-1] == f"framehouse: cancelled; {job} is stopped, and what it wrote is removed"
    with pytest.raises(Cancelled):
        client.wait(job)
    with pytest.raises(NotFound):
        client.get_dataset(unique_name)


def has_begun(client: Client, target: str, stage: str) -> bool:
    """Whether the job on a dataset works on that stage now."""
    for job in client.list_jobs(1):
        metadata = job_pb2.JobMetadata()
        job.metadata.Unpack(metadata)
        if metadata.target.endswith(f"/{target}"):
            return any(one.name == stage and one.HasField("start_time") for one in metadata.stages)
    return False


def test_convert_starts_a_suite_of_its_own_where_none_runs(small: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "FRAMEHOUSE_DATA": str(tmp_path / "nowhere")}
    environment.pop("FRAMEHOUSE_ADDRESS", None)
    command = [COMMAND, "convert", str(small), "--to", "coco-instances", "--out", str(tmp_path / "coco"), "--json"]
    result = subprocess.run(command, check=False, capture_output=True, text=True, timeout=90, env=environment)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["annotationCount"] == 2
    coco = json.loads((tmp_path / "coco/annotations/instances_train.json").read_text())
    assert [one["bbox"] for one in coco["annotations"]] == [[24, 18, 16, 12]] * 2
    assert not (tmp_path / "nowhere").exists()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two images and their boxes."""
    from PIL import Image

    root = tmp_path_factory.mktemp("small")
    for name in ("images/train", "labels/train"):
        (root / name).mkdir(parents=True)
    for number in range(2):
        image = io.BytesIO()
        Image.new("RGB", (64, 48), (number, 90, 30)).save(image, "JPEG")
        (root / f"images/train/{number}.jpg").write_bytes(image.getvalue())
        (root / f"labels/train/{number}.txt").write_text("0 0.5 0.5 0.25 0.25\n")
    (root / "data.yaml").write_text("train: images/train\nnames: [car]\n")
    return root


@contextlib.contextmanager
def taken(address: str) -> Iterator[None]:
    """Somebody else listens there."""
    host, _, port = address.rpartition(":")
    with socket.create_server((host, int(port))):
        yield


def test_the_data_is_there_again_and_no_process_is_left(framehouse: Framehouse, small: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    try:
        begun = framehouse("up", "--detach", "--data", str(data))
        assert begun.returncode == 0, begun.stderr
        first = find(data)
        assert first is not None
        again = framehouse("up", "--data", str(data))
        assert (again.returncode, "runs already" in again.stdout, first.address in again.stdout) == (0, True, True)
        with Client(first.address) as client:
            client.import_dataset(small, "kept")
        stopped = framehouse("down", "--data", str(data))
        assert (stopped.returncode, find(data)) == (0, None)
        assert not any(map(is_alive, first.processes))

        with taken(first.address), foreground(data) as (supervisor, second):
            assert second.address != first.address
            with Client(second.address) as client:
                assert client.get_dataset("kept").image_count == 2
                assert client.statistics("kept").annotation_count == 2
                assert len(client.list_jobs()) == 1
                client.export_dataset("kept", "ultralytics-detect", tmp_path / "kept.zip")
            os.kill(supervisor.pid, signal.SIGKILL)
            wait_for(lambda: not any(map(is_alive, second.processes)))
        with zipfile.ZipFile(tmp_path / "kept.zip") as archive:
            assert archive.read("images/train/0.jpg") == (small / "images/train/0.jpg").read_bytes()

        with foreground(data) as (supervisor, third):
            supervisor.send_signal(signal.SIGINT)
            assert supervisor.wait(20) == 0
            assert not any(map(is_alive, third.processes))
        assert not (data / "run" / "stack.json").exists()
    finally:
        framehouse("down", "--data", str(data))


@contextlib.contextmanager
def foreground(data: Path) -> Iterator[tuple[subprocess.Popen[str], StackInfo]]:
    """`framehouse up` in a terminal, so to say, once it is ready."""
    with subprocess.Popen([COMMAND, "up", "--data", str(data)], stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        assert "is ready" in supervisor.stdout.readline()
        info = find(data)
        assert info is not None
        try:
            yield supervisor, info
        finally:
            supervisor.kill()
