from __future__ import annotations

import pytest

from medalist.data.inventory import Inventory
from medalist.data.inventory_spelling import listed_spelling

INVENTORY = Inventory.of([("RA", "right atrium", 2, None), ("LN", "lymph node", 3, None)])


@pytest.mark.parametrize(
    ("short_form", "long_form", "expected"),
    [
        ("RA", "Right atria", "right atrium"),
        ("RA", "Right atrial", "Right atrial"),
        ("RA", "Right Atrium", "right atrium"),
        ("LN", "lymph-nodes", "lymph node"),
        ("XX", "lymph nodes", "lymph nodes"),
    ],
)
def test_a_long_form_is_respelt_only_where_an_equivalent_is_listed_under_its_short_form(
    short_form, long_form, expected
):
    assert listed_spelling(short_form, long_form, INVENTORY) == expected
    assert listed_spelling(short_form, long_form, None) == long_form


def test_a_spelling_that_is_listed_itself_stays():
    inventory = Inventory.of([("TM", "tumor marker", 9, None), ("TM", "tumour marker", 1, None)])
    assert listed_spelling("TM", "tumour marker", inventory) == "tumour marker"
