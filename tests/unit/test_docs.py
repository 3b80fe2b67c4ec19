"""The documents say what the code does."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from framehouse.runtime.config import Settings

ROOT = Path(__file__).parents[2]
CODE = re.compile(r"[A-Z]+(_[A-Z]+)+")
OTHERS = ("loss", "_loss", "losses_of", "setdefault")
"""Functions that are given other names in capitals: what a target format cannot hold, settings of libraries."""


def codes(path: Path) -> Iterator[str]:
    """What a module hands on as the code of an issue: by its place, where reasons of errors are given by name."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) not in OTHERS:
            for argument in node.args:
                for value in (argument.body, argument.orelse) if isinstance(argument, ast.IfExp) else (argument,):
                    if isinstance(value, ast.Constant) and CODE.fullmatch(str(value.value)):
                        yield str(value.value)


def test_every_issue_code_is_documented_and_no_other() -> None:
    sources = [*ROOT.glob("services/**/*.py"), *ROOT.glob("shared/framehouse/store/*.py")]
    code = "".join(file.read_text() for file in sources)
    raised = {name for file in sources if file.name != "losses.py" for name in codes(file)}
    documented = set(re.findall(r"^\| `([A-Z_]+)` \|", (ROOT / "docs/issues.md").read_text(), re.MULTILINE))
    assert raised - documented == set()
    assert [name for name in documented if f'"{name}"' not in code] == []


def test_every_reason_to_refuse_an_archive_is_documented() -> None:
    text = (ROOT / "docs/issues.md").read_text()
    for name in ("archive", "tar", "repack", "sources"):
        code = (ROOT / f"shared/framehouse/store/{name}.py").read_text()
        assert not [reason for reason in re.findall(r'reason="(\w+)"', code) if f"`{reason}`" not in text]


def test_every_setting_is_documented() -> None:
    text = (ROOT / "docs/operations.md").read_text()
    for name in Settings.model_fields:
        if not name.endswith("_address"):
            assert name.upper() in text, name
