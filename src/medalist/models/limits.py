"""Limits on a recipe's numbers that depend on the base: its number of layers, their width, its longest sequence."""

from __future__ import annotations

from ..recipe import Recipe, RecipeError
from .load import LoadedModel


def check_range(recipe: Recipe, *, base: str, layers: int, width: int, longest: int) -> None:
    """Refuse settings that exceed what the base supports, before training or planning.

    Args:
        recipe: the recipe, whose `training` and `prompt` are checked.
        base: the base's name, for errors.
        layers: the number of its blocks.
        width: the size of its hidden states; an adapter of higher rank would be larger than the layers it adapts.
        longest: the longest sequence that it reads, in tokens.

    Raises:
        RecipeError: a number is out of range.
    """
    settings = recipe.training
    if settings.method == "lora":
        if (settings.upper_layers or 1) > layers:
            raise RecipeError(
                f"training.upper_layers={settings.upper_layers}, but {base} has {layers} layers: set 1 to {layers}, or "
                "null for all of them"
            )
        if settings.rank > width:
            raise RecipeError(
                f"training.rank={settings.rank:,}, but the layers of {base} are {width:,} wide: set 1 to {width:,}"
            )
    if recipe.prompt.window > longest:
        raise RecipeError(
            f"prompt.window={recipe.prompt.window:,}, but {base} reads at most {longest:,} tokens: set 32 to "
            f"{longest:,}"
        )


def check_range_of(recipe: Recipe, base: LoadedModel) -> None:
    """`check_range` for a loaded base."""
    config = base.model.config
    check_range(
        recipe,
        base=base.identity.id,
        layers=config.num_hidden_layers,
        width=config.hidden_size,
        longest=base.max_depth,
    )
