"""Catalogues for tests: on SQLite, and on PostgreSQL where its programs are installed."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from services.ingest.catalogue import Catalogue


def sqlite(folder: Path) -> Catalogue:
    """A new catalogue in a file."""
    catalogue = Catalogue(f"sqlite:///{folder}/{uuid.uuid4().hex}.db")
    catalogue.migrate()
    return catalogue


@contextmanager
def postgresql() -> Iterator[str | None]:
    """The URL of a server for the time of the block; none where it is not installed."""
    programs = shutil.which("initdb"), shutil.which("postgres")
    if not all(programs):
        yield None
        return
    # It refuses to be run by root. `subprocess` itself would fork for another user, which a process with gRPC in it
    # does not always survive.
    user = "postgres" if os.getuid() == 0 else ""
    by_user = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"] if user else []
    with tempfile.TemporaryDirectory(prefix="catalogue-") as folder:
        if user:
            shutil.chown(folder, user)
        options = ["--auth=trust", "--no-sync", "--username=tests", "--encoding=UTF8"]
        initdb = [*by_user, str(programs[0]), *options, f"--pgdata={folder}/data"]
        subprocess.run(initdb, check=True, capture_output=True, cwd=folder)
        arguments = [f"-D{folder}/data", f"-k{folder}", "-cfsync=off", "-clisten_addresses="]
        server = subprocess.Popen([*by_user, str(programs[1]), *arguments], cwd=folder, stderr=subprocess.DEVNULL)
        url = f"postgresql+psycopg://tests@/postgres?host={folder}"
        try:
            _wait(url)
            yield url
        finally:
            server.send_signal(signal.SIGINT)  # which ends its clients, too
            server.wait(20)


def on_postgresql(url: str) -> Catalogue:
    """A new catalogue in a database of its own on the server."""
    name = f"test_{uuid.uuid4().hex}"
    with create_engine(url, isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    catalogue = Catalogue(url.replace("/postgres?", f"/{name}?"))
    catalogue.migrate()
    return catalogue


def _wait(url: str) -> None:
    end = time.monotonic() + 20
    while True:
        try:
            create_engine(url).connect().close()
            return
        except OperationalError:
            assert time.monotonic() < end
            time.sleep(0.05)
