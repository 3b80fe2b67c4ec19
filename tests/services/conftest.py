"""The catalogue on each database that it works on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.ingest.catalogue import Catalogue
from tests.services import catalogues


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str | None]:
    """The URL of a server; none where PostgreSQL is not installed."""
    with catalogues.postgresql() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def each_catalogue(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Catalogue]:
    """A new catalogue, once for each database."""
    if request.param == "sqlite":
        yield catalogues.sqlite(tmp_path)
    elif url := request.getfixturevalue("postgresql_server"):
        yield catalogues.on_postgresql(url)
    else:
        pytest.skip("PostgreSQL is not installed")
