"""Recipes: what an export is to be like, kept under a name."""

from typing import Unpack

from google.protobuf import empty_pb2

from framehouse.client.methods import conversions
from framehouse.client.options import WriteChoices, write_options
from framehouse.client.suite import Suite
from framehouse.v1 import recipe_pb2


async def create_recipe(
    suite: Suite, name: str, format: str = "", *, display_name: str = "", **choices: Unpack[WriteChoices]
) -> recipe_pb2.Recipe:
    """Keeps what an export is to be like under a name, such as `training`."""
    parent, _, recipe_id = suite.names.recipe(name).partition("/recipes/")
    await conversions.check_formats(suite, writes=format)
    recipe = recipe_pb2.Recipe(display_name=display_name, write=write_options(format, **choices))
    request = recipe_pb2.CreateRecipeRequest(parent=parent, recipe_id=recipe_id, recipe=recipe)
    return await suite.call("RecipeService/CreateRecipe", request, recipe_pb2.Recipe)


async def update_recipe(
    suite: Suite,
    name: str,
    format: str = "",
    *,
    display_name: str = "",
    etag: str = "",
    **choices: Unpack[WriteChoices],
) -> recipe_pb2.Recipe:
    """Replaces a recipe; with `etag` only if it is still the one that was read."""
    recipe = recipe_pb2.Recipe(
        name=suite.names.recipe(name), display_name=display_name, etag=etag, write=write_options(format, **choices)
    )
    await conversions.check_formats(suite, writes=format)
    request = recipe_pb2.UpdateRecipeRequest(recipe=recipe)
    return await suite.call("RecipeService/UpdateRecipe", request, recipe_pb2.Recipe)


async def get_recipe(suite: Suite, name: str) -> recipe_pb2.Recipe:
    """One recipe."""
    request = recipe_pb2.GetRecipeRequest(name=suite.names.recipe(name))
    return await suite.call("RecipeService/GetRecipe", request, recipe_pb2.Recipe)


async def list_recipes(suite: Suite, user: str = "") -> list[recipe_pb2.Recipe]:
    """The recipes of a user, by name."""
    found: list[recipe_pb2.Recipe] = []
    request = recipe_pb2.ListRecipesRequest(parent=suite.names.user(user), page_size=1000)
    async for page in suite.pages("RecipeService/ListRecipes", request, recipe_pb2.ListRecipesResponse):
        found.extend(page.recipes)
    return found


async def delete_recipe(suite: Suite, name: str) -> None:
    """Removes a recipe; what was exported with it stays."""
    request = recipe_pb2.DeleteRecipeRequest(name=suite.names.recipe(name))
    await suite.call("RecipeService/DeleteRecipe", request, empty_pb2.Empty)
