"""Classes of a dataset changed on real tables in the real store: every change, its counts, and nothing else."""

import json
import zipfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from typer.testing import CliRunner, Result

from framehouse.annotations.class_changes import apply
from framehouse.annotations.labels import label_schema, labels_of
from framehouse.annotations.schema import ANNOTATION_COLUMNS, Kind, State
from framehouse.cli.main import app
from framehouse.cli.stack.state import StackInfo
from framehouse.client import Client, classes
from framehouse.client import errors as client_errors
from framehouse.runtime.errors import Aborted, FailedPrecondition, InvalidArgument, NotFound
from framehouse.store.bucket import Bucket
from framehouse.store.tables import open_table
from framehouse.v1 import dataset_pb2
from services.ingest.catalogue import Catalogue, VersionRow, now
from services.ingest.classes import change_classes, list_classes
from services.ingest.filters import select
from tests.services import catalogues
from tests.services.test_adding import archive, row
from tests.services.test_changes import PACK, Dataset

LABELS = ("car", "bus", "van", "dog")
SHAPES = {
    "annotation_id": [7, 3, 9, 1],
    "kind": [int(kind) for kind in (Kind.POLYGON, Kind.MASK, Kind.SKELETON, Kind.CAPTION)],
    "label": [2, 0, 3, -1],
    "bbox": [[0.0, 0.0, 4.0, 4.0], [1.0, 1.0, 2.0, 2.0], [2.0, 2.0, 3.0, 3.0], None],
    "rings": [[[0.0, 0.0, 4.0, 0.0, 4.0, 4.0], [1.0, 1.0]], None, [[5.0, 6.0]], None],
    "rle": [None, b"abc", None, None],
    "rle_size": [None, [10, 20], None, None],
    "rotation": [None, None, 12.5, None],
    "visibility": [None, None, [2], None],
    "group": [1, None, 1, None],
    "track": [None, 5, None, None],
    "z_order": [0, 1, None, None],
    "flags": [0, 4, 0, 0],
    "score": [0.5, None, None, None],
    "area": [8.0, None, None, None],
    "text": [None, None, None, "a street"],
    "attributes": ['{"a":1}', None, '{"b":2}', None],
}
ROWS = [
    row("a.jpg", "1", 0, 1),
    row("b.jpg", "2", 1, 1, split="val"),
    row("c.jpg", "3"),
    row("d.jpg", "4", split="val", state=int(State.VERIFIED_EMPTY)),
    row("e.jpg", "5", 0, 2, 0),
    row("f.jpg", "6") | SHAPES | {"state": int(State.ANNOTATED)},
]


class Classes(Dataset):
    """A dataset of which classes are changed."""

    def request(self, *given: dict[str, Any], **more: Any) -> dataset_pb2.ChangeClassesRequest:
        changes = [ParseDict(one, dataset_pb2.ClassChange()) for one in given]
        return dataset_pb2.ChangeClassesRequest(parent=self.name, changes=changes, **more)

    def make(self, *given: dict[str, Any], **more: Any) -> dataset_pb2.ChangeClassesResponse:
        return change_classes(self.catalogue, self.request(*given, **more))

    def names(self) -> list[str]:
        return [label.name for label in self.message().labels.labels]

    def counts(self, version: int = 0) -> dict[str, tuple[int, int]]:
        listed = list_classes(self.catalogue, dataset_pb2.ListClassesRequest(parent=self.name, version=version))
        assert [one.position for one in listed.classes] == list(range(len(listed.classes)))
        return {one.label.name: (one.annotation_count, one.image_count) for one in listed.classes}

    def rows(self, version: int | None = None) -> dict[str, dict[str, Any]]:
        table = open_table(self.key, version or self.row.table_version)
        return {one["path"]: one for one in table.to_table(with_row_id=True).to_pylist()}

    def check(self) -> None:
        """The counts, and what the table says of its classes, are those of its rows and of the catalogue."""
        super().check()
        schema = labels_of(open_table(self.key, self.row.table_version).schema)
        assert self.message().labels == schema
        rows = self.rows().values()
        labels = [[schema.labels[label].name for label in one["label"] if label >= 0] for one in rows]
        annotations = Counter(name for names in labels for name in names)
        images = Counter(name for names in labels for name in set(names))
        assert self.counts() == {one.name: (annotations[one.name], images[one.name]) for one in schema.labels}

    def changed_files(self, version: int) -> int:
        """Data files that the head has and a version had not."""
        old, new = (
            {file.path for fragment in open_table(self.key, one).get_fragments() for file in fragment.data_files()}
            for one in (version, self.row.table_version)
        )
        return len(new - old)


