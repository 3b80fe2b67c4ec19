"""Images as they were read, beside what a tool, Datumaro, reads of the same files."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from whole_way import Imported


def beside(found: Imported, expected: dict[str, Any]) -> Iterator[tuple[list[dict[str, Any]], list[dict[str, Any]]]]:
    """The annotations of each image, ours and the tool's; splits, images and sizes are the same."""
    assert Counter(found.table["split"].to_pylist()) == expected["subsets"]
    rows = {(row["split"], row["path"].rsplit(".", 1)[0]): row for row in found.rows().values()}
    assert set(rows) == {(item["subset"], item["id"]) for item in expected["items"]}
    for item in expected["items"]:
        row = rows[item["subset"], item["id"]]
        assert [row["height"], row["width"]] == item["size"]
        yield row["annotations"], item["annotations"]
