"""The annotations of one image replaced, on real tables in the real store: what is kept, and what is refused."""

import json
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from framehouse.annotations.schema import ANNOTATION_COLUMNS, Kind, State
from framehouse.client import Client
from framehouse.runtime.errors import Aborted, InvalidArgument, NotFound
from framehouse.store.bucket import Bucket
from framehouse.store.tables import open_table
from framehouse.v1 import annotation_pb2, dataset_pb2
from services.ingest import versions
from services.ingest.annotating import update_annotations
from services.ingest.catalogue import Catalogue, DatasetRow
from services.ingest.images import get_image
from services.ingest.listing import list_images
from tests.services import catalogues
from tests.services.test_adding import archive, row
from tests.services.test_changes import NAME, PACK, Dataset, fields

Framehouse = Callable[..., subprocess.CompletedProcess[str]]

RICH = row("rich.jpg", "1", 0, 1, 0, width=100, height=50) | {
    "annotation_id": [7, 3, 9],
    "kind": [int(Kind.POLYGON), int(Kind.BOX), int(Kind.BOX)],
    "bbox": [[0.0, 0.0, 10.0, 10.0], [90.0, 0.0, 40.0, 10.0], [300.0, 0.0, 1.0, 1.0]],
    "rings": [[[0.0, 0.0, 10.0, 0.0, 10.0, 10.0]], None, None],
    "area": [33.3, None, 5.0],
    "flags": [2, 0, 4],
    "group": [None, 0, None],
    "attributes": [None, '{"a": 1}', None],
}
ROWS = [RICH, row("b.jpg", "2", 0), row("c.jpg", "3"), row("d.jpg", "4", state=int(State.VERIFIED_EMPTY))]


@pytest.fixture
def cars(tmp_path: Path, bucket: Bucket) -> Iterator[Dataset]:
    """Four images in two fragments; one with what an import lets through, and a person may not draw."""
    bucket.put(PACK, b"-")
    made = Dataset(catalogues.sqlite(tmp_path), bucket).publish(ROWS, fragment=2)
    yield made
    bucket.remove_prefix(f"{made.key}/")
    bucket.remove([PACK])


def update(cars: Dataset, path: str, *annotations: Any, **request: Any) -> dataset_pb2.Image:
    return update_annotations(
        cars.catalogue,
        dataset_pb2.UpdateAnnotationsRequest(image=cars.image(path), annotations=annotations, **request),
    )


def read(cars: Dataset, path: str) -> dataset_pb2.Image:
    view = dataset_pb2.IMAGE_VIEW_ALL_TASKS
    return get_image(cars.catalogue, dataset_pb2.GetImageRequest(name=cars.image(path), view=view))


def listed(cars: Dataset, **request: Any) -> list[str]:
    answer = list_images(cars.catalogue, dataset_pb2.ListImagesRequest(parent=NAME, **request))
    return [image.path for image in answer.images]


def box(x: float, label: str = "car", **more: Any) -> dataset_pb2.Annotation:
    return dataset_pb2.Annotation(kind=annotation_pb2.ANNOTATION_KIND_BOX, label=label, bbox=[x, 0, 5, 5], **more)


def test_what_was_read_and_is_sent_back_changes_nothing(cars: Dataset) -> None:
    before = cars.message()
    image = read(cars, "rich.jpg")
    assert [one.id for one in image.annotations] == [7, 3, 9]
    assert update(cars, "rich.jpg", *image.annotations, etag=image.etag).etag == before.etag == image.etag
    assert cars.message() == before
    assert open_table(cars.key).version == 1


