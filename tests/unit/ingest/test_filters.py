"""The filter language and the orders of images, against plain Python on the same rows."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framehouse.annotations.labels import label_schema, with_labels
from framehouse.annotations.schema import DATASET_SCHEMA, Kind, State
from framehouse.runtime.errors import InvalidArgument
from services.ingest.catalogue import Catalogue, ImportRow, now
from services.ingest.columns import Snapshot
from services.ingest.filter_text import DEPTH, LENGTH, RESTRICTIONS
from services.ingest.filters import selected
from services.ingest.issue_paths import named, stems
from services.ingest.ordering import ordered, parse_order

Row = dict[str, Any]
Holds = Callable[[Row], bool]

CLASSES = ["car", "truck", "traffic light", "Car*"]
SPLITS = ["train", "val", "night", ""]
JOBS = ["a" * 32, "b" * 32]
PATHS = ["a/1.jpg", "a/12.png", "b_c/100%.jpg", "b*c/x.jpg", "ü/ß.webp", "a\\b.jpg"]
NUMBERS = {"width": "width", "height": "height", "size": "bytes", "orientation": "orientation", "frame": "frame"}


def make_rows(count: int, seed: int = 0) -> list[Row]:
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        boxes = int(rng.integers(0, 4))
        rows.append(
            {
                "id": f"{number:032x}",
                "path": PATHS[number]
                if number < len(PATHS)
                else f"d{rng.integers(3)}/{(number * 7919) % 1000:03d}.jpg",
                "split": SPLITS[rng.integers(4)],
                "hash": None if rng.random() < 0.2 else f"{rng.integers(1, 4):032x}",
                "format": None if rng.random() < 0.2 else ["jpeg", "png"][rng.integers(2)],
                "import_job": None if number % 7 == 0 else JOBS[number % 2],
                "width": int(rng.integers(1, 5)),
                "height": int(rng.integers(1, 5)),
                "bytes": None if rng.random() < 0.2 else int(rng.integers(0, 4)) << 40,
                "orientation": None if rng.random() < 0.5 else int(rng.integers(1, 9)),
                "frame": None if rng.random() < 0.5 else int(rng.integers(0, 3)),
                "state": int(rng.integers(0, 3)),
                "kind": rng.choice([Kind.TAG, Kind.BOX, Kind.CAPTION], boxes).tolist(),
                "label": rng.integers(-1, len(CLASSES), boxes).tolist(),
            }
        )
    return rows


def write(folder: Path, rows: list[Row]) -> lance.LanceDataset:
    """A table of several fragments, two rows of which are deleted."""
    full = [
        {field.name: [None] * len(row["kind"]) if pa.types.is_list(field.type) else None for field in DATASET_SCHEMA}
        | row
        for row in rows
    ]
    schema = with_labels(DATASET_SCHEMA, label_schema(CLASSES))
    gone = [full[0] | {"id": "gone"}]
    table = pa.Table.from_pylist([*gone, *full[:20], *gone, *full[20:]], schema)
    written = lance.write_dataset(table, folder / "table.lance", max_rows_per_file=15)
    written.delete("id = 'gone'")
    return written


ROWS = make_rows(60)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    return Snapshot(write(tmp_path_factory.mktemp("filters"), ROWS))


def paths(table: Snapshot, filter: str) -> list[str]:
    return [row["path"] for row, chosen in zip(ROWS, selected(table, filter), strict=True) if chosen]


def expect(table: Snapshot, filter: str, holds: Holds) -> None:
    assert paths(table, filter) == [row["path"] for row in ROWS if holds(row)], filter


# --- what it selects


COMPARE: dict[str, Callable[[int, int], bool]] = {
    "=": lambda one, other: one == other,
    ":": lambda one, other: one == other,
    "<": lambda one, other: one < other,
    "<=": lambda one, other: one <= other,
    ">": lambda one, other: one > other,
    ">=": lambda one, other: one >= other,
}


def number_of(row: Row, field: str) -> int | None:
    return len(row["kind"]) if field == "annotations" else row[NUMBERS[field]]


def a_number(field: str, sign: str, number: int) -> tuple[str, Holds]:
    def holds(row: Row) -> bool:
        value = number_of(row, field)
        if sign == "!=":
            return value != number
        return value is not None and COMPARE[sign](value, number)

    return f"{field}{sign}{number}", holds


def a_path(sign: str, pattern: str) -> tuple[str, Holds]:
    regex = re.compile(".*".join(map(re.escape, pattern.split("*"))))
    matches = regex.search if sign == ":" else regex.fullmatch
    quoted = pattern.replace("\\", "\\\\")
    return f'path {sign} "{quoted}"', lambda row: bool(matches(row["path"])) != (sign == "!=")


def has(field: str, name: str, sign: str, found: Holds) -> tuple[str, Holds]:
    return f"{field} {sign} '{name}'", lambda row: found(row) != (sign == "!=")


def a_name(sign: str, choice: int) -> tuple[str, Holds]:
    label, split, state = choice % len(CLASSES), SPLITS[choice % 4], State(choice % 3)
    kind = [Kind.TAG, Kind.BOX, Kind.CAPTION, Kind.MASK][choice % 4]
    name = CLASSES[label].replace("*", "\\*") if choice % 2 else CLASSES[label]
    match choice % 7:
        case 0:
            return has("label", name, sign, lambda row: label in row["label"])
        case 1:
            return has("split", split, sign, lambda row: row["split"] == split)
        case 2:
            return has("state", state.name.lower(), sign, lambda row: row["state"] == state)
        case 3:
            return has("kind", kind.name.lower(), sign, lambda row: kind in row["kind"])
        case 4:
            job = JOBS[choice % 2]
            return has("import", f"jobs/{job}" if choice % 3 else job, sign, lambda row: row["import_job"] == job)
        case 5:
            return has("format", "jpeg", sign, lambda row: row["format"] == "jpeg")
        case _:
            return has("hash", f"{choice % 4:032X}", sign, lambda row: row["hash"] == f"{choice % 4:032x}" != "0" * 32)


restrictions = st.one_of(
    st.builds(
        a_number,
        st.sampled_from([*NUMBERS, "annotations"]),
        st.sampled_from([*COMPARE, "!="]),
        st.integers(-2, 9) | st.sampled_from([1 << 40, 10**17]),
    ),
    st.builds(
        a_path,
        st.sampled_from(["=", "!=", ":"]),
        st.sampled_from([*PATHS, "*", "a/*", "*.jpg", "d*/*1*.jpg", "b_c/*", "%", "_", "b?c*", "\\", "ü/*", ""]),
    ),
    st.builds(a_name, st.sampled_from(["=", "!=", ":"]), st.integers(0, 200)),
)


def negated(word: str, inner: tuple[str, Holds]) -> tuple[str, Holds]:
    return f"{word}({inner[0]})", lambda row: not inner[1](row)


def joined(between: str, parts: list[list[tuple[str, Holds]]]) -> tuple[str, Holds]:
    """OR binds more tightly than AND."""
    text = between.join(" OR ".join(text for text, _ in either) for either in parts)
    return f"({text})", lambda row: all(any(holds(row) for _, holds in either) for either in parts)


expressions = st.recursive(
    restrictions,
    lambda inner: st.one_of(
        st.builds(negated, st.sampled_from(["NOT ", "-", "not "]), inner),
        st.builds(
            joined,
            st.sampled_from([" AND ", " and ", " "]),
            st.lists(st.lists(inner, min_size=1, max_size=3), min_size=1, max_size=3),
        ),
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(expression=expressions)
def test_any_filter_selects_what_plain_python_does(table: Snapshot, expression: tuple[str, Holds]) -> None:
    expect(table, *expression)


def test_an_asterisk_says_that_a_field_is_there(table: Snapshot) -> None:
    expect(table, "frame:*", lambda row: row["frame"] is not None)
    expect(table, "-orientation:*", lambda row: row["orientation"] is None)
    expect(table, "format:*", lambda row: row["format"] is not None)
    expect(table, "import:*", lambda row: row["import_job"] is not None)
    expect(table, "hash:*", lambda row: row["hash"] is not None)
    expect(table, "split:*", lambda row: row["split"] != "")
    expect(table, "annotations:*", lambda row: row["kind"] != [])
    expect(table, "kind:*", lambda row: row["kind"] != [])
    expect(table, "label:*", lambda row: any(label >= 0 for label in row["label"]))


def test_nothing_and_an_asterisk_alone_select_all(table: Snapshot) -> None:
    for everything in ("", "   ", "*", " * "):
        expect(table, everything, lambda row: True)


def test_values_are_bare_or_quoted_and_an_asterisk_in_a_path_may_be_meant(table: Snapshot) -> None:
    assert paths(table, "path=b*c/x.jpg") == ["b*c/x.jpg"]
    assert paths(table, r'path="b*"') == ["b_c/100%.jpg", "b*c/x.jpg"]
    assert paths(table, r'path="b\*c/x.jpg"') == ["b*c/x.jpg"]
    assert paths(table, r"path='a\\b.jpg'") == ["a\\b.jpg"]
    expect(table, 'label:"traffic light"', lambda row: 2 in row["label"])


def test_a_split_is_known_by_its_other_spellings_and_may_have_no_images(table: Snapshot) -> None:
    expect(table, "split = validation", lambda row: row["split"] == "val")
    expect(table, "split = test", lambda row: False)
    expect(table, 'split = ""', lambda row: row["split"] == "")


def test_an_import_is_known_by_its_job_and_its_tag(table: Snapshot, tmp_path: Path) -> None:
    catalogue = Catalogue(f"sqlite:///{tmp_path}/catalogue.db")
    catalogue.migrate()
    with catalogue.session() as session:
        for job, tag in ((JOBS[0], "monday"), (JOBS[1], ""), ("c" * 32, "tuesday")):
            session.add(ImportRow(job=job, dataset="d", summary=b"", tag=tag, create_time=now()))
    mask = selected(table, "import = monday", catalogue)
    assert mask.tolist() == [row["import_job"] == JOBS[0] for row in ROWS]
    with pytest.raises(InvalidArgument, match="no import has the tag 'tuesday'; the tags are: 'monday'"):
        selected(table, "import = tuesday", catalogue)
    expect(table, f"import = jobs/{'c' * 32}", lambda row: False)
    expect(table, 'import = ""', lambda row: row["import_job"] is None)


def test_an_issue_tells_of_the_image_whose_file_or_label_file_it_is_about() -> None:
    files = pa.array(["images/train/a.jpg", "labels/val/b", "data.yaml", "deep/c"])
    images = ["train/a.jpg", "a.jpg", "val/b.png", "b.jpg", "c.jpg", "deep/c.jpg", "e.jpg"]
    found = named(pa.chunked_array([images]), stems(pa.chunked_array([files])).unique())
    assert found.tolist() == [True, False, True, False, False, True, False]


def test_fields_and_operators_are_not_mistaken_for_keywords(table: Snapshot) -> None:
    assert error(table, "split = or")[0] == 9
    assert error(table, "and = 3")[0] == 1


# --- what is wrong with it


def error(table: Snapshot, filter: str) -> tuple[int, str]:
    """The column and the text."""
    with pytest.raises(InvalidArgument) as caught:
        selected(table, filter)
    match = re.fullmatch(r"filter, column (\d+): (.*)", caught.value.text, re.DOTALL)
    assert match, caught.value.text
    return int(match[1]), match[2]


@pytest.mark.parametrize(
    ("filter", "column", "says"),
    [
        ("widht > 3", 1, "did you mean 'width'"),
        ("width > 3 AND splt = train", 15, "did you mean 'split'"),
        ("width > ten", 9, "no whole number"),
        ("width > 9999999999999999999", 9, "no whole number"),
        ("split > train", 7, "not a number"),
        ("label = trunk", 9, "did you mean 'truck'"),
        ("label : car AND (label : cra)", 26, "did you mean 'car'"),
        ("split = trian", 9, "did you mean 'train'"),
        ("state = verified", 9, "did you mean 'verified_empty'"),
        ("kind:polygons", 6, "did you mean 'polygon'"),
        ("format = jpg", 10, "did you mean 'jpeg'"),
        ("hash = 12", 8, "32 hexadecimal digits"),
        ("import = friday", 10, "no import has the tag"),
        ("import > monday", 8, "not a number"),
        ("issue = 1", 9, "no code of issues"),
        ("width >", 8, "ends where a value"),
        ("width", 1, "say in which field"),
        ('"width" = 3', 1, "say in which field"),
        ("width > 3 OR", 13, "ends where a field"),
        ("width > 3 AND AND width < 5", 15, "stands where a field"),
        ("(width > 3", 1, "not closed"),
        ("width > 3)", 10, "closes nothing"),
        ("width > 3 ()", 12, "stands where a field"),
        ("width > = 3", 9, "stands where a value"),
        ("width ! 3", 7, "write != or NOT"),
        ('path = "a', 8, "no closing"),
        ("* AND width > 3", 1, "say in which field"),
        ("NOT NOT width = 3", 5, "stands where a field"),
    ],
)
def test_an_error_names_its_column_and_what_to_write(table: Snapshot, filter: str, column: int, says: str) -> None:
    found, text = error(table, filter)
    assert (found, says in text) == (column, True), (found, text)


def test_what_is_too_long_or_too_deep_is_refused(table: Snapshot) -> None:
    with pytest.raises(InvalidArgument, match="more than 4096 bytes"):
        selected(table, "ü" * (LENGTH // 2 + 1))
    assert error(table, "(" * (DEPTH + 1) + "width=1" + ")" * (DEPTH + 1))[0] == DEPTH + 1
    assert paths(table, "(" * DEPTH + "width=1" + ")" * DEPTH) == paths(table, "width=1")
    assert "more than" in error(table, " ".join(["width=1"] * (RESTRICTIONS + 1)))[1]


@settings(max_examples=200, deadline=None)
@given(text=st.text("aw()=<>:!\"'\\*-% \n1ü", max_size=30) | st.text(max_size=20))
def test_any_text_is_a_filter_or_an_error_with_a_column(table: Snapshot, text: str) -> None:
    try:
        selected(table, text)
    except InvalidArgument as refused:
        column = int(re.match(r"filter, column (\d+): ", refused.text)[1])  # type: ignore[index]
        assert 1 <= column <= len(text) + 1


# --- order


VALUES: dict[str, Callable[[Row], Any]] = {
    "created": ROWS.index,
    "path": lambda row: row["path"].encode(),
    "width": lambda row: row["width"],
    "height": lambda row: row["height"],
    "size": lambda row: -1 if row["bytes"] is None else row["bytes"],
    "annotations": lambda row: len(row["kind"]),
}


@settings(max_examples=100, deadline=None)
@given(keys=st.lists(st.tuples(st.sampled_from([*VALUES]), st.booleans()), max_size=4))
def test_any_order_is_that_of_plain_python_with_ties_as_they_came_in(
    table: Snapshot, keys: list[tuple[str, bool]]
) -> None:
    expected = list(ROWS)
    for name, descending in reversed(keys):
        expected.sort(key=VALUES[name], reverse=descending)  # which is stable in both directions
    order = parse_order(", ".join(f"{name} desc" if descending else name for name, descending in keys))
    assert [ROWS[row]["path"] for row in ordered(table, order)] == [row["path"] for row in expected]


def test_an_order_that_is_none_is_refused() -> None:
    for wrong, says in (
        ("widht", "'width'"),
        ("width down", "is no order"),
        ("width,", "no order by ''"),
        ("split", "there are"),
    ):
        with pytest.raises(InvalidArgument, match=says):
            parse_order(wrong)


# --- columns in memory


def test_a_table_without_rows_can_be_filtered_and_ordered(tmp_path: Path) -> None:
    written = write(tmp_path, ROWS[:3])
    written.delete("true")
    empty = Snapshot(written)
    assert selected(empty, "label:car OR path:a OR hash:* OR split=train OR width>3").tolist() == []
    assert ordered(empty, parse_order("path, size desc")).tolist() == []


def test_a_new_version_reads_again_only_what_its_commit_wrote(tmp_path: Path) -> None:
    written = write(tmp_path, ROWS)
    before = Snapshot(written)
    before.numbers("width")
    written.insert(pa.Table.from_batches(written.to_batches(limit=1), written.schema))
    after = Snapshot(lance.dataset(written.uri))
    assert after.rows == len(ROWS) + 1
    *same, new = after.parts
    assert all(after.kept(["width"], part) for part in same)
    assert not after.kept(["width"], new)
    assert before.fingerprint(["width"]) != after.fingerprint(["width"])
    written.delete(f"id = '{1:032x}'")
    third = Snapshot(lance.dataset(written.uri))
    assert [third.kept(["width"], part) for part in third.parts].count(False) == 2
    assert third.numbers("width").tolist() == [row["width"] for row in (ROWS[0], *ROWS[2:], ROWS[0])]
