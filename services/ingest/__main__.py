"""Starts ingest: the catalogue, uploads, and the jobs that begin with an upload."""

import asyncio
from functools import partial

from framehouse.runtime.config import settings
from framehouse.runtime.errors import Unavailable
from framehouse.runtime.server import serve
from framehouse.runtime.telemetry import logger
from framehouse.store.bucket import bucket
from services.ingest import cleaning, collecting, issues, removals, trash, uploads, versions
from services.ingest.catalogue import Catalogue
from services.ingest.datasets import DatasetService
from services.ingest.jobs import JobService
from services.ingest.keys import KeyService
from services.ingest.recipes import RecipeService
from services.ingest.service import IngestService
from services.ingest.workflows import WORKFLOWS


async def main() -> None:
    catalogue = Catalogue(settings().database_url.get_secret_value())
    catalogue.migrate()
    await serve(
        "ingest",
        {
            "framehouse.v1.DatasetService": DatasetService(catalogue),
            "framehouse.v1.IngestService": IngestService(catalogue),
            "framehouse.v1.JobService": JobService(),
            "framehouse.v1.KeyService": KeyService(catalogue),
            "framehouse.v1.RecipeService": RecipeService(catalogue),
        },
        workflows=WORKFLOWS,
        background=(
            make_bucket,
            partial(uploads.keep_expiring, catalogue),
            partial(issues.keep_expiring, catalogue),
            partial(collecting.keep_collecting, catalogue),
            partial(cleaning.keep_cleaning, catalogue),
            partial(versions.keep_snapshots, catalogue),
            partial(trash.keep_purging, catalogue),
            partial(removals.keep_forgetting, catalogue),
        ),
    )


async def make_bucket(stop: asyncio.Event) -> None:
    """Makes the bucket where there is none, as soon as the store answers."""
    while not stop.is_set():
        try:
            await asyncio.to_thread(bucket().ensure_bucket)
            return
        except Unavailable as error:
            logger().warning("object store does not answer", error=str(error))
            await asyncio.sleep(1)


if __name__ == "__main__":
    asyncio.run(main())
