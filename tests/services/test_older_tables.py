"""Tables that were made before they had all the columns of today: what they do not have is null in them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update

from framehouse.annotations.schema import DATASET_SCHEMA
from framehouse.runtime.errors import FailedPrecondition
from framehouse.store.bucket import Bucket
from framehouse.store.tables import open_table
from framehouse.v1 import annotation_pb2, dataset_pb2, ingest_pb2
from services.ingest.annotating import update_annotations
from services.ingest.catalogue import Catalogue, DatasetRow
from services.ingest.duplicates import list_duplicates
from services.ingest.images import get_image
from services.ingest.listing import list_images
from services.ingest.merging import merge
from services.ingest.restoring import restore_images
from tests.services import catalogues
from tests.services.test_changes import PACK, ROWS, Dataset

LATER = ["look", "import_job"]


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    return catalogues.sqlite(tmp_path)


def older(made: Dataset) -> Dataset:
    """A dataset whose table has not the columns that came later."""
    table = open_table(made.key)
    table.drop_columns(LATER)
    with made.catalogue.session() as session:
        session.execute(update(DatasetRow).filter_by(uid=made.uid).values(table_version=table.version))
    return made


@pytest.fixture
def cars(catalogue: Catalogue, bucket: Bucket) -> Iterator[Dataset]:
    bucket.put(PACK, b"-")
    made = older(Dataset(catalogue, bucket).publish(ROWS))
    yield made
    bucket.remove_prefix(f"{made.key}/")
    bucket.remove([PACK])


def listed(cars: Dataset, filter: str = "", order_by: str = "") -> list[str]:
    request = dataset_pb2.ListImagesRequest(parent=cars.name, filter=filter, order_by=order_by)
    images = list_images(cars.catalogue, request).images
    assert not any(image.import_job for image in images)
    return [image.path for image in images]


def test_they_are_read(cars: Dataset, bucket: Bucket) -> None:
    assert listed(cars, order_by="path desc") == [row["path"] for row in reversed(ROWS)]
    assert listed(cars, f"import:jobs/{'0' * 32}") == []
    assert listed(cars, "split:val") == ["b.jpg", "d.jpg"]
    fewer = older(Dataset(cars.catalogue, bucket, f"{cars.name}-2").publish(ROWS[:2]))
    assert listed(fewer) == ["a.jpg", "b.jpg"]
    bucket.remove_prefix(f"{fewer.key}/")

    duplicates = dataset_pb2.ListDuplicatesRequest(parent=cars.name, distance=4)
    assert not list_duplicates(cars.catalogue, duplicates).groups
    image = get_image(cars.catalogue, dataset_pb2.GetImageRequest(name=cars.image("a.jpg")))
    assert (image.path, image.import_job) == ("a.jpg", "")


def test_they_are_changed(cars: Dataset) -> None:
    cars.change("a.jpg", move_to_split="val")
    assert listed(cars, "split:val") == ["a.jpg", "b.jpg", "d.jpg"]
    box = dataset_pb2.Annotation(kind=annotation_pb2.ANNOTATION_KIND_TAG, label="bus")
    request = dataset_pb2.UpdateAnnotationsRequest(image=cars.image("c.jpg"), annotations=[box])
    assert list(update_annotations(cars.catalogue, request).labels) == ["bus"]
    cars.change("b.jpg", remove=True)
    restored = dataset_pb2.RestoreImagesRequest(parent=cars.name, filter="*")
    assert restore_images(cars.catalogue, restored).changed_count == 1
    assert sorted(listed(cars)) == [row["path"] for row in ROWS]


def test_what_would_lose_columns_is_refused(cars: Dataset) -> None:
    table = open_table(cars.key, cars.row.table_version)
    assert set(DATASET_SCHEMA.names) - set(table.schema.names) == set(LATER)
    with pytest.raises(FailedPrecondition, match=r"earlier release.*export it, import that") as refused:
        merge(table, cars.key, open_table(cars.key, 1), ingest_pb2.ADD_POLICY_KEEP)
    assert refused.value.reason == "DATASET_OUTDATED"
