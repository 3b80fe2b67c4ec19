"""The documents say what the code does."""

import re
from pathlib import Path

from framehouse.runtime.config import Settings

ROOT = Path(__file__).parents[2]
CODE = re.compile(r'(?:add|report|Unusable)\(\s*(?:issues, |self\._path, )?"([A-Z]+(?:_[A-Z]+)+)"')


def test_every_issue_code_is_documented_and_no_other() -> None:
    sources = [*ROOT.glob("services/**/*.py"), *ROOT.glob("shared/framehouse/store/*.py")]
    code = "".join(file.read_text() for file in sources)
    raised = set(CODE.findall(code)) - {
        # What a target format cannot hold, which docs/formats.md is about.
        "KIND_UNSUPPORTED",
        "LABEL_MISSING",
        "FLAG_UNSUPPORTED",
    }
    documented = set(re.findall(r"^\| `([A-Z_]+)` \|", (ROOT / "docs/issues.md").read_text(), re.MULTILINE))
    assert raised - documented == set()
    assert [name for name in documented if f'"{name}"' not in code] == []


def test_every_setting_is_documented() -> None:
    text = (ROOT / "docs/operations.md").read_text()
    for name in Settings.model_fields:
        if not name.endswith("_address"):
            assert name.upper() in text, name
