"""What the command line prints of strangers' words."""

import pytest

from framehouse.cli import output
from framehouse.v1 import annotation_pb2


def test_control_characters_of_a_name_do_not_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    issue = annotation_pb2.Issue(
        code="IMAGE_UNREADABLE",
        severity=annotation_pb2.SEVERITY_ERROR,
        path="\x1b[2J\x07evil.jpg",
        message="the file is empty",
        remedy="send it again",
    )
    count = annotation_pb2.IssueCount(code=issue.code, severity=issue.severity, count=1)
    output.print_issues([count], [issue])
    output.print_table(("where",), [(issue.path,)])
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "\x07" not in printed
    assert "[2J�evil.jpg" in printed
