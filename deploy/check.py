"""Renders the Kubernetes base and says what is wrong with it: `python deploy/check.py`.

Every object is held against the Kubernetes schemas, strictly, and against the promises of this project that the
schemas do not know: probes, limits, restricted rights, and agreement with the settings and the ports of the services.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml
from pydantic import ValidationError

from deploy import new_secret
from framehouse.runtime.config import Settings
from framehouse.runtime.topology import PORTS, services

Object = dict[str, Any]

BASE = Path(__file__).parent / "kubernetes" / "base"
VERSIONS = ("1.30", kubernetes_validate.latest_version())
"""The oldest Kubernetes that the base is for (it has `preStop.sleep`), and the newest whose schemas are here."""

ALIVE = ("startupProbe", "readinessProbe", "livenessProbe")
SETTINGS = "framehouse-settings"
SECRETS = {"framehouse_store_access_key", "framehouse_store_secret_key", "framehouse_identity_key"}
"""What every service is given."""
OWN_SECRETS = {
    "conversion": {"framehouse_url_signing_key"},
    "gateway": {"framehouse_url_signing_key"},
    "ingest": {"framehouse_database_url", "framehouse_url_signing_key", "framehouse_admin_key"},
}
"""What only some are given: those that need it, and no other."""


def render(folder: Path) -> list[Object]:
    """The objects that `kubectl kustomize` makes of a folder; raises CalledProcessError with its words in `stderr`."""
    own = Path(sys.executable).with_name("kubectl")
    kubectl = own if own.exists() else shutil.which("kubectl") or "kubectl"
    shown = subprocess.run([kubectl, "kustomize", folder], check=True, capture_output=True, text=True)
    return list(yaml.safe_load_all(shown.stdout))


def faults(objects: list[Object]) -> Iterator[str]:
    """One line for each fault: the object, the path in it, and what is wrong there."""
    for item in objects:
        name = f"{item['kind']}/{item['metadata']['name']}"
        for path, fault in (*_schema_faults(item), *_object_faults(item)):
            yield f"{name} {path}: {fault}"
    for name in PORTS:
        for path, fault in _process_faults(objects, name):
            yield f"Deployment/{name} {path}: {fault}"
    for path, fault in _settings_faults(_settings(objects)):
        yield f"ConfigMap/{SETTINGS} {path}: {fault}"


Faults = Iterator[tuple[str, str]]


def _schema_faults(item: Object) -> Faults:
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(item, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield ".".join(map(str, error.path)), f"{error.message} (Kubernetes {version})"
        except kubernetes_validate.SchemaNotFoundError:
            yield "apiVersion", f"{item['apiVersion']} has no {item['kind']} (Kubernetes {version})"


def _object_faults(item: Object) -> Faults:
    if item["kind"] == "Secret":
        yield "kind", "secrets are made by deploy/new_secret.py, none is kept in the base"
    if "namespace" in item["metadata"]:
        yield "metadata.namespace", "the base leaves the namespace to whoever applies it"
    if item["kind"] in {"Deployment", "StatefulSet", "Job"}:
        for path, fault in _pod_faults(item["spec"]["template"]["spec"], runs_on=item["kind"] != "Job"):
            yield f"spec.template.spec.{path}", fault


def _pod_faults(pod: Object, *, runs_on: bool) -> Faults:
    """`runs_on`: its containers are to be probed, because they do not end by themselves."""
    rights = pod.get("securityContext", {})
    if rights.get("runAsNonRoot") is not True:
        yield "securityContext.runAsNonRoot", "must be true"
    if rights.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "securityContext.seccompProfile", "must be RuntimeDefault"
    for field in ("automountServiceAccountToken", "enableServiceLinks"):
        if pod.get(field) is not False:
            yield field, "must be false"
    for volume in pod.get("volumes", []):
        if (secret := volume.get("secret")) is not None:
            for entry in secret.get("items", [{"key": "every key"}]):
                yield from _secret_faults(f"volumes.{volume['name']}", secret["secretName"], entry["key"])
                if entry["key"].startswith("framehouse_") and entry["path"] != entry["key"]:
                    yield f"volumes.{volume['name']}", f"{entry['key']} is read from a file of the same name"
    for kind in ("initContainers", "containers"):
        for container in pod.get(kind, []):
            for path, fault in _container_faults(container, probed=runs_on and kind == "containers"):
                yield f"{kind}.{container['name']}.{path}", fault


def _container_faults(container: Object, *, probed: bool) -> Faults:
    rights = container.get("securityContext", {})
    for field, right in {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True}.items():
        if rights.get(field) is not right:
            yield f"securityContext.{field}", f"must be {str(right).lower()}"
    if rights.get("capabilities") != {"drop": ["ALL"]}:
        yield "securityContext.capabilities", "must drop ALL"
    for kind in ("requests", "limits"):
        for resource in ("cpu", "memory"):
            if resource not in container.get("resources", {}).get(kind, {}):
                yield f"resources.{kind}.{resource}", "is missing"
    for probe in ALIVE if probed else ():
        if probe not in container:
            yield probe, "is missing"
    tag = container["image"].rpartition("/")[2].partition(":")[2]
    if tag in {"", "latest"}:
        yield "image", f"{container['image']} is not pinned to a version"
    for variable in container.get("env", []):
        if reference := variable.get("valueFrom", {}).get("secretKeyRef"):
            yield from _secret_faults(f"env.{variable['name']}", reference["name"], reference["key"])


def _secret_faults(path: str, name: str, key: str) -> Faults:
    if name != new_secret.NAME or key not in new_secret.new_secret()["stringData"]:
        yield path, f"deploy/new_secret.py makes no {key} in {name}"


def _process_faults(objects: list[Object], name: str) -> Faults:
    """What must hold for the Deployment and the headless Service of one of the six processes."""
    port = PORTS[name]
    if (deployment := _find(objects, "Deployment", name)) is None:
        yield "metadata.name", "is missing"
        return
    pod = deployment["spec"]["template"]["spec"]
    [container] = pod["containers"]
    if container.get("args") != [name]:
        yield "spec.template.spec.containers.args", f"must be [{name}]"
    if (grpc := {entry["name"]: entry["containerPort"] for entry in container["ports"]}.get("grpc")) != port:
        yield "spec.template.spec.containers.ports", f"grpc must be {port}, is {grpc}"
    given = {entry["key"] for volume in pod.get("volumes", []) for entry in volume.get("secret", {}).get("items", [])}
    if given != (needed := SECRETS | OWN_SECRETS.get(name, set())):
        yield "spec.template.spec.volumes", f"must give it {', '.join(sorted(needed))} and no other secret"
    for probe in ALIVE:
        called = container.get(probe, {}).get("grpc", {})
        if called.get("port") != port:
            yield f"spec.template.spec.containers.{probe}", f"must call grpc port {port}"
        if called.get("service", "") not in ("", *services()):
            yield f"spec.template.spec.containers.{probe}", f"there is no service {called['service']}"

    # A stop takes the pause, then the drain of calls, then at most the drain of steps and five seconds.
    grace = pod.get("terminationGracePeriodSeconds", 30)
    pause = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    drain = float(_settings(objects).get("FRAMEHOUSE_DRAIN_SECONDS", Settings.model_fields["drain_seconds"].default))
    if grace <= pause + 2 * drain + 5:
        yield "spec.template.spec.terminationGracePeriodSeconds", f"{grace} is shorter than a drain of {drain:g} takes"

    service = _find(objects, "Service", name)
    if service is None or service["spec"].get("clusterIP") != "None":
        yield "metadata.name", f"has no headless Service/{name}"
    else:
        ports = {entry["name"]: entry["port"] for entry in service["spec"]["ports"]}
        if ports.get("grpc") != port or "metrics" not in ports:
            yield "metadata.name", f"Service/{name} must have ports grpc ({port}) and metrics"
    address = _settings(objects).get(f"FRAMEHOUSE_{name.upper()}_ADDRESS")
    if address != f"{name}:{port}" and name != "gateway":
        yield "metadata.name", f"FRAMEHOUSE_{name.upper()}_ADDRESS must be {name}:{port}, is {address}"


def _settings_faults(given: dict[str, str]) -> Faults:
    if given.get("FRAMEHOUSE_AUTH") != "api_key":
        yield "data.FRAMEHOUSE_AUTH", "must be api_key: the pods listen on more than loopback"
    if given.get("FRAMEHOUSE_TLS") != "proxy":
        yield "data.FRAMEHOUSE_TLS", "must be proxy: the gateway has no certificate without components/tls"
    fields = {f"FRAMEHOUSE_{field.upper()}": field for field in Settings.model_fields}
    for name in given.keys() - fields.keys():
        yield f"data.{name}", "there is no such setting"
    try:
        Settings.model_validate({fields[name]: value for name, value in given.items() if name in fields})
    except ValidationError as error:
        for detail in error.errors():
            yield f"data.FRAMEHOUSE_{str(detail['loc'][0]).upper()}", detail["msg"]


def _settings(objects: list[Object]) -> dict[str, str]:
    """Kustomize adds a hash to the name of the ConfigMap."""
    for item in objects:
        if item["kind"] == "ConfigMap" and item["metadata"]["name"].startswith(f"{SETTINGS}-"):
            return dict(item["data"])
    return {}


def _find(objects: list[Object], kind: str, name: str) -> Object | None:
    return next((item for item in objects if (item["kind"], item["metadata"]["name"]) == (kind, name)), None)


def main() -> None:
    try:
        objects = render(BASE)
    except subprocess.CalledProcessError as error:
        sys.exit(f"{BASE}: {error.stderr.strip()}")
    if found := list(faults(objects)):
        sys.exit("\n".join(found))
    print(f"deploy: {len(objects)} objects agree with Kubernetes {' and '.join(VERSIONS)}, the settings and the ports")


if __name__ == "__main__":
    main()
