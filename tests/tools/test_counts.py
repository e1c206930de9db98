from __future__ import annotations

import pytest

from medalist.tools.counts import counted


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((1, "passage"), "1 passage"),
        ((0, "passage"), "0 passages"),
        ((2000, "passage"), "2,000 passages"),
        ((1, "query has no answer", "queries have no answer"), "1 query has no answer"),
        ((3, "query has no answer", "queries have no answer"), "3 queries have no answer"),
    ],
)
def test_a_noun_agrees_with_its_number(arguments, said):
    assert counted(*arguments) == said
