"""Starts export: archives and their URLs, and the export job."""

import asyncio

from framehouse.runtime.server import serve
from services.export.expiring import keep_expiring
from services.export.service import ExportService
from services.export.workflows import WORKFLOWS

if __name__ == "__main__":
    asyncio.run(
        serve(
            "export",
            {"framehouse.v1.ExportService": ExportService()},
            workflows=WORKFLOWS,
            background=(keep_expiring,),
        )
    )
