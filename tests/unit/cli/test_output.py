"""What the command line prints of strangers' words."""

import pytest

from framehouse.cli import output
from framehouse.v1 import annotation_pb2, dataset_pb2, job_pb2


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
    output.print_facts({"title": issue.path, "about": "a\x1b[2J\nb"})
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "\x07" not in printed
    assert "[2J�evil.jpg" in printed


def test_lines_of_a_fact_stand_below_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_facts({"title": "", "about": "cars\nof 2024", "images": 1200})
    assert capsys.readouterr().out == "  about   cars\n          of 2024\n  images  1,200\n"


def test_values_of_enumerations_are_told_in_words() -> None:
    assert output.word(dataset_pb2.ImageState, dataset_pb2.IMAGE_STATE_VERIFIED_EMPTY) == "verified empty"
    assert output.word(job_pb2.JobKind, job_pb2.JOB_KIND_IMPORT) == "import"
