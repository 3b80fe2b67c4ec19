"""The servicer of `RecipeService`: what exports are like, kept under names."""

from google.protobuf import empty_pb2

from framehouse.v1 import recipe_pb2
from services.ingest.catalogue import Catalogue


class RecipeService:
    """Keeps recipes."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    async def CreateRecipe(self, request: recipe_pb2.CreateRecipeRequest) -> recipe_pb2.Recipe:
        raise NotImplementedError("not built yet")

    async def GetRecipe(self, request: recipe_pb2.GetRecipeRequest) -> recipe_pb2.Recipe:
        raise NotImplementedError("not built yet")

    async def ListRecipes(self, request: recipe_pb2.ListRecipesRequest) -> recipe_pb2.ListRecipesResponse:
        raise NotImplementedError("not built yet")

    async def UpdateRecipe(self, request: recipe_pb2.UpdateRecipeRequest) -> recipe_pb2.Recipe:
        raise NotImplementedError("not built yet")

    async def DeleteRecipe(self, request: recipe_pb2.DeleteRecipeRequest) -> empty_pb2.Empty:
        raise NotImplementedError("not built yet")
