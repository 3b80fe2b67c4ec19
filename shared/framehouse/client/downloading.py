"""An export on its way to this machine: file by file, taken up where it was cut off, and checked before it is there."""

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import xxhash

from framehouse.client import transfer
from framehouse.client.errors import FailedPrecondition, unwritable
from framehouse.client.unpacking import unpack
from framehouse.v1 import export_pb2

CHUNK = 4 << 20


async def download(
    export: export_pb2.Export,
    renew: Callable[[], Awaitable[export_pb2.Export]],
    target: Path,
    received: Callable[[int], None],
) -> list[Path]:
    """Fetches all files of an export: to a file where `target` ends in `.zip`, else unpacked into that folder.

    Volumes become `X-001.zip` … of `X.zip`. What came is kept beside the target until all is there. `renew` gives the
    export with new URLs where its have ended; `received` is told of the bytes that are there. Raises `InvalidArgument`
    where the target cannot be written, `FailedPrecondition` where the bytes are not those of the export.
    """
    stop = threading.Event()
    loop = asyncio.get_running_loop()
    # Named by the export, so that no other export's bytes are ever continued.
    mark = export.name.rpartition("/")[2][:12]
    several = len(export.files) > 1
    parts = [
        target.parent / f".{target.name}.{mark}{f'.{number:03d}' if several else ''}.part"
        for number in range(1, len(export.files) + 1)
    ]
    before = 0

    def tell(count: int) -> None:
        loop.call_soon_threadsafe(received, before + count)

    try:
        for number, part in enumerate(parts):
            file = export.files[number]
            try:
                await asyncio.to_thread(transfer.fetch, file.url, file.size, part, tell, stop)
            except FailedPrecondition as error:
                if error.facts.get("status") != "403":
                    raise
                export = await renew()
                await asyncio.to_thread(transfer.fetch, export.files[number].url, file.size, part, tell, stop)
            await asyncio.to_thread(_check, part, file)
            before += file.size
        if target.suffix.lower() != ".zip":
            for part in parts:
                await asyncio.to_thread(unpack, part, target)
                await asyncio.to_thread(part.unlink)
            return [target]
        ends = [f"-{number:03d}" if several else "" for number in range(1, len(parts) + 1)]
        written = [target.with_name(f"{target.stem}{end}{target.suffix}") for end in ends]
        for part, path in zip(parts, written, strict=True):
            await asyncio.to_thread(os.replace, part, path)
        return written
    except OSError as error:
        raise unwritable(target, error) from error
    finally:
        stop.set()


async def download_file(url: str, size: int, target: Path, received: Callable[[int], None]) -> Path:
    """Fetches one file, which is there once all of it is. Raises as `download`."""
    stop = threading.Event()
    loop = asyncio.get_running_loop()
    # Named by what it is fetched from.
    part = target.parent / f".{target.name}.{xxhash.xxh3_64_hexdigest(url.partition('?')[0].encode())}.part"

    def tell(count: int) -> None:
        loop.call_soon_threadsafe(received, count)

    try:
        await asyncio.to_thread(transfer.fetch, url, size, part, tell, stop)
        await asyncio.to_thread(os.replace, part, target)
    except OSError as error:
        raise unwritable(target, error) from error
    finally:
        stop.set()
    return target


def _check(part: Path, file: export_pb2.ExportFile) -> None:
    """Compares what came with the file's hash, and throws it away where it is something else."""
    digest = xxhash.xxh3_128()
    with part.open("rb") as data:
        while chunk := data.read(CHUNK):
            digest.update(chunk)
    if digest.hexdigest() != file.hash:
        part.unlink()
        raise FailedPrecondition(
            f"{file.name} arrived with other bytes than were written; it was thrown away",
            remedy="fetch it again",
            reason="DOWNLOAD_DAMAGED",
        )