@pytest.fixture
def street(tmp_path: Path, bucket: Bucket) -> Iterator[Classes]:
    """Six images in two fragments."""
    bucket.put(PACK, b"-")
    made = Classes(catalogues.sqlite(tmp_path), bucket)
    made.publish(ROWS, labels=LABELS)
    yield made
    bucket.remove_prefix(f"{made.key}/")


def merge(*labels: str, into: str) -> dict[str, Any]:
    return {"merge": {"labels": labels, "into": into}}


def rename(label: str, new: str) -> dict[str, Any]:
    return {"rename": {"label": label, "new_name": new}}


def delete(label: str, fate: str = "UNSPECIFIED") -> dict[str, Any]:
    return {"delete": {"label": label, "annotations": f"ANNOTATION_FATE_{fate}"}}


def reorder(*labels: str) -> dict[str, Any]:
    return {"reorder": {"labels": labels}}


def test_classes_are_counted(street: Classes) -> None:
    assert street.counts() == {"car": (4, 3), "bus": (3, 2), "van": (2, 2), "dog": (1, 1)}
    with pytest.raises(NotFound):
        street.counts(version=3)


def test_what_no_annotation_sees_writes_no_row(street: Classes) -> None:
    first, before = street.row.table_version, street.rows()
    etag = street.message().etag
    done = street.make(
        rename("dog", "cat"), {"recolour": {"label": "car", "color": "#1E90FF"}}, {"add": {"name": "dog"}}, etag=etag
    )
    assert [one.description for one in done.effects] == [
        '"dog" is called "cat"',
        '"car" gets the colour #1e90ff',
        '"dog" is a new class',
    ]
    assert done.dataset == street.message()
    assert done.dataset.etag != etag
    assert street.names() == ["car", "bus", "van", "cat", "dog"]
    assert street.message().labels.labels[0].color == "#1e90ff"
    assert street.changed_files(first) == 0
    assert street.rows() == before
    street.check()

    last = street.row.table_version
    street.make(delete("dog"), {"add": {"name": "dog"}}, reorder("car"))
    assert street.row.table_version == last


@pytest.mark.parametrize(
    ("changes", "files"),
    [
        ([merge("bus", into="car")], 2),
        ([merge("van", "dog", into="bus"), rename("bus", "thing")], 1),
        ([reorder("dog", "car")], 2),
        ([delete("dog", "KEEP")], 1),
    ],
)
def test_where_annotations_move_their_labels_alone_are_written(
    street: Classes, changes: list[dict[str, Any]], files: int
) -> None:
    first, before = street.row.table_version, street.rows()
    plan = apply(label_schema(LABELS), street.request(*changes).changes)
    street.make(*changes)
    for one in before.values():
        one["label"] = [int(plan.positions[label]) if label >= 0 else -1 for label in one["label"]]
    assert street.rows() == before
    assert street.changed_files(first) == files
    assert street.message().annotation_count == 11
    assert street.rows(first).keys() == before.keys()
    street.check()


