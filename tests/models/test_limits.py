"""What only the base can say of a recipe's numbers."""

import pytest

from medalist.models.limits import check_range
from medalist.recipe import RecipeError, parse_recipe

SIZES = {"base": "me/tiny", "layers": 4, "width": 64, "longest": 2048}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["training.upper_layers=5"], "training.upper_layers=5, but me/tiny has 4 layers: set 1 to 4, or null"),
        (["training.rank=65"], "training.rank=65, but the layers of me/tiny are 64 wide: set 1 to 64"),
        (["prompt.window=2049"], "prompt.window=2,049, but me/tiny reads at most 2,048 tokens: set 32 to 2,048"),
    ],
)
def test_a_number_that_the_base_cannot_follow_is_refused_with_the_range(overrides, message):
    with pytest.raises(RecipeError, match=message):
        check_range(parse_recipe({}, overrides), **SIZES)


def test_the_largest_numbers_that_the_base_can_follow_are_taken():
    check_range(parse_recipe({}, ["training.upper_layers=4", "training.rank=64", "prompt.window=2048"]), **SIZES)


def test_where_no_adapter_is_made_its_size_does_not_matter():
    check_range(parse_recipe({}, ["training.method=full", "training.rank=1000"]), **SIZES)
