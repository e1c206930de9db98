"""Ranges of a recipe's numbers that only the base gives: its number of layers, their width, how far it reads."""

from __future__ import annotations

from ..recipe import Recipe, RecipeError
from .load import LoadedModel


def check_range(recipe: Recipe, *, base: str, layers: int, width: int, longest: int) -> None:
    """Refuse what the base cannot follow, before anything is trained or planned.

    Args:
        recipe: its `training` and `prompt` are checked.
        base: what to call the base.
        layers: the number of its blocks.
        width: the size of its hidden states; an adapter of a higher rank would hold more than the layers it adapts.
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
    """`check_range` for a base that is loaded."""
    config = base.model.config
    check_range(
        recipe,
        base=base.identity.id,
        layers=config.num_hidden_layers,
        width=config.hidden_size,
        longest=base.max_depth,
    )
