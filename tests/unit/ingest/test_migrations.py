"""Catalogues of earlier versions are brought to the newest form with what they hold."""

from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from services.ingest.catalogue import MIGRATIONS, Catalogue, ImportRow

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_datasets_from_before_have_the_import_that_made_them(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/catalogue.db"
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with sa.create_engine(url).begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        datasets = sa.Table("datasets", sa.MetaData(), autoload_with=connection)
        given = {column.name: b"" if column.name == "summary" else 1 for column in datasets.columns}
        times = {"create_time": NOON, "update_time": NOON}
        connection.execute(datasets.insert(), {**given, **times, "uid": "a" * 32, "user": "u", "slug": "cars"})
    catalogue = Catalogue(url)
    catalogue.migrate()
    with catalogue.session() as session:
        made = session.scalars(sa.select(ImportRow)).one()
    assert (made.job, made.dataset, made.summary, made.create_time) == ("a" * 32, "a" * 32, b"", NOON)
