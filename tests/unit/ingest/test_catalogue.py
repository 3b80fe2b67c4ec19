"""The catalogue on a real SQLite file."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from framehouse.runtime.errors import AlreadyExists, InvalidArgument, NotFound, Unavailable
from framehouse.v1 import dataset_pb2
from services.ingest import datasets
from services.ingest.catalogue import Base, Catalogue, DatasetRow

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    catalogue = Catalogue(f"sqlite:///{tmp_path}/catalogue.db")
    catalogue.migrate()
    return catalogue


def add(catalogue: Catalogue, slug: str, minutes: int = 0) -> None:
    with catalogue.session() as session:
        session.add(
            DatasetRow(
                uid=f"uid-{slug}",
                user="local",
                slug=slug,
                display_name=slug,
                table_key="tables/t.lance",
                table_version=1,
                image_count=1,
                annotation_count=2,
                image_bytes=3,
                source_format="coco-instances",
                summary=dataset_pb2.Dataset(
                    splits=[dataset_pb2.SplitCount(split="val", image_count=1)]
                ).SerializeToString(),
                create_time=NOON + timedelta(minutes=minutes),
                update_time=NOON,
                revision=1,
            )
        )


def test_the_migrations_make_the_tables_that_the_code_expects(catalogue: Catalogue, tmp_path: Path) -> None:
    with create_engine(f"sqlite:///{tmp_path}/catalogue.db").connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), Base.metadata)
    assert differences == []


def test_migrating_twice_changes_nothing(catalogue: Catalogue) -> None:
    add(catalogue, "cars")
    catalogue.migrate()
    assert datasets.find(catalogue, "users/local/datasets/cars").slug == "cars"


async def test_pages_stay_right_while_datasets_come(catalogue: Catalogue) -> None:
    for number in range(5):
        add(catalogue, f"d{number}", minutes=number)
    service = datasets.DatasetService(catalogue)
    first = await service.ListDatasets(dataset_pb2.ListDatasetsRequest(parent="users/local", page_size=2))
    add(catalogue, "newest", minutes=60)
    second = await service.ListDatasets(
        dataset_pb2.ListDatasetsRequest(parent="users/local", page_size=2, page_token=first.next_page_token)
    )
    last = await service.ListDatasets(
        dataset_pb2.ListDatasetsRequest(parent="users/local", page_size=2, page_token=second.next_page_token)
    )
    names = [one.display_name for page in (first, second, last) for one in page.datasets]
    assert names == ["d4", "d3", "d2", "d1", "d0"]
    assert last.next_page_token == ""


async def test_a_dataset_is_shown_with_its_numbers(catalogue: Catalogue) -> None:
    add(catalogue, "cars")
    shown = await datasets.DatasetService(catalogue).GetDataset(
        dataset_pb2.GetDatasetRequest(name="users/local/datasets/cars")
    )
    assert (shown.image_count, shown.annotation_count, shown.image_bytes) == (1, 2, 3)
    assert [(one.split, one.image_count) for one in shown.splits] == [("val", 1)]
    assert shown.create_time.ToDatetime(UTC) == NOON
    assert shown.state == dataset_pb2.DATASET_STATE_INCOMPLETE
    assert list(shown.missing) == ["an image in the split train", "a second image"]


@pytest.mark.parametrize("token", ["x", "bm90IGpzb24=", "WzEsIDJd"])
async def test_a_foreign_page_token_is_refused(catalogue: Catalogue, token: str) -> None:
    request = dataset_pb2.ListDatasetsRequest(parent="users/local", page_token=token)
    with pytest.raises(InvalidArgument, match="page_token"):
        await datasets.DatasetService(catalogue).ListDatasets(request)


def test_names_are_checked_and_looked_up(catalogue: Catalogue) -> None:
    with pytest.raises(InvalidArgument, match="users/USER/datasets/DATASET"):
        datasets.find(catalogue, "cars")
    with pytest.raises(NotFound):
        datasets.find(catalogue, "users/local/datasets/cars")
    add(catalogue, "cars")
    with pytest.raises(AlreadyExists):
        datasets.refuse_taken(catalogue, "users/local/datasets/cars")


def test_a_database_that_does_not_answer_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="catalogue database"):
        Catalogue(f"sqlite:///{tmp_path}/no/such/folder/catalogue.db").migrate()
