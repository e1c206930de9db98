"""Eight mentions and what a model makes of them, few enough to check every figure by hand."""

from __future__ import annotations

from marking import marked
from medalist.data.inventory import Inventory

INVENTORY = Inventory.of(
    [
        ("RA", "rheumatoid arthritis", 5, None),
        ("RA", "right atrium", 2, None),
        ("RA", "room air", 0, None),
        ("CT", "computed tomography", 9, None),
        ("CT", "contractions", 3, None),
        ("CT", "contraction", 1, None),
        ("MR", "mitral regurgitation", 4, None),
    ],
    "by hand",
)


PASSAGES = [
    marked("[RA=rheumatoid arthritis] hurts; [RA=rheumatoid arthritis] swells", "1"),
    marked("the right atrium ([RA=right atrium]) is wide", "2"),
    marked("a [CT=computed tomography] was made", "3"),
    marked("strong [CT=contractions] were felt", "4"),
    marked("[RA=radium] shines", "5"),
    marked("[ct|CT=none of these]. was typed", "6"),
    marked("[MR=mitral regurgitation]", "7"),
]
# Probabilities of the listed long forms and of the null; the comments say what the base makes of them.
BASE = {
    ("1", 0): [0.6, 0.2, 0.1, 0.1],  # right
    ("1", 1): [0.8, 0.02, 0.03, 0.15],  # right, and abstains where the gold is hidden
    ("2", 0): [0.5, 0.3, 0.1, 0.1],  # wrong
    ("3", 0): [0.3, 0.1, 0.1, 0.5],  # right, but abstains
    ("4", 0): [0.7, 0.1, 0.1, 0.1],  # wrong
    ("5", 0): [0.2, 0.2, 0.2, 0.4],  # abstains
    ("6", 0): [0.1, 0.1, 0.5, 0.3],  # answers
    ("7", 0): [0.2, 0.8],
}
