"""The issues of an import, from the archive to the spreadsheet."""

import csv
import json
import subprocess
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from framehouse.client import Client
from framehouse.client.errors import FailedPrecondition, NotFound
from framehouse.v1 import job_pb2

Framehouse = Callable[..., subprocess.CompletedProcess[str]]

FOUND = {
    ("error", "IMAGE_TRUNCATED"): 1,
    ("error", "LABEL_CLASS_UNKNOWN"): 2,
    ("warning", "BOX_REACHES_OUTSIDE"): 1,
}


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Two images, one of them cut off, and labels of which two are of no class and one reaches outside."""
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    jpeg = bytes(cv2.imencode(".jpg", pixels)[1])
    path = tmp_path / "cars.zip"
    with zipfile.ZipFile(path, "w") as target:
        target.writestr("data.yaml", "train: images/train\nnames: [car]\n")
        target.writestr("images/train/good.jpg", jpeg)
        target.writestr("labels/train/good.txt", "0 .5 .5 .5 .5\n7 .5 .5 .5 .5\n8 .5 .5 .5 .5\n0 .9 .5 .5 .5\n")
        target.writestr("images/train/cut.jpg", jpeg[: len(jpeg) // 2])
    return path


def test_every_issue_of_a_dataset_can_be_seen_until_it_is_deleted(
    client: Client, framehouse: Framehouse, archive: Path, unique_name: str, tmp_path: Path
) -> None:
    summary = framehouse("import", str(archive), "--name", unique_name).stdout
    assert f"`framehouse issues {unique_name}` shows all 4" in summary
    document = json.loads(framehouse("issues", unique_name, "--json").stdout)
    assert document["totalSize"] == 4
    found = Counter((one["severity"].removeprefix("SEVERITY_").lower(), one["code"]) for one in document["issues"])
    assert found == FOUND

    table = framehouse("issues", unique_name, "--severity", "error", "--limit", "2")
    assert len(table.stdout.splitlines()) == 3
    assert "2 of 3 issues" in table.stderr
    assert "labels/train/good.txt:2" in table.stdout

    target = tmp_path / "issues.csv"
    assert framehouse("issues", unique_name, "--csv", str(target)).stdout == f"{target}: 4 issues\n"
    with target.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert Counter((row["severity"], row["code"]) for row in rows) == FOUND
    assert [name.name for name in tmp_path.iterdir() if name.name.startswith(".")] == []

    job = f"jobs/{client.get_dataset(unique_name).uid}"
    assert len(list(client.list_issues(job))) == 4
    client.purge_dataset(client.delete_dataset(unique_name).uid)
    with pytest.raises(NotFound):
        list(client.list_issues(job))


def test_the_issues_of_a_failed_import_are_listed_by_its_job(client: Client, archive: Path, unique_name: str) -> None:
    with pytest.raises(FailedPrecondition) as failure:
        client.import_dataset(archive, unique_name, on_error="fail")
    metadata = job_pb2.JobMetadata()
    job = next(
        one for one in client.list_jobs() if one.metadata.Unpack(metadata) and metadata.target.endswith(unique_name)
    )
    codes = {issue.code for issue in client.list_issues(job.name, severity="error")}
    assert failure.value.reason in codes
