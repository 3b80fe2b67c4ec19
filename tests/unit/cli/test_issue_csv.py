"""The file that `framehouse issues --csv` writes."""

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest

from framehouse.cli.commands.issues import write_csv
from framehouse.client.errors import InvalidArgument
from framehouse.v1.annotation_pb2 import SEVERITY_ERROR, Issue


def test_a_cell_is_never_a_formula_and_reads_back_as_it_was(tmp_path: Path) -> None:
    target = tmp_path / "issues.csv"
    message = 'a "quoted", grün\ntext'
    names = ("=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", "plain.jpg")
    assert (
        write_csv(target, (Issue(code="X", severity=SEVERITY_ERROR, path=name, message=message) for name in names)) == 6
    )
    assert target.read_bytes().startswith(b"severity,code,path,line,message,remedy\r\nerror,X,'=cmd")
    with target.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == [*(f"'{name}" for name in names[:-1]), "plain.jpg"]
    assert {(row["message"], row["line"]) for row in rows} == {(message, "")}


def test_a_file_that_was_not_finished_is_not_there(tmp_path: Path) -> None:
    def issues() -> Iterator[Issue]:
        yield Issue(code="X")
        raise ConnectionError

    target = tmp_path / "issues.csv"
    target.write_text("before")
    with pytest.raises(InvalidArgument):
        write_csv(target, issues())
    assert [file.read_text() for file in tmp_path.iterdir()] == ["before"]
    with pytest.raises(InvalidArgument, match="no such file"):
        write_csv(tmp_path / "nowhere" / "issues.csv", [])
