"""Options that several commands share."""

from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from framehouse.cli.choices import taking, volume_size, writing
from framehouse.client.options import write_options


def test_options_of_a_group_become_what_the_client_takes() -> None:
    app, given = typer.Typer(), {}

    @app.command()
    @taking(choices=writing)
    def command(name: str, *, choices: Any, again: bool = False) -> None:
        given.update(choices, name=name, again=again)

    words = "cars --rename a=b --merge c,d=b --drop e --task all --images none --filter split=val --again".split()  # noqa: SIM905  # as typed
    outcome = CliRunner().invoke(app, words)
    assert outcome.exit_code == 0, outcome.output
    assert (given.pop("name"), given.pop("again")) == ("cars", True)
    options = write_options("coco", **given)
    assert [one.WhichOneof("change") for one in options.class_changes] == ["rename", "merge", "delete"]
    assert list(options.class_changes[1].merge.labels) == ["c", "d"]
    assert (options.HasField("task"), options.task, options.without_images, options.image_form) == (True, 0, True, 0)
    assert options.filter == "split=val"
    assert "is no OLD=NEW" in CliRunner().invoke(app, ["cars", "--rename", "a"]).output


@pytest.mark.parametrize(
    ("text", "size"), [("2GB", 2 * 10**9), ("1MiB", 1 << 20), ("1.5 kb", 1500), ("700", 700), ("3g", 3 * 10**9)]
)
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert volume_size(text) == size


def test_what_is_no_size_is_refused() -> None:
    with pytest.raises(typer.BadParameter, match="write 2GB"):
        volume_size("many")
