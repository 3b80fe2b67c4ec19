"""What an export is like: what is asked for, laid over the recipe that it names."""

import grpc

from framehouse.v1 import conversion_pb2, recipe_pb2, recipe_pb2_grpc


async def completed(
    ingest: grpc.aio.Channel, recipe: str, asked: conversion_pb2.WriteOptions
) -> conversion_pb2.WriteOptions:
    """The options, by a recipe of the caller's where one is named (`users/{user}/recipes/{recipe}`)."""
    if not recipe:
        return asked
    recipes = recipe_pb2_grpc.RecipeServiceStub(ingest)
    below = await recipes.GetRecipe(recipe_pb2.GetRecipeRequest(name=recipe), timeout=30)
    return laid_over(below.write, asked)


def laid_over(below: conversion_pb2.WriteOptions, above: conversion_pb2.WriteOptions) -> conversion_pb2.WriteOptions:
    """Options with what others say in their place, field by field: what these leave unset or empty stays."""
    options = conversion_pb2.WriteOptions()
    options.CopyFrom(below)
    for field, _ in above.ListFields():
        options.ClearField(field.name)
    options.MergeFrom(above)
    return options