def test_what_does_not_change_keeps_its_columns_and_the_image_its_place(cars: Dataset) -> None:
    old = open_table(cars.key, 1).to_table(with_row_id=True)
    image = read(cars, "rich.jpg")
    polygon, first, outside = image.annotations
    polygon.label = "bus"
    first.bbox[:] = [50, 0, 4, 4]
    answer = update(cars, "rich.jpg", polygon, outside, first, box(1, id=0))
    assert [(one.id, one.label) for one in answer.annotations] == [(7, "bus"), (9, "car"), (3, "bus"), (10, "car")]
    assert answer == read(cars, "rich.jpg")
    found = cars.images(*ANNOTATION_COLUMNS)["rich.jpg"]
    there = dict(zip(ANNOTATION_COLUMNS, found, strict=True))
    assert there["area"] == [33.3, 5.0, None, None]  # the label alone changed; nothing; the shape
    assert there["bbox"][2] == [50, 0, 4, 4]
    assert there["attributes"] == [None, None, '{"a": 1}', None]
    assert there["group"] == [None, None, 0, None]
    assert cars.row.annotation_count == 5
    cars.check()

    assert listed(cars) == ["rich.jpg", "b.jpg", "c.jpg", "d.jpg"]
    assert listed(cars, order_by="created desc") == ["d.jpg", "c.jpg", "b.jpg", "rich.jpg"]
    assert listed(cars, order_by="annotations desc") == ["rich.jpg", "b.jpg", "c.jpg", "d.jpg"]
    assert listed(cars, filter="annotations < 2", page_size=2) == ["b.jpg", "c.jpg"]
    new = open_table(cars.key, cars.row.table_version).to_table(with_row_id=True).sort_by("_rowid")
    others = [name for name in old.column_names if name not in ANNOTATION_COLUMNS]
    assert new.select(others).to_pylist() == old.select(others).to_pylist()
    assert open_table(cars.key, 1).to_table(with_row_id=True) == old


def test_the_state_follows(cars: Dataset) -> None:
    assert update(cars, "c.jpg", box(1)).state == dataset_pb2.IMAGE_STATE_ANNOTATED
    assert update(cars, "c.jpg", verified_empty=True).state == dataset_pb2.IMAGE_STATE_VERIFIED_EMPTY
    assert update(cars, "c.jpg").state == dataset_pb2.IMAGE_STATE_UNANNOTATED
    assert cars.row.annotation_count == 4
    with pytest.raises(InvalidArgument) as failure:
        update(cars, "c.jpg", box(1), verified_empty=True)
    assert fields(failure.value) == ["verified_empty"]
    cars.check()


def test_rows_that_are_written_anew_stay_in_few_fragments_and_in_order(cars: Dataset, bucket: Bucket) -> None:
    paths = [f"{number:02}.jpg" for number in range(40)]
    many = Dataset(cars.catalogue, bucket, "users/local/datasets/many").publish([row(path, path) for path in paths], 40)
    for number, path in enumerate([*paths[::2], *paths[::4]]):
        update(many, path, box(number))
    table = open_table(many.key, many.row.table_version)
    assert len(table.get_fragments()) <= 7
    answer = list_images(many.catalogue, dataset_pb2.ListImagesRequest(parent=many.name))
    assert [image.path for image in answer.images] == paths
    boxes = many.images("bbox")
    assert [boxes[path][0][0] for path in paths[::4]] == list(range(20, 30))
    many.check()
    bucket.remove_prefix(f"{many.key}/")


def test_of_changes_of_several_images_at_once_none_is_lost(each_catalogue: Catalogue, bucket: Bucket) -> None:
    bucket.put(PACK, b"-")
    paths = [f"{number}.jpg" for number in range(8)]
    many = Dataset(each_catalogue, bucket).publish([row(path, path) for path in paths], fragment=4)

    def write(path: str) -> str | None:
        try:
            update(many, path, box(1), box(2, "bus"))
        except Aborted:
            return None
        return path

    with ThreadPoolExecutor(8) as threads:
        done = set(threads.map(write, paths)) - {None}
    assert done
    assert {path for path, kinds in many.images("kind").items() if kinds} == done
    assert many.row.annotation_count == 2 * len(done)
    many.check()
    bucket.remove_prefix(f"{many.key}/")
    bucket.remove([PACK])


def test_names_and_etags_are_checked(cars: Dataset) -> None:
    with pytest.raises(NotFound, match="has none of that id"):
        update(cars, "x.jpg")
    with pytest.raises(InvalidArgument) as failure:
        update_annotations(cars.catalogue, dataset_pb2.UpdateAnnotationsRequest(image=NAME))
    assert fields(failure.value) == ["image"]
    with pytest.raises(Aborted) as stale:
        update(cars, "c.jpg", box(1), etag='"0"')
    assert stale.value.reason == "ETAG_STALE"


