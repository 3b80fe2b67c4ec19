"""Generates the Python stubs from the contracts, and checks them.

    python protos/stubs.py           write shared/framehouse/v1
    python protos/stubs.py --check   buf lint, buf breaking against main, and drift of the stubs

The public google/* protos come from the installed packages, so that nothing of them is kept here.
"""

import argparse
import filecmp
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import google.api
import google.longrunning
import google.rpc
from grpc_tools import protoc

ROOT = Path(__file__).parent.parent
WORKSPACE = ROOT / "build" / "protos"
STUBS = ROOT / "shared" / "framehouse" / "v1"
BIN = Path(sysconfig.get_path("scripts"))
WELL_KNOWN = Path(protoc.__file__).parent / "_proto"


def workspace() -> Path:
    """Copies the contracts and the google protos they import into one folder that buf and protoc can read."""
    shutil.rmtree(WORKSPACE, ignore_errors=True)
    shutil.copytree(ROOT / "protos", WORKSPACE, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    for package in (google.api, google.rpc, google.longrunning):
        source = Path(package.__path__[0])
        target = WORKSPACE / "google" / source.name
        target.mkdir(parents=True)
        for file in source.glob("*.proto"):
            # The package renames this one file; its descriptors carry the public name.
            shutil.copy(file, target / file.name.replace("operations_proto", "operations"))
    return WORKSPACE


def generate(folder: Path, target: Path) -> None:
    """Writes messages, gRPC stubs, their types, and a descriptor set with comments into `target`."""
    shutil.rmtree(target, ignore_errors=True)
    out = target.parent.parent
    target.mkdir(parents=True)
    files = sorted(str(file.relative_to(folder)) for file in folder.glob("framehouse/v1/*.proto"))
    arguments = [
        "protoc",
        f"-I{folder}",
        f"-I{WELL_KNOWN}",
        f"--plugin=protoc-gen-mypy_grpc={BIN / 'protoc-gen-mypy_grpc'}",
        f"--python_out={out}",
        f"--pyi_out={out}",
        f"--grpc_python_out={out}",
        f"--mypy_grpc_out={out}",
        f"--descriptor_set_out={target / 'descriptors.binpb'}",
        "--include_source_info",
        *files,
    ]
    if protoc.main(arguments) != 0:
        sys.exit("protoc failed: mend the contract named above")
    (target / "__init__.py").write_text(
        '"""Stubs generated from protos/framehouse/v1 by `make protos`; do not edit."""\n'
    )


def differences(left: Path, right: Path) -> list[str]:
    """Names of the files that are not the same in two folders."""
    names = {file.name for folder in (left, right) for file in folder.iterdir() if file.is_file()}
    _, changed, missing = filecmp.cmpfiles(left, right, sorted(names), shallow=False)
    return sorted(changed + missing)


def breaking(folder: Path) -> None:
    """Compares the contracts with those on main, where there are any."""
    main = subprocess.run(["git", "rev-parse", "--verify", "-q", "main"], cwd=ROOT, capture_output=True, check=False)
    landed = subprocess.run(
        ["git", "ls-tree", "-r", "--name-only", "main", "protos/"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split()
    if main.returncode != 0 or not landed:
        return
    before = ROOT / "build" / "protos-main"
    shutil.rmtree(before, ignore_errors=True)
    shutil.copytree(folder, before)
    shutil.rmtree(before / "framehouse")
    for name in landed:
        if name.endswith(".proto"):
            target = before / Path(name).relative_to("protos")
            target.parent.mkdir(parents=True, exist_ok=True)
            shown = subprocess.run(["git", "show", f"main:{name}"], cwd=ROOT, capture_output=True, check=True)
            target.write_bytes(shown.stdout)
    subprocess.run([BIN / "buf", "breaking", str(folder), "--against", str(before)], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="lint the contracts and fail on drift, write nothing")
    check = parser.parse_args().check
    folder = workspace()
    if not check:
        generate(folder, STUBS)
        return
    try:
        subprocess.run([BIN / "buf", "lint", str(folder)], check=True)
        breaking(folder)
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)
    fresh = ROOT / "build" / "stubs" / "framehouse" / "v1"
    generate(folder, fresh)
    if changed := differences(fresh, STUBS):
        sys.exit(f"stubs differ from the contracts ({', '.join(changed)}): run `make protos` and commit the result")


if __name__ == "__main__":
    main()
