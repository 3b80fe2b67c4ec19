"""Exports and recipes on the real stack: kept, found again, listed, fetched, and gone when their time is over."""

import uuid
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
import urllib3
from google.protobuf.field_mask_pb2 import FieldMask
from google.rpc import code_pb2, error_details_pb2
from grpc_status import rpc_status

from framehouse.cli.stack.state import StackInfo
from framehouse.client import Client
from framehouse.client.errors import FailedPrecondition, InvalidArgument, NotFound
from framehouse.client.progress import Progress
from framehouse.runtime import errors
from framehouse.runtime.recipes import laid_over
from framehouse.store.bucket import Bucket
from framehouse.v1 import conversion_pb2, export_pb2, export_pb2_grpc, recipe_pb2
from framehouse.v1.conversion_pb2 import WriteOptions
from services.export import records
from services.ingest.catalogue import Catalogue
from services.ingest.recipes import RecipeService
from tests.conftest import Framehouse
from tests.samples import draw_dataset
from tests.services import catalogues

FORMAT = "ultralytics-detect"
PARENT = "users/local"


@pytest.fixture(scope="module")
def shapes(client: Client, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A dataset of 20 pictures, 4 of them of the split val."""
    folder = tmp_path_factory.mktemp("shapes")
    draw_dataset(folder, 20)
    name = f"shapes-{uuid.uuid4().hex[:8]}"
    client.import_dataset(folder, name)
    return name


@pytest.fixture
def recipes(each_catalogue: Catalogue) -> RecipeService:
    return RecipeService(each_catalogue)


def test_the_same_export_is_made_once(client: Client, shapes: str) -> None:
    first = client.export_dataset(shapes, FORMAT, splits=["train"], keep_seconds=600)
    again = client.export_dataset(shapes, FORMAT, splits=["train"], keep_seconds=7200)
    assert (first.reused, again.reused) == (False, True)
    assert (again.export.name, again.losses) == (first.export.name, first.losses)
    assert again.export.expire_time.seconds - first.export.expire_time.seconds > 6000  # kept as long as it is asked for

    other = client.export_dataset(shapes, FORMAT, splits=["val"])
    assert not other.reused
    client.delete_export(first.export.name)
    assert not client.export_dataset(shapes, FORMAT, splits=["train"]).reused


def test_what_an_export_lacks_is_told_again_where_it_is_there_already(client: Client, shapes: str) -> None:
    told: list[tuple[str, ...]] = []

    def report(progress: Progress) -> None:
        if progress.losses:
            told.append(tuple(loss.code for loss in progress.losses))

    answers = [client.export_dataset(shapes, "ultralytics-segment", report=report) for _ in range(2)]
    assert [answer.reused for answer in answers] == [False, True]
    assert told == [("KIND_UNSUPPORTED",)] * 2


def test_an_export_of_changed_data_is_made_anew(client: Client, shapes: str, tmp_path: Path) -> None:
    client.export_dataset(shapes, FORMAT)
    path = next(client.list_images(shapes, "split = train", limit=1)).path
    client.change_images(shapes, images=[path], move_to_split="val")
    changed = client.export_dataset(shapes, FORMAT, tmp_path / "changed.zip")
    assert not changed.reused
    with zipfile.ZipFile(tmp_path / "changed.zip") as archive:
        assert f"images/val/{path}" in archive.namelist()


def test_urls_live_as_long_as_asked_and_give_ranges(client: Client, shapes: str) -> None:
    name = client.export_dataset(shapes, FORMAT, volume_bytes=1 << 20).export.name
    found = client.get_export(name, url_seconds=6 * 86400)
    days = (found.url_expire_time.ToDatetime(UTC) - datetime.now(UTC)) / timedelta(days=1)
    assert 5.9 < days < 6.1
    assert (found.url, sum(file.size for file in found.files)) == (found.files[0].url, found.size)
    assert found.files[0].name.endswith("-001.zip")
    answer = urllib3.request("GET", found.files[0].url, headers={"Range": "bytes=1-3"})
    assert (answer.status, answer.data) == (206, b"K\3\4")
    assert answer.headers["Content-Range"] == f"bytes 1-3/{found.files[0].size}"
    with pytest.raises(InvalidArgument, match="604,800 seconds at most"):
        client.get_export(name, url_seconds=7 * 86400 + 1)


def test_exports_are_listed_newest_first_page_by_page(client: Client, shapes: str) -> None:
    made = [client.export_dataset(shapes, FORMAT, labels=[label]).export.name for label in ("circle", "triangle")]
    listed = [export.name for export in client.list_exports(shapes)]
    assert listed[:2] == made[::-1]
    assert listed == [one.name for one in client.list_exports() if one.dataset.endswith(shapes)]
    export = next(client.list_exports(shapes))
    assert (export.write.labels, export.url, export.files[0].url) == (["triangle"], "", "")
    client.delete_export(made[1])
    assert [one.name for one in client.list_exports(shapes)] == [made[0], *listed[2:]]
    for read in (client.get_export, client.delete_export):
        with pytest.raises(NotFound, match="does not exist"):
            read(made[1])
    with pytest.raises(NotFound):
        list(client.list_exports("no-such-dataset"))


def export_of(minutes: float, keep: float, dataset: str = "cars") -> export_pb2.Export:
    """An export that was made some minutes ago, to be kept for some."""
    export = export_pb2.Export(name=f"exports/{uuid.uuid4().hex}", dataset=f"users/ann/datasets/{dataset}")
    export.files.add(name="cars.zip", size=3)
    made = datetime.now(UTC) - timedelta(minutes=minutes)
    export.create_time.FromDatetime(made)
    export.expire_time.FromDatetime(made + timedelta(minutes=keep))
    return export


@pytest.fixture
def kept(bucket: Bucket) -> Iterator[list[export_pb2.Export]]:
    """Exports made 4, 3, 2 and 1 minutes ago; the first and the third have ended."""
    exports = [export_of(minutes, keep) for minutes, keep in ((4, 3), (3, 9), (2, 1), (1, 9))]
    for number, export in enumerate(exports):
        bucket.put(f"{export.name}/cars.zip", b"zip")
        records.save(bucket, export, f"test-{number}")
    yield exports
    for number, export in enumerate(exports):
        records.remove(bucket, export.name)
        bucket.remove([f"{records.BY_REQUEST}test-{number}"])


def test_pages_belong_to_their_listing_and_show_what_has_not_ended(
    bucket: Bucket, kept: list[export_pb2.Export]
) -> None:
    request = export_pb2.ListExportsRequest(dataset="users/ann/datasets/cars")
    names = []
    for _ in range(4):
        page = records.page(bucket, request, 1, lambda owner, user: user == "ann")
        names += [export.name for export in page.exports]
        request.page_token = page.next_page_token
        if not request.page_token:
            break
    assert names == [kept[3].name, kept[1].name]
    assert not records.page(bucket, export_pb2.ListExportsRequest(), 9, lambda owner, user: user == "bob").exports
    request.page_token = records.page(bucket, request, 1, lambda owner, user: True).next_page_token
    request.dataset = "users/ann/datasets/dogs"
    with pytest.raises(errors.InvalidArgument, match="another dataset"):
        records.page(bucket, request, 1, lambda owner, user: True)


def test_what_has_ended_is_removed_and_so_is_what_died(bucket: Bucket, kept: list[export_pb2.Export]) -> None:
    bucket.remove([f"{kept[1].name}/export.pb"])  # its job died while it began anew
    assert records.sweep(bucket, datetime.now(UTC)) >= 2
    assert not any(list(bucket.keys(f"{kept[i].name}/")) for i in (0, 2))
    assert list(bucket.keys(f"{kept[1].name}/")) == [f"{kept[1].name}/cars.zip"]
    listing = export_pb2.ListExportsRequest(dataset=kept[3].dataset)
    assert [one.name for one in records.page(bucket, listing, 9, lambda *_: True).exports] == [kept[3].name]
    kept[3].expire_time.FromDatetime(datetime.now(UTC) + timedelta(days=7))
    records.save(bucket, kept[3], "test-3")
    records.sweep(bucket, datetime.now(UTC) + timedelta(hours=25))
    assert not list(bucket.keys(f"{kept[1].name}/"))
    assert records.read(bucket, kept[3].name) == kept[3]


def test_an_export_near_its_end_answers_nobody_else(bucket: Bucket) -> None:
    asked = export_pb2.FindExportRequest(request=export_pb2.ExportDatasetRequest(dataset=uuid.uuid4().hex))
    mark = records.fingerprint(asked.request, asked.table)
    asked.request.request_id, asked.request.keep_seconds, asked.request.recipe = "x", 9, "users/ann/recipes/x"
    assert records.fingerprint(asked.request, asked.table) == mark
    for minutes, is_found in ((92, False), (85, True)):
        export = export_of(minutes, 100)
        records.save(bucket, export, mark)
        assert records.find(bucket, asked, timedelta(0)).name == (export.name if is_found else "")
        records.remove(bucket, export.name)
    assert not records.find(bucket, asked, timedelta(0)).name
    asked.table.task = 1
    assert records.fingerprint(asked.request, asked.table) != mark
    asked.request.write.image_urls = True
    assert not records.fingerprint(asked.request, asked.table)
    bucket.remove([records.BY_REQUEST + mark])


def test_what_cannot_be_exported_is_refused(client: Client, shapes: str) -> None:
    with pytest.raises(FailedPrecondition, match="selects no image") as nothing:
        client.export_dataset(shapes, FORMAT, filter="width > 100000")
    assert nothing.value.reason == "NOTHING_SELECTED"
    for ask in (client.preview_loss, client.export_dataset):
        with pytest.raises(FailedPrecondition, match="nothing would be written: no annotation is a tag") as nothing:
            ask(shapes, "ultralytics-classify")
        assert nothing.value.reason == "NOTHING_TO_WRITE"
    with pytest.raises(InvalidArgument, match="nothing beside the images"):
        client.export_dataset(shapes, "image-dir", without_images=True)
    with pytest.raises(InvalidArgument, match="column 1"):
        client.export_dataset(shapes, FORMAT, filter="wide > 5")
    with pytest.raises(InvalidArgument, match="1,048,576 bytes or more"):
        client.export_dataset(shapes, FORMAT, volume_bytes=1000)
    with pytest.raises(InvalidArgument, match="2,592,000 seconds at most"):
        client.export_dataset(shapes, FORMAT, keep_seconds=31 * 86400)
    with pytest.raises(NotFound, match="recipe"):
        client.export_dataset(shapes, recipe="none")
    with pytest.raises(NotFound, match="version"):
        client.export_dataset(f"{shapes}@7", FORMAT)


@pytest.mark.parametrize(
    ("write", "field", "says"),
    [
        ({}, "write.format", "ListFormats"),
        ({"format": "ultralytics-detekt"}, "write.format", "did you mean ultralytics-detect"),
        ({"format": FORMAT, "filter": "split = val AND wide > 5"}, "write.filter", "column 17"),
        ({"format": FORMAT, "filter": "label:cirkle"}, "write.filter", "did you mean 'circle'"),
        ({"format": FORMAT, "splits": ["tset"]}, "write.splits", "train, val"),
        ({"format": FORMAT, "labels": ["cirkle"]}, "write.labels", "near are circle"),
        ({"format": FORMAT, "voc": {"keep_empty": True}}, "write.voc.keep_empty", "no option voc.keep_empty"),
        ({"format": FORMAT, "image_format": "gif"}, "write.image_format", "jpeg"),
    ],
)
def test_what_does_not_fit_is_refused_before_there_is_a_job(
    stack: StackInfo, shapes: str, write: dict[str, Any], field: str, says: str
) -> None:
    request = export_pb2.ExportDatasetRequest(dataset=f"{PARENT}/datasets/{shapes}", write=WriteOptions(**write))
    with grpc.insecure_channel(stack.address) as channel, pytest.raises(grpc.RpcError) as caught:
        export_pb2_grpc.ExportServiceStub(channel).ExportDataset(request)
    status, wrong = rpc_status.from_call(caught.value), error_details_pb2.BadRequest()
    assert any(detail.Unpack(wrong) for detail in status.details)
    assert (status.code, wrong.field_violations[0].field) == (code_pb2.INVALID_ARGUMENT, field)
    assert says in status.message


def test_a_recipe_is_tried_without_writing(client: Client, shapes: str, framehouse: Framehouse) -> None:
    client.create_recipe(shapes, "image-dir", strict=True, filter="split = val")
    there = client.preview_loss(shapes, recipe=shapes)
    of_val = sum(split.image_count for split in client.get_dataset(shapes).splits if split.split == "val")
    assert (there.format, there.image_count, there.losses[0].subject) == ("image-dir", of_val, "box")
    assert "would lose box" in there.refusal
    assert not client.preview_loss(shapes, FORMAT, recipe=shapes).refusal
    done = framehouse("export", shapes, "--recipe", shapes, "--dry-run")
    assert (done.returncode, "box" in done.stdout, "would lose box" in done.stderr) == (1, True, True)


def test_options_are_laid_over_a_recipe_field_by_field() -> None:
    recipe = conversion_pb2.WriteOptions(format="coco", splits=["train"], only_annotated=True, filter="width > 5")
    recipe.coco.reindex = True
    recipe.image_form = conversion_pb2.IMAGE_FORM_NORMALISED
    above = conversion_pb2.WriteOptions(format="voc", splits=["val", "test"], task=0)
    above.coco.merge_images = True
    found = laid_over(recipe, above)
    assert (found.format, found.splits, found.only_annotated, found.filter) == (
        "voc",
        ["val", "test"],
        True,
        "width > 5",
    )
    assert found.image_form == conversion_pb2.IMAGE_FORM_NORMALISED
    assert (found.coco.merge_images, found.coco.reindex, found.HasField("task")) == (True, False, True)
    assert laid_over(recipe, conversion_pb2.WriteOptions()) == recipe


async def test_recipes_are_kept_changed_and_removed(recipes: RecipeService) -> None:
    write = conversion_pb2.WriteOptions(format="coco", splits=["train"])
    create = recipe_pb2.CreateRecipeRequest(
        parent=PARENT, recipe_id="b", recipe=recipe_pb2.Recipe(display_name="Bees", write=write)
    )
    made = await recipes.CreateRecipe(create)
    assert (made.name, made.display_name, made.write) == (f"{PARENT}/recipes/b", "Bees", write)
    with pytest.raises(errors.AlreadyExists):
        await recipes.CreateRecipe(create)
    for other in ("c", "a"):
        create.recipe_id = other
        await recipes.CreateRecipe(create)

    listing = recipe_pb2.ListRecipesRequest(parent=PARENT, page_size=2)
    first = await recipes.ListRecipes(listing)
    listing.page_token = first.next_page_token
    rest = await recipes.ListRecipes(listing)
    assert [one.name[-1] for page in (first, rest) for one in page.recipes] == ["a", "b", "c"]
    assert not rest.next_page_token
    listing.parent = "users/ann"
    with pytest.raises(errors.InvalidArgument, match="another parent"):
        await recipes.ListRecipes(listing)

    change = recipe_pb2.UpdateRecipeRequest(recipe=recipe_pb2.Recipe(name=made.name, etag=made.etag))
    change.recipe.write.format = "voc"
    change.update_mask.CopyFrom(FieldMask(paths=["write"]))
    changed = await recipes.UpdateRecipe(change)
    assert (changed.display_name, changed.write.format, list(changed.write.splits)) == ("Bees", "voc", [])
    with pytest.raises(errors.Aborted) as stale:
        await recipes.UpdateRecipe(change)
    assert stale.value.reason == "ETAG_STALE"
    assert await recipes.GetRecipe(recipe_pb2.GetRecipeRequest(name=made.name)) == changed

    remove = recipe_pb2.DeleteRecipeRequest(name=made.name)
    await recipes.DeleteRecipe(remove)
    with pytest.raises(errors.NotFound):
        await recipes.DeleteRecipe(remove)


async def test_wrong_recipes_are_refused(tmp_path: Path) -> None:
    recipes = RecipeService(catalogues.sqlite(tmp_path))
    for recipe_id in ("Bees", "-", "a/b", "", "a" * 64):
        with pytest.raises(errors.InvalidArgument, match="cannot be a recipe's id"):
            await recipes.CreateRecipe(recipe_pb2.CreateRecipeRequest(parent=PARENT, recipe_id=recipe_id))
        with pytest.raises(errors.InvalidArgument, match="write users/USER/recipes/RECIPE"):
            await recipes.GetRecipe(recipe_pb2.GetRecipeRequest(name=f"{PARENT}/recipes/{recipe_id}"))
    update = recipe_pb2.UpdateRecipeRequest(recipe=recipe_pb2.Recipe(name=f"{PARENT}/recipes/b"))
    with pytest.raises(errors.NotFound):
        await recipes.UpdateRecipe(update)
    update.update_mask.paths.append("name")
    with pytest.raises(errors.InvalidArgument, match="can be changed"):
        await recipes.UpdateRecipe(update)
