"""Errors in the words of who types commands."""

import re
import subprocess
from pathlib import Path

from framehouse.cli.wording import COMMANDS, in_commands
from framehouse.runtime.topology import is_client_facing, methods
from tests.conftest import COMMAND

ROOT = Path(__file__).parents[3]


def test_methods_become_commands() -> None:
    assert in_commands("ListDatasets lists what there is") == "`framehouse datasets` lists what there is"
    assert in_commands("list the jobs with ListJobs") == "list the jobs with `framehouse jobs`"
    assert in_commands("a class called ListJobsAgain") == "a class called ListJobsAgain"


def test_every_method_has_its_command_and_every_command_is_one() -> None:
    methods_there = {method.name for _, method in methods() if is_client_facing(method)}
    assert set(COMMANDS) <= methods_there
    told = " ".join(
        text
        for file in (*ROOT.glob("services/*/*.py"), *ROOT.glob("shared/framehouse/annotations/*.py"))
        if "gateway" not in file.parts
        for line in file.read_text().splitlines()
        if '"""' not in line
        for text in re.findall(r'"([^"]* [^"]*)"', line)
    )
    named = {name for name in re.findall(r"\b[A-Z][a-z]+[A-Z]\w+", told) if name in methods_there}
    assert named - set(COMMANDS) <= {"FetchUpload"}, "in texts for users, without a command for them"
    shown = subprocess.run([str(COMMAND), "--help"], capture_output=True, text=True, check=True).stdout
    for command in {said.split()[1] for said in COMMANDS.values()}:
        assert re.search(rf"^\W+{command} ", shown, re.MULTILINE), command
