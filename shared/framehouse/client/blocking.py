"""`Client`: `AsyncClient` for code without asyncio. Each method is the other's, run on an event loop in a thread."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from concurrent.futures import Future
from functools import wraps
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from framehouse.client.aio import AsyncClient
from framehouse.client.connection import DEADLINE_SECONDS
from framehouse.client.leaving import CANCEL_SECONDS

P = ParamSpec("P")
T = TypeVar("T")


def _blocking(
    method: Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate["Client", P], T]:
    @wraps(method)
    def call(self: "Client", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._run(method(self._client, *args, **kwargs))

    return call


def _iterating(
    method: Callable[Concatenate[AsyncClient, P], AsyncGenerator[T, None]],
) -> Callable[Concatenate["Client", P], Generator[T, None, None]]:
    @wraps(method)
    def call(self: "Client", /, *args: P.args, **kwargs: P.kwargs) -> Generator[T, None, None]:
        items = method(self._client, *args, **kwargs)
        end = object()

        async def step() -> T | object:
            return await anext(items, end)

        try:
            while (item := self._run(step())) is not end:
                yield item  # type: ignore[misc]
        finally:
            self._run(_close(items))

    return call


class Client:
    """A connection to the suite whose gateway is at host:port, as `AsyncClient` says.

    Use it as a context manager, or `close` it. Ctrl-C in a call cancels what the call does, its job too. `report` is
    called from another thread.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        api_key: str | None = None,
        deadline: float = DEADLINE_SECONDS,
        resumes: bool = True,
    ) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="framehouse-client", daemon=True)
        self._thread.start()
        self._client = self._run(_connect(address, api_key, deadline, resumes))
        self.address = self._client.address

    upload = _blocking(AsyncClient.upload)
    send_upload = _blocking(AsyncClient.send_upload)
    fetch_upload = _blocking(AsyncClient.fetch_upload)
    import_dataset = _blocking(AsyncClient.import_dataset)
    list_datasets = _blocking(AsyncClient.list_datasets)
    get_dataset = _blocking(AsyncClient.get_dataset)
    create_dataset = _blocking(AsyncClient.create_dataset)
    update_dataset = _blocking(AsyncClient.update_dataset)
    clone_dataset = _blocking(AsyncClient.clone_dataset)
    star_dataset = _blocking(AsyncClient.star_dataset)
    delete_dataset = _blocking(AsyncClient.delete_dataset)
    restore_dataset = _blocking(AsyncClient.restore_dataset)
    purge_dataset = _blocking(AsyncClient.purge_dataset)
    probe_image = _blocking(AsyncClient.probe_image)
    get_image = _blocking(AsyncClient.get_image)
    list_images = _iterating(AsyncClient.list_images)
    image_pages = _iterating(AsyncClient.image_pages)
    read_image = _blocking(AsyncClient.read_image)
    render_image = _blocking(AsyncClient.render_image)
    thumbnail = _blocking(AsyncClient.thumbnail)
    list_duplicates = _iterating(AsyncClient.list_duplicates)
    change_images = _blocking(AsyncClient.change_images)
    update_annotations = _blocking(AsyncClient.update_annotations)
    list_removals = _iterating(AsyncClient.list_removals)
    restore_images = _blocking(AsyncClient.restore_images)
    redistribute_splits = _blocking(AsyncClient.redistribute_splits)
    list_classes = _blocking(AsyncClient.list_classes)
    change_classes = _blocking(AsyncClient.change_classes)
    create_version = _blocking(AsyncClient.create_version)
    get_version = _blocking(AsyncClient.get_version)
    list_versions = _iterating(AsyncClient.list_versions)
    update_version = _blocking(AsyncClient.update_version)
    compare_versions = _blocking(AsyncClient.compare_versions)
    restore_version = _blocking(AsyncClient.restore_version)
    download_snapshot = _blocking(AsyncClient.download_snapshot)
    list_issues = _iterating(AsyncClient.list_issues)
    issue_pages = _iterating(AsyncClient.issue_pages)
    statistics = _blocking(AsyncClient.statistics)
    list_formats = _blocking(AsyncClient.list_formats)
    preview_loss = _blocking(AsyncClient.preview_loss)
    export_dataset = _blocking(AsyncClient.export_dataset)
    convert = _blocking(AsyncClient.convert)
    get_export = _blocking(AsyncClient.get_export)
    list_exports = _iterating(AsyncClient.list_exports)
    delete_export = _blocking(AsyncClient.delete_export)
    download = _blocking(AsyncClient.download)
    create_recipe = _blocking(AsyncClient.create_recipe)
    update_recipe = _blocking(AsyncClient.update_recipe)
    get_recipe = _blocking(AsyncClient.get_recipe)
    list_recipes = _blocking(AsyncClient.list_recipes)
    delete_recipe = _blocking(AsyncClient.delete_recipe)
    list_jobs = _blocking(AsyncClient.list_jobs)
    watch_job = _iterating(AsyncClient.watch_job)
    wait = _blocking(AsyncClient.wait)
    cancel_job = _blocking(AsyncClient.cancel_job)
    retry_job = _blocking(AsyncClient.retry_job)
    create_key = _blocking(AsyncClient.create_key)
    list_keys = _blocking(AsyncClient.list_keys)
    revoke_key = _blocking(AsyncClient.revoke_key)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection and its thread."""
        if self._loop.is_closed():
            return
        self._run(_end(self._client))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        done: Future[T] = Future()
        task: asyncio.Task[None] | None = None

        async def carry() -> None:
            try:
                done.set_result(await work)
            except BaseException as error:
                done.set_exception(error)

        def begin() -> None:
            nonlocal task
            task = self._loop.create_task(carry())

        self._loop.call_soon_threadsafe(begin)
        try:
            return done.result()
        except KeyboardInterrupt:
            # What was begun is given up in good order, which the coroutine does when it is cancelled.
            self._loop.call_soon_threadsafe(lambda: task and task.cancel())
            try:
                done.result(2 * CANCEL_SECONDS)
            except BaseException as error:
                raise KeyboardInterrupt(*error.args) from None
            raise


async def _close(items: AsyncGenerator[Any, None]) -> None:
    await items.aclose()


async def _end(client: AsyncClient) -> None:
    await client.close()
    await asyncio.get_running_loop().shutdown_asyncgens()
    # gRPC ends its calls in tasks of its own, which want to be waited for.
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others, timeout=1.0)


async def _connect(address: str | None, api_key: str | None, deadline: float, resumes: bool) -> AsyncClient:
    # A channel belongs to the loop that it is made on.
    return AsyncClient(address, api_key=api_key, deadline=deadline, resumes=resumes)