def test_a_task_shows_its_annotations_and_keeps_the_others(cars: Dataset) -> None:
    with cars.catalogue.session() as session:
        session.get_one(DatasetRow, cars.uid).task = dataset_pb2.TASK_SEGMENT
    full = dataset_pb2.GetImageRequest(name=cars.image("rich.jpg"), view=dataset_pb2.IMAGE_VIEW_FULL)
    image = get_image(cars.catalogue, full)
    assert [one.id for one in image.annotations] == [7]
    assert image.annotation_count == 3
    page = list_images(cars.catalogue, dataset_pb2.ListImagesRequest(parent=NAME, view=dataset_pb2.IMAGE_VIEW_FULL))
    assert [len(one.annotations) for one in page.images] == [1, 0, 0, 0]
    assert [one.etag for one in page.images] == [image.etag] * 4
    everything = read(cars, "rich.jpg").annotations
    answer = update(cars, "rich.jpg", *everything, box(1))
    assert ([one.id for one in answer.annotations], answer.annotation_count) == ([7], 4)


def test_a_version_lists_what_was_in_it(cars: Dataset) -> None:
    versions.create(cars.catalogue, dataset_pb2.CreateVersionRequest(parent=NAME))
    update(cars, "c.jpg", box(1))
    cars.change("b.jpg", remove=True)
    view = dataset_pb2.IMAGE_VIEW_ALL_TASKS
    request = dataset_pb2.ListImagesRequest(parent=NAME, version=1, view=view, page_size=3)
    page = list_images(cars.catalogue, request)
    assert [(one.path, len(one.annotations), one.etag) for one in page.images] == [
        ("rich.jpg", 3, ""),
        ("b.jpg", 1, ""),
        ("c.jpg", 0, ""),
    ]
    assert listed(cars, version=1, page_token=page.next_page_token) == ["d.jpg"]
    assert listed(cars) == ["rich.jpg", "c.jpg", "d.jpg"]
    for wrong, error in ((2, NotFound), (-1, InvalidArgument)):
        with pytest.raises(error):
            listed(cars, version=wrong)
    with pytest.raises(InvalidArgument, match="another parent, filter, order or version"):
        listed(cars, page_token=page.next_page_token)


# --- through the suite


def test_the_command_annotates_tags_removes_and_puts_back(
    client: Client, framehouse: Framehouse, tmp_path: Path, unique_name: str
) -> None:
    images = {"a": 1, "b": 2, "c": 3}
    wrong = {"a": "0 .5 .5 .5 .5\n", "b": "0 .5 .5 .5\n"}
    done = client.import_dataset(archive(tmp_path / "1.zip", images, wrong), unique_name)
    more = framehouse(
        "import",
        str(archive(tmp_path / "2.zip", {"d": 4}, {})),
        "--name",
        unique_name,
        "--add",
        "keep",
        "--tag",
        "late",
    )
    assert more.returncode == 0, more.stderr

    def found(filter: str) -> list[str]:
        return [image.path for image in client.list_images(unique_name, filter)]

    assert found("import = late") == ["d.jpg"]
    assert found(f"import = {done.job}") == ["a.jpg", "b.jpg", "c.jpg"]
    assert found(f"issue = {done.issue_counts[0].code}") == found("issue:*") == ["b.jpg"]
    shown = json.loads(framehouse("image", unique_name, "a.jpg", "--json").stdout)
    assert shown["importJob"] == done.job
    shown["annotations"][0]["bbox"] = [1, 2, 3, 4]
    (tmp_path / "a.json").write_text(json.dumps(shown))
    answer = framehouse("annotate", unique_name, "a.jpg", str(tmp_path / "a.json"), "--etag", shown["etag"], "--json")
    assert json.loads(answer.stdout)["annotations"][0]["bbox"] == [1, 2, 3, 4]
    stale = framehouse("annotate", unique_name, "a.jpg", str(tmp_path / "a.json"), "--etag", shown["etag"])
    assert (stale.returncode, "has changed" in stale.stderr) == (1, True)
    assert found("") == ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]

    client.change_images(unique_name, "import = late", remove=True)
    listed = json.loads(framehouse("removals", unique_name, "--json").stdout)["removals"]
    assert [(one["imageCount"], one["paths"]) for one in listed] == [(1, ["d.jpg"])]
    back = json.loads(framehouse("removals", unique_name, "d.jpg", "--json").stdout)
    assert (back["changedCount"], back["dataset"]["imageCount"]) == (1, 4)
    assert found("import = late") == ["d.jpg"]
    client.delete_dataset(unique_name)
