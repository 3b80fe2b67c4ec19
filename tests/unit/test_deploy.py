"""The check of the Kubernetes base: it passes what is there, and names what is wrong by object and path."""

import copy
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate.utils
import pytest

from deploy.check import BASE, faults, render
from deploy.new_secret import new_secret
from framehouse.runtime.config import settings

Object = dict[str, Any]


@pytest.fixture(scope="module")
def rendered() -> Iterator[list[Object]]:
    with pytest.MonkeyPatch.context() as patch:
        # Its megabytes of schemas are parsed anew for every object otherwise.
        patch.setattr(kubernetes_validate.utils, "schema_contents", cache(kubernetes_validate.utils.schema_contents))
        yield render(BASE)


@pytest.fixture
def objects(rendered: list[Object]) -> list[Object]:
    return copy.deepcopy(rendered)


def find(objects: list[Object], kind: str, name: str) -> Object:
    return next(item for item in objects if item["kind"] == kind and item["metadata"]["name"].startswith(name))


def pod(objects: list[Object], name: str) -> Object:
    found: Object = find(objects, "Deployment", name)["spec"]["template"]["spec"]
    return found


def test_the_base_is_without_fault(objects: list[Object]) -> None:
    assert list(faults(objects)) == []


def test_a_container_without_limits_is_named(objects: list[Object]) -> None:
    del pod(objects, "media")["containers"][0]["resources"]["limits"]
    assert list(faults(objects)) == [
        "Deployment/media spec.template.spec.containers.service.resources.limits.cpu: is missing",
        "Deployment/media spec.template.spec.containers.service.resources.limits.memory: is missing",
    ]


def test_a_field_that_kubernetes_does_not_know_is_named(objects: list[Object]) -> None:
    find(objects, "Service", "media")["spec"]["portz"] = []
    found = list(faults(objects))
    assert found
    assert all(line.startswith("Service/media spec: ") and "portz" in line for line in found)


def test_a_port_unlike_the_topology_is_named(objects: list[Object]) -> None:
    pod(objects, "export")["containers"][0]["readinessProbe"]["grpc"]["port"] = 1
    assert list(faults(objects)) == [
        "Deployment/export spec.template.spec.containers.readinessProbe: must call grpc port 50055"
    ]


def test_a_grace_period_shorter_than_the_drain_is_named(objects: list[Object]) -> None:
    find(objects, "ConfigMap", "framehouse-settings")["data"]["FRAMEHOUSE_DRAIN_SECONDS"] = "40"
    found = list(faults(objects))
    assert len(found) == 6
    assert all("terminationGracePeriodSeconds: 60 is shorter than a drain of 40 takes" in line for line in found)


def test_a_secret_that_a_service_lacks_or_has_no_need_of_is_named(objects: list[Object]) -> None:
    for name in ("gateway", "media"):
        [volume] = [volume for volume in pod(objects, name)["volumes"] if volume["name"] == "secrets"]
        volume["secret"]["items"] = [
            {"key": key, "path": key} for key in ("framehouse_store_access_key", "framehouse_database_url")
        ]
    every = "framehouse_identity_key, framehouse_store_access_key, framehouse_store_secret_key"
    assert list(faults(objects)) == [
        f"Deployment/gateway spec.template.spec.volumes: must give it {every}, framehouse_url_signing_key "
        "and no other secret",
        f"Deployment/media spec.template.spec.volumes: must give it {every} and no other secret",
    ]


def test_a_base_that_asks_for_no_keys_is_a_fault(objects: list[Object]) -> None:
    find(objects, "ConfigMap", "framehouse-settings")["data"]["FRAMEHOUSE_AUTH"] = "none"
    assert list(faults(objects)) == [
        "ConfigMap/framehouse-settings data.FRAMEHOUSE_AUTH: must be api_key: the pods listen on more than loopback"
    ]


def test_the_gateway_gets_a_certificate_by_a_component(tmp_path: Path) -> None:
    for name in ("base", "components"):
        shutil.copytree(BASE.parent / name, tmp_path / name)
    (tmp_path / "kustomization.yaml").write_text("resources: [base]\ncomponents: [components/tls]\n")
    objects = render(tmp_path)
    [container] = pod(objects, "gateway")["containers"]
    said = {one["name"]: one.get("value", "") for one in container["env"]}
    given = {Path(said[f"FRAMEHOUSE_TLS_{name}"]).parent for name in ("CERTIFICATE", "KEY")}
    assert given == {Path(one["mountPath"]) for one in container["volumeMounts"] if one["name"] == "tls"}
    assert container["livenessProbe"]["tcpSocket"] == {"port": "grpc"}
    assert "grpc" not in container["livenessProbe"]
    # What is wrong with it is that probes and secrets are not those of the base.
    assert {line.partition(":")[0].split(".")[0] for line in faults(objects)} == {"Deployment/gateway spec"}


def test_unknown_settings_and_wrong_values_are_named(objects: list[Object]) -> None:
    data = find(objects, "ConfigMap", "framehouse-settings")["data"]
    data |= {"FRAMEHOUSE_COLOUR": "red", "FRAMEHOUSE_SHARD_IMAGES": "many"}
    found = list(faults(objects))
    assert found[0] == "ConfigMap/framehouse-settings data.FRAMEHOUSE_COLOUR: there is no such setting"
    assert found[1].startswith("ConfigMap/framehouse-settings data.FRAMEHOUSE_SHARD_IMAGES: ")


def test_a_secret_in_the_base_is_a_fault(objects: list[Object]) -> None:
    found = list(faults([*objects, new_secret()]))
    assert found == [
        "Secret/framehouse-secrets kind: secrets are made by deploy/new_secret.py, none is kept in the base"
    ]


def test_a_service_reads_the_secret_from_its_mounted_files(
    objects: list[Object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = new_secret()["stringData"]
    # As kubelet mounts it: files are links into a folder that is itself a link.
    (tmp_path / "..2026").mkdir()
    (tmp_path / "..data").symlink_to("..2026")
    [volume] = [volume for volume in pod(objects, "ingest")["volumes"] if volume["name"] == "secrets"]
    for item in volume["secret"]["items"]:
        (tmp_path / "..2026" / item["path"]).write_text(made[item["key"]])
        (tmp_path / item["path"]).symlink_to(Path("..data") / item["path"])
    for name in [name for name in os.environ if name.startswith("FRAMEHOUSE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("FRAMEHOUSE_SECRETS_DIR", str(tmp_path))
    read = settings.__wrapped__()
    assert read.store_access_key == made["framehouse_store_access_key"]
    assert read.store_secret_key.get_secret_value() == made["framehouse_store_secret_key"]
    assert read.database_url.get_secret_value() == made["framehouse_database_url"]
    assert read.url_signing_key.get_secret_value() == made["framehouse_url_signing_key"]
    assert read.identity_key.get_secret_value() == made["framehouse_identity_key"]
    assert read.admin_key.get_secret_value() == made["framehouse_admin_key"]


def test_a_container_told_an_unknown_name_says_which_there_are() -> None:
    ended = subprocess.run([sys.executable, "-m", "services", "medai"], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "NAME is one of gateway, ingest, media" in ended.stderr