def test_removed_annotations_are_gone_from_every_column(street: Classes) -> None:
    first, before = street.row.table_version, street.rows()
    done = street.make(delete("bus", "REMOVE"), merge("van", into="car"), delete("dog", "REMOVE"))
    assert [(one.annotation_count, one.image_count) for one in done.effects] == [(3, 2), (2, 2), (1, 1)]
    assert done.effects[0].description == '"bus" goes; 3 annotations in 2 images are removed'
    assert done.dataset.annotation_count == 7
    for path, one in before.items():
        kept = [place for place, label in enumerate(one["label"]) if label not in (1, 3)]
        for name in ANNOTATION_COLUMNS:
            one[name] = [one[name][place] for place in kept]
        one["label"] = [0 if label >= 0 else -1 for label in one["label"]]
        one["state"] = int(State.UNANNOTATED) if path == "b.jpg" else one["state"]
    assert street.rows() == before
    assert select(street.key, street.row.table_version, "label = car").tolist() == [True, *[False] * 3, True, True]
    street.check()
    assert [one["label"] for one in street.rows(first).values()] == [one["label"] for one in ROWS]


def test_classes_change_where_images_were_removed(street: Classes) -> None:
    street.change("a.jpg", "f.jpg", remove=True)
    street.make(merge("van", into="bus"))
    assert street.counts() == {"car": (2, 1), "bus": (3, 2), "dog": (0, 0)}
    street.make(delete("car", "REMOVE"), delete("dog"))
    assert street.counts() == {"bus": (3, 2)}
    assert street.images("label") == {"b.jpg": [0, 0], "c.jpg": [], "d.jpg": [], "e.jpg": [0]}
    street.check()


def test_an_effect_counts_images_once_and_nothing_happens_where_it_was_only_asked(street: Classes) -> None:
    before, version = street.message(), street.row.table_version
    done = street.make(
        merge("car", "van", into="bus"),
        rename("bus", "thing"),
        delete("thing", "KEEP"),
        delete("dog", "KEEP"),
        validate_only=True,
    )
    assert [one.description for one in done.effects] == [
        '6 annotations in 3 images become "bus"',
        '"bus" is called "thing"',
        '"thing" goes; 9 annotations in 4 images stay, without a class',
        '"dog" goes; 1 annotation in 1 image stays, without a class',
    ]
    assert [(one.annotation_count, one.image_count) for one in done.effects] == [(6, 3), (0, 0), (9, 4), (1, 1)]
    assert done.dataset == street.message() == before
    assert open_table(street.key).version == version


def test_a_class_in_use_is_not_deleted_unless_it_is_said_what_becomes_of_it(street: Classes) -> None:
    with pytest.raises(FailedPrecondition, match=r"3 annotations in 2 images .* 'bus'.* changes\[1\]") as refused:
        street.make(rename("bus", "coach"), delete("coach"))
    assert refused.value.reason == "CLASS_USED"
    street.make(merge("bus", into="car"), {"add": {"name": "bus"}}, delete("bus"))
    assert street.names() == ["car", "van", "dog"]
    street.check()


def test_what_cannot_be_done_changes_nothing(street: Classes) -> None:
    before = street.message()
    with pytest.raises(InvalidArgument, match="no class 'lorry'"):
        street.make(rename("car", "auto"), merge("lorry", into="auto"))
    with pytest.raises(InvalidArgument, match="no change"):
        street.make()
    street.make(rename("car", "auto"))
    with pytest.raises(Aborted):
        street.make(rename("auto", "car"), etag=before.etag)
    assert street.names() == ["auto", "bus", "van", "dog"]


def test_a_version_keeps_its_classes(street: Classes) -> None:
    there = street.row
    with street.catalogue.session() as session:
        same = ("table_key", "table_version", "image_count", "annotation_count", "image_bytes", "summary")
        values = {name: getattr(there, name) for name in same}
        more = {"description": "", "request_id": "", "create_time": now(), "revision": 1}
        session.add(VersionRow(dataset=there.uid, number=1, **values, **more))
    before, rows = street.counts(), street.rows()
    street.make(merge("bus", into="car"), delete("van", "REMOVE"), rename("dog", "cat"))
    assert street.counts(version=1) == before
    assert street.rows(there.table_version) == rows
    assert street.counts() == {"car": (7, 4), "cat": (1, 1)}


