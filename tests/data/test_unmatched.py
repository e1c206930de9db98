"""Golds that no candidate matches are counted, and what comes nearest is named."""

from __future__ import annotations

import pytest

from marking import marked
from medalist.data.inventory import Inventory
from medalist.data.unmatched import LONGEST, nearest, unmatched

INVENTORY = Inventory.of(
    [
        ("RA", "rheumatoid arthritis", 1, None),
        ("RA", "room air", 1, None),
        ("CT", "computed tomography", 1, None),
        ("XR", "x-ray", 1, None),
    ]
)


def test_golds_that_are_no_candidate_are_counted_most_frequent_first():
    passages = [
        marked("[RA=rheumatoid artritis] and [RA=rheumatoid artritis] and [RA=room air]", "1"),
        marked("[QQ=quite quiet] and [ct|CT=none of these] and " + f"[RA={'a' * 500}]", "2"),
    ]
    assert unmatched(passages, INVENTORY) == {
        ("RA", "rheumatoid artritis"): 2,
        ("QQ", "quite quiet"): 1,
        ("RA", "a" * LONGEST): 1,
    }


@pytest.mark.parametrize(
    ("short_form", "long_form", "expected"),
    [
        ("RA", "rheumatoid artritis", "RA: rheumatoid arthritis"),
        ("CAT", "computed tomographies", "CT: computed tomographies"),
        ("RA", "ribonucleic acid", "RA: rheumatoid arthritis"),
        ("XRs", "radiograph", "XR: x-ray"),
        ("QQQQ", "nothing", None),
    ],
)
def test_the_nearest_entry_is_named(short_form, long_form, expected):
    assert nearest(short_form, long_form, INVENTORY) == expected


def test_the_nearest_entry_is_shown_short():
    assert len(nearest("RA", "room air", Inventory.of([("RA", "x" * 100_000, 1, None)])) or "") < 120
