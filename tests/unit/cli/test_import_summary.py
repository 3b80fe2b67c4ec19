"""What `framehouse import --add` says it did."""

from framehouse.cli.commands.archives import _added
from framehouse.v1.ingest_pb2 import AddSummary


def test_what_was_done_is_told_in_one_line() -> None:
    summary = AddSummary(added_count=1200, unchanged_count=90, replaced_count=3, added_labels=["tram", "bus\x1b"])
    assert _added(summary) == "added 1,200, unchanged 90, replaced 3, new classes: tram, bus\N{REPLACEMENT CHARACTER}"
    assert _added(AddSummary(annotated_count=2, kept_count=1, renamed_count=4)) == "annotated 2, kept 1, renamed 4"
    assert _added(AddSummary()) == "nothing"