def test_changes_of_classes_at_once_are_all_there(each_catalogue: Catalogue, bucket: Bucket) -> None:
    bucket.put(PACK, b"-")
    made = Classes(each_catalogue, bucket)
    made.publish(ROWS, labels=LABELS)

    def work(number: int) -> str | None:
        name = f"class {number}"
        try:
            if number % 3:
                made.make({"add": {"name": name}})
            else:
                made.make(delete(LABELS[number // 3], "REMOVE"), {"add": {"name": name}})
        except Aborted:
            return None
        return name

    with ThreadPoolExecutor(6) as pool:
        done = [name for name in pool.map(work, range(9)) if name]
    gone = {LABELS[number // 3] for number in (0, 3, 6) if f"class {number}" in done}
    assert len(done) > 1
    assert set(made.names()) == {*done, *(set(LABELS) - gone)}
    made.check()
    bucket.remove_prefix(f"{made.key}/")


# --- through the suite


def test_the_command_changes_classes_and_exports_have_them(
    client: Client, stack: StackInfo, tmp_path: Path, unique_name: str
) -> None:
    def command(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["classes", *arguments, "--address", stack.address])

    box = ".5 .5 .5 .5\n"
    source = archive(tmp_path / "1.zip", {"a": 1, "b": 2}, {"a": f"0 {box}1 {box}", "b": f"2 {box}"}, "[car, bus, dog]")
    client.import_dataset(source, unique_name)
    shown = json.loads(command(unique_name, "--json").stdout)
    assert [(one["label"]["name"], one["annotationCount"]) for one in shown["classes"]] == [
        ("car", 1),
        ("bus", 1),
        ("dog", 1),
    ]
    asked = command("merge", unique_name, "bus", "--into", "car", "--dry-run")
    assert asked.stdout.splitlines()[0] == '1 annotation in 1 image becomes "car"'
    refused = command("delete", unique_name, "dog")
    assert (refused.exit_code, "remove or keep" in str(refused.exception)) == (1, True)
    assert client.list_classes(unique_name)[2].label.name == "dog"

    done = command("delete", unique_name, "dog", "--annotations", "remove", "--json")
    assert json.loads(done.stdout)["effects"][0]["annotationCount"] == 1
    client.change_classes(
        unique_name, [classes.merge(["bus"], into="car"), classes.rename("car", "vehicle"), classes.add("lorry")]
    )
    assert command("reorder", unique_name, "lorry").exit_code == 0
    assert command("recolour", unique_name, "lorry", "#00ff00").exit_code == 0
    listed = command(unique_name).stdout.splitlines()
    assert [line.split() for line in listed[1:]] == [["0", "lorry", "#00ff00", "0", "0"], ["1", "vehicle", "2", "1"]]
    images = {image.path: image for image in client.list_images(unique_name)}
    assert [list(images[f"{name}.jpg"].labels) for name in "ab"] == [["vehicle"], []]
    assert images["b.jpg"].state == dataset_pb2.IMAGE_STATE_UNANNOTATED
    assert [(one.label, one.annotation_count) for one in client.statistics(unique_name).classes] == [
        ("lorry", 0),
        ("vehicle", 2),
    ]

    export = client.export_dataset(unique_name, "ultralytics-detect").export
    client.download(export.name, tmp_path / "out.zip")
    with zipfile.ZipFile(tmp_path / "out.zip") as written:
        yaml = written.read(next(name for name in written.namelist() if name.endswith(".yaml"))).decode()
        labels = {name.rpartition("/")[2]: written.read(name) for name in written.namelist() if "labels/" in name}
    assert yaml.index("0: lorry") < yaml.index("1: vehicle")
    assert [line.split()[0] for line in labels["a.txt"].decode().splitlines()] == ["1", "1"]
    with pytest.raises(client_errors.Aborted):
        client.change_classes(unique_name, [classes.add("x")], etag='"0"')
    client.delete_dataset(unique_name)
