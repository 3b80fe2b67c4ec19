"""The servicer of `RecipeService`: what exports are like, kept under names.

Whether a recipe fits a format and a dataset is found out by the exports that are made with it.
"""

import asyncio
import re

from google.protobuf import empty_pb2
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from framehouse.runtime.access import check_read, check_user
from framehouse.runtime.errors import Aborted, AlreadyExists, InvalidArgument, NotFound
from framehouse.runtime.page_tokens import not_ours, token_of, values_of
from framehouse.v1 import conversion_pb2, recipe_pb2
from services.ingest.catalogue import Catalogue, RecipeRow, now
from services.ingest.datasets import page_size
from services.ingest.names import SLUG, user_of

NAME = re.compile(rf"users/({SLUG.pattern})/recipes/({SLUG.pattern})")
TITLE_LETTERS = 255
WRITE_BYTES = 1 << 20
"""Of the options of a recipe at most."""


class RecipeService:
    """Keeps recipes."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    async def CreateRecipe(self, request: recipe_pb2.CreateRecipeRequest) -> recipe_pb2.Recipe:
        return await asyncio.to_thread(_create, self._catalogue, request)

    async def GetRecipe(self, request: recipe_pb2.GetRecipeRequest) -> recipe_pb2.Recipe:
        return _message(await asyncio.to_thread(_find, self._catalogue, request.name))

    async def ListRecipes(self, request: recipe_pb2.ListRecipesRequest) -> recipe_pb2.ListRecipesResponse:
        return await asyncio.to_thread(_list, self._catalogue, request)

    async def UpdateRecipe(self, request: recipe_pb2.UpdateRecipeRequest) -> recipe_pb2.Recipe:
        return await asyncio.to_thread(_update, self._catalogue, request)

    async def DeleteRecipe(self, request: recipe_pb2.DeleteRecipeRequest) -> empty_pb2.Empty:
        await asyncio.to_thread(_delete, self._catalogue, request)
        return empty_pb2.Empty()


def _create(catalogue: Catalogue, request: recipe_pb2.CreateRecipeRequest) -> recipe_pb2.Recipe:
    user = user_of(request.parent)
    check_user(user)
    if not SLUG.fullmatch(request.recipe_id):
        raise InvalidArgument(
            f"{request.recipe_id!r} cannot be a recipe's id; use small letters, digits and '-', beginning with a "
            "letter or digit, at most 63",
            field="recipe_id",
        )
    time = now()
    row = RecipeRow(
        user=user,
        slug=request.recipe_id,
        display_name=_title(request.recipe),
        write=_write(request.recipe),
        create_time=time,
        update_time=time,
        revision=1,
    )
    try:
        with catalogue.session() as session:
            session.add(row)
    except IntegrityError:
        name = f"{request.parent}/recipes/{request.recipe_id}"
        raise AlreadyExists("recipe", name, "choose another name, or replace it with UpdateRecipe") from None
    return _message(row)


def _list(catalogue: Catalogue, request: recipe_pb2.ListRecipesRequest) -> recipe_pb2.ListRecipesResponse:
    user, size = user_of(request.parent), page_size(request.page_size)
    check_read(user, "user", request.parent)
    after = _decode(request.page_token, request.parent) if request.page_token else ""
    query = select(RecipeRow).where(RecipeRow.user == user, RecipeRow.slug > after)
    with catalogue.session() as session:
        rows = list(session.scalars(query.order_by(RecipeRow.slug).limit(size + 1)))
    response = recipe_pb2.ListRecipesResponse(recipes=[_message(row) for row in rows[:size]])
    if len(rows) > size:
        response.next_page_token = _encode(request.parent, rows[size - 1].slug)
    return response


def _update(catalogue: Catalogue, request: recipe_pb2.UpdateRecipeRequest) -> recipe_pb2.Recipe:
    asked = request.recipe
    paths = list(request.update_mask.paths) or ["display_name", "write"]
    if unknown := set(paths) - {"display_name", "write"}:
        raise InvalidArgument(
            f"update_mask names {min(unknown)!r}; display_name and write can be changed", field="update_mask"
        )
    row = _find(catalogue, asked.name, "recipe.name")
    values: dict[str, str | bytes] = {}
    if "display_name" in paths:
        values["display_name"] = _title(asked)
    if "write" in paths:
        values["write"] = _write(asked)
    with catalogue.session() as session:
        is_current = not asked.etag or asked.etag == _etag(row)
        same = (RecipeRow.user == row.user, RecipeRow.slug == row.slug, RecipeRow.revision == row.revision)
        change = update(RecipeRow).where(*same).values(**values, update_time=now(), revision=row.revision + 1)
        if not is_current or not session.execute(change).rowcount:  # type: ignore[attr-defined]  # of an UPDATE
            raise Aborted(f"{asked.name} has changed; read it again", reason="ETAG_STALE")
    return _message(_find(catalogue, asked.name))


def _delete(catalogue: Catalogue, request: recipe_pb2.DeleteRecipeRequest) -> None:
    row = _find(catalogue, request.name)
    with catalogue.session() as session:
        session.delete(row)


def _find(catalogue: Catalogue, name: str, field: str = "name") -> RecipeRow:
    """The recipe of that name, or `NOT_FOUND`: recipes are seen by their owners alone."""
    match = NAME.fullmatch(name)
    if match is None:
        raise InvalidArgument(f"{name!r} is no recipe; write users/USER/recipes/RECIPE", field=field)
    check_read(match[1], "recipe", name)
    with catalogue.session() as session:
        row = session.get(RecipeRow, (match[1], match[2]))
    if row is None:
        raise NotFound("recipe", name, f"ListRecipes has those of users/{match[1]}")
    return row


def _title(recipe: recipe_pb2.Recipe) -> str:
    if len(recipe.display_name) > TITLE_LETTERS:
        raise InvalidArgument(
            f"display_name has more than {TITLE_LETTERS} letters; shorten it", field="recipe.display_name"
        )
    return recipe.display_name


def _write(recipe: recipe_pb2.Recipe) -> bytes:
    write = recipe.write.SerializeToString(deterministic=True)
    if len(write) > WRITE_BYTES:
        raise InvalidArgument(f"the options have more than {WRITE_BYTES:,} bytes; shorten them", field="recipe.write")
    return write


def _message(row: RecipeRow) -> recipe_pb2.Recipe:
    recipe = recipe_pb2.Recipe(
        name=f"users/{row.user}/recipes/{row.slug}",
        display_name=row.display_name or row.slug,
        write=conversion_pb2.WriteOptions.FromString(row.write),
        etag=_etag(row),
    )
    recipe.create_time.FromDatetime(row.create_time)
    recipe.update_time.FromDatetime(row.update_time)
    return recipe


def _etag(row: RecipeRow) -> str:
    # A name may be taken again by another recipe.
    return f'"{row.create_time.timestamp():.0f}-{row.revision}"'


def _encode(parent: str, slug: str) -> str:
    return token_of([parent, slug])


def _decode(token: str, parent: str) -> str:
    try:
        theirs, slug = values_of(token)
    except (ValueError, TypeError):
        raise not_ours() from None
    if theirs != parent:
        raise InvalidArgument("page_token belongs to another parent; start again without it", field="page_token")
    return str(slug)
