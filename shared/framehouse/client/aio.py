"""`AsyncClient`: everything a suite does for its users, on asyncio.

Names are short (`cars`) or full (`users/local/datasets/cars`). Whoever cancels the coroutine that imports, exports or
converts cancels the job. Each method is a function of `framehouse.client.methods`.
"""

from collections.abc import Callable
from functools import wraps
from types import TracebackType
from typing import Concatenate, ParamSpec, Self, TypeVar

from framehouse.client.connection import DEADLINE_SECONDS
from framehouse.client.methods import (
    changes,
    classes,
    conversions,
    datasets,
    exports,
    images,
    imports,
    issues,
    jobs,
    keys,
    recipes,
    uploads,
    versions,
)
from framehouse.client.suite import Suite

P = ParamSpec("P")
T = TypeVar("T")


def _method(function: Callable[Concatenate[Suite, P], T]) -> Callable[Concatenate["AsyncClient", P], T]:
    """A function of a suite as a method of the client that is connected to it."""

    @wraps(function)
    def call(self: "AsyncClient", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return function(self._suite, *args, **kwargs)

    return call


class AsyncClient:
    """A connection to the suite whose gateway is at host:port; by default the one of this machine.

    `api_key`: what a suite is shown that asks for keys; by default what `FRAMEHOUSE_API_KEY` says, or the file that
    `FRAMEHOUSE_API_KEY_FILE` names. `deadline`: seconds that a call may take in all, repetitions while the suite is
    away included. All methods raise `FramehouseError`. `resumes`: whether uploads that are cut off are remembered, in
    the user's state folder, and continued.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        api_key: str | None = None,
        deadline: float = DEADLINE_SECONDS,
        resumes: bool = True,
    ) -> None:
        self._suite = Suite(address, api_key, deadline, resumes)
        self.address = self._suite.address

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the connection."""
        await self._suite.close()

    upload = _method(uploads.upload)
    send_upload = _method(uploads.send_upload)
    fetch_upload = _method(uploads.fetch_upload)

    import_dataset = _method(imports.import_dataset)

    list_datasets = _method(datasets.list_datasets)
    get_dataset = _method(datasets.get_dataset)
    create_dataset = _method(datasets.create_dataset)
    update_dataset = _method(datasets.update_dataset)
    clone_dataset = _method(datasets.clone_dataset)
    star_dataset = _method(datasets.star_dataset)
    delete_dataset = _method(datasets.delete_dataset)
    restore_dataset = _method(datasets.restore_dataset)
    purge_dataset = _method(datasets.purge_dataset)
    statistics = _method(datasets.statistics)

    probe_image = _method(images.probe_image)
    get_image = _method(images.get_image)
    list_images = _method(images.list_images)
    image_pages = _method(images.image_pages)
    read_image = _method(images.read_image)
    render_image = _method(images.render_image)
    thumbnail = _method(images.thumbnail)
    list_duplicates = _method(images.list_duplicates)

    change_images = _method(changes.change_images)
    update_annotations = _method(changes.update_annotations)
    list_removals = _method(changes.list_removals)
    restore_images = _method(changes.restore_images)
    redistribute_splits = _method(changes.redistribute_splits)

    list_classes = _method(classes.list_classes)
    change_classes = _method(classes.change_classes)

    create_version = _method(versions.create_version)
    get_version = _method(versions.get_version)
    list_versions = _method(versions.list_versions)
    update_version = _method(versions.update_version)
    compare_versions = _method(versions.compare_versions)
    restore_version = _method(versions.restore_version)
    download_snapshot = _method(versions.download_snapshot)

    list_issues = _method(issues.list_issues)
    issue_pages = _method(issues.issue_pages)

    list_formats = _method(conversions.list_formats)
    preview_loss = _method(conversions.preview_loss)
    convert = _method(conversions.convert)

    export_dataset = _method(exports.export_dataset)

    get_export = _method(exports.get_export)
    list_exports = _method(exports.list_exports)
    delete_export = _method(exports.delete_export)
    download = _method(exports.download)

    create_recipe = _method(recipes.create_recipe)
    update_recipe = _method(recipes.update_recipe)
    get_recipe = _method(recipes.get_recipe)
    list_recipes = _method(recipes.list_recipes)
    delete_recipe = _method(recipes.delete_recipe)

    list_jobs = _method(jobs.list_jobs)
    watch_job = _method(jobs.watch_job)
    wait = _method(jobs.wait)
    cancel_job = _method(jobs.cancel_job)
    retry_job = _method(jobs.retry_job)

    create_key = _method(keys.create_key)
    list_keys = _method(keys.list_keys)
    revoke_key = _method(keys.revoke_key)
